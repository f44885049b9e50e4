//! QOS_MEASUREMENT on one path, both roles: we note when packets were sent and received, report what we received, and turn
//! the peer's reports into samples (protocol specification 15.1, 15.2). Also serves peers that bond when we do not.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use protocol::verb::{MAX_QOS_RECORDS, QosRecord};
use protocol::{Instant, PacketId};

/// Most records that each role keeps, as in 1.14.1: three full reports.
pub const MAX_RECORDS: usize = 420;

/// The shortest interval between reports that a peer with the smallest failover interval accepts without counting them as
/// too frequent (protocol specification 15.2).
const SHORTEST_INTERVAL: Duration = Duration::from_millis(160);

/// How often probes of the peer are worth a record, once it has had a few. A bond of 1.14.1 gives up a path without a report
/// for 600 s: of the three that it gets in that time two may be lost.
const PROBE_RECORDS: Duration = Duration::from_secs(180);

/// Where the peer may have had no room for all records, fewer that should be there tell nothing of loss.
const LOSS_LIMIT: usize = 100;
/// After that time the peer has room again: it has sent a report, or two.
const FULL_FOR: Duration = Duration::from_millis(2500);
/// So many that left between those of one report and those of the next are missing because a report is.
const MISSED_REPORT: usize = 8;

/// Ids of half of all packets are below it. Of those a report leaves out none for want of room, unless more than half of what
/// waits does not fit.
const MIDDLE: PacketId = PacketId(1 << 63);

/// Of packets whose wire id is left to chance one in so many is sampled.
pub const BY_CHANCE: u16 = 2;
/// Fewer records say too little of a rate: by chance it would be off by a fifth.
const ENOUGH_RECORDS: usize = 30;
/// A report may take so much longer than the one before it.
const DELAY_VARIATION: Duration = Duration::from_millis(20);
/// What is said of a rate is said of so long.
const RATE_TIME: Duration = Duration::from_secs(1);

/// Whether both sides measure the packet of that wire ID: the odd ones. The caller leaves out ACK and QOS_MEASUREMENT.
pub const fn is_sampled(packet: PacketId) -> bool {
    packet.0 & 1 == 1
}

/// What a report of the peer says about our direction of the path.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QosSamples {
    /// Round trip times, without the time that the peer held the packet, in the order in which the packets left.
    pub round_trips: Vec<Duration>,
    /// When the latest of the reported packets was sent: our direction worked then.
    pub latest_sent: Option<Instant>,
    /// Packets reported.
    pub delivered: u32,
    /// Packets that should have been reported and were not.
    pub lost: u32,
    /// Both numbers together tell of loss. If not, the peer may have left out what did not fit, and `lost` is 0.
    pub tells_loss: bool,
    /// Packets that arrived, sampled or not, and within which time; `None` if it holds few.
    pub arrived: Option<(u64, Duration)>,
}

impl QosSamples {
    /// What part of the packets was lost, 0 to 1, if that is told of enough of them.
    pub fn loss(&self) -> Option<f64> {
        let all = self.delivered.saturating_add(self.lost);
        let is_told = self.tells_loss && all >= ENOUGH_RECORDS as u32;
        is_told.then(|| f64::from(self.lost) / f64::from(all))
    }
}

/// A sampled packet that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    packet: PacketId,
    at: Instant,
    /// Packets that it stands for.
    one_in: u16,
}

/// What a report holds.
#[derive(Clone, Debug, Default)]
struct Matched {
    /// Of each packet that was sent, whether it is there.
    reported: Vec<bool>,
    /// What they say, except of loss and of the rate.
    samples: QosSamples,
    /// When the first of them was sent.
    first_sent: Option<Instant>,
    /// How many packets each record stands for, if that is known.
    stand_for: Vec<Option<u16>>,
}

/// Both records of one path.
#[derive(Clone, Debug)]
pub struct QosLedger {
    interval: Duration,
    sent: VecDeque<Sent>,
    received: VecDeque<(PacketId, Instant)>,
    /// When the first probe of the peer was noted, and until when no other is.
    probe_records: Option<(Instant, Instant)>,
    last_report: Option<Instant>,
    /// When the latest of those was sent that were forgotten for want of room since the last report: which ones of them are
    /// missing in the next one cannot be told.
    forgotten: Option<Instant>,
    /// Until then the peer, which has as much room, may have had none for what was sent.
    full_until: Option<Instant>,
    /// When the peer's latest report arrived.
    last_heard: Option<Instant>,
    /// When the first packet of all that were ever reported was sent: the peer records none before it has the path in a bond.
    recorded_since: Option<Instant>,
    /// The path works since then.
    works_since: Option<Instant>,
    /// When the latest packet of all that were ever reported was sent.
    covered_until: Option<Instant>,
    /// Reports in a row that had room for far more than what they held.
    sparse: u32,
    /// The highest id of the latest report, if that was full: what the peer had noted and did not report is above.
    full_to: Option<PacketId>,
    /// That was more than what it did report.
    is_behind: bool,
}

impl QosLedger {
    /// `interval`: time between our reports; twice the failover interval, at most 10 s.
    pub fn new(interval: Duration) -> Self {
        let interval = interval.clamp(SHORTEST_INTERVAL, Duration::from_secs(10));
        Self {
            interval,
            sent: VecDeque::new(),
            received: VecDeque::new(),
            probe_records: None,
            last_report: None,
            forgotten: None,
            full_until: None,
            last_heard: None,
            recorded_since: None,
            works_since: None,
            covered_until: None,
            sparse: 0,
            full_to: None,
            is_behind: false,
        }
    }

    /// A packet left on this path, one in so many of which is sampled. Ignored unless [`is_sampled`].
    pub fn handle_sent(&mut self, packet: PacketId, one_in: u16, now: Instant) {
        if !is_sampled(packet) {
            return;
        }
        if self.sent.len() >= MAX_RECORDS {
            self.forgotten = self.sent.pop_front().map(|sent| sent.at);
            self.full_until = Some(now + FULL_FOR);
        }
        self.sent.push_back(Sent {
            packet,
            at: now,
            one_in,
        });
    }

    /// An authentic packet arrived on this path. Ignored unless [`is_sampled`].
    pub fn handle_received(&mut self, packet: PacketId, now: Instant) {
        if is_sampled(packet) && self.received.len() < MAX_RECORDS {
            self.received.push_back((packet, now));
        }
    }

    /// An ECHO or HELLO of the peer arrived on this path, authentic. 1.14.1 does not note those that it sent (protocol
    /// specification 15.1), so that a record of one tells it nothing but that there are reports: without any its bond does
    /// not use the path. So the first counts as any packet does, and then ever fewer, down to one in three minutes.
    pub fn handle_probe_received(&mut self, packet: PacketId, now: Instant) {
        let first = self.probe_records.map_or(now, |(first, _)| first);
        if !is_sampled(packet) || self.probe_records.is_some_and(|(_, next)| now < next) {
            return;
        }
        self.handle_received(packet, now);
        let pause = 3 * now.duration_since(first);
        self.probe_records = Some((first, now + pause.clamp(self.interval, PROBE_RECORDS)));
    }

    /// The records of a report that is due now, oldest first; at most [`MAX_QOS_RECORDS`].
    pub fn poll_report(&mut self, now: Instant) -> Option<Vec<QosRecord>> {
        if self.next_report(now)? > now {
            return None;
        }
        self.last_report = Some(now);
        let count = self.received.len().min(MAX_QOS_RECORDS);
        let records = self.received.drain(..count).map(|(packet, at)| QosRecord {
            packet,
            holding_time_ms: u16::try_from(now.duration_since(at).as_millis()).unwrap_or(u16::MAX),
        });
        Some(records.collect())
    }

    /// When the next report is due, if there is anything to report.
    pub fn next_report(&self, now: Instant) -> Option<Instant> {
        if self.received.is_empty() {
            return None;
        }
        let Some(last) = self.last_report else {
            return Some(now);
        };
        let wait = if self.received.len() >= MAX_QOS_RECORDS {
            SHORTEST_INTERVAL
        } else {
            self.interval
        };
        Some(last + wait)
    }

    /// The path works since then ([`crate::Bond::works_since`]): what is missing of what left before is missing for that.
    pub fn note_working(&mut self, since: Option<Instant>) {
        self.works_since = since.or(self.works_since);
    }

    /// A report of the peer arrived on this path.
    pub fn handle_report(&mut self, records: &[QosRecord], now: Instant) -> QosSamples {
        let records = &records[..records.len().min(MAX_QOS_RECORDS)];
        let heard_before = self.last_heard.replace(now);
        let interval = heard_before.map_or(Duration::MAX, |before| now.duration_since(before));
        let Matched {
            reported,
            mut samples,
            first_sent,
            stand_for,
        } = self.find(records, now);
        let full_to = full_to(records);
        samples.arrived = arrived(records, &stand_for, full_to, interval);
        self.recorded_since = self.recorded_since.or(first_sent);
        let is_overdue = overdue(records, samples.latest_sent);
        let mut excused_until = None;
        let covers_since = self.covers_since(&reported);
        // A full report that holds more than the lower half of all ids held more than half of what waited: there was room for all
        // since the report before it, which was lost.
        let had_room = full_to.is_some_and(|last| last >= MIDDLE);
        if had_room && self.forgotten.is_some() && covers_since > self.forgotten {
            self.forgotten = None;
            self.full_until = covers_since;
        }
        if self.forgotten.is_some() {
            let older = self.sent.iter().filter(|sent| is_overdue(sent)).count();
            let missing = self.missing(records, older);
            samples.tells_loss = missing.is_some();
            samples.lost = missing.unwrap_or(0);
        } else {
            self.sparse = 0;
            samples.tells_loss = true;
            (samples.lost, excused_until) = self.lost(&reported, covers_since, &is_overdue);
        }
        let covered = self.covered_until;
        let is_excused = |sent: &Sent| {
            excused_until.is_some_and(|until| sent.at < until)
                && covered.is_none_or(|covered| sent.at > covered)
        };
        let mut reported = reported.into_iter();
        self.sent.retain(|sent| {
            reported.next() == Some(false) && !is_overdue(sent) && !is_excused(sent)
        });
        self.covered_until = covered.max(samples.latest_sent);
        self.is_behind = full_to.is_some_and(|last| last < MIDDLE);
        self.full_to = full_to;
        if samples.delivered > 0 {
            self.forgotten = None;
        }
        samples
    }

    /// The packets that a report, which arrived now, holds.
    fn find(&self, records: &[QosRecord], now: Instant) -> Matched {
        let mut matched = Matched {
            reported: vec![false; self.sent.len()],
            ..Matched::default()
        };
        let mut round_trips = Vec::new();
        for record in records {
            let known = |sent: &Sent| sent.packet == record.packet;
            let index = self.sent.iter().position(known);
            matched
                .stand_for
                .push(index.map(|index| self.sent[index].one_in));
            let Some(index) = index else {
                continue;
            };
            if std::mem::replace(&mut matched.reported[index], true) {
                continue;
            }
            let at = self.sent[index].at;
            matched.samples.delivered += 1;
            matched.first_sent = Some(matched.first_sent.map_or(at, |first| first.min(at)));
            matched.samples.latest_sent = matched.samples.latest_sent.max(Some(at));
            // The holding time is rounded down; 0xffff may mean longer.
            if let Some(round_trip) = now.duration_since(at).checked_sub(holding(record))
                && record.holding_time_ms != u16::MAX
            {
                round_trips.push((at, round_trip));
            }
        }
        round_trips.sort_by_key(|(sent, _)| *sent);
        matched.samples.round_trips = round_trips.into_iter().map(|(_, time)| time).collect();
        matched
    }

    /// When the first left of the packets that the peer noted since its last report, whether that arrived or not; `reported`:
    /// which ones it reports now. Some that it left out before may come now: not those with low ids.
    fn covers_since(&self, reported: &[bool]) -> Option<Instant> {
        let low = self.full_to.map_or(MIDDLE, |last| last.min(MIDDLE));
        let is_reported = self
            .sent
            .iter()
            .zip(reported)
            .filter(|(_, reported)| **reported);
        let new = is_reported.filter(|(sent, _)| self.is_new(sent) && sent.packet < low);
        new.map(|(sent, _)| sent.at).min()
    }

    /// It left after all that were ever reported.
    fn is_new(&self, sent: &Sent) -> bool {
        self.covered_until.is_none_or(|until| sent.at > until)
    }

    /// How many packets the peer should have reported by now and did not, where it had room for all of them; and until when
    /// those left, after the ones that are covered, of which that cannot be said. `reported`: which ones it did report, of
    /// those that it noted since a time.
    fn lost(
        &self,
        reported: &[bool],
        covers_since: Option<Instant>,
        is_overdue: impl Fn(&Sent) -> bool,
    ) -> (u32, Option<Instant>) {
        let was_recorded = |sent: &Sent| {
            self.recorded_since.is_some_and(|since| sent.at >= since)
                && self.works_since.is_none_or(|since| sent.at >= since)
                && self.full_until.is_none_or(|until| sent.at > until)
        };
        // What a report in between held that was lost seems to be lost, and so does what found no room among all that waited for
        // the latest one.
        let is_between =
            |sent: &Sent| self.is_new(sent) && covers_since.is_none_or(|since| sent.at < since);
        let missing = self.sent.iter().zip(reported);
        let missing = missing
            .filter(|(sent, reported)| !**reported && is_overdue(sent) && was_recorded(sent));
        let (between, other): (Vec<_>, Vec<_>) = missing.partition(|(sent, _)| is_between(sent));
        if self.full_to.is_some() || between.len() >= MISSED_REPORT {
            (other.len() as u32, covers_since)
        } else {
            ((between.len() + other.len()) as u32, None)
        }
    }

    /// Of `older` packets that the report should hold, how many are missing although there was room for them, where so many
    /// were sent that not all had to fit. Told only if more than half of what fits is missing, twice in a row: one report in
    /// between may have been lost.
    fn missing(&mut self, records: &[QosRecord], older: usize) -> Option<u32> {
        if older < LOSS_LIMIT {
            return None;
        }
        let reported: BTreeSet<PacketId> = records.iter().map(|record| record.packet).collect();
        let expected = older.min(MAX_QOS_RECORDS);
        if reported.len() * 2 >= expected {
            self.sparse = 0;
            return None;
        }
        self.sparse += 1;
        (self.sparse >= 2).then(|| (expected - reported.len()) as u32)
    }

    /// The latest report had no room for more than half of what had been noted since the one before, at least.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Forgets records older than three intervals, as the peer does.
    pub fn expire(&mut self, now: Instant) {
        let horizon = now - 3 * self.interval;
        while self.sent.front().is_some_and(|sent| sent.at < horizon) {
            self.sent.pop_front();
        }
        while self.received.front().is_some_and(|(_, at)| *at < horizon) {
            self.received.pop_front();
        }
    }
}

/// Which packets should be among the records of a report whose latest packet was sent at `latest`, and are overtaken or lost if
/// they are not: those that left more than the last fifth of a second before it, in which reordering is no loss. 1.14.1 reports
/// in the order of ids (multipath specification C.1), and no more of them than it noted since its last report, although some
/// may be left from before that: those that are left out are the ones behind the last, however few the report holds.
fn overdue(records: &[QosRecord], latest: Option<Instant>) -> impl Fn(&Sent) -> bool {
    let horizon = latest.map(|latest| latest - Duration::from_millis(200));
    let last = last(records);
    move |sent| horizon.is_some_and(|horizon| sent.at < horizon) && Some(sent.packet) < last
}

/// The highest id of a report.
fn last(records: &[QosRecord]) -> Option<PacketId> {
    records.iter().map(|record| record.packet).max()
}

/// The highest id of a report that may have had no room for more.
fn full_to(records: &[QosRecord]) -> Option<PacketId> {
    last(records).filter(|_| records.len() >= MAX_QOS_RECORDS)
}

fn holding(record: &QosRecord) -> Duration {
    Duration::from_millis(record.holding_time_ms.into())
}

/// What a report, `interval` after the one before, says of the rate at which packets arrive: so many within that time.
/// `stand_for`: how many packets each record stands for. 1.14.1 sends a report as soon as it has looked after its bond and has
/// 140 records; of more it takes those with the lowest ids, and the others wait for the next one.
fn arrived(
    records: &[QosRecord],
    stand_for: &[Option<u16>],
    full_to: Option<PacketId>,
    interval: Duration,
) -> Option<(u64, Duration)> {
    let known = || stand_for.iter().flatten();
    let mean = known().map(|one_in| f64::from(*one_in)).sum::<f64>() / known().count() as f64;
    // What waited says nothing of the time since.
    let mut fresh: Vec<(Duration, f64)> = records
        .iter()
        .zip(stand_for)
        .map(|(record, one_in)| (holding(record), one_in.map_or(mean, f64::from)))
        .filter(|(held, _)| *held <= interval.saturating_add(DELAY_VARIATION))
        .collect();
    fresh.sort_by_key(|(held, _)| *held);
    let newest = fresh.first()?.0;
    let lately = fresh.partition_point(|(held, _)| *held <= newest + RATE_TIME);
    if lately >= ENOUGH_RECORDS {
        fresh.truncate(lately);
    }
    // The first may have come before there was much to send, and the last after that.
    let edge = fresh.len() / 10;
    let middle = fresh.get(edge..fresh.len() - edge)?;
    let time = middle.last()?.0.saturating_sub(middle.first()?.0);
    // Ids are uniform: those below the last one of a full report are that part of all.
    let part = full_to.map_or(1.0, |last| last.0 as f64 / 2f64.powi(64));
    let packets = middle.iter().skip(1).map(|(_, one_in)| one_in).sum::<f64>() / part;
    let is_enough = fresh.len() >= ENOUGH_RECORDS && time > DELAY_VARIATION;
    (is_enough && packets >= 1.0).then_some((packets as u64, time))
}

#[cfg(test)]
mod tests;
