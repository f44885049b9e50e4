//! What makes a link good, what is too bad, and when a working link is left.

use std::time::Duration;

use node::Input;
use node::io::PathKey;
use node::testing::Conditions;
use serde_json::{Value, json};

use super::{errors, keyed, refuses, takes_names};
use crate::flows::linux_flows;
use crate::multipath::{A, B, Multipath, ip, ms, policy, seconds};

/// Two links under this policy: the first slow and even, the second fast and uneven.
fn slow_or_uneven(base: &str, parameters: Value) -> Multipath {
    let mut net = Multipath::new(61, 2, [policy(base, parameters), json!({})]);
    net.both(1, |wire| wire.conditions.delay = ms(60));
    net.both(2, |wire| {
        wire.conditions = Conditions {
            delay: ms(5),
            jitter: ms(60),
            ..Conditions::default()
        }
    });
    net.load(A, &linux_flows(1), ms(50));
    net.load(B, &linux_flows(1), ms(50));
    net.run(seconds(120));
    net
}

#[test]
pub(crate) fn a3_quality() {
    once!(quality_has_an_effect);
}

fn quality_has_an_effect() {
    for (value, kind) in [
        (json!(5), "a number"),
        (json!([]), "an array"),
        (json!("lat"), "a string"),
        (json!(null), "null"),
    ] {
        refuses("quality", value, &format!("must be an object, is {kind}"));
    }
    let at = |key: &str, reason: &str| [format!("settings.balance-rr.quality.{key}: {reason}")];
    for (value, expected) in [
        (
            json!({"lat": 1.5}),
            at("lat", "must be from 0 to 1, is 1.5"),
        ),
        (
            json!({"plr": -0.1}),
            at("plr", "must be from 0 to 1, is -0.1"),
        ),
        (
            json!({"avl": "much"}),
            at("avl", "must be a number, is a string"),
        ),
        (
            json!({"lat": 0.5, "plr": 0.6}),
            at("lat", "and the other weights make 1.100, not 1"),
        ),
        (
            json!({}),
            at("lat", "and the other weights make 0.000, not 1"),
        ),
    ] {
        assert_eq!(errors(&keyed("quality", value)), expected);
    }
    for value in [
        json!({"lat": 0.99}),
        json!({"ltm": 1}),
        json!({"lat": 0.2, "ltm": 0.2, "pdv": 0.2, "plr": 0.2, "per": 0.1, "avl": 0.11}),
    ] {
        assert_eq!(errors(&keyed("quality", value)), [""; 0]);
    }
    // What counts decides which is better.
    let limits = json!({"lat_max": 100, "pdv_max": 50});
    let with = |weights: Value| json!({"quality": weights, "linkQuality": limits});
    assert_eq!(
        slow_or_uneven("active-backup", with(json!({"lat": 1.0}))).active(A),
        2
    );
    assert_eq!(
        slow_or_uneven("active-backup", with(json!({"pdv": 1.0}))).active(A),
        1
    );
}

#[test]
fn a3_link_quality() {
    refuses("linkQuality", json!(5), "must be an object, is a number");
    let at = |key: &str, reason: &str| [format!("settings.balance-rr.linkQuality.{key}: {reason}")];
    for key in ["lat_max", "pdv_max", "plr_max", "per_max"] {
        assert_eq!(errors(&keyed("linkQuality", json!({key: 0.5}))), [""; 0]);
        assert_eq!(
            errors(&keyed("linkQuality", json!({key: 0}))),
            at(key, "must be more than 0")
        );
        assert_eq!(
            errors(&keyed("linkQuality", json!({key: "1"}))),
            at(key, "must be a number, is a string")
        );
        assert_eq!(
            errors(&keyed("linkQuality", json!({key: null}))),
            at(key, "must be a number, is null")
        );
    }
    for key in ["plr_max", "per_max"] {
        assert_eq!(
            errors(&keyed("linkQuality", json!({key: 1.5}))),
            at(key, "is a ratio: at most 1, is 1.5")
        );
    }
    for (value, expected) in [
        (
            json!({"lat_weight": 0.75, "pdv_weight": 0.75}),
            at("lat_weight", "and the other weights make 1.500, not 1"),
        ),
        (
            json!({"plr_weight": 2}),
            at("plr_weight", "must be from 0 to 1, is 2"),
        ),
    ] {
        assert_eq!(errors(&keyed("linkQuality", value)), expected);
    }
    let twice = json!({"balance-rr": {"quality": {"lat": 1}, "linkQuality": {"lat_weight": 1}}});
    assert_eq!(
        errors(&twice),
        at("lat_weight", "weights stand in quality already")
    );
    // A link beyond a limit carries nothing while another is within.
    let part_of_first =
        |limits: Value| slow_or_uneven("balance-xor", json!({"linkQuality": limits})).part(A, 1);
    let both = part_of_first(json!({"lat_max": 100, "pdv_max": 100}));
    assert!((both - 0.5).abs() < 0.03, "{both}");
    assert_eq!(part_of_first(json!({"lat_max": 50})), 0.0);
    assert_eq!(part_of_first(json!({"pdv_max": 2})), 1.0);
}

/// For so many tenths of a second one in five packets that B sends over the second link arrives damaged, too.
fn damage_second_link(net: &mut Multipath, tenths: u32) {
    let path = PathKey {
        link: net.world.net.nodes[A].links[1].id,
        remote: (ip(B, 2), 9993).into(),
    };
    for _ in 0..tenths {
        net.reset();
        net.run(ms(100));
        let sent = net.world.net.nodes[B].sent.iter();
        let broken: Vec<Vec<u8>> = sent
            .filter(|sent| sent.to.ip() == ip(A, 2))
            .step_by(5)
            .map(|sent| {
                let mut bytes = sent.bytes.clone();
                *bytes.last_mut().expect("not empty") ^= 1;
                bytes
            })
            .collect();
        for bytes in broken {
            net.world.net.handle(
                A,
                Input::Datagram {
                    path,
                    bytes: &bytes,
                },
            );
        }
    }
}

#[test]
fn a3_link_quality_of_loss_and_errors() {
    let lossy = |limits: Value| {
        let mut net = Multipath::new(
            62,
            2,
            [
                policy("balance-xor", json!({"linkQuality": limits})),
                json!({}),
            ],
        );
        net.settle(A);
        net.load(A, &linux_flows(32), ms(100));
        net.load(B, &linux_flows(32), ms(100));
        net.both(2, |wire| wire.conditions.loss_per_mille = 25);
        net.run(seconds(20));
        // The mean of ten seconds: now and then a few losses in a row pass for a failure.
        let parts = (0..100).map(|_| {
            net.run(ms(100));
            net.part(A, 2)
        });
        parts.sum::<f64>() / 100.0
    };
    // 2.5 % each way are within the limit that counts without one.
    let parts = [0.2, 0.005].map(|limit| lossy(json!({"plr_max": limit})));
    assert!(parts[0] > 0.25 && parts[1] < parts[0] / 2.0, "{parts:?}");
    // One in five packets on the second link is damaged.
    let damaged = |limits: Value| {
        let mut net = Multipath::new(
            63,
            2,
            [
                policy("balance-xor", json!({"linkQuality": limits})),
                json!({}),
            ],
        );
        net.settle(A);
        net.load(A, &linux_flows(32), ms(100));
        net.load(B, &linux_flows(32), ms(100));
        damage_second_link(&mut net, 150);
        net.part(A, 2)
    };
    let parts = [0.5, 0.02].map(|limit| damaged(json!({"per_max": limit})));
    assert!(
        (parts[0] - 0.5).abs() < 0.03 && parts[1] == 0.0,
        "{parts:?}"
    );
}

/// Whether the primary link is used again after it failed, with these one-way delays of primary and spare.
fn returns(method: &str, primary: Duration, spare: Duration) -> bool {
    let parameters = json!({"failoverInterval": 500, "activeReselect": method, "quality": {"lat": 1},
        "links": {"sim0": {"mode": "primary"}, "sim1": {"mode": "spare"}}});
    let mut net = Multipath::new(64, 2, [policy("active-backup", parameters), json!({})]);
    net.both(1, |wire| wire.conditions.delay = primary);
    net.both(2, |wire| wire.conditions.delay = spare);
    net.load(A, &linux_flows(1), ms(20));
    net.load(B, &linux_flows(1), ms(20));
    net.run(seconds(5));
    net.cut(1);
    net.run(seconds(5));
    assert_eq!(net.active(A), 2);
    net.mend(1);
    net.run(seconds(40));
    net.active(A) == 1
}

#[test]
pub(crate) fn a3_link_select_method() {
    once!(link_select_method_has_an_effect);
}

fn link_select_method_has_an_effect() {
    for key in ["linkSelectMethod", "activeReselect"] {
        let names = ["always", "better", "failure", "optimize"];
        takes_names(&format!("settings.balance-rr.{key}"), &names, |value| {
            keyed(key, value)
        });
    }
    let both = json!({"balance-rr": {"linkSelectMethod": "failure", "activeReselect": "failure"}});
    assert_eq!(
        errors(&both),
        [
            "settings.balance-rr.activeReselect: means the same as linkSelectMethod, which is there too"
        ]
    );
    let (near, far) = (ms(5), ms(100));
    assert!(returns("always", far, near));
    assert!(returns("better", near, far) && !returns("better", far, near));
    assert!(!returns("failure", near, far));
    // Without a word from the operator: `always` with links, `optimize` without.
    let optimises = |parameters: Value| {
        let mut net = Multipath::new(65, 2, [policy("active-backup", parameters), json!({})]);
        net.load(A, &linux_flows(1), ms(20));
        net.load(B, &linux_flows(1), ms(20));
        net.run(seconds(5));
        let first = net.active(A);
        net.both(first, |wire| wire.conditions.delay = far);
        net.run(seconds(60));
        net.active(A) != first
    };
    assert!(optimises(json!({})));
    assert!(optimises(
        json!({"linkSelectMethod": "optimize", "links": {"sim*": {"mode": "primary"}}})
    ));
    assert!(!optimises(json!({"links": {"sim*": {"mode": "primary"}}})));
}
