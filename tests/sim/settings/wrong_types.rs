//! Every key with values of every type: what does not fit is refused at its place, and then what was in force stays in force.

use bond::{BondSettings, Severity};
use serde_json::{Value, json};

/// Values of every type of JSON, and extremes of each.
fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("null", json!(null)),
        ("boolean", json!(true)),
        ("boolean", json!(false)),
        ("integer", json!(0)),
        ("integer", json!(1)),
        ("integer", json!(1000)),
        ("negative", json!(-1)),
        ("negative", json!(i64::MIN)),
        ("huge", json!(u64::MAX)),
        ("huge", json!(1e300)),
        ("fraction", json!(0.3)),
        ("string", json!("")),
        ("string", json!("no such word")),
        ("string", json!("\u{0}\u{202e}\u{1f980}")),
        ("string", json!("x".repeat(100_000))),
        ("array", json!([])),
        ("array", json!([null, 1, "a", {}, []])),
        ("object", json!({})),
        ("object", json!({"a": {"b": {"c": [1]}}})),
    ]
}

/// A key's place, what to put its value into, and the types of which at least some value is taken.
type Key = (String, Box<dyn Fn(Value) -> Value>, &'static [&'static str]);

fn keys() -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let integer = &["integer"][..];
    let of_policy: [(&str, &'static [&'static str]); 18] = [
        ("basePolicy", &[]),
        ("failoverInterval", integer),
        ("upDelay", integer),
        ("downDelay", integer),
        ("monitorStrategy", &[]),
        ("pathMonitorStrategy", &[]),
        ("packetsPerLink", integer),
        ("linkSelectMethod", &[]),
        ("activeReselect", &[]),
        ("balancePolicy", &[]),
        ("allowFlowHashing", &["boolean"]),
        ("rebalanceStrategy", &[]),
        ("xmitHashPolicy", &[]),
        ("dedup", &["boolean"]),
        ("quality", &[]),
        ("linkQuality", &["object"]),
        ("links", &["array", "object"]),
        ("reorderMs", integer),
    ];
    for (key, fits) in of_policy {
        let with = move |value: Value| json!({"policies": {"balance-aware": {key: value}}});
        keys.push((
            format!("settings.policies.balance-aware.{key}"),
            Box::new(with),
            fits,
        ));
        if key != "basePolicy" {
            let with = move |value: Value| json!({"peerSpecificBonds": {"16a03a3d03": {"policy": "none", key: value}}});
            keys.push((
                format!("settings.peerSpecificBonds.16a03a3d03.{key}"),
                Box::new(with),
                fits,
            ));
        }
    }
    let of_link: [(&str, &'static [&'static str]); 14] = [
        ("mode", &[]),
        ("failoverTo", &["string"]),
        ("enabled", &["boolean"]),
        ("ipvPref", integer),
        ("speed", &["integer", "object"]),
        ("capacity", &["integer", "object"]),
        ("alloc", &["integer", "fraction"]),
        ("mtu", integer),
        ("failoverInterval", integer),
        ("upDelay", integer),
        ("downDelay", integer),
        ("cost", integer),
        ("maxRate", &["integer", "huge"]),
        ("dataCap", &["integer", "huge"]),
    ];
    for (key, fits) in of_link {
        let with = move |value: Value| json!({"balance-aware": {"links": {"a": {key: value}}}});
        keys.push((
            format!("settings.balance-aware.links.a.{key}"),
            Box::new(with),
            fits,
        ));
    }
    for key in ["lat", "ltm", "pdv", "plr", "per", "avl"] {
        let with = move |value: Value| json!({"balance-aware": {"quality": {key: value}}});
        keys.push((
            format!("settings.balance-aware.quality.{key}"),
            Box::new(with),
            &["integer"],
        ));
        let weight = format!("{key}_weight");
        let with = move |value: Value| json!({"balance-aware": {"linkQuality": {&weight: value}}});
        keys.push((
            format!("settings.balance-aware.linkQuality.{key}_weight"),
            Box::new(with),
            &["integer"],
        ));
    }
    for key in ["lat_max", "pdv_max", "plr_max", "per_max"] {
        let with = move |value: Value| json!({"balance-aware": {"linkQuality": {key: value}}});
        let fits: &[&str] = &["integer", "fraction", "huge"];
        keys.push((
            format!("settings.balance-aware.linkQuality.{key}"),
            Box::new(with),
            fits,
        ));
    }
    let top: [(&str, &'static [&'static str]); 5] = [
        ("defaultBondingPolicy", &[]),
        ("policies", &["object"]),
        ("peerSpecificBonds", &["object"]),
        ("balance-aware", &["object"]),
        ("none", &["object"]),
    ];
    for (key, fits) in top {
        keys.push((
            format!("settings.{key}"),
            Box::new(move |value| json!({key: value})),
            fits,
        ));
    }
    let peer = |value: Value| json!({"peerSpecificBonds": {"16a03a3d03": value}});
    keys.push((
        "settings.peerSpecificBonds.16a03a3d03".to_owned(),
        Box::new(peer),
        &[],
    ));
    let link = |value: Value| json!({"balance-aware": {"links": {"a": value}}});
    keys.push((
        "settings.balance-aware.links.a".to_owned(),
        Box::new(link),
        &["object"],
    ));
    let custom = |value: Value| json!({"policies": {"p": value}});
    keys.push(("settings.policies.p".to_owned(), Box::new(custom), &[]));
    keys
}

/// The parent's place counts too: shares are judged together, and weights are named by the first of them.
fn concerns(problem: &str, place: &str) -> bool {
    let parent = place.rsplit_once('.').map_or("", |(parent, _)| parent);
    let grandparent = parent.rsplit_once('.').map_or("", |(parent, _)| parent);
    problem.starts_with(place)
        || problem.starts_with(parent) && (parent.ends_with("uality") || problem == parent)
        || place.ends_with("alloc") && problem == grandparent
}

#[test]
fn every_key_with_every_type() {
    let (mut refused, mut taken) = (0, 0);
    for (place, with, fits) in keys() {
        for (kind, value) in values() {
            let (_, problems) = BondSettings::parse(&with(value.clone()));
            let errors: Vec<_> = problems
                .iter()
                .filter(|problem| problem.severity == Severity::Error)
                .collect();
            for problem in &problems {
                assert!(
                    concerns(&problem.path, &place),
                    "{place} = {kind}: {problem}"
                );
                assert!(!problem.reason.is_empty(), "{place} = {kind}");
                assert!(problem.to_string().len() < 500_000, "{place} = {kind}");
            }
            if fits.contains(&kind) {
                taken += usize::from(errors.is_empty());
            } else {
                assert!(!errors.is_empty(), "{place} = {kind} is taken");
                refused += 1;
            }
        }
    }
    assert!(
        refused > 800 && taken > 60,
        "{refused} refused, {taken} taken"
    );
}
