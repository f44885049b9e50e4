//! Noticing that the machine slept (service specification A.3 step 17).

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::LONGEST_WAIT;

/// A turn that comes this late was slept through, not merely delayed.
const TOLERANCE: Duration = Duration::from_secs(10);

/// Time since the system started, its sleep included, which the monotonic clock leaves out.
pub(super) fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// Looks at the time that passes between turns of the control thread.
#[derive(Debug)]
pub(super) struct SleepWatch {
    last: Duration,
}

impl SleepWatch {
    pub(super) const fn new(now: Duration) -> Self {
        Self { last: now }
    }

    /// To be called at each turn: was there a sleep since the last one?
    pub(super) fn has_slept(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.last);
        self.last = now;
        passed > LONGEST_WAIT + TOLERANCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_gaps_are_sleep_and_each_counts_once() {
        let at = Duration::from_secs;
        let mut watch = SleepWatch::new(at(100));
        assert!(!watch.has_slept(at(105)));
        assert!(!watch.has_slept(at(120)));
        assert!(watch.has_slept(at(136)));
        assert!(!watch.has_slept(at(137)));
        assert!(!watch.has_slept(at(130)));
    }

    #[test]
    fn the_clock_runs() {
        assert!(since_boot() > Duration::ZERO);
    }
}
