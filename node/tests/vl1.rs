//! VL1 in a small simulated world: a root and two leaves that it introduces to each other.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bond::Plan;
use node::io::{Command, Config, Event, Input, PathKey, PhysicalNetwork, StateObject};
use node::snapshot::PeerEntry;
use node::testing::{Conditions, Net};
use protocol::packet::PacketView;
use protocol::world::{World, WorldKind};
use protocol::{SecretIdentity, Suite, Verb};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ROOT: usize = 0;
const A: usize = 1;
const B: usize = 2;
const SECOND: Duration = Duration::from_secs(1);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn identity(seed: u64) -> SecretIdentity {
    SecretIdentity::generate(&mut StdRng::seed_from_u64(seed))
}

fn planet_of(root: &SecretIdentity, timestamp: u64) -> World {
    World::of_root(
        WorldKind::Planet,
        77,
        timestamp,
        root,
        vec![at("10.0.0.1:9993")],
    )
}

/// A root at 10.0.0.1 and leaves at 10.0.1.1 and 10.0.2.1, started a few seconds ago.
fn three(seed: u64, conditions: Conditions) -> Net {
    let root = identity(1);
    let planet = planet_of(&root, 1);
    let mut net = Net::new(seed, conditions);
    net.add(root, &planet, &[at("10.0.0.1:9993")]);
    net.add(identity(2), &planet, &[at("10.0.1.1:9993")]);
    net.add(identity(3), &planet, &[at("10.0.2.1:9993")]);
    net.run_for(3 * SECOND);
    net
}

fn block_direct(net: &mut Net) {
    net.block("10.0.1.1".parse().unwrap(), "10.0.2.1".parse().unwrap());
}

/// Lets A and B exchange something that keeps them active.
fn exchange(net: &mut Net, seconds: u32) {
    let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
    for _ in 0..seconds {
        net.send(A, b, Verb::Frame, &[0; 40]);
        net.send(B, a, Verb::Frame, &[0; 40]);
        net.run_for(SECOND);
    }
}

fn entry(net: &Net, of: usize, peer: usize) -> &PeerEntry {
    let snapshot = net.nodes[of].snapshot.as_ref().unwrap();
    snapshot.peer(net.nodes[peer].address()).unwrap()
}

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
fn long_packets_are_cut_and_joined_directly_and_through_the_relay() {
    let conditions = Conditions {
        jitter: Duration::from_millis(20),
        duplicate_per_mille: 300,
        ..Conditions::default()
    };
    for blocked in [false, true] {
        let mut net = three(6, conditions);
        if blocked {
            block_direct(&mut net);
        }
        let b = net.nodes[B].address();
        net.send(A, b, Verb::UserMessage, &[7; 9_900]);
        net.run_for(3 * SECOND);
        let sent = net.nodes[A].sent.iter();
        assert_eq!(sent.filter(|t| t.bytes.len() == 1432).count(), 7);
        let status = net.nodes[B].node.status();
        assert!(
            status.counters.received[Verb::UserMessage as usize] >= 1,
            "blocked: {blocked}"
        );
        assert_eq!(status.counters.bad_tag, 0);
        // Longer than seven pieces: refused, since nobody could join it.
        let before = net.nodes[A].sent.len();
        net.send(A, b, Verb::UserMessage, &[7; 9_901]);
        assert_eq!(net.nodes[A].sent.len(), before);
    }
}

#[test]
fn a_newer_planet_comes_with_the_answer_to_hello() {
    let root = identity(1);
    let mut net = Net::new(7, Conditions::default());
    net.add(root.clone(), &planet_of(&root, 2), &[at("10.0.0.1:9993")]);
    net.add(identity(2), &planet_of(&root, 1), &[at("10.0.1.1:9993")]);
    net.run_for(2 * SECOND);
    let leaf = &net.nodes[A];
    assert_eq!(leaf.node.status().planet_timestamp, 2);
    assert_eq!(
        leaf.files.get(&StateObject::Planet),
        Some(&Some(planet_of(&root, 2).to_bytes()))
    );
    assert!(!net.nodes[ROOT].files.contains_key(&StateObject::Planet));
}

#[test]
fn a_moon_is_learned_from_its_seed_kept_and_forgotten() {
    let mut net = three(8, Conditions::default());
    let moon_id = net.nodes[B].address().to_u64();
    let moon = World::of_root(WorldKind::Moon, moon_id, 5, &net.nodes[B].identity, vec![]);
    net.command(B, Command::LoadMoon(Box::new(moon.clone())));
    let seed = net.nodes[B].address();
    net.command(
        A,
        Command::Orbit {
            moon: moon_id,
            seed: Some(seed),
        },
    );
    net.run_for(15 * SECOND);
    assert_eq!(net.nodes[A].node.moons(), std::slice::from_ref(&moon));
    assert_eq!(
        net.nodes[A].files.get(&StateObject::Moon(moon_id)),
        Some(&Some(moon.to_bytes()))
    );
    net.command(A, Command::Deorbit(moon_id));
    assert!(net.nodes[A].node.moons().is_empty());
    assert_eq!(
        net.nodes[A].files.get(&StateObject::Moon(moon_id)),
        Some(&None)
    );
}

#[test]
fn trusted_paths_carry_clear_packets_and_nobody_else_does() {
    let mut net = three(9, Conditions::default());
    let config = Config {
        physical: vec![PhysicalNetwork {
            network: "10.0.0.0/8".parse().unwrap(),
            blacklist: false,
            trusted_path_id: Some(42),
            mtu: Some(1500),
        }],
        ..Config::default()
    };
    let b = net.nodes[B].address();
    for index in [ROOT, A, B] {
        net.command(index, Command::Configure(Box::new(config.clone())));
    }
    exchange(&mut net, 5);
    net.send(A, b, Verb::UserMessage, b"12345678in the clear");
    net.run_for(SECOND);
    assert_eq!(net.nodes[B].received(Verb::UserMessage), 1);
    let clear = net.nodes[A].sent.last().unwrap();
    let view = PacketView::new(&clear.bytes).unwrap();
    assert_eq!(view.suite(), Some(Suite::TrustedPath));
    assert_eq!(view.trusted_path_id(), 42);
    let shown = &entry(&net, A, B).paths[0];
    assert_eq!((shown.trusted_path_id, shown.mtu), (Some(42), 1500));
    // From an address outside of the trusted network the same bytes are dropped.
    let bytes = clear.bytes.clone();
    let path = PathKey {
        link: net.nodes[B].links[0].id,
        remote: at("8.8.8.8:9993"),
    };
    net.handle(
        B,
        Input::Datagram {
            path,
            bytes: &bytes,
        },
    );
    assert_eq!(net.nodes[B].received(Verb::UserMessage), 1);
}

#[test]
fn a_blacklisted_network_is_never_used() {
    let mut net = three(10, Conditions::default());
    let config = Config {
        physical: vec![PhysicalNetwork {
            network: "10.0.2.0/24".parse().unwrap(),
            blacklist: true,
            trusted_path_id: None,
            mtu: None,
        }],
        ..Config::default()
    };
    net.command(A, Command::Configure(Box::new(config)));
    exchange(&mut net, 20);
    let b = net.nodes[B].address();
    assert!(net.nodes[A].live_paths(net.now(), b).is_empty());
    assert!(net.nodes[B].received(Verb::Frame) >= 20);
}

#[test]
fn echo_is_answered_at_most_every_166_ms_per_path() {
    let mut net = three(11, Conditions::default());
    // Nodes of our kind are answered more often.
    let config = Config {
        is_plain: true,
        ..Config::default()
    };
    net.command(A, Command::Configure(Box::new(config)));
    net.run_for(70 * SECOND);
    exchange(&mut net, 3);
    let b = net.nodes[B].address();
    let before = net.nodes[A].received(Verb::Ok);
    for _ in 0..100 {
        net.send(A, b, Verb::Echo, b"");
        net.run_for(Duration::from_millis(10));
    }
    net.run_for(SECOND);
    let answers = net.nodes[A].received(Verb::Ok) - before;
    assert!((6..=8).contains(&answers), "{answers} answers");
}

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
    let load = Command::LoadPeer {
        identity: net.nodes[B].identity.public().clone(),
        endpoints: vec![at("10.0.2.1:9993")],
    };
    net.command(A, load);
    net.run_for(SECOND);
    assert_eq!(net.nodes[A].live_paths(net.now(), b).len(), 1);
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
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let conditions = Conditions {
            jitter: Duration::from_millis(10),
            loss_per_mille: 100,
            ..Conditions::default()
        };
        let mut net = three(16, conditions);
        exchange(&mut net, 20);
        let sent: Vec<_> = net.nodes.into_iter().flat_map(|n| n.sent).collect();
        sent
    };
    assert_eq!(run(), run());
}

#[test]
fn no_datagram_can_make_a_node_panic() {
    let mut net = three(17, Conditions::default());
    exchange(&mut net, 5);
    let mut rng = StdRng::seed_from_u64(18);
    let corpus: Vec<Vec<u8>> = net
        .nodes
        .iter()
        .flat_map(|n| &n.sent)
        .map(|t| t.bytes.clone())
        .collect();
    let targets: BTreeMap<usize, _> = [ROOT, A, B].map(|i| (i, net.nodes[i].links[0].id)).into();
    for round in 0..12_000_u32 {
        let mut bytes = if round % 4 == 0 {
            let mut bytes = vec![0; (rng.next_u32() % 200) as usize];
            rng.fill_bytes(&mut bytes);
            bytes
        } else {
            corpus[rng.next_u32() as usize % corpus.len()].clone()
        };
        for _ in 0..rng.next_u32() % 4 {
            if !bytes.is_empty() {
                let index = rng.next_u32() as usize % bytes.len();
                bytes[index] = rng.next_u32() as u8;
            }
        }
        if rng.next_u32() % 8 == 0 {
            bytes.truncate(rng.next_u32() as usize % (bytes.len() + 1));
        }
        let target = (rng.next_u32() % 3) as usize;
        let path = PathKey {
            link: targets[&target],
            remote: at(
                ["10.0.1.1:9993", "10.0.2.1:9993", "10.9.9.9:5"][(rng.next_u32() % 3) as usize]
            ),
        };
        // As a worker would hand it over, too: such packets count as authentic, so their contents reach the handlers.
        match round % 3 {
            0 => net.handle(
                target,
                Input::Opened {
                    path,
                    packet: &bytes,
                },
            ),
            1 => net.handle(
                target,
                Input::Assembled {
                    path,
                    packet: &bytes,
                },
            ),
            _ => net.handle(
                target,
                Input::Datagram {
                    path,
                    bytes: &bytes,
                },
            ),
        }
        net.run_for(Duration::from_millis(1));
    }
    net.run_for(30 * SECOND);
}

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
