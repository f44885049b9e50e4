//! Packets in several datagrams: a head, then fragments (protocol specification 3).

use super::header::{HOPS_MASK, INDICATOR, address_at};
use super::{FRAGMENT_HEADER_LENGTH, MAX_PIECES, PacketId};
use crate::Address;

/// Offset of a fragment's total (high nibble) and number (low nibble).
const PIECE: usize = 14;
const HOPS: usize = 15;

/// A datagram that carries a fragment (not the head) of a packet.
#[derive(Clone, Copy)]
pub struct FragmentView<'a>(&'a [u8]);

impl<'a> FragmentView<'a> {
    /// Recognises a fragment: longer than 16 bytes and 0xff at offset 13.
    pub fn new(datagram: &'a [u8]) -> Option<Self> {
        (datagram.len() > FRAGMENT_HEADER_LENGTH && datagram[INDICATOR] == 0xff)
            .then_some(Self(datagram))
    }
    /// The wire id of the packet that this is a part of.
    pub fn id(self) -> PacketId {
        PacketId::of(self.0)
    }
    /// The final destination.
    pub fn destination(self) -> Address {
        address_at(self.0, 8)
    }
    /// Pieces in all, head included: 2..=7 when valid.
    pub fn total(self) -> u8 {
        self.0[PIECE] >> 4
    }
    /// This piece: 1..=6 when valid.
    pub fn number(self) -> u8 {
        self.0[PIECE] & 0x0f
    }
    /// True if total and number are within the limits, and the number is below the total.
    pub fn is_valid(self) -> bool {
        let (total, number) = (usize::from(self.total()), usize::from(self.number()));
        (2..=MAX_PIECES).contains(&total) && (1..total).contains(&number)
    }
    /// Relays passed.
    pub fn hops(self) -> u8 {
        self.0[HOPS] & HOPS_MASK
    }
    /// The slice of the packet.
    pub fn payload(self) -> &'a [u8] {
        &self.0[FRAGMENT_HEADER_LENGTH..]
    }
}

/// How many datagrams a packet of `length` bytes takes at `mtu`; more than [`MAX_PIECES`] cannot be received. Panics
/// if `mtu` leaves no room behind a fragment's header.
pub fn piece_count(length: usize, mtu: usize) -> usize {
    1 + length
        .saturating_sub(mtu)
        .div_ceil(mtu - FRAGMENT_HEADER_LENGTH)
}

/// Cuts a sealed packet into datagrams of at most `mtu` bytes: the head, then fragments. Allocates; for the control
/// plane. Returns the packet itself if it fits. Panics if it takes more than 15 pieces.
pub fn split(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let total = piece_count(packet.len(), mtu);
    assert!(total <= 15, "the total has four bits");
    let (head, rest) = packet.split_at(packet.len().min(mtu));
    let mut datagrams = Vec::with_capacity(total);
    datagrams.push(head.to_vec());
    for (number, slice) in (1..).zip(rest.chunks(mtu - FRAGMENT_HEADER_LENGTH)) {
        let mut fragment = vec![0; FRAGMENT_HEADER_LENGTH];
        write_fragment_header(&mut fragment, head, number, total as u8);
        fragment.extend_from_slice(slice);
        datagrams.push(fragment);
    }
    datagrams
}

/// Writes the 16-byte header of fragment `number` (1..) of `total` for the sealed packet that begins with `head`.
/// Panics if `buffer` is shorter than 16 bytes or `head` than 13.
pub fn write_fragment_header(buffer: &mut [u8], head: &[u8], number: u8, total: u8) {
    buffer[..INDICATOR].copy_from_slice(&head[..INDICATOR]);
    buffer[INDICATOR..FRAGMENT_HEADER_LENGTH].copy_from_slice(&[
        0xff,
        total << 4 | number & 0x0f,
        0,
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_packet() {
        let packet: Vec<u8> = (0..9928).map(|byte| byte as u8 % 251).collect();
        for (length, count) in [
            (28, 1),
            (1432, 1),
            (1433, 2),
            (2848, 2),
            (2849, 3),
            (9928, 7),
        ] {
            let pieces = split(&packet[..length], 1432);
            assert_eq!((pieces.len(), piece_count(length, 1432)), (count, count));
            let mut joined = pieces[0].clone();
            for (number, piece) in pieces.iter().enumerate().skip(1) {
                assert!(piece.len() <= 1432);
                let view = FragmentView::new(piece).unwrap();
                assert!(view.is_valid());
                assert_eq!(
                    (usize::from(view.number()), usize::from(view.total())),
                    (number, count)
                );
                assert_eq!((view.id(), view.hops()), (PacketId::of(&packet), 0));
                joined.extend_from_slice(view.payload());
            }
            assert_eq!(joined, packet[..length]);
        }
    }

    #[test]
    fn impossible_numbers_are_not_valid() {
        let mut fragment = [0; 17];
        fragment[INDICATOR] = 0xff;
        for (piece, valid) in [
            (0x21, true),
            (0x76, true),
            (0x20, false),
            (0x11, false),
            (0x22, false),
            (0x81, false),
            (0x00, false),
        ] {
            fragment[PIECE] = piece;
            assert_eq!(
                FragmentView::new(&fragment).unwrap().is_valid(),
                valid,
                "{piece:#x}"
            );
        }
        assert!(FragmentView::new(&fragment[..16]).is_none());
        fragment[INDICATOR] = 0xfe;
        assert!(FragmentView::new(&fragment).is_none());
    }
}
