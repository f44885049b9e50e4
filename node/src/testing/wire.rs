//! One direction of the way between two addresses, with a rate, a queue and faults of its own.

use std::collections::BTreeMap;

use core::time::Duration;
use protocol::Instant;

use super::Conditions;

/// Bytes that a datagram takes on an Ethernet besides its payload: Ethernet, IPv4 and UDP headers.
const OVERHEAD: usize = 42;
/// How long datagrams wait at most in front of a full wire, unless said otherwise.
const QUEUE: Duration = Duration::from_millis(50);

/// What a wire carried.
#[derive(Clone, Default, Debug)]
pub struct Traffic {
    /// Datagrams that were sent over it.
    pub datagrams: u64,
    /// Bytes of these, without the headers of UDP and below.
    pub bytes: u64,
    /// Datagrams that did not arrive.
    pub lost: u64,
    /// Datagrams sent, by their length.
    pub lengths: BTreeMap<usize, u64>,
}

/// One direction of the way between two addresses. It keeps datagrams in order, whatever its jitter.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Delay, jitter, loss and doubling.
    pub conditions: Conditions,
    /// Bits per second with all headers; none: no limit.
    pub rate: Option<u64>,
    /// What would wait longer than this for its turn is lost.
    pub queue: Duration,
    /// Nothing arrives.
    pub is_dead: bool,
    /// Datagrams of which this is true do not arrive.
    pub filter: Option<fn(&[u8]) -> bool>,
    /// What it carried so far.
    pub traffic: Traffic,
    free_at: Instant,
    last_arrival: Instant,
}

impl Wire {
    /// A wire without a limit.
    pub fn new(conditions: Conditions) -> Self {
        Self {
            conditions,
            rate: None,
            queue: QUEUE,
            is_dead: false,
            filter: None,
            traffic: Traffic::default(),
            free_at: Instant::ZERO,
            last_arrival: Instant::ZERO,
        }
    }

    /// Takes a datagram at `now`; when it arrives, if it does. `extra`: its part of the jitter; `is_lost`: chance said so.
    pub(super) fn carry(
        &mut self,
        now: Instant,
        bytes: &[u8],
        extra: Duration,
        is_lost: bool,
    ) -> Option<Instant> {
        self.traffic.datagrams += 1;
        self.traffic.bytes += bytes.len() as u64;
        *self.traffic.lengths.entry(bytes.len()).or_default() += 1;
        let at = self.arrival(now, bytes, extra, is_lost);
        self.traffic.lost += u64::from(at.is_none());
        at
    }

    fn arrival(
        &mut self,
        now: Instant,
        bytes: &[u8],
        extra: Duration,
        is_lost: bool,
    ) -> Option<Instant> {
        if is_lost || self.is_dead || self.filter.is_some_and(|filter| filter(bytes)) {
            return None;
        }
        let mut leaves = now;
        if let Some(rate) = self.rate {
            let start = self.free_at.max(now);
            if start.duration_since(now) > self.queue {
                return None;
            }
            let bits = 8 * (bytes.len() + OVERHEAD) as u64;
            leaves = start + Duration::from_nanos(bits * 1_000_000_000 / rate.max(1));
            self.free_at = leaves;
        }
        self.last_arrival = self
            .last_arrival
            .max(leaves + self.conditions.delay + extra);
        Some(self.last_arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(5000);

    fn wire() -> Wire {
        Wire::new(Conditions::default())
    }

    #[test]
    fn a_rate_spaces_datagrams_and_a_full_queue_loses_them() {
        let mut wire = wire();
        // A datagram of 1000 bits each millisecond.
        wire.rate = Some(1_000_000);
        wire.queue = Duration::from_millis(2);
        let datagram = [0; 125 - OVERHEAD];
        let arrivals: Vec<_> = (0..4)
            .map(|_| wire.carry(NOW, &datagram, Duration::ZERO, false))
            .collect();
        let after = |millis: u64| Some(NOW + Duration::from_millis(5 + millis));
        assert_eq!(arrivals, [after(1), after(2), after(3), None]);
        assert_eq!((wire.traffic.datagrams, wire.traffic.lost), (4, 1));
    }

    #[test]
    fn jitter_delays_and_does_not_reorder() {
        let mut wire = wire();
        let late = wire.carry(NOW, b"one", Duration::from_millis(9), false);
        let next = wire.carry(NOW, b"two", Duration::ZERO, false);
        assert_eq!(late, next);
        assert_eq!(late, Some(NOW + Duration::from_millis(14)));
    }
}
