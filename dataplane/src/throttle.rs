//! "At most once per second and key", in fixed memory.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use protocol::Instant;

/// A small table of when something last happened. Two keys may fall on one slot; then each lets the other through again,
/// so the limit is approximate, but the memory is not.
pub(crate) struct Throttle<K> {
    slots: Box<[Option<(K, Instant)>]>,
    interval: Duration,
    hasher: RandomState,
}

impl<K: Hash + Eq + Clone> Throttle<K> {
    /// `slots` keys, each allowed once per `interval`.
    pub(crate) fn new(slots: usize, interval: Duration) -> Self {
        Self {
            slots: vec![None; slots.max(1)].into_boxed_slice(),
            interval,
            hasher: RandomState::new(),
        }
    }

    /// True if `key` may act now; remembers that it did.
    pub(crate) fn allows(&mut self, key: K, now: Instant) -> bool {
        let index = usize::try_from(self.hasher.hash_one(&key) % self.slots.len() as u64)
            .unwrap_or_default();
        let slot = &mut self.slots[index];
        if let Some((held, at)) = slot
            && *held == key
            && now.duration_since(*at) < self.interval
        {
            return false;
        }
        *slot = Some((key, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_once_per_interval() {
        let mut throttle = Throttle::new(8, Duration::from_secs(1));
        assert!(throttle.allows(7, Instant::from_millis(100)));
        assert!(!throttle.allows(7, Instant::from_millis(1099)));
        assert!(throttle.allows(7, Instant::from_millis(1100)));
    }
}
