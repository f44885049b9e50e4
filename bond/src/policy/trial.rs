//! Trying how much fits on a path that was never full: what a single sender gets on one path tells nothing of the others, and
//! one that keeps queues short, as BBR does, gives no sign that its own is full.

use std::time::Duration;

use protocol::Instant;

use crate::packed::tenths;
use crate::path::PathId;

/// Traffic moves for this much more.
pub(super) const GAIN: f64 = 1.2;
/// What fills its path tries a path of unknown capacity after this time, and is back after that one, in tenths of a second,
/// unless it gained; the next trial comes no sooner than the third, in seconds, and, if it failed, the fourth.
pub(super) const TRIAL_AFTER: Duration = Duration::from_secs(1);
const TRIAL_LASTS: u32 = 20;
/// What has moved may have to recover from losses first: while it still grows by this factor in so many tenths of a second, a
/// trial lasts longer, up to so many. So it does while as much is sent as may have got through before: BBR takes a path that
/// lost a fifth for one with a policer, and sends what got through there for 48 round trips more, wherever it is moved (its
/// long-term bandwidth; `bbr_lt_bw_max_rtts` in Linux). With 5 Mbit/s that takes two to three seconds.
const GROWS: f32 = 1.1;
const LOOK: u8 = 3;
/// A single answer may be late by chance: packets have to queue for so many tenths of a second.
const QUEUE_LASTS: u32 = 2;
const TRIAL_AT_MOST: u32 = 40;
/// BBR begins by sending up to so many times what arrives: 2 / ln 2 (Cardwell et al., BBR: congestion-based congestion control,
/// 2016).
const STARTUP: f64 = 2.89;
const TRIAL_PAUSE: u16 = 10;
const FAILED_TRIAL_PAUSE: u16 = 60;
/// What may fill its path, since nobody knows how much fits there or it is about as much, tries another such path if it sends so
/// many bytes per second, no more and no less than a fifth for so many tenths of a second. It is back unless it gained, and
/// then does not try again for ten minutes, after which capacities are forgotten too.
pub(super) const WORTH_A_TRIAL: f64 = 250_000.0;
const STEADY: u32 = 7;
const COMPARED_FOR: u16 = 600;
/// What sends this part of what is known to fit may fill its path.
pub(super) const USES_UP: f64 = 0.7;
/// Traffic is looked at once a second at least while it may be tried; after so many tenths without that it begins anew.
const UNSEEN: u16 = 15;
/// Traffic that sends less than this part of what it did has ended, or paused.
const ENDED: f64 = 0.1;

/// What uses another path for a while.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub(super) from: PathId,
    pub(super) to: PathId,
    /// The slot of a flow; 0 if it is all traffic.
    pub(super) slot: u16,
    /// The path that it left was full.
    was_full: bool,
    /// When it began, in tenths of a second.
    at: u32,
    /// Bytes per second before, and at the latest look; how long it had lasted then.
    rate: f32,
    seen: f32,
    seen_after: u8,
    /// How long it had lasted when packets began to queue, if they still do.
    queues_after: Option<u8>,
}

impl Trial {
    /// How long it has lasted, in tenths of a second.
    fn lasts(&self, now: Instant) -> u32 {
        tenths(now).saturating_sub(self.at)
    }

    /// The same in seconds.
    pub(super) fn seconds(&self, now: Instant) -> f64 {
        f64::from(self.lasts(now)) / 10.0
    }
}

/// Traffic that sends about so much since then, in tenths of a second.
#[derive(Clone, Copy, Debug, Default)]
struct Steady {
    slot: u16,
    /// When it was last looked at, in the lower bits of that.
    seen: u16,
    /// Bytes per second.
    rate: f32,
    since: u32,
}

/// What is known of the two paths of a trial.
pub(super) struct Comparison {
    /// Bit/s that fit on the path that was left, if that was measured.
    pub(super) from: Option<f64>,
    /// The same of the path that is tried.
    pub(super) to: Option<f64>,
    /// Bytes per second that the traffic sends now.
    pub(super) rate: f64,
    /// The path that is tried is full, or may be by its latest answer.
    pub(super) queues: bool,
}

/// Trials of one bond.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    pub(super) present: Option<Trial>,
    steady: Steady,
    /// The better and the worse of the two paths that were compared last.
    compared: Option<(PathId, PathId)>,
    /// When that ended, in tenths of a second.
    ended: u32,
    /// Seconds for which nothing is tried from there.
    pause: u16,
}

impl Trials {
    fn is_since(&self, seconds: u16, now: Instant) -> bool {
        tenths(now) < self.ended + 10 * u32::from(seconds)
    }

    /// Something that uses this path may be tried elsewhere.
    pub(super) fn may_begin(&self, from: PathId, now: Instant) -> bool {
        let pause = match self.better_than(from, now) {
            Some(_) => TRIAL_PAUSE,
            None => self.pause,
        };
        self.present.is_none() && !self.is_since(pause, now)
    }

    /// The path that won the latest comparison, unless it is this one.
    pub(super) fn better_than(&self, path: PathId, now: Instant) -> Option<PathId> {
        let (better, _) = self.compared.filter(|_| self.is_since(COMPARED_FOR, now))?;
        Some(better).filter(|better| *better != path)
    }

    /// The path lost the latest comparison.
    pub(super) fn is_worse(&self, path: PathId, now: Instant) -> bool {
        self.worse(now) == Some(path)
    }

    /// The path that lost the latest comparison.
    pub(crate) fn worse(&self, now: Instant) -> Option<PathId> {
        let compared = self.compared.filter(|_| self.is_since(COMPARED_FOR, now));
        compared.map(|(_, worse)| worse)
    }

    /// The traffic has been sending about as much as now for long enough, and that is much.
    pub(super) fn is_steady(&mut self, slot: u16, rate: f64, now: Instant) -> bool {
        let Steady { rate: before, .. } = self.steady;
        let changed = (rate - f64::from(before)).abs() > f64::from(before) / 5.0;
        let now = tenths(now);
        let unseen = (now as u16).wrapping_sub(self.steady.seen);
        if self.steady.slot != slot || changed || unseen > UNSEEN {
            self.steady = Steady {
                slot,
                rate: rate as f32,
                since: now,
                seen: now as u16,
            };
        }
        self.steady.seen = now as u16;
        rate >= WORTH_A_TRIAL && now >= self.steady.since + STEADY
    }

    /// Traffic that sent `rate` bytes per second on one path, which was full or may have been, uses another one from now on.
    pub(super) fn begin(
        &mut self,
        slot: u16,
        [from, to]: [PathId; 2],
        was_full: bool,
        rate: f64,
        now: Instant,
    ) {
        self.present = Some(Trial {
            slot,
            from,
            to,
            was_full,
            at: tenths(now),
            rate: rate as f32,
            seen: rate as f32,
            seen_after: 0,
            queues_after: None,
        });
    }

    fn end(&mut self, pause: u16, now: Instant) {
        self.present = None;
        self.ended = tenths(now);
        self.pause = pause;
    }

    /// The trial is over, since something else moved the traffic: the path that was tried has failed, for it was too much, or
    /// the one that was left is not there any more, and the trial shows nothing.
    pub(super) fn abort(&mut self, is_from_there: bool, now: Instant) {
        let lost = self.present.filter(|_| is_from_there);
        self.compared = lost.map(|trial| (trial.from, trial.to));
        self.end(FAILED_TRIAL_PAUSE, now);
    }

    /// Whether a trial has failed, so that what was moved has to go back; `None` if it shows nothing yet.
    pub(super) fn judge(&mut self, found: &Comparison, now: Instant) -> Option<bool> {
        let trial = self.present.as_mut()?;
        let lasts = trial.lasts(now);
        // Between two looks it may.
        let mut grows = true;
        if lasts >= u32::from(trial.seen_after + LOOK) {
            grows = found.rate as f32 > GROWS * trial.seen;
            trial.seen = found.rate as f32;
            trial.seen_after = u8::try_from(lasts).unwrap_or(u8::MAX - LOOK);
        }
        trial.queues_after = found.queues.then(|| {
            let now = u8::try_from(lasts).unwrap_or(u8::MAX);
            trial.queues_after.unwrap_or(now)
        });
        let trial = *trial;
        // What the path that was left carried without a queue is too much for this one. The longer that lasts the more it
        // costs: BBR takes a path that loses a fifth for a policer after eight round trips.
        let is_queue = trial
            .queues_after
            .is_some_and(|after| lasts >= u32::from(after) + QUEUE_LASTS);
        if is_queue && !trial.was_full && found.rate < GAIN * f64::from(trial.rate) {
            self.compared = Some((trial.from, trial.to));
            self.end(COMPARED_FOR, now);
            return Some(true);
        }
        if lasts < TRIAL_LASTS && found.to.is_none() {
            return None;
        }
        // No more got through than fits, whatever was sent.
        let fitting = found.from.map_or(f64::INFINITY, |bits| bits / 8.0);
        let before = f64::from(trial.rate).min(fitting);
        let (failed, pause) = match (found.from, found.to) {
            (Some(from), Some(to)) => (to < from / GAIN, FAILED_TRIAL_PAUSE),
            // What fills its path is content with less for a moment, and it may have sent far more than it got there.
            (Some(_), None) if trial.was_full => {
                (found.rate < before / STARTUP, FAILED_TRIAL_PAUSE)
            }
            (_, to) => {
                let rate = to.map_or(found.rate, |bits| bits / 8.0);
                (rate < GAIN * before, COMPARED_FOR)
            }
        };
        let may_gain = grows || found.rate >= before / STARTUP;
        if failed && may_gain && found.to.is_none() && lasts < TRIAL_AT_MOST {
            return None;
        }
        if found.to.is_none() && found.rate < ENDED * before {
            self.compared = None;
            self.end(TRIAL_PAUSE, now);
            return Some(true);
        }
        // What was stalled for two seconds on a path that never was full says nothing for long.
        let is_certain = found.to.is_some() || !trial.was_full;
        self.compared = match failed {
            true => is_certain.then_some((trial.from, trial.to)),
            false => Some((trial.to, trial.from)),
        };
        self.end(if failed { pause } else { TRIAL_PAUSE }, now);
        Some(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [PathId; 2] = [PathId(1), PathId(2)];

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn begun(was_full: bool) -> Trials {
        let mut trials = Trials::default();
        trials.begin(7, PATHS, was_full, 1e6, at(1000));
        trials
    }

    fn judged(from: Option<f64>, to: Option<f64>, rate: f64, after: u64) -> Option<bool> {
        let mut trials = begun(from.is_some());
        assert!(!trials.may_begin(PathId(1), at(1000)));
        let found = Comparison {
            from,
            to,
            rate,
            queues: false,
        };
        trials.judge(&found, at(1000 + after))
    }

    #[test]
    fn a_trial_is_over_once_packets_queue_that_did_not_before() {
        let ends = |was_full, rate, queues: &[bool]| {
            let mut trials = Trials::default();
            trials.begin(1, PATHS, was_full, 1e6, at(1000));
            let ended = (1..).zip(queues).find(|(tenths, queues)| {
                let found = Comparison {
                    from: None,
                    to: None,
                    rate,
                    queues: **queues,
                };
                trials.judge(&found, at(1000 + 100 * tenths)) == Some(true)
            });
            (ended.map(|(tenths, _)| tenths), trials.compared)
        };
        let (stays, worse) = ((None, None), Some((PATHS[0], PATHS[1])));
        assert_eq!(ends(false, 1e6, &[true; 9]), (Some(3), worse));
        // One late answer is none; more is sent than before; the path before was full as well.
        assert_eq!(ends(false, 1e6, &[true, true, false, true, true]), stays);
        assert_eq!(ends(false, 1.3e6, &[true; 9]), stays);
        assert_eq!(ends(true, 1e6, &[true; 9]), stays);
    }

    #[test]
    fn a_trial_shows_its_result_after_two_seconds_or_when_the_path_is_full() {
        for from in [None, Some(8e6)] {
            assert_eq!(judged(from, None, 9e6, 1900), None);
            assert_eq!(judged(from, None, 9e6, 2000), Some(false));
            assert_eq!(judged(from, None, 0.3e6, 2000), Some(true));
            assert_eq!(judged(from, Some(80e6), 0.4e6, 100), Some(false));
            assert_eq!(judged(from, Some(2e6), 0.9e6, 100), Some(true));
        }
        // It recovers.
        let mut trials = begun(true);
        let mut look = |rate, millis| {
            let found = Comparison {
                from: Some(8e6),
                to: None,
                rate,
                queues: false,
            };
            trials.judge(&found, at(millis))
        };
        for (step, rate) in [0.1e6, 0.2e6, 0.21e6, 0.3e6].into_iter().enumerate() {
            assert_eq!(look(rate, 2600 + 200 * step as u64), None, "{step}");
        }
        assert_eq!(look(0.22e6, 3600), Some(true));
        // BBR keeps to what got through where it lost a lot.
        let mut policed = begun(false);
        let mut look = |from, rate, millis| {
            let found = Comparison {
                from,
                to: None,
                rate,
                queues: false,
            };
            policed.judge(&found, at(millis))
        };
        for millis in [3000, 3300, 4900] {
            assert_eq!(look(None, 0.5e6, millis), None);
        }
        assert_eq!(look(Some(4e6), 0.61e6, 5000), Some(false));
        // What fills its path is content with as much elsewhere; what may not fill it wants more.
        assert_eq!(judged(Some(8e6), None, 0.4e6, 2000), Some(false));
        assert_eq!(judged(None, None, 1.1e6, 3900), None);
        assert_eq!(judged(None, None, 1.1e6, 4000), Some(true));
        assert_eq!(judged(Some(8e6), Some(8e6), 1e6, 500), Some(false));
        assert_eq!(judged(None, Some(8e6), 1e6, 500), Some(true));
        let used_up = Comparison {
            from: Some(10e6),
            to: None,
            rate: 1e6,
            queues: false,
        };
        assert_eq!(begun(false).judge(&used_up, at(5000)), Some(true));
    }

    #[test]
    fn two_paths_are_compared_once_in_ten_minutes() {
        for (rate, [better, worse]) in [(0.3e6, [1, 2]), (2e6, [2, 1])] {
            let mut trials = begun(false);
            let found = Comparison {
                from: None,
                to: None,
                rate,
                queues: false,
            };
            assert_eq!(trials.judge(&found, at(3000)), Some(better == 1));
            let [better, worse] = [better, worse].map(PathId);
            assert!(trials.is_worse(worse, at(602_900)) && !trials.is_worse(worse, at(603_000)));
            assert!(!trials.is_worse(better, at(3000)));
            // What then uses the other path is soon tried where more was found.
            assert!(!trials.may_begin(worse, at(12_900)) && trials.may_begin(worse, at(13_000)));
            assert_eq!(trials.better_than(worse, at(602_900)), Some(better));
            assert_eq!(trials.better_than(worse, at(603_000)), None);
            assert_eq!(trials.better_than(better, at(3000)), None);
        }
    }

    #[test]
    fn a_trial_that_shows_nothing_decides_nothing() {
        let mut ended = begun(false);
        let nothing = Comparison {
            from: None,
            to: None,
            rate: 1000.0,
            queues: false,
        };
        assert_eq!(ended.judge(&nothing, at(3000)), Some(true));
        assert!(ended.may_begin(PathId(1), at(13_000)));
        let mut aborted = begun(false);
        aborted.abort(false, at(2000));
        assert!(!aborted.may_begin(PathId(1), at(61_900)));
        assert!(aborted.may_begin(PathId(1), at(62_000)));
        let mut overwhelmed = begun(false);
        overwhelmed.abort(true, at(2000));
        assert_eq!(
            overwhelmed.better_than(PathId(2), at(3000)),
            Some(PathId(1))
        );
        for trials in [ended, aborted] {
            assert_eq!(trials.better_than(PathId(2), at(3000)), None);
        }
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
        // The same again after a pause is something else.
        assert_eq!(steady_after(4, |_| 2e6, 60_000), Some(7));
    }
}
