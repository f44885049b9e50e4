//! Orders to one bond. Each is answered with what changed, or with why nothing did.

use serde_json::{Map, Value, json};

use super::{incomplete, no_bond};
use crate::client::{Reply, Request};
use crate::command::{Answer, body};
use crate::outcome::Outcome;
use crate::session::Session;

const LINK_ACTIONS: [&str; 6] = ["add", "remove", "nominate", "enable", "disable", "reset"];

/// `bond <peer> rotate [<interface>]`
pub(super) fn rotate(session: &Session<'_>, peer: &str, rest: &[&str]) -> Answer {
    if session.is_hawser() {
        let mut order = Map::new();
        if let Some(interface) = rest.first() {
            order.insert("interface".to_owned(), json!(interface));
        }
        if session.options.sticky {
            order.insert("sticky".to_owned(), json!(true));
        }
        let plain = order.is_empty();
        let path = format!("/bond/{peer}/rotate");
        let reply = session.send(Request::Post(&Value::Object(order)), &path)?;
        // Only our own service knows this path; a service of 1.14.1 can at least do the plain order.
        if reply.status != 404 || !plain {
            return told(session, peer, reply);
        }
    }
    let path = format!("/bond/rotate/{peer}");
    let request = Request::Post(&json!({}));
    let reply = if session.is_hawser() {
        let reply = session.send(request, &path)?;
        match reply.status {
            200 => reply,
            400 => {
                return Err(session.failure(&format!(
                    "the bond with {peer} cannot rotate: there is none, or its policy is not active-backup"
                )));
            }
            _ => return Err(session.refused(&reply)),
        }
    } else {
        session.write(request, &path)?
    };
    Ok(if session.options.json {
        body(session, &reply.body)
    } else {
        Outcome::ok("200 rotate OK\n")
    })
}

/// `bond <peer> enable [<policy>]`
pub(super) fn enable(session: &Session<'_>, peer: &str, rest: &[&str]) -> Answer {
    let changes = match rest.first() {
        Some(policy) => json!({"enabled": true, "policy": policy}),
        None => json!({"enabled": true}),
    };
    patch(session, peer, changes)
}

/// `bond <peer> disable`
pub(super) fn disable(session: &Session<'_>, peer: &str) -> Answer {
    patch(session, peer, json!({"enabled": false}))
}

/// `bond <peer> set <parameter> <value>`, also `<parameter>=<value>`, several of them
pub(super) fn set(session: &Session<'_>, peer: &str, rest: &[&str]) -> Answer {
    let mut changes = Map::new();
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (*word, words.next().copied()),
        };
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Err(incomplete(
                session,
                &format!("bond {peer} set {key} needs a value"),
            ));
        };
        changes.insert(key.to_owned(), value_of(value));
    }
    if changes.is_empty() {
        let text =
            format!("bond {peer} set needs a parameter and a value, such as failoverInterval 500");
        return Err(incomplete(session, &text));
    }
    patch(session, peer, Value::Object(changes))
}

/// Numbers, true and false, objects and arrays are themselves; all else is text.
fn value_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Null | Value::String(_)) | Err(_) => text.into(),
        Ok(value) => value,
    }
}

fn patch(session: &Session<'_>, peer: &str, mut changes: Value) -> Answer {
    if session.options.save {
        changes["save"] = json!(true);
    }
    let reply = session.send(Request::Patch(&changes), &format!("/bond/{peer}"))?;
    told(session, peer, reply)
}

/// `bond <peer> link <action> <interface> [<mode>]`
pub(super) fn link(session: &Session<'_>, peer: &str, rest: &[&str]) -> Answer {
    let (action, name, mode) = match *rest {
        [action, name] if LINK_ACTIONS.contains(&action) => (action, name, None),
        ["add", name, mode] => (
            "add",
            name,
            Some(mode.strip_prefix("mode=").unwrap_or(mode)),
        ),
        // `link add wan1 mode spare`
        ["add", name, "mode", mode] => ("add", name, Some(mode)),
        _ => {
            let text = format!(
                "bond {peer} link needs one of {}, and the name of an interface",
                LINK_ACTIONS.join(", ")
            );
            return Err(incomplete(session, &text));
        }
    };
    let path = format!("/bond/{peer}/link/{}", escaped(name));
    let mut order = json!({"action": action});
    if let Some(mode) = mode {
        order["mode"] = json!(mode);
    }
    if session.options.save {
        order["save"] = json!(true);
    }
    let request = match action {
        "remove" if !session.options.save => Request::Delete,
        _ => Request::Post(&order),
    };
    let reply = session.send(request, &path)?;
    told(session, peer, reply)
}

/// A name as a part of a path: patterns such as `ppp?` would end it.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn told(session: &Session<'_>, peer: &str, reply: Reply) -> Answer {
    let Reply { status, body: text } = &reply;
    let answer: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let said = |key: &str| answer[key].as_str();
    match (status, said("result"), said("error")) {
        (200, Some(_), _) if session.options.json => Ok(body(session, text)),
        (200, Some(result), _) if session.is_hawser() => Ok(Outcome::ok(format!("{result}\n"))),
        (200, Some(result), _) => Ok(Outcome::ok(format!("200 bond {result}\n"))),
        (_, _, Some(error)) if session.is_hawser() => Err(session.failure(error)),
        (_, _, Some(error)) => Err(Outcome::to_stdout(1, format!("{status} bond {error}\n"))),
        (400, _, _) if session.is_hawser() => Err(no_bond(session, peer)),
        _ if session.is_hawser() => Err(session.refused(&reply)),
        _ => Err(Outcome::to_stdout(1, format!("{status} bond {text}\n"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_where_they_can_be() {
        assert_eq!(value_of("500"), json!(500));
        assert_eq!(value_of("true"), json!(true));
        assert_eq!(value_of("optimize"), json!("optimize"));
        assert_eq!(value_of("null"), json!("null"));
        assert_eq!(value_of(r#"{"wan1": {}}"#), json!({"wan1": {}}));
        assert_eq!(value_of("{wan1}"), json!("{wan1}"));
    }

    #[test]
    fn names_stay_one_part_of_a_path() {
        assert_eq!(escaped("eth0.17"), "eth0.17");
        assert_eq!(escaped("ppp?/x"), "ppp%3F%2Fx");
    }
}
