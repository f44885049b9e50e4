//! Which addresses a member gets (service specification F.8).
//!
//! The first choices are those of 1.14.1, since people rely on stable addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use protocol::managed_address::{rfc4193, six_plane};
use protocol::network_config::Route;
use protocol::{Address, IpPrefix, NetworkId};
use rand::{Rng, RngExt};

use crate::member;
use crate::network::{Network, longest_route};

/// Most addresses in a configuration.
const MAX_ADDRESSES: usize = 32;
/// Most attempts per pool.
const MAX_ATTEMPTS: u64 = 1000;

/// A member's addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Assignment {
    /// What the configuration holds, in the order of 1.14.1.
    pub(crate) sent: Vec<IpPrefix>,
    /// Newly taken from pools: to be added to the member's record.
    pub(crate) taken: Vec<IpAddr>,
    /// Some addresses are computed from node addresses: members emulate NDP.
    pub(crate) ndp_emulation: bool,
}

/// Finds a member's addresses.
pub(crate) fn assign(
    id: NetworkId,
    network: &Network,
    address: Address,
    member: &member::Settings,
    random: &mut impl Rng,
) -> Assignment {
    let settings = network.settings();
    let automatic = !member.no_auto_assign;
    let mut assignment = Assignment::default();
    if automatic && settings.rfc4193 {
        assignment.sent.push(rfc4193(id, address));
    }
    if automatic && settings.six_plane {
        assignment.sent.push(six_plane(id, address));
    }
    assignment.ndp_emulation = !assignment.sent.is_empty();
    let (mut has_ipv4, mut has_ipv6) = (false, false);
    for ip in &member.ips {
        if let Some(route) = longest_route(&settings.routes, *ip) {
            let (ip, bits) = (*ip, route.bits);
            assignment.sent.push(IpPrefix { ip, bits });
            has_ipv4 |= ip.is_ipv4();
            has_ipv6 |= ip.is_ipv6();
        }
    }
    let mut found = Vec::new();
    if automatic && settings.assign_ipv6 && !has_ipv6 {
        found.extend(auto_ipv6(network, address, random));
    }
    if automatic && settings.assign_ipv4 && !has_ipv4 {
        found.extend(auto_ipv4(network, address));
    }
    for prefix in found {
        if assignment.sent.len() < MAX_ADDRESSES {
            assignment.sent.push(prefix);
            assignment.taken.push(prefix.ip);
        }
    }
    assignment.sent.truncate(MAX_ADDRESSES);
    assignment
}

fn auto_ipv4(network: &Network, address: Address) -> Option<IpPrefix> {
    let routes = &network.settings().routes;
    let usable = |ip: u32| {
        let ip = IpAddr::V4(Ipv4Addr::from_bits(ip));
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.octets()[3] == 255);
        if broadcast || network.is_assigned(ip) {
            return None;
        }
        let route = first_route(routes, ip, |_| true)?;
        Some(IpPrefix {
            ip,
            bits: route.target.bits,
        })
    };
    let hash = address.to_u64() & 0xffff_ffff;
    network.settings().pools.iter().find_map(|pool| {
        let (IpAddr::V4(start), IpAddr::V4(end)) = pool else {
            return None;
        };
        let (start, end) = (start.to_bits(), end.to_bits());
        let span = u64::from(end.checked_sub(start)?);
        let attempts = MAX_ATTEMPTS.min(span + 1);
        (0..attempts)
            .map(|attempt| {
                // Below the span, so it fits.
                let offset = (hash + attempt).checked_rem(span).unwrap_or(0);
                start + offset as u32
            })
            .find_map(usable)
            // 1.14.1 never gets here, so that the last address of a pool stayed unused.
            .or_else(|| usable(end))
    })
}

fn auto_ipv6(network: &Network, address: Address, random: &mut impl Rng) -> Option<IpPrefix> {
    const NODES: u64 = (1 << 40) - 1;
    let routes = &network.settings().routes;
    let usable = |ip: Ipv6Addr| {
        let ip = IpAddr::V6(ip);
        if network.is_assigned(ip) {
            return None;
        }
        let route = first_route(routes, ip, |route| route.via.is_none())?;
        Some(IpPrefix {
            ip,
            bits: route.target.bits,
        })
    };
    network.settings().pools.iter().find_map(|pool| {
        let (IpAddr::V6(start), IpAddr::V6(end)) = pool else {
            return None;
        };
        let (high, low) = halves(*start);
        let span = halves(*end).1.checked_sub(low)?;
        (0..MAX_ATTEMPTS)
            .map(|attempt| {
                let offset = if attempt == 0 && span >= NODES {
                    address.to_u64()
                } else {
                    random.random_range(0..=span)
                };
                join(high, low + offset)
            })
            .find_map(usable)
    })
}

fn halves(ip: Ipv6Addr) -> (u64, u64) {
    ((ip.to_bits() >> 64) as u64, ip.to_bits() as u64)
}

fn join(high: u64, low: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))
}

fn first_route(routes: &[Route], ip: IpAddr, wanted: impl Fn(&Route) -> bool) -> Option<&Route> {
    routes
        .iter()
        .find(|route| wanted(route) && route.target.contains(ip))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::{Value, json};

    use super::*;
    use crate::{member, network};

    const ID: NetworkId = NetworkId(0x4b3e_5f84_e842_c20d);
    const NODE: Address = Address::from_u64(0x5c_d0ba_70f5);

    fn network(body: Value) -> Network {
        let mut record = network::new_record(ID, 0);
        let Value::Object(body) = body else {
            panic!("not an object")
        };
        network::apply(&mut record, &body);
        Network::new(record)
    }

    fn join(network: &mut Network, address: Address, body: Value) -> Assignment {
        let mut record = member::new_record(ID, address, 0);
        let Value::Object(body) = body else {
            panic!("not an object")
        };
        member::apply(&mut record, &body, 0);
        network.set_member(address, record.clone());
        let settings = network.members()[&address].settings().clone();
        let mut random = StdRng::seed_from_u64(7);
        let assignment = assign(ID, network, address, &settings, &mut random);
        let ips: Vec<Value> = settings
            .ips
            .iter()
            .chain(&assignment.taken)
            .map(|ip| ip.to_string().into())
            .collect();
        record.insert("ipAssignments".into(), ips.into());
        network.set_member(address, record);
        assignment
    }

    fn sent(assignment: &Assignment) -> Vec<String> {
        assignment.sent.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn computed_ipv6_addresses() {
        let mut network = network(json!({ "v6AssignMode": "rfc4193,6plane" }));
        let assignment = join(&mut network, NODE, json!({}));
        assert_eq!(
            sent(&assignment),
            [
                "fd4b:3e5f:84e8:42c2:d99:935c:d0ba:70f5/88",
                "fca3:7c9d:895c:d0ba:70f5::1/40"
            ]
        );
        assert!(assignment.ndp_emulation);
        assert!(assignment.taken.is_empty());
        let assignment = join(&mut network, NODE, json!({ "noAutoAssignIps": true }));
        assert_eq!(assignment, Assignment::default());
    }

    #[test]
    fn ipv4_addresses_from_a_pool() {
        let mut network = network(json!({
            "v4AssignMode": "zt",
            "routes": [{ "target": "10.79.50.0/24" }],
            "ipAssignmentPools": [{ "ipRangeStart": "10.79.50.1", "ipRangeEnd": "10.79.50.254" }],
        }));
        for (address, expected) in [
            (0x5c_d0ba_70f5, "10.79.50.29/24"),
            (0x4b_3e5f_84e8, "10.79.50.122/24"),
            (0xca_f20f_3e73, "10.79.50.140/24"),
        ] {
            let assignment = join(&mut network, Address::from_u64(address), json!({}));
            assert_eq!(sent(&assignment), [expected]);
            assert_eq!(assignment.taken.len(), 1);
            let again = join(
                &mut network,
                Address::from_u64(address),
                json!({ "ipAssignments": [expected] }),
            );
            assert_eq!(sent(&again), [expected]);
            assert!(again.taken.is_empty());
        }
    }

    #[test]
    fn the_whole_pool_is_used_and_nothing_twice() {
        let mut network = network(json!({
            "v4AssignMode": "zt",
            "routes": [{ "target": "10.79.50.0/24", "via": "10.79.50.1" }],
            "ipAssignmentPools": [
                { "ipRangeStart": "10.79.50.9", "ipRangeEnd": "10.79.50.3" },
                { "ipRangeStart": "10.79.50.10", "ipRangeEnd": "10.79.50.12" },
                { "ipRangeStart": "10.79.50.254", "ipRangeEnd": "10.79.50.255" },
                { "ipRangeStart": "172.16.0.1", "ipRangeEnd": "172.16.0.9" },
            ],
        }));
        let mut got: Vec<String> = (1..=6)
            .flat_map(|n| {
                let assignment = join(&mut network, Address::from_u64(n), json!({}));
                sent(&assignment)
            })
            .collect();
        assert_eq!(got.len(), 4);
        assert_eq!(got[2], "10.79.50.12/24");
        got.sort();
        assert_eq!(
            got,
            [
                "10.79.50.10/24",
                "10.79.50.11/24",
                "10.79.50.12/24",
                "10.79.50.254/24"
            ]
        );
    }

    #[test]
    fn a_pool_of_one_address() {
        let mut network = network(json!({
            "v4AssignMode": "zt",
            "routes": [{ "target": "0.0.0.0/0" }],
            "ipAssignmentPools": [{ "ipRangeStart": "10.0.0.7", "ipRangeEnd": "10.0.0.7" }],
        }));
        assert_eq!(sent(&join(&mut network, NODE, json!({}))), ["10.0.0.7/0"]);
        let other = Address::from_u64(9);
        assert!(join(&mut network, other, json!({})).sent.is_empty());
    }

    #[test]
    fn ipv6_addresses_from_a_pool() {
        let mut network = network(json!({
            "v6AssignMode": "zt",
            "routes": [{ "target": "fd79:5::/64" }],
            "ipAssignmentPools": [
                { "ipRangeStart": "fd79:5::1000:0", "ipRangeEnd": "fd79:5::ffff:ffff:ffff:ffff" },
            ],
        }));
        let assignment = join(&mut network, NODE, json!({}));
        assert_eq!(sent(&assignment), ["fd79:5::5c:e0ba:70f5/64"]);
        assert!(!assignment.ndp_emulation);
    }

    #[test]
    fn small_ipv6_pools_are_drawn_from_at_random() {
        let pool = |route: Value| {
            network(json!({
                "v6AssignMode": "zt",
                "routes": [route],
                "ipAssignmentPools": [{ "ipRangeStart": "fd79:5::1", "ipRangeEnd": "fd79:5::2" }],
            }))
        };
        let mut network = pool(json!({ "target": "fd79:5::/64" }));
        let mut got: Vec<String> = (1..=3)
            .flat_map(|n| sent(&join(&mut network, Address::from_u64(n), json!({}))))
            .collect();
        got.sort();
        assert_eq!(got, ["fd79:5::1/64", "fd79:5::2/64"]);
        let mut behind = pool(json!({ "target": "fd79:5::/64", "via": "fd79:5::9" }));
        assert!(join(&mut behind, NODE, json!({})).sent.is_empty());
    }

    #[test]
    fn stored_addresses_need_a_route_and_stop_automatic_ones() {
        let mut network = network(json!({
            "v4AssignMode": "zt",
            "routes": [{ "target": "10.0.0.0/8" }, { "target": "10.79.50.0/24" }],
            "ipAssignmentPools": [{ "ipRangeStart": "10.79.50.1", "ipRangeEnd": "10.79.50.254" }],
        }));
        let stored = json!({ "ipAssignments": ["172.31.1.1", "10.79.50.7", "10.1.2.3"] });
        let assignment = join(&mut network, NODE, stored);
        assert_eq!(sent(&assignment), ["10.79.50.7/24", "10.1.2.3/8"]);
        let other = Address::from_u64(0x5c_d0ba_70f5 + (1 << 32));
        let assignment = join(
            &mut network,
            other,
            json!({ "ipAssignments": ["172.31.1.1"] }),
        );
        assert_eq!(sent(&assignment), ["10.79.50.29/8"]);
        let third = Address::from_u64(3);
        let only = json!({ "ipAssignments": ["10.79.50.8"], "noAutoAssignIps": true });
        assert_eq!(sent(&join(&mut network, third, only)), ["10.79.50.8/24"]);
    }

    #[test]
    fn at_most_32_addresses_are_sent() {
        let mut network = network(json!({
            "v4AssignMode": "zt",
            "v6AssignMode": "zt",
            "routes": [{ "target": "10.0.0.0/8" }, { "target": "fd00::/8" }],
            "ipAssignmentPools": [{ "ipRangeStart": "fd00::1", "ipRangeEnd": "fd00::9" }],
        }));
        let ips: Vec<String> = (0..40).map(|n| format!("10.0.0.{n}")).collect();
        let assignment = join(&mut network, NODE, json!({ "ipAssignments": ips }));
        assert_eq!(assignment.sent.len(), 32);
        assert!(assignment.taken.is_empty());
    }
}
