//! Read-only views for the API, the CLI and tests.

use std::net::SocketAddr;

use protocol::network_config::NetworkConfig;
use protocol::{Address, Identity, Instant, MacAddress, MulticastGroup, NetworkId};

use crate::io::PathKey;

/// What `/status` shows of the core.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named as in the API")]
pub struct NodeStatus {
    pub identity: Identity,
    pub online: bool,
    pub planet_id: u64,
    pub planet_timestamp: u64,
    /// How others see us.
    pub surface_addresses: Vec<SocketAddr>,
    pub counters: Counters,
}

/// Counts of what the control plane did with packets.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Received packets by verb number.
    pub received: [u64; 32],
    /// Sent packets by verb number.
    pub sent: [u64; 32],
    /// Packets that failed authentication.
    pub bad_tag: u64,
    /// Packets and datagrams that could not be understood.
    pub malformed: u64,
    /// Packets dropped because a queue or limit was full.
    pub overflow: u64,
    /// Packets relayed for others by the control plane.
    pub relayed: u64,
    /// Received ERROR packets by code.
    pub errors_received: [u64; 16],
    /// Sent ERROR packets by code.
    pub errors_sent: [u64; 16],
}

/// Role of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named as in the API")]
pub enum Role {
    Leaf,
    Moon,
    Planet,
}

/// What `/peer` shows.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named as in the API")]
pub struct PeerStatus {
    pub address: Address,
    /// Protocol, major, minor, revision; none while unknown.
    pub version: Option<(u16, u16, u16, u16)>,
    /// Of the preferred path, ms.
    pub latency: Option<u32>,
    pub role: Role,
    pub paths: Vec<PathStatus>,
}

/// A direct path.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named as in the API")]
pub struct PathStatus {
    pub path: PathKey,
    pub last_send: Option<Instant>,
    pub last_receive: Option<Instant>,
    pub alive: bool,
    pub preferred: bool,
    pub trusted_path_id: u64,
    pub latency: Option<u32>,
}

/// Status words of a network (service specification C.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named as in the API")]
pub enum NetworkStatusCode {
    RequestingConfiguration,
    Ok,
    AccessDenied,
    NotFound,
    PortError,
    AuthenticationRequired,
}

impl NetworkStatusCode {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestingConfiguration => "REQUESTING_CONFIGURATION",
            Self::Ok => "OK",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::PortError => "PORT_ERROR",
            Self::AuthenticationRequired => "AUTHENTICATION_REQUIRED",
        }
    }
}

/// What `/network` shows of the core.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named as in the API")]
pub struct NetworkStatus {
    pub network: NetworkId,
    pub mac: MacAddress,
    pub status: NetworkStatusCode,
    /// None before the first configuration.
    pub config: Option<NetworkConfig>,
    pub bridge: bool,
    pub groups: Vec<MulticastGroup>,
    /// AUTHENTICATION_REQUIRED only.
    pub authentication_url: Option<String>,
}
