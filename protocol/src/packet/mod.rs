//! VL1 packets: header, armor, compression, fragments (protocol specification 2 and 3).
//!
//! A packet is a byte buffer: a 27-byte header, the verb byte at offset 27, the verb's payload from offset 28.

mod armor;
mod compression;
mod fragment;
mod header;
mod lane;

pub use armor::{OpenError, SessionKeys, seal_trusted};
pub use compression::{compress, decompress};
pub use fragment::{FragmentView, piece_count, split, write_fragment_header};
pub use header::{
    PacketId, PacketView, Suite, increment_hops, set_fragmented, start, write_header,
};
pub use lane::{Lane, LaneOrigin};

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
/// Bit 0x80 of the verb byte: the payload is LZ4 compressed.
pub const FLAG_COMPRESSED: u8 = 0x80;
