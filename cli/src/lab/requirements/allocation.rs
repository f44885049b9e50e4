//! Whether links carry their shares, and leave flows where they are: rows 25 and 26.

use std::io;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::pair::{Pair, Scenario};
use super::parts::{Part, all_of};
use super::placement::{Moves, Placement};
use super::row::{Case, Load, Measurement, Row};
use crate::lab::policy::Policy;

/// Mbit/s: the ten-to-one-to-one of the specification's example, as this machine can carry it.
const UNEQUAL: [u32; 3] = [50, 5, 5];
const FLOWS: usize = 120;
/// Datagrams per second of each flow: together about 70 % of what the links carry.
const FLOW_RATE: u32 = 45;
/// Steady from then on.
const WARM_UP: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(10);
const MOST_ERROR: f64 = 0.05;

/// Mbit/s of equal links, the connections that fill them, and the small flows among those that show moves.
const EQUAL: u32 = 30;
const CONNECTIONS: usize = 12;
const TRACERS: usize = 100;
const TRACER_RATE: u32 = 5;
/// Row 26 counts per minute.
const MINUTE: Duration = Duration::from_secs(60);
/// Slots of a bond (multipath specification D.3), and the part of them that may move in a minute.
const SLOTS: f64 = 1024.0;
const MOVABLE: f64 = 0.01;
const LEAST_REST: Duration = Duration::from_secs(10);

pub(super) fn rows() -> Vec<Row> {
    let row = |number, quantity, ours, measure| Row {
        number,
        quantity,
        ours,
        towards_stock: Some(ours),
        policies: &[Policy::BalanceAware],
        load: Load::Heavy,
        measure,
    };
    vec![
        row(
            25,
            "allocation error, links 10:1:1, 120 UDP flows",
            "<= 5 % of all bytes",
            shares,
        ),
        row(
            26,
            "moves of flows in steady state",
            "<= 1 % of the slots in a minute, no flow twice within 10 s",
            moves,
        ),
    ]
}

fn shares(case: &Case) -> io::Result<Measurement> {
    let mut parts = Vec::new();
    let aware = Scenario::of(UNEQUAL.to_vec(), case.policy);
    for (scenario, how) in [
        (aware.clone().declared(), "declared"),
        (aware, "nothing declared"),
    ] {
        let pair = Pair::start(case, &scenario)?;
        let flows = pair.paced(FLOWS, FLOW_RATE)?;
        thread::sleep(WARM_UP);
        let placement = Placement::observe(&pair, FLOWS, WINDOW)?;
        drop(flows);
        let (shares, placed) = (placement.shares(3), placement.flows_by_link(3));
        let error = error(&shares, &UNEQUAL);
        parts.push(Part {
            case: format!("50, 5 and 5 Mbit/s {how}"),
            values: json!({"error": error, "shares": shares, "flows": placed}),
            measured: format!("{:.1} %, flows {placed:?}", 100.0 * error),
            holds: error <= MOST_ERROR,
        });
    }
    Ok(all_of(&parts))
}

/// What is on a wrong link, 0 to 1: half the sum of what links have too much or too little.
fn error(shares: &[f64], rates: &[u32]) -> f64 {
    let sum = f64::from(rates.iter().sum::<u32>());
    let wrong = shares
        .iter()
        .zip(rates)
        .map(|(share, rate)| (share - f64::from(*rate) / sum).abs());
    wrong.sum::<f64>() / 2.0
}

fn moves(case: &Case) -> io::Result<Measurement> {
    let pair = Pair::start(case, &Scenario::equal(3, EQUAL, case.policy))?;
    let backlog = pair.connections(CONNECTIONS)?;
    let tracers = pair.paced(TRACERS, TRACER_RATE)?;
    thread::sleep(WARM_UP);
    let (_, before) = pair.events(0)?;
    let window = case.options.observation(MINUTE);
    let moves = Moves::watch(&pair, TRACERS, window)?;
    let slots = slots_moved(&pair, before)?;
    drop((backlog, tracers));
    let rest = moves.shortest_rest();
    let part = slots as f64 / SLOTS * MINUTE.as_secs_f64() / window.as_secs_f64();
    let again = rest.map_or_else(
        || ", none twice".to_owned(),
        |rest| format!(", one again after {:.1} s", rest.as_secs_f64()),
    );
    Ok(all_of(&[Part {
        case: format!("3 x {EQUAL} Mbit/s, {CONNECTIONS} TCP and {TRACERS} small UDP flows"),
        values: json!({"slots": slots, "smallFlows": moves.count(), "rest": rest.map(|r| r.as_secs_f64())}),
        measured: format!(
            "{slots} slots ({:.2} % a minute), {} moves of small flows{again}",
            100.0 * part,
            moves.count(),
        ),
        holds: part <= MOVABLE && rest.is_none_or(|rest| rest >= LEAST_REST),
    }]))
}

/// Slots that the sender's events after number `since` tell to have moved.
fn slots_moved(pair: &Pair, since: u64) -> io::Result<u64> {
    let (events, _) = pair.events(since)?;
    let moved = events
        .iter()
        .filter(|event| event["event"] == "flows-moved");
    Ok(moved
        .filter_map(|event| slots_in(event["text"].as_str()?))
        .sum())
}

/// Reads `Moved 17 of 1024 slots …`.
fn slots_in(text: &str) -> Option<u64> {
    text.strip_prefix("Moved ")?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_what_lies_wrong() {
        assert!(error(&[50.0 / 60.0, 5.0 / 60.0, 5.0 / 60.0], &UNEQUAL) < 1e-9);
        assert!((error(&[0.0, 0.5, 0.5], &UNEQUAL) - 50.0 / 60.0).abs() < 1e-9);
    }

    #[test]
    fn moved_slots_are_read_from_the_event() {
        let text = "Moved 17 of 1024 slots of flows to peer 16a03a3d03 (uneven load)";
        assert_eq!(slots_in(text), Some(17));
        assert_eq!(slots_in("Removed link"), None);
    }
}
