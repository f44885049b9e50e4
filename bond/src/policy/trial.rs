//! Trying how much fits on a path that was never full: what a single sender gets on one path tells nothing of the others, and
//! one that keeps queues short, as BBR does, gives no sign that its own is full.

use std::time::Duration;

use protocol::Instant;

use crate::path::PathId;

/// Traffic moves for this much more.
pub(super) const GAIN: f64 = 1.2;
/// What fills its path tries a path of unknown capacity after this time, and is back after that one unless it gained; the next
/// trial comes no sooner than the third, in seconds, and, if it failed, the fourth.
pub(super) const TRIAL_AFTER: Duration = Duration::from_secs(1);
const TRIAL_AT_MOST: Duration = Duration::from_secs(2);
const TRIAL_PAUSE: u16 = 10;
const FAILED_TRIAL_PAUSE: u16 = 60;
/// What may fill its path, of which nobody knows how much fits, tries another such path if it sends so many bytes per second, no
/// more and no less than a fifth for so long. It is back unless it gained, and then does not try again for ten minutes, after
/// which capacities are forgotten too.
pub(super) const WORTH_A_TRIAL: f64 = 250_000.0;
/// So does what sends this part of what is known to fit.
pub(super) const USES_UP: f64 = 0.7;
const STEADY: Duration = Duration::from_millis(700);
const FRUITLESS_TRIAL_PAUSE: u16 = 600;

/// What uses another path for a while.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// The slot of a flow; 0 if it is all traffic.
    pub(super) slot: u16,
    pub(super) from: PathId,
    pub(super) to: PathId,
    at: Instant,
    /// Bytes per second before.
    rate: f32,
}

/// Traffic that sends about so much since then.
#[derive(Clone, Copy, Debug, Default)]
struct Steady {
    slot: u16,
    /// Bytes per second.
    rate: f32,
    since: Instant,
}

/// What is known of the two paths of a trial.
pub(super) struct Comparison {
    /// Bit/s that fit on the path that was left, if that was measured.
    pub(super) from: Option<f64>,
    /// The same of the path that is tried.
    pub(super) to: Option<f64>,
    /// Bytes per second that the traffic sends now.
    pub(super) rate: f64,
}

/// Trials of one bond.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    pub(super) present: Option<Trial>,
    steady: Steady,
    /// The better of the two paths that were compared last.
    winner: Option<PathId>,
    ended: Instant,
    /// Seconds for which nothing is tried from there.
    pause: u16,
}

impl Trials {
    /// Something that uses this path may be tried elsewhere.
    pub(super) fn may_begin(&self, from: PathId, now: Instant) -> bool {
        let pause = match self.better_than(from) {
            Some(_) => TRIAL_PAUSE,
            None => self.pause,
        };
        self.present.is_none() && now >= self.ended + Duration::from_secs(pause.into())
    }

    /// The path that won the last comparison, unless it is this one.
    pub(super) fn better_than(&self, path: PathId) -> Option<PathId> {
        self.winner.filter(|winner| *winner != path)
    }

    /// The traffic has been sending about as much as now for long enough, and that is much.
    pub(super) fn is_steady(&mut self, slot: u16, rate: f64, now: Instant) -> bool {
        let before = f64::from(self.steady.rate);
        let changed = (rate - before).abs() > before / 5.0;
        if self.steady.slot != slot || changed {
            self.steady = Steady {
                slot,
                rate: rate as f32,
                since: now,
            };
        }
        rate >= WORTH_A_TRIAL && now >= self.steady.since + STEADY
    }

    /// Traffic that sent `rate` bytes per second on one path uses another one from now on.
    pub(super) fn begin(&mut self, slot: u16, from: PathId, to: PathId, rate: f64, now: Instant) {
        self.present = Some(Trial {
            slot,
            from,
            to,
            at: now,
            rate: rate as f32,
        });
    }

    /// Whether a trial has failed, so that what was moved has to go back; `None` if it shows nothing yet.
    pub(super) fn judge(&mut self, found: &Comparison, now: Instant) -> Option<bool> {
        let trial = self.present?;
        if now < trial.at + TRIAL_AT_MOST && found.to.is_none() {
            return None;
        }
        self.present = None;
        let before = f64::from(trial.rate);
        let (failed, pause) = match (found.from, found.to) {
            (Some(from), Some(to)) => (to < from / GAIN, FAILED_TRIAL_PAUSE),
            (Some(_), None) => (found.rate < before / 2.0, FAILED_TRIAL_PAUSE),
            (None, to) => {
                let rate = to.map_or(found.rate, |bits| bits / 8.0);
                (rate < GAIN * before, FRUITLESS_TRIAL_PAUSE)
            }
        };
        self.winner = Some(if failed { trial.from } else { trial.to });
        self.ended = now;
        self.pause = if failed { pause } else { TRIAL_PAUSE };
        Some(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn judged(from: Option<f64>, to: Option<f64>, rate: f64, after: u64) -> Option<bool> {
        let mut trials = Trials::default();
        trials.begin(7, PathId(1), PathId(2), 1e6, at(1000));
        assert!(!trials.may_begin(PathId(1), at(1000)));
        trials.judge(&Comparison { from, to, rate }, at(1000 + after))
    }

    #[test]
    fn a_trial_shows_its_result_after_two_seconds_or_when_the_path_is_full() {
        for from in [None, Some(8e6)] {
            assert_eq!(judged(from, None, 9e6, 1900), None);
            assert_eq!(judged(from, None, 9e6, 2000), Some(false));
            assert_eq!(judged(from, None, 0.4e6, 2000), Some(true));
            assert_eq!(judged(from, Some(80e6), 0.4e6, 100), Some(false));
            assert_eq!(judged(from, Some(2e6), 0.9e6, 100), Some(true));
        }
        // What fills its path is content with as much elsewhere; what may not fill it wants more.
        assert_eq!(judged(Some(8e6), None, 1e6, 2000), Some(false));
        assert_eq!(judged(None, None, 1e6, 2000), Some(true));
        assert_eq!(judged(Some(8e6), Some(8e6), 1e6, 500), Some(false));
        assert_eq!(judged(None, Some(8e6), 1e6, 500), Some(true));
    }

    #[test]
    fn what_nobody_knows_to_be_full_is_tried_again_after_ten_minutes() {
        let mut trials = Trials::default();
        trials.begin(7, PathId(1), PathId(2), 1e6, at(1000));
        let same = Comparison {
            from: None,
            to: None,
            rate: 1e6,
        };
        assert_eq!(trials.judge(&same, at(3000)), Some(true));
        let may_begin = |path, millis| trials.may_begin(PathId(path), at(millis));
        assert!(!may_begin(1, 602_999) && may_begin(1, 603_000));
        // What then uses the other path is soon tried where more was found.
        assert!(!may_begin(2, 12_999) && may_begin(2, 13_000));
        assert_eq!(trials.better_than(PathId(2)), Some(PathId(1)));
        assert_eq!(trials.better_than(PathId(1)), None);
    }

    #[test]
    fn only_much_traffic_that_is_steady_is_tried() {
        let mut trials = Trials::default();
        let mut steady_after = |slot, rate: fn(u64) -> f64, from: u64| {
            (0..40).find(|tenth| trials.is_steady(slot, rate(*tenth), at(from + 100 * tenth)))
        };
        assert_eq!(steady_after(1, |_| 300_000.0, 10_000), Some(7));
        assert_eq!(steady_after(2, |_| 200_000.0, 20_000), None);
        assert_eq!(
            steady_after(3, |tenth| 300_000.0 * 1.1f64.powi(tenth as i32), 30_000),
            None
        );
        assert_eq!(
            steady_after(4, |tenth| if tenth < 5 { 1e6 } else { 2e6 }, 40_000),
            Some(12)
        );
    }
}
