//! Whether packets wait in a path's queue: then round trips take longer than the least of them.

use std::time::Duration;

use protocol::Instant;

/// A queue is felt above this, in microseconds, or above half of the least round trip.
const QUEUE: f64 = 20_000.0;
/// It is until it is shorter than this part of that.
const CALM: f64 = 0.6;
/// Round trips are averaged over about this time, in seconds.
const QUEUE_TIME: f64 = 0.15;
/// Answers that are late for less than this are late because somebody paused, not because of a queue.
const QUEUE_LASTS: Duration = Duration::from_millis(50);
/// A round trip older than this says nothing of the queue.
const FRESH: Duration = Duration::from_millis(1500);
/// A queue is standing if the latest answer is no older than this, and took this part of the usual time at least.
const JUST_FELT: Duration = Duration::from_millis(400);
const DRAINING: f32 = 0.8;

fn threshold(least: f64) -> f64 {
    QUEUE.max(least / 2.0)
}

/// A round trip, in microseconds as the `least` of them, took so long that the packet must have waited in a queue.
pub(crate) fn is_late(round_trip: f64, least: f64) -> bool {
    round_trip - least > threshold(least)
}

/// What round trips tell of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FeltQueue {
    /// Since when answers are late.
    late_since: Option<Instant>,
    /// Round trip of late, and the latest one, in microseconds.
    round_trip: f32,
    latest: f32,
    /// When that was told.
    asked: Instant,
}

impl FeltQueue {
    /// A round trip took so many microseconds.
    pub(crate) fn add_round_trip(&mut self, micros: f64, now: Instant) {
        let age = now.duration_since(self.asked).as_secs_f64();
        let keep = match self.latest > 0.0 {
            true => (-age / QUEUE_TIME).exp(),
            false => 0.0,
        };
        self.round_trip = (f64::from(self.round_trip) * keep + micros * (1.0 - keep)) as f32;
        self.latest = micros as f32;
        self.asked = now;
    }

    /// Round trips have taken longer than the `least` of them, in microseconds, for a while. `was_felt`: they had before.
    pub(crate) fn is_felt(&mut self, least: f64, was_felt: bool, now: Instant) -> bool {
        let (round_trip, calm) = if was_felt {
            (self.round_trip, CALM)
        } else {
            (self.round_trip.min(self.latest), 1.0)
        };
        let is_late = f64::from(round_trip) - least > threshold(least) * calm;
        if !is_late || now >= self.asked + FRESH {
            self.late_since = None;
            return false;
        }
        let since = *self.late_since.get_or_insert(self.asked);
        was_felt || self.asked >= since + QUEUE_LASTS
    }

    /// Answers have been late of late, if only one: there may be a queue at this moment. `least` in microseconds.
    pub(crate) fn may_stand(&self, least: f64, now: Instant) -> bool {
        let round_trip = f64::from(self.round_trip.min(self.latest));
        is_late(round_trip, least) && now < self.asked + JUST_FELT
    }

    /// Some answers were late: it may be that there is one.
    pub(crate) fn may_be_felt(&self) -> bool {
        self.late_since.is_some()
    }

    /// A queue that is felt is so at this moment, and does not become shorter.
    pub(crate) fn is_standing(&self, now: Instant) -> bool {
        now < self.asked + JUST_FELT && self.latest >= DRAINING * self.round_trip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn one_late_answer_is_no_queue_and_two_are() {
        let mut queue = FeltQueue::default();
        queue.add_round_trip(1000.0, at(1000));
        assert!(!queue.is_felt(1000.0, false, at(1000)));
        queue.add_round_trip(41_000.0, at(1170));
        assert!(!queue.is_felt(1000.0, false, at(1170)) && queue.may_be_felt());
        queue.add_round_trip(41_000.0, at(1340));
        assert!(queue.is_felt(1000.0, false, at(1340)) && queue.is_standing(at(1700)));
        assert!(!queue.is_standing(at(1740)));
        assert!(queue.may_stand(1000.0, at(1739)) && !queue.may_stand(1000.0, at(1740)));
        assert!(!queue.may_stand(30_000.0, at(1500)));
        // It drains.
        queue.add_round_trip(21_000.0, at(1500));
        assert!(queue.is_felt(1000.0, true, at(1500)) && !queue.is_standing(at(1500)));
        assert!(!queue.is_felt(1000.0, true, at(3000)) && !queue.may_be_felt());
    }
}
