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
    /// Latencies at the ping checks so far.
    pub latencies: LatencyHistogram,
    pub packets_received: u64,
    pub packets_sent: u64,
    pub packet_errors: u64,
}

/// How often a latency was in which range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LatencyHistogram {
    counts: [u64; Self::BOUNDS.len() + 1],
    sum: u64,
}

impl LatencyHistogram {
    /// Upper bounds of the ranges, ms, inclusive; the last range has none (service specification G).
    pub const BOUNDS: [u32; 10] = [1, 3, 6, 10, 30, 60, 100, 300, 600, 1000];

    /// Takes in one latency, ms.
    pub fn observe(&mut self, latency: u32) {
        let range = Self::BOUNDS.partition_point(|bound| *bound < latency);
        self.counts[range] += 1;
        self.sum += u64::from(latency);
    }

    /// How many latencies were at most as high as each bound, and how many there were in all.
    pub fn cumulative(&self) -> [u64; Self::BOUNDS.len() + 1] {
        let mut sum = 0;
        self.counts.map(|count| {
            sum += count;
            sum
        })
    }

    /// The sum of all, ms.
    pub const fn sum(&self) -> u64 {
        self.sum
    }
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
    /// UDP payload limit in bytes.
    pub mtu: u16,
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

/// What the rules said to frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "named by what happened")]
pub struct FrameCounts {
    pub received: u64,
    pub receive_dropped: u64,
    pub sent: u64,
    pub send_dropped: u64,
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
    /// Frames that the node itself put through the rules; workers do most unicast.
    pub frames: FrameCounts,
    /// AUTHENTICATION_REQUIRED only.
    pub authentication_url: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_latencies_are_inclusive() {
        let mut histogram = LatencyHistogram::default();
        for latency in [0, 1, 2, 3, 1000, 1001] {
            histogram.observe(latency);
        }
        assert_eq!(histogram.cumulative(), [2, 4, 4, 4, 4, 4, 4, 4, 4, 5, 6]);
        assert_eq!(histogram.sum(), 2007);
    }
}
