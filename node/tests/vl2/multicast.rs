//! Multicast: who hears it, and how members are found.

use node::frame::EthernetFrame;
use node::io::Command;
use protocol::controller::Effect;
use protocol::network_config::SPECIALIST_MULTICAST_REPLICATOR;
use protocol::{MacAddress, MulticastGroup, Verb};

use crate::lab::{A, B, C, CONTROLLER, Lab, ROOT, SECOND, identity, ip};

const GROUP: MacAddress = MacAddress([0x01, 0x00, 0x5e, 1, 2, 3]);

fn group() -> MulticastGroup {
    MulticastGroup { mac: GROUP, adi: 0 }
}

fn arp_request(lab: &Lab, from: usize, target: usize) -> Vec<u8> {
    let mut request = vec![0, 1, 8, 0, 6, 4, 0, 1];
    request.extend(lab.mac(from).0);
    request.extend(ip(from).octets());
    request.extend([0; 6]);
    request.extend(ip(target).octets());
    request
}

#[test]
fn an_arp_request_finds_the_owner_of_the_address_and_nobody_else() {
    let mut lab = Lab::joined(3, |_, _| {});
    let request = arp_request(&lab, A, B);
    let frame = EthernetFrame {
        destination: MacAddress::BROADCAST,
        source: lab.mac(A),
        ethertype: 0x0806,
        payload: &request,
    };
    lab.send(A, &frame);
    lab.run(3 * SECOND);
    assert!(lab.packets(ROOT, Verb::MulticastGather) >= 1);
    assert_eq!(lab.received(B, &request), 1);
    assert_eq!(lab.last_frame(B), frame);
    assert_eq!(lab.received(C, &request), 0);
    // The answer needs no lookup.
    lab.send_to(B, A, b"is at");
    lab.run(SECOND);
    assert_eq!(lab.received(A, b"is at"), 1);
}

#[test]
fn a_broadcast_reaches_everyone() {
    let mut lab = Lab::joined(3, |_, _| {});
    lab.send_multicast(A, MacAddress::BROADCAST, b"to all");
    lab.run(3 * SECOND);
    assert_eq!(
        [lab.received(B, b"to all"), lab.received(C, b"to all")],
        [1, 1]
    );
    assert_eq!(lab.received(A, b"to all"), 0);
}

#[test]
fn broadcast_can_be_forbidden_without_harm_to_arp() {
    let mut lab = Lab::joined(2, |config, _| config.flags = 0);
    lab.send_multicast(A, MacAddress::BROADCAST, b"to all");
    let request = arp_request(&lab, A, B);
    let frame = EthernetFrame {
        destination: MacAddress::BROADCAST,
        source: lab.mac(A),
        ethertype: 0x0806,
        payload: &request,
    };
    lab.send(A, &frame);
    lab.run(3 * SECOND);
    assert_eq!(lab.received(B, b"to all"), 0);
    assert_eq!(lab.received(B, &request), 1);
}

#[test]
fn no_more_copies_than_the_limit_are_sent() {
    let members = 5;
    let mut lab = Lab::joined(members, |config, _| config.multicast_limit = 2);
    let listeners = B..A + members;
    for index in listeners.clone() {
        lab.listen(index, &[group()]);
    }
    lab.run(2 * SECOND);
    // The first finds them, the second is sent to those already known.
    for payload in [&b"first"[..], b"second"] {
        lab.send_multicast(A, GROUP, payload);
        lab.run(6 * SECOND);
        let copies = listeners.clone().map(|index| lab.received(index, payload));
        assert_eq!(copies.sum::<usize>(), 2);
    }
}

#[test]
fn a_limit_of_zero_ends_multicast() {
    let mut lab = Lab::joined(2, |config, _| config.multicast_limit = 0);
    lab.listen(B, &[group()]);
    lab.run(SECOND);
    lab.send_multicast(A, GROUP, b"nobody hears");
    lab.run(3 * SECOND);
    assert_eq!(lab.received(B, b"nobody hears"), 0);
    assert_eq!(lab.packets(B, Verb::MulticastFrame), 0);
}

#[test]
fn who_listens_late_still_hears_what_waits() {
    let mut lab = Lab::joined(2, |_, _| {});
    lab.send_multicast(A, GROUP, b"wait for it");
    lab.run(2 * SECOND);
    assert_eq!(lab.received(B, b"wait for it"), 0);
    // Members that have met tell each other of new groups at once.
    lab.send_to(A, B, b"we met");
    lab.send_to(B, A, b"so we did");
    lab.run(2 * SECOND);
    lab.send_multicast(A, GROUP, b"wait for this");
    lab.listen(B, &[group()]);
    lab.run(2 * SECOND);
    assert_eq!(lab.received(B, b"wait for this"), 1);
}

#[test]
fn a_replicator_multiplies_for_others() {
    let replicator = identity(1 + B as u64).address();
    let mut lab = Lab::joined(3, move |config, _| {
        let flags =
            SPECIALIST_MULTICAST_REPLICATOR | protocol::network_config::SPECIALIST_ACTIVE_BRIDGE;
        config.specialists = vec![replicator.to_u64() | flags];
    });
    lab.listen(C, &[group()]);
    // The replicator is always kept in contact; give it time to be measured.
    lab.run(20 * SECOND);
    lab.send_multicast(A, GROUP, b"multiply this");
    lab.run(3 * SECOND);
    assert_eq!(lab.packets(B, Verb::MulticastFrame), 1);
    assert_eq!(lab.received(C, b"multiply this"), 1);
    assert_eq!(lab.last_frame(C).source, lab.mac(A));
}

/// A multicast of A that only the controller can tell the listener of: does B hear it?
fn found_through_the_controller(authorised: bool) -> bool {
    let mut lab = Lab::joined(2, |_, _| {});
    // They know each other as nodes, but not as members.
    let b = lab.address(B);
    lab.net.send(A, b, Verb::UserMessage, b"12345678");
    lab.run(3 * SECOND);
    for index in [A, B] {
        let node = lab.net.nodes[index].links[0].local.ip();
        let root = lab.net.nodes[ROOT].links[0].local.ip();
        lab.net.block(root, node);
        let effect = Effect::Authorised {
            network: lab.network,
            member: lab.address(index),
        };
        if authorised {
            lab.net.command(CONTROLLER, Command::Controller(effect));
        }
    }
    lab.listen(B, &[group()]);
    lab.run(SECOND);
    lab.send_multicast(A, GROUP, b"by word of the controller");
    lab.run(3 * SECOND);
    lab.received(B, b"by word of the controller") == 1
}

#[test]
fn a_controller_keeps_the_groups_of_members_that_it_authorised() {
    assert!(found_through_the_controller(true));
    assert!(!found_through_the_controller(false));
}
