//! Settings as operators write them, right and wrong.

use std::time::Duration;

use bond::config::{
    BalancePolicy, HashPolicy, IpPreference, LinkMode, LinkSelectMethod, MonitorStrategy, Speed,
};
use bond::{BasePolicy, BondSettings, ConfigProblem, Severity};
use protocol::Address;
use serde_json::{Value, json};

fn good(settings: Value) -> BondSettings {
    let (parsed, problems) = BondSettings::parse(&settings);
    assert!(problems.is_empty(), "{problems:?}");
    parsed
}

/// The only error.
fn bad(settings: Value) -> ConfigProblem {
    let (_, problems) = BondSettings::parse(&settings);
    let errors: Vec<_> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    assert_eq!(errors.len(), 1, "{settings}: {problems:?}");
    errors[0].clone()
}

#[test]
fn nothing_said_is_no_bonding() {
    for settings in [json!({}), Value::Null, json!({"primaryPort": 9993})] {
        assert!(!good(settings).is_in_use());
    }
}

#[test]
fn every_key_is_read() {
    let settings = good(json!({
        "defaultBondingPolicy": "office",
        "policies": {"office": {
            "basePolicy": "active-backup",
            "failoverInterval": 500, "upDelay": 40000, "downDelay": 100,
            "pathMonitorStrategy": "active", "packetsPerLink": 0,
            "linkSelectMethod": "better", "balancePolicy": "flow-static",
            "rebalanceStrategy": "aggressive", "xmitHashPolicy": "layer2+3",
            "dedup": false,
            "linkQuality": {"lat_max": 200, "pdv_max": 50, "plr_max": 0.02, "per_max": 0.01,
                "lat_weight": 0.25, "pdv_weight": 0.25, "plr_weight": 0.25, "per_weight": 0.25},
            "links": {
                "wan1": {"mode": "primary", "failoverTo": "ppp?", "speed": {"up": "10Mbit", "down": "50Mbit"},
                    "alloc": 0.7, "mtu": 1400, "enabled": true},
                "ppp?": {"mode": "spare", "ipvPref": 64, "capacity": "5Mbit", "alloc": 0.3, "failoverInterval": 2000,
                    "upDelay": 1, "downDelay": 2, "cost": 3}
            }
        }}
    }));
    let policy = &settings.default_policy;
    assert_eq!(
        (policy.name.as_str(), policy.base),
        ("office", BasePolicy::ActiveBackup)
    );
    assert_eq!(policy.failover_interval, Duration::from_millis(500));
    assert_eq!(policy.up_delay, Duration::from_secs(40));
    assert_eq!(policy.monitor, MonitorStrategy::Active);
    assert_eq!(policy.packets_per_link, 0);
    assert_eq!(policy.link_select, LinkSelectMethod::Better);
    assert_eq!(policy.balance, BalancePolicy::FlowStatic);
    assert_eq!(policy.hash, HashPolicy::Layer2And3);
    assert!(!policy.deduplicate);
    assert_eq!(policy.limits.loss, Some(0.02));
    assert!((policy.quality.errors - 0.25).abs() < 1e-9 && policy.quality.availability == 0.0);
    let wan = policy
        .links
        .iter()
        .find(|link| link.name == "wan1")
        .expect("it is there");
    assert_eq!(wan.speed_up, Some(Speed::BitsPerSecond(10_000_000)));
    assert_eq!(wan.speed_down, Some(Speed::BitsPerSecond(50_000_000)));
    assert_eq!(
        (wan.mode, wan.mtu, wan.allocation),
        (LinkMode::Primary, Some(1400), Some(0.7))
    );
    let ppp = policy
        .links
        .iter()
        .find(|link| link.name == "ppp?")
        .expect("it is there");
    assert_eq!((ppp.ip_preference, ppp.cost), (IpPreference::V6First, 3));
    assert_eq!(ppp.failover_interval, Some(Duration::from_secs(2)));
}

#[test]
fn both_spellings_mean_the_same_and_may_not_meet() {
    let policy =
        |keys: Value| json!({"active-backup": keys, "defaultBondingPolicy": "active-backup"});
    for (one, other, value) in [
        ("monitorStrategy", "pathMonitorStrategy", json!("passive")),
        ("linkSelectMethod", "activeReselect", json!("failure")),
    ] {
        assert_eq!(
            good(policy(json!({one: value}))),
            good(policy(json!({other: value})))
        );
        let problem = bad(policy(json!({one: value, other: value})));
        assert_eq!(problem.path, format!("settings.active-backup.{other}"));
    }
    let link = |keys: Value| policy(json!({"links": {"a": keys}}));
    assert_eq!(
        good(link(json!({"speed": 50}))),
        good(link(json!({"capacity": 50})))
    );
    bad(link(json!({"speed": 50, "capacity": 50})));
    // Parameters of a standard policy may stand in both places, but in one of them.
    let nested = json!({"policies": {"active-backup": {"upDelay": 7}}, "defaultBondingPolicy": "active-backup"});
    assert_eq!(good(nested), good(policy(json!({"upDelay": 7}))));
    bad(json!({"policies": {"active-backup": {}}, "active-backup": {}}));
}

#[test]
fn method_of_selection_depends_on_guidance() {
    let method =
        |keys: Value| good(json!({"active-backup": keys})).policies["active-backup"].link_select;
    assert_eq!(method(json!({})), LinkSelectMethod::Optimize);
    assert_eq!(
        method(json!({"links": ["a", "b"]})),
        LinkSelectMethod::Always
    );
    assert_eq!(
        method(json!({"links": ["a"], "activeReselect": "failure"})),
        LinkSelectMethod::Failure
    );
}

/// Finding 8: peers may have standard policies, their own, none, and parameters of their own.
#[test]
fn finding_8_peer_specific_bonds() {
    let settings = good(json!({
        "defaultBondingPolicy": "balance-xor",
        "policies": {"mine": {"basePolicy": "balance-rr", "packetsPerLink": 3}},
        "peerSpecificBonds": {
            "16a03a3d03": "active-backup",
            "16a03a3d04": "mine",
            "16a03a3d05": "none",
            "16a03a3d06": {"policy": "mine", "failoverInterval": 300}
        }
    }));
    let policy = |digit: u64| {
        settings
            .policy_for(Address::from_u64(0x16_a03a_3d00 | digit))
            .map(|policy| {
                (
                    policy.base,
                    policy.packets_per_link,
                    policy.failover_interval.as_millis(),
                )
            })
    };
    assert_eq!(policy(3), Some((BasePolicy::ActiveBackup, 8, 1000)));
    assert_eq!(policy(4), Some((BasePolicy::BalanceRr, 3, 1000)));
    assert_eq!(policy(5), None);
    assert_eq!(policy(6), Some((BasePolicy::BalanceRr, 3, 300)));
    assert_eq!(policy(7), Some((BasePolicy::BalanceXor, 8, 1000)));
}

/// Finding 7: nothing that an operator can write does harm, and each mistake has its place and reason.
#[test]
fn finding_7_every_wrong_value_has_one_error_at_its_place() {
    let policy = |keys: Value| json!({"policies": {"p": keys}});
    let with = |key: &str, value: Value| policy(json!({"basePolicy": "balance-rr", key: value}));
    let link = |key: &str, value: Value| with("links", json!({"a": {key: value}, "b": {}}));
    let at = |key: &str| format!("settings.policies.p.{key}");
    for (settings, path) in [
        (json!([]), "settings".to_owned()),
        (
            json!({"multipathMode": 1}),
            "settings.multipathMode".to_owned(),
        ),
        (
            json!({"defaultBondingPolicy": "foo"}),
            "settings.defaultBondingPolicy".to_owned(),
        ),
        (
            json!({"defaultBondingPolicy": 7}),
            "settings.defaultBondingPolicy".to_owned(),
        ),
        (json!({"policies": []}), "settings.policies".to_owned()),
        (
            json!({"policies": {"p": "x"}}),
            "settings.policies.p".to_owned(),
        ),
        (policy(json!({})), at("basePolicy")),
        (policy(json!({"basePolicy": "x"})), at("basePolicy")),
        (policy(json!({"basePolicy": 5})), at("basePolicy")),
        (
            json!({"policies": {"balance-rr": {"basePolicy": "broadcast"}}}),
            "settings.policies.balance-rr.basePolicy".to_owned(),
        ),
        (
            json!({"peerSpecificBonds": {"zzz": "none"}}),
            "settings.peerSpecificBonds.zzz".to_owned(),
        ),
        (
            json!({"peerSpecificBonds": {"16a03a3d03": 5}}),
            "settings.peerSpecificBonds.16a03a3d03".to_owned(),
        ),
        (
            json!({"peerSpecificBonds": {"16a03a3d03": "foo"}}),
            "settings.peerSpecificBonds.16a03a3d03".to_owned(),
        ),
        (
            json!({"peerSpecificBonds": {"16a03a3d03": {}}}),
            "settings.peerSpecificBonds.16a03a3d03.policy".to_owned(),
        ),
        (
            json!({"peerSpecificBonds": []}),
            "settings.peerSpecificBonds".to_owned(),
        ),
        (with("failoverInterval", json!(-5)), at("failoverInterval")),
        (with("failoverInterval", json!(49)), at("failoverInterval")),
        (
            with("failoverInterval", json!(65536)),
            at("failoverInterval"),
        ),
        (
            with("failoverInterval", json!("500")),
            at("failoverInterval"),
        ),
        (
            with("failoverInterval", json!(500.5)),
            at("failoverInterval"),
        ),
        (with("upDelay", json!(-7)), at("upDelay")),
        (with("downDelay", json!(600_001)), at("downDelay")),
        (with("packetsPerLink", json!(-3)), at("packetsPerLink")),
        (
            with("monitorStrategy", json!("lazy")),
            at("monitorStrategy"),
        ),
        (
            with("linkSelectMethod", json!("sometimes")),
            at("linkSelectMethod"),
        ),
        (with("balancePolicy", json!("flows")), at("balancePolicy")),
        (with("allowFlowHashing", json!(0)), at("allowFlowHashing")),
        (
            with("rebalanceStrategy", json!(null)),
            at("rebalanceStrategy"),
        ),
        (
            with("xmitHashPolicy", json!("layer4")),
            at("xmitHashPolicy"),
        ),
        (with("dedup", json!("yes")), at("dedup")),
        (with("reorderMs", json!(501)), at("reorderMs")),
        (with("quality", json!(5)), at("quality")),
        (
            with("quality", json!({"lat": 0.5, "plr": 0.6})),
            at("quality.lat"),
        ),
        (with("quality", json!({"lat": 2})), at("quality.lat")),
        (
            with("linkQuality", json!({"lat_max": 0})),
            at("linkQuality.lat_max"),
        ),
        (
            with("linkQuality", json!({"plr_max": 2})),
            at("linkQuality.plr_max"),
        ),
        (
            with("linkQuality", json!({"lat_weight": 0.5, "pdv_weight": 1.0})),
            at("linkQuality.lat_weight"),
        ),
        (with("links", json!("eth0")), at("links")),
        (with("links", json!([1])), at("links[0]")),
        (with("links", json!(["a", "a"])), at("links[1]")),
        (with("links", json!({"a": 5})), at("links.a")),
        (link("mode", json!("backup")), at("links.a.mode")),
        (link("failoverTo", json!("c")), at("links.a.failoverTo")),
        (link("failoverTo", json!("a")), at("links.a.failoverTo")),
        (link("failoverTo", json!(1)), at("links.a.failoverTo")),
        (link("enabled", json!(1)), at("links.a.enabled")),
        (link("ipvPref", json!(5)), at("links.a.ipvPref")),
        (link("ipvPref", json!(260)), at("links.a.ipvPref")),
        (link("speed", json!("fast")), at("links.a.speed")),
        (link("speed", json!(-1)), at("links.a.speed")),
        (link("speed", json!({"left": 1})), at("links.a.speed.left")),
        (link("alloc", json!(0.5)), at("links")),
        (link("alloc", json!(256)), at("links.a.alloc")),
        (link("alloc", json!("half")), at("links.a.alloc")),
        (link("mtu", json!(100)), at("links.a.mtu")),
        (link("cost", json!(-1)), at("links.a.cost")),
        (
            with("links", json!({"a": {"alloc": 0.5}, "b": {"alloc": 20}})),
            at("links"),
        ),
    ] {
        let problem = bad(settings);
        assert_eq!(problem.path, path, "{problem}");
        assert!(!problem.reason.is_empty());
    }
    // A circle is reported at each of its links.
    let circle = with(
        "links",
        json!({"a": {"failoverTo": "b"}, "b": {"failoverTo": "a"}}),
    );
    let (_, problems) = BondSettings::parse(&circle);
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn doubtful_values_are_warned_of() {
    let policy = |keys: Value| json!({"balance-rr": keys});
    for (settings, path) in [
        (
            policy(json!({"failoverInterval": 100})),
            "settings.balance-rr.failoverInterval",
        ),
        (
            policy(json!({"failoverIntervall": 100})),
            "settings.balance-rr.failoverIntervall",
        ),
        (
            policy(json!({"links": {"a": {"colour": 1}}})),
            "settings.balance-rr.links.a.colour",
        ),
        (
            policy(json!({"links": {"a": {"speed": 5}, "b": {"speed": "5Mbit"}}})),
            "settings.balance-rr.links",
        ),
        (
            policy(json!({"allowPathNegotiation": true})),
            "settings.balance-rr.allowPathNegotiation",
        ),
    ] {
        let (_, problems) = BondSettings::parse(&settings);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].severity, Severity::Warning);
        assert_eq!(problems[0].path, path);
    }
}

#[test]
fn shares_come_as_fractions_or_as_numbers() {
    let shares = |a: Value, b: Value| {
        let settings = json!({"balance-aware": {"links": {"a": {"alloc": a}, "b": {"alloc": b}}}});
        let policy = &good(settings).policies["balance-aware"];
        policy
            .links
            .iter()
            .map(|link| link.allocation)
            .collect::<Vec<_>>()
    };
    assert_eq!(shares(json!(0.25), json!(0.75)), [Some(0.25), Some(0.75)]);
    assert_eq!(shares(json!(33), json!(66)), [Some(33.0), Some(66.0)]);
    assert_eq!(shares(json!(1), json!(1)), [Some(1.0), Some(1.0)]);
}

/// Any value of any type at any key: no panic, and never a policy out of its ranges.
#[test]
fn any_value_anywhere_is_survived() {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(18_446_744_073_709_551_615_u64),
        json!(""),
        json!("none"),
        json!("*"),
        json!("5Mbit"),
        json!([]),
        json!([[]]),
        json!(["a"]),
        json!({}),
        json!({"a": {}}),
        json!({"": {}}),
        json!({"a": {"failoverTo": "a"}}),
        json!({"up": {}}),
    ];
    let policy_keys = [
        "basePolicy",
        "failoverInterval",
        "upDelay",
        "downDelay",
        "monitorStrategy",
        "packetsPerLink",
        "linkSelectMethod",
        "balancePolicy",
        "allowFlowHashing",
        "rebalanceStrategy",
        "xmitHashPolicy",
        "dedup",
        "quality",
        "linkQuality",
        "links",
        "reorderMs",
        "policy",
    ];
    let link_keys = [
        "mode",
        "failoverTo",
        "enabled",
        "ipvPref",
        "speed",
        "alloc",
        "mtu",
        "failoverInterval",
        "upDelay",
        "cost",
    ];
    let mut tried = 0;
    let mut parse = |settings: Value| {
        tried += 1;
        let (parsed, _) = BondSettings::parse(&settings);
        for policy in parsed.policies.values().chain(parsed.peers.values()) {
            assert!((50..=65_535).contains(&policy.failover_interval.as_millis()));
        }
    };
    for value in &values {
        for key in [
            "defaultBondingPolicy",
            "policies",
            "peerSpecificBonds",
            "balance-rr",
            "none",
        ] {
            parse(json!({key: value}));
        }
        parse(json!({"peerSpecificBonds": {"16a03a3d03": value}}));
        for key in policy_keys {
            parse(json!({"policies": {"p": {"basePolicy": "broadcast", key: value}}}));
            parse(json!({"balance-aware": {key: value}}));
        }
        for key in link_keys {
            parse(json!({"balance-aware": {"links": {"a": {key: value}}}}));
        }
    }
    assert!(tried > 700, "{tried}");
}
