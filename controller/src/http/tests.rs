use protocol::SecretIdentity;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};

use super::*;
use crate::store::memory::MemoryStore;

const NOW: u64 = 1_795_197_021_179;

fn controller() -> Controller {
    let identity = SecretIdentity::generate(&mut StdRng::seed_from_u64(1));
    Controller::open(Box::new(MemoryStore::new()), identity, [7; 32]).unwrap()
}

fn call(controller: &mut Controller, method: &str, path: &str, body: &str) -> ApiReply {
    let path: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let reply = controller.handle_api(method, &path, body.as_bytes(), NOW);
    while controller.poll().is_some() {}
    assert_eq!(reply.body.is_empty(), reply.content_type.is_none());
    reply
}

fn ok(controller: &mut Controller, method: &str, path: &str, body: &str) -> Value {
    let reply = call(controller, method, path, body);
    assert_eq!((reply.status, reply.content_type), (200, Some(JSON)));
    serde_json::from_slice(&reply.body).unwrap()
}

fn status(controller: &mut Controller, method: &str, path: &str, body: &str) -> u16 {
    let reply = call(controller, method, path, body);
    assert!(reply.status == 500 || reply.body.is_empty());
    reply.status
}

#[test]
fn the_controller_presents_itself() {
    let reply = call(&mut controller(), "GET", "/controller", "");
    assert_eq!(
        String::from_utf8(reply.body).unwrap(),
        "{\n\t\"controller\": true,\n\t\"apiVersion\": 4,\n\t\"clock\": 1795197021179,\n\t\"databaseReady\": true\n}\n"
    );
}

#[test]
fn networks_are_created_shown_changed_and_deleted() {
    let mut c = controller();
    let own = c.identity.address();
    assert_eq!(ok(&mut c, "GET", "/controller/network", ""), json!([]));
    let create = format!("/controller/network/{own}______");
    let network = ok(&mut c, "POST", &create, r#"{"name":"lab"}"#);
    let id = network["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with(&own.to_string()) && id.len() == 16);
    assert_eq!(
        (&network["name"], &network["revision"]),
        (&json!("lab"), &json!(1))
    );
    assert_eq!(network["creationTime"], NOW);
    let other = ok(&mut c, "PUT", "/controller/network", "{}");
    assert_ne!(other["id"], network["id"]);
    let listed = ok(&mut c, "GET", "/controller/network", "");
    let mut ids = [id.clone(), other["id"].as_str().unwrap().to_owned()];
    ids.sort();
    assert_eq!(listed, json!(ids));

    let path = format!("/controller/network/{id}");
    for spelling in [
        path.clone(),
        format!("{path}/"),
        format!("/controller/network/{}", id.to_uppercase()),
    ] {
        assert_eq!(ok(&mut c, "GET", &spelling, ""), network);
        assert_eq!(ok(&mut c, "HEAD", &spelling, ""), network);
    }
    let changed = ok(&mut c, "POST", &path, r#"{"private":false}"#);
    assert_eq!(
        (&changed["private"], &changed["revision"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(ok(&mut c, "POST", &path, "{}"), changed);
    assert_eq!(ok(&mut c, "POST", &path, "[1]"), changed);
    assert_eq!(ok(&mut c, "DELETE", &path, ""), changed);
    for method in ["GET", "DELETE"] {
        assert_eq!(status(&mut c, method, &path, ""), 404);
    }
    let foreign = ok(&mut c, "POST", "/controller/network/1111111111111111", "{}");
    assert_eq!(foreign["nwid"], "1111111111111111");
}

#[test]
fn members_are_created_shown_changed_and_deleted() {
    let mut c = controller();
    let network = "/controller/network/1111111111111111";
    let members = format!("{network}/member");
    let member = format!("{members}/5CD0BA70F5");
    for (method, path) in [("GET", &members), ("GET", &member), ("POST", &member)] {
        assert_eq!(status(&mut c, method, path, "{}"), 404);
    }
    ok(&mut c, "POST", network, "{}");
    assert_eq!(ok(&mut c, "GET", &members, ""), json!({}));
    assert_eq!(status(&mut c, "GET", &member, ""), 404);
    assert_eq!(status(&mut c, "DELETE", &member, ""), 404);
    let record = ok(&mut c, "POST", &member, r#"{"authorized":true}"#);
    assert_eq!(record["id"], "5cd0ba70f5");
    assert_eq!(record["lastAuthorizedTime"], NOW);
    assert_eq!(record["revision"], 1);
    assert!(record.get("identity").is_none());
    assert_eq!(ok(&mut c, "GET", &members, ""), json!({ "5cd0ba70f5": 1 }));
    assert_eq!(ok(&mut c, "GET", &member, ""), record);

    let unstable = ok(&mut c, "GET", "/unstable/controller/network", "");
    assert_eq!(unstable["meta"], json!({ "networkCount": 1 }));
    assert_eq!(
        unstable["data"][0]["meta"],
        json!({ "authorizedMemberCount": 1, "totalMemberCount": 1 })
    );
    let unstable = ok(&mut c, "GET", &format!("/unstable{members}"), "");
    assert_eq!(unstable["data"], json!([record]));
    assert_eq!(
        unstable["meta"],
        json!({ "authorizedCount": 1, "totalCount": 1 })
    );

    assert_eq!(ok(&mut c, "DELETE", &member, ""), record);
    assert_eq!(status(&mut c, "GET", &member, ""), 404);
}

#[test]
fn other_paths_are_not_found() {
    let mut c = controller();
    ok(&mut c, "POST", "/controller/network/1111111111111111", "{}");
    for (method, path) in [
        ("POST", "/controller"),
        ("DELETE", "/controller/network"),
        ("PATCH", "/controller/network"),
        ("GET", "/controller/other"),
        ("GET", "/controller/network/111111111111111"),
        ("GET", "/controller/network/11111111111111111"),
        ("GET", "/controller/network/+111111111111111"),
        ("POST", "/controller/network/zzzzzzzzzz______"),
        ("POST", "/controller/network/äöüäö______"),
        ("GET", "/controller/network/1111111111111111/other"),
        ("POST", "/controller/network/1111111111111111/member"),
        (
            "GET",
            "/controller/network/1111111111111111/member/5cd0ba70f",
        ),
        (
            "GET",
            "/controller/network/1111111111111111/member/5cd0ba70f5/x",
        ),
        ("GET", "/unstable/controller"),
        ("POST", "/unstable/controller/network"),
        (
            "GET",
            "/unstable/controller/network/2222222222222222/member",
        ),
        ("GET", "/status"),
        ("GET", ""),
    ] {
        assert_eq!(status(&mut c, method, path, "{}"), 404, "{method} {path}");
    }
    assert_eq!(
        status(&mut c, "POST", "/controller/network/0000000001______", "{}"),
        400
    );
}

#[test]
fn bodies_that_are_no_json_are_errors() {
    let mut c = controller();
    let network = "/controller/network/1111111111111111";
    ok(&mut c, "POST", network, "\u{feff}{}");
    let member = format!("{network}/member/5cd0ba70f5");
    for path in ["/controller/network", network, &member] {
        for body in ["", "{bad", "{\"a\":", "{} x", "\u{1}"] {
            let reply = call(&mut c, "POST", path, body);
            assert_eq!(reply.status, 500);
            let text = String::from_utf8(reply.body).unwrap();
            assert!(
                text.starts_with(r#"{"error": 500, "description": ""#),
                "{text}"
            );
            let value: Value = serde_json::from_str(&text).unwrap();
            assert!(value["description"].is_string());
        }
    }
    let reply = c.handle_api(
        "POST",
        &["controller", "network"],
        b"{\"name\":\"\xff\"}",
        NOW,
    );
    assert_eq!(reply.status, 500);
}

/// Any JSON, with the words that mean something more often than chance has them.
fn random_json(random: &mut StdRng, depth: u32) -> Value {
    const WORDS: [&str; 44] = [
        "name",
        "private",
        "enableBroadcast",
        "multicastLimit",
        "mtu",
        "v4AssignMode",
        "v6AssignMode",
        "routes",
        "ipAssignmentPools",
        "rules",
        "capabilities",
        "tags",
        "authTokens",
        "dns",
        "remoteTraceTarget",
        "remoteTraceLevel",
        "authorized",
        "activeBridge",
        "noAutoAssignIps",
        "ipAssignments",
        "target",
        "via",
        "ipRangeStart",
        "ipRangeEnd",
        "id",
        "default",
        "type",
        "zt",
        "6plane",
        "domain",
        "servers",
        "ip",
        "MATCH_IPV4_SOURCE",
        "INTEGER_RANGE",
        "MATCH_ICMP",
        "ACTION_TEE",
        "address",
        "10.0.0.1/8",
        "fd00::1/64",
        "10.0.0.255",
        "fd00::",
        "5cd0ba70f5",
        "bits",
        "ä/\u{0}",
    ];
    let kind = random.random_range(0..if depth == 0 { 5 } else { 9 });
    let word = |random: &mut StdRng| WORDS[random.random_range(0..WORDS.len())];
    match kind {
        0 => Value::Null,
        1 => random.random::<bool>().into(),
        2 => random.random_range(-5..300).into(),
        3 => match random.random_range(0..3) {
            0 => json!(random.next_u64()),
            1 => json!(-1e300),
            _ => json!(i64::MIN),
        },
        4 => word(random).into(),
        5 | 6 => (0..random.random_range(0..5))
            .map(|_| random_json(random, depth - 1))
            .collect(),
        _ => (0..random.random_range(0..9))
            .map(|_| (word(random).to_owned(), random_json(random, depth - 1)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

#[test]
fn any_json_is_taken_without_error() {
    let mut c = controller();
    let mut random = StdRng::seed_from_u64(3);
    let own = c.identity.address().to_string();
    let network = format!("/controller/network/{own}000001");
    let member = format!("{network}/member/5cd0ba70f5");
    for _ in 0..5000 {
        let body = random_json(&mut random, 4).to_string();
        let network = ok(&mut c, "POST", &network, &body);
        assert_eq!(network.as_object().unwrap().len(), 25, "{body}");
        let member = ok(&mut c, "POST", &member, &body);
        assert!(member["tags"].is_array(), "{body}");
        let request = protocol::controller::Request {
            network: NetworkId(u64::from_str_radix(&format!("{own}000001"), 16).unwrap()),
            member: protocol::Identity::from_parts(Address::from_u64(0x5c_d0ba_70f5), [1; 64]),
            packet: protocol::PacketId(1),
            metadata: body.into_bytes(),
            have_revision: 0,
            have_timestamp: 0,
            from: None,
        };
        c.handle_request(NOW, request);
        while c.poll().is_some() {}
        c.handle_api("GET", &["controller"], b"", NOW + 1000);
    }
}
