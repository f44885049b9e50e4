//! `/bond` (multipath specification E.3, E.4): the paths of 1.14.1 as they are there, and newer ones that say what changed
//! or why nothing did.

pub mod events;
pub mod json;
mod links;

use std::net::IpAddr;

use bond::BondStatus;
use bond::Command as Order;
use protocol::Address;
use serde_json::{Map, Value};

use self::json::Context;
use super::{Call, Method, Reply, peer};
use crate::bonding::Change;
use crate::control::Control;

/// Answers a call below `/bond`.
pub async fn answer(control: &mut Control, call: &Call, rest: &[&str]) -> Reply {
    use Method::{Delete, Get, Patch, Post};
    match (call.method, rest) {
        (Get, []) => Reply::ok(&overview(control)),
        (Get, ["show", peer]) => match address(peer) {
            Some(peer) => show(control, peer)
                .map_or_else(|| Reply::empty_object(400), |object| Reply::ok(&object)),
            None => Reply::not_found(),
        },
        (Post, ["rotate", peer]) => match address(peer) {
            Some(peer) => rotate_as_reference(control, peer).await,
            None => Reply::not_found(),
        },
        (Post, ["setmtu", mtu, interface, ip]) => {
            let (Ok(mtu), Ok(ip)) = (mtu.parse(), ip.parse::<IpAddr>()) else {
                return Reply::not_found();
            };
            match control.set_path_mtu(mtu, interface, ip).await {
                Ok(()) => Reply::empty_object(200),
                // The tools put "Failed to set MTU: " in front.
                Err(reason) => Reply::text(400, reason),
            }
        }
        (Get, ["test"]) => {
            let bonds = control.bonds();
            let bonds = bonds
                .iter()
                .filter_map(|bond| rehearsal(control, bond.peer));
            Reply::ok(&Value::Object(Map::from_iter([(
                "bonds".to_owned(),
                bonds.collect(),
            )])))
        }
        (method, [peer, rest @ ..]) => match address(peer) {
            Some(peer) => one(control, method, peer, rest, &call.body).await,
            None => Reply::not_found(),
        },
        (Post | Patch | Delete, []) => Reply::not_found(),
    }
}

fn address(text: &str) -> Option<Address> {
    text.parse().ok()
}

/// Everything about bonding.
fn overview(control: &Control) -> Value {
    let mut object = control.bonding_json();
    let bonds = control.bonds();
    object["bonds"] = bonds
        .iter()
        .filter_map(|bond| bonded_peer(control, bond))
        .collect();
    object["unbonded"] = control
        .unbonded()
        .iter()
        .map(|(peer, reason)| json::unbonded(peer, reason))
        .collect();
    object
}

/// Why there is no bond with a peer.
fn no_bond(control: &Control, peer: Address) -> String {
    let unbonded = control.unbonded();
    let found = unbonded.iter().find(|(other, _)| other.address == peer);
    match found {
        Some((_, reason)) => format!("there is no bond with {peer}: {reason}"),
        None => format!("there is no bond with {peer}: no such peer is known"),
    }
}

/// A dry failover.
fn rehearsal(control: &Control, peer: Address) -> Option<Value> {
    let rehearsals = control.node().rehearse_bond(control.now(), peer)?;
    let bonds = control.bonds();
    let bond = bonds.iter().find(|bond| bond.peer == peer)?;
    Some(json::rehearsal(bond, &rehearsals))
}

fn show(control: &Control, peer: Address) -> Option<Value> {
    let bonds = control.bonds();
    let bond = bonds.iter().find(|bond| bond.peer == peer)?;
    bonded_peer(control, bond)
}

fn bonded_peer(control: &Control, bond: &BondStatus) -> Option<Value> {
    let peers = control.node().peers(control.now());
    let peer = peers.iter().find(|peer| peer.address == bond.peer)?;
    let mut object = peer::to_json(peer, |time| control.wall_at(time));
    let links = control.open_links();
    let context = Context {
        wall_now: control.wall_now(),
        links: &links,
    };
    json::add_bond(&mut object, peer, bond, context);
    Some(object)
}

async fn rotate_as_reference(control: &mut Control, peer: Address) -> Reply {
    let bonds = control.bonds();
    let fit = bonds
        .iter()
        .any(|bond| bond.peer == peer && json::can_rotate(bond));
    if !fit {
        tracing::warn!("unable to find bond to peer {peer}");
        return Reply::empty_object(400);
    }
    let order = Order::Rotate {
        interface: None,
        sticky: false,
    };
    // The reference says OK even if there is nowhere to rotate to.
    if let Err(reason) = control.order(peer, order).await {
        tracing::info!("bond with {peer} not rotated: {reason}");
    }
    Reply::empty_object(200)
}

async fn one(
    control: &mut Control,
    method: Method,
    peer: Address,
    rest: &[&str],
    body: &[u8],
) -> Reply {
    let body = match parse(body) {
        Ok(body) => body,
        Err(reason) => return told(Err(reason)),
    };
    match (method, rest) {
        (Method::Get, []) => show(control, peer).map_or_else(
            || {
                let (_, text) = json::answer(Err(no_bond(control, peer)));
                Reply::json(404, &text)
            },
            |object| Reply::ok(&object),
        ),
        (Method::Patch, []) => patch(control, peer, body).await,
        (Method::Post, ["rotate"]) => {
            let order = Order::Rotate {
                interface: text(&body, "interface"),
                sticky: body.get("sticky").and_then(Value::as_bool) == Some(true),
            };
            told(control.order(peer, order).await)
        }
        (Method::Get, ["test"]) => match rehearsal(control, peer) {
            Some(object) => Reply::ok(&object),
            None => Reply::json(404, &json::answer(Err(no_bond(control, peer))).1),
        },
        (Method::Post | Method::Delete, ["link", name]) => {
            told(links::order(control, method, peer, name, body).await)
        }
        _ => Reply::not_found(),
    }
}

/// `{"enabled": true, "policy": "...", "save": true, <parameter>: <value>}`
async fn patch(control: &mut Control, peer: Address, mut body: Map<String, Value>) -> Reply {
    let save = body.remove("save") == Some(Value::Bool(true));
    let changes = match changes(body) {
        Ok(changes) => changes,
        Err(reason) => return told(Err(reason)),
    };
    let mut texts = Vec::new();
    for change in &changes {
        match control.change_bond(peer, change).await {
            Ok(text) => texts.push(text),
            Err(reason) => {
                let done = texts.join("; ");
                let before = if done.is_empty() {
                    done
                } else {
                    format!("{done}; but then: ")
                };
                return told(Err(format!("{before}{reason}")));
            }
        }
    }
    if save {
        match control.save_bond(peer).await {
            Ok(saved) => texts.push(saved.to_owned()),
            Err(error) => return told(Err(format!("{}; not saved: {error:#}", texts.join("; ")))),
        }
    }
    told(Ok(texts.join("; ")))
}

fn changes(mut body: Map<String, Value>) -> Result<Vec<Change>, String> {
    let mut changes = Vec::new();
    let policy = match body.remove("policy") {
        None => None,
        Some(Value::String(name)) => Some(name),
        Some(other) => return Err(format!("policy: {other} is no name")),
    };
    match (body.remove("enabled"), policy) {
        (None, None) => {}
        (Some(Value::Bool(false)), None) => changes.push(Change::Disable),
        (Some(Value::Bool(false)), Some(_)) => {
            return Err("a bond cannot be disabled and have a policy".to_owned());
        }
        (None, Some(name)) if name == "none" => changes.push(Change::Disable),
        (None | Some(Value::Bool(true)), policy) => changes.push(Change::Enable(policy)),
        (Some(other), _) => return Err(format!("enabled: {other} is neither true nor false")),
    }
    if !body.is_empty() {
        changes.push(Change::Set(body));
    }
    if changes.is_empty() {
        return Err("there is nothing to change".to_owned());
    }
    Ok(changes)
}

/// A body's object; none is an empty one.
fn parse(body: &[u8]) -> Result<Map<String, Value>, String> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the body is no JSON object".to_owned()),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    }
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn told(result: Result<String, String>) -> Reply {
    let (status, value) = json::answer(result);
    Reply::json(status, &value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_a_patch_changes() {
        for (body, expected) in [
            (json!({"enabled": false}), Ok(vec![Change::Disable])),
            (json!({"policy": "none"}), Ok(vec![Change::Disable])),
            (json!({"enabled": true}), Ok(vec![Change::Enable(None)])),
            (
                json!({"policy": "office", "upDelay": 5}),
                Ok(vec![
                    Change::Enable(Some("office".to_owned())),
                    Change::Set(object(json!({"upDelay": 5}))),
                ]),
            ),
            (json!({}), Err("there is nothing to change")),
            (json!({"policy": 5}), Err("policy: 5 is no name")),
            (
                json!({"enabled": "x"}),
                Err(r#"enabled: "x" is neither true nor false"#),
            ),
            (
                json!({"enabled": false, "policy": "x"}),
                Err("a bond cannot be disabled and have a policy"),
            ),
        ] {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(changes(object(body.clone())), expected, "{body}");
        }
    }

    #[test]
    fn bodies() {
        assert_eq!(parse(b" \n"), Ok(Map::new()));
        assert!(parse(b"[]").unwrap_err().contains("no JSON object"));
        assert!(parse(b"{").unwrap_err().contains("not JSON"));
    }
}
