//! `netconf.json`: dictionaries, network configurations, requests and signed chunks.

use std::net::IpAddr;

use controller_client::sign_chunks;
use protocol::credential::{Capability, CertificateOfMembership, CertificateOfOwnership, Tag};
use protocol::dictionary::Dictionary;
use protocol::endpoint::parse_endpoint;
use protocol::network_config::{
    ConfigChunk, Dns, NetworkConfig, RequestMetadata, Route, SPECIALIST_ACTIVE_BRIDGE,
    SPECIALIST_ANCHOR, SPECIALIST_MULTICAST_REPLICATOR, SingleSignOn,
};
use protocol::verb::{InReply, NetworkConfigRequest};
use protocol::{Address, DecodeError, IpPrefix, PacketId, Reader, SecretIdentity, Verb};
use serde_json::Value;

use crate::load::{array, boolean, bytes, json, list, number, string};
use crate::rules_codec::rules;

const FILE: &str = "netconf.json";

fn items<'a>(value: &'a Value, key: &str) -> std::slice::Iter<'a, Value> {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("no list {key:?}"))
        .iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Serialized credentials, as configurations hold them.
fn credentials<T>(
    value: &Value,
    key: &str,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Vec<T> {
    items(value, key)
        .map(|item| read(&mut Reader::new(&bytes(item, "serialized"))).unwrap())
        .collect()
}

fn route(value: &Value) -> Route {
    let ip = |text: &str| -> IpAddr { text.split_once('/').expect("IP/port").0.parse().unwrap() };
    Route {
        target: string(value, "target").parse().unwrap(),
        via: value["via"].as_str().map(ip),
        flags: u16::try_from(number(value, "flags")).unwrap(),
        metric: u16::try_from(number(value, "metric")).unwrap(),
    }
}

fn dns(value: &Value) -> Option<Dns> {
    let dns = Dns {
        domain: string(value, "domain").to_owned(),
        servers: items(value, "servers")
            .map(|s| parse_endpoint(text(s)).unwrap())
            .collect(),
    };
    (!dns.domain.is_empty() || !dns.servers.is_empty()).then_some(dns)
}

fn sso(value: &Value) -> Option<SingleSignOn> {
    let field = |key| string(value, key).to_owned();
    let sso = SingleSignOn {
        version: number(value, "version"),
        enabled: boolean(value, "enabled"),
        authentication_url: field("authentication_url"),
        authentication_expiry: number(value, "authentication_expiry"),
        issuer_url: field("issuer_url"),
        central_url: field("central_url"),
        nonce: field("nonce"),
        state: field("state"),
        client_id: field("client_id"),
        provider: field("provider"),
    };
    (sso != SingleSignOn::default()).then_some(sso)
}

/// A configuration as golden data spells it.
fn config(value: &Value) -> NetworkConfig {
    let network = string(value, "network").parse().unwrap();
    let target: Address = string(value, "trace_target").parse().unwrap();
    let membership = boolean(value, "com_present")
        .then(|| CertificateOfMembership::decode(&mut Reader::new(&bytes(value, "com"))).unwrap());
    NetworkConfig {
        // Negative times are written without their sign.
        timestamp: value["timestamp"].as_i64().expect("a time").unsigned_abs(),
        credential_time_max_delta: number(value, "credential_max_delta"),
        revision: number(value, "revision"),
        remote_trace_target: (target != Address::NONE).then_some(target),
        remote_trace_level: number(value, "trace_level"),
        flags: u64::from_be_bytes(array(value, "flags")),
        multicast_limit: u32::try_from(number(value, "multicast_limit")).unwrap(),
        public: number(value, "type") == 1,
        name: string(value, "name").to_owned(),
        mtu: u16::try_from(number(value, "mtu")).unwrap(),
        membership,
        capabilities: credentials(value, "capabilities", Capability::decode),
        tags: credentials(value, "tags", Tag::decode),
        ownership: credentials(value, "ownership", CertificateOfOwnership::decode),
        specialists: items(value, "specialists")
            .map(|s| u64::from_str_radix(text(s), 16).unwrap())
            .collect(),
        routes: items(value, "routes").map(route).collect(),
        assigned_ips: items(value, "static_ips")
            .map(|ip| text(ip).parse::<IpPrefix>().unwrap())
            .collect(),
        rules: rules(&value["rules"]),
        dns: dns(&value["dns"]),
        sso: sso(&value["sso"]),
        ..NetworkConfig::new(network, string(value, "issued_to").parse().unwrap())
    }
}

fn check_specialists(config: &NetworkConfig, value: &Value) {
    for (key, flag) in [
        ("active_bridges", SPECIALIST_ACTIVE_BRIDGE),
        ("anchors", SPECIALIST_ANCHOR),
        ("multicast_replicators", SPECIALIST_MULTICAST_REPLICATOR),
    ] {
        let addresses: Vec<_> = config
            .specialists_with(flag)
            .map(|a| a.to_string())
            .collect();
        assert_eq!(Value::from(addresses), value[key], "{key}");
    }
}

#[test]
fn configurations_are_written_and_read() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "configs") {
        let name = string(case, "name");
        let expected = bytes(case, "dictionary");
        let dictionary = config(&case["written"]).to_dictionary();
        assert_eq!(
            dictionary.encode().escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{name}"
        );
        let keys: Vec<_> = dictionary
            .records()
            .iter()
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(Value::from(keys), case["keys"], "{name}");
        let read = NetworkConfig::from_dictionary(&Dictionary::decode(&expected));
        assert_eq!(read.is_ok(), boolean(case, "ok"), "{name}");
        if let Ok(read) = read {
            assert_eq!(read, config(&case["read_back"]), "{name}");
            check_specialists(&read, &case["read_back"]);
            let same = read.to_dictionary().encode() == expected;
            assert_eq!(same, boolean(case, "same_again"), "{name}");
        }
    }
}

#[test]
fn odd_configurations() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "parse") {
        let what = string(case, "what");
        let dictionary = Dictionary::decode(&bytes(case, "dictionary"));
        let read = NetworkConfig::from_dictionary(&dictionary);
        assert_eq!(read.is_ok(), boolean(case, "ok"), "{what}");
        if let Ok(read) = read {
            assert_eq!(read, config(&case["fields"]), "{what}");
        }
    }
}

#[test]
fn dictionaries_are_written() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "dictionary") {
        let what = string(case, "what");
        let mut dictionary = Dictionary::new();
        for operation in list(case, "operations") {
            let key = string(operation, "key");
            let value = string(operation, "value");
            let mut longer = dictionary.clone();
            match string(operation, "kind") {
                "string" | "binary" => longer.push(key, bytes(operation, "value")),
                "uint64" => longer.push_u64(key, value.parse().unwrap()),
                "int64" => longer.push_u64(key, value.parse::<i64>().unwrap().unsigned_abs()),
                "bool" => longer.push_bool(key, value == "true"),
                "address" => longer.push_u64(key, value.parse::<Address>().unwrap().to_u64()),
                other => panic!("operation {other:?}"),
            }
            // Ours have no capacity: what the reference refused would not have fitted with its terminator.
            let capacity = case["capacity"].as_u64().unwrap_or(u64::MAX);
            let fits = (longer.encode().len() as u64) < capacity;
            assert_eq!(fits, boolean(operation, "added"), "{what}");
            if fits {
                dictionary = longer;
            }
        }
        assert_eq!(dictionary.encode(), bytes(case, "text"), "{what}");
        assert_eq!(
            Dictionary::decode(&bytes(case, "text")),
            dictionary,
            "{what}"
        );
    }
}

#[test]
fn dictionaries_are_looked_up() {
    let Some(data) = json(FILE) else { return };
    for case in list(&data, "dictionary_get") {
        let dictionary = Dictionary::decode(&bytes(case, "text"));
        let key = string(case, "key");
        let value = dictionary.get(key);
        let length = case["length"].as_i64().expect("a length");
        assert_eq!(value.is_some(), length >= 0, "{case}");
        if let Some(value) = value {
            // The reference cuts a value at the reader's buffer, of which it needs one byte itself.
            let room = usize::try_from(number(case, "buffer")).unwrap() - 1;
            assert_eq!(
                value[..value.len().min(room)],
                bytes(case, "value"),
                "{case}"
            );
        }
        let unsigned = dictionary.get_u64(key).unwrap_or(0);
        assert_eq!(
            unsigned,
            u64::from_be_bytes(array(case, "as_uint")),
            "{case}"
        );
        let boolean_value = dictionary.get_bool(key).unwrap_or(false);
        assert_eq!(boolean_value, boolean(case, "as_bool"), "{case}");
    }
}

#[test]
fn requests() {
    let Some(data) = json(FILE) else { return };
    let case = &data["request_metadata"];
    let metadata = RequestMetadata {
        platform: "linux/x86_64".to_owned(),
        auth: None,
    };
    let metadata = metadata.to_dictionary().encode();
    assert_eq!(metadata, bytes(case, "dictionary"));
    let network = string(case, "network").parse().unwrap();
    let request = NetworkConfigRequest {
        network,
        metadata,
        have_revision: 0,
        have_timestamp: 0,
    };
    let mut body = vec![Verb::NetworkConfigRequest as u8];
    request.encode(&mut body);
    assert_eq!(body, bytes(case, "request_body_from_verb"));
    assert_eq!(NetworkConfigRequest::decode(&body[1..]), Ok(request));
}

#[test]
fn chunks() {
    let Some(data) = json(FILE) else { return };
    let controller: SecretIdentity = string(&data, "controller").parse().unwrap();
    let chunks = &data["chunks"];
    let request_id = PacketId(u64::from_be_bytes(array(chunks, "request_id")));
    let mut whole = Vec::new();
    let mut read = Vec::new();
    for message in list(chunks, "messages") {
        let plain = bytes(message, "plain");
        assert_eq!(plain[0], Verb::Ok as u8);
        let (reply, body) = InReply::decode(&plain[1..]).unwrap();
        let expected = InReply {
            verb: Verb::NetworkConfigRequest as u8,
            packet: request_id,
        };
        assert_eq!(reply, expected);
        let chunk = ConfigChunk::decode(body).unwrap();
        let mut again = vec![Verb::Ok as u8];
        reply.encode(&mut again);
        chunk.encode(&mut again);
        assert_eq!(again, plain);
        let from = usize::try_from(number(message, "signed_bytes_from")).unwrap();
        let length = usize::try_from(number(message, "signed_bytes_length")).unwrap();
        assert_eq!(chunk.signed_bytes(), plain[from..from + length]);
        assert_eq!(
            chunk.verify(controller.public()),
            boolean(message, "signature_valid")
        );
        assert_eq!(chunk.network, string(message, "network").parse().unwrap());
        assert_eq!(chunk.data.len() as u64, number(message, "chunk_length"));
        let signed = chunk.signed.as_ref().expect("the signed form");
        assert_eq!(u64::from(signed.flags), number(message, "flags"));
        assert_eq!(
            signed.update_id,
            u64::from_be_bytes(array(message, "update_id"))
        );
        assert_eq!(
            u64::from(signed.total_length),
            number(message, "total_length")
        );
        assert_eq!(u64::from(signed.index), number(message, "chunk_index"));
        let mut altered = chunk.clone();
        altered.data[0] ^= 1;
        assert!(!altered.verify(controller.public()));
        whole.extend_from_slice(&chunk.data);
        read.push(chunk);
    }
    let update_id = u64::from_be_bytes(array(&chunks["messages"][0], "update_id"));
    let network = read[0].network;
    assert_eq!(
        sign_chunks(&controller, network, &whole, update_id, false),
        read
    );
    let config = NetworkConfig::from_dictionary(&Dictionary::decode(&whole)).unwrap();
    assert_eq!(config.network, network);
    for trial in list(chunks, "trials")
        .iter()
        .filter(|trial| boolean(trial, "taken"))
    {
        assert_eq!(config.rules.len() as u64, number(trial, "rules"));
    }
    assert_eq!(config.to_dictionary().encode(), whole);
}
