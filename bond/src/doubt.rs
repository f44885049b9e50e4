//! What is expected of a path that failed while it was full: it may be narrower when it is back.

use std::time::Duration;

use protocol::Instant;

use crate::capacity::GROWTH;
use crate::packed::tenths;

/// It is taken for so much of what it was until it shows what fits: too little is found out as soon as more arrives, too much
/// only after flows were put on it and a queue has built.
const DOUBTED: f64 = 0.25;
/// What arrives proves all of what fitted if it is this part of that.
const PROVES: f64 = 0.8;
/// For so long: if nothing is put on it nothing shows. Then more is expected, by this factor each time that the shorter time
/// has passed: who puts a little too much on a path learns so within seconds, and who puts far too much on it makes it fail.
const DOUBTED_FOR: Duration = Duration::from_secs(10);
const STEP: f64 = 2.0;
/// That time, and for how long it is taken for so little if it will soon be known whether that is true: where the peer says
/// ten times a second what arrives it always will.
const BRIEFLY: Duration = Duration::from_secs(5);

/// A doubt about what was measured, or none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Doubt {
    /// Bit/s; 0: there is no doubt.
    expected: f32,
    /// When the path failed, or worked again, in tenths of a second; 0 if it did not fail.
    failed: u32,
    /// Until when no more is expected unless more arrives, in the same.
    until: u32,
}

/// Tenths of a second.
fn later(now: Instant, time: Duration) -> u32 {
    tenths(now + time)
}

/// How long no more is expected. What was measured `is_exact`, and will soon be so again.
fn holds(is_exact: bool) -> Duration {
    if is_exact { BRIEFLY } else { DOUBTED_FOR }
}

impl Doubt {
    /// The path failed: from now on `measured`, in bit/s, is doubted. Another failure before anything was measured is no second
    /// reason. What was measured `is_exact` if it will soon be so again.
    pub(crate) fn begin(&mut self, measured: f64, is_exact: bool, now: Instant) {
        if !self.is_open() {
            *self = Self {
                expected: (measured * DOUBTED) as f32,
                failed: tenths(now),
                until: later(now, holds(is_exact)),
            };
        }
    }

    /// The same of a path that did not fail: if it has become narrower, that will soon be measured.
    pub(crate) fn begin_briefly(&mut self, measured: f64, now: Instant) {
        if !self.is_open() {
            self.begin(measured, true, now);
            self.failed = 0;
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.expected > 0.0
    }

    /// The path is doubted, and failed or came back no longer ago than that.
    pub(crate) fn is_recent(&self, time: Duration, now: Instant) -> bool {
        self.is_open() && tenths(now) <= self.failed + later(Instant::ZERO, time)
    }

    /// What to expect of a path, in bit/s, on which that was measured.
    pub(crate) fn expected(&self, measured: f64) -> f64 {
        if self.is_open() {
            measured.min(self.expected.into())
        } else {
            measured
        }
    }

    /// So much arrives, in bit/s, without a queue: no less fits, and more may if that is about what was expected.
    pub(crate) fn note_arriving(&mut self, bits: f64, measured: f64) {
        if bits >= PROVES * measured {
            self.end();
        } else if self.is_open() && bits >= PROVES * f64::from(self.expected) {
            self.expected = self.expected.max((GROWTH * bits) as f32);
        }
    }

    /// What fits was measured anew.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// The path works again: from now on it can show what fits.
    pub(crate) fn note_revived(&mut self, is_exact: bool, now: Instant) {
        self.failed = tenths(now);
        self.until = self.until.max(later(now, holds(is_exact)));
    }

    /// Ends if it has lasted too long; call now and then while the path works, on which so much was `measured`. Unless that
    /// `is_exact` it ends by steps.
    pub(crate) fn expire(&mut self, measured: f64, is_exact: bool, now: Instant) {
        if !self.is_open() || tenths(now) <= self.until {
            return;
        }
        if !is_exact && f64::from(self.expected) * STEP < measured {
            self.expected *= STEP as f32;
            self.until = later(now, BRIEFLY);
        } else {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_ends_with_what_proves_it_wrong_or_by_steps() {
        let at = Instant::from_millis;
        let mut doubt = Doubt::default();
        assert_eq!(doubt.expected(8e6), 8e6);
        for millis in [1000, 2000] {
            doubt.begin(8e6, false, at(millis));
            assert_eq!(doubt.expected(8e6), 2e6);
        }
        assert!(doubt.is_recent(Duration::from_secs(5), at(6000)));
        assert!(!doubt.is_recent(Duration::from_secs(5), at(6100)));
        // Some of it proves as much, and lets try a little more.
        for (arriving, expected) in [
            (1e6, 2e6),
            (1.6e6, 2e6),
            (2e6, 2.5e6),
            (4e6, 5e6),
            (3e6, 5e6),
        ] {
            doubt.note_arriving(arriving, 8e6);
            assert!(doubt.is_open() && doubt.expected(8e6) == expected);
        }
        let mut proven = doubt;
        proven.note_arriving(6.5e6, 8e6);
        assert!(!proven.is_open());
        let mut brief = Doubt::default();
        brief.begin_briefly(8e6, at(100_000));
        assert!(!brief.is_recent(Duration::from_secs(5), at(100_100)));
        brief.expire(8e6, false, at(105_000));
        assert_eq!(brief.expected(8e6), 2e6);
        brief.expire(8e6, false, at(105_100));
        assert_eq!(brief.expected(8e6), 4e6);
        brief.expire(8e6, false, at(110_100));
        assert_eq!(brief.expected(8e6), 4e6);
        brief.expire(8e6, false, at(110_200));
        assert!(!brief.is_open());
        for is_exact in [false, true] {
            let mut failed = Doubt::default();
            failed.begin(8e6, is_exact, at(100_000));
            for (millis, expected) in [(105_000, [2e6, 2e6]), (105_100, [2e6, 8e6])] {
                failed.expire(8e6, is_exact, at(millis));
                assert_eq!(failed.expected(8e6), expected[usize::from(is_exact)]);
            }
        }
        let mut exact = doubt;
        exact.note_revived(true, at(200_000));
        exact.expire(8e6, true, at(205_000));
        assert!(exact.is_open());
        exact.expire(8e6, true, at(205_100));
        assert!(!exact.is_open());
        // Its time begins when the path works again.
        doubt.note_revived(false, at(500_000));
        doubt.expire(8e6, false, at(510_000));
        assert!(doubt.is_open());
        doubt.expire(8e6, false, at(510_100));
        assert!(!doubt.is_open());
    }
}
