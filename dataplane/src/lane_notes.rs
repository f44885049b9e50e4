//! What peers of our kind are told, and what is told of them: packets that arrived on their lanes, and that something left for
//! them. Notes are handed over some 50 times a second while there are any.

use std::time::Duration;

use node::io::LaneArrivals;
use protocol::packet::Lane;
use protocol::{Address, Instant};

/// How long notes may wait.
const PATIENCE: Duration = Duration::from_millis(20);
/// Lanes with a place of their own; others share. A power of two, and no more than there are bits in `used`.
const PLACES: usize = 128;
/// Sums of lanes that had to give up their place. Beyond that they get lost, and the peer takes them for packets lost: that takes
/// hundreds of lanes within one turn.
const MOST_EVICTED: usize = 256;
/// Peers to whom something left. The node looks at others when it looks at everybody.
const MOST_SENT: usize = 16;

/// One worker's notes.
#[derive(Debug, Default)]
pub(crate) struct LaneNotes {
    /// Made when first needed, as most workers never are.
    places: Box<[LaneArrivals]>,
    /// By place: there are sums.
    used: u128,
    evicted: Vec<LaneArrivals>,
    sent: Vec<Address>,
    since: Option<Instant>,
    /// When a handover was last asked for out of turn.
    last_urgent: Option<Instant>,
    /// That one is still to come.
    is_urgent: bool,
}

impl LaneNotes {
    /// A packet with a number arrived.
    pub(crate) fn received(
        &mut self,
        peer: Address,
        lane: Lane,
        number: u64,
        length: usize,
        is_traffic: bool,
        now: Instant,
    ) {
        let fresh = LaneArrivals {
            peer,
            lane,
            packets: 1,
            bytes: length as u64,
            highest: number,
            at: now,
            has_traffic: is_traffic,
        };
        if self.places.is_empty() {
            self.places = vec![fresh; PLACES].into_boxed_slice();
            self.evicted.reserve_exact(MOST_EVICTED);
        }
        self.since.get_or_insert(now);
        let index = place_of(peer, lane);
        let sums = &mut self.places[index];
        if self.used & 1 << index == 0 {
            self.used |= 1 << index;
            *sums = fresh;
        } else if sums.peer == peer && sums.lane == lane {
            sums.packets += 1;
            sums.bytes += length as u64;
            sums.has_traffic |= is_traffic;
            if Lane::extended(number, sums.highest) > sums.highest {
                sums.highest = number;
                sums.at = now;
            }
        } else {
            let evicted = std::mem::replace(sums, fresh);
            if self.evicted.len() < MOST_EVICTED {
                self.evicted.push(evicted);
            }
        }
    }

    /// A numbered packet was queued for a peer.
    pub(crate) fn sent(&mut self, peer: Address, now: Instant) {
        if self.sent.last() != Some(&peer)
            && self.sent.len() < MOST_SENT
            && !self.sent.contains(&peer)
        {
            self.sent.push(peer);
            self.since.get_or_insert(now);
        }
    }

    /// A packet was queued for a peer whose bond is idle, and looks at its paths when it hears of that. Told at once, but no more
    /// often than anything else: until the bond is known to be awake each packet seems to wake it.
    pub(crate) fn woke(&mut self, peer: Address, now: Instant) {
        self.sent(peer, now);
        let last = self.last_urgent;
        if last.is_none_or(|at| now.duration_since(at) >= PATIENCE) {
            self.last_urgent = Some(now);
            self.is_urgent = true;
        }
    }

    /// Something is to be handed over now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.is_urgent
            || self
                .since
                .is_some_and(|since| now.duration_since(since) >= PATIENCE)
    }

    /// All notes; there are none then.
    pub(crate) fn take(&mut self) -> (Vec<LaneArrivals>, Vec<Address>) {
        self.since = None;
        self.is_urgent = false;
        let mut arrivals: Vec<LaneArrivals> = self.evicted.drain(..).collect();
        while self.used != 0 {
            let index = self.used.trailing_zeros() as usize;
            self.used &= self.used - 1;
            arrivals.push(self.places[index]);
        }
        (arrivals, self.sent.drain(..).collect())
    }

    /// How long a worker may sleep before something has to be handed over; none: for ever.
    pub(crate) fn patience(&self, now: Instant) -> Option<Duration> {
        if self.is_urgent {
            return Some(Duration::ZERO);
        }
        Some(PATIENCE.saturating_sub(now.duration_since(self.since?)))
    }
}

fn place_of(peer: Address, lane: Lane) -> usize {
    let key = peer.to_u64() << 16 ^ u64::from(lane.path) << 8 ^ u64::from(lane.worker);
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn sums_are_those_of_each_lane_whoever_shares_its_place() {
        let mut notes = LaneNotes::default();
        assert_eq!(notes.patience(at(0)), None);
        let lanes = |index: u64| {
            let lane = Lane {
                path: (index % 7) as u8,
                worker: (index % 30) as u8,
            };
            (Address::from_u64(1 + index % 11), lane)
        };
        for number in 0..400 {
            let (peer, lane) = lanes(number / 2);
            notes.received(peer, lane, number, 100, true, at(number / 100));
        }
        assert!(!notes.is_due(at(19)) && notes.is_due(at(20)));
        assert_eq!(notes.patience(at(15)), Some(Duration::from_millis(5)));
        let (arrivals, sent) = notes.take();
        assert!(sent.is_empty());
        let mut sums = BTreeMap::new();
        for arrived in arrivals {
            let sum = sums
                .entry((arrived.peer, arrived.lane))
                .or_insert((0, 0, 0));
            sum.0 += arrived.packets;
            sum.1 += arrived.bytes;
            sum.2 = arrived.highest.max(sum.2);
        }
        for index in 0..200 {
            assert_eq!(sums[&lanes(index)], (2, 200, 2 * index + 1));
        }
        assert_eq!(notes.take(), (Vec::new(), Vec::new()));
        assert!(!notes.is_due(at(1000)));
    }

    #[test]
    fn the_first_packet_after_a_pause_is_told_at_once_and_the_next_in_their_turn() {
        let mut notes = LaneNotes::default();
        let peer = Address::from_u64(1);
        notes.woke(peer, at(100));
        assert!(notes.is_due(at(100)));
        assert_eq!(notes.patience(at(100)), Some(Duration::ZERO));
        assert_eq!(notes.take(), (Vec::new(), vec![peer]));
        notes.woke(peer, at(101));
        assert!(!notes.is_due(at(119)) && notes.is_due(at(121)));
        notes.take();
        notes.woke(peer, at(5000));
        assert!(notes.is_due(at(5000)));
    }

    #[test]
    fn a_flood_of_lanes_fills_no_more_than_the_lists() {
        let mut notes = LaneNotes::default();
        for index in 0..100_000_u64 {
            let lane = Lane { path: 0, worker: 0 };
            notes.received(Address::from_u64(1 + index), lane, 0, 1, true, at(0));
            notes.sent(Address::from_u64(1 + index), at(0));
        }
        let (arrivals, sent) = notes.take();
        assert_eq!(arrivals.len(), PLACES + MOST_EVICTED);
        assert_eq!(sent.len(), MOST_SENT);
    }

    #[test]
    fn the_highest_number_is_found_where_numbers_wrap() {
        let mut notes = LaneNotes::default();
        let lane = Lane { path: 0, worker: 0 };
        for number in [(1 << 38) - 1, 0, 2, 1] {
            let is_traffic = number == 2;
            notes.received(
                Address::from_u64(1),
                lane,
                number,
                1,
                is_traffic,
                at(number % 7),
            );
        }
        let arrived = notes.take().0[0];
        assert_eq!((arrived.highest, arrived.has_traffic), (2, true));
    }
}
