//! What arrives from a peer of our kind that asked to be told: counted by lane since its run began, and when to tell.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::Instant;
use protocol::packet::{Lane, LaneOrigin};
use protocol::verb::{ArrivalReport, LaneReport, ReportRequest};

use crate::io::LaneArrivals;
use crate::limits::MAX_COUNTED_LANES;
use crate::timers;

/// Bounds of what a peer may ask for.
const INTERVAL: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
const LONGEST_LIFETIME: Duration = Duration::from_secs(10);
/// A path with more packets per second than one per this time must not fall silent without a word.
const ARMED_GAP: Duration = Duration::from_millis(20);
/// Silence is no accident after this long, and after three times the usual gap.
const SILENCE: Duration = Duration::from_millis(50);
/// A report of silence is repeated so often and in such intervals, as it may get lost, and as the sender judges by what it sent
/// since.
const REPEATS: u8 = 2;
const REPEAT_INTERVAL: Duration = Duration::from_millis(20);
/// Pauses up to this long, µs, may be those between runs of packets; what is left of one with each time that packets arrive.
const LONGEST_PAUSE: f64 = 250_000.0;
const PAUSE_MEMORY: f64 = 0.95;
/// The shortest time between two reports.
const SPACING: Duration = Duration::from_millis(20);

/// One lane since the run began.
#[derive(Clone, Copy, Debug)]
struct Count {
    packets: u64,
    bytes: u64,
    highest: u64,
    highest_at: Instant,
    last: Instant,
}

/// One path of the sender.
#[derive(Clone, Copy, Debug)]
struct Flow {
    last: Instant,
    /// Mean time between packets, µs.
    gap: f64,
    /// The longest of the latest pauses, µs: packets may come in runs.
    pause: f64,
    /// Packets flow; nobody was told yet that they stopped.
    armed: bool,
    /// More reports of the silence, and when the next is due.
    repeats: u8,
    repeat_at: Instant,
}

impl Flow {
    /// The first packets, however many came together, tell no gap: one run of packets that ends is no silence.
    fn new(at: Instant) -> Self {
        Self {
            last: at,
            gap: 1e6,
            pause: 0.0,
            armed: false,
            repeats: 0,
            repeat_at: at,
        }
    }

    fn hear(&mut self, packets: u32, at: Instant) {
        let elapsed = at.duration_since(self.last);
        let gap = elapsed.as_micros() as f64 / f64::from(packets.max(1));
        let weight = (f64::from(packets) / 8.0).min(1.0);
        self.gap = if elapsed > Duration::from_secs(1) {
            gap
        } else {
            self.gap + (gap - self.gap) * weight
        };
        let elapsed = elapsed.as_micros() as f64;
        if elapsed <= LONGEST_PAUSE {
            self.pause = elapsed.max(self.pause * PAUSE_MEMORY);
        }
        self.last = self.last.max(at);
        self.armed = true;
        self.repeats = 0;
    }

    /// When silence has to be told.
    fn due(&self) -> Option<Instant> {
        if self.armed && self.gap <= ARMED_GAP.as_micros() as f64 {
            let usual = (3.0 * self.gap).max(1.25 * self.pause);
            let patience = SILENCE.max(Duration::from_micros(usual as u64));
            return Some(self.last + patience);
        }
        (self.repeats > 0).then_some(self.repeat_at)
    }

    /// True if silence is to be told now.
    fn take(&mut self, now: Instant) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        self.repeats = if self.armed {
            REPEATS
        } else {
            self.repeats - 1
        };
        self.armed = false;
        self.repeat_at = now + REPEAT_INTERVAL;
        true
    }
}

/// What one peer wants to be told.
#[derive(Debug)]
pub(super) struct Arrivals {
    run: u32,
    /// What its packets' inner IVs must carry.
    pub(super) origin: LaneOrigin,
    interval: Duration,
    until: Instant,
    lanes: BTreeMap<Lane, Count>,
    /// By the number of the path.
    flows: BTreeMap<u8, Flow>,
    has_news: bool,
    is_urgent: bool,
    last_report: Option<Instant>,
    /// Reports so far: the others take the paths in turn.
    pub(super) turn: usize,
}

impl Arrivals {
    /// Begins to count.
    pub(super) fn new(request: &ReportRequest, origin: LaneOrigin, now: Instant) -> Self {
        let mut arrivals = Self {
            run: request.run,
            origin,
            interval: INTERVAL[0],
            until: now,
            lanes: BTreeMap::new(),
            flows: BTreeMap::new(),
            has_news: true,
            is_urgent: false,
            last_report: None,
            turn: 0,
        };
        arrivals.renew(request, now);
        arrivals
    }

    /// The request is of the run that is counted.
    pub(super) fn is_of(&self, request: &ReportRequest) -> bool {
        self.run == request.run
    }

    /// The peer asked again.
    pub(super) fn renew(&mut self, request: &ReportRequest, now: Instant) {
        let [shortest, longest] = INTERVAL;
        self.interval = Duration::from_millis(request.interval_ms.into()).clamp(shortest, longest);
        let lifetime = Duration::from_millis(request.lifetime_ms.into()).min(LONGEST_LIFETIME);
        self.until = now + lifetime;
    }

    /// The peer has not asked for so long that its numbers may be forgotten.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.forget_at()
    }

    fn forget_at(&self) -> Instant {
        self.until + timers::REPORT_MEMORY
    }

    /// Packets arrived.
    pub(super) fn note(&mut self, arrived: &LaneArrivals) {
        let lane = arrived.lane;
        if self.lanes.len() >= MAX_COUNTED_LANES && !self.lanes.contains_key(&lane) {
            return;
        }
        let count = self.lanes.entry(lane).or_insert(Count {
            packets: 0,
            bytes: 0,
            highest: arrived.highest,
            highest_at: arrived.at,
            last: arrived.at,
        });
        count.packets += u64::from(arrived.packets);
        count.bytes += arrived.bytes;
        count.last = count.last.max(arrived.at);
        let highest = Lane::extended(arrived.highest, count.highest);
        if highest > count.highest {
            count.highest = highest;
            count.highest_at = arrived.at;
        }
        self.flows
            .entry(lane.path)
            .and_modify(|flow| flow.hear(arrived.packets, arrived.at))
            .or_insert_with(|| Flow::new(arrived.at));
        // Reports of what bonds say to each other would go on for ever: they are such themselves.
        self.has_news |= arrived.has_traffic;
    }

    /// Our own bond missed something: tell as soon as may be.
    pub(super) fn hurry(&mut self) {
        self.is_urgent = true;
    }

    /// When there is something to do.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let next = if now < self.until {
            self.due().unwrap_or(self.forget_at())
        } else {
            self.forget_at()
        };
        next.max(now)
    }

    fn due(&self) -> Option<Instant> {
        let Some(last) = self.last_report else {
            return Some(Instant::ZERO);
        };
        let regular = self.has_news.then_some(last + self.interval);
        let urgent = self.is_urgent.then_some(last);
        let silence = self.flows.values().filter_map(Flow::due).min();
        let due = [regular, urgent, silence].into_iter().flatten().min()?;
        Some(due.max(last + SPACING))
    }

    /// The report that is due, if one is, and whether it must not be missed: then it is sent over every path.
    pub(super) fn poll(&mut self, now: Instant) -> Option<(ArrivalReport, bool)> {
        if now >= self.until || self.due().is_none_or(|due| due > now) {
            return None;
        }
        let mut is_urgent = self.is_urgent || self.last_report.is_none();
        for flow in self.flows.values_mut() {
            is_urgent |= flow.take(now);
        }
        self.turn = self.turn.wrapping_add(1);
        self.has_news = false;
        self.is_urgent = false;
        self.last_report = Some(now);
        let mut lanes: Vec<(&Lane, &Count)> = self
            .lanes
            .iter()
            .filter(|(_, count)| now.duration_since(count.last) < timers::SILENT_LANE)
            .collect();
        lanes.sort_by_key(|(_, count)| std::cmp::Reverse(count.last));
        lanes.truncate(ArrivalReport::MAX_LANES);
        let report = |(lane, count): (&Lane, &Count)| LaneReport {
            lane: *lane,
            packets: count.packets,
            bytes: count.bytes,
            highest: Lane::truncated(count.highest),
            age_us: u32::try_from(now.duration_since(count.highest_at).as_micros())
                .unwrap_or(u32::MAX),
        };
        let report = ArrivalReport {
            run: self.run,
            clock_us: now.as_micros(),
            lanes: lanes.into_iter().map(report).collect(),
        };
        Some((report, is_urgent))
    }
}

#[cfg(test)]
mod tests {
    use protocol::Address;

    use super::*;

    const REQUEST: ReportRequest = ReportRequest {
        run: 7,
        interval_ms: 100,
        lifetime_ms: 3000,
        repeats: false,
    };
    const PEER: Address = Address::from_u64(2);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn asked() -> Arrivals {
        let origin = LaneOrigin::new(PEER, Address::from_u64(1), REQUEST.run);
        Arrivals::new(&REQUEST, origin, at(0))
    }

    fn one(number: u64, millis: u64) -> LaneArrivals {
        LaneArrivals {
            peer: PEER,
            lane: Lane { path: 0, worker: 1 },
            packets: 1,
            bytes: 100,
            highest: number,
            at: at(millis),
            has_traffic: true,
        }
    }

    /// Times of reports when the clock goes by in milliseconds.
    fn reports(arrivals: &mut Arrivals, from: u64, to: u64, every: Option<u64>) -> Vec<u64> {
        let mut times = Vec::new();
        for millis in from..to {
            if every.is_some_and(|every| millis % every == 0) {
                arrivals.note(&one(millis, millis));
            }
            if arrivals.poll(at(millis)).is_some() {
                times.push(millis);
            }
        }
        times
    }

    #[test]
    fn the_first_report_comes_at_once_and_others_while_something_arrives() {
        let mut arrivals = asked();
        assert_eq!(reports(&mut arrivals, 0, 1000, None), [0]);
        assert_eq!(
            reports(&mut arrivals, 1000, 1400, Some(30)),
            [1020, 1120, 1220, 1320]
        );
        // Too slow a flow to tell silence; but what came since the last report is told.
        assert_eq!(reports(&mut arrivals, 1400, 2900, None), [1420]);
        assert_eq!(reports(&mut arrivals, 2900, 9000, Some(10)), [2900]);
        assert!(!arrivals.is_over(at(3000)) && arrivals.is_over(at(60_000)));
    }

    #[test]
    fn probes_and_reports_are_no_news() {
        let mut arrivals = asked();
        reports(&mut arrivals, 0, 10, None);
        for number in 0..20 {
            let probe = LaneArrivals {
                has_traffic: false,
                ..one(number, 100 * number)
            };
            arrivals.note(&probe);
            let told = reports(&mut arrivals, 100 * number, 100 * (number + 1), None);
            assert_eq!(told, [0; 0]);
        }
        // They are counted all the same.
        arrivals.note(&one(20, 2000));
        let (report, _) = arrivals.poll(at(2000)).unwrap();
        assert_eq!(report.lanes[0].packets, 21);
    }

    #[test]
    fn silence_is_told_at_once_and_twice_more() {
        let mut arrivals = asked();
        reports(&mut arrivals, 0, 1000, Some(5));
        let last = 995;
        let told = reports(&mut arrivals, 1000, 2000, None);
        let silence: Vec<u64> = told.into_iter().filter(|at| *at >= last + 50).collect();
        assert_eq!(silence, [last + 50, last + 70, last + 90]);
    }

    #[test]
    fn a_single_run_of_packets_that_ends_is_no_silence() {
        let mut arrivals = asked();
        reports(&mut arrivals, 0, 10, None);
        let run = LaneArrivals {
            packets: 20,
            ..one(20, 10)
        };
        arrivals.note(&run);
        // It is told in turn, and that is all.
        assert_eq!(reports(&mut arrivals, 10, 2000, None), [100]);
    }

    #[test]
    fn pauses_between_runs_of_packets_are_no_silence() {
        let mut arrivals = asked();
        let (mut told, mut now) = (0, 0);
        for _ in 0..20 {
            reports(&mut arrivals, now, now + 80, Some(5));
            told = reports(&mut arrivals, now + 80, now + 240, None).len();
            now += 240;
        }
        // What came since the last report, and nothing about silence.
        assert!(told <= 2, "{told}");
    }

    #[test]
    fn numbers_are_those_of_the_whole_run() {
        let mut arrivals = asked();
        for number in [5, 7, 6, (1 << 38) - 1, 3] {
            // The last but one is far behind by the short counter: it came before 5.
            arrivals.note(&one(number, 10));
        }
        let (report, _) = arrivals.poll(at(30)).unwrap();
        assert_eq!(report.run, REQUEST.run);
        let lane = report.lanes[0];
        assert_eq!((lane.packets, lane.bytes), (5, 500));
        assert_eq!((report.lanes.len(), lane.age_us), (1, 20_000));
    }

    #[test]
    fn lanes_are_bounded_and_the_latest_are_told() {
        let mut arrivals = asked();
        for index in 0..1000_u64 {
            let lane = Lane {
                path: (index / 64) as u8 % 63,
                worker: (index % 64) as u8,
            };
            let arrived = LaneArrivals {
                lane,
                ..one(1, index)
            };
            arrivals.note(&arrived);
        }
        assert_eq!(arrivals.lanes.len(), MAX_COUNTED_LANES);
        let (report, _) = arrivals.poll(at(1000)).unwrap();
        assert_eq!(report.lanes.len(), ArrivalReport::MAX_LANES);
        assert_eq!(
            report.lanes[0].lane,
            Lane {
                path: 3,
                worker: 63
            }
        );
    }
}
