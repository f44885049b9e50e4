//! Joins fragments into packets (protocol specification 3), in fixed memory.

use node::io::PathKey;
use protocol::PacketId;
use protocol::packet::{MAX_PACKET_LENGTH, MAX_PIECES};

use crate::DropReason;

/// Packets that may be incomplete at a time; the reference has 32 for the whole node.
const ENTRIES: usize = 64;

/// A packet in the making. Pieces lie in the order of their arrival, which is nearly always their own.
#[derive(Default)]
struct Entry {
    /// Where the last head came from.
    path: Option<PathKey>,
    /// Pieces in all; 0 until a fragment has told.
    total: u8,
    /// One bit per piece that is here; 0 in a free entry.
    present: u8,
    /// Offset and length in `bytes`, by piece.
    pieces: [(usize, usize); MAX_PIECES],
    bytes: Vec<u8>,
    in_order: bool,
}

/// A worker's incomplete packets: a ring, in which a new packet takes the place of the oldest.
pub(crate) struct Reassembly {
    ids: [PacketId; ENTRIES],
    entries: Box<[Entry]>,
    next: usize,
    /// Lent out by [`Reassembly::insert`], given back by [`Reassembly::give_back`].
    spare: Vec<u8>,
}

/// One piece of a packet.
pub(crate) struct Piece<'a> {
    /// Wire id of the packet.
    pub(crate) id: PacketId,
    /// 0 for the head.
    pub(crate) number: u8,
    /// Pieces in all; 0 for the head, which does not tell.
    pub(crate) total: u8,
    /// Its slice of the packet.
    pub(crate) bytes: &'a [u8],
    /// Where it came from.
    pub(crate) path: PathKey,
}

/// What became of a piece.
#[derive(Debug)]
pub(crate) enum Inserted {
    /// More are missing; perhaps something else had to go.
    Waiting { evicted: bool },
    /// The piece, or the whole packet, is no good.
    Refused(DropReason),
    /// The packet is whole. Give the buffer back after use.
    Complete { path: PathKey, packet: Vec<u8> },
}

impl Reassembly {
    pub(crate) fn new() -> Self {
        Self {
            ids: [PacketId(0); ENTRIES],
            entries: (0..ENTRIES).map(|_| Entry::default()).collect(),
            next: 0,
            spare: Vec::new(),
        }
    }

    /// Adds a piece.
    pub(crate) fn insert(&mut self, piece: &Piece<'_>) -> Inserted {
        let number = usize::from(piece.number);
        let valid = if number == 0 {
            piece.total == 0
        } else {
            (2..=MAX_PIECES).contains(&usize::from(piece.total)) && piece.number < piece.total
        };
        if !valid {
            return Inserted::Refused(DropReason::BadFragment);
        }
        let (index, evicted) = self.entry_for(piece.id);
        let entry = &mut self.entries[index];
        if entry.present & (1 << number) != 0 {
            return Inserted::Waiting { evicted };
        }
        if entry.bytes.len() + piece.bytes.len() > MAX_PACKET_LENGTH {
            entry.present = 0;
            return Inserted::Refused(DropReason::ReassemblyTooLong);
        }
        entry.in_order &= entry.present == (1 << number) - 1;
        entry.pieces[number] = (entry.bytes.len(), piece.bytes.len());
        entry.bytes.extend_from_slice(piece.bytes);
        entry.present |= 1 << number;
        if number == 0 {
            entry.path = Some(piece.path);
        } else {
            entry.total = piece.total;
        }
        let whole = entry.total != 0 && entry.present == (1 << entry.total) - 1;
        let (true, Some(path)) = (whole, entry.path) else {
            return Inserted::Waiting { evicted };
        };
        let mut packet = std::mem::take(&mut self.spare);
        packet.clear();
        if entry.in_order {
            std::mem::swap(&mut packet, &mut entry.bytes);
        } else {
            for (offset, length) in &entry.pieces[..usize::from(entry.total)] {
                packet.extend_from_slice(&entry.bytes[*offset..offset + length]);
            }
        }
        entry.present = 0;
        Inserted::Complete { path, packet }
    }

    /// Takes a buffer back for the next packet, so that none need be allocated.
    pub(crate) fn give_back(&mut self, packet: Vec<u8>) {
        self.spare = packet;
    }

    fn entry_for(&mut self, id: PacketId) -> (usize, bool) {
        let known = self
            .ids
            .iter()
            .zip(&self.entries)
            .position(|(held, entry)| *held == id && entry.present != 0);
        if let Some(index) = known {
            return (index, false);
        }
        let index = self.next;
        self.next = (index + 1) % ENTRIES;
        self.ids[index] = id;
        let entry = &mut self.entries[index];
        let evicted = entry.present != 0;
        entry.path = None;
        entry.total = 0;
        entry.present = 0;
        entry.in_order = true;
        entry.bytes.clear();
        entry.bytes.reserve(MAX_PACKET_LENGTH);
        (index, evicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::io::LinkId;

    fn path(port: u16) -> PathKey {
        PathKey {
            link: LinkId(1),
            remote: ([192, 0, 2, 1], port).into(),
        }
    }

    fn piece(id: u64, number: u8, total: u8, bytes: &[u8]) -> Piece<'_> {
        Piece {
            id: PacketId(id),
            number,
            total,
            bytes,
            path: path(u16::from(number) + 100),
        }
    }

    fn complete(inserted: Inserted) -> Option<(PathKey, Vec<u8>)> {
        match inserted {
            Inserted::Complete { path, packet } => Some((path, packet)),
            Inserted::Waiting { .. } => None,
            Inserted::Refused(reason) => panic!("{reason:?}"),
        }
    }

    #[test]
    fn any_order_gives_the_same_packet_on_the_heads_path() {
        let parts: [&[u8]; 3] = [b"head", b"middle", b"tail!"];
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let mut reassembly = Reassembly::new();
            for _ in 0..3 {
                let mut whole = None;
                for number in order {
                    assert!(whole.is_none());
                    let total = if number == 0 { 0 } else { 3 };
                    whole = complete(reassembly.insert(&piece(
                        9,
                        number,
                        total,
                        parts[usize::from(number)],
                    )));
                }
                let (from, packet) = whole.unwrap();
                assert_eq!(packet, b"headmiddletail!");
                assert_eq!(from, path(100));
                reassembly.give_back(packet);
            }
        }
    }

    #[test]
    fn duplicates_are_ignored() {
        let mut reassembly = Reassembly::new();
        assert!(complete(reassembly.insert(&piece(9, 1, 2, b"b"))).is_none());
        assert!(complete(reassembly.insert(&piece(9, 1, 2, b"x"))).is_none());
        let (_, packet) = complete(reassembly.insert(&piece(9, 0, 0, b"a"))).unwrap();
        assert_eq!(packet, b"ab");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let mut reassembly = Reassembly::new();
        for (number, total) in [(1, 0), (1, 1), (2, 2), (7, 7), (1, 8), (15, 15)] {
            assert!(matches!(
                reassembly.insert(&piece(9, number, total, b"x")),
                Inserted::Refused(DropReason::BadFragment)
            ));
        }
    }

    #[test]
    fn too_long_a_packet_is_refused() {
        let mut reassembly = Reassembly::new();
        let half = vec![0; 6000];
        assert!(complete(reassembly.insert(&piece(9, 0, 0, &half))).is_none());
        assert!(matches!(
            reassembly.insert(&piece(9, 1, 2, &half)),
            Inserted::Refused(DropReason::ReassemblyTooLong)
        ));
    }

    #[test]
    fn the_oldest_makes_room_and_memory_stays_fixed() {
        let mut reassembly = Reassembly::new();
        let bytes = vec![7; 1432];
        for id in 0..1000 {
            let inserted = reassembly.insert(&piece(id, 0, 0, &bytes));
            let full = id >= ENTRIES as u64;
            assert!(matches!(inserted, Inserted::Waiting { evicted } if evicted == full));
        }
        assert!(complete(reassembly.insert(&piece(0, 1, 2, b"late"))).is_none());
        assert!(complete(reassembly.insert(&piece(999, 1, 2, b"on time"))).is_some());
        assert!(
            reassembly
                .entries
                .iter()
                .all(|e| e.bytes.capacity() <= 2 * MAX_PACKET_LENGTH)
        );
    }
}
