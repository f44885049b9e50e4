//! What a bond costs beside its data: rows 27 and 28.

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::pair::{Pair, Scenario};
use super::parts::{Part, all_of};
use super::row::{Case, Load, Measurement, Peer, Row};
use crate::lab::census::{self, Count, Counts, Direction, Kind};
use crate::lab::flows::PacedFlows;
use crate::lab::policy::Policy;
use crate::lab::topology::interface_name;

const RATE: u32 = 30;
/// The bond is idle for so long before it counts, and counts for so long if not told otherwise: four of the longest probe intervals.
const IDLE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(120);
/// The default failover interval, ms.
const FAILOVER_INTERVAL: u32 = 1000;
const MOST_MEGABYTES: f64 = 10.0;
const MONTH: f64 = 30.0 * 86_400.0;

/// Under load: flows, datagrams per second of each, and what counts.
const FLOWS: usize = 60;
const FLOW_RATE: u32 = 90;
const MOST_CONTROL: f64 = 0.002;
const LOADED: Duration = Duration::from_secs(20);
/// Packets of data are longer than this, and what bonds say to each other is shorter, but for a full QOS_MEASUREMENT; those
/// only the receiver sends, and of the receiver's bytes all count.
const DATA: u16 = 640;

/// An answer to an ECHO, with the header of UDP. A zerotier-one that bonds asks a silent path every third of its failover
/// interval, and must be answered: that is what it costs, not what we do.
const ANSWER: u16 = 8 + 28 + 9;

/// Bytes per second by link and direction, of what passes between the two members.
fn by_path(
    pair: &Pair,
    counts: &Counts,
    peer: Peer,
    window: Duration,
) -> BTreeMap<(u8, Direction), f64> {
    let mut rates = BTreeMap::new();
    let own = |kind: &Kind| peer == Peer::Hawser || kind.length != ANSWER;
    for (kind, count) in counts.iter().filter(|(kind, _)| own(kind)) {
        let link = (0..pair.link_count()).find(|link| {
            kind.interface == interface_name(*link) && kind.remote == pair.receiver_at(*link)
        });
        if let Some(link) = link {
            *rates.entry((link, kind.direction)).or_default() +=
                count.bytes as f64 / window.as_secs_f64();
        }
    }
    rates
}

/// Counts an idle bond.
fn idle(case: &Case, scenario: &Scenario) -> io::Result<BTreeMap<(u8, Direction), f64>> {
    let pair = Pair::start(case, scenario)?;
    thread::sleep(IDLE);
    census::begin(pair.sender())?;
    let window = case.options.observation(WINDOW);
    thread::sleep(window);
    let counts = census::read(pair.sender())?;
    Ok(by_path(&pair, &counts, case.peer, window))
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            number: 27,
            quantity: "what an idle bond costs, after 60 s",
            ours: "dynamic <= 10 B/s, active <= 70*4000/fi B/s per path and direction; metered <= 10 MB a month",
            towards_stock: Some("the same of what we send, without answers to its probes"),
            policies: &[Policy::BalanceAware],
            load: Load::Light,
            measure: probes,
        },
        Row {
            number: 28,
            quantity: "control traffic under load",
            ours: "<= 0.2 % of bytes",
            towards_stock: Some("<= 0.2 % of bytes"),
            policies: &[Policy::BalanceAware],
            load: Load::Heavy,
            measure: control,
        },
    ]
}

fn probes(case: &Case) -> io::Result<Measurement> {
    let mut parts = Vec::new();
    // What a zerotier-one sends is its own affair.
    let counted = |direction: Direction| case.peer == Peer::Hawser || direction == Direction::Out;
    for (strategy, limit) in [
        ("dynamic", 10.0),
        ("active", 70.0 * 4000.0 / f64::from(FAILOVER_INTERVAL)),
    ] {
        let scenario = Scenario::equal(2, RATE, case.policy)
            .with("failoverInterval", json!(FAILOVER_INTERVAL))
            .with("monitorStrategy", json!(strategy));
        let rates = idle(case, &scenario)?;
        let counted = rates
            .iter()
            .filter(|((_, direction), _)| counted(*direction));
        let most = counted.map(|(_, rate)| *rate).fold(0.0, f64::max);
        parts.push(Part {
            case: strategy.to_owned(),
            values: to_json(&rates),
            measured: format!("{most:.1} B/s of {limit:.0}"),
            holds: most <= limit,
        });
    }
    let metered = Scenario::equal(2, RATE, Policy::ActiveBackup).with(
        "links",
        json!({interface_name(0): {"mode": "primary"}, interface_name(1): {"mode": "spare", "cost": 1}}),
    );
    let rates = idle(case, &metered)?;
    let spare = rates
        .iter()
        .filter(|((link, direction), _)| *link == 1 && counted(*direction));
    let month = spare.map(|(_, rate)| rate * MONTH / 1e6).sum::<f64>();
    parts.push(Part {
        case: "metered spare link".to_owned(),
        values: to_json(&rates),
        measured: format!("{month:.2} MB a month"),
        holds: month <= MOST_MEGABYTES,
    });
    Ok(all_of(&parts))
}

fn to_json(rates: &BTreeMap<(u8, Direction), f64>) -> Value {
    let entry = |((link, direction), rate): (&(u8, Direction), &f64)| json!({"link": link, "direction": format!("{direction:?}"), "B/s": rate});
    rates.iter().map(entry).collect()
}

fn control(case: &Case) -> io::Result<Measurement> {
    let pair = Pair::start(case, &Scenario::equal(3, RATE, case.policy))?;
    let flows = pair.paced(FLOWS, FLOW_RATE)?;
    thread::sleep(Duration::from_secs(5));
    census::begin(pair.sender())?;
    thread::sleep(LOADED);
    let counts = census::read(pair.sender())?;
    drop(flows);
    let (control, all) = control_bytes(&counts);
    let part = control as f64 / all.max(1) as f64;
    let load = PacedFlows::megabits_per_second(FLOWS, FLOW_RATE);
    Ok(all_of(&[Part {
        case: format!("3 x {RATE} Mbit/s, {load:.0} Mbit/s of UDP one way"),
        values: json!({"control": control, "all": all, "kinds": kinds(&counts)}),
        measured: format!("{:.3} %", 100.0 * part),
        holds: part <= MOST_CONTROL,
    }]))
}

/// Control by direction and length of the UDP datagram: what it consists of.
fn kinds(counts: &Counts) -> Value {
    let mut kinds: BTreeMap<(Direction, u16), Count> = BTreeMap::new();
    for (kind, count) in counts.iter().filter(|(kind, _)| is_control(kind)) {
        let sum = kinds.entry((kind.direction, kind.length)).or_default();
        sum.packets += count.packets;
        sum.bytes += count.bytes;
    }
    let entry = |((direction, length), count): (&(Direction, u16), &Count)| json!({"direction": format!("{direction:?}"), "length": length, "packets": count.packets, "bytes": count.bytes});
    kinds.iter().map(entry).collect()
}

fn is_control(kind: &Kind) -> bool {
    kind.direction == Direction::In || kind.length < DATA
}

/// Bytes that are no data, and all bytes.
fn control_bytes(counts: &Counts) -> (u64, u64) {
    let (mut control, mut all) = (0, 0);
    for (kind, count) in counts {
        all += count.bytes;
        if is_control(kind) {
            control += count.bytes;
        }
    }
    (control, all)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn data_is_what_is_long_and_goes_out() {
        let entry = |direction, length, bytes| {
            let kind = Kind {
                direction,
                interface: "eth0".to_owned(),
                remote: Ipv4Addr::LOCALHOST,
                length,
            };
            (kind, Count { packets: 1, bytes })
        };
        let counts = Counts::from([
            entry(Direction::Out, 1000, 1034),
            entry(Direction::Out, 36, 70),
            entry(Direction::In, 1400, 1434),
        ]);
        assert_eq!(control_bytes(&counts), (1504, 2538));
    }
}
