//! Counters of the packets that each thread sends on each path of a peer of our kind. A lane's counter has one writer, which
//! numbers packets by it; the node reads all of them.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::PacketId;
use protocol::packet::{Lane, LaneOrigin};

use crate::limits::MAX_NUMBERED_WORKERS;

/// Alone in its cache line, so that workers do not disturb each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counter(AtomicU64);

impl Counter {
    fn draw(&self) -> u64 {
        // There is one writer, so no addition gets lost.
        let count = self.0.load(Ordering::Relaxed);
        self.0.store(count + 1, Ordering::Relaxed);
        count
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All lanes of one path.
#[derive(Debug)]
pub struct PathLanes {
    number: u8,
    workers: Box<[Counter]>,
    control: Counter,
}

impl PathLanes {
    /// Lanes for the path with this number, of as many workers and the control plane. Workers beyond
    /// [`MAX_NUMBERED_WORKERS`] get none.
    pub fn new(number: u8, workers: usize) -> Self {
        let workers = workers.min(MAX_NUMBERED_WORKERS);
        Self {
            number,
            workers: (0..workers).map(|_| Counter::default()).collect(),
            control: Counter::default(),
        }
    }

    /// The inner IV of the next packet of a lane; none if the worker has no lane here. Only the thread that is `worker`
    /// ([`Lane::CONTROL`]: the node's) may call it.
    pub fn draw(&self, origin: LaneOrigin, worker: u8) -> Option<PacketId> {
        let lane = Lane {
            path: self.number,
            worker,
        };
        let counter = self.counter(worker)?;
        Some(origin.number(lane, counter.draw()))
    }

    /// How many packets were numbered on the lane of `worker`; none if it has none.
    pub fn count(&self, worker: u8) -> Option<u64> {
        self.counter(worker).map(Counter::get)
    }

    /// All workers with a lane.
    pub fn workers(&self) -> impl Iterator<Item = u8> + use<> {
        let workers = u8::try_from(self.workers.len()).unwrap_or(0);
        (0..workers).chain([Lane::CONTROL])
    }

    /// The number of the path.
    pub fn number(&self) -> u8 {
        self.number
    }

    fn counter(&self, worker: u8) -> Option<&Counter> {
        if worker == Lane::CONTROL {
            return Some(&self.control);
        }
        self.workers.get(usize::from(worker))
    }
}

#[cfg(test)]
mod tests {
    use protocol::Address;

    use super::*;

    #[test]
    fn each_lane_counts_for_itself() {
        let origin = LaneOrigin::new(Address::from_u64(1), Address::from_u64(2), 9);
        let lanes = PathLanes::new(4, 2);
        for worker in [0, 1, 1, Lane::CONTROL] {
            assert!(lanes.draw(origin, worker).is_some());
        }
        assert_eq!(lanes.draw(origin, 2), None);
        let id = lanes.draw(origin, 1).unwrap();
        let lane = Lane { path: 4, worker: 1 };
        assert_eq!(origin.read(id), Some((lane, 2)));
        let counts: Vec<_> = lanes.workers().map(|w| lanes.count(w)).collect();
        assert_eq!(counts, [Some(1), Some(3), Some(1)]);
        assert_eq!(PathLanes::new(0, 500).workers().count(), 63);
    }
}
