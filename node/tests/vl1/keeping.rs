//! Long silence: what is kept alive, kept in files, and forgotten.

use node::io::{Event, StateObject};
use node::testing::Conditions;
use protocol::Verb;

use crate::lab::{A, B, ROOT, SECOND, at, exchange, three};

#[test]
fn an_idle_node_sleeps_and_keeps_its_root() {
    let mut net = three(12, Conditions::default());
    let (turns, published) = (net.nodes[A].turns, net.nodes[A].publications);
    net.run_for(1200 * SECOND);
    let leaf = &net.nodes[A];
    assert!(
        leaf.turns - turns < 1200 * 2,
        "{} turns",
        leaf.turns - turns
    );
    assert_eq!(leaf.publications, published);
    assert_eq!(
        leaf.live_paths(net.now(), net.nodes[ROOT].address()).len(),
        1
    );
    assert!(!leaf.events.contains(&Event::Online(false)));
    // A full HELLO about every 229 s, and a question for the root's own identity every 5 s in between.
    let sent = leaf.node.status().counters.sent;
    assert!(
        (5..=10).contains(&sent[Verb::Hello as usize]),
        "{}",
        sent[Verb::Hello as usize]
    );
    assert!(
        (220..=245).contains(&sent[Verb::Whois as usize]),
        "{}",
        sent[Verb::Whois as usize]
    );
}

#[test]
fn a_root_that_falls_silent_makes_the_node_offline_and_comes_back() {
    let mut net = three(13, Conditions::default());
    net.nodes[ROOT].running = false;
    net.run_for(510 * SECOND);
    assert_eq!(net.nodes[A].events.last(), Some(&Event::Online(false)));
    net.restart(ROOT, &[at("10.0.0.1:9993")]);
    net.run_for(10 * SECOND);
    assert_eq!(net.nodes[A].events.last(), Some(&Event::Online(true)));
}

#[test]
fn silent_leaves_are_written_to_the_cache_forgotten_and_loaded_again() {
    let mut net = three(14, Conditions::default());
    exchange(&mut net, 5);
    let b = net.nodes[B].address();
    net.nodes[B].running = false;
    net.run_for(1200 * SECOND);
    assert!(
        net.nodes[A]
            .node
            .peers(net.now())
            .iter()
            .all(|p| p.address != b)
    );
    assert!(net.nodes[A].snapshot.as_ref().unwrap().peer(b).is_none());
    let file = net.nodes[A]
        .files
        .get(&StateObject::Peer(b))
        .unwrap()
        .as_ref()
        .unwrap();
    assert_eq!((file[0], &file[1..6]), (2, &b.to_bytes()[..]));
    net.restart(B, &[at("10.0.2.1:9993")]);
    net.introduce(A, B);
    net.run_for(SECOND);
    assert_eq!(net.nodes[A].live_paths(net.now(), b).len(), 1);
}
