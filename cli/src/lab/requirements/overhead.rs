//! What a bond costs beside its data: rows 27 and 28.

use std::collections::BTreeMap;
use std::fs;
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
/// The bond is idle for so long before it counts, and counts for so long if not told otherwise: five of the longest probe
/// intervals, almost two of those of waiting links.
const IDLE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(240);
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

/// Answers to an ECHO and to a HELLO over IPv4, with the header of UDP. Every node owes them to who asks, whether it bonds or
/// not: they are what the asking costs.
const ANSWERS: [u16; 2] = [8 + 28 + 9, 8 + 28 + 31];

/// Bytes per second by link and direction.
type Rates = BTreeMap<(u8, Direction), f64>;

/// What is required of an idle bond.
#[derive(Clone, Copy)]
enum Limit {
    /// Bytes per second of each path and direction.
    Path(f64),
    /// Bytes of the second link, which is metered and waits, in a month.
    Metered,
}

impl Limit {
    /// The number that counts, of these directions: bytes per second, or megabytes a month.
    fn cost(self, rates: &Rates, directions: &[Direction]) -> f64 {
        let counted = rates
            .iter()
            .filter(|((_, direction), _)| directions.contains(direction));
        match self {
            Self::Path(_) => counted.map(|(_, rate)| *rate).fold(0.0, f64::max),
            Self::Metered => {
                let waiting = counted.filter(|((link, _), _)| *link == 1);
                waiting.map(|(_, rate)| rate * MONTH / 1e6).sum()
            }
        }
    }

    fn most(self) -> f64 {
        match self {
            Self::Path(most) => most,
            Self::Metered => MOST_MEGABYTES,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Path(_) => "B/s",
            Self::Metered => "MB a month",
        }
    }
}

/// What passed between the two members while a bond was idle.
#[derive(Default)]
struct Idle {
    all: Rates,
    /// Without answers.
    unasked: Rates,
    /// What all consists of.
    kinds: Value,
}

impl Idle {
    fn to_json(&self) -> Value {
        let entry = |((link, direction), rate): (&(u8, Direction), &f64)| json!({"link": link, "direction": format!("{direction:?}"), "B/s": rate});
        let rates: Vec<Value> = self.all.iter().map(entry).collect();
        json!({"rates": rates, "packets": self.kinds})
    }
}

/// Counts an idle bond.
fn idle(case: &Case, scenario: &Scenario) -> io::Result<Idle> {
    let pair = Pair::start(case, scenario)?;
    thread::sleep(IDLE);
    census::begin(pair.sender())?;
    let window = case.options.observation(WINDOW);
    thread::sleep(window);
    let mut idle = Idle::default();
    let counts = census::read(pair.sender())?;
    let mut kinds = Vec::new();
    for (kind, count) in &counts {
        let link = (0..pair.link_count()).find(|link| {
            kind.interface == interface_name(*link) && kind.remote == pair.receiver_at(*link)
        });
        let Some(link) = link else {
            continue;
        };
        let (key, rate) = (
            (link, kind.direction),
            count.bytes as f64 / window.as_secs_f64(),
        );
        *idle.all.entry(key).or_default() += rate;
        if !ANSWERS.contains(&kind.length) {
            *idle.unasked.entry(key).or_default() += rate;
        }
        kinds.push(json!({"link": link, "direction": format!("{:?}", kind.direction), "length": kind.length, "packets": count.packets}));
    }
    idle.kinds = kinds.into();
    Ok(idle)
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            number: 27,
            quantity: "what an idle bond costs, after 60 s",
            ours: "dynamic <= 10 B/s, active <= 70*4000/fi B/s per path and direction; metered <= 10 MB a month",
            towards_stock: Some(
                "the same of what we send to one without a bond and to one with a bond, but for answers to what it asks",
            ),
            policies: &[Policy::BalanceAware],
            // Beds side by side.
            load: Load::Heavy,
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

/// Between two hawserd both bonds count, both directions, and all that is sent. A zerotier-one that bonds asks every path each
/// third of its failover interval and has to be answered (multipath specification B.7): that is what its bond costs, and is
/// told beside. What ours costs is the rest, with such a peer and with one that has no bond, which leaves the asking to ours.
fn probes(case: &Case) -> io::Result<Measurement> {
    let directions = case.by_peer(&[Direction::Out, Direction::In][..], &[Direction::Out]);
    let strategy = |name: &'static str, most| {
        let scenario = Scenario::equal(2, RATE, case.policy)
            .with("failoverInterval", json!(FAILOVER_INTERVAL))
            .with("monitorStrategy", json!(name));
        (name, scenario, Limit::Path(most))
    };
    let metered = Scenario::equal(2, RATE, Policy::ActiveBackup).with(
        "links",
        json!({interface_name(0): {"mode": "primary"}, interface_name(1): {"mode": "spare", "cost": 1}}),
    );
    let arrangements = [
        strategy("dynamic", 10.0),
        strategy("active", 70.0 * 4000.0 / f64::from(FAILOVER_INTERVAL)),
        ("metered spare link", metered, Limit::Metered),
    ];
    let both = arrangements.iter().map(|(_, scenario, _)| scenario.clone());
    let judged = both.clone().map(|scenario| match case.peer {
        Peer::Hawser => scenario,
        Peer::ZerotierOne => scenario.one_sided(),
    });
    let beside = both.filter(|_| case.peer == Peer::ZerotierOne);
    let seen = side_by_side(case, &judged.chain(beside).collect::<Vec<_>>())?;
    let (judged, beside) = seen.split_at(arrangements.len());
    let mut parts = Vec::new();
    for (position, (name, _, limit)) in arrangements.iter().enumerate() {
        let (most, unit) = (limit.most(), limit.unit());
        let all = |idle: &Idle| limit.cost(&idle.all, directions);
        let unasked = |idle: &Idle| limit.cost(&idle.unasked, directions);
        let alone = &judged[position];
        let (found, measured) = match beside.get(position) {
            None => (all(alone), format!("{:.1} of {most:.0} {unit}", all(alone))),
            Some(both) => {
                let text = format!(
                    "{:.1} of {most:.0} {unit} (with answers {:.1}), if the peer bonds too {:.1} (with answers {:.1})",
                    unasked(alone),
                    all(alone),
                    unasked(both),
                    all(both)
                );
                (unasked(alone).max(unasked(both)), text)
            }
        };
        parts.push(Part {
            case: (*name).to_owned(),
            values: json!({
                "judged": alone.to_json(),
                "ifThePeerBondsToo": beside.get(position).map(Idle::to_json),
            }),
            measured,
            holds: found <= most,
        });
    }
    Ok(all_of(&parts))
}

/// Counts several idle bonds at a time, each in a bed of its own.
fn side_by_side(case: &Case, scenarios: &[Scenario]) -> io::Result<Vec<Idle>> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(scenarios)
            .map(|(number, scenario): (u32, _)| {
                let case = Case {
                    folder: case.folder.join(number.to_string()),
                    ..case.clone()
                };
                scope.spawn(move || {
                    fs::create_dir_all(&case.folder)?;
                    idle(&case, scenario)
                })
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, io::Result<Idle>>| {
            let broke = |_| Err(io::Error::other("a measurement broke off"));
            thread.join().unwrap_or_else(broke)
        };
        threads.into_iter().map(join).collect()
    })
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
    let sent = counts
        .iter()
        .filter(|(kind, _)| kind.direction == Direction::Out && is_control(kind));
    let sent: u64 = sent.map(|(_, count)| count.bytes).sum();
    let sent = sent as f64 / all.max(1) as f64;
    let load = PacedFlows::megabits_per_second(FLOWS, FLOW_RATE);
    Ok(all_of(&[Part {
        case: format!("3 x {RATE} Mbit/s, {load:.0} Mbit/s of UDP one way"),
        values: json!({"control": control, "all": all, "kinds": kinds(&counts)}),
        measured: format!("{:.3} %, of it {:.3} sent", 100.0 * part, 100.0 * sent),
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
