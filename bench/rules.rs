//! What the rules engine costs per frame: `cargo bench -p bench --bench rules`.

use divan::{Bencher, black_box};
use node::frame::EthernetFrame;
use node::rules::NetworkPolicy;
use protocol::network_config::NetworkConfig;
use protocol::rule::{Rule, RuleKind};
use protocol::{Address, MacAddress, NetworkId};

fn main() {
    divan::main();
}

const ME: Address = Address::from_u64(0xd6_6d8c_76f9);
const PEER: Address = Address::from_u64(0x2a_95da_4f88);
const NETWORK: NetworkId = NetworkId(0xd66d_8c76_f900_0099);

fn policy(rules: Vec<Rule>) -> NetworkPolicy {
    let mut config = NetworkConfig::new(NETWORK, ME);
    config.rules = rules;
    NetworkPolicy::new(ME, &config)
}

/// What a new network has.
fn accept_all() -> NetworkPolicy {
    policy(vec![Rule::new(RuleKind::Accept)])
}

/// Thirty rules as a careful operator writes them: IP and ARP only, no spoofing, new TCP connections to ten ports only.
fn typical() -> NetworkPolicy {
    let is = Rule::new;
    let not = |kind| Rule {
        not: true,
        ..Rule::new(kind)
    };
    let or = |kind| Rule {
        or: true,
        ..Rule::new(kind)
    };
    let mut rules = vec![
        not(RuleKind::EtherType(0x0800)),
        not(RuleKind::EtherType(0x0806)),
        not(RuleKind::EtherType(0x86dd)),
        is(RuleKind::Drop),
        is(RuleKind::EtherType(0x0806)),
        is(RuleKind::Accept),
        is(RuleKind::IpProtocol(1)),
        or(RuleKind::IpProtocol(58)),
        is(RuleKind::Accept),
        is(RuleKind::IpProtocol(17)),
        is(RuleKind::DestinationPortRange(53, 53)),
        is(RuleKind::Accept),
        is(RuleKind::Ipv4Source([192, 168, 0, 0].into(), 16)),
        is(RuleKind::Drop),
        is(RuleKind::IpProtocol(6)),
        is(RuleKind::DestinationPortRange(22, 22)),
    ];
    rules.extend(
        [80, 443, 8000, 8080, 8443, 9000, 9090, 9443, 10000]
            .map(|port| or(RuleKind::DestinationPortRange(port, port))),
    );
    rules.extend([
        is(RuleKind::Accept),
        is(RuleKind::Characteristics(0x02)),
        not(RuleKind::Characteristics(0x10)),
        is(RuleKind::Drop),
        is(RuleKind::Accept),
    ]);
    assert_eq!(rules.len(), 30);
    policy(rules)
}

/// A TCP segment to port 5001 with 1400 bytes: the last of the typical rules accepts it.
fn segment() -> Vec<u8> {
    let mut payload = vec![0; 1440];
    payload[0] = 0x45;
    payload[9] = 6;
    payload[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    payload[20..24].copy_from_slice(&[0x9c, 0x40, 0x13, 0x89]);
    payload[32] = 0x50;
    payload[33] = 0x10;
    payload
}

fn evaluate(bencher: Bencher<'_, '_>, policy: NetworkPolicy) {
    let payload = segment();
    let frame = EthernetFrame {
        destination: MacAddress::of(PEER, NETWORK),
        source: MacAddress::of(ME, NETWORK),
        ethertype: 0x0800,
        payload: &payload,
    };
    let verdict = policy.filter_outbound(Some(PEER), None, &frame, 0);
    assert_eq!(verdict.action, node::rules::Action::Accept);
    bencher
        .bench_local(|| black_box(&policy).filter_outbound(Some(PEER), None, black_box(&frame), 0));
}

#[divan::bench]
fn one_accept_rule(bencher: Bencher<'_, '_>) {
    evaluate(bencher, accept_all());
}

#[divan::bench]
fn thirty_rules(bencher: Bencher<'_, '_>) {
    evaluate(bencher, typical());
}

#[divan::bench]
fn flow_hash(bencher: Bencher<'_, '_>) {
    let payload = segment();
    bencher.bench_local(|| bond::flow_hash(0x0800, black_box(&payload)));
}
