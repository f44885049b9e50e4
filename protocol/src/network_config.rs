//! A member's network configuration and its dictionary form (protocol specification 12.5), configuration chunks (12.4),
//! and the request's metadata (12.2).

use std::net::IpAddr;

use crate::credential::{Capability, CertificateOfMembership, CertificateOfOwnership, Tag};
use crate::dictionary::Dictionary;
use crate::rule::Rule;
use crate::{Address, DecodeError, IpPrefix, NetworkId, Signature};

/// A network's configuration as issued to one member.
#[derive(Clone, PartialEq, Debug)]
#[allow(
    missing_docs,
    reason = "field names follow the specification's table of keys"
)]
pub struct NetworkConfig {
    pub network: NetworkId,
    /// Controller's clock when this was issued, ms.
    pub timestamp: u64,
    /// Longest difference between credentials' timestamps and this configuration's, ms (`ctmd`).
    pub credential_time_max_delta: u64,
    pub revision: u64,
    pub issued_to: Address,
    pub remote_trace_target: Option<Address>,
    pub remote_trace_level: u64,
    /// Raw flags; see the `FLAG_` constants.
    pub flags: u64,
    pub multicast_limit: u32,
    /// Anyone may join (`t` = 1).
    pub public: bool,
    pub name: String,
    /// Device MTU, 1280..=10000.
    pub mtu: u16,
    pub membership: Option<CertificateOfMembership>,
    pub capabilities: Vec<Capability>,
    pub tags: Vec<Tag>,
    pub ownership: Vec<CertificateOfOwnership>,
    /// Low 40 bits address, then `SPECIALIST_` flags.
    pub specialists: Vec<u64>,
    pub routes: Vec<Route>,
    pub assigned_ips: Vec<IpPrefix>,
    pub rules: Vec<Rule>,
    pub dns: Option<Dns>,
    pub sso: Option<SingleSignOn>,
}

/// A managed route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Destination.
    pub target: IpPrefix,
    /// Gateway, or none for an on-link route.
    pub via: Option<IpAddr>,
    /// Unused by 1.14.1.
    pub flags: u16,
    /// Unused by 1.14.1.
    pub metric: u16,
}

/// Name service of a network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dns {
    /// Search domain, at most 127 bytes.
    pub domain: String,
    /// At most 4.
    pub servers: Vec<IpAddr>,
}

/// Single sign-on fields; only kept and shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(
    missing_docs,
    reason = "field names follow the specification's table of keys"
)]
pub struct SingleSignOn {
    pub version: u64,
    pub enabled: bool,
    pub authentication_url: String,
    pub authentication_expiry: u64,
    pub issuer_url: String,
    pub central_url: String,
    pub nonce: String,
    pub state: String,
    pub client_id: String,
    pub provider: String,
}

/// Frames to ff:ff:ff:ff:ff:ff are carried.
pub const FLAG_BROADCAST: u64 = 0x2;
/// IPv6 neighbour solicitations for computed addresses are answered locally.
pub const FLAG_NDP_EMULATION: u64 = 0x4;
/// MATCH rules of unknown type are true.
pub const FLAG_UNKNOWN_MATCH_IS_TRUE: u64 = 0x8;
/// Multicast frames are not compressed.
pub const FLAG_NO_MULTICAST_COMPRESSION: u64 = 0x10;
/// Specialist: may bridge.
pub const SPECIALIST_ACTIVE_BRIDGE: u64 = 0x0000_0200_0000_0000;
/// Specialist: knows multicast members.
pub const SPECIALIST_ANCHOR: u64 = 0x0000_0400_0000_0000;
/// Specialist: replicates multicasts.
pub const SPECIALIST_MULTICAST_REPLICATOR: u64 = 0x0000_0800_0000_0000;
/// Virtual MTU unless configured otherwise.
pub const DEFAULT_MTU: u16 = 2800;
/// Multicast recipients unless configured otherwise.
pub const DEFAULT_MULTICAST_LIMIT: u32 = 32;

impl NetworkConfig {
    /// An empty configuration: private, no rules (drops everything), default MTU.
    pub fn new(_network: NetworkId, _issued_to: Address) -> Self {
        todo!()
    }
    /// The dictionary form, byte for byte as 1.14.1 writes it.
    pub fn to_dictionary(&self) -> Dictionary {
        todo!()
    }
    /// Reads the dictionary form with 1.14.1's leniency (specification 12.5).
    pub fn from_dictionary(_dictionary: &Dictionary) -> Result<Self, DecodeError> {
        todo!()
    }
    /// The configuration of a network without controller (specification 10.8), or none for other ids.
    pub fn ad_hoc(_network: NetworkId, _member: Address, _timestamp: u64) -> Option<Self> {
        todo!()
    }
    /// Addresses of specialists with any of the given flags.
    pub fn specialists_with(&self, flags: u64) -> impl Iterator<Item = Address> + '_ {
        self.specialists
            .iter()
            .filter(move |s| **s & flags != 0)
            .map(|s| Address::from_u64(*s))
    }
    /// True if `address` is an active bridge of this network.
    pub fn is_active_bridge(&self, address: Address) -> bool {
        self.specialists_with(SPECIALIST_ACTIVE_BRIDGE)
            .any(|a| a == address)
    }
    /// `FLAG_` tests.
    pub const fn has_flag(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }
}

/// A signed slice of a configuration's dictionary (specification 12.4).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct ConfigChunk {
    pub network: NetworkId,
    pub data: Vec<u8>,
    /// None in the legacy form, which ends after the data.
    pub signed: Option<ChunkSignature>,
}

/// The part of a chunk that the legacy form lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct ChunkSignature {
    pub propagate: bool,
    pub update_id: u64,
    pub total_length: u32,
    pub index: u32,
    pub signature: Signature,
}

/// Largest slice that stock controllers put into a chunk.
pub const MAX_CHUNK_DATA: usize = 9740;

impl ConfigChunk {
    /// Reads a chunk.
    pub fn decode(_bytes: &[u8]) -> Result<Self, DecodeError> {
        todo!()
    }
    /// Appends the chunk's wire form.
    pub fn encode(&self, _out: &mut Vec<u8>) {
        todo!()
    }
    /// The bytes under the signature: from network id through index.
    pub fn signed_bytes(&self) -> Vec<u8> {
        todo!()
    }
}

/// What a member tells the controller about itself (specification 12.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestMetadata {
    /// For example `linux/x86_64`.
    pub platform: String,
    /// Optional join token (`a`).
    pub auth: Option<String>,
}

impl RequestMetadata {
    /// The dictionary as 1.14.1 sends it.
    pub fn to_dictionary(&self) -> Dictionary {
        todo!()
    }
}
