//! VL1 packets: header, armor, compression, fragments (protocol specification 2 and 3).
//!
//! A packet is a byte buffer: a 27-byte header, the verb byte at offset 27, the verb's payload from offset 28.

use crate::{Address, DecodeError, SharedKey, Verb};

/// Offset of the verb byte: the first byte under the cipher.
pub const VERB_OFFSET: usize = 27;
/// Offset of the verb's payload, and the length of the shortest packet.
pub const PAYLOAD_OFFSET: usize = 28;
/// The longest packet in any form, also after decompression.
pub const MAX_PACKET_LENGTH: usize = 10024;
/// Bytes in front of a fragment's slice of the packet.
pub const FRAGMENT_HEADER_LENGTH: usize = 16;
/// Most datagrams that a packet may be cut into, the head included.
pub const MAX_PIECES: usize = 7;
/// UDP payload per datagram unless configured otherwise.
pub const DEFAULT_PHYSICAL_MTU: usize = 1432;
/// Relays drop what has come this many hops.
pub const MAX_RELAY_HOPS: u8 = 3;

/// Bit 0x40 of byte 18: fragments follow this head. Must be set before sealing.
pub const FLAG_FRAGMENTED: u8 = 0x40;

/// The 64-bit packet id as it stands on the wire, read big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PacketId(pub u64);

/// Cipher suites (specification 2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
        todo!()
    }
    /// The final destination.
    pub fn destination(self) -> Address {
        todo!()
    }
    /// The origin.
    pub fn source(self) -> Address {
        todo!()
    }
    /// The suite, or none for suites 4 to 7.
    pub fn suite(self) -> Option<Suite> {
        todo!()
    }
    /// Relays passed so far.
    pub fn hops(self) -> u8 {
        todo!()
    }
    /// True if this is a head and fragments follow.
    pub fn is_fragmented(self) -> bool {
        todo!()
    }
    /// The verb, or none if unknown. Meaningful once opened.
    pub fn verb(self) -> Option<Verb> {
        todo!()
    }
    /// True if the payload is LZ4 compressed. Meaningful once opened.
    pub fn is_compressed(self) -> bool {
        todo!()
    }
    /// The trusted path id: the MAC field of a suite 2 packet.
    pub fn trusted_path_id(self) -> u64 {
        todo!()
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

/// Writes the header and verb byte of a fresh packet to `buffer[..28]`: zero MAC, zero flags.
///
/// `id` must be fresh random bits. Panics if `buffer` is shorter than 28 bytes.
pub fn write_header(
    _buffer: &mut [u8],
    _id: PacketId,
    _destination: Address,
    _source: Address,
    _verb: Verb,
) {
    todo!()
}

/// Starts a packet in a new buffer: [`write_header`] with an empty payload, to which the caller appends.
pub fn start(_id: PacketId, _destination: Address, _source: Address, _verb: Verb) -> Vec<u8> {
    todo!()
}

/// Marks the packet as a head with fragments to follow. Before sealing only.
pub fn set_fragmented(_packet: &mut [u8]) {
    todo!()
}

/// Counts one more relay in a packet or fragment; returns false, changing nothing, if the limit is reached.
pub fn increment_hops(_datagram: &mut [u8]) -> bool {
    todo!()
}

/// Everything needed to seal and open packets of one pair of nodes, expanded once.
#[derive(Clone)]
pub struct SessionKeys {}

impl SessionKeys {
    /// Expands the keys of all suites from a shared key.
    pub fn new(_key: &SharedKey) -> Self {
        todo!()
    }

    /// Encrypts and authenticates `packet` in place. With [`Suite::AesGmacSiv`] the packet id changes: returns the id
    /// on the wire. The compression and fragmentation flags must be final. Not for [`Suite::TrustedPath`].
    pub fn seal(&self, _packet: &mut [u8], _suite: Suite) -> PacketId {
        todo!()
    }

    /// Authenticates and decrypts `packet` in place under the suite that it names (0, 1 or 3); on failure the contents
    /// from the verb byte on are undefined.
    pub fn open(&self, _packet: &mut [u8]) -> Result<(), OpenError> {
        todo!()
    }

    /// XORs the keystream that hides the tail of a HELLO (specification 7.2) over `section`.
    pub fn mask_hello_section(&self, _id: PacketId, _section: &mut [u8]) {
        todo!()
    }
}

impl core::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SessionKeys(…)")
    }
}

/// Seals for a trusted path: suite 2 with `trusted_path_id` in the MAC field.
pub fn seal_trusted(_packet: &mut [u8], _trusted_path_id: u64) {
    todo!()
}

/// Why a packet could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// Too short to be a packet.
    #[error("packet too short")]
    TooShort,
    /// The suite cannot be opened with keys (2, 4 to 7).
    #[error("unsupported cipher suite")]
    UnsupportedSuite,
    /// The tag does not match.
    #[error("authentication failed")]
    BadTag,
}

/// Compresses the payload in place if that makes the packet shorter (specification 2.8); true if it did.
pub fn compress(_packet: &mut Vec<u8>) -> bool {
    todo!()
}

/// Replaces an opened, compressed packet's payload by its decompressed form and clears the flag. Does nothing to an
/// uncompressed packet.
pub fn decompress(_packet: &mut Vec<u8>) -> Result<(), DecodeError> {
    todo!()
}

/// A datagram that carries a fragment (not the head) of a packet.
#[derive(Clone, Copy)]
pub struct FragmentView<'a>(&'a [u8]);

impl<'a> FragmentView<'a> {
    /// Recognises a fragment: longer than 16 bytes and 0xff at offset 13.
    pub fn new(_datagram: &'a [u8]) -> Option<Self> {
        todo!()
    }
    /// The wire id of the packet that this is a part of.
    pub fn id(self) -> PacketId {
        todo!()
    }
    /// The final destination.
    pub fn destination(self) -> Address {
        todo!()
    }
    /// Pieces in all, head included: 2..=7 when valid.
    pub fn total(self) -> u8 {
        todo!()
    }
    /// This piece: 1..=6 when valid.
    pub fn number(self) -> u8 {
        todo!()
    }
    /// Relays passed.
    pub fn hops(self) -> u8 {
        todo!()
    }
    /// The slice of the packet.
    pub fn payload(self) -> &'a [u8] {
        &self.0[FRAGMENT_HEADER_LENGTH..]
    }
}

/// How many datagrams a packet of `length` bytes takes at `mtu`; more than [`MAX_PIECES`] cannot be received.
pub fn piece_count(_length: usize, _mtu: usize) -> usize {
    todo!()
}

/// Cuts a sealed packet into datagrams of at most `mtu` bytes: the head, then fragments. Allocates; for the control
/// plane. Returns the packet itself if it fits.
pub fn split(_packet: &[u8], _mtu: usize) -> Vec<Vec<u8>> {
    todo!()
}

/// Writes the 16-byte header of fragment `number` (1..) of `total` for the sealed packet that begins with `head`.
pub fn write_fragment_header(_buffer: &mut [u8], _head: &[u8], _number: u8, _total: u8) {
    todo!()
}
