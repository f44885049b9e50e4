//! Evaluation of rules: a rule by frame matrix, cases, random rule sets, whole filter decisions.

use std::net::IpAddr;

use node::frame::EthernetFrame;
use node::rules::{
    Action, Context, CopyTo, Decision, NetworkPolicy, RemoteCredentials, RuleSetResult, evaluate,
};
use protocol::credential::OwnedThing;
use protocol::network_config::{FLAG_UNKNOWN_MATCH_IS_TRUE, NetworkConfig};
use protocol::rule::{Rule, RuleKind, decode_rules};
use protocol::{Address, MacAddress, NetworkId};
use serde_json::Value;

use crate::load;

fn golden() -> Option<Value> {
    load::json("rules.json")
}

fn address(value: &Value, key: &str) -> Address {
    load::string(value, key).parse().expect("an address")
}

fn rules(value: &Value, key: &str) -> Box<[Rule]> {
    decode_rules(&load::bytes(value, key), 1024)
        .expect("rules can be read")
        .into()
}

/// Pairs `[id, value]`; none for null.
fn tags(value: &Value) -> Option<Box<[(u32, u32)]>> {
    let number = |value: &Value| u32::try_from(value.as_u64().expect("a number")).expect("32 bits");
    let mut tags: Vec<_> = value
        .as_array()?
        .iter()
        .map(|pair| (number(&pair[0]), number(&pair[1])))
        .collect();
    tags.sort_unstable();
    Some(tags.into())
}

/// IP addresses and MAC addresses (12 hex digits).
fn owned(value: &Value, key: &str) -> Box<[OwnedThing]> {
    let things = value[key].as_array().expect("a list");
    things
        .iter()
        .map(|thing| {
            let text = thing.as_str().expect("a string");
            let (kind, bytes) = match text.parse() {
                Ok(IpAddr::V4(ip)) => (2, ip.octets().to_vec()),
                Ok(IpAddr::V6(ip)) => (3, ip.octets().to_vec()),
                Err(_) => (1, hex::decode(text).expect("a MAC address")),
            };
            let mut padded = [0; 16];
            padded[..bytes.len()].copy_from_slice(&bytes);
            OwnedThing {
                kind,
                value: padded,
            }
        })
        .collect()
}

/// A node's policy without anything, to be filled.
fn policy(golden: &Value) -> NetworkPolicy {
    let me = address(&golden["context"], "node");
    let network: NetworkId = load::string(&golden["context"], "network")
        .parse()
        .expect("a network id");
    NetworkPolicy::new(me, &NetworkConfig::new(network, me))
}

/// A frame without its payload, which borrows.
struct Frame {
    destination: MacAddress,
    source: MacAddress,
    ethertype: u16,
    payload: Vec<u8>,
}

impl Frame {
    fn of(case: &Value) -> Self {
        Self {
            destination: MacAddress(load::array(case, "dest_mac")),
            source: MacAddress(load::array(case, "source_mac")),
            ethertype: u16::try_from(load::number(case, "ethertype")).expect("16 bits"),
            payload: load::bytes(case, "frame"),
        }
    }

    fn view(&self) -> EthernetFrame<'_> {
        EthernetFrame {
            destination: self.destination,
            source: self.source,
            ethertype: self.ethertype,
            payload: &self.payload,
        }
    }
}

#[test]
fn every_rule_sees_every_frame_as_the_reference_does() {
    let Some(golden) = golden() else { return };
    let matrix = &golden["matrix"];
    let context = &golden["context"];
    let (node, peer) = (address(context, "node"), address(context, "peer"));
    let mut policy = policy(&golden);
    policy.tags = tags(&matrix["local_tags"]).expect("own tags");
    policy.owned = owned(matrix, "local_owned");
    let remote = RemoteCredentials {
        tags: tags(&matrix["remote_tags"]).expect("tags of the peer"),
        owned: owned(matrix, "remote_owned"),
        ..RemoteCredentials::default()
    };
    let frames = load::list(&golden, "frames");
    let mut wrong = Vec::new();
    for row in load::list(matrix, "rows") {
        let mut rules = rules(row, "bytes").into_vec();
        rules.push(Rule::new(RuleKind::Accept));
        for (at, frame) in frames.iter().enumerate() {
            let payload = load::bytes(frame, "payload");
            let cast = match load::string(frame, "cast") {
                "unicast" => None,
                "multicast" => Some(MacAddress([0x33, 0x33, 0, 0, 0, 1])),
                "broadcast" => Some(MacAddress::BROADCAST),
                other => panic!("unknown cast {other}"),
            };
            let mac = |key| MacAddress(load::array(context, key));
            let frame_of = |source, destination| EthernetFrame {
                source,
                destination,
                ethertype: load::number(frame, "ethertype") as u16,
                payload: &payload,
            };
            let outbound = frame_of(mac("node_mac"), cast.unwrap_or(mac("peer_mac")));
            let inbound = frame_of(mac("peer_mac"), cast.unwrap_or(mac("node_mac")));
            let destination = cast.is_none().then_some(peer);
            let name = load::string(frame, "name");
            for (direction, context) in [
                (
                    "out",
                    Context::outbound(&policy, destination, Some(&remote), &outbound, 0x8000_0000),
                ),
                (
                    "inb",
                    Context::inbound(&policy, peer, Some(&remote), &inbound, 0x8000_0000),
                ),
            ] {
                let expected = row[direction][at].as_u64().expect("0 or 1") == 1;
                let accepted = evaluate(&rules, &context).result == RuleSetResult::Accept;
                if accepted != expected {
                    wrong.push(format!("{} {direction} {name}: {accepted}", row["rule"]));
                }
            }
        }
    }
    assert_ne!(node, peer);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Evaluates a case of `cases` or `generated`; says what is wrong.
fn check(golden: &Value, case: &Value) -> Result<(), String> {
    let inbound = load::boolean(case, "inbound");
    let mut policy = policy(golden);
    if load::boolean(case, "unsupported_match_flag") {
        policy.flags |= FLAG_UNKNOWN_MATCH_IS_TRUE;
    }
    policy.tags = tags(&case["local_tags"]).expect("own tags");
    policy.owned = owned(case, "local_owned");
    let remote = tags(&case["remote_tags"]).map(|tags| RemoteCredentials {
        tags,
        owned: owned(case, "remote_owned"),
        ..RemoteCredentials::default()
    });
    let (source, destination) = (address(case, "source"), address(case, "dest"));
    let frame = Frame::of(case);
    let view = frame.view();
    let mut context = if inbound {
        assert_eq!(destination, policy.me);
        Context::inbound(&policy, source, remote.as_ref(), &view, 0)
    } else {
        assert_eq!(source, policy.me);
        let destination = (destination != Address::NONE).then_some(destination);
        Context::outbound(&policy, destination, remote.as_ref(), &view, 0)
    };
    context.vlan_id = load::number(case, "vlan_id") as u16;
    let Decision { result, copy, .. } = evaluate(&rules(case, "rules"), &context);

    let after = address(case, "dest_after");
    let expected = match load::string(case, "result") {
        "no_match" => RuleSetResult::NoMatch,
        "drop" => RuleSetResult::Drop,
        "accept" => RuleSetResult::Accept,
        "super_accept" => RuleSetResult::SuperAccept,
        "redirect" => RuleSetResult::Redirect(after),
        other => panic!("unknown result {other}"),
    };
    let expected_copy = case["copy_to"].is_string().then(|| CopyTo {
        target: address(case, "copy_to"),
        length: load::number(case, "copy_length") as usize,
        watch: load::boolean(case, "copy_watch"),
    });
    if (result, copy) == (expected, expected_copy) {
        Ok(())
    } else {
        Err(format!(
            "{} inbound={inbound} on {}: {result:?} {copy:?}, expected {expected:?} {expected_copy:?}",
            load::string(case, "name"),
            load::string(case, "frame_name"),
        ))
    }
}

fn check_all(key: &str) {
    let Some(golden) = golden() else { return };
    let wrong: Vec<_> = load::list(&golden, key)
        .iter()
        .filter_map(|case| check(&golden, case).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn rule_sets_decide_as_in_the_reference() {
    check_all("cases");
}

#[test]
fn random_rule_sets_decide_as_in_the_reference() {
    check_all("generated");
}

#[test]
fn frames_cut_anywhere_never_panic() {
    let Some(golden) = golden() else { return };
    let mut policy = policy(&golden);
    policy.rules = load::list(&golden["matrix"], "rows")
        .iter()
        .flat_map(|row| rules(row, "bytes").into_vec())
        // An OR looks at every match.
        .map(|rule| Rule { or: true, ..rule })
        .collect();
    for frame in load::list(&golden, "frames") {
        let payload = load::bytes(frame, "payload");
        for length in 0..=payload.len() {
            let frame = EthernetFrame {
                source: MacAddress([2; 6]),
                destination: MacAddress([4; 6]),
                ethertype: load::number(frame, "ethertype") as u16,
                payload: &payload[..length],
            };
            let outbound = policy.filter_outbound(None, None, &frame, 1);
            assert_eq!(outbound.action, Action::Drop);
            let inbound = policy.filter_inbound(Address::from_u64(1), None, &frame, 1);
            assert_eq!(inbound.action, Action::Drop);
        }
    }
}

/// The body of the EXT_FRAME that carries a copy or a redirected frame.
fn ext_frame(network: NetworkId, flags: u8, frame: &EthernetFrame<'_>, length: usize) -> String {
    let mut body = vec![0x07];
    body.extend(network.0.to_be_bytes());
    body.push(flags);
    body.extend(frame.header());
    body.extend(&frame.payload[..length]);
    hex::encode(body)
}

#[test]
fn filters_decide_as_in_the_reference() {
    let Some(golden) = golden() else { return };
    for case in load::list(&golden, "filter") {
        let name = load::string(case, "name");
        let inbound = load::boolean(case, "inbound");
        let no_tee = load::boolean(case, "no_tee");
        let capabilities = case["capabilities"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|capability| {
                let id = u32::try_from(load::number(capability, "id")).expect("32 bits");
                (id, rules(capability, "rules"))
            })
            .collect();
        let mut policy = policy(&golden);
        policy.rules = rules(case, "base_rules");
        let frame = Frame::of(case);
        let view = frame.view();
        let destination = address(case, "dest");
        let verdict = if inbound {
            let remote = RemoteCredentials {
                capabilities,
                ..RemoteCredentials::default()
            };
            policy.filter_inbound(address(case, "source"), Some(&remote), &view, 0)
        } else {
            policy.capabilities = capabilities;
            let destination = (destination != Address::NONE).then_some(destination);
            policy.filter_outbound(destination, None, &view, 0)
        };

        let copy_flags = |copy: CopyTo| match (inbound, copy.watch) {
            (false, false) => 0x02,
            (false, true) => 0x16,
            (true, false) => 0x08,
            (true, true) => 0x1c,
        };
        let mut sent: Vec<(Address, String)> = [verdict.capability_copy, verdict.base_copy]
            .into_iter()
            .flatten()
            .filter(|_| !no_tee)
            .map(|copy| {
                let body = ext_frame(policy.network, copy_flags(copy), &view, copy.length);
                (copy.target, body)
            })
            .collect();
        let allowed = match verdict.action {
            Action::Drop => 0,
            Action::Accept => 1,
            Action::SuperAccept => 2,
            Action::Redirect(target) => {
                let flags = if inbound { 0x0a } else { 0x04 };
                let body = ext_frame(policy.network, flags, &view, view.payload.len());
                sent.push((target, body));
                0
            }
        };
        let expected: Vec<(Address, String)> = case["sent"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|packet| {
                let text = |at: usize| packet[at].as_str().expect("a string");
                (text(0).parse().expect("an address"), text(1).to_owned())
            })
            .collect();
        assert_eq!(allowed, load::number(case, "allowed"), "{name}");
        assert_eq!(sent, expected, "{name}");
    }
}
