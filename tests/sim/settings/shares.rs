//! Declared speeds and shares.

use serde_json::{Value, json};

use super::{errors, keyed, linked, parsed, refuses_amounts, refuses_of_link, warnings};
use crate::flows::linux_flows;
use crate::multipath::{A, Kind, Multipath, ms, policy, seconds};

/// The part of 400 flows' packets that the first of two links carries.
fn part_of_first(kind: Kind, settings: [Value; 2]) -> f64 {
    let mut net = Multipath::of_kind(kind, 51, 2, settings);
    net.settle(A);
    net.run(seconds(4));
    net.reset();
    net.load(A, &linux_flows(400), ms(100));
    net.run(ms(950));
    let packets = net.packets(A);
    packets[0] as f64 / packets.iter().sum::<u64>() as f64
}

fn two(key: &str, first: Value, second: Value) -> Value {
    json!({"sim0": {"mode": "primary", key: first}, "sim1": {"mode": "primary", key: second}})
}

fn close(base: &str, links: Value, expected: f64) {
    let settings = [policy(base, json!({"links": links})), json!({})];
    let part = part_of_first(Kind::Plain, settings);
    assert!((part - expected).abs() <= 0.05, "{base} {links}: {part}");
}

#[test]
pub(crate) fn a3_speed() {
    once!(speed_has_an_effect);
}

fn speed_has_an_effect() {
    let range = "must be an integer from 0 to 4294967295, is";
    for key in ["speed", "capacity"] {
        for value in [
            json!(0),
            json!(u32::MAX),
            json!("50Mbit"),
            json!("1.5 Gbit/s"),
            json!({"up": 1, "down": "2Mbit"}),
        ] {
            assert_eq!(errors(&linked(key, value)), [""; 0]);
        }
        refuses_of_link(key, json!(-1), &format!("{range} -1"));
        refuses_of_link(key, json!(1.5), &format!("{range} 1.5"));
        refuses_of_link(key, json!(4_294_967_296u64), &format!("{range} 4294967296"));
        for text in ["fast", "", "50", "50MB", "-5Mbit", "0Mbit"] {
            refuses_of_link(
                key,
                json!(text),
                &format!("must be a number or a speed such as \"50Mbit\", is {text:?}"),
            );
        }
        for (value, kind) in [
            (json!(null), "null"),
            (json!(true), "a boolean"),
            (json!([1]), "an array"),
        ] {
            refuses_of_link(
                key,
                value,
                &format!("must be a number or a string, is {kind}"),
            );
        }
        let place = format!("settings.balance-rr.links.sim0.{key}");
        assert_eq!(
            errors(&linked(key, json!({"left": 1}))),
            [format!("{place}.left: must be up or down")]
        );
        assert_eq!(
            errors(&linked(key, json!({"up": {}}))),
            [format!(
                "{place}.up: must be a number or a string, is an object"
            )]
        );
    }
    assert_eq!(
        errors(&json!({"balance-rr": {"links": {"a": {"speed": 1, "capacity": 1}}}})),
        ["settings.balance-rr.links.a.capacity: means the same as speed, which is there too"]
    );
    assert_eq!(
        warnings(&keyed("links", two("speed", json!(5), json!("5Mbit")))),
        [
            "settings.balance-rr.links: speeds with and without a unit cannot be compared: those with one are ignored"
        ]
    );
    for base in ["balance-rr", "balance-aware"] {
        close(base, two("speed", json!(300), json!(100)), 0.75);
        close(
            base,
            two("capacity", json!("10Mbit"), json!("30Mbit")),
            0.25,
        );
        // What this node sends goes up.
        close(
            base,
            two(
                "speed",
                json!({"up": "9Mbit", "down": "1Mbit"}),
                json!({"up": "1Mbit", "down": "9Mbit"}),
            ),
            0.9,
        );
    }
    close("balance-xor", two("speed", json!(300), json!(100)), 0.5);
}

/// What one end receives at most is told to the other, which plans by it: only peers of our kind hear of it.
#[test]
fn a3_speed_down() {
    let down = |first: &str, second: &str| {
        let down = |speed: &str| json!({"down": speed});
        policy(
            "balance-aware",
            json!({"links": two("speed", down(first), down(second))}),
        )
    };
    for base in ["balance-rr", "balance-aware"] {
        let plain = policy(base, json!({}));
        let up = |first: &str, second: &str| {
            let up = |speed: &str| json!({"up": speed});
            policy(base, json!({"links": two("speed", up(first), up(second))}))
        };
        for (kind, ours, theirs, expected) in [
            (Kind::Ours, plain.clone(), down("30Mbit", "10Mbit"), 0.75),
            (Kind::Plain, plain.clone(), down("30Mbit", "10Mbit"), 0.5),
            // The slower end counts.
            (
                Kind::Ours,
                up("20Mbit", "20Mbit"),
                down("5Mbit", "90Mbit"),
                0.2,
            ),
            (
                Kind::Plain,
                up("20Mbit", "20Mbit"),
                down("5Mbit", "90Mbit"),
                0.5,
            ),
        ] {
            let case = format!("{base} {kind:?} {ours} {theirs}");
            let part = part_of_first(kind, [ours, theirs]);
            assert!((part - expected).abs() <= 0.05, "{case}: {part}");
        }
    }
}

#[test]
fn a3_max_rate() {
    for value in [
        json!(0),
        json!(8_000_000),
        json!("8Mbit"),
        json!("1.5 Gbit/s"),
    ] {
        assert_eq!(errors(&linked("maxRate", value)), [""; 0]);
    }
    let rate = |value: Value| parsed(&linked("maxRate", value)).links[0].max_rate;
    for (value, expected) in [
        (json!(0), None),
        (json!(1), Some(1)),
        (json!(u64::MAX), Some(u64::MAX)),
        (json!("1.5 Gbit/s"), Some(1_500_000_000)),
        (json!("1000Tbit"), Some(1_000_000_000_000_000)),
    ] {
        assert_eq!(rate(value.clone()), expected, "{value}");
    }
    let wrong = [
        (json!(-1), "-1"),
        (json!(1.5), "1.5"),
        (json!(1e300), "1e+300"),
        (json!("fast"), "\"fast\""),
        (json!(""), "\"\""),
        (json!("8MB"), "\"8MB\""),
        (json!("-8Mbit"), "\"-8Mbit\""),
        (json!("1001Tbit"), "\"1001Tbit\""),
        (json!(null), "null"),
        (json!(true), "true"),
        (json!([8]), "[8]"),
        (json!({"up": "8Mbit"}), "{\"up\":\"8Mbit\"}"),
    ];
    refuses_amounts("maxRate", "a rate such as \"50Mbit\"", wrong);
    let limited = |first: Value, second: Value| {
        let mut links = two("speed", first, second);
        links["sim0"]["maxRate"] = json!("10Mbit");
        links
    };
    for base in ["balance-rr", "balance-aware"] {
        close(base, two("maxRate", json!("10Mbit"), json!("30Mbit")), 0.25);
        // A link is taken for no more, whatever its speed is said to be, but for less.
        close(base, limited(json!("40Mbit"), json!("40Mbit")), 0.2);
        close(base, limited(json!("5Mbit"), json!("45Mbit")), 0.1);
        // Numbers without a unit cannot be compared with it.
        close(base, limited(json!(1), json!(1)), 0.5);
    }
    // Shares that are said count whatever the rates are.
    let mut said = two("alloc", json!(0.7), json!(0.3));
    said["sim0"]["maxRate"] = json!("1Mbit");
    close("balance-aware", said, 0.7);
    // Nothing is shaped: a link that carries alone carries all.
    let links = json!({"sim0": {"mode": "primary", "maxRate": "1Mbit"}, "sim1": {}});
    close("balance-aware", links, 1.0);
}

#[test]
pub(crate) fn a3_alloc() {
    once!(alloc_has_an_effect);
}

fn alloc_has_an_effect() {
    let reason = "must be a fraction from 0.0 to 1.0 or an integer from 0 to 255";
    for value in [
        json!(-1),
        json!(256),
        json!("half"),
        json!(null),
        json!(true),
        json!([1]),
        json!({}),
        json!(1e300),
    ] {
        refuses_of_link("alloc", value, reason);
    }
    let refused = |first: Value, second: Value, reason: &str| {
        let settings = keyed("links", two("alloc", first, second));
        assert_eq!(
            errors(&settings),
            [format!("settings.balance-rr.links: {reason}")]
        );
    };
    refused(
        json!(0.5),
        json!(0.4),
        "the fractions (alloc) of all links make 0.900, not 1",
    );
    refused(
        json!(0.5),
        json!(20),
        "alloc mixes fractions with relative numbers",
    );
    refused(json!(0), json!(0), "the shares (alloc) of all links are 0");
    for (first, second) in [
        (json!(0.5), json!(0.49)),
        (json!(0.51), json!(0.5)),
        (json!(0), json!(255)),
        (json!(1), json!(1)),
    ] {
        assert_eq!(
            errors(&keyed("links", two("alloc", first, second))),
            [""; 0]
        );
    }
    for base in ["balance-rr", "balance-xor", "balance-aware"] {
        close(base, two("alloc", json!(0.7), json!(0.3)), 0.7);
        close(base, two("alloc", json!(50), json!(200)), 0.2);
        close(base, two("alloc", json!(0), json!(1)), 0.0);
    }
    // Shares count before speeds.
    let both = json!({"sim0": {"mode": "primary", "alloc": 0.2, "speed": 900}, "sim1": {"mode": "primary", "alloc": 0.8, "speed": 100}});
    close("balance-aware", both, 0.2);
}
