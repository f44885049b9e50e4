//! Nodes that find each other, and again.

use std::time::Duration;

use bond::Plan;
use node::io::{Command, Event, PathKey};
use node::testing::Conditions;
use protocol::{Suite, Verb};

use crate::lab::{A, B, ROOT, SECOND, at, block_direct, entry, exchange, three};

#[test]
fn a_root_answers_hello_and_the_leaf_is_online() {
    let net = three(1, Conditions::default());
    let root = net.nodes[ROOT].address();
    let leaf = &net.nodes[A];
    assert!(leaf.events.contains(&Event::Online(true)));
    assert_eq!(leaf.live_paths(net.now(), root).len(), 1);
    let peers = leaf.node.peers(net.now());
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].version, Some((12, 1, 14, 1)));
    assert_eq!(peers[0].latency, Some(10));
    assert_eq!(leaf.node.status().surface_addresses, [at("10.0.1.1:9993")]);
    assert_eq!(entry(&net, A, ROOT).suite, Suite::AesGmacSiv);
    // The root confirms the leaf's path with a HELLO of its own.
    let root = &net.nodes[ROOT];
    assert_eq!(root.live_paths(net.now(), leaf.address()).len(), 1);
}

#[test]
fn two_leaves_meet_through_the_root_and_then_talk_directly() {
    let mut net = three(2, Conditions::default());
    let b = net.nodes[B].address();
    net.send(A, b, Verb::UserMessage, b"12345678hello");
    net.run_for(2 * SECOND);
    assert_eq!(net.nodes[B].received(Verb::UserMessage), 1);
    let a = net.nodes[A].address();
    let path = |link: usize, remote: &str| PathKey {
        link: net.nodes[link].links[0].id,
        remote: at(remote),
    };
    assert_eq!(
        net.nodes[A].live_paths(net.now(), b),
        [path(A, "10.0.2.1:9993")]
    );
    assert_eq!(
        net.nodes[B].live_paths(net.now(), a),
        [path(B, "10.0.1.1:9993")]
    );
    let shown = entry(&net, A, B);
    assert_eq!(shown.plan, Plan::Single(0));
    assert!(shown.paths[0].direct);
    // The hole is punched before anything else goes to the new address.
    let sent = &net.nodes[A].sent;
    let first = sent.iter().find(|t| t.to == at("10.0.2.1:9993")).unwrap();
    assert_eq!((first.ttl, first.bytes.len()), (Some(2), 4));
    let relayed = net.nodes[ROOT].node.status().counters.relayed;
    net.send(A, b, Verb::UserMessage, b"12345678again");
    net.run_for(SECOND);
    assert_eq!(net.nodes[B].received(Verb::UserMessage), 2);
    assert_eq!(net.nodes[ROOT].node.status().counters.relayed, relayed);
}

#[test]
fn leaves_that_cannot_reach_each_other_are_relayed() {
    let mut net = three(3, Conditions::default());
    block_direct(&mut net);
    let b = net.nodes[B].address();
    for _ in 0..20 {
        net.send(A, b, Verb::UserMessage, b"12345678");
        net.run_for(SECOND);
    }
    assert_eq!(net.nodes[B].received(Verb::UserMessage), 20);
    assert!(net.nodes[A].live_paths(net.now(), b).is_empty());
    let shown = entry(&net, A, B);
    assert_eq!(shown.plan, Plan::Single(0));
    assert!(!shown.paths[0].direct);
    assert_eq!(shown.paths[0].key.remote, at("10.0.0.1:9993"));
    // Both learned the other's version from relayed HELLOs or not at all, and still understand each other.
    assert!(net.nodes[ROOT].node.status().counters.relayed >= 20);
}

#[test]
fn a_path_that_dies_is_left_for_the_relay_and_taken_again() {
    let mut net = three(4, Conditions::default());
    exchange(&mut net, 5);
    assert!(entry(&net, A, B).paths[0].direct);
    block_direct(&mut net);
    exchange(&mut net, 260);
    let b = net.nodes[B].address();
    assert!(
        net.nodes[A]
            .events
            .iter()
            .any(|e| matches!(e, Event::PathLost { peer, .. } if *peer == b))
    );
    assert!(!entry(&net, A, B).paths.iter().any(|p| p.direct));
    let before = net.nodes[B].received(Verb::Frame);
    exchange(&mut net, 5);
    assert_eq!(net.nodes[B].received(Verb::Frame), before + 5);
    net.unblock("10.0.1.1".parse().unwrap(), "10.0.2.1".parse().unwrap());
    exchange(&mut net, 40);
    assert!(entry(&net, A, B).paths[0].direct);
}

#[test]
fn a_node_that_restarts_on_another_port_is_found_again() {
    let mut net = three(5, Conditions::default());
    exchange(&mut net, 5);
    net.restart(B, &[at("10.0.2.1:20001")]);
    // Much sooner than after the 19 s in which a silent path counts as alive.
    exchange(&mut net, 6);
    let before = net.nodes[B].received(Verb::Frame);
    exchange(&mut net, 5);
    assert_eq!(net.nodes[B].received(Verb::Frame), before + 5);
    exchange(&mut net, 30);
    let b = net.nodes[B].address();
    let live = net.nodes[A].live_paths(net.now(), b);
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].remote, at("10.0.2.1:20001"));
    let before = net.nodes[B].received(Verb::Frame);
    exchange(&mut net, 5);
    assert_eq!(net.nodes[B].received(Verb::Frame), before + 5);
}

#[test]
fn leaves_meet_on_a_bad_network() {
    let conditions = Conditions {
        delay: Duration::from_millis(30),
        jitter: Duration::from_millis(40),
        loss_per_mille: 200,
        duplicate_per_mille: 100,
    };
    for seed in 10..15 {
        let mut net = three(seed, conditions);
        exchange(&mut net, 60);
        let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
        assert!(
            !net.nodes[A].live_paths(net.now(), b).is_empty(),
            "seed {seed}"
        );
        assert!(
            !net.nodes[B].live_paths(net.now(), a).is_empty(),
            "seed {seed}"
        );
        assert!(net.nodes[B].received(Verb::Frame) > 30, "seed {seed}");
    }
}

#[test]
fn links_that_vanish_take_their_paths_with_them() {
    let mut net = three(15, Conditions::default());
    exchange(&mut net, 5);
    net.command(A, Command::SetLinks(vec![]));
    let peers = net.nodes[A].node.peers(net.now());
    assert!(peers.iter().all(|p| p.paths.is_empty()));
}

#[test]
fn an_external_address_that_moves_makes_paths_prove_themselves() {
    let mut net = three(22, Conditions::default());
    exchange(&mut net, 3);
    block_direct(&mut net);
    // The path to B is silent, but good for another 240 s. A's address changes under its link.
    net.nodes[A].links[0].local = at("10.0.7.7:9993");
    net.block("10.0.7.7".parse().unwrap(), "10.0.2.1".parse().unwrap());
    assert!(entry(&net, A, B).paths[0].direct);
    assert_eq!(entry(&net, A, B).plan, Plan::Single(0));
    // The root hears of it within seconds, and its HELLO says so: paths have to answer now, which B cannot.
    net.run_for(10 * SECOND);
    let seen = net.nodes[A].node.status().surface_addresses;
    assert!(seen.contains(&at("10.0.7.7:9993")), "{seen:?}");
    let shown = entry(&net, A, B);
    let Plan::Single(index) = shown.plan else {
        panic!("{:?}", shown.plan);
    };
    assert_eq!(
        shown.paths[usize::from(index)].key.remote,
        at("10.0.0.1:9993")
    );
}
