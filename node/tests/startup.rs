//! How soon a node finds its root.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::net::SocketAddr;
use std::time::Duration;

use node::io::Event;
use node::testing::{Conditions, Net, identity};
use protocol::world::{World, WorldKind};

const ROOT: usize = 0;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A root at 10.0.0.1, and leaves in 10.0.1.0/24 that start at one moment.
fn root_and_leaves(leaves: u64) -> Net {
    let root = identity(1);
    let endpoints = vec![at("10.0.0.1:9993")];
    let planet = World::of_root(WorldKind::Planet, 77, 1, &root, endpoints);
    let mut net = Net::new(1, Conditions::default());
    net.add(root, &planet, &[at("10.0.0.1:9993")]);
    for leaf in 1..=leaves {
        let local = at(&format!("10.0.1.{leaf}:9993"));
        net.add(identity(1 + leaf), &planet, &[local]);
    }
    net
}

fn online(net: &Net) -> usize {
    let nodes = net.nodes.iter().skip(1);
    nodes
        .filter(|n| n.events.contains(&Event::Online(true)))
        .count()
}

#[test]
fn nodes_of_one_prefix_that_start_together_come_online_within_seconds() {
    let mut net = root_and_leaves(2);
    net.run_for(Duration::from_millis(500));
    assert_eq!(
        online(&net),
        1,
        "the root looks at one of a prefix at a time"
    );
    net.run_for(Duration::from_millis(2_600));
    assert_eq!(online(&net), 2);
}

#[test]
fn a_root_that_does_not_answer_is_asked_each_second_at_first_and_then_each_five() {
    let mut net = root_and_leaves(1);
    net.nodes[ROOT].running = false;
    let mut sent = Vec::new();
    for _ in 0..31 {
        let before = net.nodes[1].sent.len();
        net.run_for(Duration::from_secs(1));
        sent.push(net.nodes[1].sent.len() - before);
    }
    let hellos: usize = sent.iter().sum();
    // The start and four more, and one each five seconds.
    assert!((10..=12).contains(&hellos), "{sent:?}");
    assert!(sent[..5].iter().all(|n| *n >= 1), "{sent:?}");
}
