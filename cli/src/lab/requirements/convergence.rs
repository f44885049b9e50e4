//! How soon shares follow a link that becomes slower, or faster again, under load: rows 23 and 24.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::pair::{Pair, Scenario};
use super::parts::{Part, all_of};
use super::placement::Placement;
use super::row::{Case, Load, Measurement, Row};
use crate::lab::flows::TcpFlows;
use crate::lab::policy::Policy;

const LINKS: usize = 3;
const RATE: u32 = 30;
/// The link that changes, and what is left of its rate.
const CUT: usize = 2;
const REST: u32 = RATE / 10;
/// Four for each link.
const CONNECTIONS: usize = 4 * LINKS;
/// The bond knows its links' capacities by then.
const WARM_UP: Duration = Duration::from_secs(10);
/// How long each change is watched.
const WATCHED: Duration = Duration::from_secs(16);
/// What holds for so long counts as reached.
const LASTING: Duration = Duration::from_secs(1);
/// New flows of the passive strategy, and how often each sends in a second: next to nothing.
const NEW_FLOWS: usize = 100;
const NEW_FLOW_RATE: u32 = 5;

/// The bond and the traffic at one moment.
#[derive(Clone, Debug)]
struct Moment {
    at: Duration,
    /// Target shares by link.
    targets: Vec<f64>,
    /// Parts of all slots by link.
    slots: Vec<f64>,
    /// Bytes that have arrived in all.
    arrived: u64,
}

impl Moment {
    fn now(pair: &Pair, flows: &TcpFlows, start: Instant) -> io::Result<Self> {
        let (targets, slots) = pair.targets_and_slots()?;
        Ok(Self {
            at: start.elapsed(),
            targets,
            slots,
            arrived: flows.received().iter().sum(),
        })
    }

    /// Each link has its target's part of the slots, give or take a tenth of that.
    fn meets_targets(&self) -> bool {
        let mut pairs = self.targets.iter().zip(&self.slots);
        pairs.all(|(target, slots)| (slots - target).abs() <= 0.1 * target)
    }
}

/// What became of one change.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Change {
    /// Until the target of the link went half of the way to its new share, or was within a tenth of it. A link that is left
    /// out for the moment has been noticed.
    detected: Option<Duration>,
    /// Until the slots met their targets after that, that of the link being half of its share at least: it was measured.
    placed: Option<Duration>,
    /// Until nine tenths of what the links carry now arrived.
    full: Option<Duration>,
}

impl Change {
    /// `moments` since the change, the first one before anything could notice; `share`: the link's new one; `sum`: Mbit/s.
    fn of(moments: &[Moment], share: f64, sum: f64) -> Self {
        let old = moments.first().map_or(0.0, |moment| moment.targets[CUT]);
        let (least, most) = match share < old {
            true => (0.0, ((old + share) / 2.0).max(1.1 * share)),
            false => (((old + share) / 2.0).min(0.9 * share), 1.0),
        };
        let noticed = |moment: &Moment| (least..=most).contains(&moment.targets[CUT]);
        let detected = first_lasting(moments, |index| noticed(&moments[index]));
        let placed = first_lasting(moments, |index| {
            let moment = &moments[index];
            noticed(moment) && is_measured(moment.targets[CUT], share) && moment.meets_targets()
        });
        let full = first_lasting(moments, |index| {
            rate_before(moments, index).is_some_and(|rate| rate >= 0.9 * sum)
        });
        Self {
            detected,
            placed,
            full,
        }
    }

    fn to_json(self) -> Value {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        json!({"detected": seconds(self.detected), "placed": seconds(self.placed), "full": seconds(self.full)})
    }

    fn text(&self) -> String {
        let time = |time: Option<Duration>| {
            time.map_or_else(
                || format!("not within {} s", WATCHED.as_secs()),
                |time| format!("{:.2} s", time.as_secs_f64()),
            )
        };
        format!(
            "noticed {}, slots {}, goodput {}",
            time(self.detected),
            time(self.placed),
            time(self.full)
        )
    }

    fn holds(&self, detection: Duration, placement: Option<Duration>) -> bool {
        let within = |time: Option<Duration>, limit| time.is_some_and(|time| time <= limit);
        within(self.detected, detection)
            && placement.is_none_or(|limit| within(self.placed, limit) && within(self.full, limit))
    }
}

/// The link was not just left out.
fn is_measured(target: f64, share: f64) -> bool {
    target >= share / 2.0
}

/// Mbit/s that arrived in the second before a moment.
fn rate_before(moments: &[Moment], index: usize) -> Option<f64> {
    let end = &moments[index];
    let from = end.at.checked_sub(Duration::from_secs(1))?;
    let start = moments[..index].iter().rfind(|moment| moment.at <= from)?;
    let seconds = (end.at - start.at).as_secs_f64();
    Some((end.arrived - start.arrived) as f64 * 8.0 / 1e6 / seconds)
}

/// When `holds` began to hold for at least [`LASTING`].
fn first_lasting(moments: &[Moment], holds: impl Fn(usize) -> bool) -> Option<Duration> {
    let mut since = None;
    for (index, moment) in moments.iter().enumerate() {
        if !holds(index) {
            since = None;
            continue;
        }
        let began = *since.get_or_insert(moment.at);
        if moment.at - began >= LASTING {
            return Some(began);
        }
    }
    None
}

/// The link's part of what all carry, at this rate.
fn share_of(rate: u32) -> f64 {
    f64::from(rate) / f64::from(rate + RATE * (LINKS as u32 - 1))
}

/// Changes the link's rate and watches. `sum`: Mbit/s of payload that all links carry then.
fn change(pair: &Pair, flows: &TcpFlows, rate: u32, sum: f64) -> io::Result<Change> {
    let start = Instant::now();
    let mut moments = vec![Moment::now(pair, flows, start)?];
    pair.set_rate(CUT as u8, rate)?;
    while start.elapsed() < WATCHED {
        thread::sleep(Duration::from_millis(50));
        moments.push(Moment::now(pair, flows, start)?);
    }
    Ok(Change::of(&moments, share_of(rate), sum))
}

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
            23,
            "convergence after a link's capacity / 10",
            "noticed <= 1 s; within 10 % of the new target: aggressive <= 3 s, opportunistic <= 10 s, passive new flows",
            slower,
        ),
        row(
            24,
            "convergence after a link's capacity x 10, backlogged",
            "<= 10 s",
            faster,
        ),
    ]
}

/// A pair under load with this strategy, and Mbit/s of payload.
fn loaded(case: &Case, strategy: &str) -> io::Result<(Pair, TcpFlows, f64)> {
    let scenario =
        Scenario::equal(LINKS, RATE, case.policy).with("rebalanceStrategy", json!(strategy));
    let pair = Pair::start(case, &scenario)?;
    let flows = pair.connections(CONNECTIONS)?;
    thread::sleep(WARM_UP);
    let sum = flows.rates(Duration::from_secs(4)).iter().sum();
    Ok((pair, flows, sum))
}

/// What is left of `sum` when one link carries a tenth.
fn with_one_slow(sum: f64) -> f64 {
    sum * f64::from(RATE * (LINKS as u32 - 1) + REST) / f64::from(RATE * LINKS as u32)
}

fn slower(case: &Case) -> io::Result<Measurement> {
    let seconds = Duration::from_secs;
    let mut parts = Vec::new();
    for (strategy, limit) in [
        ("aggressive", Some(seconds(3))),
        ("opportunistic", Some(seconds(10))),
        ("passive", None),
    ] {
        let (pair, flows, sum) = loaded(case, strategy)?;
        let change = change(&pair, &flows, REST, with_one_slow(sum))?;
        let mut part = Part {
            case: strategy.to_owned(),
            values: change.to_json(),
            measured: change.text(),
            holds: change.holds(seconds(1), limit),
        };
        if limit.is_none() {
            let (share, target) = new_flows(&pair)?;
            part.measured += &format!(", {share:.3} of new flows on it, target {target:.3}");
            part.holds &= share <= target + 0.1 && is_measured(target, share_of(REST));
        }
        parts.push(part);
    }
    Ok(all_of(&parts))
}

fn faster(case: &Case) -> io::Result<Measurement> {
    let limit = Duration::from_secs(10);
    let mut parts = Vec::new();
    for strategy in ["aggressive", "opportunistic"] {
        let (pair, flows, sum) = loaded(case, strategy)?;
        change(&pair, &flows, REST, with_one_slow(sum))?;
        let change = change(&pair, &flows, RATE, sum)?;
        parts.push(Part {
            case: strategy.to_owned(),
            values: change.to_json(),
            measured: change.text(),
            holds: change.holds(limit, Some(limit)),
        });
    }
    Ok(all_of(&parts))
}

/// The part of flows that begin now which the slow link gets, and its target.
fn new_flows(pair: &Pair) -> io::Result<(f64, f64)> {
    let flows = pair.paced(NEW_FLOWS, NEW_FLOW_RATE)?;
    let placement = Placement::observe(pair, NEW_FLOWS, Duration::from_secs(1))?;
    drop(flows);
    let (targets, _) = pair.targets_and_slots()?;
    let placed = placement.flows_by_link(pair.link_count());
    let all: usize = placed.iter().sum();
    Ok((placed[CUT] as f64 / all.max(1) as f64, targets[CUT]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(of: impl Fn(u64) -> (f64, f64)) -> Vec<Moment> {
        (0..200)
            .map(|step| {
                let (target, slots) = of(step * 50);
                Moment {
                    at: Duration::from_millis(step * 50),
                    targets: vec![(1.0 - target) / 2.0, (1.0 - target) / 2.0, target],
                    slots: vec![(1.0 - slots) / 2.0, (1.0 - slots) / 2.0, slots],
                    // 8 Mbit/s.
                    arrived: step * 50_000,
                }
            })
            .collect()
    }

    #[test]
    fn times_are_those_from_which_it_lasts() {
        let list = moments(|ms| match ms {
            0..400 => (0.33, 0.33),
            // A glance at the new target does not count.
            400..500 => (0.05, 0.33),
            500..800 => (0.33, 0.33),
            800..2000 => (0.05, 0.2),
            _ => (0.05, 0.052),
        });
        let change = Change::of(&list, 0.05, 8.0);
        assert_eq!(change.detected, Some(Duration::from_millis(800)));
        assert_eq!(change.placed, Some(Duration::from_millis(2000)));
        assert_eq!(change.full, Some(Duration::from_millis(1000)));
        assert!(change.holds(Duration::from_secs(1), Some(Duration::from_secs(3))));
        assert!(!change.holds(Duration::from_secs(1), Some(Duration::from_secs(1))));
    }

    #[test]
    fn a_link_that_is_left_out_was_noticed_and_not_measured() {
        let first = |ms, then| if ms == 0 { 0.33 } else { then };
        let change = |then| Change::of(&moments(|ms| (first(ms, then), then)), 0.05, 8.0);
        let soon = Some(Duration::from_millis(50));
        assert_eq!((change(0.0).detected, change(0.0).placed), (soon, None));
        assert_eq!((change(0.04).detected, change(0.04).placed), (soon, soon));
    }

    #[test]
    fn what_never_happens_has_no_time() {
        let change = Change::of(&moments(|_| (0.33, 0.33)), 0.05, 9.0);
        assert_eq!(
            (change.detected, change.placed, change.full),
            (None, None, None)
        );
        assert!(!change.holds(Duration::from_secs(1), None));
    }
}
