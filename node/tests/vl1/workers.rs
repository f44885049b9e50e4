//! What the node tells workers, and they it.

use node::io::{Command, Input, PathKey};
use node::testing::{Conditions, Net};
use protocol::Verb;

use crate::lab::{A, B, ROOT, SECOND, at, entry, exchange, identity, planet_of, three};

#[test]
fn what_workers_stamp_makes_a_peer_trusted_and_direct_paths_are_pushed() {
    let root = identity(1);
    let planet = planet_of(&root, 1);
    let mut net = Net::new(19, Conditions::default());
    net.add(root, &planet, &[at("10.0.0.1:9993")]);
    // A's second address cannot reach the root, so nobody knows of it.
    net.add(
        identity(2),
        &planet,
        &[at("10.0.1.1:9993"), at("10.0.9.1:9993")],
    );
    net.add(identity(3), &planet, &[at("10.0.2.1:9993")]);
    net.block("10.0.9.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
    net.block("10.0.9.1".parse().unwrap(), "10.0.2.1".parse().unwrap());
    net.run_for(3 * SECOND);
    exchange(&mut net, 3);
    net.unblock("10.0.9.1".parse().unwrap(), "10.0.2.1".parse().unwrap());
    let a = net.nodes[A].address();
    let pushed = |net: &Net| net.nodes[B].received(Verb::PushDirectPaths);
    let known = |net: &Net| {
        let peers = net.nodes[B].node.peers(net.now()).into_iter();
        let paths = peers.filter(|p| p.address == a).flat_map(|p| p.paths);
        paths
            .filter(|p| p.path.remote == at("10.0.9.1:9993"))
            .count()
    };
    assert_eq!((pushed(&net), known(&net)), (0, 0));
    // A worker of A admitted a frame of B's.
    let stamped = net.now();
    let activity = &entry(&net, A, B).activity;
    activity.received.set(stamped);
    activity.frame_received.set(stamped);
    net.run_for(3 * SECOND);
    assert_eq!((pushed(&net), known(&net)), (1, 1));
    // Not again before two minutes are over, however many frames there are.
    exchange(&mut net, 100);
    assert_eq!(pushed(&net), 1);
    exchange(&mut net, 30);
    assert_eq!(pushed(&net), 2);
}

#[test]
fn a_frame_that_a_worker_got_over_an_unknown_path_makes_the_node_look_there() {
    let mut net = three(20, Conditions::default());
    let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
    let load = Command::LoadPeer {
        identity: net.nodes[B].identity.public().clone(),
        endpoints: vec![],
    };
    net.command(A, load);
    let path = PathKey {
        link: net.nodes[A].links[0].id,
        remote: at("10.0.2.1:9993"),
    };
    assert!(net.nodes[A].live_paths(net.now(), b).is_empty());
    net.handle(A, Input::UnknownPath { peer: b, path });
    net.run_for(SECOND);
    assert_eq!(net.nodes[A].live_paths(net.now(), b), [path]);
    assert_eq!(net.nodes[B].live_paths(net.now(), a).len(), 1);
}

#[test]
fn snapshots_share_what_did_not_change_and_come_at_most_every_10_ms() {
    let mut net = three(21, Conditions::default());
    exchange(&mut net, 3);
    let before = net.nodes[ROOT].snapshot.clone().unwrap();
    let published = net.nodes[ROOT].publications;
    for n in 0..20 {
        let load = Command::LoadPeer {
            identity: identity(100 + n).public().clone(),
            endpoints: vec![],
        };
        net.command(ROOT, load);
    }
    net.run_for(SECOND);
    let after = net.nodes[ROOT].snapshot.clone().unwrap();
    // At once for the first, and once for all others.
    assert_eq!(net.nodes[ROOT].publications, published + 2);
    assert_eq!(after.epoch, before.epoch + 2);
    let a = net.nodes[A].address();
    assert!(std::sync::Arc::ptr_eq(
        before.peer(a).unwrap(),
        after.peer(a).unwrap()
    ));
    let shards = before.peers.iter().zip(&after.peers);
    let same = shards.filter(|(x, y)| std::sync::Arc::ptr_eq(x, y)).count();
    assert!((236..256).contains(&same), "{same} shards are the same");
    let known: usize = after.peers.iter().map(|shard| shard.len()).sum();
    assert_eq!(known, 22);
}
