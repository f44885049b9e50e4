//! The world.

use std::net::SocketAddr;
use std::time::Duration;

use node::snapshot::PeerEntry;
pub(crate) use node::testing::identity;
use node::testing::{Conditions, Net};
use protocol::world::{World, WorldKind};
use protocol::{SecretIdentity, Verb};

pub(crate) const ROOT: usize = 0;
pub(crate) const A: usize = 1;
pub(crate) const B: usize = 2;
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn planet_of(root: &SecretIdentity, timestamp: u64) -> World {
    World::of_root(
        WorldKind::Planet,
        77,
        timestamp,
        root,
        vec![at("10.0.0.1:9993")],
    )
}

/// A root at 10.0.0.1 and leaves at 10.0.1.1 and 10.0.2.1, started a few seconds ago.
pub(crate) fn three(seed: u64, conditions: Conditions) -> Net {
    let root = identity(1);
    let planet = planet_of(&root, 1);
    let mut net = Net::new(seed, conditions);
    net.add(root, &planet, &[at("10.0.0.1:9993")]);
    net.add(identity(2), &planet, &[at("10.0.1.1:9993")]);
    net.add(identity(3), &planet, &[at("10.0.2.1:9993")]);
    net.run_for(3 * SECOND);
    net
}

pub(crate) fn block_direct(net: &mut Net) {
    net.block("10.0.1.1".parse().unwrap(), "10.0.2.1".parse().unwrap());
}

/// Lets A and B exchange something that keeps them active.
pub(crate) fn exchange(net: &mut Net, seconds: u32) {
    let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
    for _ in 0..seconds {
        net.send(A, b, Verb::Frame, &[0; 40]);
        net.send(B, a, Verb::Frame, &[0; 40]);
        net.run_for(SECOND);
    }
}

pub(crate) fn entry(net: &Net, of: usize, peer: usize) -> &PeerEntry {
    let snapshot = net.nodes[of].snapshot.as_ref().unwrap();
    snapshot.peer(net.nodes[peer].address()).unwrap()
}
