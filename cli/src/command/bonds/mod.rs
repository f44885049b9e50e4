//! Bonds: several physical paths to one peer (service specification D.6, multipath specification E). As `zerotier-cli` what
//! 1.14.1 can do looks as it does there; `hawser` shows more.

mod classic;
mod events;
mod orders;
mod report;
mod test;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::json;

use super::{Answer, body};
use crate::client::{Reply, Request};
use crate::json;
use crate::outcome::Outcome;
use crate::session::Session;
use crate::{Manner, usage};

/// Time between two states that `--watch` shows.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// What can be said of one bond.
const VERBS: &str = "show, rotate, test, enable, disable, set or link";

/// `bond`: list, events, setmtu, or something about a peer, whose address stands before the verb or after it.
pub(super) fn bond(session: &Session<'_>) -> Answer {
    let words: Vec<&str> = session
        .options
        .words
        .iter()
        .skip(1)
        .map(String::as_str)
        .collect();
    dispatch(session, &words)
}

/// `show bond <peer>`, as the manual has it.
pub(super) fn show_bond(session: &Session<'_>) -> Answer {
    let word = |index| session.options.word(index);
    match (word(1), session.manner) {
        ("bond", _) => dispatch(session, &["show", word(2)]),
        // The original does not know the word at all.
        (_, Manner::Original) => Err(Outcome::to_stderr(
            0,
            usage::of(Manner::Original, session.program),
        )),
        (_, Manner::Hawser) => {
            Err(session.mistake("show is followed by bond and the address of a peer"))
        }
    }
}

fn dispatch(session: &Session<'_>, words: &[&str]) -> Answer {
    let word = |index: usize| words.get(index).copied().unwrap_or("");
    // Both orders are natural, so both work.
    let (peer, verb) = if is_address(word(0)) {
        (word(0), word(1))
    } else {
        (word(1), word(0))
    };
    let rest = words.get(2..).unwrap_or_default();
    match verb {
        "list" => list(session),
        "events" => events::events(session),
        "setmtu" => set_mtu(session),
        "test" if word(0) == "test" && word(1).is_empty() => test::all(session),
        _ if !is_address(peer) => Err(incomplete(session, &no_peer(word(0), word(1)))),
        "show" if session.options.watch => watch(session, peer),
        "show" => show(session, peer),
        "test" => test::one(session, peer),
        "rotate" => orders::rotate(session, peer, rest),
        "enable" => orders::enable(session, peer, rest),
        "disable" => orders::disable(session, peer),
        "set" => orders::set(session, peer, rest),
        "link" => orders::link(session, peer, rest),
        "" => Err(incomplete(
            session,
            &format!("bond {peer} needs one of {VERBS}"),
        )),
        verb => Err(incomplete(
            session,
            &format!("bond {peer} does not know {verb:?}; it needs one of {VERBS}"),
        )),
    }
}

fn no_peer(first: &str, second: &str) -> String {
    const KNOWN: [&str; 7] = ["show", "rotate", "test", "enable", "disable", "set", "link"];
    match (first, second) {
        ("", _) => "bond needs to know what to do: list, show, rotate or setmtu; or enable, disable, set, link, test, events"
            .to_owned(),
        (verb, "") if KNOWN.contains(&verb) => format!("bond {verb} needs the address of a peer"),
        (peer, verb) | (verb, peer) if KNOWN.contains(&verb) => {
            format!("{peer:?} is not the address of a peer, which has 10 hexadecimal digits")
        }
        (first, _) => format!("bond does not know {first:?}; try list, events, setmtu, test, or an address with {VERBS}"),
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
    if session.options.json {
        return Ok(Outcome::ok(json::pretty(&peers)));
    }
    if !session.is_hawser() {
        return Ok(Outcome::ok(classic::table(json::elements(&peers))));
    }
    let mut outcome = Outcome::ok(report::table(json::elements(&peers)));
    // Only our own service has this; another one is silent about problems.
    let reply = session.send(Request::Get, "/bond")?;
    if reply.status == 200
        && let Ok(bonding) = serde_json::from_str(&reply.body)
    {
        outcome.stderr = report::problems(&bonding) + &report::unbonded(&bonding);
    }
    Ok(outcome)
}

fn show(session: &Session<'_>, peer: &str) -> Answer {
    let path = format!("/bond/show/{peer}");
    // hawser would otherwise say that bonding was "refused".
    if session.is_hawser() {
        let reply = session.send(Request::Get, &path)?;
        if reply.status == 400 {
            return Err(no_bond(session, peer));
        }
    }
    let bond = session.read(&path)?;
    Ok(Outcome::ok(if session.options.json {
        json::pretty(&bond)
    } else if session.is_hawser() && !session.options.classic {
        report::bond(&bond)
    } else {
        classic::details(&bond)
    }))
}

/// `bond <peer> show --watch`: again every second, until Ctrl-C or until nobody reads.
fn watch(session: &Session<'_>, peer: &str) -> Answer {
    let mut out = std::io::stdout();
    // A terminal shows one state at a time; a file gets them one after another.
    let (before, after) = if out.is_terminal() {
        ("\x1b[H\x1b[2J", "")
    } else {
        ("", "\n")
    };
    loop {
        let shown = show(session, peer)?.stdout;
        let written = out
            .write_all(format!("{before}{shown}{after}").as_bytes())
            .and_then(|()| out.flush());
        if written.is_err() {
            return Ok(Outcome::silent());
        }
        std::thread::sleep(WATCH_INTERVAL);
    }
}

/// There is no bond, and why, if the service can tell.
fn no_bond(session: &Session<'_>, peer: &str) -> Outcome {
    let reply = session.send(Request::Get, &format!("/bond/{peer}"));
    let answer = reply.ok().and_then(|reply| {
        let answer: serde_json::Value = serde_json::from_str(&reply.body).ok()?;
        Some(answer["error"].as_str()?.to_owned())
    });
    if let Some(reason) = answer {
        return session.failure(&reason);
    }
    session.failure(&format!(
        "there is no bond with {peer}: bonding is off, or this peer is not known or has no path"
    ))
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
