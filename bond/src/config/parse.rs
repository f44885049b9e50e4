//! From the object `settings` of `local.conf` to [`BondSettings`].

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::Address;
use serde_json::Value;

use super::policy::{base_name, parse_policy};
use super::reader::{Reader, complain, kind};
use super::{BasePolicy, BondSettings, ConfigProblem, PolicySettings, Severity};

const POLICIES: &str = "settings.policies";
const PEERS: &str = "settings.peerSpecificBonds";

impl BondSettings {
    /// Reads the bonding keys of the object `settings` of `local.conf`; others are not looked at. With any problem of
    /// [`Severity::Error`] the caller keeps the last good settings; what is returned then is what remains without the
    /// wrong parts.
    pub fn parse(settings: &Value) -> (Self, Vec<ConfigProblem>) {
        let mut problems = Vec::new();
        let mut parsed = Self::default();
        let Value::Object(object) = settings else {
            if !settings.is_null() {
                let reason = format!("must be an object, is {}", kind(settings));
                complain(&mut problems, "settings", Severity::Error, reason);
            }
            return (parsed, problems);
        };
        if object.contains_key("multipathMode") {
            complain(
                &mut problems,
                "settings.multipathMode",
                Severity::Error,
                "is a key of the past: name a policy in defaultBondingPolicy",
            );
        }
        parsed.policies = parse_policies(object, &mut problems);
        if let Some(value) = object.get("defaultBondingPolicy") {
            let place = "settings.defaultBondingPolicy";
            match named(&parsed, value) {
                Ok(policy) => parsed.default_policy = policy,
                Err(reason) => complain(&mut problems, place, Severity::Error, reason),
            }
        }
        match object.get("peerSpecificBonds") {
            None => {}
            Some(Value::Object(peers)) => {
                for (name, value) in peers {
                    if let Some((peer, policy)) = parse_peer(&parsed, name, value, &mut problems) {
                        parsed.peers.insert(peer, policy);
                    }
                }
            }
            Some(other) => {
                let reason = format!("must be an object of peers, is {}", kind(other));
                complain(&mut problems, PEERS, Severity::Error, reason);
            }
        }
        (parsed, problems)
    }
}

fn parse_policies(
    settings: &serde_json::Map<String, Value>,
    problems: &mut Vec<ConfigProblem>,
) -> BTreeMap<String, Arc<PolicySettings>> {
    let mut policies = BTreeMap::new();
    let mut custom: Vec<(String, String, &Value)> = Vec::new();
    match settings.get("policies") {
        None => {}
        Some(Value::Object(object)) => {
            for (name, value) in object {
                custom.push((name.clone(), format!("{POLICIES}.{name}"), value));
            }
        }
        Some(other) => {
            let reason = format!("must be an object of policies, is {}", kind(other));
            complain(problems, POLICIES, Severity::Error, reason);
        }
    }
    for base in BasePolicy::ALL {
        let Some(value) = settings.get(base.name()) else {
            continue;
        };
        let place = format!("settings.{base}");
        if custom.iter().any(|(name, ..)| name == base.name()) {
            let reason = format!("means the same as policies.{base}, which is there too");
            complain(problems, &place, Severity::Error, reason);
        } else {
            custom.push((base.name().to_owned(), place, value));
        }
    }
    for (name, place, value) in custom {
        if let Some(policy) = parse_named(&name, &place, value, problems) {
            policies.insert(name, Arc::new(policy));
        }
    }
    for base in BasePolicy::ALL {
        policies
            .entry(base.name().to_owned())
            .or_insert_with(|| Arc::new(PolicySettings::standard(base)));
    }
    policies
}

fn parse_named(
    name: &str,
    place: &str,
    value: &Value,
    problems: &mut Vec<ConfigProblem>,
) -> Option<PolicySettings> {
    if name.is_empty() {
        complain(problems, place, Severity::Error, "a policy needs a name");
        return None;
    }
    let mut reader = Reader::new(value, place, problems)?;
    let implied = BasePolicy::from_name(name);
    let said = base_name(&mut reader);
    let base = match (said.map(BasePolicy::from_name), implied) {
        (None, Some(implied)) => implied,
        (None, None) => {
            // A base of the wrong type has been complained about.
            if reader.get("basePolicy").is_none() {
                reader.error(
                    "basePolicy",
                    "is missing: a policy of its own name needs one",
                );
            }
            return None;
        }
        (Some(None), _) => {
            let said = said.unwrap_or_default();
            reader.error("basePolicy", format!("{said:?} is no standard policy"));
            return None;
        }
        (Some(Some(base)), Some(implied)) if base != implied => {
            reader.error("basePolicy", format!("{name} cannot be based on {base}"));
            return None;
        }
        (Some(Some(base)), _) => base,
    };
    let mut policy = PolicySettings::standard(base);
    name.clone_into(&mut policy.name);
    parse_policy(&mut reader, &mut policy);
    Some(policy)
}

fn named(settings: &BondSettings, value: &Value) -> Result<Arc<PolicySettings>, String> {
    let Some(name) = value.as_str() else {
        return Err(format!("must be the name of a policy, is {}", kind(value)));
    };
    settings
        .policies
        .get(name)
        .map(Arc::clone)
        .ok_or_else(|| format!("there is no policy {name:?}"))
}

/// An entry of `peerSpecificBonds`: the name of a policy, or an object that is based on one.
fn parse_peer(
    settings: &BondSettings,
    name: &str,
    value: &Value,
    problems: &mut Vec<ConfigProblem>,
) -> Option<(Address, Arc<PolicySettings>)> {
    let place = format!("{PEERS}.{name}");
    let is_address = name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some(peer) = is_address.then(|| name.parse::<Address>().ok()).flatten() else {
        let reason = "a peer is named by its address of 10 hexadecimal digits";
        complain(problems, &place, Severity::Error, reason);
        return None;
    };
    if !value.is_object() {
        return match named(settings, value) {
            Ok(policy) => Some((peer, policy)),
            Err(reason) => {
                complain(problems, &place, Severity::Error, reason);
                None
            }
        };
    }
    let mut reader = Reader::new(value, &place, problems)?;
    let Some(key) = reader.spelling(&["policy", "basePolicy"]) else {
        reader.error("policy", "is missing: which policy is the peer's based on?");
        return None;
    };
    let base = reader.get(key).map(|base| named(settings, base));
    match base? {
        Ok(base) => {
            let mut policy = (*base).clone();
            parse_policy(&mut reader, &mut policy);
            Some((peer, Arc::new(policy)))
        }
        Err(reason) => {
            reader.error(key, reason);
            None
        }
    }
}
