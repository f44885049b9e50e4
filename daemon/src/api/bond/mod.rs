//! `/bond` (multipath specification E.3, E.4): the paths of 1.14.1 as they are there, and newer ones that say what changed
//! or why nothing did.

pub mod events;
pub mod json;

use std::net::IpAddr;

use bond::BondStatus;
use bond::Command as Order;
use bond::config::LinkMode;
use protocol::Address;
use serde_json::{Map, Value};

use self::json::Context;
use super::{Call, Method, Reply, peer};
use crate::bonding::Change;
use crate::control::Control;

/// Longest name of an interface in a path.
const MAX_INTERFACE_NAME: usize = 64;

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
    object
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
                let (_, text) = json::answer(Err(format!("{peer} has no bond")));
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
        (Method::Post | Method::Delete, ["link", name]) => {
            if name.is_empty() || name.len() > MAX_INTERFACE_NAME {
                return told(Err("this is no name of an interface".to_owned()));
            }
            let action = match (method, body.get("action")) {
                (Method::Delete, _) => "remove",
                (_, None) => "add",
                (_, Some(action)) => action.as_str().unwrap_or(""),
            };
            match link_order(action, name, &body) {
                Ok(order) => told(control.order(peer, order).await),
                Err(reason) => told(Err(reason)),
            }
        }
        _ => Reply::not_found(),
    }
}

fn link_order(action: &str, name: &str, body: &Map<String, Value>) -> Result<Order, String> {
    let name = name.to_owned();
    Ok(match action {
        "add" => {
            let mode = match body.get("mode") {
                None => LinkMode::Primary,
                Some(mode) => {
                    let modes = [
                        LinkMode::Primary,
                        LinkMode::Secondary,
                        LinkMode::Spare,
                        LinkMode::Never,
                    ];
                    let found = modes.into_iter().find(|known| mode == known.name());
                    found.ok_or_else(|| {
                        format!("mode: {mode} is none of primary, secondary, spare, never")
                    })?
                }
            };
            Order::LinkAdd {
                interface: name,
                mode,
            }
        }
        "remove" => Order::LinkRemove(name),
        "nominate" => Order::LinkNominate(name),
        "enable" => Order::LinkEnable(name),
        "disable" => Order::LinkDisable(name),
        "reset" => Order::LinkReset(name),
        other => {
            return Err(format!(
                "action: {other:?} is none of add, remove, nominate, enable, disable, reset"
            ));
        }
    })
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
            Ok(true) => texts.push("saved in local.conf".to_owned()),
            Ok(false) => texts.push("local.conf says so already".to_owned()),
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
    fn orders_for_links() {
        let spare = object(json!({"mode": "spare"}));
        let wan = || "wan1".to_owned();
        assert_eq!(
            link_order("add", "wan1", &spare),
            Ok(Order::LinkAdd {
                interface: wan(),
                mode: LinkMode::Spare
            })
        );
        for (action, order) in [
            ("remove", Order::LinkRemove(wan())),
            ("nominate", Order::LinkNominate(wan())),
            ("enable", Order::LinkEnable(wan())),
            ("disable", Order::LinkDisable(wan())),
            ("reset", Order::LinkReset(wan())),
        ] {
            assert_eq!(link_order(action, "wan1", &Map::new()), Ok(order));
        }
        assert!(
            link_order("eat", "wan1", &Map::new())
                .unwrap_err()
                .contains("none of add")
        );
        let wrong = object(json!({"mode": "best"}));
        assert!(
            link_order("add", "wan1", &wrong)
                .unwrap_err()
                .contains("none of primary")
        );
    }

    #[test]
    fn bodies() {
        assert_eq!(parse(b" \n"), Ok(Map::new()));
        assert!(parse(b"[]").unwrap_err().contains("no JSON object"));
        assert!(parse(b"{").unwrap_err().contains("not JSON"));
    }
}
