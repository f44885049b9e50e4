//! `mac_multicast.json`: MAC addresses, and the multicast groups of ARP and neighbour discovery.

use protocol::{Address, MacAddress, MulticastGroup, NetworkId};
use serde_json::Value;

use crate::load::{array, json, list, number, string};

const FILE: &str = "mac_multicast.json";

#[test]
fn mac_addresses() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "mac") {
        let node: Address = string(case, "address").parse().unwrap();
        let network: NetworkId = string(case, "network").parse().unwrap();
        let mac = MacAddress::of(node, network);
        assert_eq!(mac.0, array(case, "mac"));
        assert_eq!(u64::from(mac.0[0]), number(case, "first_octet"));
        assert_eq!(
            mac.to_address(network),
            Some(Address::from_bytes(array(case, "back")))
        );
    }
}

fn group(case: &Value) -> MulticastGroup {
    MulticastGroup {
        mac: MacAddress(array(case, "mac")),
        adi: u32::from_be_bytes(array(case, "adi")),
    }
}

#[test]
fn multicast_groups() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "arp_groups") {
        assert_eq!(
            MulticastGroup::arp(string(case, "ip").parse().unwrap()),
            group(case)
        );
    }
    for case in list(&data, "ndp_groups") {
        assert_eq!(
            MulticastGroup::solicited_node(string(case, "ip").parse().unwrap()),
            group(case)
        );
    }
}
