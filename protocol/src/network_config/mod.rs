//! A member's network configuration (protocol specification 12.5), configuration chunks (12.4), and the request's
//! metadata (12.2).

mod ad_hoc;
mod chunk;
mod codec;
mod request;

use std::net::{IpAddr, SocketAddr};

use crate::credential::{Capability, CertificateOfMembership, CertificateOfOwnership, Tag};
use crate::dictionary::Dictionary;
use crate::rule::Rule;
use crate::{Address, DecodeError, IpPrefix, NetworkId};

pub use chunk::{ChunkSignature, ConfigChunk, MAX_CHUNK_DATA};
pub use request::RequestMetadata;

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
    /// None if neither a domain nor a server is set.
    pub dns: Option<Dns>,
    /// None if version 0 and disabled.
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
    /// At most 4. Controllers leave the ports 0.
    pub servers: Vec<SocketAddr>,
}

/// Single sign-on fields; only kept and shown.
#[derive(Clone, PartialEq, Eq, Debug)]
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

impl Default for SingleSignOn {
    /// Version 0, disabled, with the provider's name that the reference starts with.
    fn default() -> Self {
        Self {
            version: 0,
            enabled: false,
            authentication_url: String::new(),
            authentication_expiry: 0,
            issuer_url: String::new(),
            central_url: String::new(),
            nonce: String::new(),
            state: String::new(),
            client_id: String::new(),
            provider: "default".to_owned(),
        }
    }
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
    pub fn new(network: NetworkId, issued_to: Address) -> Self {
        Self {
            network,
            timestamp: 0,
            credential_time_max_delta: 0,
            revision: 0,
            issued_to,
            remote_trace_target: None,
            remote_trace_level: 0,
            flags: 0,
            multicast_limit: 0,
            public: false,
            name: String::new(),
            mtu: DEFAULT_MTU,
            membership: None,
            capabilities: Vec::new(),
            tags: Vec::new(),
            ownership: Vec::new(),
            specialists: Vec::new(),
            routes: Vec::new(),
            assigned_ips: Vec::new(),
            rules: Vec::new(),
            dns: None,
            sso: None,
        }
    }

    /// The dictionary form, byte for byte as 1.14.1 writes it.
    pub fn to_dictionary(&self) -> Dictionary {
        codec::encode(self)
    }

    /// Reads the dictionary form with 1.14.1's leniency (specification 12.5).
    pub fn from_dictionary(dictionary: &Dictionary) -> Result<Self, DecodeError> {
        codec::decode(dictionary)
    }

    /// The configuration of a network without controller (specification 10.8), or none for other ids.
    pub fn ad_hoc(network: NetworkId, member: Address, timestamp: u64) -> Option<Self> {
        ad_hoc::configuration(network, member, timestamp)
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
