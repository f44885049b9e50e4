//! Joining and leaving, configurations and refusals.

use node::io::{Command, PortChange};
use node::status::NetworkStatusCode;
use protocol::controller::Effect;
use protocol::dictionary::Dictionary;
use protocol::network_config::{MAX_CHUNK_DATA, NetworkConfig};
use protocol::rule::{Rule, RuleKind};
use protocol::{NetworkId, Verb};

use crate::lab::{A, B, CONTROLLER, Lab, SECOND, ip};

#[test]
fn a_member_gets_its_configuration_applies_and_keeps_it() {
    let mut lab = Lab::new(1);
    lab.join(A);
    assert_eq!(lab.status(A), NetworkStatusCode::RequestingConfiguration);
    // The device exists from the start, and the file says that the network is joined.
    assert!(lab.port(A).unwrap().addresses.is_empty());
    assert_eq!(lab.file(A), Some(&b"\n"[..]));

    lab.run(5 * SECOND);
    assert_eq!(lab.status(A), NetworkStatusCode::Ok);
    let port = lab.port(A).unwrap();
    assert_eq!(port.mac, lab.mac(A));
    assert_eq!(port.addresses[0].ip, ip(A));
    let stored = NetworkConfig::from_dictionary(&Dictionary::decode(lab.file(A).unwrap())).unwrap();
    assert_eq!(stored.issued_to, lab.address(A));
    assert_eq!(stored.name, "lab");

    let network = lab.network;
    lab.net.command(A, Command::Leave(network));
    assert_eq!(lab.file(A), None);
    assert_eq!(
        lab.net.nodes[A].ports.last(),
        Some(&PortChange::Down(network))
    );
    assert!(lab.net.nodes[A].node.networks(lab.net.now()).is_empty());
}

#[test]
fn a_configuration_is_refreshed_every_minute_and_asked_for_every_five_seconds_without() {
    let mut lab = Lab::new(1);
    lab.join(A);
    lab.run(5 * SECOND);
    let asked = |lab: &Lab| lab.packets(CONTROLLER, Verb::NetworkConfigRequest);
    let before = asked(&lab);
    lab.run(180 * SECOND);
    assert!((2..=4).contains(&(asked(&lab) - before)));

    lab.silent = true;
    lab.run(65 * SECOND);
    let before = asked(&lab);
    lab.run(50 * SECOND);
    assert!((9..=11).contains(&(asked(&lab) - before)));
    assert_eq!(lab.status(A), NetworkStatusCode::Ok, "the last one stays");
}

#[test]
fn a_large_configuration_comes_in_several_chunks() {
    let many = |config: &mut NetworkConfig, _: &_| {
        let rule = |n: u16| {
            Rule::new(RuleKind::IntegerRange {
                start: u64::MAX - 0xffff,
                end: u64::MAX - u64::from(n),
                index: n,
                format: 63,
            })
        };
        config.rules = (0..1000).map(rule).collect();
    };
    let mut lab = Lab::with(1, many);
    let issued = lab.config(lab.net.nodes[A].identity.public(), lab.net.wall());
    let length = issued.to_dictionary().encode().len();
    assert!(length > 2 * MAX_CHUNK_DATA);
    lab.join(A);
    lab.run(5 * SECOND);
    assert_eq!(lab.status(A), NetworkStatusCode::Ok);
    let networks = lab.net.nodes[A].node.networks(lab.net.now());
    let config = networks[0].config.as_ref().unwrap();
    assert_eq!(config.rules, issued.rules);
}

#[test]
fn a_push_is_applied_and_acknowledged() {
    let mut lab = Lab::joined(1, |_, _| {});
    let mut config = lab.config(lab.net.nodes[A].identity.public(), lab.net.wall());
    config.name = "renamed".into();
    config.mtu = 1400;
    let acknowledgements = lab.packets(CONTROLLER, Verb::Ok);
    let effect = Effect::Config {
        to: lab.address(A),
        network: lab.network,
        in_reply_to: None,
        dictionary: config.to_dictionary().encode(),
    };
    lab.net.command(CONTROLLER, Command::Controller(effect));
    lab.run(SECOND);
    assert_eq!(lab.port(A).unwrap().mtu, 1400);
    assert!(lab.packets(CONTROLLER, Verb::Ok) > acknowledgements);
}

#[test]
fn a_refusal_shows_and_leaves_the_configuration_in_force() {
    let mut lab = Lab::joined(1, |_, _| {});
    let member = lab.address(A);
    lab.denied.insert(member);
    lab.run(70 * SECOND);
    assert_eq!(lab.status(A), NetworkStatusCode::AccessDenied);
    assert_eq!(lab.port(A).unwrap().addresses.len(), 1);
    lab.denied.clear();
    lab.run(10 * SECOND);
    assert_eq!(lab.status(A), NetworkStatusCode::Ok);
}

#[test]
fn a_network_of_a_node_without_controller_is_not_found() {
    let mut lab = Lab::new(2);
    lab.network = NetworkId(lab.address(B).to_u64() << 24 | 1);
    lab.join(A);
    lab.run(6 * SECOND);
    assert_eq!(lab.status(A), NetworkStatusCode::NotFound);
    // A network of its own, without a controller in it.
    lab.join(B);
    lab.run(SECOND);
    assert_eq!(lab.status(B), NetworkStatusCode::NotFound);
}

#[test]
fn the_controllers_node_is_a_member_itself() {
    let mut lab = Lab::new(1);
    lab.join(CONTROLLER);
    lab.join(A);
    lab.run(6 * SECOND);
    assert_eq!(lab.status(CONTROLLER), NetworkStatusCode::Ok);
    let requests = &lab.net.nodes[CONTROLLER].controller_requests;
    let own = requests.iter().find(|r| r.from.is_none()).unwrap();
    assert_eq!(own.member.address(), lab.address(CONTROLLER));
    lab.send_to(A, CONTROLLER, b"to the controller");
    lab.run(2 * SECOND);
    assert_eq!(lab.received(CONTROLLER, b"to the controller"), 1);
}

#[test]
fn a_configuration_from_disk_serves_until_a_fresh_one_comes() {
    let mut lab = Lab::new(1);
    lab.silent = true;
    let member = lab.net.nodes[A].identity.public().clone();
    let cached = lab.config(&member, lab.net.wall() - 1_000_000);
    let network = lab.network;
    let cached = Some(Box::new(cached));
    lab.net.command(A, Command::Join { network, cached });
    lab.run(SECOND);
    assert_eq!(lab.status(A), NetworkStatusCode::Ok);
    assert_eq!(lab.file(A), None, "nothing new to write");
    lab.silent = false;
    lab.run(6 * SECOND);
    assert!(lab.file(A).is_some());
}

#[test]
fn a_failed_device_shows_as_port_error() {
    let mut lab = Lab::joined(1, |_, _| {});
    let network = lab.network;
    for (failed, status) in [
        (true, NetworkStatusCode::PortError),
        (false, NetworkStatusCode::Ok),
    ] {
        lab.net.command(A, Command::PortFailed { network, failed });
        assert_eq!(lab.status(A), status);
    }
}
