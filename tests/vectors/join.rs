//! Joins fragments, as simply as a test may: for golden data only.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use protocol::PacketId;
use protocol::packet::{FragmentView, PacketView};

/// Packets of which some pieces are here.
#[derive(Default)]
pub(crate) struct Joiner {
    packets: BTreeMap<PacketId, Pieces>,
}

#[derive(Default)]
struct Pieces {
    /// As the latest new fragment said.
    total: Option<usize>,
    pieces: BTreeMap<u8, Vec<u8>>,
}

impl Joiner {
    /// Takes a datagram; returns a packet if that completes one.
    pub(crate) fn take(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (id, number, total, piece) = if let Some(fragment) = FragmentView::new(datagram) {
            let within_limits =
                (2..=7).contains(&fragment.total()) && (1..=6).contains(&fragment.number());
            if !within_limits {
                return None;
            }
            (
                fragment.id(),
                fragment.number(),
                Some(usize::from(fragment.total())),
                fragment.payload(),
            )
        } else {
            let head = PacketView::new(datagram)?;
            if !head.is_fragmented() {
                return Some(datagram.to_vec());
            }
            (head.id(), 0, None, datagram)
        };
        let packet = self.packets.entry(id).or_default();
        if let Entry::Vacant(place) = packet.pieces.entry(number) {
            place.insert(piece.to_vec());
            packet.total = total.or(packet.total);
        }
        if packet.total != Some(packet.pieces.len()) {
            return None;
        }
        let packet = self.packets.remove(&id)?;
        Some(packet.pieces.into_values().flatten().collect())
    }

    /// Packets that never became whole.
    pub(crate) fn incomplete(&self) -> usize {
        self.packets.len()
    }
}
