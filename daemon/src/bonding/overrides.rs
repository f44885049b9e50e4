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

impl Override {
    /// As an entry of `peerSpecificBonds`.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Policy(name) => Value::from(name.as_str()),
            Self::Parameters(policy) => Value::Object(policy.clone()),
        }
    }
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
        peers.insert(peer.to_string(), order.to_json());
    }
    settings.insert(PEERS.to_owned(), Value::Object(peers));
    settings
}

/// The entry that `settings` has for a peer, as an object to which parameters can be added.
pub(super) fn entry_of(settings: &Map<String, Value>, peer: Address) -> Map<String, Value> {
    let of_peer = settings
        .get(PEERS)
        .and_then(Value::as_object)
        .and_then(|peers| peers.iter().find(|(key, _)| key.parse() == Ok(peer)));
    let name = match of_peer.map(|(_, value)| value) {
        Some(Value::Object(entry)) => return entry.clone(),
        Some(Value::String(name)) => name.as_str(),
        _ => settings
            .get("defaultBondingPolicy")
            .and_then(Value::as_str)
            .unwrap_or(BasePolicy::None.name()),
    };
    Map::from_iter([("policy".to_owned(), Value::from(name))])
}

/// What `settings` says of a parameter of a peer's policy; none if it has its default.
pub(super) fn parameter<'a>(
    settings: &'a Map<String, Value>,
    entry: &'a Map<String, Value>,
    key: &str,
) -> Option<&'a Value> {
    let name = entry.get("policy").or_else(|| entry.get("basePolicy"));
    let name = name.and_then(Value::as_str).unwrap_or_default();
    let policy = settings
        .get("policies")
        .and_then(|policies| policies.get(name))
        .or_else(|| settings.get(name));
    entry.get(key).or_else(|| policy?.get(key))
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
    fn a_parameter_is_found_wherever_it_stands() {
        let settings = object(json!({
            "defaultBondingPolicy": "office",
            "policies": {"office": {"basePolicy": "balance-xor", "upDelay": 7}},
            "active-backup": {"failoverInterval": 250},
            "peerSpecificBonds": {"A92CB526FA": "active-backup",
                "16a03a3d03": {"policy": "office", "downDelay": 3}}}));
        for (peer, key, expected) in [
            ("a92cb526fa", "failoverInterval", Some(json!(250))),
            ("a92cb526fa", "upDelay", None),
            ("16a03a3d03", "upDelay", Some(json!(7))),
            ("16a03a3d03", "downDelay", Some(json!(3))),
            ("0123456789", "upDelay", Some(json!(7))),
        ] {
            let entry = entry_of(&settings, peer.parse().unwrap());
            assert_eq!(
                parameter(&settings, &entry, key).cloned(),
                expected,
                "{peer} {key}"
            );
        }
        let unbonded = entry_of(&Map::new(), "0123456789".parse().unwrap());
        assert_eq!(Value::Object(unbonded), json!({"policy": "none"}));
    }
}
