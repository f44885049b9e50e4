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
    /// Pieces in all, as the latest fragment said.
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
        let piece = &mut partial.pieces[usize::from(number)];
        if piece.is_none() {
            *piece = Some(fragment.payload().to_vec());
            // The latest piece's word counts.
            partial.total = Some(total);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::LinkId;
    use protocol::packet::FRAGMENT_HEADER_LENGTH;

    fn path(port: u16) -> PathKey {
        PathKey {
            link: LinkId(1),
            remote: ([10, 0, 0, 1], port).into(),
        }
    }

    fn fragment(id: u64, number: u8, total: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; FRAGMENT_HEADER_LENGTH];
        bytes[..8].copy_from_slice(&id.to_be_bytes());
        bytes[13] = 0xff;
        bytes[14] = total << 4 | number;
        bytes.extend(payload);
        bytes
    }

    fn feed(reassembly: &mut Reassembly, bytes: &[u8]) -> Option<Complete> {
        reassembly.fragment(FragmentView::new(bytes).unwrap())
    }

    #[test]
    fn pieces_join_in_any_order_on_the_path_of_the_last_head() {
        let mut reassembly = Reassembly::default();
        assert_eq!(feed(&mut reassembly, &fragment(1, 2, 3, b"c")), None);
        assert_eq!(reassembly.head(path(1), PacketId(1), b"a"), None);
        assert_eq!(reassembly.head(path(2), PacketId(1), b"a"), None);
        let whole = feed(&mut reassembly, &fragment(1, 1, 3, b"b"));
        assert_eq!(whole, Some((path(2), b"abc".to_vec())));
        assert!(reassembly.partial.is_empty());
    }

    #[test]
    fn strange_numbers_are_refused_and_the_oldest_makes_room() {
        let mut reassembly = Reassembly::default();
        for (number, total) in [(0, 3), (7, 7), (1, 1), (1, 8)] {
            assert_eq!(
                feed(&mut reassembly, &fragment(1, number, total, b"x")),
                None
            );
        }
        assert!(reassembly.partial.is_empty());
        for id in 0..=MAX_REASSEMBLY as u64 {
            reassembly.head(path(1), PacketId(id), b"a");
        }
        assert_eq!(reassembly.partial.len(), MAX_REASSEMBLY);
        assert_eq!(reassembly.partial[0].id, PacketId(1));
    }
}
