//! How packets and flows are spread over links.

use std::collections::BTreeSet;

use protocol::verb::ExtFrame;
use protocol::{MacAddress, Verb};
use serde_json::{Value, json};

use super::{keyed, parsed, takes_booleans, takes_integers, takes_names};
use crate::flows::{DATAGRAM_LENGTH, ETHERTYPE_IPV4, Flow, linux_flows, packet};
use crate::multipath::{A, B, Multipath, ms, policy, seconds};

/// Lengths of the runs of packets on one link, without the first and the last.
fn runs(sequence: &[u8]) -> Vec<usize> {
    let runs = sequence.chunk_by(|a, b| a == b).map(<[u8]>::len);
    let mut runs: Vec<usize> = runs.skip(1).collect();
    runs.pop();
    runs
}

/// A settled bond of A's after one flow has sent 1000 packets.
fn one_flow(seed: u64, settings: Value) -> Multipath {
    let mut net = Multipath::new(seed, 2, [settings, json!({})]);
    net.settle(A);
    net.reset();
    net.load(A, &linux_flows(1), ms(1));
    net.run(seconds(1));
    net
}

#[test]
pub(crate) fn a3_packets_per_link() {
    once!(packets_per_link_has_an_effect);
}

fn packets_per_link_has_an_effect() {
    takes_integers("settings.balance-rr.packetsPerLink", 0, 65_535, |value| {
        keyed("packetsPerLink", value)
    });
    assert_eq!(parsed(&json!({})).packets_per_link, 8);
    for (parameters, packets) in [
        (json!({"packetsPerLink": 1}), 1),
        (json!({}), 8),
        (json!({"packetsPerLink": 64}), 64),
    ] {
        let net = one_flow(21, policy("balance-rr", parameters));
        let runs = runs(&net.sequence(A));
        // Few packets of the control plane take a turn too.
        let exact = runs.iter().filter(|run| **run == packets).count();
        assert!(
            runs.len() >= 10 && exact * 10 >= runs.len() * 9,
            "{packets}: {runs:?}"
        );
    }
    let mut net = one_flow(21, policy("balance-rr", json!({"packetsPerLink": 0})));
    let lengths: BTreeSet<usize> = runs(&net.sequence(A)).into_iter().collect();
    assert!(
        lengths.contains(&1) && lengths.contains(&2) && lengths.len() >= 4,
        "{lengths:?}"
    );
    assert!(
        net.packets(A)
            .iter()
            .all(|count| (400..=600).contains(count)),
        "{:?}",
        net.packets(A)
    );
    // Even at random a link has the share that it is said to have; turns would leave runs of one and three.
    let links = json!({"sim0": {"mode": "primary", "speed": 300}, "sim1": {"mode": "primary", "speed": 100}});
    let parameters = json!({"packetsPerLink": 0, "links": links});
    let mut net = one_flow(21, policy("balance-rr", parameters));
    let lengths: BTreeSet<usize> = runs(&net.sequence(A)).into_iter().collect();
    assert!(lengths.len() >= 6, "{lengths:?}");
    let packets = net.packets(A);
    assert!(
        (680..=820).contains(&packets[0]) && packets.iter().sum::<u64>() == 1000,
        "{packets:?}"
    );
    let net = one_flow(21, policy("balance-rr", json!({"packetsPerLink": 65_535})));
    assert_eq!(runs(&net.sequence(A)), [0; 0]);
}

#[test]
fn a3_packets_per_link_at_its_most() {
    let settings = policy("balance-rr", json!({"packetsPerLink": 65_535}));
    let mut net = Multipath::new(21, 2, [settings, json!({})]);
    net.settle(A);
    net.load(A, &linux_flows(64), ms(1));
    // So many that one run is whole in any case.
    let mut sequence = Vec::new();
    while sequence.len() < 2 * 65_535 {
        net.reset();
        net.run(ms(50));
        sequence.extend(net.sequence(A));
    }
    // Few packets of the control plane count, too.
    let runs = runs(&sequence);
    let is_whole = |run: &usize| (65_300..=65_535).contains(run);
    assert!(!runs.is_empty() && runs.iter().all(is_whole), "{runs:?}");
}

#[test]
pub(crate) fn a3_balance_policy() {
    once!(balance_policy_has_an_effect);
}

fn balance_policy_has_an_effect() {
    let names = ["flow-dynamic", "flow-static", "packet", "auto"];
    takes_names("settings.balance-rr.balancePolicy", &names, |value| {
        keyed("balancePolicy", value)
    });
    // One flow takes both links if packets are placed, and one if flows are: `auto` places packets once the peer restores
    // their order, which none does yet.
    for (name, links) in [
        ("flow-dynamic", 1),
        ("flow-static", 1),
        ("auto", 1),
        ("packet", 2),
    ] {
        let mut net = one_flow(22, policy("balance-aware", json!({"balancePolicy": name})));
        let used = net.packets(A).iter().filter(|count| **count > 0).count();
        assert_eq!(used, links, "{name}: {:?}", net.packets(A));
    }
    // When the flows of one link end, some of the other's move there, or none.
    for (name, moves) in [
        ("flow-static", false),
        ("flow-dynamic", true),
        ("auto", true),
    ] {
        let mut net = Multipath::new(
            22,
            2,
            [
                policy("balance-aware", json!({"balancePolicy": name})),
                json!({}),
            ],
        );
        net.settle(A);
        net.load(A, &linux_flows(4), ms(4));
        net.run(seconds(5));
        net.end_loads();
        let first = flows_of_link_1(&mut net, 4);
        assert_eq!(first.len(), 2, "{name}: new flows are spread");
        net.load(A, &first, ms(4));
        net.run(seconds(20));
        net.reset();
        net.run(seconds(3));
        let idle = net.packets(A).iter().filter(|count| **count == 0).count();
        assert_eq!(idle, usize::from(!moves), "{name}: {:?}", net.packets(A));
    }
}

/// Which of so many flows take link 1.
fn flows_of_link_1(net: &mut Multipath, count: u16) -> Vec<Flow> {
    let mut flows = linux_flows(count);
    flows.retain(|flow| {
        net.reset();
        net.load(A, &[*flow], ms(10));
        net.run(ms(5));
        net.end_loads();
        net.run(ms(20));
        net.packets(A)[0] > 0
    });
    flows
}

#[test]
fn a3_allow_flow_hashing() {
    takes_booleans("settings.balance-rr.allowFlowHashing", |value| {
        keyed("allowFlowHashing", value)
    });
    let both = json!({"balance-rr": {"allowFlowHashing": false, "balancePolicy": "flow-static"}});
    assert_eq!(
        super::errors(&both),
        ["settings.balance-rr.allowFlowHashing: is false, but balancePolicy places flows"]
    );
    for (value, links) in [(true, 1), (false, 2)] {
        let mut net = one_flow(
            23,
            policy("balance-aware", json!({"allowFlowHashing": value})),
        );
        let used = net.packets(A).iter().filter(|count| **count > 0).count();
        assert_eq!(used, links, "{value}");
    }
}

#[test]
pub(crate) fn a3_rebalance_strategy() {
    once!(rebalance_strategy_has_an_effect);
}

fn rebalance_strategy_has_an_effect() {
    let names = ["passive", "opportunistic", "aggressive"];
    takes_names("settings.balance-rr.rebalanceStrategy", &names, |value| {
        keyed("rebalanceStrategy", value)
    });
    // A link comes back. Flows without a pause return to it at once, after a while, or never.
    let time_to_return = |name: &str| {
        let mut net = Multipath::new(
            24,
            2,
            [
                policy("balance-aware", json!({"rebalanceStrategy": name})),
                json!({}),
            ],
        );
        net.settle(A);
        net.load(A, &linux_flows(40), ms(40));
        net.load(B, &linux_flows(4), ms(40));
        net.run(seconds(2));
        net.cut(2);
        net.run(seconds(4));
        net.mend(2);
        net.run_until(seconds(10), |net| {
            net.bond(A).is_some_and(|bond| bond.alive_links == 2)
        })
        .expect("it comes back");
        net.reset();
        let mut waited = ms(0);
        loop {
            net.reset();
            net.run(ms(250));
            waited += ms(250);
            if net.packets(A)[1] * 4 >= net.packets(A)[0] || waited >= seconds(30) {
                break;
            }
        }
        waited
    };
    let times = names.map(time_to_return);
    assert!(times[2] <= seconds(3), "{times:?}");
    assert!(times[1] >= times[2] && times[1] <= seconds(8), "{times:?}");
    assert_eq!(times[0], seconds(30), "{times:?}");
}

#[test]
pub(crate) fn a3_dedup() {
    once!(dedup_has_an_effect);
}

fn dedup_has_an_effect() {
    takes_booleans("settings.balance-rr.dedup", |value| keyed("dedup", value));
    for (value, repeated) in [
        (json!({}), 0),
        (json!({"dedup": true}), 0),
        (json!({"dedup": false}), 2),
    ] {
        let both = || policy("broadcast", value.clone());
        let mut net = Multipath::new(25, 3, [both(), both()]);
        net.settle(A);
        net.settle(B);
        net.reset();
        net.load(A, &linux_flows(4), ms(20));
        net.run(ms(990));
        net.end_loads();
        net.run(seconds(1));
        assert_eq!(net.packets(A), [200; 3], "{value}");
        let received = &net.received[&B];
        assert_eq!(
            (received.packets(), received.repeated()),
            (200, repeated * 200),
            "{value}"
        );
    }
}

#[test]
fn a3_xmit_hash_policy() {
    let names = ["layer2", "layer2+3", "layer3+4"];
    takes_names("settings.balance-rr.xmitHashPolicy", &names, |value| {
        keyed("xmitHashPolicy", value)
    });
    let ports = linux_flows(32);
    let hosts: Vec<Flow> = (1..=32)
        .map(|host| Flow {
            host,
            ..Flow::from_port(40_000)
        })
        .collect();
    // Links that 32 flows of different ports, or of different hosts, take.
    let used = |name: &str, flows: &[Flow]| {
        let mut net = Multipath::new(
            26,
            2,
            [
                policy("balance-xor", json!({"xmitHashPolicy": name})),
                json!({}),
            ],
        );
        net.settle(A);
        net.reset();
        net.load(A, flows, ms(20));
        net.run(ms(200));
        net.packets(A).iter().filter(|count| **count > 0).count()
    };
    let links = names.map(|name| (used(name, &ports), used(name, &hosts)));
    assert_eq!(links, [(1, 1), (1, 2), (2, 2)]);
    // Links that 32 frames of one flow take if they come through a bridge, from different Ethernet addresses.
    let bridged = |name: &str| {
        let mut net = Multipath::new(
            26,
            2,
            [
                policy("balance-xor", json!({"xmitHashPolicy": name})),
                json!({}),
            ],
        );
        net.settle(A);
        net.reset();
        let peer = net.world.net.nodes[B].address();
        for number in 1..=32 {
            let frame = ExtFrame {
                network: net.world.network,
                flags: 0,
                membership: None,
                destination: net.world.mac(B),
                source: MacAddress([2, 0, 0, 0, 0, number]),
                ethertype: ETHERTYPE_IPV4,
                payload: &packet(Flow::from_port(40_000), 1),
            };
            let mut payload = Vec::new();
            frame.encode(&mut payload);
            net.world.net.send(A, peer, Verb::ExtFrame, &payload);
        }
        // Flags and the header of Ethernet instead of the Ethertype alone.
        let length = DATAGRAM_LENGTH + 13;
        let counts: Vec<u64> = net
            .links()
            .map(|link| net.lengths(A, link).get(&length).copied().unwrap_or(0))
            .collect();
        assert_eq!(counts.iter().sum::<u64>(), 32, "{name}: {counts:?}");
        counts.into_iter().filter(|count| *count > 0).count()
    };
    assert_eq!(names.map(bridged), [2, 1, 1]);
}

#[test]
fn a3_reorder_fec_duplicate() {
    takes_integers("settings.balance-rr.reorderMs", 0, 500, |value| {
        keyed("reorderMs", value)
    });
    let warning =
        "settings.balance-rr.reorderMs: has no effect yet: nothing restores the order of packets";
    for value in [0, 20, 500] {
        assert_eq!(
            super::warnings(&keyed("reorderMs", json!(value))),
            [warning]
        );
    }
    // Which is true: packets take the same ways as without it.
    let ways = |parameters: Value| one_flow(27, policy("balance-rr", parameters)).sequence(A);
    assert_eq!(ways(json!({"reorderMs": 500})), ways(json!({})));
    // What there is not is refused, not ignored.
    for key in ["fec", "duplicate"] {
        let of_policy = format!("settings.balance-rr.{key}: is not supported");
        assert_eq!(super::errors(&keyed(key, json!(1))), [of_policy]);
        let of_link = format!("settings.balance-rr.links.sim0.{key}: is not supported");
        assert_eq!(super::errors(&super::linked(key, json!(1))), [of_link]);
    }
    assert_eq!(
        super::warnings(&keyed("allowPathNegotiation", json!(true))),
        [
            "settings.balance-rr.allowPathNegotiation: has no effect: links are as each end's settings say"
        ]
    );
}
