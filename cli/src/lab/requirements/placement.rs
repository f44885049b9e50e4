//! Which link carries which flow, seen from outside: paced flows differ in the length of their packets.

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::pair::Pair;
use crate::lab::census::{self, Counts, Direction};
use crate::lab::flows::PacedFlows;
use crate::lab::topology::interface_name;

/// Bytes of each flow on each link: (flow, link) → bytes.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Placement(BTreeMap<(usize, u8), u64>);

impl Placement {
    /// Counts what the sender's paced flows, `flows` of them, put on the links during `window`.
    pub(super) fn observe(pair: &Pair, flows: usize, window: Duration) -> io::Result<Self> {
        census::begin(pair.sender())?;
        thread::sleep(window);
        Ok(Self::of(pair, flows, &census::read(pair.sender())?))
    }

    /// What the counts say.
    pub(super) fn of(pair: &Pair, flows: usize, counts: &Counts) -> Self {
        let mut bytes = BTreeMap::new();
        for (kind, count) in counts {
            let link = (0..pair.link_count()).find(|link| {
                kind.interface == interface_name(*link) && kind.remote == pair.receiver_at(*link)
            });
            let flow = PacedFlows::of_underlay_length(kind.length, flows);
            if let (Direction::Out, Some(link), Some(flow)) = (kind.direction, link, flow) {
                *bytes.entry((flow, link)).or_default() += count.bytes;
            }
        }
        Self(bytes)
    }

    /// The link that carries most of a flow.
    pub(super) fn link_of(&self, flow: usize) -> Option<u8> {
        let mine = self.0.iter().filter(|((other, _), _)| *other == flow);
        mine.max_by_key(|(_, bytes)| **bytes)
            .map(|((_, link), _)| *link)
    }

    /// Flows by link.
    pub(super) fn flows_by_link(&self, links: u8) -> Vec<usize> {
        let mut flows: Vec<usize> = self.0.keys().map(|(flow, _)| *flow).collect();
        flows.dedup();
        (0..links)
            .map(|link| {
                flows
                    .iter()
                    .filter(|flow| self.link_of(**flow) == Some(link))
                    .count()
            })
            .collect()
    }

    /// What each link carries of all bytes, 0 to 1.
    pub(super) fn shares(&self, links: u8) -> Vec<f64> {
        let sum = self.0.values().sum::<u64>().max(1) as f64;
        let of = |link: u8| self.0.iter().filter(move |((_, other), _)| *other == link);
        (0..links)
            .map(|link| of(link).map(|(_, bytes)| *bytes as f64).sum::<f64>() / sum)
            .collect()
    }
}

/// Moves of flows over a longer time.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Moves {
    /// Flow and time of each.
    moves: Vec<(usize, Duration)>,
}

impl Moves {
    /// Watches `flows` paced flows for `window`, twice a second.
    pub(super) fn watch(pair: &Pair, flows: usize, window: Duration) -> io::Result<Self> {
        let start = Instant::now();
        census::begin(pair.sender())?;
        let mut counts = census::read(pair.sender())?;
        let mut places: BTreeMap<usize, u8> = BTreeMap::new();
        let mut found = Self::default();
        while start.elapsed() < window {
            thread::sleep(Duration::from_millis(500));
            let now = census::read(pair.sender())?;
            let placement = Placement::of(pair, flows, &census::difference(&now, &counts));
            counts = now;
            for flow in 0..flows {
                let Some(link) = placement.link_of(flow) else {
                    continue;
                };
                if places.insert(flow, link).is_some_and(|old| old != link) {
                    found.moves.push((flow, start.elapsed()));
                }
            }
        }
        Ok(found)
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.moves.len()
    }

    /// The shortest time between two moves of one flow.
    pub(super) fn shortest_rest(&self) -> Option<Duration> {
        let mut last: BTreeMap<usize, Duration> = BTreeMap::new();
        let rests = self.moves.iter().filter_map(|(flow, at)| {
            last.insert(*flow, *at)
                .map(|before| at.saturating_sub(before))
        });
        rests.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_where_most_of_them_is() {
        let placement = Placement(BTreeMap::from([
            ((0, 0), 900),
            ((0, 1), 100),
            ((1, 1), 1000),
        ]));
        assert_eq!(placement.link_of(0), Some(0));
        assert_eq!(placement.link_of(2), None);
        assert_eq!(placement.flows_by_link(3), [1, 1, 0]);
        assert_eq!(placement.shares(3), [0.45, 0.55, 0.0]);
    }

    #[test]
    fn the_rest_between_moves_is_that_of_one_flow() {
        let at = Duration::from_secs;
        let moves = Moves {
            moves: vec![(1, at(1)), (2, at(3)), (1, at(13)), (2, at(20))],
        };
        assert_eq!((moves.count(), moves.shortest_rest()), (4, Some(at(12))));
        assert_eq!(Moves::default().shortest_rest(), None);
    }
}
