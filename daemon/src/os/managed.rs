//! Which of a network's addresses and routes are applied here (service specification E.2, E.3). Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use protocol::network_config::Route;
use protocol::{IpPrefix, IpScope};

use crate::home::Permissions;

/// A route to install on a network's device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DeviceRoute {
    /// Destination, host bits cleared.
    pub target: IpPrefix,
    /// Gateway, or none for a route on the link.
    pub via: Option<IpAddr>,
    /// Source address of a route on the link.
    pub source: Option<IpAddr>,
}

/// May a network apply `target`, an assigned address or a route's destination?
pub fn is_allowed(permissions: &Permissions, target: IpPrefix) -> bool {
    if !permissions.allow_managed {
        return false;
    }
    let listed = |entry: &IpPrefix| entry.bits <= target.bits && entry.contains(target.ip);
    if !permissions.managed_only.is_empty() && !permissions.managed_only.iter().any(listed) {
        return false;
    }
    if is_default(target) {
        return permissions.allow_default;
    }
    match IpScope::of(target.ip) {
        IpScope::None | IpScope::Multicast | IpScope::Loopback | IpScope::LinkLocal => false,
        IpScope::Global => permissions.allow_global,
        IpScope::PseudoPrivate | IpScope::Shared | IpScope::Private => true,
    }
}

/// The addresses to put on the device.
pub fn addresses(permissions: &Permissions, assigned: &[IpPrefix]) -> Vec<IpPrefix> {
    let allowed = |address: &&IpPrefix| is_allowed(permissions, **address);
    assigned.iter().filter(allowed).copied().collect()
}

/// The routes to install, those without gateway first: a gateway may be reachable only through one of them.
/// `addresses` are the ones on the device. While offline a default route would cut off the way to the roots of hosts
/// whose sockets could not be bound to an interface.
pub fn routes(
    permissions: &Permissions,
    addresses: &[IpPrefix],
    routes: &[Route],
    online: bool,
) -> Vec<DeviceRoute> {
    let implied: Vec<IpPrefix> = addresses
        .iter()
        .map(|address| network_of(*address))
        .collect();
    let mut wanted = Vec::new();
    for route in routes {
        let target = network_of(route.target);
        let source = addresses
            .iter()
            .map(|address| address.ip)
            .find(|ip| ip.is_ipv4() == target.ip.is_ipv4());
        let own_gateway = route
            .via
            .is_some_and(|via| addresses.iter().any(|a| a.ip == via));
        let waiting = is_default(target) && route.via.is_some() && !online;
        let Some(source) = source else {
            continue;
        };
        if own_gateway
            || waiting
            || implied.contains(&target)
            || !is_allowed(permissions, route.target)
        {
            continue;
        }
        for target in halves(target) {
            wanted.push(DeviceRoute {
                target,
                via: route.via,
                source: route.via.is_none().then_some(source),
            });
        }
    }
    wanted.sort_by_key(|route| route.via.is_some());
    wanted.dedup();
    wanted
}

const fn is_default(prefix: IpPrefix) -> bool {
    prefix.bits == 0
}

/// A default route is installed as two halves, which take precedence over the system's own.
fn halves(target: IpPrefix) -> Vec<IpPrefix> {
    if !is_default(target) {
        return vec![target];
    }
    let upper: IpAddr = match target.ip {
        IpAddr::V4(_) => Ipv4Addr::new(128, 0, 0, 0).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0).into(),
    };
    [target.ip, upper]
        .map(|ip| IpPrefix { ip, bits: 1 })
        .to_vec()
}

/// The prefix with host bits cleared.
pub fn network_of(prefix: IpPrefix) -> IpPrefix {
    let bits = u32::from(prefix.bits);
    let ip = match prefix.ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(bits))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(bits))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    };
    IpPrefix {
        ip,
        bits: prefix.bits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> IpPrefix {
        text.parse().unwrap()
    }

    fn route(target: &str, via: Option<&str>) -> Route {
        Route {
            target: prefix(target),
            via: via.map(|via| via.parse().unwrap()),
            flags: 0,
            metric: 0,
        }
    }

    fn texts(routes: &[DeviceRoute]) -> Vec<String> {
        let text = |route: &DeviceRoute| match (route.via, route.source) {
            (Some(via), _) => format!("{} via {via}", route.target),
            (None, Some(source)) => format!("{} src {source}", route.target),
            (None, None) => route.target.to_string(),
        };
        routes.iter().map(text).collect()
    }

    #[test]
    fn scopes_decide_by_default() {
        let permissions = Permissions::default();
        for yes in [
            "10.0.0.1/24",
            "198.51.100.0/24",
            "100.64.1.1/10",
            "28.1.1.1/8",
            "fd00::1/64",
        ] {
            assert!(is_allowed(&permissions, prefix(yes)), "{yes}");
        }
        for no in [
            "8.8.4.0/24",
            "2001:db9::/32",
            "127.0.0.1/8",
            "169.254.1.1/16",
            "224.0.0.0/4",
            "0.0.0.0/0",
            "::/0",
        ] {
            assert!(!is_allowed(&permissions, prefix(no)), "{no}");
        }
    }

    #[test]
    fn permissions_open_and_close() {
        let mut permissions = Permissions {
            allow_global: true,
            allow_default: true,
            ..Permissions::default()
        };
        assert!(is_allowed(&permissions, prefix("8.8.4.0/24")));
        assert!(is_allowed(&permissions, prefix("0.0.0.0/0")));
        assert!(!is_allowed(&permissions, prefix("127.0.0.1/8")));
        permissions.managed_only = vec![prefix("10.79.50.0/24"), prefix("fc00::/7")];
        assert!(is_allowed(&permissions, prefix("10.79.50.3/24")));
        assert!(is_allowed(&permissions, prefix("fd00::1/88")));
        assert!(!is_allowed(&permissions, prefix("10.79.0.0/16")));
        assert!(!is_allowed(&permissions, prefix("10.80.0.1/24")));
        permissions.allow_managed = false;
        assert!(!is_allowed(&permissions, prefix("10.79.50.3/24")));
    }

    #[test]
    fn routes_on_the_link_come_first_and_implied_ones_not_at_all() {
        let addresses = [prefix("10.79.50.29/24")];
        let all = [
            route("10.79.77.0/24", Some("10.79.50.1")),
            route("10.79.50.0/24", None),
            route("10.79.88.0/24", None),
            route("10.79.99.0/24", Some("10.79.50.29")),
            route("fd00::/64", None),
        ];
        let wanted = routes(&Permissions::default(), &addresses, &all, true);
        assert_eq!(
            texts(&wanted),
            [
                "10.79.88.0/24 src 10.79.50.29",
                "10.79.77.0/24 via 10.79.50.1"
            ]
        );
    }

    #[test]
    fn a_default_route_is_split_and_waits_until_online() {
        let permissions = Permissions {
            allow_default: true,
            ..Permissions::default()
        };
        let addresses = [prefix("10.79.50.29/24"), prefix("fd00::2/64")];
        let all = [
            route("0.0.0.0/0", Some("10.79.50.140")),
            route("::/0", Some("fd00::1")),
        ];
        let wanted = routes(&permissions, &addresses, &all, true);
        assert_eq!(
            texts(&wanted),
            [
                "0.0.0.0/1 via 10.79.50.140",
                "128.0.0.0/1 via 10.79.50.140",
                "::/1 via fd00::1",
                "8000::/1 via fd00::1",
            ]
        );
        assert_eq!(routes(&permissions, &addresses, &all, false), []);
    }

    #[test]
    fn host_bits_are_cleared() {
        let cases = [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/32", "10.1.2.3/32"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("fd00::1/64", "fd00::/64"),
            ("fd00::1/0", "::/0"),
        ];
        for (from, to) in cases {
            assert_eq!(network_of(prefix(from)), prefix(to));
        }
    }
}
