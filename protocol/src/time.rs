//! Time as a value. Nothing in this crate can ask what time it is.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on a monotonic clock, in microseconds since an origin that the caller chose. An `Option` of it takes no more
/// room, which counts where there are many: it is kept as one more than that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&self.as_micros()).finish()
    }
}

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self::from_micros(0);

    /// From microseconds since the origin; the last of all is taken for the one before.
    pub const fn from_micros(micros: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(micros))
    }

    /// From milliseconds since the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_micros(millis * 1000)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0.get() - 1
    }

    /// Milliseconds since the origin, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.as_micros() / 1000
    }

    /// How long after `earlier` this is; zero if it is before.
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.as_micros().saturating_sub(earlier.as_micros()))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Stops at the origin.
    fn sub(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self::from_micros(self.as_micros().saturating_sub(micros))
    }
}

/// Milliseconds since the Unix epoch at a given [`Instant`]: read once from the system, then advanced monotonically.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallClock {
    base: Instant,
    millis_at_base: u64,
}

impl WallClock {
    /// `millis`: milliseconds since the Unix epoch at instant `at`.
    pub const fn new(at: Instant, millis: u64) -> Self {
        Self {
            base: at,
            millis_at_base: millis,
        }
    }

    /// Milliseconds since the Unix epoch at instant `at` (which may be before the base).
    pub const fn at(&self, at: Instant) -> u64 {
        (self.millis_at_base + at.as_millis()).saturating_sub(self.base.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_instant_takes_no_more_room_and_ends_are_safe() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<u64>());
        let last = Instant::from_micros(u64::MAX);
        assert_eq!(last + Duration::from_secs(1), last);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(
            last.duration_since(Instant::ZERO),
            Duration::from_micros(u64::MAX - 1)
        );
        assert!(Some(Instant::ZERO) > None && Instant::ZERO < last);
    }
}
