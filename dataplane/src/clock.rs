//! The monotonic clock that workers and the control thread share.

use protocol::Instant;

/// A monotonic clock with a fixed origin. Copies share the origin, so their readings can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A clock whose origin is one second ago: no reading is ever [`Instant::ZERO`], which stamps take for "never".
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one reader of the monotonic clock"
    )]
    pub fn start() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }

    /// Now.
    pub fn now(&self) -> Instant {
        let micros =
            u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX - 1_000_000);
        Instant::from_micros(micros + 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_agree_and_never_read_zero() {
        let clock = Clock::start();
        let copy = clock;
        let first = clock.now();
        assert!(first > Instant::ZERO);
        assert!(copy.now() >= first);
    }
}
