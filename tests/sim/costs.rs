//! What a bond costs beside its data, on the wire, to the byte: requirements 27 and 28.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use node::io::LinkId;
use protocol::packet::PacketView;
use protocol::{Instant, Suite, Verb};
use serde_json::{Value, json};

use crate::flows::{DATAGRAM_LENGTH, linux_flows};
use crate::multipath::{A, B, ECHO_LENGTH, KINDS, Kind, Multipath, ip, ms, policy, seconds};

/// Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;
/// An answer to an ECHO: the header with the verb, the verb and the packet that is answered.
const ANSWER_LENGTH: usize = ECHO_LENGTH + 9;
const MONTH: f64 = 30.0 * 86_400.0;
const LINKS: u8 = 2;
const IDLE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(7200);

fn bytes(lengths: &BTreeMap<usize, u64>) -> u64 {
    let sizes = lengths.iter();
    sizes.map(|(l, count)| (l + HEADERS) as u64 * count).sum()
}

/// A plain peer asks all paths all the time, as 1.14.1 does.
fn asking() -> Value {
    let parameters = json!({"monitorStrategy": "active", "failoverInterval": 1000});
    policy("balance-aware", parameters)
}

/// Bytes per second of an idle bond, by sender and link, after a minute without traffic. Of what goes to a plain peer answers to
/// what it asks do not count.
fn idle_costs(kind: Kind, settings: &Value) -> BTreeMap<(usize, u8), f64> {
    let theirs = match kind {
        Kind::Ours => settings.clone(),
        Kind::Plain => asking(),
    };
    let mut net = Multipath::of_kind(kind, 51, LINKS, [settings.clone(), theirs]);
    net.settle(A);
    net.settle(B);
    net.load(A, &linux_flows(1), ms(20));
    net.run(seconds(5));
    net.end_loads();
    net.run(IDLE);
    net.reset();
    net.run(WINDOW);
    let mut costs = BTreeMap::new();
    for link in 1..=LINKS {
        for from in [A, B] {
            let mut lengths = net.lengths(from, link);
            if kind == Kind::Plain {
                lengths.remove(&ANSWER_LENGTH);
            }
            if from == A || kind == Kind::Ours {
                let rate = bytes(&lengths) as f64 / WINDOW.as_secs_f64();
                println!("{kind:?} {settings}: {from} over {link}: {rate:.2} B/s {lengths:?}");
                costs.insert((from, link), rate);
            }
        }
    }
    // All of it was of use: the bond is whole.
    let bond = net.bond(A).expect("a bond");
    assert_eq!(bond.alive_links, usize::from(LINKS));
    costs
}

#[test]
fn an_idle_bond_that_probes_dynamically_costs_ten_bytes_per_second_and_path() {
    for kind in KINDS {
        for base in ["active-backup", "balance-rr", "balance-aware"] {
            let costs = idle_costs(kind, &policy(base, json!({})));
            assert!(costs.values().all(|rate| *rate <= 10.0), "{costs:?}");
        }
    }
}

#[test]
fn an_idle_bond_that_probes_actively_costs_four_probes_per_failover_interval_and_path() {
    for kind in KINDS {
        let parameters = json!({"monitorStrategy": "active", "failoverInterval": 1000});
        let costs = idle_costs(kind, &policy("balance-aware", parameters));
        assert!(costs.values().all(|rate| *rate <= 280.0), "{costs:?}");
    }
}

#[test]
fn a_waiting_link_costs_ten_megabytes_a_month() {
    for kind in KINDS {
        for cost in [0, 1] {
            let links =
                json!({"sim0": {"mode": "primary"}, "sim1": {"mode": "spare", "cost": cost}});
            let costs = idle_costs(kind, &policy("active-backup", json!({"links": links})));
            let both = costs.iter().filter(|((_, link), _)| *link == 2);
            let month: f64 = both.map(|(_, rate)| rate * MONTH / 1e6).sum();
            assert!(month <= 10.0, "{month:.2} MB: {costs:?}");
        }
    }
}

/// 1.14.1 gives up a path of its bond without a report for 600 s; what it reports of its own probes is of no use to it.
#[test]
fn an_idle_peer_that_bonds_gets_few_reports_but_is_never_without() {
    let ours = policy("balance-aware", json!({}));
    for (name, ours) in [("both bond", ours), ("the peer alone", json!({}))] {
        let mut net = Multipath::new(53, LINKS, [ours, asking()]);
        net.settle(B);
        net.run(IDLE);
        let mut reports: BTreeMap<u8, Vec<Instant>> = BTreeMap::new();
        let began = net.now();
        for _ in 0..60 {
            net.reset();
            net.run(seconds(60));
            for (link, at) in net.reports(A) {
                reports.entry(link).or_default().push(at);
            }
        }
        for link in net.links() {
            let mut times = vec![began];
            times.extend(reports.get(&link).into_iter().flatten());
            times.push(net.now());
            let pauses = times.windows(2).map(|pair| pair[1].duration_since(pair[0]));
            let longest = pauses.max().expect("two times");
            println!("{name}, link {link}: {} an hour, {longest:?}", times.len());
            assert!(times.len() <= 100, "{name}: {times:?}");
            assert!(longest <= seconds(260), "{name}: {times:?}");
        }
    }
}

#[test]
fn control_is_two_thousandths_of_the_bytes_under_load() {
    for base in ["balance-rr", "balance-aware"] {
        let both = [policy(base, json!({})), policy(base, json!({}))];
        let mut net = Multipath::of_kind(Kind::Ours, 52, 3, both);
        net.settle(A);
        net.settle(B);
        // 60 packets of 681 bytes per 10 ms: 33 Mbit/s one way.
        net.load(A, &linux_flows(60), ms(10));
        net.run(seconds(5));
        net.reset();
        net.run(seconds(20));
        let (mut control, mut all) = (0, 0);
        for link in 1..=3 {
            for from in [A, B] {
                let mut lengths = net.lengths(from, link);
                all += bytes(&lengths);
                lengths.remove(&DATAGRAM_LENGTH);
                control += bytes(&lengths);
                println!("{base}: {from} over {link}: {lengths:?}");
            }
        }
        let share = control as f64 / all as f64;
        assert!(
            all > 60_000_000 && share <= 0.002,
            "{control} of {all}: {share}"
        );
    }
}

/// HELLO costs more than any other packet of an idle bond.
#[test]
fn a_bonded_peer_is_greeted_over_one_port_and_over_links_that_do_not_work() {
    let both = [(); 2].map(|()| policy("active-backup", json!({})));
    let mut net = Multipath::with_ports(Kind::Ours, 55, (3, 2), both);
    net.settle(A);
    for from in [A, B] {
        net.load(from, &linux_flows(1), ms(1000));
    }
    net.run(seconds(60));
    // HELLOs to the other member, and the links that they left by.
    let greetings = |net: &mut Multipath| {
        let first = net.world.net.nodes[A].sent.len();
        net.run(seconds(1530));
        let sent = &net.world.net.nodes[A].sent[first..];
        let hellos = sent.iter().filter(|sent| {
            let view = PacketView::new(&sent.bytes);
            let is_hello = |view: PacketView<'_>| {
                view.suite() == Some(Suite::Poly1305) && view.verb() == Some(Verb::Hello)
            };
            (1..=3).any(|link| sent.to.ip() == ip(B, link)) && view.is_some_and(is_hello)
        });
        let links: Vec<Option<LinkId>> = hellos.map(|sent| sent.link).collect();
        let distinct: BTreeSet<_> = links.iter().copied().collect();
        (links.len(), distinct)
    };
    let (count, links) = greetings(&mut net);
    println!("{count} by {links:?}");
    assert!((4..=6).contains(&count) && links.len() == 1 && !links.contains(&None));
    net.cut(3);
    let (count, links) = greetings(&mut net);
    println!("without the third link: {count} by {links:?}");
    // The two ports of that link as well.
    assert!(count >= 12 && links.len() == 3, "{count} by {links:?}");
    net.mend(3);
    net.settle(A);
}
