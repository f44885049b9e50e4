//! Peers that have no bond of their own, or alone have one, or are unmodified.

use std::time::Duration;

use bond::{BasePolicy, PolicySettings};
use node::testing::Net;
use protocol::Verb;

use crate::lab::{
    A, B, FRAME_PAYLOAD, SECOND, TICK, active, block, endpoints, entry, exchange, exchange_until,
    plain, planned, policy, probe_pauses, settings, two, two_with, unblock,
};

#[test]
fn a_peer_that_comes_back_as_an_unmodified_node_is_taken_for_one() {
    let mut net = two(18, [Some(policy(BasePolicy::ActiveBackup)), None]);
    net.restart(B, &endpoints(B));
    net.command(B, plain());
    net.introduce(B, A);
    exchange(&mut net, 2 * SECOND);
    let pauses = probe_pauses(&mut net);
    let shortest = pauses.iter().min().unwrap();
    assert!(*shortest >= Duration::from_millis(166), "{shortest:?}");
}

#[test]
fn a_peer_that_bonds_alone_gets_its_measurements() {
    let mut net = two_with(12, [None, Some(policy(BasePolicy::BalanceXor))], &[B]);
    exchange(&mut net, 5 * SECOND);
    let sent = net.nodes[A].node.status().counters.sent[Verb::QosMeasurement as usize];
    assert!(sent > 0);
    assert!(net.nodes[B].received(Verb::QosMeasurement) >= sent - 3);
    assert!(entry(&net, A, B).measured);
    assert!(net.nodes[A].node.bonds(net.now()).is_empty());
    // What B measures is a round trip of 10 ms.
    let bonds = net.nodes[B].node.bonds(net.now());
    for path in &bonds[0].paths {
        let latency = path.latency.unwrap();
        assert!((4..=7).contains(&latency.as_millis()), "{latency:?}");
    }
}

#[test]
fn nodes_that_only_answer_each_other_come_to_rest() {
    let mut net = two_with(15, [Some(policy(BasePolicy::BalanceXor)), None], &[A]);
    let reports = |net: &Net| {
        [A, B].map(|n| net.nodes[n].node.status().counters.sent[Verb::QosMeasurement as usize])
    };
    assert!(entry(&net, B, A).measured);
    net.command(A, settings(PolicySettings::default()));
    net.run_for(TICK);
    let ended = reports(&net);
    for _ in 0..80 {
        let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
        net.send(A, b, Verb::Frame, &[0; FRAME_PAYLOAD]);
        net.send(B, a, Verb::Frame, &[0; FRAME_PAYLOAD]);
        net.run_for(SECOND);
    }
    let rested = reports(&net);
    assert_eq!(rested[0], ended[0]);
    assert!(rested[1] > ended[1]);
    exchange(&mut net, 10 * SECOND);
    assert_eq!(reports(&net), rested);
    assert!(!entry(&net, A, B).measured && !entry(&net, B, A).measured);
}

#[test]
fn a_peer_that_goes_on_measuring_is_answered_again_after_a_pause() {
    let mut net = two_with(16, [None, Some(policy(BasePolicy::BalanceXor))], &[B]);
    let mut quiet = 0;
    let mut last = 0;
    for _ in 0..700 {
        exchange(&mut net, TICK);
        net.run_for(SECOND);
        let sent = net.nodes[A].node.status().counters.sent[Verb::QosMeasurement as usize];
        quiet = if sent == last { quiet + 1 } else { 0 };
        last = sent;
        assert!(quiet < 100);
    }
    let bonds = net.nodes[B].node.bonds(net.now());
    assert_eq!(bonds[0].alive_links, 3);
}

/// The side without a bond uses what the bonded side uses, instead of 19 s of silence.
#[test]
fn a_node_without_a_bond_follows_a_peer_of_our_kind_that_has_one() {
    for seed in [31, 32, 33] {
        let mut net = two(seed, [Some(policy(BasePolicy::ActiveBackup)), None]);
        let used = |net: &Net| planned(net, B, A)[0];
        let first = used(&net);
        block(&mut net, first);
        let took = exchange_until(&mut net, 5 * SECOND, |net| used(net) != first);
        let took = took.expect("it follows");
        assert!(took <= SECOND, "{took:?}");
        let next = used(&net);
        assert_eq!(active(&net), next);
        let received = net.nodes[A].received(Verb::Frame);
        exchange(&mut net, SECOND);
        assert!(net.nodes[A].received(Verb::Frame) - received >= 99);
        // Nothing drives it back and forth.
        unblock(&mut net, first);
        let moved = exchange_until(&mut net, 30 * SECOND, |net| used(net) != next);
        assert_eq!(moved, None);
    }
}
