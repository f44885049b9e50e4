//! Golden data of the reference (`$HAWSER_VECTORS`, by default `../shared/vectors` beside the repository): acceptance of
//! credentials, groups of ARP requests, answers to neighbour solicitations.

use std::path::PathBuf;

use protocol::credential::{CertificateOfMembership, Revocation, Tag};
use protocol::network_config::{FLAG_BROADCAST, FLAG_NDP_EMULATION, NetworkConfig};
use protocol::verb::{MulticastGather, decode_likes};
use protocol::world::World;
use protocol::{
    Address, Identity, Instant, MacAddress, MulticastGroup, NetworkId, Reader, SecretIdentity,
    WallClock,
};
use serde_json::Value;

use super::membership::{Acceptance, Credentials};
use super::{Networks, ndp, outbound};
use crate::frame::EthernetFrame;
use crate::io::Command;
use crate::transport::Transport;

fn load(name: &str) -> Option<Value> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    let directory =
        std::env::var_os("HAWSER_VECTORS").map_or_else(|| default.into(), PathBuf::from);
    let path = directory.join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no golden data at {}", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).unwrap()
}

fn mac(value: &Value) -> MacAddress {
    MacAddress(bytes(value).try_into().unwrap())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn certificate(value: &Value) -> CertificateOfMembership {
    CertificateOfMembership::decode(&mut Reader::new(&bytes(value))).unwrap()
}

#[test]
fn credentials_are_accepted_in_the_order_and_under_the_conditions_of_the_reference() {
    let Some(data) = load("credentials.json") else {
        return;
    };
    let identity = |name: &str| -> Identity {
        let secret: SecretIdentity = text(&data["identities"][name]).parse().unwrap();
        secret.public().clone()
    };
    let controller = identity("controller");
    let sequences = list(&data["membership"]);
    assert_eq!(sequences.len(), 3);
    for sequence in sequences {
        let own = certificate(&sequence["own_com"]);
        let remote = identity(text(&sequence["remote"]));
        let timestamp = sequence["config_timestamp"].as_u64().unwrap();
        let max_delta = sequence["config_max_delta"].as_u64().unwrap();
        let tag_id = sequence["tag_id"].as_u64().unwrap() as u32;
        let mut credentials = Credentials::default();
        for step in list(&sequence["steps"]) {
            let what = format!("{}: {}", sequence["name"], step["what"]);
            let serialized = bytes(&step["serialized"]);
            let mut reader = Reader::new(&serialized);
            let mut offer = |credentials: &mut Credentials, controller| match text(&step["kind"]) {
                "membership" => {
                    let certificate = CertificateOfMembership::decode(&mut reader).unwrap();
                    credentials.add_membership(certificate, controller)
                }
                "tag" => credentials.add_tag(Tag::decode(&mut reader).unwrap(), controller),
                "revocation" => {
                    let revocation = Revocation::decode(&mut reader).unwrap();
                    credentials.add_revocation(&revocation, controller)
                }
                kind => panic!("unknown kind {kind}"),
            };
            let expected = match text(&step["answer"]) {
                "rejected" => Acceptance::Rejected,
                "accepted new" => Acceptance::New,
                "accepted, known" => Acceptance::Known,
                answer => panic!("unknown answer {answer}"),
            };
            assert_eq!(
                offer(&mut credentials, Some(&controller)),
                expected,
                "{what}"
            );
            let allowed = credentials.agrees(Some(&own), &remote);
            assert_eq!(Some(allowed), step["allowed"].as_bool(), "{what}");
            let valid = credentials.valid(timestamp, max_delta);
            let tag = valid.tags.iter().find(|(id, _)| *id == tag_id);
            let expected = step["tag_value"].as_u64();
            assert_eq!(tag.map(|(_, value)| u64::from(*value)), expected, "{what}");
        }
    }
}

#[test]
fn arp_requests_go_to_the_group_of_the_wanted_address() {
    let Some(data) = load("mac_multicast.json") else {
        return;
    };
    let cases = list(&data["arp_frames"]);
    assert!(!cases.is_empty());
    for case in cases {
        let payload = bytes(&case["payload"]);
        let frame = EthernetFrame {
            destination: mac(&case["dest_mac"]),
            source: MacAddress([2, 0, 0, 0, 0, 1]),
            ethertype: 0x0806,
            payload: &payload,
        };
        let group = outbound::group_of(&frame);
        let queued = &case["queued_group"];
        assert_eq!(group.mac, mac(&queued["mac"]), "{}", case["what"]);
        assert_eq!(
            format!("{:08x}", group.adi),
            text(&queued["adi"]),
            "{}",
            case["what"]
        );
    }
}

#[test]
fn neighbour_solicitations_are_answered_as_the_reference_does() {
    let Some(data) = load("mac_multicast.json") else {
        return;
    };
    let data = &data["ndp_emulation"];
    let me: Address = text(&data["node"]).parse().unwrap();
    let network: NetworkId = text(&data["network"]).parse().unwrap();
    let mut config = NetworkConfig::new(network, me);
    config.flags = FLAG_NDP_EMULATION;
    let assigned = list(&data["assigned"]).iter();
    config.assigned_ips = assigned.map(|ip| text(ip).parse().unwrap()).collect();
    let cases = list(&data["cases"]);
    assert!(!cases.is_empty());
    for case in cases {
        let payload = bytes(&case["solicitation"]);
        let frame = EthernetFrame {
            destination: mac(&case["dest_mac"]),
            source: mac(&data["my_mac"]),
            ethertype: 0x86dd,
            payload: &payload,
        };
        let answer = ndp::answer(&config, me, &frame);
        let expected = case["answered_locally"].as_bool().unwrap().then(|| {
            let answer = EthernetFrame {
                destination: mac(&case["answer_dest_mac"]),
                source: mac(&case["answer_source_mac"]),
                ethertype: 0x86dd,
                payload: &bytes(&case["answer"]),
            };
            answer.to_bytes()
        });
        assert_eq!(answer, expected, "{}", case["what"]);
    }
}

#[test]
fn gathers_are_answered_with_the_members_that_the_reference_names() {
    let Some(data) = load("verbs.json") else {
        return;
    };
    let data = &data["reactions"];
    let secret =
        |name: &str| -> SecretIdentity { text(&data["identities"][name]).parse().unwrap() };
    let network: NetworkId = text(&data["network"]).parse().unwrap();
    let (asker, me) = (secret("a").address(), secret("b"));
    let now = Instant::from_millis(1000);
    let wall = WallClock::new(now, 1_700_000_000_000);

    let mut config = NetworkConfig::new(network, me.address());
    config.public = true;
    config.flags = FLAG_BROADCAST;
    let mut transport = Transport::new(me, World::default_planet(), [1; 32], now, wall);
    let mut networks = Networks::new();
    let mut command = |networks: &mut Networks, command| {
        networks.handle_command(&mut transport, now, command);
    };
    let cached = Some(Box::new(config));
    command(&mut networks, Command::Join { network, cached });
    let group = |last: u8, adi: u32| MulticastGroup {
        mac: MacAddress([0x33, 0x33, 0, 0, 0, last]),
        adi,
    };
    let state = Command::PortState {
        network,
        groups: vec![group(0x55, 0)],
        addresses: Vec::new(),
    };
    command(&mut networks, state);
    // As the recorded node knew it; the other group has the asker, from its own announcement below.
    let other = Address::from_u64(0x11_2233_4455);
    for member in [asker, other] {
        networks
            .shared
            .groups
            .add(network, group(0x66, 7), member, now);
    }

    let mut compared = 0;
    for case in list(&data["cases"]) {
        let what = text(&case["what"]);
        if what.starts_with("MULTICAST_LIKE") {
            for (network, group) in decode_likes(&bytes(&case["in_plain"])[1..]) {
                networks.shared.groups.add(network, group, asker, now);
            }
        }
        if !what.starts_with("MULTICAST_GATHER") {
            continue;
        }
        let request = MulticastGather::decode(&bytes(&case["in_plain"])[1..]).unwrap();
        let (group, limit) = (request.group, request.limit);
        let result = networks.gather(&mut transport, now, asker, request.network, group, limit);
        let answer = result.map(|result| {
            let mut body = Vec::new();
            result.encode(&mut body);
            body
        });
        // Beside the OK stands an announcement now and then: verb, in-re verb, in-re id, body.
        let mut packets = list(&case["out"]).iter().map(|out| bytes(&out["plain"]));
        let expected = packets
            .find(|plain| plain[0] == 3)
            .map(|plain| plain[10..].to_vec());
        assert_eq!(answer, expected, "{what}");
        compared += 1;
    }
    assert_eq!(compared, 5);
}
