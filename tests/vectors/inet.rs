//! `mac_multicast.json`: wire form, text and class of IP addresses, prefixes, computed IPv6 addresses.

use std::net::IpAddr;

use protocol::endpoint::{
    decode_endpoint, encode_endpoint, endpoint_text, is_usable_for_paths, parse_endpoint,
};
use protocol::managed_address::{link_local, rfc4193, six_plane};
use protocol::{Address, IpPrefix, IpScope, MacAddress, NetworkId, Reader};
use serde_json::Value;

use crate::load::{array, boolean, bytes, json, list, number, string};

const FILE: &str = "mac_multicast.json";

#[test]
fn addresses_in_wire_form() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "inet") {
        let text = string(case, "text");
        let endpoint = (!text.is_empty()).then(|| parse_endpoint(text).unwrap());
        let mut wire = Vec::new();
        encode_endpoint(endpoint, &mut wire);
        assert_eq!(wire, bytes(case, "serialized"), "{text}");
        let mut reader = Reader::new(&wire);
        assert_eq!(decode_endpoint(&mut reader), Ok(endpoint), "{text}");
        assert!(reader.is_empty(), "{text}");
        assert_eq!(
            endpoint.map_or_else(String::new, endpoint_text),
            string(case, "parsed")
        );
        let scope = endpoint.map_or(IpScope::None, |e| IpScope::of(e.ip()));
        assert_eq!(u64::from(scope as u8), number(case, "scope"), "{text}");
        let usable = endpoint.is_some_and(|e| is_usable_for_paths(e.ip()));
        assert_eq!(usable, boolean(case, "usable"), "{text}");
    }
}

#[test]
fn odd_addresses() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "inet_parse") {
        let wire = bytes(case, "bytes");
        let mut reader = Reader::new(&wire);
        let result = decode_endpoint(&mut reader);
        assert_eq!(result.is_ok(), boolean(case, "ok"), "{case}");
        if let Ok(endpoint) = result {
            // The reference counts skipped bytes beyond the end; a reader stops there.
            let consumed = number(case, "consumed").min(wire.len() as u64);
            assert_eq!(reader.position() as u64, consumed, "{case}");
            assert_eq!(
                endpoint.map_or_else(String::new, endpoint_text),
                string(case, "text")
            );
        }
    }
}

#[test]
fn prefixes_contain_addresses() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "contains") {
        let network: IpPrefix = string(case, "network").parse().unwrap();
        assert_eq!(network.to_string(), string(case, "network"));
        let address: IpPrefix = string(case, "address").parse().unwrap();
        assert_eq!(
            network.contains(address.ip),
            boolean(case, "contains"),
            "{case}"
        );
    }
}

fn check(computed: IpPrefix, case: &Value) {
    if case.get("ip_bytes").is_some() {
        assert_eq!(computed.ip, IpAddr::from(array::<16>(case, "ip_bytes")));
    }
    let text = format!("{}/{}", string(case, "ip"), number(case, "prefix_length"));
    assert_eq!(computed.to_string(), text);
}

#[test]
fn computed_addresses() {
    let Some(data) = json(FILE) else { return };
    let member = |case: &Value| -> (NetworkId, Address) {
        (
            string(case, "network").parse().unwrap(),
            string(case, "address").parse().unwrap(),
        )
    };
    for case in list(&data, "v6_6plane") {
        let (network, address) = member(case);
        check(six_plane(network, address), case);
    }
    for case in list(&data, "v6_rfc4193") {
        let (network, address) = member(case);
        check(rfc4193(network, address), case);
    }
    for case in list(&data, "v6_link_local") {
        check(link_local(MacAddress(array(case, "mac"))), case);
    }
}
