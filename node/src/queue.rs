//! Packets that wait: for an identity, a path, or credentials (protocol specification 4.1, 4.2).

use std::collections::VecDeque;

use protocol::{Address, Instant};

use crate::io::PathKey;
use crate::limits::{MAX_TRANSMIT_QUEUE, MAX_WAIT_QUEUE};
use crate::timers::{QUEUE_LIFETIME, within};

/// A received packet that is whole, but could not be finished yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) arrived: Instant,
    pub(crate) path: PathKey,
    pub(crate) packet: Vec<u8>,
    /// Authenticated, decrypted and decompressed.
    pub(crate) opened: bool,
}

/// A packet to send, not sealed yet.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) since: Instant,
    pub(crate) to: Address,
    pub(crate) packet: Vec<u8>,
}

/// Anything that has waited since some instant.
pub(crate) trait Waits {
    /// Since when.
    fn since(&self) -> Instant;
    /// How many may wait.
    const LIMIT: usize;
}

impl Waits for Incoming {
    fn since(&self) -> Instant {
        self.arrived
    }
    const LIMIT: usize = MAX_WAIT_QUEUE;
}

impl Waits for Outgoing {
    fn since(&self) -> Instant {
        self.since
    }
    const LIMIT: usize = MAX_TRANSMIT_QUEUE;
}

/// A bounded queue whose entries live for five seconds.
#[derive(Debug)]
pub(crate) struct WaitQueue<T> {
    entries: VecDeque<T>,
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
        }
    }
}

impl<T: Waits> WaitQueue<T> {
    /// Adds an entry unless its time is over. Returns true if the oldest had to go for it.
    pub(crate) fn push(&mut self, now: Instant, entry: T) -> bool {
        if !within(Some(entry.since()), now, QUEUE_LIFETIME) {
            return false;
        }
        let full = self.entries.len() >= T::LIMIT;
        if full {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        full
    }

    /// Takes all entries that are not too old, to try them again.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<T> {
        self.entries
            .drain(..)
            .filter(|e| within(Some(e.since()), now, QUEUE_LIFETIME))
            .collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(millis: u64) -> Outgoing {
        Outgoing {
            since: Instant::from_millis(millis),
            to: Address::from_u64(millis),
            packet: Vec::new(),
        }
    }

    #[test]
    fn the_oldest_goes_when_full_and_nothing_stays_beyond_five_seconds() {
        let mut queue = WaitQueue::default();
        for n in 0..MAX_TRANSMIT_QUEUE as u64 {
            assert!(!queue.push(Instant::from_millis(n), entry(n)));
        }
        assert!(queue.push(Instant::from_millis(40), entry(40)));
        let taken = queue.take(Instant::from_millis(5_010));
        assert_eq!(taken[0].since, Instant::from_millis(11));
        assert_eq!(
            taken.last().map(|e| e.since),
            Some(Instant::from_millis(40))
        );
        assert!(queue.is_empty());
        queue.push(Instant::from_millis(9_000), entry(4_000));
        assert!(queue.is_empty());
    }
}
