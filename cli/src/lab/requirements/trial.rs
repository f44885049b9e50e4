//! One trial: a link fails under a paced stream. How long does the stream suffer?

use std::io;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::bed::{Bed, Failure};
use super::sample::{Sample, milliseconds};
use crate::lab::bonds::busiest;
use crate::lab::delivery::Delivery;
use crate::lab::failures;
use crate::lab::stream::{Pace, Stream};

/// The stream before the failure: part of it shows which link carries it.
const WARM_UP: Duration = Duration::from_millis(300);
const WATCHED: Duration = Duration::from_millis(400);
/// The stream goes on at least so long after the failure,
const AFTER: Duration = Duration::from_millis(900);
/// and until it was whole for so long,
const WHOLE: Duration = Duration::from_millis(300);
/// but not longer than this.
const PATIENCE: Duration = Duration::from_secs(30);
/// The latest datagrams may still be on their way.
const ON_THE_WAY: Duration = Duration::from_millis(100);
/// When the near member must have noticed a failure that the operating system knows of.
const KNOWN_AFTER: Duration = Duration::from_millis(50);
/// A sender that was late by more than this was held up by the machine: the trial says nothing about the bond.
const HELD_UP: Duration = Duration::from_millis(30);

/// How trials are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrialPlan<'a> {
    pub(super) pace: Pace,
    /// The directions that must be whole again (0: from the near member).
    pub(super) judged: &'a [usize],
}

/// What became of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    /// The link that failed.
    pub(super) link: u8,
    pub(super) failure: Failure,
    /// Datagrams that the near member sent by the failed link when it should have known better; known of local failures.
    pub(super) into_the_void: Option<u64>,
    /// Outage, from the near member to the far one, and back.
    pub(super) outages: [Duration; 2],
    pub(super) deliveries: [Delivery; 2],
}

impl Trial {
    /// The longest outage of these directions.
    pub(super) fn outage(&self, directions: &[usize]) -> Duration {
        let outages = directions.iter().map(|direction| self.outages[*direction]);
        outages.max().unwrap_or_default()
    }
}

/// How long a stream suffered: the longest gap beyond the usual one, or the time from the first datagram lost to the last, if
/// that is longer, as where only some of the datagrams take the failed link.
fn outage(delivery: &Delivery, interval: Duration) -> Duration {
    let gap = delivery.longest_gap.saturating_sub(interval);
    gap.max(delivery.losses_lasted)
}

/// True if the machine held the senders up.
fn was_held_up(delivery: &Delivery, interval: Duration) -> bool {
    delivery.sent > 0 && delivery.longest_pause > interval + HELD_UP
}

/// So many trials may be made again, or as many as there are if that is more.
const MOST_REPEATED: u32 = 20;

/// The trials of a row. Those in which the machine was busy with other things are made again.
pub(super) struct Trials {
    pub(super) all: Vec<Trial>,
    pub(super) repeated: u32,
}

impl Trials {
    /// Makes so many; `failure` says how number n fails.
    pub(super) fn make(
        bed: &Bed,
        plan: &TrialPlan<'_>,
        count: u32,
        failure: impl Fn(u32) -> Failure,
    ) -> io::Result<Self> {
        let mut trials = Self {
            all: Vec::new(),
            repeated: 0,
        };
        for number in 0..count {
            let trial = loop {
                match make(bed, plan, failure(number))? {
                    Some(trial) => break trial,
                    None if trials.repeated < MOST_REPEATED.max(count) => trials.repeated += 1,
                    None => return Err(io::Error::other("the machine is too busy to measure")),
                }
            };
            trials.all.push(trial);
        }
        Ok(trials)
    }

    /// Outages of these directions.
    pub(super) fn outages(&self, directions: &[usize]) -> Sample {
        Sample::new(self.all.iter().map(|trial| trial.outage(directions)))
    }

    /// Lost datagrams per trial at most, of these directions.
    pub(super) fn most_lost(&self, directions: &[usize]) -> u64 {
        let lost = |trial: &Trial| -> u64 {
            let lost = directions.iter().map(|n| trial.deliveries[*n].lost);
            lost.sum()
        };
        self.all.iter().map(lost).max().unwrap_or(0)
    }

    pub(super) fn to_json(&self) -> Value {
        let trial = |trial: &Trial| {
            json!({
                "link": trial.link,
                "failure": format!("{:?}", trial.failure),
                "sentIntoTheVoid": trial.into_the_void,
                "outageMs": trial.outages.map(milliseconds),
                "gapMs": trial.deliveries.map(|d| milliseconds(d.longest_gap)),
                "lossesLastedMs": trial.deliveries.map(|d| milliseconds(d.losses_lasted)),
                "lost": trial.deliveries.map(|d| d.lost),
                "duplicated": trial.deliveries.map(|d| d.duplicated),
                "reordered": trial.deliveries.map(|d| d.reordered),
            })
        };
        json!({
            "trials": self.all.iter().map(trial).collect::<Vec<_>>(),
            "repeated": self.repeated,
        })
    }
}

/// One trial; `None` if the machine spoilt it.
fn make(bed: &Bed, plan: &TrialPlan<'_>, failure: Failure) -> io::Result<Option<Trial>> {
    let stream = bed.stream(plan.pace)?;
    let link = link_in_use(bed)?;
    let is_known = matches!(failure, Failure::Carrier | Failure::Address);
    let host = bed.near().host();
    if is_known {
        failures::count_departures(host, link)?;
    }
    let disturbed = stream.elapsed();
    bed.fail(link, failure)?;
    thread::sleep((disturbed + KNOWN_AFTER).saturating_sub(stream.elapsed()));
    let departures = || {
        let departures = is_known.then(|| failures::departures(host, link));
        departures.transpose()
    };
    let before = departures()?;
    wait_until_whole(&stream, disturbed, plan.judged);
    let into_the_void = departures()?.zip(before).map(|(now, before)| now - before);
    let deliveries = stream.finish(disturbed)?;
    bed.heal(link, failure)?;
    bed.recover(link)?;
    let interval = plan.pace.interval();
    if deliveries.iter().any(|d| was_held_up(d, interval)) {
        return Ok(None);
    }
    Ok(Some(Trial {
        link,
        failure,
        into_the_void,
        outages: deliveries.map(|delivery| {
            if delivery.sent > 0 {
                outage(&delivery, interval)
            } else {
                Duration::ZERO
            }
        }),
        deliveries,
    }))
}

/// Lets a stream that has begun run for a while, and tells which link carries most of it.
pub(super) fn link_in_use(bed: &Bed) -> io::Result<u8> {
    thread::sleep(WARM_UP);
    let before = bed.sent_by_link()?;
    thread::sleep(WATCHED);
    Ok(busiest(&before, &bed.sent_by_link()?))
}

/// Waits after a disturbance until everything arrives again in these directions, or patience ends.
pub(super) fn wait_until_whole(stream: &Stream, disturbed: Duration, directions: &[usize]) {
    loop {
        thread::sleep(Duration::from_millis(50));
        let now = stream.elapsed();
        let until = now.saturating_sub(ON_THE_WAY);
        let whole = || {
            let shares = stream.arrived_shares(until.saturating_sub(WHOLE), until);
            directions.iter().all(|n| shares[*n] >= 1.0)
        };
        if now > disturbed + PATIENCE || (now > disturbed + AFTER && whole()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_outage_is_a_gap_beyond_the_usual_or_the_time_of_losses() {
        let gap = Delivery {
            longest_gap: MS * 60,
            losses_lasted: MS * 42,
            ..Delivery::default()
        };
        assert_eq!(outage(&gap, MS * 10), MS * 50);
        let some_of_them = Delivery {
            longest_gap: MS * 20,
            losses_lasted: MS * 200,
            ..Delivery::default()
        };
        assert_eq!(outage(&some_of_them, MS * 10), MS * 200);
    }

    #[test]
    fn a_sender_that_was_late_spoils_a_trial() {
        let delivery = |pause| Delivery {
            sent: 5,
            longest_pause: pause,
            ..Delivery::default()
        };
        assert!(!was_held_up(&delivery(MS * 12), MS * 10));
        assert!(was_held_up(&delivery(MS * 70), MS * 10));
        // A direction in which nothing is sent has no sender.
        let nothing = Delivery {
            longest_pause: MS * 900,
            ..Delivery::default()
        };
        assert!(!was_held_up(&nothing, MS * 10));
    }
}
