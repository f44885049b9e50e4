//! Which local addresses carry traffic (service specification B.4), and keeping the sockets so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dataplane::Dataplane;
use node::io::{Link, LinkId, PhysicalNetwork};
use protocol::IpScope;

use super::interfaces::{Interface, InterfaceAddress};

/// Sockets beyond this many are not opened.
const MAX_LINKS: usize = 256;
/// Interfaces that begin so are never physical.
const EXCLUDED_PREFIXES: [&str; 4] = ["lo", "zt", "tun", "tap"];

/// Where a socket shall be bound: address, and interface (empty: any).
type Place = (SocketAddr, String);

/// What decides which places are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Ports to bind on each address.
    pub ports: &'a [u16],
    /// `interfacePrefixBlacklist`.
    pub excluded_prefixes: &'a [String],
    /// Names of our own devices.
    pub own_devices: &'a BTreeSet<String>,
    /// `bind`: exactly these addresses.
    pub only: &'a [IpAddr],
    /// `physical`: addresses inside a blacklisted network are not bound.
    pub physical: &'a [PhysicalNetwork],
}

/// The wanted places, given the machine's addresses.
pub fn select(addresses: &[InterfaceAddress], selection: Selection<'_>) -> BTreeSet<Place> {
    let combine = |ip: IpAddr, interface: &str| {
        let places = selection
            .ports
            .iter()
            .map(move |port| SocketAddr::new(ip, *port));
        let interface = interface.to_owned();
        places
            .map(move |place| (place, interface.clone()))
            .collect::<Vec<_>>()
    };
    if !selection.only.is_empty() {
        let interface_of = |ip: IpAddr| {
            let holder = addresses.iter().find(|address| address.address.ip == ip);
            holder.map_or("", |address| address.interface.as_str())
        };
        let places = selection
            .only
            .iter()
            .flat_map(|ip| combine(*ip, interface_of(*ip)));
        return places.take(MAX_LINKS).collect();
    }
    let usable = addresses
        .iter()
        .filter(|address| is_usable(address, selection));
    let places: BTreeSet<Place> = usable
        .flat_map(|address| combine(address.address.ip, &address.interface))
        .take(MAX_LINKS)
        .collect();
    if !places.is_empty() {
        return places;
    }
    let any = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    any.into_iter().flat_map(|ip| combine(ip, "")).collect()
}

fn is_usable(address: &InterfaceAddress, selection: Selection<'_>) -> bool {
    let name = address.interface.as_str();
    let excluded = EXCLUDED_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || selection
            .excluded_prefixes
            .iter()
            .any(|prefix| name.starts_with(prefix.as_str()))
        || selection.own_devices.contains(name);
    let ip = address.address.ip;
    let blacklisted = selection
        .physical
        .iter()
        .find(|entry| entry.network.contains(ip))
        .is_some_and(|entry| entry.blacklist);
    let good_scope = matches!(
        IpScope::of(ip),
        IpScope::Global | IpScope::Private | IpScope::Shared | IpScope::PseudoPrivate
    );
    !excluded && !blacklisted && good_scope && !address.temporary && !address.tentative
}

/// The sockets that are open.
#[derive(Debug, Default)]
pub struct Links {
    open: BTreeMap<Place, Link>,
    /// Complained about already.
    failing: BTreeSet<Place>,
    next_id: u32,
}

impl Links {
    /// Opens and closes sockets until they are at the wanted places. True if anything changed. A link whose interface got
    /// another hardware address is another link: settings may name it by that.
    pub fn reconcile(
        &mut self,
        wanted: &BTreeSet<Place>,
        interfaces: &[Interface],
        dataplane: &mut Dataplane,
    ) -> bool {
        let hardware_address = |name: &str| {
            let found = interfaces.iter().find(|interface| interface.name == name);
            found.and_then(|interface| interface.hardware_address)
        };
        let surplus: Vec<Place> = self
            .open
            .iter()
            .filter(|(place, link)| {
                !wanted.contains(*place) || hardware_address(&place.1) != link.hardware_address
            })
            .map(|(place, _)| place.clone())
            .collect();
        let mut changed = !surplus.is_empty();
        for place in surplus {
            if let Some(link) = self.open.remove(&place) {
                tracing::debug!(local = %link.local, interface = %link.interface, "link closed");
                dataplane.remove_link(link.id);
            }
        }
        self.failing.retain(|place| wanted.contains(place));
        for place in wanted {
            if self.open.contains_key(place) {
                continue;
            }
            let (local, interface) = place;
            let link = Link {
                id: LinkId(self.next_id),
                local: *local,
                interface: interface.clone(),
                hardware_address: hardware_address(interface),
            };
            self.next_id += 1;
            let device = (!interface.is_empty()).then_some(interface.as_str());
            match dataplane.add_link(&link, device) {
                Ok(bound) => {
                    tracing::debug!(local = %bound, %interface, "link open");
                    self.failing.remove(place);
                    self.open.insert(
                        place.clone(),
                        Link {
                            local: bound,
                            ..link
                        },
                    );
                    changed = true;
                }
                Err(error) => {
                    if self.failing.insert(place.clone()) {
                        tracing::warn!(%local, %interface, %error, "link not usable");
                    }
                }
            }
        }
        changed
    }

    /// All open links.
    pub fn all(&self) -> Vec<Link> {
        self.open.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(interface: &str, text: &str) -> InterfaceAddress {
        InterfaceAddress {
            index: 1,
            interface: interface.to_owned(),
            address: text.parse().unwrap(),
            temporary: false,
            tentative: false,
        }
    }

    #[derive(Default)]
    struct Choice {
        excluded_prefixes: Vec<String>,
        only: Vec<IpAddr>,
        physical: Vec<PhysicalNetwork>,
    }

    fn chosen(addresses: &[InterfaceAddress], ports: &[u16], choice: &Choice) -> Vec<String> {
        let selection = Selection {
            ports,
            excluded_prefixes: &choice.excluded_prefixes,
            own_devices: &BTreeSet::from(["vpn0".to_owned()]),
            only: &choice.only,
            physical: &choice.physical,
        };
        let places = select(addresses, selection);
        places
            .iter()
            .map(|(place, interface)| format!("{place}%{interface}"))
            .collect()
    }

    #[test]
    fn usable_addresses_on_physical_interfaces() {
        let mut tentative = address("eth0", "2001:db9::2/64");
        tentative.tentative = true;
        let mut temporary = address("eth0", "2001:db9::3/64");
        temporary.temporary = true;
        let addresses = [
            address("eth0", "10.79.0.2/24"),
            address("eth0", "fe80::1/64"),
            address("eth0", "169.254.3.4/16"),
            address("eth1", "2001:db9::1/64"),
            address("lo", "127.0.0.1/8"),
            address("lo", "10.99.0.1/32"),
            address("ztz7lb2rxf", "10.1.1.1/24"),
            address("tun0", "10.8.0.2/24"),
            address("vpn0", "10.9.0.2/24"),
            tentative,
            temporary,
        ];
        assert_eq!(
            chosen(&addresses, &[9993], &Choice::default()),
            ["10.79.0.2:9993%eth0", "[2001:db9::1]:9993%eth1"]
        );
    }

    #[test]
    fn every_port_is_combined_with_every_address() {
        let addresses = [
            address("eth0", "10.79.0.2/24"),
            address("eth1", "10.80.0.2/24"),
        ];
        let places = chosen(&addresses, &[9993, 40000], &Choice::default());
        assert_eq!(places.len(), 4);
    }

    #[test]
    fn the_wildcard_is_the_last_resort() {
        assert_eq!(
            chosen(&[address("lo", "127.0.0.1/8")], &[9993], &Choice::default()),
            ["0.0.0.0:9993%", "[::]:9993%"]
        );
    }

    #[test]
    fn settings_narrow_the_choice() {
        let addresses = [
            address("eth0", "10.79.0.2/24"),
            address("docker0", "172.17.0.1/16"),
            address("eth1", "192.168.1.2/24"),
        ];
        let choice = Choice {
            excluded_prefixes: vec!["docker".to_owned()],
            physical: vec![PhysicalNetwork {
                network: "192.168.0.0/16".parse().unwrap(),
                blacklist: true,
                trusted_path_id: None,
                mtu: None,
            }],
            ..Choice::default()
        };
        assert_eq!(
            chosen(&addresses, &[9993], &choice),
            ["10.79.0.2:9993%eth0"]
        );
        let choice = Choice {
            only: vec![
                "192.168.1.2".parse().unwrap(),
                "203.0.113.1".parse().unwrap(),
            ],
            ..Choice::default()
        };
        assert_eq!(
            chosen(&addresses, &[9993], &choice),
            ["192.168.1.2:9993%eth1", "203.0.113.1:9993%"]
        );
    }
}
