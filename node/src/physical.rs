//! What local.conf says of physical networks, and which addresses may carry a path (protocol specification 5.3, 16.3).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use protocol::packet::DEFAULT_PHYSICAL_MTU;
use protocol::{Address, IpPrefix, IpScope};

use crate::io::{Config, PeerConfig, PhysicalNetwork};
use crate::limits::MAX_PHYSICAL_NETWORKS;

/// The tunnel broker block that never carries a path.
const TUNNEL_BROKER: IpPrefix = IpPrefix {
    ip: IpAddr::V6(Ipv6Addr::new(0x2001, 0x470, 0, 0, 0, 0, 0, 0)),
    bits: 32,
};

/// UDP payload that local.conf may set.
const MTU_RANGE: std::ops::RangeInclusive<u16> = 1400..=10324;

/// Settings in the form in which packets ask for them.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) config: Config,
}

impl Settings {
    pub(crate) fn new(mut config: Config) -> Self {
        config
            .physical
            .sort_by_key(|p| (p.network.ip, p.network.bits));
        config.physical.truncate(MAX_PHYSICAL_NETWORKS);
        Self { config }
    }

    fn physical(&self, ip: IpAddr) -> Option<&PhysicalNetwork> {
        self.config.physical.iter().find(|p| p.network.contains(ip))
    }

    /// Largest UDP payload to `ip`.
    pub(crate) fn mtu(&self, ip: IpAddr) -> u16 {
        self.physical(ip)
            .and_then(|p| p.mtu)
            .map_or(DEFAULT_PHYSICAL_MTU as u16, |mtu| {
                mtu.clamp(*MTU_RANGE.start(), *MTU_RANGE.end())
            })
    }

    /// The trusted path id of the network that holds `ip`.
    pub(crate) fn trusted_path(&self, ip: IpAddr) -> Option<u64> {
        self.physical(ip)
            .and_then(|p| p.trusted_path_id)
            .filter(|id| *id != 0)
    }

    /// Some configured network holds `ip` and has this trusted path id.
    pub(crate) fn is_trusted(&self, ip: IpAddr, id: u64) -> bool {
        id != 0
            && self
                .config
                .physical
                .iter()
                .any(|p| p.trusted_path_id == Some(id) && p.network.contains(ip))
    }

    /// `physical` or `virtual` forbids `ip` for `peer`.
    pub(crate) fn is_blacklisted(&self, peer: Address, ip: IpAddr) -> bool {
        self.config
            .physical
            .iter()
            .any(|p| p.blacklist && p.network.contains(ip))
            || self
                .peer(peer)
                .is_some_and(|p| p.blacklist.iter().any(|b| b.contains(ip)))
    }

    /// Configured hints for `peer`.
    pub(crate) fn hints(&self, peer: Address) -> &[SocketAddr] {
        self.peer(peer).map_or(&[], |p| &p.r#try)
    }

    fn peer(&self, peer: Address) -> Option<&PeerConfig> {
        self.config.peers.iter().find(|p| p.address == peer)
    }
}

/// Rule 1 of 5.3: the class of address that can carry a path at all.
pub(crate) fn can_carry_path(ip: IpAddr) -> bool {
    matches!(
        IpScope::of(ip),
        IpScope::PseudoPrivate | IpScope::Global | IpScope::Shared | IpScope::Private
    ) && !TUNNEL_BROKER.contains(ip)
}
