//! What leaves for a peer of our kind with which we have a bond: numbered by lane, and compared with what the peer reports.

use std::sync::Arc;
use std::time::Duration;

use bond::DeliveryReport;
use protocol::Instant;
use protocol::packet::{Lane, LaneOrigin};
use protocol::verb::{ArrivalReport, ReportRequest};

use super::numbered_path::NumberedPath;
use crate::io::PathKey;
use crate::lanes::PathLanes;
use crate::timers::{self, due, within};

/// How old the peer's knowledge may be when it reports: its workers tell every 20 ms.
const STALENESS: Duration = Duration::from_millis(20);
/// The shortest time between two reports that are looked at.
const REPORT_GATE: Duration = Duration::from_millis(5);

/// Numbers for one peer's packets.
#[derive(Debug)]
pub(super) struct Departures {
    run: u32,
    pub(super) origin: LaneOrigin,
    paths: Vec<NumberedPath>,
    last_data: Option<Instant>,
    last_request: Option<Instant>,
    /// The reporter's clock, µs, and ours, at the last report.
    last_report: Option<(u64, Instant)>,
}

impl Departures {
    /// Nothing has left yet. `run` is random.
    pub(super) fn new(run: u32, origin: LaneOrigin) -> Self {
        Self {
            run,
            origin,
            paths: Vec::new(),
            last_data: None,
            last_request: None,
            last_report: None,
        }
    }

    /// Gives each of these paths a number as far as there are numbers; true if something changed.
    pub(super) fn set_paths(&mut self, keys: &[PathKey], workers: usize) -> bool {
        let mut changed = false;
        for path in &mut self.paths {
            if path.key.is_some_and(|key| !keys.contains(&key)) {
                path.key = None;
                changed = true;
            }
        }
        for key in keys {
            if self.paths.iter().any(|path| path.key == Some(*key)) {
                continue;
            }
            if let Some(free) = self.paths.iter_mut().find(|path| path.key.is_none()) {
                free.key = Some(*key);
                free.forget();
            } else if let Ok(number) = u8::try_from(self.paths.len())
                && number <= Lane::MAX_PATH
            {
                self.paths
                    .push(NumberedPath::new(*key, PathLanes::new(number, workers)));
            } else {
                break;
            }
            changed = true;
        }
        changed
    }

    /// The lanes of each path.
    pub(super) fn lanes(&self) -> impl Iterator<Item = (PathKey, Arc<PathLanes>)> {
        let paths = self.paths.iter();
        paths.filter_map(|path| Some((path.key?, Arc::clone(&path.lanes))))
    }

    /// Reads the lanes' counters. The more often, the better it is known when which packet left. `works_since` is
    /// [`bond::Bond::works_since`].
    pub(super) fn read(&mut self, works_since: impl Fn(PathKey) -> Option<Instant>, now: Instant) {
        for path in &mut self.paths {
            path.read(self.last_report.is_some(), now);
            path.note_working(path.key.and_then(&works_since));
        }
    }

    /// Frames left.
    pub(super) fn note_data(&mut self, now: Instant) {
        self.last_data = self.last_data.max(Some(now));
    }

    /// When the next request is due, if there is traffic.
    pub(super) fn next_request(&self, now: Instant) -> Option<Instant> {
        if !within(self.last_data, now, timers::REPORTED_TRAFFIC) {
            return None;
        }
        let is_answered = self
            .last_report
            .is_some_and(|(_, at)| within(Some(at), now, timers::REPORT_REQUEST));
        let interval = if is_answered {
            timers::REPORT_REQUEST
        } else {
            timers::REPORT_REQUEST_RETRY
        };
        Some(self.last_request.map_or(now, |last| last + interval))
    }

    /// The request that is due, if one is.
    pub(super) fn poll_request(&mut self, now: Instant) -> Option<ReportRequest> {
        self.next_request(now).filter(|at| *at <= now)?;
        self.last_request = Some(now);
        let millis = |time: Duration| u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
        Some(ReportRequest {
            run: self.run,
            interval_ms: millis(timers::REPORT),
            lifetime_ms: millis(timers::REPORT_LIFETIME),
            repeats: false,
        })
    }

    /// What the peer's report says of each path, by counters just [read](Self::read). `round_trip` is what is known of the
    /// paths. Reports of another run, out of order, or too frequent say nothing; nor do lanes and numbers that were never used.
    pub(super) fn take(
        &mut self,
        report: &ArrivalReport,
        round_trip: impl Fn(PathKey) -> Option<Duration>,
        now: Instant,
    ) -> Vec<(PathKey, DeliveryReport)> {
        let too_soon = |at| !due(Some(at), now, REPORT_GATE);
        if report.run != self.run
            || self
                .last_report
                .is_some_and(|(clock, at)| clock >= report.clock_us || too_soon(at))
        {
            return Vec::new();
        }
        self.last_report = Some((report.clock_us, now));
        let mut taken = Vec::new();
        for path in &mut self.paths {
            let number = path.lanes.number();
            let lanes: Vec<_> = report
                .lanes
                .iter()
                .filter(|lane| lane.lane.path == number)
                .copied()
                .collect();
            let arrived = path.compare(&lanes);
            let Some(key) = path.key else {
                continue;
            };
            let cut = now - (round_trip(key).unwrap_or(timers::UNKNOWN_ROUND_TRIP) + STALENESS);
            let delivery = path.conclude(arrived, report.clock_us, cut);
            taken.extend(delivery.map(|delivery| (key, delivery)));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use protocol::Address;
    use protocol::verb::LaneReport;

    use super::*;
    use crate::io::LinkId;
    use crate::limits::MAX_LANE_MARKS;

    const RUN: u32 = 5;
    const ROUND_TRIP: Duration = Duration::from_millis(10);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn key(link: u32) -> PathKey {
        PathKey {
            link: LinkId(link),
            remote: "10.0.0.1:9993".parse().unwrap(),
        }
    }

    /// One path with two workers.
    fn departures() -> Departures {
        let origin = LaneOrigin::new(Address::from_u64(1), Address::from_u64(2), RUN);
        let mut departures = Departures::new(RUN, origin);
        assert!(departures.set_paths(&[key(1)], 2));
        departures
    }

    fn send(departures: &mut Departures, worker: u8, packets: u64, millis: u64) {
        let lanes = Arc::clone(&departures.paths[0].lanes);
        for _ in 0..packets {
            lanes.draw(departures.origin, worker).unwrap();
        }
        departures.read(|_| None, at(millis));
    }

    fn lane(worker: u8, packets: u64, highest: u64) -> LaneReport {
        LaneReport {
            lane: Lane { path: 0, worker },
            packets,
            bytes: packets * 1000,
            highest,
            age_us: 0,
        }
    }

    /// What a report at `millis` by both clocks says of the path.
    fn told(
        departures: &mut Departures,
        millis: u64,
        lanes: Vec<LaneReport>,
    ) -> Option<DeliveryReport> {
        departures.read(|_| None, at(millis));
        let report = ArrivalReport {
            run: RUN,
            clock_us: 77_000_000 + millis * 1000,
            lanes,
        };
        let taken = departures.take(&report, |_| Some(ROUND_TRIP), at(millis));
        assert!(taken.iter().all(|(path, _)| *path == key(1)));
        taken.first().map(|(_, delivery)| *delivery)
    }

    #[test]
    fn all_lanes_of_a_path_add_up() {
        let mut departures = departures();
        send(&mut departures, 0, 10, 10);
        assert_eq!(told(&mut departures, 20, vec![lane(0, 10, 9)]), None);
        send(&mut departures, 0, 100, 50);
        send(&mut departures, 1, 50, 60);
        let lanes = vec![lane(0, 105, 109), lane(1, 50, 49)];
        let delivery = told(&mut departures, 120, lanes).unwrap();
        assert_eq!((delivery.packets, delivery.lost), (145, 5));
        assert_eq!(delivery.interval, Duration::from_millis(100));
        assert_eq!(delivery.bytes, 145_000);
        assert_eq!((delivery.unreported, delivery.oldest_unreported), (0, None));
        // The counters were not looked at between 20 and 50.
        assert_eq!(delivery.latest_sent, Some(at(20)));
        // Late packets make up for later losses, and no report ever says that less than nothing was lost.
        send(&mut departures, 0, 10, 150);
        let late = vec![lane(0, 118, 119), lane(1, 50, 49)];
        let delivery = told(&mut departures, 220, late).unwrap();
        assert_eq!((delivery.packets, delivery.lost), (13, 0));
        send(&mut departures, 0, 10, 250);
        let delivery = told(&mut departures, 320, vec![lane(0, 123, 129)]).unwrap();
        assert_eq!((delivery.packets, delivery.lost), (5, 2));
    }

    #[test]
    fn what_is_in_flight_is_not_missed_and_what_is_overdue_is() {
        let mut departures = departures();
        send(&mut departures, 0, 10, 10);
        told(&mut departures, 30, vec![lane(0, 10, 9)]);
        for millis in (40..=160).step_by(10) {
            send(&mut departures, 0, 1, millis);
        }
        // What left up to 90 was reported; what left after 130 may be on its way.
        let report = vec![lane(0, 16, 15)];
        let delivery = told(&mut departures, 160, report).unwrap();
        assert_eq!((delivery.packets, delivery.lost), (6, 0));
        assert_eq!(delivery.unreported, 4);
        assert_eq!(delivery.oldest_unreported, Some(at(100)));
        assert_eq!(delivery.latest_sent, Some(at(80)));
        // Soon after: no rate yet, but what is missing.
        let delivery = told(&mut departures, 200, vec![lane(0, 16, 15)]).unwrap();
        assert_eq!((delivery.packets, delivery.interval), (0, Duration::ZERO));
        assert_eq!(delivery.unreported, 7);
        assert_eq!(delivery.silence, Duration::ZERO);
        let delivery = told(&mut departures, 2200, vec![]).unwrap();
        assert_eq!(delivery.silence, timers::SILENT_LANE);
    }

    #[test]
    fn reports_that_cannot_be_are_without_effect() {
        let mut departures = departures();
        send(&mut departures, 0, 100, 10);
        told(&mut departures, 20, vec![lane(0, 100, 99)]);
        send(&mut departures, 0, 10, 30);
        // Never sent; of a worker and a path that are not there.
        let mut foreign = lane(0, 1, 1);
        foreign.lane.path = 9;
        let lanes = vec![lane(0, 111, 110), lane(1, 5, 4), lane(9, 5, 4), foreign];
        assert_eq!(told(&mut departures, 40, lanes), None);
        // Of another run, and older than the last.
        let mut other = ArrivalReport {
            run: RUN + 1,
            clock_us: u64::MAX,
            lanes: vec![lane(0, 105, 109)],
        };
        assert!(departures.take(&other, |_| None, at(60)).is_empty());
        other.run = RUN;
        other.clock_us = 5;
        assert!(departures.take(&other, |_| None, at(60)).is_empty());
        // A peer that lost its memory counts from zero again: nothing is lost by that.
        let delivery = told(&mut departures, 130, vec![lane(0, 4, 109)]).unwrap();
        assert_eq!((delivery.packets, delivery.lost), (10, 0));
    }

    #[test]
    fn a_number_goes_on_counting_when_another_path_takes_it() {
        let mut departures = departures();
        send(&mut departures, 0, 50, 10);
        told(&mut departures, 20, vec![lane(0, 50, 49)]);
        send(&mut departures, 0, 5, 30);
        assert!(departures.set_paths(&[key(2)], 2));
        assert!(!departures.set_paths(&[key(2)], 2));
        let lanes: Vec<_> = departures.lanes().map(|(key, _)| key).collect();
        assert_eq!(lanes, [key(2)]);
        // What left on the old path and got lost is not the new one's fault.
        send(&mut departures, 0, 10, 40);
        let report = ArrivalReport {
            run: RUN,
            clock_us: 77_130_000,
            lanes: vec![lane(0, 60, 64)],
        };
        let taken = departures.take(&report, |_| Some(ROUND_TRIP), at(130));
        assert_eq!(taken.len(), 1);
        let (path, delivery) = taken[0];
        assert_eq!((path, delivery.packets, delivery.lost), (key(2), 10, 0));
        // No more numbers than there are.
        let many: Vec<PathKey> = (0..200).map(key).collect();
        departures.set_paths(&many, 2);
        assert_eq!(departures.lanes().count(), 63);
    }

    #[test]
    fn what_left_before_a_path_came_back_says_nothing_of_it() {
        let mut departures = departures();
        send(&mut departures, 0, 20, 10);
        send(&mut departures, 1, 20, 10);
        told(&mut departures, 20, vec![lane(0, 20, 19), lane(1, 20, 19)]);
        // Both threads lose ten packets; then only the first one's packets go elsewhere and come back in time.
        send(&mut departures, 0, 10, 40);
        send(&mut departures, 1, 10, 40);
        departures.read(|_| Some(at(100)), at(100));
        // One of them was only late.
        assert_eq!(told(&mut departures, 110, vec![lane(0, 21, 29)]), None);
        send(&mut departures, 0, 10, 120);
        let delivery = told(&mut departures, 230, vec![lane(0, 31, 39), lane(1, 20, 19)]);
        let counts = |delivery: Option<DeliveryReport>| delivery.map(|d| (d.packets, d.lost));
        assert_eq!(counts(delivery), Some((10, 0)));
        // Long after the other thread sends there again. What is lost from then on counts.
        send(&mut departures, 1, 10, 1000);
        let lanes = vec![lane(0, 31, 39), lane(1, 30, 39)];
        assert_eq!(counts(told(&mut departures, 1110, lanes)), Some((10, 0)));
        departures.read(|_| Some(at(100)), at(1120));
        send(&mut departures, 1, 10, 1130);
        let lanes = vec![lane(0, 31, 39), lane(1, 37, 49)];
        assert_eq!(counts(told(&mut departures, 1230, lanes)), Some((7, 3)));
    }

    /// They left long ago by then, and took no longer for that.
    #[test]
    fn what_was_told_in_too_short_a_time_is_no_news_later() {
        let mut departures = departures();
        send(&mut departures, 0, 10, 10);
        told(&mut departures, 20, vec![lane(0, 10, 9)]);
        send(&mut departures, 0, 5, 30);
        let short = told(&mut departures, 50, vec![lane(0, 15, 14)]).unwrap();
        assert_eq!((short.packets, short.latest_sent), (5, Some(at(20))));
        let whole = told(&mut departures, 150, vec![lane(0, 15, 14)]).unwrap();
        assert_eq!((whole.packets, whole.bytes), (5, 5000));
        assert_eq!(whole.latest_sent, None);
    }

    #[test]
    fn marks_are_bounded_and_reach_far_back() {
        let mut departures = departures();
        for millis in 0..10_000 {
            send(&mut departures, 0, 1, millis);
        }
        let lane = &departures.paths[0].sent[0];
        assert!(lane.marks.len() <= MAX_LANE_MARKS);
        let left = lane.left_by(at(9800));
        assert!((9700..=9801).contains(&left), "{left}");
    }

    #[test]
    fn requests_follow_traffic() {
        let mut departures = departures();
        assert_eq!(departures.poll_request(at(0)), None);
        departures.note_data(at(10));
        let request = departures.poll_request(at(10)).unwrap();
        assert_eq!((request.run, request.interval_ms), (RUN, 100));
        assert_eq!(departures.poll_request(at(200)), None);
        assert!(departures.poll_request(at(260)).is_some());
        send(&mut departures, 0, 1, 265);
        told(&mut departures, 270, vec![]);
        departures.note_data(at(1000));
        assert_eq!(departures.poll_request(at(1000)), None);
        assert!(departures.poll_request(at(1260)).is_some());
        assert_eq!(departures.poll_request(at(3001)), None);
    }
}
