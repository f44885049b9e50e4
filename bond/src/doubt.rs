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
/// That time, and how long a doubt lasts of which it will soon be known whether it is true: where the peer says ten times a second
/// what arrives, that is any.
const BRIEFLY: Duration = Duration::from_secs(5);

/// A doubt about what was measured, or none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Doubt {
    /// Bit/s; 0: there is no doubt.
    expected: f32,
    /// Since when it is doubted, or has worked again, in tenths of a second.
    since: u32,
}

impl Doubt {
    /// From now on `measured`, in bit/s, is doubted. Another failure before anything was measured is no second reason.
    pub(crate) fn begin(&mut self, measured: f64, now: Instant) {
        if !self.is_open() {
            self.expected = (measured * DOUBTED) as f32;
            self.since = tenths(now);
        }
    }

    /// The same for a moment: if it is true, it will soon be measured.
    pub(crate) fn begin_briefly(&mut self, measured: f64, now: Instant) {
        if !self.is_open() {
            self.begin(measured, now);
            let rest = DOUBTED_FOR - BRIEFLY;
            self.since = self.since.saturating_sub(tenths(Instant::default() + rest));
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.expected > 0.0
    }

    /// The doubt began, or the path came back, no longer ago than that.
    pub(crate) fn is_recent(&self, time: Duration, now: Instant) -> bool {
        self.is_open() && tenths(now) <= self.since + tenths(Instant::default() + time)
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
    pub(crate) fn note_revived(&mut self, now: Instant) {
        self.since = self.since.max(tenths(now));
    }

    /// Ends if it has lasted too long; call now and then while the path works, on which so much was `measured`. Unless that
    /// `is_exact`, and will soon be so again, it ends by steps.
    pub(crate) fn expire(&mut self, measured: f64, is_exact: bool, now: Instant) {
        let lasts = if is_exact { BRIEFLY } else { DOUBTED_FOR };
        if !self.is_open() || self.is_recent(lasts, now) {
            return;
        }
        if !is_exact && f64::from(self.expected) * STEP < measured {
            self.expected *= STEP as f32;
            self.since = tenths(now - (DOUBTED_FOR - BRIEFLY));
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
            doubt.begin(8e6, at(millis));
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
        brief.expire(8e6, false, at(105_000));
        assert_eq!(brief.expected(8e6), 2e6);
        brief.expire(8e6, false, at(105_100));
        assert_eq!(brief.expected(8e6), 4e6);
        brief.expire(8e6, false, at(110_100));
        assert_eq!(brief.expected(8e6), 4e6);
        brief.expire(8e6, false, at(110_200));
        assert!(!brief.is_open());
        let mut exact = doubt;
        exact.note_revived(at(200_000));
        exact.expire(8e6, true, at(205_000));
        assert!(exact.is_open());
        exact.expire(8e6, true, at(205_100));
        assert!(!exact.is_open());
        // Its time begins when the path works again.
        doubt.note_revived(at(500_000));
        doubt.expire(8e6, false, at(510_000));
        assert!(doubt.is_open());
        doubt.expire(8e6, false, at(510_100));
        assert!(!doubt.is_open());
    }
}
