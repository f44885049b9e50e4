//! What workers saw, and what peers of our kind report.

use std::sync::Arc;
use std::time::Duration;

use bond::BasePolicy;
use node::io::{Input, Sample};
use node::testing::Net;
use protocol::{PacketId, Verb};

use crate::lab::{
    A, B, SECOND, TICK, active, endpoints, entry, exchange, exchange_until, ip, policy, settings,
    two, two_with,
};

#[test]
fn what_workers_saw_reaches_the_bond() {
    let mut net = two_with(17, [Some(policy(BasePolicy::BalanceXor)), None], &[B]);
    let reports = |net: &Net| net.nodes[B].received(Verb::QosMeasurement);
    // Nothing but probes for a while, so that all reports are sent.
    net.run_for(20 * SECOND);
    let (peer, now, before) = (net.nodes[B].address(), net.now(), reports(&net));
    let shown = entry(&net, A, B);
    let paths: Vec<_> = shown.paths.iter().map(|p| p.key).collect();
    let activity = Arc::clone(&shown.paths[0].activity);
    let remote = paths[0].remote;
    assert!(shown.duplicates.is_none());
    let sample = |path: usize, id| Sample {
        peer,
        path: paths[path],
        packet: PacketId(id),
        at: now,
        sent: false,
        one_in: 2,
    };
    net.handle(A, Input::Samples(&[sample(0, 11), sample(1, 13)]));
    activity.packets_sent.add(5);
    activity.bytes_sent.add(5000);
    activity.packets_received.add(3);
    activity.bytes_received.add(3000);
    activity.authentic.set(now);
    let total = |net: &Net| {
        let bonds = net.nodes[A].node.bonds(net.now());
        let mut statuses = bonds[0].paths.iter();
        statuses.find(|p| p.remote == remote).unwrap().bytes
    };
    let (sent, received) = total(&net);
    net.run_for(2 * SECOND);
    assert!(reports(&net) >= before + 2);
    let (sent_now, received_now) = total(&net);
    assert_eq!(sent_now - sent, 5000);
    // Answers to probes came besides.
    assert!((3000..3500).contains(&(received_now - received)));
    // The same packet on another path: this peer sends copies.
    net.handle(A, Input::Samples(&[sample(1, 11)]));
    net.run_for(TICK);
    assert!(entry(&net, A, B).duplicates.is_some());
}

#[test]
fn reports_that_overtake_a_worker_are_no_loss() {
    let mut net = two(18, [Some(policy(BasePolicy::BalanceXor)), None]);
    net.run_for(5 * SECOND);
    let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
    let there = entry(&net, A, B).paths[0].key;
    let local = net.nodes[A]
        .links
        .iter()
        .find(|l| l.id == there.link)
        .unwrap()
        .local;
    let back = entry(&net, B, A)
        .paths
        .iter()
        .find(|p| p.key.remote == local);
    let back = back.unwrap().key;
    let sample = |peer, path, sent, at, n: u64| Sample {
        peer,
        path,
        packet: PacketId(2 * n + 1),
        at,
        sent,
        one_in: 2,
    };
    // B hears of each packet at once, A only 80 ms later.
    let mut sent = Vec::new();
    for n in 0..500 {
        let now = net.now();
        net.handle(B, Input::Samples(&[sample(a, back, false, now, n)]));
        sent.push(sample(b, there, true, now, n));
        if let Some(late) = sent.iter().nth_back(2) {
            net.handle(A, Input::Samples(&[*late]));
        }
        net.run_for(Duration::from_millis(40));
    }
    let bonds = net.nodes[A].node.bonds(net.now());
    for path in &bonds[0].paths {
        assert!(path.loss < 0.001, "{path:?}");
    }
}

fn messages(net: &Net, node: usize) -> (u64, u64) {
    let counters = net.nodes[node].node.status().counters;
    let verb = Verb::UserMessage as usize;
    (counters.sent[verb], counters.received[verb])
}

/// The loss that A's bond measures on each path.
fn losses(net: &Net) -> Vec<f64> {
    let bonds = net.nodes[A].node.bonds(net.now());
    let paths = bonds[0].paths.iter();
    paths.map(|path| path.loss).collect()
}

#[test]
fn peers_of_our_kind_report_what_arrives() {
    for bonding in [None, Some(policy(BasePolicy::BalanceRr))] {
        let mut net = two(21, [Some(policy(BasePolicy::BalanceRr)), bonding]);
        net.conditions.loss_per_mille = 100;
        let before = messages(&net, A).1;
        // Each figure is told from a few seconds only: their mean is steadier.
        let mut sums = [0.0; 3];
        for _ in 0..20 {
            exchange(&mut net, SECOND);
            for (sum, loss) in sums.iter_mut().zip(losses(&net)) {
                *sum += loss;
            }
        }
        for sum in sums {
            let mean = sum / 20.0;
            assert!((0.05..0.2).contains(&mean), "{mean}");
        }
        // Ten a second, some of which get lost; more where losses look like silence.
        let told = messages(&net, A).1 - before;
        assert!((150..1000).contains(&told), "{told}");
        // No traffic, no reports. Within a minute what was said of lossy links is taken back.
        net.run_for(6 * SECOND);
        let reports = messages(&net, A);
        net.run_for(64 * SECOND);
        let said = 2 * 2 * 3;
        assert!(messages(&net, A).0 <= reports.0 + said, "{reports:?}");
        let at_rest = messages(&net, A);
        net.run_for(20 * SECOND);
        assert_eq!(messages(&net, A), at_rest);
    }
}

#[test]
fn nothing_is_reported_to_or_asked_of_unmodified_nodes() {
    let both = || Some(policy(BasePolicy::BalanceRr));
    let mut net = two_with(22, [both(), both()], &[B]);
    exchange(&mut net, 5 * SECOND);
    assert_eq!((messages(&net, A), messages(&net, B)), ((0, 0), (0, 0)));
    let shown = entry(&net, A, B);
    assert!(shown.sampled && shown.numbering.is_none() && shown.counted.is_none());
    assert!(shown.paths.iter().all(|path| path.lanes.is_none()));
}

#[test]
fn a_path_that_fails_in_our_direction_alone_is_left_on_the_peers_word() {
    for bonding in [None, Some(policy(BasePolicy::ActiveBackup))] {
        let mut net = two(23, [Some(policy(BasePolicy::ActiveBackup)), bonding]);
        exchange(&mut net, 5 * SECOND);
        let failed = active(&net);
        net.block_one_way(ip(A, failed), ip(B, failed));
        let left = exchange_until(&mut net, 2 * SECOND, |net| active(net) != failed);
        let left = left.expect("it was never left");
        assert!(left <= Duration::from_millis(250), "{left:?}");
    }
}

#[test]
fn a_peer_that_starts_anew_counts_anew() {
    let both = || Some(policy(BasePolicy::BalanceRr));
    let mut net = two(24, [both(), both()]);
    exchange(&mut net, 3 * SECOND);
    let origin = entry(&net, A, B).counted.unwrap();
    net.restart(B, &endpoints(B));
    net.command(B, settings(policy(BasePolicy::BalanceRr)));
    let (a, b) = (net.nodes[A].address(), net.nodes[B].address());
    net.introduce(B, A);
    exchange(&mut net, 10 * SECOND);
    let again = entry(&net, A, B).counted.unwrap();
    assert_ne!(again, origin);
    let before = (messages(&net, A).1, net.nodes[B].received(Verb::Frame));
    exchange(&mut net, 10 * SECOND);
    assert!(messages(&net, A).1 > before.0 + 80);
    assert_eq!(net.nodes[B].received(Verb::Frame), before.1 + 1000);
    for (node, peer) in [(A, b), (B, a)] {
        let bonds = net.nodes[node].node.bonds(net.now());
        assert_eq!((bonds[0].peer, bonds[0].alive_links), (peer, 3));
        for path in &bonds[0].paths {
            assert!(path.loss < 0.01, "{path:?}");
        }
    }
}
