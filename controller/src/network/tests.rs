use super::*;

const ID: NetworkId = NetworkId(0x4b3e_5f84_e842_c20d);

fn object(value: Value) -> Record {
    match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

fn after(body: Value) -> Record {
    let mut record = new_record(ID, 1_795_197_021_244);
    apply(&mut record, &object(body));
    record
}

#[test]
fn a_new_record_looks_like_that_of_the_reference() {
    let mut record = after(json!({ "name": "lab" }));
    record.insert("revision".into(), 1.into());
    assert_eq!(
        Value::Object(record).to_string(),
        concat!(
            r#"{"authTokens":[null],"authorizationEndpoint":"","capabilities":[],"clientId":"","creationTime":1795197021244,"dns":[],"#,
            r#""enableBroadcast":true,"id":"4b3e5f84e842c20d","ipAssignmentPools":[],"mtu":2800,"multicastLimit":32,"name":"lab","#,
            r#""nwid":"4b3e5f84e842c20d","objtype":"network","private":true,"remoteTraceLevel":0,"remoteTraceTarget":null,"revision":1,"#,
            r#""routes":[],"rules":[{"not":false,"or":false,"type":"ACTION_ACCEPT"}],"rulesSource":"","ssoEnabled":false,"tags":[],"#,
            r#""v4AssignMode":{"zt":false},"v6AssignMode":{"6plane":false,"rfc4193":false,"zt":false}}"#,
        )
    );
}

#[test]
fn a_configured_record_looks_like_that_of_the_reference() {
    let mut record = after(json!({
        "name": "lab net",
        "dns": { "domain": "lab.example", "servers": ["10.79.50.53"] },
        "ipAssignmentPools": [{ "ipRangeStart": "10.79.50.1", "ipRangeEnd": "10.79.50.254" }],
        "multicastLimit": 16,
        "routes": [
            { "target": "10.79.50.0/24", "via": "" },
            { "target": "10.79.77.0/24", "via": "10.79.50.1", "metric": 7 },
        ],
        "v4AssignMode": "zt",
        "v6AssignMode": "6plane,rfc4193",
    }));
    record.insert("revision".into(), 2.into());
    assert_eq!(
        Value::Object(record).to_string(),
        concat!(
            r#"{"authTokens":[null],"authorizationEndpoint":"","capabilities":[],"clientId":"","creationTime":1795197021244,"#,
            r#""dns":{"domain":"lab.example","servers":["10.79.50.53"]},"enableBroadcast":true,"id":"4b3e5f84e842c20d","#,
            r#""ipAssignmentPools":[{"ipRangeEnd":"10.79.50.254","ipRangeStart":"10.79.50.1"}],"mtu":2800,"multicastLimit":16,"name":"lab net","#,
            r#""nwid":"4b3e5f84e842c20d","objtype":"network","private":true,"remoteTraceLevel":0,"remoteTraceTarget":null,"revision":2,"#,
            r#""routes":[{"target":"10.79.50.0/24","via":null},{"target":"10.79.77.0/24","via":"10.79.50.1"}],"#,
            r#""rules":[{"not":false,"or":false,"type":"ACTION_ACCEPT"}],"rulesSource":"","ssoEnabled":false,"tags":[],"#,
            r#""v4AssignMode":{"zt":true},"v6AssignMode":{"6plane":true,"rfc4193":true,"zt":false}}"#,
        )
    );
}

#[test]
fn bodies_are_read_leniently() {
    for (key, given, stored) in [
        ("name", json!(5), json!("5")),
        ("private", json!("false"), json!(false)),
        ("private", json!(0), json!(false)),
        ("enableBroadcast", json!("0"), json!(false)),
        ("multicastLimit", json!("64"), json!(64)),
        ("mtu", json!(100), json!(1280)),
        ("mtu", json!(20_000), json!(10_000)),
        ("v4AssignMode", json!("zt"), json!({ "zt": true })),
        ("v4AssignMode", json!({ "zt": 1 }), json!({ "zt": true })),
        ("v4AssignMode", json!([]), json!({ "zt": false })),
        (
            "v6AssignMode",
            json!("zt"),
            json!({ "6plane": false, "rfc4193": false, "zt": true }),
        ),
        (
            "v6AssignMode",
            json!({ "rfc4193": true, "other": true }),
            json!({ "rfc4193": true }),
        ),
        (
            "v6AssignMode",
            json!(7),
            json!({ "6plane": false, "rfc4193": false, "zt": false }),
        ),
        (
            "routes",
            json!([
                { "target": "10.79.61.5" },
                { "target": "10.0.0.0/33" },
                { "target": 7 },
                "text",
                { "target": "10.1.0.0/16", "via": "fd00::1" },
                { "target": "fd00::/8", "via": "fd00::1", "flags": 3 },
            ]),
            json!([
                { "target": "10.79.61.5/32", "via": null },
                { "target": "10.1.0.0/16", "via": null },
                { "target": "fd00::/8", "via": "fd00::1" },
            ]),
        ),
        ("routes", json!(null), json!([])),
        (
            "ipAssignmentPools",
            json!([
                { "ipRangeStart": "10.0.0.1/24", "ipRangeEnd": "10.0.0.9" },
                { "ipRangeStart": "10.0.0.1", "ipRangeEnd": "fd00::1" },
                { "ipRangeStart": "10.0.0.1" },
                4,
            ]),
            json!([{ "ipRangeEnd": "10.0.0.9", "ipRangeStart": "10.0.0.1" }]),
        ),
        ("rules", json!([]), json!([])),
        (
            "rules",
            json!([{ "type": "ACTION_DROP", "not": true }, { "type": "NONE" }, 5]),
            json!([{ "type": "ACTION_DROP" }]),
        ),
        (
            "rules",
            json!(null),
            json!([{ "not": false, "or": false, "type": "ACTION_ACCEPT" }]),
        ),
        (
            "capabilities",
            json!([
                { "id": 9, "rules": [{ "type": "ACTION_ACCEPT" }], "default": true },
                { "id": 3 },
                { "id": 9, "default": "t" },
                "text",
            ]),
            json!([
                { "default": false, "id": 3, "rules": [] },
                { "default": true, "id": 9, "rules": [] },
            ]),
        ),
        (
            "tags",
            json!([{ "id": 9, "default": 1 }, { "id": 3 }, { "id": 9, "default": 2 }, 5]),
            json!([{ "default": null, "id": 3 }, { "default": 2, "id": 9 }]),
        ),
        (
            "authTokens",
            json!({ "a": 0, "b": 12, "c": -1, "d": "5" }),
            json!({ "a": 0, "b": 12 }),
        ),
        ("authTokens", json!([1]), json!([null])),
        (
            "dns",
            json!({ "servers": ["10.0.0.1", 5], "other": 1 }),
            json!({ "domain": null, "servers": ["10.0.0.1", 5] }),
        ),
        ("dns", json!({ "domain": "a" }), json!({ "domain": "a" })),
        ("authTokens", json!({}), json!(null)),
        ("dns", json!("text"), json!([])),
        (
            "remoteTraceTarget",
            json!("5cd0ba70f5"),
            json!("5cd0ba70f5"),
        ),
        ("remoteTraceTarget", json!("5cd0"), json!(null)),
        ("remoteTraceLevel", json!("15"), json!(15)),
        ("rulesSource", json!("accept;"), json!("")),
        ("ssoEnabled", json!(true), json!(false)),
        ("id", json!("1111111111111111"), json!("4b3e5f84e842c20d")),
        ("creationTime", json!(1), json!(1_795_197_021_244_u64)),
        ("revision", json!(17), json!(0)),
    ] {
        let record = after(json!({ key: given.clone() }));
        assert_eq!(record.get(key), Some(&stored), "{key}: {given}");
        assert_eq!(record.len(), new_record(ID, 0).len());
    }
    assert_eq!(after(json!({ "unknown": 1 })).get("unknown"), None);
}

#[test]
fn the_trace_level_survives_other_changes() {
    let mut record = after(json!({ "remoteTraceLevel": 10 }));
    apply(&mut record, &object(json!({ "name": "x" })));
    assert_eq!(record.get("remoteTraceLevel"), Some(&json!(10)));
}

#[test]
fn arrays_and_texts_are_cut() {
    let many: Vec<Value> = (0..20_000).map(|id| json!({ "id": id })).collect();
    let record = after(json!({ "tags": many, "name": "ä".repeat(100) }));
    assert_eq!(record["tags"].as_array().unwrap().len(), 16_384);
    assert_eq!(record["name"].as_str().unwrap().len(), 200);
    assert_eq!(Settings::of(&record).name.len(), 126);
}

#[test]
fn the_credential_window_is_clamped() {
    for (given, expected) in [
        (None, 1_800_000),
        (Some(1), 300_000),
        (Some(600_000), 600_000),
        (Some(u64::MAX), 7_200_000),
    ] {
        let mut record = new_record(ID, 0);
        if let Some(given) = given {
            record.insert("certificateTimeoutWindowSize".into(), given.into());
        }
        assert_eq!(Settings::of(&record).window, expected);
    }
}
