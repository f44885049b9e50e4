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

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_some_classes_of_addresses_carry_paths() {
        for good in ["10.0.0.1", "8.8.8.8", "11.0.0.1", "2600::1", "fd00::1"] {
            assert!(can_carry_path(ip(good)), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "169.254.1.1",
            "224.0.0.1",
            "0.1.2.3",
            "::1",
            "fe80::1",
            "2001:470::1",
        ] {
            assert!(!can_carry_path(ip(bad)), "{bad}");
        }
    }

    #[test]
    fn the_first_network_in_address_order_decides() {
        let network = |text: &str, mtu, trusted_path_id| PhysicalNetwork {
            network: text.parse().unwrap(),
            blacklist: false,
            trusted_path_id,
            mtu,
        };
        let settings = Settings::new(Config {
            physical: vec![
                network("10.1.0.0/16", Some(9000), Some(7)),
                network("10.0.0.0/8", Some(100), None),
                network("192.168.0.0/16", None, Some(9)),
            ],
            ..Config::default()
        });
        assert_eq!(settings.mtu(ip("10.1.0.1")), 1400);
        assert_eq!(settings.mtu(ip("192.168.0.1")), 1432);
        assert_eq!(settings.trusted_path(ip("10.1.0.1")), None);
        assert_eq!(settings.trusted_path(ip("192.168.0.1")), Some(9));
        assert!(settings.is_trusted(ip("10.1.0.1"), 7));
        assert!(!settings.is_trusted(ip("10.2.0.1"), 7));
        assert!(!settings.is_trusted(ip("10.2.0.1"), 0));
    }
}
