//! What a policy decided: the only part of this crate that workers run.

use std::sync::Arc;

use crate::flow::{HashPolicy, hash_frame};

/// Index into a peer's table of paths, of which there are at most [`crate::MAX_PATHS`].
pub type PathIndex = u8;

/// How many slots a hashed plan has.
pub const SLOTS: usize = 1024;

/// Which paths carry a peer's packets. Policies name paths by [`crate::PathId`], workers by [`PathIndex`]; [`Plan::map`]
/// leads from one to the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Plan<P = PathIndex> {
    /// No path is known: hand the packet to the control plane.
    #[default]
    Unreachable,
    /// One path carries all: `none`, `active-backup`.
    Single(P),
    /// Every path carries each packet: `broadcast`.
    Every(Box<[P]>),
    /// Paths take turns: `balance-rr`.
    Rotate {
        /// In order; not empty. A path that stands here twice carries twice as much.
        paths: Box<[P]>,
        /// Packets in a row on one path; 0 picks at random.
        packets_per_path: u32,
    },
    /// A flow's hash picks a slot, the slot names the path: `balance-xor`, `balance-aware`.
    Slots {
        /// For each slot the place of its path in `paths`. The bond and the workers share one copy.
        slots: Arc<[u8; SLOTS]>,
        /// The paths; not empty.
        paths: Box<[P]>,
        /// What makes two frames one flow.
        hash: HashPolicy,
    },
}

/// A worker's place in a rotation.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// Packets picked so far.
    pub count: u64,
}

/// What carries one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick<'a, P = PathIndex> {
    /// Nothing.
    None,
    /// One path.
    One(P),
    /// All of these.
    All(&'a [P]),
}

impl<P: Copy> Plan<P> {
    /// The path or paths for one packet of the flow with hash `flow`.
    pub fn pick(&self, flow: u32, cursor: &mut Cursor) -> Pick<'_, P> {
        match self {
            Self::Unreachable => Pick::None,
            Self::Single(path) => Pick::One(*path),
            Self::Every(paths) => Pick::All(paths),
            Self::Rotate {
                paths,
                packets_per_path,
            } => {
                let turn = match packets_per_path {
                    0 => mix(cursor.count),
                    n => cursor.count / u64::from(*n),
                };
                cursor.count = cursor.count.wrapping_add(1);
                usize::try_from(turn % paths.len().max(1) as u64)
                    .ok()
                    .and_then(|index| paths.get(index))
                    .map_or(Pick::None, |path| Pick::One(*path))
            }
            Self::Slots { slots, paths, .. } => paths
                .get(usize::from(slots[flow as usize % SLOTS]))
                .map_or(Pick::None, |path| Pick::One(*path)),
        }
    }

    /// The hash to [`Plan::pick`] with for the frame that has these 14 bytes of Ethernet header before `payload`; 0, without
    /// a look at the frame, for plans that do not ask for flows.
    #[inline]
    pub fn flow_of(&self, ethernet_header: &[u8], payload: &[u8]) -> u32 {
        match self {
            Self::Slots { hash, .. } => hash_frame(*hash, ethernet_header, payload),
            _ => 0,
        }
    }

    /// The slot of a flow, for counting bytes per slot.
    #[inline]
    pub const fn slot_of(flow: u32) -> usize {
        flow as usize % SLOTS
    }

    /// The same plan with paths named otherwise. A path for which `rename` has no name is left out; its slots go to the
    /// remaining paths in turn.
    pub fn map<Q: Copy>(&self, mut rename: impl FnMut(P) -> Option<Q>) -> Plan<Q> {
        match self {
            Self::Unreachable => Plan::Unreachable,
            Self::Single(path) => rename(*path).map_or(Plan::Unreachable, Plan::Single),
            Self::Every(paths) => {
                let paths: Box<[Q]> = paths.iter().copied().filter_map(rename).collect();
                match *paths {
                    [] => Plan::Unreachable,
                    [path] => Plan::Single(path),
                    _ => Plan::Every(paths),
                }
            }
            Self::Rotate {
                paths,
                packets_per_path,
            } => {
                let paths: Box<[Q]> = paths.iter().copied().filter_map(rename).collect();
                match *paths {
                    [] => Plan::Unreachable,
                    [path] => Plan::Single(path),
                    _ => Plan::Rotate {
                        paths,
                        packets_per_path: *packets_per_path,
                    },
                }
            }
            Self::Slots { slots, paths, hash } => {
                let named: Vec<Option<Q>> = paths.iter().map(|path| rename(*path)).collect();
                let known: Box<[Q]> = named.iter().copied().flatten().collect();
                if known.is_empty() {
                    return Plan::Unreachable;
                }
                let slots = if known.len() == named.len() {
                    Arc::clone(slots)
                } else {
                    let mut next = 0..;
                    let places: Vec<Option<usize>> = named
                        .iter()
                        .map(|name| name.and_then(|_| next.next()))
                        .collect();
                    Arc::new(std::array::from_fn(|slot| {
                        let place = places.get(usize::from(slots[slot])).copied().flatten();
                        place.unwrap_or(slot % known.len()) as u8
                    }))
                };
                Plan::Slots {
                    slots,
                    paths: known,
                    hash: *hash,
                }
            }
        }
    }

    /// Every path that the plan names, once for each turn or slot that it has.
    pub fn paths(&self) -> Vec<P> {
        match self {
            Self::Unreachable => Vec::new(),
            Self::Single(path) => vec![*path],
            Self::Every(paths) | Self::Rotate { paths, .. } => paths.to_vec(),
            Self::Slots { slots, paths, .. } => slots
                .iter()
                .filter_map(|place| paths.get(usize::from(*place)).copied())
                .collect(),
        }
    }
}

/// As good as random: the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
const fn mix(count: u64) -> u64 {
    let mut mixed = count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(paths: [u32; 4]) -> Plan<u32> {
        Plan::Slots {
            slots: Arc::new(std::array::from_fn(|slot| (slot % 4) as u8)),
            paths: Box::new(paths),
            hash: HashPolicy::default(),
        }
    }

    #[test]
    fn mapping_leaves_unknown_paths_out() {
        let rename = |path: u32| (path != 7).then_some(path as u8 + 100);
        assert_eq!(Plan::Single(7).map(rename), Plan::Unreachable);
        assert_eq!(Plan::Single(1).map(rename), Plan::Single(101));
        let every: Plan<u32> = Plan::Every(Box::new([7, 2]));
        assert_eq!(every.map(rename), Plan::Single(102));
        let mapped = slots([1, 7, 2, 3]).map(rename);
        assert_eq!(&mapped.paths()[..4], &[101, 102, 102, 103]);
    }

    #[test]
    fn rotation_gives_each_path_its_run() {
        let plan: Plan = Plan::Rotate {
            paths: Box::new([4, 5, 4]),
            packets_per_path: 2,
        };
        let mut cursor = Cursor::default();
        let picks: Vec<_> = (0..8)
            .map(|_| match plan.pick(9, &mut cursor) {
                Pick::One(path) => path,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(picks, [4, 4, 5, 5, 4, 4, 4, 4]);
    }

    #[test]
    fn random_rotation_uses_every_path_about_equally() {
        let plan: Plan = Plan::Rotate {
            paths: Box::new([0, 1, 2]),
            packets_per_path: 0,
        };
        let (mut cursor, mut used) = (Cursor::default(), [0; 3]);
        for _ in 0..3000 {
            if let Pick::One(path) = plan.pick(0, &mut cursor) {
                used[usize::from(path)] += 1;
            }
        }
        assert!(
            used.iter().all(|count| (900..1100).contains(count)),
            "{used:?}"
        );
        // Nobody can tell the next from the last few.
        let runs: std::collections::BTreeSet<usize> = (0..3000)
            .map(|_| plan.pick(0, &mut cursor))
            .collect::<Vec<_>>()
            .chunk_by(|a, b| a == b)
            .map(<[_]>::len)
            .collect();
        assert!(runs.len() >= 5, "{runs:?}");
    }
}
