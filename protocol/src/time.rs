//! Time as a value. Nothing in this crate can ask what time it is.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on a monotonic clock, in microseconds since an origin that the caller chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// From microseconds since the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1000)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the origin, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// How long after `earlier` this is; zero if it is before.
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Stops at the origin.
    fn sub(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)),
        )
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
