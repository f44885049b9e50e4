//! Twelve defects that multipath of 1.14.1 was measured to have, and proof by traffic that they are not here. Two members have
//! several links between them; what counts is which link carries which packet, and what arrives.
//!
//! | test | with 1.14.1 | here |
//! |---|---|---|
//! | 01 | balance-aware without capacities sends every flow through the root | equal shares of the direct links, nothing through the root |
//! | 02 | balance-xor keeps all flows of a Linux client (even ports) on one of two links | both carry, at every base of ports; of 50 and 5 Mbit/s the wider one carries most, and all arrives |
//! | 03 | nothing is measured: a link cut from 50 to 5 Mbit/s keeps its flows | its flows move, and nine tenths of what is offered arrive; loss is shown as it is |
//! | 04 | a failure of one direction is never noticed | left within a second, whichever direction |
//! | 05 | `failoverTo` and `always` are without effect | the order is kept, and the primary link comes back |
//! | 06 | ten keys are without effect | each changes what is on the wires |
//! | 07 | a mistake kills the daemon | it is named, and traffic goes on as before (through the daemon, in `tests/netns`: `a_bonding_mistake_at_the_start_means_no_bonding`, `every_bonding_mistake_is_named_and_ends_no_daemon`) |
//! | 08 | standard names in `peerSpecificBonds` are ignored | they count, as do own names, objects and `none` |
//! | 09 | a bond whose peer has none dies after 15 s | it lives, and who is bonded by the peer alone answers |
//! | 10 | an interface that was taken away and put back stays out | it carries again within seconds (through the daemon, in `tests/netns`: `bond_*_survives_carrier_address_route_black_hole_and_removal`) |
//! | 11 | every port is a link of its own | links are interfaces, and shares follow these |
//! | 12 | black holes, rotation and throughput work | they do here, as well or better |
//!
//! Each is shown with a far side of our kind, and, where the far side matters, with one that does nothing that an unmodified
//! node does not do.

use std::collections::BTreeSet;
use std::time::Duration;

use bond::config::{BondSettings, ConfigProblem};
use bond::{BasePolicy, EventKind};
use node::io::{Command, Link, LinkId};
use protocol::Verb;
use serde_json::{Value, json};
use tests::bond_mistakes::{Mistake, mistakes};

use crate::flows::{DATAGRAM_LENGTH, Flow, linux_flows};
use crate::losses::sent_and_arrived_of_what_fits;
use crate::multipath::{A, B, KINDS, Kind, Multipath, bonding, is_report, ms, policy, seconds};
use crate::settings;
use crate::world::{ROOT, underlay};

mod measuring;

/// Datagrams with a flow's packet that went to the root.
fn through_the_root(net: &Multipath) -> usize {
    let sent = net.world.net.nodes[A].sent.iter();
    sent.filter(|sent| sent.to == underlay(ROOT) && sent.bytes.len() == DATAGRAM_LENGTH)
        .count()
}

#[test]
fn finding_01_balance_aware_without_capacities_uses_the_direct_links() {
    for kind in KINDS {
        let mut net =
            Multipath::of_kind(kind, 1, 3, [policy("balance-aware", json!({})), json!({})]);
        net.settle(A);
        net.reset();
        // 1440 packets, half of them of UDP flows, half of TCP flows.
        let mut flows = linux_flows(60);
        flows
            .iter_mut()
            .step_by(2)
            .for_each(|flow| flow.is_tcp = false);
        net.load(A, &flows, ms(100));
        net.run(ms(2350));
        net.end_loads();
        net.run(seconds(1));
        let packets = net.packets(A);
        assert_eq!(packets.iter().sum::<u64>(), 1440, "{packets:?}");
        assert!(packets.iter().all(|count| *count >= 288), "{packets:?}");
        assert_eq!(through_the_root(&net), 0);
        assert_eq!(net.received[&B].packets(), 1440);
        assert_eq!(net.received[&B].overtaken(), 0);
    }
}

#[test]
fn finding_02_balance_xor_spreads_a_linux_client_over_two_links() {
    for kind in KINDS {
        let mut net = Multipath::of_kind(kind, 2, 2, [policy("balance-xor", json!({})), json!({})]);
        net.settle(A);
        let (mut most, rounds) = (0, 24);
        for round in 0..rounds {
            net.reset();
            let base = 32_768 + 1000 * round;
            // Eight connections and that of the control.
            let flows: Vec<Flow> = (0..9).map(|n| Flow::from_port(base + 2 * n)).collect();
            net.load(A, &flows, ms(10));
            net.run(ms(95));
            net.end_loads();
            net.run(ms(100));
            let packets = net.packets(A);
            assert_eq!(packets.iter().sum::<u64>(), 90, "{packets:?}");
            assert!(
                packets.iter().all(|count| *count > 0),
                "{base}: {packets:?}"
            );
            most += packets.iter().max().copied().unwrap_or(0);
        }
        // Nine flows thrown on two links put 5.7 on the fuller one in the mean.
        let mean = most as f64 / 10.0 / f64::from(rounds);
        assert!(mean < 6.5, "{mean}");
    }
}

/// Why paths of a link could carry nothing any more, by the events of a node that came after the first `known`.
fn reasons(net: &Multipath, node: usize, known: usize, link: u8) -> Vec<&'static str> {
    let interface = format!("sim{}/", link - 1);
    let of_link = |event: &&&EventKind| event.path().is_some_and(|p| p.starts_with(&interface));
    let events = net.events(node);
    let events = events[known..].iter().filter(of_link);
    events
        .filter_map(|event| match event {
            EventKind::OneWayFailure { .. } => Some("told"),
            EventKind::PathIneligible { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect()
}

#[test]
fn finding_04_a_failure_of_one_direction_is_left() {
    for kind in KINDS {
        for base in ["active-backup", "balance-xor", "balance-rr"] {
            for (from, to) in [(A, B), (B, A)] {
                let title = format!("{kind:?}, {base}, {from} to {to}");
                let both = || policy(base, json!({"failoverInterval": 500}));
                let mut net = Multipath::of_kind(kind, 4, 2, [both(), both()]);
                net.settle(A);
                net.settle(B);
                // Of eight flows each link has some, both ways.
                let flows = linux_flows(if base == "balance-xor" { 8 } else { 1 });
                net.load(A, &flows, ms(10));
                net.load(B, &flows, ms(10));
                net.run(seconds(3));
                let link = net.planned(from)[0];
                assert!(net.planned(to).contains(&link), "{title}");
                net.reset();
                net.run(seconds(1));
                let per_second = net.packets(from)[usize::from(link) - 1];
                let known = [from, to].map(|node| net.events(node).len());
                // What `from` sends on a link that it uses is lost; the other direction works.
                net.wire(from, to, link).is_dead = true;
                net.run(seconds(11));
                assert!(!net.planned(from).contains(&link), "{title}");
                // With 1.14.1 everything was lost until the end.
                let (gap, part) = match kind {
                    Kind::Ours => (ms(350), 0.35),
                    Kind::Plain => (ms(1000), 1.0),
                };
                let found = net.received[&to].gap();
                assert!(found <= gap, "{title}: {found:?}");
                let lost = net.packets(from)[usize::from(link) - 1] - per_second;
                assert!(
                    lost as f64 <= part * per_second as f64,
                    "{title}: {lost} of {per_second} per second"
                );
                // Whoever is not heard says so, and the other one hears nothing. What our own kind reports needs no question.
                let told = reasons(&net, from, known[0], link);
                let is_told = told == ["told", "one way"];
                let is_reported = told == ["one way"] && kind == Kind::Ours;
                assert!(is_told || is_reported, "{title}: {told:?}");
                assert_eq!(reasons(&net, to, known[1], link), ["down"], "{title}");
            }
        }
    }
}

#[test]
fn finding_05_the_order_of_failover_counts_and_the_primary_link_comes_back() {
    for kind in KINDS {
        let parameters = json!({"failoverInterval": 500, "linkSelectMethod": "always", "links": {
        "sim0": {"mode": "primary", "failoverTo": "sim2"},
        "sim1": {"mode": "spare"},
        "sim2": {"mode": "spare", "failoverTo": "sim1"}}});
        let mut net =
            Multipath::of_kind(kind, 5, 3, [policy("active-backup", parameters), json!({})]);
        net.load(A, &linux_flows(1), ms(10));
        net.load(B, &linux_flows(1), ms(10));
        net.settle(A);
        net.run(seconds(3));
        assert_eq!(net.active(A), 1);
        // sim1 was found before sim2, and is not next.
        net.cut(1);
        net.run(seconds(5));
        assert_eq!(net.active(A), 3);
        net.cut(3);
        net.run(seconds(5));
        assert_eq!(net.active(A), 2);
        net.reset();
        net.mend(1);
        let back = net.run_until(seconds(10), |net| net.active(A) == 1);
        assert!(back.is_some_and(|took| took <= seconds(2)), "{back:?}");
        // Nothing is lost by going back.
        net.run(seconds(2));
        let gap = net.received[&B].gap();
        assert!(gap <= ms(60), "{gap:?}");
        assert_eq!(
            net.packets(A).iter().sum::<u64>() - net.received[&B].packets(),
            0
        );
    }
}

#[test]
fn finding_06_ten_keys_that_had_no_effect_have_one() {
    settings::traffic::a3_packets_per_link();
    settings::links::a3_enabled();
    settings::timing::a3_monitor_strategy();
    settings::traffic::a3_dedup();
    settings::shares::a3_alloc();
    settings::traffic::a3_balance_policy();
    settings::traffic::a3_rebalance_strategy();
    settings::shares::a3_speed();
    settings::quality::a3_quality();
    settings::quality::a3_link_select_method();
}

#[test]
fn finding_07_mistakes_are_named_and_traffic_goes_on() {
    let mut net = Multipath::new(7, 2, [policy("balance-xor", json!({})), json!({})]);
    net.settle(A);
    net.load(A, &linux_flows(16), ms(20));
    net.reset();
    let peer = net.world.net.nodes[B].address().to_string();
    for Mistake { settings, problems } in mistakes(&peer) {
        let (parsed, found) = BondSettings::parse(&settings);
        assert_eq!(found.len(), problems.len(), "{settings}: {found:?}");
        for (place, reason) in problems {
            let is_named = |problem: &ConfigProblem| {
                problem.path.starts_with(place) && problem.reason.contains(reason)
            };
            assert!(found.iter().any(is_named), "{settings}: {found:?}");
        }
        // Even what is left of it once the wrong parts are taken away does a running node no harm.
        net.world.net.command(A, Command::SetBonding(parsed.into()));
        net.run(ms(300));
        // As the daemon does: the last good settings stay.
        net.world
            .net
            .command(A, bonding(&policy("balance-xor", json!({}))));
        net.run(ms(300));
        let bond = net.bond(A).expect("a bond");
        assert_eq!(bond.base, BasePolicy::BalanceXor);
    }
    net.end_loads();
    net.run(seconds(1));
    let sent: u64 = net.packets(A).iter().sum();
    assert!(sent > 5000);
    assert_eq!(net.received[&B].packets(), sent);
}

#[test]
fn finding_08_peer_specific_bonds_may_have_standard_names() {
    settings::policies::a3_peer_specific_bonds();
}

#[test]
fn finding_09_a_bond_whose_peer_has_none_lives() {
    for kind in KINDS {
        for base in ["balance-rr", "balance-xor", "balance-aware"] {
            let mut net = Multipath::of_kind(kind, 9, 3, [policy(base, json!({})), json!({})]);
            for link in 1..=3 {
                net.wire(B, A, link).filter = Some(is_report);
            }
            net.load(A, &linux_flows(24), ms(100));
            net.load(B, &linux_flows(24), ms(100));
            // Four times the trial of 1.14.1, after which it had no link left.
            net.run(seconds(60));
            net.reset();
            net.run(seconds(5));
            let bond = net.bond(A).expect("a bond");
            assert_eq!((bond.alive_links, bond.total_links), (3, 3), "{base}");
            let packets = net.packets(A);
            assert!(
                packets.iter().all(|count| *count >= 200),
                "{base}: {packets:?}"
            );
        }
        // Who is bonded by the peer alone measures for it. A peer of another kind would know by nothing else.
        if kind == Kind::Ours {
            continue;
        }
        let mut net = Multipath::of_kind(kind, 9, 3, [json!({}), policy("balance-xor", json!({}))]);
        net.load(A, &linux_flows(24), ms(50));
        net.load(B, &linux_flows(24), ms(50));
        net.run(seconds(20));
        let arrived = net.world.net.nodes[B].received(Verb::QosMeasurement);
        assert!(
            net.sent(A, Verb::QosMeasurement) >= 6 && arrived >= 6,
            "{arrived}"
        );
        assert!(net.bond(A).is_none());
    }
}

#[test]
fn finding_10_an_interface_taken_away_and_put_back_carries_again() {
    for kind in KINDS {
        for base in ["active-backup", "balance-xor"] {
            let mut net = Multipath::of_kind(kind, 10, 3, [policy(base, json!({})), json!({})]);
            net.settle(A);
            net.load(A, &linux_flows(32), ms(20));
            net.load(B, &linux_flows(32), ms(20));
            net.run(seconds(2));
            let all = net.world.net.nodes[A].links.clone();
            let pulled = net.planned(A)[0];
            let set = |net: &mut Multipath, links: Vec<Link>| {
                net.world.net.nodes[A].links.clone_from(&links);
                net.world.net.command(A, Command::SetLinks(links));
            };
            let mut rest = all.clone();
            rest.remove(usize::from(pulled) - 1);
            set(&mut net, rest);
            net.run(seconds(10));
            // The same address on the same interface, and a socket of its own.
            let mut again = all;
            again[usize::from(pulled) - 1].id = LinkId(1000);
            set(&mut net, again);
            let full = net.run_until(seconds(30), |net| {
                net.bond(A).is_some_and(|bond| bond.alive_links == 3)
            });
            assert!(
                full.is_some_and(|took| took <= seconds(6)),
                "{base}: {full:?}"
            );
            if base == "active-backup" {
                // And it is good enough to be alone.
                for link in (1..=3).filter(|link| *link != pulled) {
                    net.cut(link);
                }
                let moved = net.run_until(seconds(10), |net| net.active(A) == pulled);
                assert!(moved.is_some_and(|took| took <= seconds(3)), "{moved:?}");
            } else {
                let full = net.run_until(seconds(30), |net| {
                    (net.part(A, pulled) - 1.0 / 3.0).abs() < 0.02
                });
                assert!(full.is_some(), "{:?}", net.part(A, pulled));
            }
        }
    }
}

#[test]
fn finding_11_links_are_interfaces_however_many_ports_they_have() {
    for kind in KINDS {
        let mut net = Multipath::of_kind(kind, 11, 3, [json!({}), json!({})]);
        // Each node has a second port, on two of its three interfaces.
        let mut next = 2000;
        for node in [A, B] {
            let mut links = net.world.net.nodes[node].links.clone();
            for link in links.clone().into_iter().take(2) {
                let mut local = link.local;
                local.set_port(29_993);
                next += 1;
                links.push(Link {
                    id: LinkId(next),
                    local,
                    interface: link.interface,
                    hardware_address: link.hardware_address,
                });
            }
            net.world.net.nodes[node].links.clone_from(&links);
            net.world.net.command(node, Command::SetLinks(links));
        }
        let settings = policy("balance-xor", json!({}));
        net.world.net.command(A, bonding(&settings));
        net.world.net.command(B, bonding(&settings));
        net.introduce();
        let flows: Vec<Flow> = linux_flows(120);
        net.load(A, &flows, ms(50));
        net.load(B, &flows, ms(50));
        net.run(seconds(10));
        net.reset();
        net.run(seconds(3));
        let bond = net.bond(A).expect("a bond");
        assert_eq!((bond.alive_links, bond.total_links), (3, 3));
        assert!(bond.paths.len() >= 5, "{:#?}", bond.paths);
        let used: BTreeSet<_> = bond
            .paths
            .iter()
            .filter(|path| path.bonded)
            .map(|path| &path.interface)
            .collect();
        assert_eq!(used.len(), 3);
        // A third each, not four twelfths for some and one for others.
        let packets = net.packets(A);
        let sum: u64 = packets.iter().sum();
        for count in &packets {
            let part = *count as f64 / sum as f64;
            assert!((0.2..0.47).contains(&part), "{packets:?}");
        }
    }
}

/// The longest pause of a stream of 100 packets per second each way when the link of active-backup becomes a black hole.
fn pause_by_a_black_hole(kind: Kind, seed: u64, parameters: &Value) -> Duration {
    let both = || policy("active-backup", parameters.clone());
    let mut net = Multipath::of_kind(kind, seed, 2, [both(), both()]);
    net.settle(A);
    net.settle(B);
    net.load(A, &linux_flows(1), ms(10));
    net.load(B, &linux_flows(1), ms(10));
    // At any phase of probes and reports.
    net.run(ms(3000 + 37 * seed));
    net.reset();
    // A pause begins with a packet.
    net.run(ms(50));
    let link = net.active(A);
    net.cut(link);
    net.run(seconds(5));
    [A, B]
        .map(|node| net.received[&node].gap())
        .into_iter()
        .max()
        .unwrap_or_default()
}

/// What balance-rr loses of 1000 packets per second when one of its three links becomes a black hole, and the longest pause.
fn lost_by_rotation(kind: Kind, seed: u64) -> (u64, Duration) {
    let parameters = json!({"failoverInterval": 500});
    let settings = [policy("balance-rr", parameters), json!({})];
    let mut net = Multipath::of_kind(kind, seed, 3, settings);
    net.settle(A);
    net.load(A, &linux_flows(1), ms(1));
    net.run(ms(2000 + 37 * seed));
    net.reset();
    net.run(ms(50));
    net.cut(2);
    net.run(seconds(5));
    net.end_loads();
    net.run(seconds(1));
    let sent: u64 = net.packets(A).iter().sum();
    let received = &net.received[&B];
    (sent - received.packets(), received.gap())
}

#[test]
fn finding_12_what_worked_works() {
    for kind in KINDS {
        // A black hole under active-backup: 468 to 472 ms at 500 ms, 3.4 to 3.8 s by default. An unmodified node answers a
        // question each 170 ms, so that with one what is required counts: half a second in the median, 0.7 s at most.
        for parameters in [json!({"failoverInterval": 500}), json!({})] {
            let pauses = (12..20).map(|seed| pause_by_a_black_hole(kind, seed, &parameters));
            let mut pauses: Vec<_> = pauses.collect();
            pauses.sort();
            println!("{kind:?}, {parameters}: {pauses:?}");
            let (median, most) = match kind {
                Kind::Ours => (ms(110), ms(150)),
                Kind::Plain => (ms(500), ms(700)),
            };
            assert!(
                pauses[4] <= median && pauses[7] <= most,
                "{kind:?}, {parameters}: {pauses:?}"
            );
        }
        // One of three links of balance-rr: 185 of 1000 packets per second were lost, and no silence was longer than 66 ms.
        for seed in 12..20 {
            let (lost, gap) = lost_by_rotation(kind, seed);
            println!("{kind:?}, seed {seed}: {lost} lost, {gap:?}");
            assert!(lost <= 185, "{kind:?}, seed {seed}: {lost}");
            assert!(gap <= ms(66), "{kind:?}, seed {seed}: {gap:?}");
        }
        // Twelve connections over three links of one rate: nearly all of it.
        for base in ["balance-xor", "balance-aware"] {
            // 120 flows that offer 0.9 of the rate of all.
            let (sent, arrived) = sent_and_arrived_of_what_fits(kind, 12, base, seconds(5));
            println!("{kind:?}, {base}: {arrived} of {sent}");
            assert!(
                arrived as f64 >= 0.99 * sent as f64,
                "{kind:?}, {base}: {arrived} of {sent}"
            );
        }
    }
}
