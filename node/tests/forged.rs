//! Datagrams that claim to come from a peer.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::net::SocketAddr;
use std::time::Duration;

use node::io::{Input, PathKey};
use node::testing::{Conditions, Net, identity};
use protocol::world::{World, WorldKind};

const ROOT: usize = 0;
const LEAF: usize = 1;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn forged_datagrams_do_not_make_a_dead_path_look_alive() {
    let root = identity(1);
    let endpoints = vec![at("10.0.0.1:9993")];
    let planet = World::of_root(WorldKind::Planet, 77, 1, &root, endpoints);
    let mut net = Net::new(1, Conditions::default());
    net.add(root, &planet, &[at("10.0.0.1:9993")]);
    net.add(identity(2), &planet, &[at("10.0.1.1:9993")]);
    net.run_for(Duration::from_secs(5));
    let root = net.nodes[ROOT].address();
    let genuine = net.nodes[ROOT].sent.last().unwrap().bytes.clone();
    assert_eq!(net.nodes[LEAF].live_paths(net.now(), root).len(), 1);
    net.nodes[ROOT].running = false;
    let path = PathKey {
        link: net.nodes[LEAF].links[0].id,
        remote: at("10.0.0.1:9993"),
    };
    for second in 0..30_usize {
        let mut bytes = genuine.clone();
        let last = bytes.len() - 1 - second % 9;
        bytes[last] ^= 1;
        for bytes in [&bytes[..], &bytes[..20], &[7; 40]] {
            net.handle(LEAF, Input::Datagram { path, bytes });
        }
        let packet = &bytes;
        net.handle(LEAF, Input::Assembled { path, packet });
        net.run_for(Duration::from_secs(1));
    }
    assert!(net.nodes[LEAF].node.status().counters.bad_tag >= 60);
    assert_eq!(net.nodes[LEAF].live_paths(net.now(), root).len(), 0);
}
