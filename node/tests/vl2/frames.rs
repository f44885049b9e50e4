//! Frames between members: unicast, bridged, copied, answered locally.

use node::frame::EthernetFrame;
use node::io::Command;
use protocol::network_config::{FLAG_NDP_EMULATION, NetworkConfig, SPECIALIST_ACTIVE_BRIDGE};
use protocol::rule::{Forward, Rule, RuleKind};
use protocol::{MacAddress, NetworkId, Verb};

use crate::lab::{A, B, C, Lab, SECOND, identity};

const FOREIGN: MacAddress = MacAddress([0x06, 1, 2, 3, 4, 5]);

#[test]
fn frames_go_both_ways() {
    let mut lab = Lab::joined(2, |_, _| {});
    lab.send_to(A, B, b"there");
    lab.run(2 * SECOND);
    assert_eq!(lab.received(B, b"there"), 1);
    let frame = lab.last_frame(B);
    assert_eq!((frame.source, frame.destination), (lab.mac(A), lab.mac(B)));
    lab.send_to(B, A, b"and back");
    lab.run(SECOND);
    assert_eq!(lab.received(A, b"and back"), 1);
    let own = EthernetFrame {
        destination: lab.mac(A),
        source: lab.mac(A),
        ethertype: 0x88b5,
        payload: b"to myself",
    };
    lab.send(A, &own);
    assert_eq!(lab.received(A, b"to myself"), 1);
}

#[test]
fn a_network_without_rules_carries_nothing() {
    let mut lab = Lab::joined(2, |config, _| config.rules.clear());
    lab.send_to(A, B, b"nothing");
    lab.run(2 * SECOND);
    assert_eq!(lab.received(B, b"nothing"), 0);
}

/// A is an active bridge.
fn bridged(config: &mut NetworkConfig, _: &protocol::SecretIdentity) {
    let bridge = identity(1 + A as u64).address();
    config.specialists = vec![bridge.to_u64() | SPECIALIST_ACTIVE_BRIDGE];
}

#[test]
fn an_active_bridge_carries_the_frames_of_others() {
    let mut lab = Lab::joined(2, bridged);
    let out = EthernetFrame {
        destination: lab.mac(B),
        source: FOREIGN,
        ethertype: 0x88b5,
        payload: b"from behind the bridge",
    };
    lab.send(A, &out);
    lab.run(2 * SECOND);
    assert_eq!(lab.received(B, b"from behind the bridge"), 1);
    assert_eq!(lab.last_frame(B).source, FOREIGN);
    let back = EthernetFrame {
        destination: FOREIGN,
        source: lab.mac(B),
        ethertype: 0x88b5,
        payload: b"to behind the bridge",
    };
    lab.send(B, &back);
    lab.run(2 * SECOND);
    assert_eq!(lab.received(A, b"to behind the bridge"), 1);
    assert_eq!(lab.last_frame(A).destination, FOREIGN);
}

#[test]
fn nobody_else_carries_the_frames_of_others() {
    let mut lab = Lab::joined(2, bridged);
    let foreign = EthernetFrame {
        destination: lab.mac(A),
        source: FOREIGN,
        ethertype: 0x88b5,
        payload: b"smuggled",
    };
    lab.send(B, &foreign);
    lab.run(SECOND);
    assert_eq!(lab.packets(A, Verb::ExtFrame), 0);
    // Nor is such a frame taken from a member that sends it all the same.
    let mut payload = lab.network.0.to_be_bytes().to_vec();
    payload.push(0);
    payload.extend(lab.mac(A).0);
    payload.extend(FOREIGN.0);
    payload.extend([0x88, 0xb5]);
    payload.extend(b"smuggled");
    lab.send_to(B, A, b"credentials first");
    lab.run(2 * SECOND);
    let a = lab.address(A);
    lab.net.send(B, a, Verb::ExtFrame, &payload);
    lab.run(SECOND);
    assert_eq!(lab.packets(A, Verb::ExtFrame), 1);
    assert_eq!(lab.received(A, b"smuggled"), 0);
}

#[test]
fn a_rule_copies_frames_to_an_observer() {
    let watcher = identity(1 + C as u64).address();
    let mut lab = Lab::joined(3, move |config, _| {
        let forward = Forward {
            address: watcher.to_u64(),
            flags: 0,
            length: 4,
        };
        let tee = Rule::new(RuleKind::Tee(forward));
        config.rules = vec![tee, Rule::new(RuleKind::Accept)];
    });
    lab.send_to(A, B, b"watched frame");
    lab.run(3 * SECOND);
    assert_eq!(lab.received(B, b"watched frame"), 1);
    // The sender copies, and so does the receiver: the first four bytes.
    assert_eq!(lab.received(C, b"watc"), 2);
    assert_eq!(lab.last_frame(C).destination, lab.mac(B));
}

#[test]
fn a_rule_redirects_frames() {
    let elsewhere = identity(1 + C as u64).address();
    let mut lab = Lab::joined(3, move |config, _| {
        let forward = Forward {
            address: elsewhere.to_u64(),
            flags: 0,
            length: 0,
        };
        let redirect = Rule::new(RuleKind::Redirect(forward));
        config.rules = vec![redirect, Rule::new(RuleKind::Accept)];
    });
    lab.send_to(A, B, b"diverted");
    lab.run(3 * SECOND);
    assert_eq!(lab.received(B, b"diverted"), 0);
    assert_eq!(lab.received(C, b"diverted"), 1);
}

#[test]
fn a_solicitation_for_a_computed_address_is_answered_without_a_packet() {
    let mut lab = Lab::joined(2, |config, _| {
        config.flags |= FLAG_NDP_EMULATION;
        let own = protocol::managed_address::rfc4193(config.network, config.issued_to);
        config.assigned_ips.push(own);
    });
    let wanted = protocol::managed_address::rfc4193(lab.network, lab.address(B));
    let std::net::IpAddr::V6(wanted) = wanted.ip else {
        panic!("an IPv6 address");
    };
    let mut solicitation = [0; 72];
    solicitation[0] = 0x60;
    solicitation[6] = 58;
    solicitation[40] = 135;
    solicitation[48..64].copy_from_slice(&wanted.octets());
    let frame = EthernetFrame {
        destination: MacAddress([0x33, 0x33, 0xff, 1, 2, 3]),
        source: lab.mac(A),
        ethertype: 0x86dd,
        payload: &solicitation,
    };
    let sent = lab.net.nodes[A].sent.len();
    lab.send(A, &frame);
    assert_eq!(lab.net.nodes[A].sent.len(), sent);
    let answer = lab.last_frame(A);
    assert_eq!(answer.source, lab.mac(B));
    assert_eq!(answer.payload[40], 136);
}

#[test]
fn members_of_an_ad_hoc_network_need_no_controller() {
    let mut lab = Lab::new(2);
    lab.network = NetworkId(0xff00_1600_1600_0000);
    lab.join(A);
    lab.join(B);
    lab.run(6 * SECOND);
    assert_eq!(lab.file(A), Some(&b"\n"[..]));
    let mut echo_request = [0; 60];
    echo_request[0] = 0x60;
    echo_request[6] = 58;
    echo_request[40] = 128;
    let frame = EthernetFrame {
        destination: lab.mac(B),
        source: lab.mac(A),
        ethertype: 0x86dd,
        payload: &echo_request,
    };
    lab.send(A, &frame);
    lab.send_to(A, B, b"not IPv6");
    lab.run(3 * SECOND);
    assert_eq!(lab.net.nodes[B].delivered.len(), 1);
    assert_eq!(lab.received(B, &echo_request), 1);
}

#[test]
fn leaving_ends_the_traffic() {
    let mut lab = Lab::joined(2, |_, _| {});
    let network = lab.network;
    lab.net.command(B, Command::Leave(network));
    lab.send_to(A, B, b"too late");
    lab.run(2 * SECOND);
    assert_eq!(lab.received(B, b"too late"), 0);
}
