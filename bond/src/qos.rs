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
/// So many that left between those of one report and those of the next are missing because a report is.
const MISSED_REPORT: usize = 8;

/// Half of all packets have lower ids.
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
        let older = self.sent.iter().filter(|sent| is_overdue(sent)).count();
        samples.tells_loss = !self.overflowed;
        let missing = match samples.tells_loss {
            true => None,
            false => self.missing(records, older),
        };
        if let Some(missing) = missing {
            samples.tells_loss = true;
            samples.lost = missing;
        }
        let was_recorded = |sent: &Sent| self.recorded_since.is_some_and(|since| sent.at >= since);
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
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn only_odd_packets_are_noted_and_reported_with_their_holding_time() {
        let mut ledger = QosLedger::new(SECOND);
        ledger.handle_received(PacketId(2), at(0));
        assert_eq!(ledger.poll_report(at(5)), None);
        ledger.handle_received(PacketId(3), at(10));
        let report = ledger
            .poll_report(at(25))
            .expect("the first report is due at once");
        assert_eq!(report.len(), 1);
        assert_eq!(
            (report[0].packet, report[0].holding_time_ms),
            (PacketId(3), 15)
        );
        ledger.handle_received(PacketId(5), at(30));
        assert_eq!(ledger.next_report(at(30)), Some(at(1025)));
        assert_eq!(ledger.poll_report(at(1024)), None);
        assert!(ledger.poll_report(at(1025)).is_some());
    }

    #[test]
    fn probes_are_reported_often_at_first_and_then_every_three_minutes() {
        // One each 333 ms, as 1.14.1 asks with a failover interval of 1 s; every second has an odd number.
        let mut ledger = QosLedger::new(2 * SECOND);
        let mut reports = Vec::new();
        for number in 0..3 * 3600 {
            let now = at(333 * number);
            ledger.expire(now);
            ledger.handle_probe_received(PacketId(number), now);
            if let Some(records) = ledger.poll_report(now) {
                assert_eq!(records.len(), 1);
                reports.push(333 * number);
            }
        }
        assert_eq!(reports[0], 333, "the first at once");
        let early = reports.iter().filter(|at| **at < 12_000).count();
        assert!(early >= 3, "{reports:?}");
        assert!(reports.len() <= 28, "{} reports an hour", reports.len());
        let pauses = reports.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(pauses.max() <= Some(181_000), "{reports:?}");
        // Other packets are noted as ever.
        ledger.handle_received(PacketId(1), at(3_600_000));
        assert!(ledger.next_report(at(3_600_000)).is_some());
    }

    #[test]
    fn a_full_report_does_not_wait_for_the_interval_but_keeps_the_spacing() {
        let mut ledger = QosLedger::new(Duration::from_secs(10));
        ledger.handle_received(PacketId(1), at(0));
        assert!(ledger.poll_report(at(0)).is_some());
        for id in 0..500 {
            ledger.handle_received(PacketId(2 * id + 1), at(1));
        }
        assert_eq!(ledger.poll_report(at(159)), None);
        assert_eq!(
            ledger.poll_report(at(160)).map(|records| records.len()),
            Some(140)
        );
        assert_eq!(ledger.received.len(), MAX_RECORDS - 140);
    }

    #[test]
    fn reports_become_round_trips_and_losses() {
        let mut ledger = QosLedger::new(SECOND);
        for id in 0..10 {
            ledger.handle_sent(PacketId(2 * id + 1), 2, at(id * 100));
        }
        let record = |id, holding_time_ms| QosRecord {
            packet: PacketId(id),
            holding_time_ms,
        };
        // Sent at 0, 100 and 900; 3 is unknown to the peer, as are those from 200 to 600; 700 and 800 may still come.
        let report = [
            record(1, 1000),
            record(3, 900),
            record(19, 80),
            record(999, 0),
            record(19, 80),
        ];
        let samples = ledger.handle_report(&report, at(1020));
        let millis: Vec<_> = samples
            .round_trips
            .iter()
            .map(Duration::as_millis)
            .collect();
        assert_eq!(millis, [20, 20, 40]);
        assert_eq!(samples.latest_sent, Some(at(900)));
        assert_eq!((samples.delivered, samples.lost), (3, 5));
        assert_eq!(ledger.sent.len(), 2);
    }

    #[test]
    fn what_was_sent_before_the_peer_recorded_anything_is_not_lost() {
        let mut ledger = QosLedger::new(SECOND);
        let record = |id| QosRecord {
            packet: PacketId(id),
            holding_time_ms: 0,
        };
        for (id, sent) in [(1, 0), (3, 10), (5, 20), (7, 30), (9, 300)] {
            ledger.handle_sent(PacketId(id), 2, at(sent));
        }
        // The peer's bond begins between 3 and 5.
        let samples = ledger.handle_report(&[record(5), record(9)], at(310));
        assert_eq!((samples.delivered, samples.lost), (2, 1));
        // From then on nothing is excused.
        ledger.handle_sent(PacketId(11), 2, at(320));
        ledger.handle_sent(PacketId(13), 2, at(600));
        let samples = ledger.handle_report(&[record(13)], at(610));
        assert_eq!((samples.delivered, samples.lost), (1, 1));
    }

    #[test]
    fn impossible_holding_times_give_no_sample() {
        let mut ledger = QosLedger::new(SECOND);
        ledger.handle_sent(PacketId(1), 2, at(0));
        let report = [QosRecord {
            packet: PacketId(1),
            holding_time_ms: 5000,
        }];
        let samples = ledger.handle_report(&report, at(20));
        assert!(samples.round_trips.is_empty());
        assert_eq!(samples.delivered, 1);
    }

    #[test]
    fn reports_that_leave_out_nothing_tell_a_rate() {
        let arrived_of = |one_in, interval: u64, holding: std::ops::Range<u64>| {
            let mut ledger = QosLedger::new(SECOND);
            ledger.handle_report(&[], at(0));
            // Of the last ones nothing is known any more: they stand for as many as the others.
            for index in 0..80 {
                ledger.handle_sent(PacketId(2 * index + 1), one_in, at(0));
            }
            let records: Vec<_> = (0..100)
                .map(|index| QosRecord {
                    packet: PacketId(2 * index + 1),
                    holding_time_ms: (holding.start + (holding.end - holding.start) * index / 100)
                        as u16,
                })
                .collect();
            ledger.handle_report(&records, at(interval)).arrived
        };
        let arrived = |interval, holding| arrived_of(2, interval, holding);
        let millis = Duration::from_millis;
        assert_eq!(arrived(600, 0..600), Some((200, millis(594))));
        // A few were left by the report before; a report was lost; packets have waited for long.
        assert_eq!(arrived(600, 0..700), Some((200, millis(600))));
        assert_eq!(arrived(1200, 0..600), Some((200, millis(594))));
        assert_eq!(arrived(250, 0..500), None);
        // Nothing has been sent for a while.
        assert_eq!(arrived(2000, 1000..1600), Some((200, millis(594))));
        assert_eq!(arrived_of(16, 600, 0..600), Some((1600, millis(594))));
        // The first report of all, and one with few records.
        let mut ledger = QosLedger::new(SECOND);
        let few = [QosRecord {
            packet: PacketId(1),
            holding_time_ms: 200,
        }];
        assert_eq!(ledger.handle_report(&few, at(0)).arrived, None);
        assert_eq!(ledger.handle_report(&few, at(300)).arrived, None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut ledger = QosLedger::new(SECOND);
        for id in 0..100_000 {
            ledger.handle_sent(PacketId(2 * id + 1), 2, at(id));
            ledger.handle_received(PacketId(2 * id + 1), at(id));
        }
        assert!(ledger.sent.len() <= MAX_RECORDS && ledger.received.len() <= MAX_RECORDS);
        ledger.expire(at(1_000_000));
        assert!(ledger.sent.is_empty() && ledger.received.is_empty());
    }

    /// Sends one sampled packet each 5 ms, with ids in no order, and reports to the ledger as 1.14.1 does: 140 at a time, those
    /// with the lowest ids, as soon as there are so many. What is lost by then, by `is_lost`, is told: (delivered, lost).
    fn losses(
        seconds: u64,
        is_lost: impl Fn(u64) -> bool,
        is_report_lost: impl Fn(u64) -> bool,
    ) -> (u32, u32) {
        let mut ledger = QosLedger::new(SECOND);
        let mut pending = std::collections::BTreeMap::new();
        let (mut delivered, mut lost, mut reports) = (0, 0, 0);
        for number in 0..200 * seconds {
            let now = 5 * number;
            let packet = PacketId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            ledger.handle_sent(packet, 2, at(now));
            if !is_lost(number) {
                pending.insert(packet.0, now);
            }
            // It looks after its bond now and then.
            if now % 400 == 0 && pending.len() >= MAX_QOS_RECORDS {
                let first: Vec<u64> = pending.keys().copied().take(MAX_QOS_RECORDS).collect();
                let record = |id: u64| QosRecord {
                    packet: PacketId(id),
                    holding_time_ms: (now - pending[&id]) as u16,
                };
                let records: Vec<_> = first.iter().map(|id| record(*id)).collect();
                pending.retain(|id, _| !first.contains(id));
                reports += 1;
                if !is_report_lost(reports) {
                    let samples = ledger.handle_report(&records, at(now));
                    assert!(samples.tells_loss, "{now}");
                    delivered += samples.delivered;
                    lost += samples.lost;
                }
            }
            ledger.expire(at(now));
        }
        (delivered, lost)
    }

    #[test]
    fn what_does_not_fit_into_a_report_is_not_lost() {
        let (delivered, lost) = losses(60, |_| false, |_| false);
        assert!(delivered > 11_000, "{delivered}");
        assert_eq!(lost, 0);
    }

    #[test]
    fn full_reports_tell_what_is_lost() {
        for one_in in [3, 10, 50] {
            let (delivered, lost) = losses(60, |number| number % one_in == 0, |_| false);
            let loss = f64::from(lost) / f64::from(delivered + lost);
            let exact = 1.0 / one_in as f64;
            assert!((loss / exact - 1.0).abs() < 0.1, "{loss} of {exact}");
        }
    }

    #[test]
    fn packets_whose_report_was_lost_are_not() {
        let (delivered, lost) = losses(60, |number| number % 50 == 0, |report| report % 20 == 3);
        let loss = f64::from(lost) / f64::from(delivered + lost);
        assert!(
            (0.017..0.027).contains(&loss),
            "{loss}: {lost} of {delivered}"
        );
    }

    #[test]
    fn where_the_peer_had_no_room_less_than_half_tells_of_loss_the_second_time() {
        // Far more than the peer can note, and a report each second on some of them.
        let losses = |reported: u64| -> Vec<(bool, u32)> {
            let mut ledger = QosLedger::new(SECOND);
            let told = (0..4).map(|second| {
                let mut records = Vec::new();
                for index in 0..1000 {
                    let packet = PacketId(2 * (1000 * second + index) + 1);
                    ledger.handle_sent(packet, 2, at(1000 * (second + 1) + index * 9 / 10));
                    if index >= 1000 - reported {
                        records.push(QosRecord {
                            packet,
                            holding_time_ms: 50,
                        });
                    }
                }
                let samples = ledger.handle_report(&records, at(1000 * (second + 1) + 960));
                (samples.tells_loss, samples.lost)
            });
            told.collect()
        };
        assert!(losses(140).iter().all(|told| *told == (false, 0)));
        let lossy = losses(30);
        assert!(!lossy[0].0, "{lossy:?}");
        assert!(
            lossy[1..]
                .iter()
                .all(|(tells, lost)| *tells && *lost >= 100),
            "{lossy:?}"
        );
    }
}
