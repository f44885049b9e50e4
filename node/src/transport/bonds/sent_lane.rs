//! A lane of what leaves for a peer: when which of its numbers left, and what the peer told of it.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Instant;

use crate::limits::MAX_LANE_MARKS;

/// The shortest time between two marks of a lane.
const MARK_SPACING: Duration = Duration::from_millis(10);

/// A lane's packets below `count` had left at `first`, the others had not at `last`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    count: u64,
    first: Instant,
    last: Instant,
}

/// What the peer told of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// One more than the highest number that arrived.
    pub(super) next: u64,
    /// Packets and bytes, if they were told.
    pub(super) counts: Option<(u64, u64)>,
}

/// One lane that was used.
#[derive(Debug)]
pub(super) struct SentLane {
    pub(super) worker: u8,
    pub(super) marks: VecDeque<Mark>,
    pub(super) known: Option<Known>,
}

impl SentLane {
    pub(super) fn mark(&mut self, count: u64, now: Instant) {
        if let Some(mark) = self.marks.back_mut() {
            if mark.count == count {
                mark.last = now;
                return;
            }
            if now.duration_since(mark.first) < MARK_SPACING {
                return;
            }
        }
        if self.marks.len() >= MAX_LANE_MARKS {
            let mut index = 0;
            self.marks.retain(|_| {
                index += 1;
                index % 2 == 0
            });
        }
        self.marks.push_back(Mark {
            count,
            first: now,
            last: now,
        });
    }

    /// How many packets had left at `then`, at least.
    pub(super) fn left_by(&self, then: Instant) -> u64 {
        let marks = self.marks.iter().rev();
        marks
            .filter(|mark| mark.first <= then)
            .map(|mark| mark.count)
            .next()
            .unwrap_or(0)
    }

    /// Packet `number` had not left before.
    pub(super) fn not_before(&self, number: u64) -> Option<Instant> {
        let mut marks = self.marks.iter().rev();
        marks
            .find(|mark| mark.count <= number)
            .map(|mark| mark.last)
    }

    /// Packet `number` had left by then.
    pub(super) fn not_after(&self, number: u64) -> Option<Instant> {
        let mut marks = self.marks.iter();
        marks
            .find(|mark| mark.count > number)
            .map(|mark| mark.first)
    }
}
