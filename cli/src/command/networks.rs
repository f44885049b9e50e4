//! Networks: list, join, leave, and their properties.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Answer, body, now};
use crate::client::Request;
use crate::json;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::{Manner, usage};

/// What `set` can change.
const SETTINGS: [&str; 4] = ["allowManaged", "allowGlobal", "allowDefault", "allowDNS"];

/// `listnetworks`
pub(super) fn list(session: &Session<'_>) -> Answer {
    let networks = session.read("/network")?;
    Ok(Outcome::ok(if session.options.json {
        json::pretty(&networks)
    } else {
        lines(json::elements(&networks), now())
    }))
}

fn lines(networks: &[Value], now: i64) -> String {
    let mut out = String::from(
        "200 listnetworks <nwid> <name> <mac> <status> <type> <dev> <ZT assigned ips>\n",
    );
    for network in networks {
        let addresses: Vec<_> = json::list(network, "assignedAddresses")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let addresses = match addresses.as_slice() {
            [] => "-".to_owned(),
            addresses => addresses.join(","),
        };
        let field = |key| json::text(network, key);
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "200 listnetworks {} {} {} {} {} {} {addresses}",
            field("nwid"),
            field("name"),
            field("mac"),
            field("status"),
            field("type"),
            field("portDeviceName"),
        );
        if json::flag(network, "ssoEnabled") {
            let left = json::integer(network, "authenticationExpiryTime") - now;
            let _ = if left > 0 {
                writeln!(out, "    AUTH OK, expires in: {} seconds", left / 1000)
            } else {
                writeln!(out, "    AUTH EXPIRED, URL: {}", field("authenticationURL"))
            };
        }
    }
    out
}

/// The first argument of `join` and `leave`. The original looks at its length only.
fn network_to_change<'a>(session: &'a Session<'_>) -> Result<&'a str, Outcome> {
    let id = session.options.word(1);
    match session.manner {
        Manner::Original if id.len() == 16 => Ok(id),
        Manner::Original => Err(Outcome::to_stdout(2, "invalid network id\n")),
        Manner::Hawser => checked_network(session, id),
    }
}

fn checked_network<'a>(session: &Session<'_>, id: &'a str) -> Result<&'a str, Outcome> {
    let command = session.command();
    if id.is_empty() {
        return Err(session.mistake(&format!(
            "{command} needs the id of a network, 16 hexadecimal digits"
        )));
    }
    id.parse::<protocol::NetworkId>().map(|_| id).map_err(|_| {
        session.mistake(&format!(
            "{id:?} is not the id of a network, which has 16 hexadecimal digits"
        ))
    })
}

/// `join`
pub(super) fn join(session: &Session<'_>) -> Answer {
    let id = network_to_change(session)?;
    let reply = session.write(Request::Post(&json!({})), &format!("/network/{id}"))?;
    Ok(done(session, &reply.body))
}

/// `leave`
pub(super) fn leave(session: &Session<'_>) -> Answer {
    let id = network_to_change(session)?;
    let reply = session.write(Request::Delete, &format!("/network/{id}"))?;
    if session.is_hawser() && !session.options.json && reply.body.trim() == "{}" {
        return Err(session.failure(&format!("this node is not on network {id}")));
    }
    Ok(done(session, &reply.body))
}

/// `200 <command> OK`, or with `-j` the body as it is.
fn done(session: &Session<'_>, text: &str) -> Outcome {
    if session.options.json {
        body(session, text)
    } else {
        Outcome::ok(format!("200 {} OK\n", session.command()))
    }
}

/// The arguments of `get` and `set`: a network and one more word.
fn network_and_word<'a>(session: &'a Session<'_>) -> Result<(&'a str, &'a str), Outcome> {
    let (id, word) = (session.options.word(1), session.options.last_of_two());
    let command = session.command();
    match session.manner {
        Manner::Original if id.len() != 16 => Err(Outcome::to_stderr(
            2,
            "invalid format: must be a 16-digit (network) ID\n",
        )),
        Manner::Original if word.is_empty() => Err(Outcome::to_stderr(
            2,
            format!("invalid format: include a property name to {command}\n"),
        )),
        Manner::Original => Ok((id, word)),
        Manner::Hawser => {
            let id = checked_network(session, id)?;
            match (command, word) {
                ("set", "") => {
                    Err(session.mistake("set needs a setting and its value, such as allowDNS=1"))
                }
                (_, "") => Err(session.mistake("get needs the name of a property, such as status")),
                (_, word) => Ok((id, word)),
            }
        }
    }
}

/// `get`
pub(super) fn get(session: &Session<'_>) -> Answer {
    let (id, name) = network_and_word(session)?;
    let networks = session.read("/network")?;
    let Some(network) = json::elements(&networks)
        .iter()
        .find(|network| json::text(network, "nwid").eq_ignore_ascii_case(id))
    else {
        return Err(match session.manner {
            Manner::Original => Outcome::to_stderr(
                0,
                "unknown network ID, check that you are a member of the network\n",
            ),
            Manner::Hawser => session.failure(&format!("this node is not on network {id}")),
        });
    };
    property(network, name)
        .map(Outcome::ok)
        .ok_or_else(|| match session.manner {
            Manner::Original => Outcome::to_stdout(0, "error, unknown property name\n"),
            Manner::Hawser => session.failure(&format!(
                "{name:?} is not a property with one value; `{} -j listnetworks` shows all",
                usage::short_name(session.program)
            )),
        })
}

/// A property's value, ending with a newline; of `ip` and its like, a line per address, empty
/// if there is none.
fn property(network: &Value, name: &str) -> Option<String> {
    let addresses = |keep: fn(&str) -> bool, length: usize| {
        let addresses: Vec<_> = json::list(network, "assignedAddresses")
            .iter()
            .filter_map(|address| address.as_str()?.split('/').next())
            .filter(|address| keep(address))
            .map(|address| address.get(..length).unwrap_or(address))
            .collect();
        Some(addresses.join("\n") + "\n")
    };
    const WHOLE: usize = usize::MAX;
    match name {
        "ip" => addresses(|_| true, WHOLE),
        "ip4" => addresses(|address| address.contains('.'), WHOLE),
        "ip6" => addresses(|address| address.contains(':'), WHOLE),
        "ip6plane" => addresses(|address| address.starts_with("fc"), WHOLE),
        "ip6prefix" => addresses(|address| address.starts_with("fc"), 24),
        _ => match &network[name] {
            Value::String(text) => Some(format!("{text}\n")),
            Value::Bool(flag) => Some(format!("{}\n", u8::from(*flag))),
            Value::Number(number) => Some(format!("{number}\n")),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        },
    }
}

/// `set`
pub(super) fn set(session: &Session<'_>) -> Answer {
    let (id, word) = network_and_word(session)?;
    let Some((name, value)) = word.split_once('=') else {
        return Err(match session.manner {
            Manner::Original => Outcome::to_stderr(2, usage::of(Manner::Original, session.program)),
            Manner::Hawser => {
                session.mistake(&format!("{word} needs a value: {word}=1 or {word}=0"))
            }
        });
    };
    if !SETTINGS.contains(&name) {
        return match session.manner {
            Manner::Original => Ok(Outcome::silent()),
            Manner::Hawser => Err(session.mistake(&format!(
                "{name:?} cannot be set; settings are {}",
                SETTINGS.join(", ")
            ))),
        };
    }
    let value = match (session.manner, value) {
        (Manner::Original, value) => value.starts_with(['t', '1']),
        (Manner::Hawser, "1" | "true" | "yes" | "on") => true,
        (Manner::Hawser, "0" | "false" | "no" | "off") => false,
        (Manner::Hawser, value) => {
            return Err(session.mistake(&format!("{value:?} is neither 1 nor 0")));
        }
    };
    let reply = session.write(
        Request::Post(&json!({ name: value })),
        &format!("/network/{id}"),
    )?;
    Ok(body(session, &reply.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The network of service specification C.5.
    fn network() -> Value {
        json!({"allowDNS": false, "allowManaged": true,
            "assignedAddresses": ["fd4b:3e5f:84e8:42c2:d99:935c:d0ba:70f5/88", "fca3:7c9d:895c:d0ba:70f5::1/40", "10.79.50.29/24"],
            "id": "4b3e5f84e842c20d", "mac": "0e:9e:92:52:f4:aa", "mtu": 2800, "name": "lab net", "nwid": "4b3e5f84e842c20d",
            "portDeviceName": "ztz7lb2rxf", "routes": [], "status": "OK", "type": "PRIVATE"})
    }

    fn fresh() -> Value {
        json!({"assignedAddresses": [], "mac": "0e:9e:92:52:f4:aa", "name": "", "nwid": "4b3e5f84e842c20d",
            "portDeviceName": "ztz7lb2rxf", "status": "REQUESTING_CONFIGURATION", "type": "PRIVATE"})
    }

    #[test]
    fn a_line_per_network() {
        assert_eq!(
            lines(&[fresh(), network()], 0),
            "200 listnetworks <nwid> <name> <mac> <status> <type> <dev> <ZT assigned ips>\n\
             200 listnetworks 4b3e5f84e842c20d  0e:9e:92:52:f4:aa REQUESTING_CONFIGURATION PRIVATE ztz7lb2rxf -\n\
             200 listnetworks 4b3e5f84e842c20d lab net 0e:9e:92:52:f4:aa OK PRIVATE ztz7lb2rxf \
             fd4b:3e5f:84e8:42c2:d99:935c:d0ba:70f5/88,fca3:7c9d:895c:d0ba:70f5::1/40,10.79.50.29/24\n"
        );
    }

    #[test]
    fn single_sign_on_adds_a_line() {
        let mut network = fresh();
        network["ssoEnabled"] = json!(true);
        network["authenticationExpiryTime"] = json!(95_000);
        network["authenticationURL"] = json!("https://sso.example/");
        let last = |now| {
            lines(std::slice::from_ref(&network), now)
                .lines()
                .last()
                .map(String::from)
        };
        assert_eq!(
            last(5_000).as_deref(),
            Some("    AUTH OK, expires in: 90 seconds")
        );
        assert_eq!(
            last(95_000).as_deref(),
            Some("    AUTH EXPIRED, URL: https://sso.example/")
        );
    }

    #[test]
    fn properties() {
        let network = network();
        let property = |name| property(&network, name);
        assert_eq!(property("status").as_deref(), Some("OK\n"));
        assert_eq!(property("mtu").as_deref(), Some("2800\n"));
        assert_eq!(property("allowManaged").as_deref(), Some("1\n"));
        assert_eq!(property("allowDNS").as_deref(), Some("0\n"));
        assert_eq!(property("routes"), None);
        assert_eq!(property("nosuch"), None);
        assert_eq!(property("ip4").as_deref(), Some("10.79.50.29\n"));
        assert_eq!(
            property("ip6").as_deref(),
            Some("fd4b:3e5f:84e8:42c2:d99:935c:d0ba:70f5\nfca3:7c9d:895c:d0ba:70f5::1\n")
        );
        assert_eq!(property("ip").map(|ip| ip.lines().count()), Some(3));
        assert_eq!(
            property("ip6plane").as_deref(),
            Some("fca3:7c9d:895c:d0ba:70f5::1\n")
        );
        assert_eq!(
            property("ip6prefix").as_deref(),
            Some("fca3:7c9d:895c:d0ba:70f5\n")
        );
    }
}
