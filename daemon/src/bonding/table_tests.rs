//! The table of keys (multipath specification A.3), as an operator meets it: each key at its bounds is in force without a
//! word, each kind of wrong value is refused with its place and reason, and changes nothing.

use serde_json::{Value, json};

use super::{Bonding, Loaded};

/// What loading says, line by line; with an error nothing may have changed.
fn said(settings: &Value) -> Vec<String> {
    let mut bonding = Bonding::default();
    let good = json!({"defaultBondingPolicy": "balance-xor"});
    assert_eq!(bonding.load(&good), Loaded::Changed);
    let before = std::sync::Arc::clone(bonding.settings());
    let loaded = bonding.load(settings);
    let lines: Vec<String> = bonding.problems().iter().map(ToString::to_string).collect();
    let is_error = lines.iter().any(|line| line.starts_with("error: "));
    assert_eq!(is_error, loaded == Loaded::Refused, "{settings}: {lines:?}");
    if is_error {
        assert_eq!(bonding.settings(), &before, "{settings}");
    }
    lines
}

fn policy(key: &str, value: Value) -> Value {
    let mut settings =
        json!({"defaultBondingPolicy": "p", "policies": {"p": {"basePolicy": "active-backup"}}});
    settings["policies"]["p"][key] = value;
    settings
}

fn link(key: &str, value: Value) -> Value {
    let mut links = json!({"wan1": {}, "wan2": {}});
    links["wan1"][key] = value;
    policy("links", links)
}

#[test]
fn values_at_their_bounds_are_taken_without_a_word() {
    let in_policy = [
        ("failoverInterval", json!(250)),
        ("failoverInterval", json!(65535)),
        ("upDelay", json!(0)),
        ("upDelay", json!(600_000)),
        ("downDelay", json!(0)),
        ("downDelay", json!(600_000)),
        ("monitorStrategy", json!("active")),
        ("pathMonitorStrategy", json!("passive")),
        ("monitorStrategy", json!("dynamic")),
        ("packetsPerLink", json!(0)),
        ("packetsPerLink", json!(65535)),
        ("linkSelectMethod", json!("optimize")),
        ("activeReselect", json!("always")),
        ("linkSelectMethod", json!("better")),
        ("linkSelectMethod", json!("failure")),
        ("balancePolicy", json!("flow-dynamic")),
        ("balancePolicy", json!("flow-static")),
        ("balancePolicy", json!("packet")),
        ("balancePolicy", json!("auto")),
        ("allowFlowHashing", json!(true)),
        ("allowFlowHashing", json!(false)),
        ("rebalanceStrategy", json!("passive")),
        ("rebalanceStrategy", json!("opportunistic")),
        ("rebalanceStrategy", json!("aggressive")),
        ("dedup", json!(false)),
        ("quality", json!({"lat": 1.0})),
        (
            "quality",
            json!({"lat": 0.2, "ltm": 0.1, "pdv": 0.2, "plr": 0.3, "per": 0.1, "avl": 0.1}),
        ),
        ("quality", json!({"lat": 0.5, "plr": 0.49})),
        (
            "linkQuality",
            json!({"lat_max": 500, "pdv_max": 100, "plr_max": 0.001, "per_max": 0.0001,
            "lat_weight": 0.25, "pdv_weight": 0.25, "plr_weight": 0.25, "per_weight": 0.25}),
        ),
        ("linkQuality", json!({"plr_max": 1.0})),
        ("links", json!({})),
        (
            "links",
            json!(["wan1", "eth*", "ppp?", "eth0.17", "02:00:00:00:00:07"]),
        ),
    ];
    let in_link = [
        ("mode", json!("primary")),
        ("mode", json!("secondary")),
        ("mode", json!("spare")),
        ("mode", json!("never")),
        ("failoverTo", json!("wan2")),
        ("enabled", json!(false)),
        ("ipvPref", json!(0)),
        ("ipvPref", json!(4)),
        ("ipvPref", json!(6)),
        ("ipvPref", json!(46)),
        ("ipvPref", json!(64)),
        ("speed", json!(0)),
        ("speed", json!(1_000_000)),
        ("capacity", json!(u32::MAX)),
        ("speed", json!("50Mbit")),
        ("speed", json!({"up": "10Mbit", "down": "100Mbit"})),
        ("alloc", json!(255)),
        ("alloc", json!(1.0)),
        ("mtu", json!(0)),
        ("mtu", json!(576)),
        ("mtu", json!(65507)),
        ("failoverInterval", json!(50)),
        ("failoverInterval", json!(65535)),
        ("upDelay", json!(600_000)),
        ("downDelay", json!(600_000)),
        ("cost", json!(1)),
        ("cost", json!(u32::MAX)),
        ("dataCap", json!(0)),
        ("dataCap", json!(u64::MAX)),
        ("dataCap", json!("1B")),
        ("maxRate", json!(0)),
        ("maxRate", json!(u64::MAX)),
        ("maxRate", json!("1000Tbit")),
    ];
    let whole = [
        json!({}),
        json!({"defaultBondingPolicy": "none"}),
        json!({"defaultBondingPolicy": "balance-aware"}),
        json!({"balance-rr": {"packetsPerLink": 8}, "defaultBondingPolicy": "balance-rr"}),
        json!({"policies": {"balance-rr": {"packetsPerLink": 8}}}),
        json!({"policies": {"balance-rr": {"basePolicy": "balance-rr"}}}),
        json!({"peerSpecificBonds": {"a92cb526fa": "active-backup", "16a03a3d03": "none"}}),
        json!({"peerSpecificBonds": {"a92cb526fa": {"policy": "broadcast", "upDelay": 5}}}),
        json!({"policies": {"p": {"basePolicy": "balance-aware",
            "links": {"a": {"alloc": 0.5}, "b": {"alloc": 0.5}}}}}),
        json!({"policies": {"p": {"basePolicy": "balance-aware", "links": {"a": {"alloc": 1}, "b": {"alloc": 2}}}}}),
    ];
    let all = in_policy
        .map(|(key, value)| policy(key, value))
        .into_iter()
        .chain(in_link.map(|(key, value)| link(key, value)))
        .chain(whole);
    for settings in all {
        assert_eq!(said(&settings), [""; 0], "{settings}");
    }
}

#[test]
fn wrong_values_are_refused_with_place_and_reason() {
    const P: &str = "settings.policies.p";
    let integer = |bounds: &str, is: &str| format!("must be an integer from {bounds}, is {is}");
    let interval = |is: &str| integer("50 to 65535", is);
    let delay = |is: &str| integer("0 to 600000", is);
    let choice = |names: &str| format!("must be one of {names}, is \"x\"");
    for (key, value, reason) in [
        ("failoverInterval", json!(49), interval("49")),
        ("failoverInterval", json!(65536), interval("65536")),
        ("failoverInterval", json!(-5), interval("-5")),
        ("failoverInterval", json!("500"), interval("a string")),
        ("failoverInterval", json!(0.5), interval("0.5")),
        ("upDelay", json!(-7), delay("-7")),
        ("upDelay", json!(600_001), delay("600001")),
        ("downDelay", json!(null), delay("null")),
        ("downDelay", json!(600_001), delay("600001")),
        ("packetsPerLink", json!(-3), integer("0 to 65535", "-3")),
        (
            "packetsPerLink",
            json!(65536),
            integer("0 to 65535", "65536"),
        ),
        (
            "monitorStrategy",
            json!("x"),
            choice("active, dynamic, passive"),
        ),
        (
            "pathMonitorStrategy",
            json!(1),
            "must be a string, is a number".to_owned(),
        ),
        (
            "linkSelectMethod",
            json!("x"),
            choice("always, better, failure, optimize"),
        ),
        (
            "activeReselect",
            json!("x"),
            choice("always, better, failure, optimize"),
        ),
        (
            "balancePolicy",
            json!("x"),
            choice("flow-dynamic, flow-static, packet, auto"),
        ),
        (
            "rebalanceStrategy",
            json!("x"),
            choice("passive, opportunistic, aggressive"),
        ),
        (
            "allowFlowHashing",
            json!("no"),
            "must be true or false, is a string".to_owned(),
        ),
        (
            "dedup",
            json!(1),
            "must be true or false, is a number".to_owned(),
        ),
        (
            "quality",
            json!(0.5),
            "must be an object, is a number".to_owned(),
        ),
        (
            "linkQuality",
            json!([]),
            "must be an object, is an array".to_owned(),
        ),
        (
            "links",
            json!("wan1"),
            "must be an object of links or an array of names, is a string".to_owned(),
        ),
        (
            "basePolicy",
            json!("foo"),
            "\"foo\" is no standard policy".to_owned(),
        ),
        (
            "basePolicy",
            json!(5),
            "must be the name of a policy".to_owned(),
        ),
    ] {
        let line = format!("error: {P}.{key}: {reason}");
        let lines = said(&policy(key, value));
        assert_eq!(lines.first(), Some(&line), "{lines:?}");
    }
    for (key, value, reason) in [
        (
            "mode",
            json!("x"),
            choice("primary, secondary, spare, never"),
        ),
        (
            "failoverTo",
            json!("wan9"),
            "wan9 is not among the links".to_owned(),
        ),
        (
            "failoverTo",
            json!(2),
            "must be a string, is a number".to_owned(),
        ),
        (
            "enabled",
            json!(0),
            "must be true or false, is a number".to_owned(),
        ),
        ("ipvPref", json!(5), "must be 0, 4, 6, 46 or 64".to_owned()),
        (
            "ipvPref",
            json!("4"),
            "must be 0, 4, 6, 46 or 64".to_owned(),
        ),
        ("speed", json!(-1), integer("0 to 4294967295", "-1")),
        (
            "capacity",
            json!("fast"),
            "must be a number or a speed such as \"50Mbit\", is \"fast\"".to_owned(),
        ),
        (
            "alloc",
            json!(256),
            "must be a fraction from 0.0 to 1.0 or an integer from 0 to 255".to_owned(),
        ),
        ("mtu", json!(575), integer("576 to 65507", "575")),
        ("mtu", json!(65508), integer("576 to 65507", "65508")),
        ("failoverInterval", json!(49), interval("49")),
        ("upDelay", json!(600_001), delay("600001")),
        ("downDelay", json!(-1), delay("-1")),
    ] {
        let line = format!("error: {P}.links.wan1.{key}: {reason}");
        assert_eq!(said(&link(key, value)), [line]);
    }
}

#[test]
fn wrong_structures_are_refused_with_place_and_reason() {
    for (settings, line) in [
        (json!([]), "settings: must be an object, is an array"),
        (
            json!({"multipathMode": 1}),
            "settings.multipathMode: is a key of the past: name a policy in defaultBondingPolicy",
        ),
        (
            json!({"defaultBondingPolicy": "foo"}),
            "settings.defaultBondingPolicy: there is no policy \"foo\"",
        ),
        (
            json!({"defaultBondingPolicy": 7}),
            "settings.defaultBondingPolicy: must be the name of a policy, is a number",
        ),
        (
            json!({"policies": []}),
            "settings.policies: must be an object of policies, is an array",
        ),
        (
            json!({"policies": {"p": "x"}}),
            "settings.policies.p: must be an object, is a string",
        ),
        (
            json!({"policies": {"p": {}}}),
            "settings.policies.p.basePolicy: is missing: a policy of its own name needs one",
        ),
        (
            json!({"policies": {"balance-rr": {"basePolicy": "broadcast"}}}),
            "settings.policies.balance-rr.basePolicy: balance-rr cannot be based on broadcast",
        ),
        (
            json!({"policies": {"balance-rr": {}}, "balance-rr": {}}),
            "settings.balance-rr: means the same as policies.balance-rr, which is there too",
        ),
        (
            json!({"peerSpecificBonds": []}),
            "settings.peerSpecificBonds: must be an object of peers, is an array",
        ),
        (
            json!({"peerSpecificBonds": {"zzz": "none"}}),
            "settings.peerSpecificBonds.zzz: a peer is named by its address of 10 hexadecimal digits",
        ),
        (
            json!({"peerSpecificBonds": {"a92cb526fa": 5}}),
            "settings.peerSpecificBonds.a92cb526fa: must be the name of a policy, is a number",
        ),
        (
            json!({"peerSpecificBonds": {"a92cb526fa": "foo"}}),
            "settings.peerSpecificBonds.a92cb526fa: there is no policy \"foo\"",
        ),
        (
            policy("quality", json!({"lat": 1.5})),
            "settings.policies.p.quality.lat: must be from 0 to 1, is 1.5",
        ),
        (
            policy("quality", json!({"lat": 0.5, "plr": 0.4})),
            "settings.policies.p.quality.lat: and the other weights make 0.900, not 1",
        ),
        (
            policy("linkQuality", json!({"lat_max": 0})),
            "settings.policies.p.linkQuality.lat_max: must be more than 0",
        ),
        (
            policy("linkQuality", json!({"plr_max": 2.0})),
            "settings.policies.p.linkQuality.plr_max: is a ratio: at most 1, is 2",
        ),
        (
            policy("links", json!(["wan1", 5])),
            "settings.policies.p.links[1]: must be the name of a link, is a number",
        ),
        (
            policy("links", json!({"a": {"alloc": 0.5}, "b": {"alloc": 0.4}})),
            "settings.policies.p.links: the fractions (alloc) of all links make 0.900, not 1",
        ),
        (
            policy("links", json!({"a": {"alloc": 0.5}, "b": {"alloc": 7}})),
            "settings.policies.p.links: alloc mixes fractions with relative numbers",
        ),
    ] {
        let lines = said(&settings);
        assert_eq!(lines, [format!("error: {line}")], "{settings}");
    }
    // A circle is found, from whichever of its links.
    let circle = policy(
        "links",
        json!({"a": {"failoverTo": "b"}, "b": {"failoverTo": "a"}}),
    );
    let lines = said(&circle);
    assert!(
        lines[0].starts_with("error: settings.policies.p.links.a.failoverTo: "),
        "{lines:?}"
    );
}

#[test]
fn what_there_is_not_is_refused_and_not_passed_over() {
    for (settings, line) in [
        (policy("fec", json!(true)), "fec: is not supported"),
        (
            policy("duplicate", json!("small")),
            "duplicate: is not supported",
        ),
        (
            link("duplicate", json!(2)),
            "links.wan1.duplicate: is not supported",
        ),
        (
            link("dataCap", json!("10G")),
            "links.wan1.dataCap: must be bytes, or a size such as \"10GB\", is \"10G\"",
        ),
        (
            link("maxRate", json!(-5)),
            "links.wan1.maxRate: must be a rate such as \"50Mbit\", is -5",
        ),
    ] {
        assert_eq!(
            said(&settings),
            [format!("error: settings.policies.p.{line}")]
        );
    }
    for settings in [
        policy("fec", json!(false)),
        link("dataCap", json!("10GB")),
        link("dataCap", json!(1000)),
        link("maxRate", json!("50Mbit")),
        link("maxRate", json!(0)),
    ] {
        assert_eq!(said(&settings), [] as [&str; 0], "{settings}");
    }
}

#[test]
fn doubtful_values_are_taken_with_a_warning() {
    for (settings, line) in [
        (
            policy("failoverInterval", json!(249)),
            "settings.policies.p.failoverInterval: is below 250 ms: a moment of congestion may pass for a failure",
        ),
        (
            policy("reorderMs", json!(500)),
            "settings.policies.p.reorderMs: has no effect yet: nothing restores the order of packets",
        ),
        (
            policy("speeed", json!(1)),
            "settings.policies.p.speeed: is no key that is known here, and has no effect",
        ),
        (
            policy("allowPathNegotiation", json!(true)),
            "settings.policies.p.allowPathNegotiation: has no effect: links are as each end's settings say",
        ),
    ] {
        assert_eq!(said(&settings), [format!("warning: {line}")], "{settings}");
    }
}
