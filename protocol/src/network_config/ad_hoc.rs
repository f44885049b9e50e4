//! Networks without a controller, whose configuration follows from their id (protocol specification 10.8).

use std::net::Ipv4Addr;

use super::{DEFAULT_MULTICAST_LIMIT, FLAG_NDP_EMULATION, NetworkConfig};
use crate::managed_address::six_plane;
use crate::rule::{Rule, RuleKind};
use crate::{Address, IpPrefix, NetworkId};

const ETHERTYPE_IPV6: u16 = 0x86dd;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;
const TCP_SYN: u64 = 0x02;
const TCP_ACK: u64 = 0x10;
/// `ff AA aaaaaaaaaa 01`: all nodes share one IPv4 network, with an optional hub.
const FORM_IPV4: u8 = 0x01;
const IPV4_MULTICAST_LIMIT: u32 = 32 * DEFAULT_MULTICAST_LIMIT;

pub(super) fn configuration(
    network: NetworkId,
    member: Address,
    timestamp: u64,
) -> Option<NetworkConfig> {
    if !network.is_ad_hoc() {
        return None;
    }
    let mut config = NetworkConfig::new(network, member);
    config.timestamp = timestamp;
    config.revision = 1;
    config.public = true;
    config.flags = FLAG_NDP_EMULATION;
    config.assigned_ips.push(six_plane(network, member));
    if network.0 & 0xff_ffff == 0 {
        let start = (network.0 >> 40) as u16;
        let end = (network.0 >> 24) as u16;
        if end < start {
            return None;
        }
        config.name = format!("adhoc-{start:04x}-{end:04x}");
        config.rules = port_range_rules(start, end);
    } else if network.0 as u8 == FORM_IPV4 {
        let first = (network.0 >> 48) as u8;
        let [.., b, c, d] = member.to_bytes();
        config.assigned_ips.push(IpPrefix {
            ip: Ipv4Addr::new(first, b, c, d).into(),
            bits: 8,
        });
        config.multicast_limit = IPV4_MULTICAST_LIMIT;
        config.name = format!("adhoc-{first}.0.0.0");
        config.rules.push(Rule::new(RuleKind::Accept));
        let hub = Address::from_u64(network.0 >> 8);
        if hub != Address::NONE {
            config.specialists.push(hub.to_u64());
        }
    } else {
        return None;
    }
    Some(config)
}

/// IPv6 only: ICMPv6, connections to the given ports, and the answers to them.
fn port_range_rules(start: u16, end: u16) -> Vec<Rule> {
    let is = Rule::new;
    let is_not = |kind| Rule {
        not: true,
        ..Rule::new(kind)
    };
    let or = |kind| Rule {
        or: true,
        ..Rule::new(kind)
    };
    vec![
        is_not(RuleKind::EtherType(ETHERTYPE_IPV6)),
        is(RuleKind::Drop),
        is(RuleKind::IpProtocol(PROTOCOL_ICMPV6)),
        is(RuleKind::Accept),
        is(RuleKind::IpProtocol(PROTOCOL_UDP)),
        or(RuleKind::IpProtocol(PROTOCOL_TCP)),
        is(RuleKind::DestinationPortRange(start, end)),
        is(RuleKind::Accept),
        is_not(RuleKind::Characteristics(TCP_SYN)),
        is(RuleKind::Accept),
        is(RuleKind::Characteristics(TCP_SYN)),
        is(RuleKind::Characteristics(TCP_ACK)),
        is(RuleKind::Accept),
        is(RuleKind::Drop),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: Address = Address::from_u64(0x5c_d0ba_70f5);

    #[test]
    fn port_ranges() {
        let config = NetworkConfig::ad_hoc(NetworkId(0xff00_1600_1700_0000), MEMBER, 5).unwrap();
        assert_eq!(config.name, "adhoc-0016-0017");
        assert_eq!(
            (config.public, config.multicast_limit, config.timestamp),
            (true, 0, 5)
        );
        assert_eq!(config.assigned_ips.len(), 1);
        let mut bytes = Vec::new();
        config.rules.iter().for_each(|rule| rule.encode(&mut bytes));
        let expected = concat!(
            "a50286dd",
            "0000",
            "24013a",
            "0100",
            "240111",
            "640106",
            "280400160017",
            "0100",
            "a9080000000000000002",
            "0100",
            "29080000000000000002",
            "29080000000000000010",
            "0100",
            "0000"
        );
        assert_eq!(hex::encode(bytes), expected);
        assert_eq!(
            NetworkConfig::ad_hoc(NetworkId(0xff00_1700_1600_0000), MEMBER, 5),
            None
        );
    }

    #[test]
    fn ipv4_networks() {
        let config = NetworkConfig::ad_hoc(NetworkId(0xff0a_1122_3344_5501), MEMBER, 5).unwrap();
        assert_eq!(config.name, "adhoc-10.0.0.0");
        assert_eq!(config.assigned_ips[1].to_string(), "10.186.112.245/8");
        assert_eq!((config.multicast_limit, config.rules.len()), (1024, 1));
        assert_eq!(config.specialists, [0x11_2233_4455]);
        let alone = NetworkConfig::ad_hoc(NetworkId(0xff0a_0000_0000_0001), MEMBER, 5).unwrap();
        assert_eq!(alone.specialists, []);
    }

    #[test]
    fn other_ids_have_none() {
        for id in [0xff0a_0000_0000_0002, 0x8056_c2e2_1c00_0000] {
            assert_eq!(NetworkConfig::ad_hoc(NetworkId(id), MEMBER, 5), None);
        }
    }
}
