//! What becomes of packets of every kind.

use std::collections::BTreeMap;
use std::time::Duration;

use node::io::{Command, Config, Input, PathKey, PhysicalNetwork};
use node::testing::Conditions;
use protocol::packet::PacketView;
use protocol::{Suite, Verb};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::lab::{A, B, ROOT, SECOND, at, block_direct, entry, exchange, three};

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
