//! Which policy is whose.

use bond::BasePolicy;
use serde_json::{Value, json};

use super::{errors, no_strings};
use crate::flows::linux_flows;
use crate::multipath::{A, B, Multipath, bonding, ms, policy, seconds};

/// The policy of A's bond with B under these settings, and how many of three links carry a hundred flows.
fn effect(settings: &Value) -> (Option<(BasePolicy, String)>, usize) {
    let mut net = Multipath::new(71, 3, [settings.clone(), json!({})]);
    net.run(seconds(3));
    measured(&mut net)
}

fn measured(net: &mut Multipath) -> (Option<(BasePolicy, String)>, usize) {
    net.reset();
    net.load(A, &linux_flows(100), ms(100));
    net.run(ms(450));
    net.end_loads();
    net.run(ms(100));
    let links = net.packets(A).iter().filter(|count| **count > 10).count();
    (net.bond(A).map(|bond| (bond.base, bond.policy_name)), links)
}

fn bond(base: BasePolicy, name: &str, links: usize) -> (Option<(BasePolicy, String)>, usize) {
    (Some((base, name.to_owned())), links)
}

#[test]
fn a3_default_bonding_policy() {
    let place = "settings.defaultBondingPolicy";
    for name in ["foo", "", "7", "Balance-RR"] {
        assert_eq!(
            errors(&json!({"defaultBondingPolicy": name})),
            [format!("{place}: there is no policy {name:?}")]
        );
    }
    for (value, kind) in no_strings() {
        assert_eq!(
            errors(&json!({"defaultBondingPolicy": value})),
            [format!("{place}: must be the name of a policy, is {kind}")]
        );
    }
    assert_eq!(
        errors(&json!({"multipathMode": 2})),
        ["settings.multipathMode: is a key of the past: name a policy in defaultBondingPolicy"]
    );
    assert_eq!(effect(&json!({})), (None, 1));
    assert_eq!(effect(&json!({"defaultBondingPolicy": "none"})), (None, 1));
    for base in BasePolicy::ALL.into_iter().skip(1) {
        let links = if base == BasePolicy::ActiveBackup {
            1
        } else {
            3
        };
        assert_eq!(
            effect(&json!({"defaultBondingPolicy": base.name()})),
            bond(base, base.name(), links)
        );
    }
}

#[test]
fn a3_policies() {
    for (value, kind) in [
        (json!([]), "an array"),
        (json!("x"), "a string"),
        (json!(null), "null"),
        (json!(3), "a number"),
    ] {
        assert_eq!(
            errors(&json!({"policies": value})),
            [format!(
                "settings.policies: must be an object of policies, is {kind}"
            )]
        );
        assert_eq!(
            errors(&json!({"policies": {"p": value}})),
            [format!("settings.policies.p: must be an object, is {kind}")]
        );
    }
    assert_eq!(
        errors(&json!({"policies": {"": {}}})),
        ["settings.policies.: a policy needs a name"]
    );
    let custom = json!({"defaultBondingPolicy": "office", "policies": {"office": {"basePolicy": "balance-rr"}}});
    assert_eq!(effect(&custom), bond(BasePolicy::BalanceRr, "office", 3));
    // Under a standard name they are that policy's parameters.
    let standard = json!({"defaultBondingPolicy": "balance-rr", "policies": {"balance-rr": {"links": ["sim0", "sim1"]}}});
    assert_eq!(
        effect(&standard),
        bond(BasePolicy::BalanceRr, "balance-rr", 2)
    );
}

#[test]
fn a3_base_policy() {
    let place = "settings.policies.p.basePolicy";
    let with = |value: Value| json!({"policies": {"p": {"basePolicy": value}}});
    for base in BasePolicy::ALL {
        assert_eq!(errors(&with(json!(base.name()))), [""; 0]);
    }
    assert_eq!(
        errors(&with(json!("x"))),
        [format!("{place}: \"x\" is no standard policy")]
    );
    for (value, _) in no_strings() {
        assert_eq!(
            errors(&with(value)),
            [format!("{place}: must be the name of a policy")]
        );
    }
    assert_eq!(
        errors(&json!({"policies": {"p": {}}})),
        [format!(
            "{place}: is missing: a policy of its own name needs one"
        )]
    );
    assert_eq!(
        errors(&json!({"policies": {"balance-rr": {"basePolicy": "broadcast"}}})),
        ["settings.policies.balance-rr.basePolicy: balance-rr cannot be based on broadcast"]
    );
    for base in ["broadcast", "active-backup"] {
        let settings =
            json!({"defaultBondingPolicy": "p", "policies": {"p": {"basePolicy": base}}});
        let expected = BasePolicy::from_name(base).expect("a standard name");
        let links = if base == "broadcast" { 3 } else { 1 };
        assert_eq!(effect(&settings), bond(expected, "p", links));
    }
}

#[test]
fn a3_standard_name_under_settings() {
    for (value, kind) in [
        (json!([]), "an array"),
        (json!("x"), "a string"),
        (json!(null), "null"),
    ] {
        assert_eq!(
            errors(&json!({"balance-xor": value})),
            [format!(
                "settings.balance-xor: must be an object, is {kind}"
            )]
        );
    }
    assert_eq!(
        errors(&json!({"policies": {"balance-xor": {}}, "balance-xor": {}})),
        ["settings.balance-xor: means the same as policies.balance-xor, which is there too"]
    );
    let settings = policy("balance-rr", json!({"links": ["sim0", "sim1"]}));
    assert_eq!(
        effect(&settings),
        bond(BasePolicy::BalanceRr, "balance-rr", 2)
    );
}

#[test]
pub(crate) fn a3_peer_specific_bonds() {
    once!(peer_specific_bonds_has_an_effect);
}

fn peer_specific_bonds_has_an_effect() {
    let place = "settings.peerSpecificBonds";
    for (value, kind) in [
        (json!([]), "an array"),
        (json!("x"), "a string"),
        (json!(null), "null"),
        (json!(1), "a number"),
    ] {
        assert_eq!(
            errors(&json!({"peerSpecificBonds": value})),
            [format!("{place}: must be an object of peers, is {kind}")]
        );
    }
    for name in ["zzz", "", "16a03a3d0", "16a03a3d0312", "16a03a3d0g"] {
        assert_eq!(
            errors(&json!({"peerSpecificBonds": {name: "none"}})),
            [format!(
                "{place}.{name}: a peer is named by its address of 10 hexadecimal digits"
            )]
        );
    }
    let with = |value: Value| json!({"peerSpecificBonds": {"16a03a3d03": value}});
    let at = format!("{place}.16a03a3d03");
    assert_eq!(
        errors(&with(json!("foo"))),
        [format!("{at}: there is no policy \"foo\"")]
    );
    assert_eq!(
        errors(&with(json!(5))),
        [format!("{at}: must be the name of a policy, is a number")]
    );
    assert_eq!(
        errors(&with(json!({}))),
        [format!(
            "{at}.policy: is missing: which policy is the peer's based on?"
        )]
    );
    assert_eq!(
        errors(&with(json!({"policy": "foo"}))),
        [format!("{at}.policy: there is no policy \"foo\"")]
    );
    assert_eq!(
        errors(&with(json!({"policy": "none", "upDelay": -1}))),
        [format!(
            "{at}.upDelay: must be an integer from 0 to 600000, is -1"
        )]
    );
    // One world, in which A changes its mind about B.
    let mut net = Multipath::new(72, 3, [json!({}), json!({})]);
    let peer = net.world.net.nodes[B].address().to_string();
    let mut effect = |default: &str, of_peer: Value| {
        let settings = json!({"defaultBondingPolicy": default,
            "policies": {"mine": {"basePolicy": "balance-rr"}}, "peerSpecificBonds": {&peer: of_peer}});
        net.world.net.command(A, bonding(&settings));
        net.run(seconds(4));
        measured(&mut net)
    };
    assert_eq!(
        effect("active-backup", json!("balance-xor")),
        bond(BasePolicy::BalanceXor, "balance-xor", 3)
    );
    assert_eq!(
        effect("none", json!("broadcast")),
        bond(BasePolicy::Broadcast, "broadcast", 3)
    );
    assert_eq!(
        effect("balance-xor", json!("active-backup")),
        bond(BasePolicy::ActiveBackup, "active-backup", 1)
    );
    assert_eq!(
        effect("active-backup", json!("mine")),
        bond(BasePolicy::BalanceRr, "mine", 3)
    );
    assert_eq!(effect("balance-rr", json!("none")), (None, 1));
    let object = json!({"policy": "mine", "links": ["sim0", "sim2"]});
    assert_eq!(
        effect("none", object),
        bond(BasePolicy::BalanceRr, "mine", 2)
    );
    // Others have the default.
    assert_eq!(
        errors(&json!({"peerSpecificBonds": {"16a03a3d03": "none", "16A03A3D04": "balance-rr"}})),
        [""; 0]
    );
    let settings =
        json!({"defaultBondingPolicy": "balance-xor", "peerSpecificBonds": {"16a03a3d03": "none"}});
    net.world.net.command(A, bonding(&settings));
    net.run(seconds(4));
    assert_eq!(
        measured(&mut net),
        bond(BasePolicy::BalanceXor, "balance-xor", 3)
    );
}
