//! The header of packets (protocol specification 2.1).

use super::{
    FLAG_COMPRESSED, FLAG_FRAGMENTED, FRAGMENT_HEADER_LENGTH, MAX_RELAY_HOPS, PAYLOAD_OFFSET,
    VERB_OFFSET,
};
use crate::{Address, Verb};

/// Offset of the byte with flags, suite and hops.
pub(super) const FLAGS: usize = 18;
/// Flag of byte 18 that is set exactly for suite 1.
pub(super) const FLAG_ENCRYPTED: u8 = 0x80;
pub(super) const SUITE_MASK: u8 = 0x38;
pub(super) const HOPS_MASK: u8 = 0x07;
/// Offset of a fragment's indicator: where packets have their source, which never begins with 0xff.
pub(super) const INDICATOR: usize = 13;
const FRAGMENT_HOPS: usize = 15;

/// The 64-bit packet id as it stands on the wire, read big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PacketId(pub u64);

impl PacketId {
    /// The id at the front of a packet or fragment. Panics if there are fewer than 8 bytes.
    pub(super) fn of(datagram: &[u8]) -> Self {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&datagram[..8]);
        Self(u64::from_be_bytes(bytes))
    }
}

/// Cipher suites (specification 2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Suite {
    /// Authentication only.
    Poly1305 = 0,
    /// Salsa20/12 with Poly1305: for peers of unknown or old version.
    Salsa20Poly1305 = 1,
    /// Neither encrypted nor authenticated: configured physical networks only.
    TrustedPath = 2,
    /// AES-GMAC-SIV: for peers of protocol 12 and later.
    AesGmacSiv = 3,
}

impl Suite {
    /// The suite that byte 18 names, or none for suites 4 to 7.
    pub(super) const fn of(flags: u8) -> Option<Self> {
        match (flags & SUITE_MASK) >> 3 {
            0 => Some(Self::Poly1305),
            1 => Some(Self::Salsa20Poly1305),
            2 => Some(Self::TrustedPath),
            3 => Some(Self::AesGmacSiv),
            _ => None,
        }
    }
}

/// Read access to the header of a packet of at least [`PAYLOAD_OFFSET`] bytes.
#[derive(Clone, Copy)]
pub struct PacketView<'a>(&'a [u8]);

impl<'a> PacketView<'a> {
    /// None if `bytes` is shorter than the shortest packet.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= PAYLOAD_OFFSET).then_some(Self(bytes))
    }
    /// The id, as on the wire.
    pub fn id(self) -> PacketId {
        PacketId::of(self.0)
    }
    /// The final destination.
    pub fn destination(self) -> Address {
        address_at(self.0, 8)
    }
    /// The origin.
    pub fn source(self) -> Address {
        address_at(self.0, INDICATOR)
    }
    /// The suite, or none for suites 4 to 7.
    pub fn suite(self) -> Option<Suite> {
        Suite::of(self.0[FLAGS])
    }
    /// Relays passed so far.
    pub fn hops(self) -> u8 {
        self.0[FLAGS] & HOPS_MASK
    }
    /// True if this is a head and fragments follow.
    pub fn is_fragmented(self) -> bool {
        self.0[FLAGS] & FLAG_FRAGMENTED != 0
    }
    /// The verb, or none if unknown. Meaningful once opened.
    pub fn verb(self) -> Option<Verb> {
        Verb::from_byte(self.0[VERB_OFFSET])
    }
    /// True if the payload is LZ4 compressed. Meaningful once opened.
    pub fn is_compressed(self) -> bool {
        self.0[VERB_OFFSET] & FLAG_COMPRESSED != 0
    }
    /// The trusted path id: the MAC field of a suite 2 packet.
    pub fn trusted_path_id(self) -> u64 {
        PacketId::of(&self.0[19..]).0
    }
    /// What follows the verb byte. Meaningful once opened.
    pub fn payload(self) -> &'a [u8] {
        &self.0[PAYLOAD_OFFSET..]
    }
    /// The whole packet.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// The address in 5 bytes from `offset` on. Panics beyond the end.
pub(super) fn address_at(bytes: &[u8], offset: usize) -> Address {
    let mut address = [0; 5];
    address.copy_from_slice(&bytes[offset..offset + 5]);
    Address::from_bytes(address)
}

/// Writes the header and verb byte of a fresh packet to `buffer[..28]`: zero MAC, zero flags.
///
/// `id` must be fresh random bits. Panics if `buffer` is shorter than 28 bytes.
pub fn write_header(
    buffer: &mut [u8],
    id: PacketId,
    destination: Address,
    source: Address,
    verb: Verb,
) {
    let header = &mut buffer[..PAYLOAD_OFFSET];
    header.fill(0);
    header[..8].copy_from_slice(&id.0.to_be_bytes());
    header[8..13].copy_from_slice(&destination.to_bytes());
    header[INDICATOR..FLAGS].copy_from_slice(&source.to_bytes());
    header[VERB_OFFSET] = verb as u8;
}

/// Starts a packet in a new buffer: [`write_header`] with an empty payload, to which the caller appends.
pub fn start(id: PacketId, destination: Address, source: Address, verb: Verb) -> Vec<u8> {
    let mut packet = vec![0; PAYLOAD_OFFSET];
    write_header(&mut packet, id, destination, source, verb);
    packet
}

/// Marks the packet as a head with fragments to follow. Before sealing only. Panics below 28 bytes.
pub fn set_fragmented(packet: &mut [u8]) {
    packet[FLAGS] |= FLAG_FRAGMENTED;
}

/// Counts one more relay in a packet or fragment; returns false, changing nothing, if the limit is reached or the
/// datagram is neither.
pub fn increment_hops(datagram: &mut [u8]) -> bool {
    let is_fragment = datagram.len() > FRAGMENT_HEADER_LENGTH && datagram[INDICATOR] == 0xff;
    let offset = if is_fragment { FRAGMENT_HOPS } else { FLAGS };
    if !is_fragment && datagram.len() < PAYLOAD_OFFSET
        || datagram[offset] & HOPS_MASK >= MAX_RELAY_HOPS
    {
        return false;
    }
    // Below the limit the sum stays within its three bits.
    datagram[offset] += 1;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_header_is_read_back() {
        let (to, from) = (
            Address::from_u64(0x01_0203_0405),
            Address::from_u64(0x0a_0b0c_0d0e),
        );
        let mut packet = start(PacketId(0x0123_4567_89ab_cdef), to, from, Verb::Echo);
        packet.extend_from_slice(b"payload");
        set_fragmented(&mut packet);
        let view = PacketView::new(&packet).unwrap();
        assert_eq!(view.id(), PacketId(0x0123_4567_89ab_cdef));
        assert_eq!((view.destination(), view.source()), (to, from));
        assert_eq!((view.suite(), view.hops()), (Some(Suite::Poly1305), 0));
        assert!(view.is_fragmented() && !view.is_compressed());
        assert_eq!(view.payload(), b"payload");
        assert!(PacketView::new(&packet[..27]).is_none());
    }

    #[test]
    fn relays_count_up_to_the_limit_and_leave_other_bits_alone() {
        let mut packet = start(PacketId(1), Address::NONE, Address::from_u64(1), Verb::Nop);
        packet[FLAGS] = 0xd8;
        let mut fragment = [0; 17];
        fragment[INDICATOR] = 0xff;
        for hops in 1..=MAX_RELAY_HOPS {
            assert!(increment_hops(&mut packet) && increment_hops(&mut fragment));
            assert_eq!(
                (packet[FLAGS], fragment[FRAGMENT_HOPS]),
                (0xd8 | hops, hops)
            );
        }
        assert!(!increment_hops(&mut packet) && !increment_hops(&mut fragment));
        assert_eq!((packet[FLAGS], fragment[FRAGMENT_HOPS]), (0xdb, 3));
        assert!(!increment_hops(&mut packet[..27]));
        assert!(!increment_hops(&mut []));
    }
}
