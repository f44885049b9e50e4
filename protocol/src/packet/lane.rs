//! Numbers inside the inner IVs of suite 3, between Hawser nodes.
//!
//! The sender of a suite 3 packet chooses 8 bytes of IV, which the cipher hides and the receiver recovers. Unmodified nodes fill them
//! with random bits that nobody reads. A Hawser node numbers its packets there when it sends to another one, so that the receiver
//! sees loss at no cost. Most significant bit first:
//!
//! | bits | field |
//! |---|---|
//! | 1 | direction: the sender's address is the greater of the two; both directions share one key |
//! | 13 | epoch: random, new whenever the sender begins to count anew |
//! | 6 | path: the sender's number of its path, 0 to 62; 63: not numbered, the rest is random |
//! | 6 | worker: which of the sender's threads, 0 to 62; 63: its control plane |
//! | 38 | counter: from 0 in each lane, a path and a worker, of an epoch |
//!
//! No two packets of a pair of nodes share an IV within an epoch. If two epochs happen to be alike, or the counter wraps, an IV comes
//! twice; the cipher of suite 3 bears that, as it does with random IVs.

use super::PacketId;
use crate::Address;

const COUNTER_BITS: u32 = 38;
const WORKER_SHIFT: u32 = COUNTER_BITS;
const PATH_SHIFT: u32 = WORKER_SHIFT + 6;
const ORIGIN_SHIFT: u32 = PATH_SHIFT + 6;
const COUNTER_MASK: u64 = (1 << COUNTER_BITS) - 1;
const SIX_BITS: u64 = 0x3f;
const EPOCH_MASK: u16 = 0x1fff;

/// Who numbers, and since when: direction and epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneOrigin(u16);

/// A lane of an origin: one path, one thread of the sender.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lane {
    /// 0 to [`Lane::MAX_PATH`].
    pub path: u8,
    /// 0 to [`Lane::CONTROL`].
    pub worker: u8,
}

impl Lane {
    /// The highest number of a path.
    pub const MAX_PATH: u8 = 62;
    /// The path number of packets without a number.
    const NO_PATH: u8 = 63;
    /// The control plane's worker number.
    pub const CONTROL: u8 = 63;

    /// The part of `counter` that travels.
    pub const fn truncated(counter: u64) -> u64 {
        counter & COUNTER_MASK
    }

    /// The whole counter whose last bits are `counter`, nearest to `near`.
    pub const fn extended(counter: u64, near: u64) -> u64 {
        let ahead = counter.wrapping_sub(near) & COUNTER_MASK;
        let behind = COUNTER_MASK + 1 - ahead;
        if ahead <= COUNTER_MASK / 2 || behind > near {
            near + ahead
        } else {
            near - behind
        }
    }
}

impl LaneOrigin {
    /// Of packets from `sender` to `receiver`; the epoch is the low bits of `run`.
    pub fn new(sender: Address, receiver: Address, run: u32) -> Self {
        let direction = u16::from(sender > receiver);
        Self(direction << 13 | run as u16 & EPOCH_MASK)
    }

    /// The IV of a lane's packet number `counter`.
    pub const fn number(self, lane: Lane, counter: u64) -> PacketId {
        PacketId(
            (self.0 as u64) << ORIGIN_SHIFT
                | (lane.path as u64 & SIX_BITS) << PATH_SHIFT
                | (lane.worker as u64 & SIX_BITS) << WORKER_SHIFT
                | counter & COUNTER_MASK,
        )
    }

    /// The IV of a packet without a number.
    pub const fn unnumbered(self, random: u64) -> PacketId {
        let rest = (1 << PATH_SHIFT) - 1;
        PacketId(
            (self.0 as u64) << ORIGIN_SHIFT | (Lane::NO_PATH as u64) << PATH_SHIFT | random & rest,
        )
    }

    /// The lane and truncated counter in an IV; none if it is of another origin or has no number.
    pub const fn read(self, iv: PacketId) -> Option<(Lane, u64)> {
        let lane = Lane {
            path: (iv.0 >> PATH_SHIFT & SIX_BITS) as u8,
            worker: (iv.0 >> WORKER_SHIFT & SIX_BITS) as u8,
        };
        if iv.0 >> ORIGIN_SHIFT != self.0 as u64 || lane.path == Lane::NO_PATH {
            return None;
        }
        Some((lane, iv.0 & COUNTER_MASK))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOW: Address = Address::from_u64(0x10);
    const HIGH: Address = Address::from_u64(0x20);

    #[test]
    fn the_layout_is_as_told() {
        let lane = Lane { path: 1, worker: 2 };
        let id = LaneOrigin::new(HIGH, LOW, 0x1003).number(lane, 5);
        let expected = 1 << 63 | 0x1003 << 50 | 1 << 44 | 2 << 38 | 5;
        assert_eq!(id, PacketId(expected));
        assert!(LaneOrigin::new(LOW, HIGH, u32::MAX).number(lane, 0).0 < 1 << 63);
    }

    #[test]
    fn whole_counters_are_found_again_where_the_short_ones_wrap() {
        let wrap = COUNTER_MASK + 1;
        for (near, counter) in [
            (0, 0),
            (0, 5),
            (9, 2),
            (wrap - 1, wrap),
            (wrap, wrap - 1),
            (5 * wrap + 3, 5 * wrap - 70),
            (5 * wrap - 70, 5 * wrap + 3),
        ] {
            assert_eq!(Lane::extended(Lane::truncated(counter), near), counter);
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back_to_whom_they_are_meant_for(
            run: u32, other: u32, path in 0..=Lane::MAX_PATH, worker in 0..64u8, counter in 0..1u64 << 38, random: u64,
        ) {
            let origin = LaneOrigin::new(LOW, HIGH, run);
            let lane = Lane { path, worker };
            let id = origin.number(lane, counter);
            prop_assert_eq!(origin.read(id), Some((lane, counter)));
            prop_assert_eq!(LaneOrigin::new(HIGH, LOW, run).read(id), None);
            let same = (run ^ other) & u32::from(EPOCH_MASK) == 0;
            prop_assert_eq!(LaneOrigin::new(LOW, HIGH, other).read(id).is_some(), same);
            prop_assert_eq!(origin.read(origin.unnumbered(random)), None);
        }
    }
}
