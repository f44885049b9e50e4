//! Orders at run time, as changes of the document that the parser reads: so they obey the same rules, and are refused with
//! the same words.

use std::collections::BTreeMap;

use bond::BasePolicy;
use protocol::Address;
use serde_json::{Map, Value};

const PEERS: &str = "peerSpecificBonds";

/// What an operator ordered for one peer.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Override {
    /// The policy of that name.
    Policy(String),
    /// A policy of its own.
    Parameters(Map<String, Value>),
}

/// `settings` with the orders put in.
pub(super) fn merged(
    settings: &Map<String, Value>,
    overrides: &BTreeMap<Address, Override>,
) -> Map<String, Value> {
    let mut settings = settings.clone();
    if overrides.is_empty() {
        return settings;
    }
    let mut peers = match settings.remove(PEERS) {
        Some(Value::Object(peers)) => peers,
        _ => Map::new(),
    };
    for (peer, order) in overrides {
        // The same address may be written in other letters.
        peers.retain(|key, _| key.parse() != Ok(*peer));
        let value = match order {
            Override::Policy(name) => Value::from(name.as_str()),
            Override::Parameters(policy) => Value::Object(policy.clone()),
        };
        peers.insert(peer.to_string(), value);
    }
    settings.insert(PEERS.to_owned(), Value::Object(peers));
    settings
}

/// The policy that `settings` has for a peer, as an object that names its base.
pub(super) fn policy_of(settings: &Map<String, Value>, peer: Address) -> Map<String, Value> {
    let of_peer = settings
        .get(PEERS)
        .and_then(Value::as_object)
        .and_then(|peers| peers.iter().find(|(key, _)| key.parse() == Ok(peer)));
    match of_peer.map(|(_, value)| value) {
        Some(Value::Object(policy)) => policy.clone(),
        Some(Value::String(name)) => named(settings, name),
        _ => match settings.get("defaultBondingPolicy") {
            Some(Value::String(name)) => named(settings, name),
            _ => named(settings, BasePolicy::None.name()),
        },
    }
}

fn named(settings: &Map<String, Value>, name: &str) -> Map<String, Value> {
    let object = settings
        .get("policies")
        .and_then(|policies| policies.get(name))
        .or_else(|| settings.get(name));
    let mut policy = object
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    if BasePolicy::from_name(name).is_some() {
        policy.entry("basePolicy").or_insert_with(|| name.into());
    }
    policy
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn an_order_replaces_the_entry_of_its_peer_alone() {
        let settings = object(json!({"defaultBondingPolicy": "office",
            "peerSpecificBonds": {"A92CB526FA": "office", "16a03a3d03": "none"}}));
        let peer = "a92cb526fa".parse().unwrap();
        let orders = BTreeMap::from([(peer, Override::Policy("balance-rr".to_owned()))]);
        let after = merged(&settings, &orders);
        assert_eq!(
            after["peerSpecificBonds"],
            json!({"16a03a3d03": "none", "a92cb526fa": "balance-rr"})
        );
        assert_eq!(after["defaultBondingPolicy"], "office");
        assert_eq!(merged(&settings, &BTreeMap::new()), settings);
    }

    #[test]
    fn a_policy_is_found_wherever_it_stands() {
        let settings = object(json!({
            "defaultBondingPolicy": "office",
            "policies": {"office": {"basePolicy": "balance-xor", "upDelay": 7}},
            "active-backup": {"failoverInterval": 250},
            "peerSpecificBonds": {"a92cb526fa": "active-backup", "16a03a3d03": {"basePolicy": "broadcast"}}}));
        let of = |peer: &str| Value::Object(policy_of(&settings, peer.parse().unwrap()));
        assert_eq!(
            of("a92cb526fa"),
            json!({"basePolicy": "active-backup", "failoverInterval": 250})
        );
        assert_eq!(of("16a03a3d03"), json!({"basePolicy": "broadcast"}));
        assert_eq!(
            of("0123456789"),
            json!({"basePolicy": "balance-xor", "upDelay": 7})
        );
        let unbonded = policy_of(&Map::new(), "0123456789".parse().unwrap());
        assert_eq!(unbonded["basePolicy"], "none");
    }
}
