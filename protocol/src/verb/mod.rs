//! The table of verbs, and each verb's payload as a value (protocol specification 7).
//!
//! A payload is what follows the verb byte. `decode` reads a payload, `encode` appends one.

use std::net::SocketAddr;

use crate::credential::{
    Capability, CertificateOfMembership, CertificateOfOwnership, Revocation, Tag,
};
use crate::{Address, DecodeError, Identity, MacAddress, MulticastGroup, NetworkId, PacketId};

/// Kinds of packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(
    missing_docs,
    reason = "the variants are the specification's own words"
)]
#[repr(u8)]
pub enum Verb {
    Nop = 0x00,
    Hello = 0x01,
    Error = 0x02,
    Ok = 0x03,
    Whois = 0x04,
    Rendezvous = 0x05,
    Frame = 0x06,
    ExtFrame = 0x07,
    Echo = 0x08,
    MulticastLike = 0x09,
    NetworkCredentials = 0x0a,
    NetworkConfigRequest = 0x0b,
    NetworkConfig = 0x0c,
    MulticastGather = 0x0d,
    MulticastFrame = 0x0e,
    PushDirectPaths = 0x10,
    Ack = 0x12,
    QosMeasurement = 0x13,
    UserMessage = 0x14,
    RemoteTrace = 0x15,
    PathNegotiationRequest = 0x16,
}

impl Verb {
    /// The verb of the low five bits of a verb byte; none for unused numbers, which are treated like NOP.
    pub fn from_byte(_byte: u8) -> Option<Self> {
        todo!()
    }
    /// Lower-case name as the metrics spell it (`ext_frame`).
    pub fn name(self) -> &'static str {
        todo!()
    }
}

/// HELLO (7.2). The moon section is masked on the wire: [`crate::SessionKeys::mask_hello_section`] is applied by the
/// caller to the bytes from `masked_from` on.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Hello {
    pub protocol_version: u8,
    pub software_version: (u8, u8, u16),
    pub timestamp: u64,
    pub identity: Identity,
    pub sent_to: Option<SocketAddr>,
    pub planet_id: u64,
    pub planet_timestamp: u64,
}

/// A moon mentioned in a HELLO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct HelloMoon {
    pub id: u64,
    /// 0 if wanted but not held.
    pub timestamp: u64,
}

impl Hello {
    /// Reads the clear part; returns it and the offset in `payload` at which the masked section begins (equal to the
    /// payload's length for very old peers that send none).
    pub fn decode(_payload: &[u8]) -> Result<(Self, usize), DecodeError> {
        todo!()
    }
    /// Appends the clear part.
    pub fn encode(&self, _out: &mut Vec<u8>) {
        todo!()
    }
    /// Reads the unmasked moon section; entries that are not moons are skipped.
    pub fn decode_moons(_section: &[u8]) -> Result<Vec<HelloMoon>, DecodeError> {
        todo!()
    }
    /// Appends the (still clear) moon section.
    pub fn encode_moons(_moons: &[HelloMoon], _out: &mut Vec<u8>) {
        todo!()
    }
}

/// The header of OK and ERROR payloads: which packet they answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InReply {
    /// Raw verb byte.
    pub verb: u8,
    /// Wire id of the packet that is answered.
    pub packet: PacketId,
}

impl InReply {
    /// Length of the encoded form.
    pub const LENGTH: usize = 9;
    /// Reads the header; returns it and the rest of the payload.
    pub fn decode(_payload: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        todo!()
    }
    /// Appends the header.
    pub fn encode(&self, _out: &mut Vec<u8>) {
        todo!()
    }
}

/// Body of OK(HELLO).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct OkHello {
    pub timestamp_echo: u64,
    pub protocol_version: u8,
    pub software_version: (u8, u8, u16),
    pub received_from: Option<SocketAddr>,
    /// Concatenated serialized worlds.
    pub worlds: Vec<u8>,
}

/// Error codes (7.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(
    missing_docs,
    reason = "the variants are the specification's own words"
)]
#[repr(u8)]
pub enum ErrorCode {
    InvalidRequest = 1,
    BadProtocolVersion = 2,
    ObjectNotFound = 3,
    IdentityCollision = 4,
    UnsupportedOperation = 5,
    NeedMembershipCertificate = 6,
    NetworkAccessDenied = 7,
    UnwantedMulticast = 8,
    NetworkAuthenticationRequired = 9,
}

impl ErrorCode {
    /// From the wire.
    pub fn from_byte(_byte: u8) -> Option<Self> {
        todo!()
    }
}

/// Body of ERROR, after [`InReply`]: the raw code and what follows it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct ErrorBody {
    pub code: u8,
    pub network: Option<NetworkId>,
    /// UNWANTED_MULTICAST only.
    pub group: Option<MulticastGroup>,
    /// NETWORK_AUTHENTICATION_REQUIRED only: an encoded dictionary, without its length.
    pub metadata: Option<Vec<u8>>,
}

/// RENDEZVOUS (7.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Rendezvous {
    pub flags: u8,
    pub peer: Address,
    pub endpoint: SocketAddr,
}

/// FRAME (7.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Frame<'a> {
    pub network: NetworkId,
    pub ethertype: u16,
    pub payload: &'a [u8],
}

/// Bytes of a FRAME in front of the Ethernet payload.
pub const FRAME_HEADER_LENGTH: usize = 10;

/// EXT_FRAME (7.8).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct ExtFrame<'a> {
    pub network: NetworkId,
    /// Without the bit for an attached certificate, which follows from `membership`.
    pub flags: u8,
    pub membership: Option<CertificateOfMembership>,
    pub destination: MacAddress,
    pub source: MacAddress,
    pub ethertype: u16,
    pub payload: &'a [u8],
}

/// EXT_FRAME flag: answer with OK.
pub const EXT_FRAME_SEND_OK: u8 = 0x10;

/// NETWORK_CREDENTIALS (7.11).
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct NetworkCredentials {
    pub memberships: Vec<CertificateOfMembership>,
    pub capabilities: Vec<Capability>,
    pub tags: Vec<Tag>,
    pub revocations: Vec<Revocation>,
    pub ownership: Vec<CertificateOfOwnership>,
}

/// NETWORK_CONFIG_REQUEST (7.12).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct NetworkConfigRequest {
    pub network: NetworkId,
    /// Encoded dictionary.
    pub metadata: Vec<u8>,
    pub have_revision: u64,
    pub have_timestamp: u64,
}

/// MULTICAST_GATHER (7.14).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct MulticastGather {
    pub network: NetworkId,
    pub group: MulticastGroup,
    pub limit: u32,
    pub membership: Option<CertificateOfMembership>,
}

/// Gather results: body of OK(MULTICAST_GATHER), and part of OK(MULTICAST_FRAME).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct GatherResult {
    pub network: NetworkId,
    pub group: MulticastGroup,
    pub total: u32,
    pub members: Vec<Address>,
}

/// Body of OK(MULTICAST_FRAME).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct OkMulticastFrame {
    pub network: NetworkId,
    pub group: MulticastGroup,
    pub membership: Option<CertificateOfMembership>,
    pub gathered: Option<GatherResult>,
}

/// MULTICAST_FRAME (7.15).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct MulticastFrame<'a> {
    pub network: NetworkId,
    pub membership: Option<CertificateOfMembership>,
    pub gather_limit: Option<u32>,
    pub source: Option<MacAddress>,
    pub replicate: bool,
    pub group: MulticastGroup,
    pub ethertype: u16,
    pub payload: &'a [u8],
}

/// One record of PUSH_DIRECT_PATHS (7.16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct DirectPath {
    pub flags: u8,
    pub endpoint: SocketAddr,
}

/// One record of QOS_MEASUREMENT (15.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct QosRecord {
    pub packet: PacketId,
    pub holding_time_ms: u16,
}

/// MULTICAST_LIKE (7.10): one tuple.
pub type Like = (NetworkId, MulticastGroup);

macro_rules! payload_codec {
    ($($name:ident),*) => {$(
        impl $name {
            /// Reads the payload (for OK and ERROR bodies: what follows [`InReply`]).
            pub fn decode(_payload: &[u8]) -> Result<Self, DecodeError> {
                todo!()
            }
            /// Appends the payload.
            pub fn encode(&self, _out: &mut Vec<u8>) {
                todo!()
            }
        }
    )*};
}
payload_codec!(
    OkHello,
    ErrorBody,
    Rendezvous,
    NetworkCredentials,
    NetworkConfigRequest,
    MulticastGather,
    GatherResult,
    OkMulticastFrame
);

macro_rules! borrowed_payload_codec {
    ($($name:ident),*) => {$(
        impl<'a> $name<'a> {
            /// Reads the payload.
            pub fn decode(_payload: &'a [u8]) -> Result<Self, DecodeError> {
                todo!()
            }
            /// Appends the payload.
            pub fn encode(&self, _out: &mut Vec<u8>) {
                todo!()
            }
        }
    )*};
}
borrowed_payload_codec!(Frame, ExtFrame, MulticastFrame);

/// Reads the addresses of a WHOIS.
pub fn decode_whois(_payload: &[u8]) -> Result<Vec<Address>, DecodeError> {
    todo!()
}
/// Reads the tuples of a MULTICAST_LIKE; a trailing partial tuple is ignored.
pub fn decode_likes(_payload: &[u8]) -> Vec<Like> {
    todo!()
}
/// Appends one tuple of a MULTICAST_LIKE.
pub fn encode_like(_like: &Like, _out: &mut Vec<u8>) {
    todo!()
}
/// Reads PUSH_DIRECT_PATHS; records of unknown type are skipped.
pub fn decode_direct_paths(_payload: &[u8]) -> Result<Vec<DirectPath>, DecodeError> {
    todo!()
}
/// Appends PUSH_DIRECT_PATHS.
pub fn encode_direct_paths(_paths: &[DirectPath], _out: &mut Vec<u8>) {
    todo!()
}
/// Reads QOS_MEASUREMENT; records are little-endian.
pub fn decode_qos(_payload: &[u8]) -> Vec<QosRecord> {
    todo!()
}
/// Appends one record of QOS_MEASUREMENT.
pub fn encode_qos(_record: &QosRecord, _out: &mut Vec<u8>) {
    todo!()
}
