//! Other nodes.

use std::fmt::Write;

use serde_json::Value;

use super::{Answer, now};
use crate::json;
use crate::outcome::Outcome;
use crate::session::Session;

/// `peers`
pub(super) fn for_people(session: &Session<'_>) -> Answer {
    print(session, table)
}

/// `listpeers`
pub(super) fn for_programs(session: &Session<'_>) -> Answer {
    print(session, lines)
}

fn print(session: &Session<'_>, layout: fn(&[Value], i64) -> String) -> Answer {
    let peers = session.read("/peer")?;
    Ok(Outcome::ok(if session.options.json {
        json::pretty(&peers)
    } else {
        layout(json::elements(&peers), now())
    }))
}

/// The path that carries traffic, if there is a direct one.
struct Path<'a> {
    address: &'a str,
    /// Milliseconds since something was sent, -1 for never.
    sent: i64,
    /// Milliseconds since something was received, -1 for never.
    received: i64,
}

impl<'a> Path<'a> {
    fn preferred(peer: &'a Value, now: i64) -> Option<Self> {
        let path = json::list(peer, "paths")
            .iter()
            .find(|path| json::flag(path, "preferred") && !json::flag(path, "expired"))?;
        let age = |key| match json::integer(path, key) {
            0 => -1,
            // The service's clock is ours, but it was read a moment later.
            time => now.saturating_sub(time).max(0),
        };
        Some(Self {
            address: json::text(path, "address"),
            sent: age("lastSend"),
            received: age("lastReceive"),
        })
    }
}

fn version(peer: &Value) -> &str {
    match json::text(peer, "version") {
        "" | "-1.-1.-1" => "-",
        version => version,
    }
}

fn table(peers: &[Value], now: i64) -> String {
    let mut out = String::from(
        "200 peers\n<ztaddr>   <ver>  <role> <lat> <link>   <lastTX> <lastRX> <path>\n",
    );
    let mut any_tunneled = false;
    for peer in peers {
        let tunneled = json::flag(peer, "tunneled");
        any_tunneled |= tunneled;
        let link = match Path::preferred(peer, now) {
            Some(path) => {
                let kind = if tunneled { "RELAY " } else { "DIRECT   " };
                format!(
                    "{kind}{:<8} {:<8} {}",
                    path.sent, path.received, path.address
                )
            }
            None => "RELAY".to_owned(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{} {:<6} {:<6} {:>5} {link}",
            json::text(peer, "address"),
            version(peer),
            json::text(peer, "role"),
            json::integer(peer, "latency"),
        );
    }
    if any_tunneled {
        out.push_str(
            "NOTE: Currently tunneling through a TCP relay. Ensure that UDP is not blocked.\n",
        );
    }
    out
}

fn lines(peers: &[Value], now: i64) -> String {
    let mut out = String::from("200 listpeers <ztaddr> <path> <latency> <version> <role>\n");
    for peer in peers {
        let path = Path::preferred(peer, now).map_or_else(
            || "-".to_owned(),
            |path| format!("{};{};{}", path.address, path.sent, path.received),
        );
        let _ = writeln!(
            out,
            "200 listpeers {} {path} {} {} {}",
            json::text(peer, "address"),
            json::integer(peer, "latency"),
            version(peer),
            json::text(peer, "role"),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The peers of the examples in service specification D.4.
    fn peers() -> Vec<Value> {
        let path = |address, last_send, last_receive| {
            json!({"active": true, "address": address, "expired": false, "lastReceive": last_receive,
                "lastSend": last_send, "localPort": 0, "localSocket": 94714026548944u64, "preferred": true, "trustedPathId": 0})
        };
        let other = json!({"active": true, "address": "10.79.0.1/1", "expired": false, "lastReceive": 1,
            "lastSend": 2, "preferred": false});
        vec![
            json!({"address": "4b3e5f84e8", "latency": 22, "role": "MOON", "tunneled": false, "version": "1.14.1",
                "paths": [other, path("10.79.0.1/9993", 8978, 8981)]}),
            json!({"address": "62f865ae71", "latency": -1, "role": "PLANET", "tunneled": false, "version": "-1.-1.-1",
                "paths": []}),
            json!({"address": "caf20f3e73", "latency": 0, "role": "LEAF", "tunneled": false, "version": "1.14.1",
                "paths": [path("10.79.0.3/64776", 9979, 0)]}),
        ]
    }

    #[test]
    fn table_for_people() {
        assert_eq!(
            table(&peers(), 10000),
            "200 peers\n\
             <ztaddr>   <ver>  <role> <lat> <link>   <lastTX> <lastRX> <path>\n\
             4b3e5f84e8 1.14.1 MOON      22 DIRECT   1022     1019     10.79.0.1/9993\n\
             62f865ae71 -      PLANET    -1 RELAY\n\
             caf20f3e73 1.14.1 LEAF       0 DIRECT   21       -1       10.79.0.3/64776\n"
        );
    }

    #[test]
    fn tunneling_is_noted() {
        let mut peers = peers();
        peers[0]["tunneled"] = json!(true);
        let table = table(&peers[..1], 10000);
        assert!(
            table.contains("22 RELAY 1022     1019     10.79.0.1/9993\nNOTE: "),
            "{table}"
        );
    }

    #[test]
    fn lines_for_programs() {
        assert_eq!(
            lines(&peers(), 10000),
            "200 listpeers <ztaddr> <path> <latency> <version> <role>\n\
             200 listpeers 4b3e5f84e8 10.79.0.1/9993;1022;1019 22 1.14.1 MOON\n\
             200 listpeers 62f865ae71 - -1 - PLANET\n\
             200 listpeers caf20f3e73 10.79.0.3/64776;21;-1 0 1.14.1 LEAF\n"
        );
    }
}
