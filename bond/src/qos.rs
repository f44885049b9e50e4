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
/// After that time the peer has room again: it has sent a report.
const FULL_FOR: Duration = Duration::from_millis(500);
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
    /// Packets that arrived, sampled or not, and within which time; `None` if it leaves out many, or holds few.
    pub arrived: Option<(u64, Duration)>,
}

/// A sampled packet that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    packet: PacketId,
    at: Instant,
    /// Packets that it stands for.
    one_in: u16,
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
    /// More packets were sent than there is room for: which ones are missing in the next report cannot be told.
    overflowed: bool,
    /// Until then the peer, which has as much room, may have had none for what was sent.
    full_until: Option<Instant>,
    /// When the peer's latest report arrived.
    last_heard: Option<Instant>,
    /// When the first packet of all that were ever reported was sent: the peer records none before it has the path in a bond.
    recorded_since: Option<Instant>,
    /// When the latest packet of all that were ever reported was sent.
    covered_until: Option<Instant>,
    /// Reports in a row that had room for far more than what they held.
    sparse: u32,
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
            overflowed: false,
            full_until: None,
            last_heard: None,
            recorded_since: None,
            covered_until: None,
            sparse: 0,
        }
    }

    /// A packet left on this path, one in so many of which is sampled. Ignored unless [`is_sampled`].
    pub fn handle_sent(&mut self, packet: PacketId, one_in: u16, now: Instant) {
        if !is_sampled(packet) {
            return;
        }
        if self.sent.len() >= MAX_RECORDS {
            self.sent.pop_front();
            self.overflowed = true;
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

    /// A report of the peer arrived on this path.
    pub fn handle_report(&mut self, records: &[QosRecord], now: Instant) -> QosSamples {
        let heard_before = self.last_heard.replace(now);
        let interval = heard_before.map(|before| now.duration_since(before));
        let mut samples = QosSamples::default();
        let mut reported = vec![false; self.sent.len()];
        let mut first_sent = None;
        let mut stood_for = 0;
        let mut round_trips = Vec::new();
        for record in records.iter().take(MAX_QOS_RECORDS) {
            let known = |sent: &Sent| sent.packet == record.packet;
            let Some(index) = self.sent.iter().position(known) else {
                continue;
            };
            if std::mem::replace(&mut reported[index], true) {
                continue;
            }
            let Sent {
                at: sent, one_in, ..
            } = self.sent[index];
            samples.delivered += 1;
            stood_for += u64::from(one_in);
            first_sent = Some(first_sent.map_or(sent, |first: Instant| first.min(sent)));
            samples.latest_sent = samples.latest_sent.max(Some(sent));
            // The holding time is rounded down; 0xffff may mean longer.
            if let Some(round_trip) = now.duration_since(sent).checked_sub(holding(record))
                && record.holding_time_ms != u16::MAX
            {
                round_trips.push((sent, round_trip));
            }
        }
        round_trips.sort_by_key(|(sent, _)| *sent);
        samples.round_trips = round_trips.into_iter().map(|(_, time)| time).collect();
        samples.arrived = interval.and_then(|interval| {
            let mean = stood_for as f64 / f64::from(samples.delivered.max(1));
            arrived(records, interval, mean)
        });
        self.recorded_since = self.recorded_since.or(first_sent);
        let is_overdue = self.overdue(records, samples.latest_sent);
        samples.tells_loss = !self.overflowed;
        let missing = if self.overflowed {
            let older = self.sent.iter().filter(|sent| is_overdue(sent)).count();
            self.missing(records, older)
        } else {
            self.sparse = 0;
            None
        };
        if let Some(missing) = missing {
            samples.tells_loss = true;
            samples.lost = missing;
        }
        let was_recorded = |sent: &Sent| {
            self.recorded_since.is_some_and(|since| sent.at >= since)
                && self.full_until.is_none_or(|until| sent.at > until)
        };
        // If a report in between was lost, what it held seems to be. Some that it had no room for may come now: not those with
        // low ids.
        let is_new = |sent: &Sent| self.covered_until.is_none_or(|until| sent.at > until);
        let come = self
            .sent
            .iter()
            .zip(&reported)
            .filter(|(sent, reported)| **reported && is_new(sent) && sent.packet < MIDDLE);
        let covers_since = come.map(|(sent, _)| sent.at).min();
        let is_between =
            |sent: &Sent| is_new(sent) && covers_since.is_none_or(|since| sent.at < since);
        if !self.overflowed {
            let missing = self.sent.iter().zip(&reported);
            let missing = missing
                .filter(|(sent, reported)| !**reported && is_overdue(sent) && was_recorded(sent));
            let (between, other): (Vec<_>, Vec<_>) =
                missing.partition(|(sent, _)| is_between(sent));
            let between = Some(between.len()).filter(|count| *count < MISSED_REPORT);
            samples.lost = (between.unwrap_or(0) + other.len()) as u32;
        }
        self.covered_until = self.covered_until.max(samples.latest_sent);
        let mut index = 0;
        self.sent.retain(|sent| {
            let known = reported[index];
            index += 1;
            !known && !is_overdue(sent)
        });
        if samples.delivered > 0 {
            self.overflowed = false;
        }
        samples
    }

    /// Which packets should be in a report whose latest packet was sent at `latest`, and are overtaken or lost if they are
    /// not: those that left more than the last fifth of a second before it, in which reordering is no loss. 1.14.1 reports in the order of ids,
    /// so that those that did not fit are the ones behind the last (multipath specification C.1).
    fn overdue(
        &self,
        records: &[QosRecord],
        latest: Option<Instant>,
    ) -> impl Fn(&Sent) -> bool + use<> {
        let horizon = latest.map(|latest| latest - Duration::from_millis(200));
        let last = if records.len() >= MAX_QOS_RECORDS {
            records.iter().map(|record| record.packet).max()
        } else {
            None
        };
        move |sent| {
            horizon.is_some_and(|horizon| sent.at < horizon)
                && last.is_none_or(|last| sent.packet < last)
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

fn holding(record: &QosRecord) -> Duration {
    Duration::from_millis(record.holding_time_ms.into())
}

/// It arrived before the report before was sent, `interval` ago, and found no room there.
fn is_left_over(record: &QosRecord, interval: Option<Duration>) -> bool {
    interval.is_some_and(|interval| holding(record) > interval + DELAY_VARIATION)
}

/// What a report, `interval` after the one before, says of the rate at which packets arrive, if each record stands for so
/// many. 1.14.1 sends one as soon as it has looked after its bond and has 140 records, which leaves few for the next report;
/// if there are more than reports have room for, most wait for several.
fn arrived(records: &[QosRecord], interval: Duration, one_in: f64) -> Option<(u64, Duration)> {
    let oldest = records.iter().map(holding).max()?;
    let left_over = records.iter().filter(|r| is_left_over(r, Some(interval)));
    let is_whole = 4 * left_over.count() <= records.len();
    let newest = records.iter().map(holding).min()?;
    // What came before may have been lost with another report, and since the newest nothing has come.
    let time = interval.min(oldest).saturating_sub(newest);
    let is_enough = records.len() >= ENOUGH_RECORDS && time > DELAY_VARIATION;
    let packets = (one_in * records.len() as f64).round() as u64;
    (is_whole && is_enough && packets > 0).then_some((packets, time))
}

#[cfg(test)]
mod tests;
