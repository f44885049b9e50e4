//! Bonds: several physical paths to one peer (service specification D.6).

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Answer, body};
use crate::Manner;
use crate::client::{Reply, Request};
use crate::json;
use crate::outcome::Outcome;
use crate::session::Session;

const RULE_LENGTH: usize = 120;

/// `bond`: its first or second argument says what.
pub(super) fn bond(session: &Session<'_>) -> Answer {
    let word = |index| session.options.word(index);
    match (word(1), word(2)) {
        ("list", _) => list(session),
        ("setmtu", _) => set_mtu(session),
        // Both orders are natural, so both work.
        (peer, "show") | ("show", peer) if is_address(peer) => show(session, peer),
        (peer, "rotate") | ("rotate", peer) if is_address(peer) => rotate(session, peer),
        (first, second) => Err(incomplete(
            session,
            &match (first, second) {
                ("", _) => "bond needs to know what to do: list, show, rotate or setmtu".to_owned(),
                ("show" | "rotate", "") => format!("bond {first} needs the address of a peer"),
                (peer, "show" | "rotate") | ("show" | "rotate", peer) => {
                    format!(
                        "{peer:?} is not the address of a peer, which has 10 hexadecimal digits"
                    )
                }
                (peer, "") if is_address(peer) => format!("bond {peer} needs one of show, rotate"),
                (first, _) => {
                    format!("bond does not know {first:?}; try list, show, rotate or setmtu")
                }
            },
        )),
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<protocol::Address>().is_ok()
}

/// Arguments are missing or make no sense.
fn incomplete(session: &Session<'_>, text: &str) -> Outcome {
    match session.manner {
        Manner::Original => Outcome::to_stdout(2, "(bond) command is missing required arguments\n"),
        Manner::Hawser => session.mistake(text),
    }
}

/// `bond list`, `listbonds`
pub(super) fn list(session: &Session<'_>) -> Answer {
    let peers = session.read("/peer")?;
    Ok(Outcome::ok(if session.options.json {
        json::pretty(&peers)
    } else {
        table(json::elements(&peers))
    }))
}

fn table(peers: &[Value]) -> String {
    let mut out = String::from("    <peer>                        <bondtype>     <links>\n");
    let bonded: Vec<_> = peers
        .iter()
        .filter(|peer| json::flag(peer, "isBonded"))
        .collect();
    for peer in &bonded {
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{:>10}  {:>32}         {}/{}",
            json::text(peer, "address"),
            json::text(peer, "bondingPolicyStr"),
            json::integer(peer, "numAliveLinks"),
            json::integer(peer, "numTotalLinks"),
        );
    }
    if bonded.is_empty() {
        out.push_str("      NONE\t\t\t\tNONE\t    NONE       NONE\n");
    }
    out
}

fn show(session: &Session<'_>, peer: &str) -> Answer {
    // hawser would otherwise say that bonding was "refused".
    if session.is_hawser() {
        let reply = session.send(Request::Get, &format!("/bond/show/{peer}"))?;
        if reply.status == 400 {
            return Err(no_bond(session, peer));
        }
    }
    let bond = session.read(&format!("/bond/show/{peer}"))?;
    Ok(Outcome::ok(if session.options.json {
        json::pretty(&bond)
    } else {
        details(&bond)
    }))
}

fn no_bond(session: &Session<'_>, peer: &str) -> Outcome {
    session.failure(&format!(
        "there is no bond with {peer}: bonding is off, or this peer is not known"
    ))
}

fn details(bond: &Value) -> String {
    let mut out = format!(
        "Peer                   : {}\n\
         Bond                   : {}\n\
         Link Select Method     : {}\n\
         Links                  : {}/{}\n\
         Failover Interval (ms) : {}\n\
         Up Delay (ms)          : {}\n\
         Down Delay (ms)        : {}\n\
         Packets Per Link       : {}\n\n",
        json::text(bond, "address"),
        json::text(bond, "bondingPolicyStr"),
        json::integer(bond, "linkSelectMethod"),
        json::integer(bond, "numAliveLinks"),
        json::integer(bond, "numTotalLinks"),
        json::integer(bond, "failoverInterval"),
        json::integer(bond, "upDelay"),
        json::integer(bond, "downDelay"),
        json::integer(bond, "packetsPerLink"),
    );
    let rule = "-".repeat(RULE_LENGTH);
    let paths = json::list(bond, "paths");
    let _ = writeln!(
        out,
        "idx                  interface                                  path               socket             local port\n{rule}"
    );
    for (index, path) in paths.iter().enumerate() {
        let _ = writeln!(
            out,
            "{index:>2}: {:>26} {:>51} {:016x} {:>12}",
            json::text(path, "ifname"),
            json::text(path, "address"),
            json::integer(path, "localSocket"),
            json::integer(path, "localPort"),
        );
    }
    let _ = writeln!(
        out,
        "\nidx     lat      pdv    capacity    qual      rx_age      tx_age  eligible  bonded   flows\n{rule}"
    );
    for (index, path) in paths.iter().enumerate() {
        let _ = writeln!(
            out,
            "{index:>2}: {:>8.2} {:>8.2} {:>10} {:>7.4} {:>11} {:>11} {:>9} {:>7} {:>7}",
            json::float(path, "latencyMean"),
            json::float(path, "latencyVariance"),
            json::integer(path, "givenLinkSpeed"),
            json::float(path, "relativeQuality"),
            json::integer(path, "lastInAge"),
            json::integer(path, "lastOutAge"),
            json::integer(path, "eligible"),
            json::integer(path, "bonded"),
            json::integer(path, "assignedFlowCount"),
        );
    }
    out
}

fn rotate(session: &Session<'_>, peer: &str) -> Answer {
    let request = Request::Post(&json!({}));
    let path = format!("/bond/rotate/{peer}");
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

/// `bond setmtu <mtu> <interface> <ip>`
fn set_mtu(session: &Session<'_>) -> Answer {
    let word = |index| session.options.word(index);
    let (mtu, interface, ip) = (word(2), word(3), word(4));
    let plain = |text: &str, also: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    if mtu.parse::<u32>().is_err() || !plain(interface, "_.-@") || !plain(ip, ".:%") {
        return Err(incomplete(
            session,
            "bond setmtu needs a packet size, the name of an interface and an IP address on it",
        ));
    }
    let path = format!("/bond/setmtu/{mtu}/{interface}/{ip}");
    let Reply { status, body: text } = session.send(Request::Post(&json!({})), &path)?;
    match (status, session.manner) {
        (200, _) if session.options.json => Ok(body(session, &text)),
        (200, _) => Ok(Outcome::ok("200 setmtu OK\n")),
        (_, Manner::Original) => Err(Outcome::to_stdout(
            1,
            format!("{status} Failed to set MTU: {text}\n"),
        )),
        (400, Manner::Hawser) => Err(session.failure(&format!("cannot set the MTU: {text}"))),
        (_, Manner::Hawser) => Err(session.refused(&Reply { status, body: text })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bond of service specification D.6.
    fn peer() -> Value {
        let path = |ifname, socket: u64, age, bonded| {
            json!({"address": "10.79.0.3/9993", "assignedFlowCount": 0, "bonded": bonded, "eligible": 1,
                "givenLinkSpeed": 0, "ifname": ifname, "lastInAge": age, "lastOutAge": age, "latencyMean": 0.0,
                "latencyVariance": 0.0, "localPort": 9993, "localSocket": socket, "relativeQuality": 0.0})
        };
        json!({"address": "caf20f3e73", "bondingPolicyCode": 1, "bondingPolicyStr": "active-backup", "downDelay": 0,
            "failoverInterval": 5000, "isBonded": true, "numAliveLinks": 4, "numTotalLinks": 4, "packetsPerLink": 64,
            "paths": [path("eth0", 0x5623_2170_9250, 20, 0), path("eth1", 0x5623_2170_7660, 1567, 1)], "upDelay": 0})
    }

    #[test]
    fn a_row_per_bond() {
        assert_eq!(
            table(&[peer(), json!({"address": "62f865ae71", "isBonded": false})]),
            "    <peer>                        <bondtype>     <links>\n\
             caf20f3e73                     active-backup         4/4\n"
        );
        assert_eq!(
            table(&[]),
            "    <peer>                        <bondtype>     <links>\n      NONE\t\t\t\tNONE\t    NONE       NONE\n"
        );
    }

    #[test]
    fn details_of_a_bond() {
        let rule = "-".repeat(120);
        let expected = format!(
            "Peer                   : caf20f3e73
Bond                   : active-backup
Link Select Method     : 0
Links                  : 4/4
Failover Interval (ms) : 5000
Up Delay (ms)          : 0
Down Delay (ms)        : 0
Packets Per Link       : 64

idx                  interface                                  path               socket             local port
{rule}
 0:                       eth0                                      10.79.0.3/9993 0000562321709250         9993
 1:                       eth1                                      10.79.0.3/9993 0000562321707660         9993

idx     lat      pdv    capacity    qual      rx_age      tx_age  eligible  bonded   flows
{rule}
 0:     0.00     0.00          0  0.0000          20          20         1       0       0
 1:     0.00     0.00          0  0.0000        1567        1567         1       1       0
"
        );
        assert_eq!(details(&peer()), expected);
    }
}
