//! What a policy decided: the only part of this crate that workers run.

/// Index into a peer's table of paths.
pub type PathIndex = u16;

/// How many slots a hashed plan has.
pub const SLOTS: usize = 1024;

/// Which paths carry a peer's packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    /// No path is known: hand the packet to the control plane.
    Unreachable,
    /// One path carries all: `none`, `active-backup`.
    Single(PathIndex),
    /// Every path carries each packet: `broadcast`.
    Every(Box<[PathIndex]>),
    /// Paths take turns: `balance-rr`.
    Rotate {
        /// In order; not empty.
        paths: Box<[PathIndex]>,
        /// Packets in a row on one path; 0 picks at random.
        packets_per_path: u32,
    },
    /// A flow's hash picks a slot, the slot names the path: `balance-xor`, `balance-aware`.
    Slots(Box<[PathIndex; SLOTS]>),
}

/// A worker's place in a rotation.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// Packets picked so far.
    pub count: u64,
}

/// What carries one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick<'a> {
    /// Nothing.
    None,
    /// One path.
    One(PathIndex),
    /// All of these.
    All(&'a [PathIndex]),
}

impl Plan {
    /// The path or paths for one packet of the flow with hash `flow`.
    pub fn pick(&self, flow: u32, cursor: &mut Cursor) -> Pick<'_> {
        match self {
            Self::Unreachable => Pick::None,
            Self::Single(path) => Pick::One(*path),
            Self::Every(paths) => Pick::All(paths),
            Self::Rotate {
                paths,
                packets_per_path,
            } => {
                let turn = match packets_per_path {
                    0 => cursor.count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32,
                    n => cursor.count / u64::from(*n),
                };
                cursor.count = cursor.count.wrapping_add(1);
                usize::try_from(turn % paths.len().max(1) as u64)
                    .ok()
                    .and_then(|index| paths.get(index))
                    .map_or(Pick::None, |path| Pick::One(*path))
            }
            Self::Slots(slots) => Pick::One(slots[flow as usize % SLOTS]),
        }
    }
}
