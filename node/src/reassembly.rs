//! Fragments into packets (protocol specification 3).

use std::collections::VecDeque;

use protocol::PacketId;
use protocol::packet::{FragmentView, MAX_PACKET_LENGTH, MAX_PIECES};

use crate::io::PathKey;
use crate::limits::MAX_REASSEMBLY;

/// Packets of which pieces are missing, oldest first.
#[derive(Default)]
pub(crate) struct Reassembly {
    partial: VecDeque<Partial>,
}

struct Partial {
    id: PacketId,
    /// Pieces in all; not known before the first fragment.
    total: Option<u8>,
    /// The head is piece 0.
    pieces: [Option<Vec<u8>>; MAX_PIECES],
    /// Where the head came from.
    path: Option<PathKey>,
}

/// A packet put together, and the path of its head.
pub(crate) type Complete = (PathKey, Vec<u8>);

impl Reassembly {
    /// The head of a fragmented packet came in.
    pub(crate) fn head(&mut self, path: PathKey, id: PacketId, bytes: &[u8]) -> Option<Complete> {
        let partial = self.entry(id);
        // The last head's path counts, even if this head is a copy.
        partial.path = Some(path);
        partial.pieces[0].get_or_insert_with(|| bytes.to_vec());
        self.complete(id)
    }

    /// A fragment came in.
    pub(crate) fn fragment(&mut self, fragment: FragmentView<'_>) -> Option<Complete> {
        let (number, total) = (fragment.number(), fragment.total());
        if number == 0
            || usize::from(number) >= MAX_PIECES
            || total < 2
            || usize::from(total) > MAX_PIECES
            || fragment.payload().len() > MAX_PACKET_LENGTH
        {
            return None;
        }
        let partial = self.entry(fragment.id());
        partial.total.get_or_insert(total);
        partial.pieces[usize::from(number)].get_or_insert_with(|| fragment.payload().to_vec());
        self.complete(fragment.id())
    }

    fn entry(&mut self, id: PacketId) -> &mut Partial {
        let index = match self.partial.iter().position(|p| p.id == id) {
            Some(index) => index,
            None => {
                if self.partial.len() >= MAX_REASSEMBLY {
                    self.partial.pop_front();
                }
                self.partial.push_back(Partial {
                    id,
                    total: None,
                    pieces: Default::default(),
                    path: None,
                });
                self.partial.len() - 1
            }
        };
        &mut self.partial[index]
    }

    fn complete(&mut self, id: PacketId) -> Option<Complete> {
        let index = self.partial.iter().position(|p| p.id == id)?;
        let partial = &self.partial[index];
        let present = partial.pieces.iter().flatten().count();
        if partial.pieces[0].is_none() || partial.total.map(usize::from) != Some(present) {
            return None;
        }
        let partial = self.partial.remove(index)?;
        let packet: Vec<u8> = partial.pieces.into_iter().flatten().flatten().collect();
        Some((partial.path?, packet)).filter(|(_, p)| p.len() <= MAX_PACKET_LENGTH)
    }
}
