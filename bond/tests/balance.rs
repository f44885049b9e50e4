//! What flows get over several links: requirements of balancing, with a peer that reports what it received and with one that
//! does not. Rates are small, so that few packets tell.

mod traffic;

use std::time::Duration;

use bond::config::{BalancePolicy, RebalanceStrategy};
use bond::{BasePolicy, EventKind, LinkEvent, PathId, PolicySettings};
use traffic::{Link, Network, PACKET, PORT, Peer};

const PEERS: [Peer; 3] = [Peer::Own, Peer::Silent, Peer::Stock];

fn settings(base: BasePolicy) -> PolicySettings {
    PolicySettings::standard(base)
}

fn aware() -> PolicySettings {
    settings(BasePolicy::BalanceAware)
}

fn equal(count: usize) -> Vec<Link> {
    vec![Link::new(6.0); count]
}

fn ten_to_one() -> [Link; 2] {
    [Link::new(30.0), Link::new(3.0)]
}

/// As many flows as links, and one more: no link is left idle.
#[test]
fn as_many_flows_as_links_fill_them_all() {
    for peer in PEERS {
        for links in [2, 4] {
            for flows in [links, links + 1] {
                let mut network = Network::new(aware(), peer, &equal(links), 3);
                network.start_iperf(flows);
                network.seconds(2.0);
                let part = network.part_of_sum(5.0);
                println!("{peer:?}: {flows} flows, {links} links: {part:.3}");
                assert!(part >= 0.95, "{part}\n{}", network.text());
            }
        }
    }
}

/// Connections begin together just after another one has ended, some on one link by chance: what has ended is in nobody's way,
/// what they lose while they start is not held against a link, and who was put in the wrong place need not stay there.
#[test]
fn flows_that_follow_another_fill_all_links() {
    let mut link = Link::new(20.0);
    link.delay = Duration::from_micros(500);
    link.buffer = Duration::from_millis(50);
    let start = |network: &mut Network, count, seed| {
        network.start_paced(1, 0.01);
        network.seconds(0.03);
        match seed % 2 {
            0 => network.start_bbr(count),
            _ => network.start_tcp(count),
        }
    };
    for peer in PEERS {
        for seed in 1..=8 {
            let links = vec![link.clone(); 4];
            let mut network = Network::with_ports(aware(), peer, &links, 4, seed);
            start(&mut network, 1, seed);
            network.seconds(8.0);
            network.end_flows();
            network.seconds(0.3);
            start(&mut network, 4, seed);
            let part = network.part_of_sum(8.0);
            println!("{peer:?}, seed {seed}: {part:.3}");
            assert!(part >= 0.95, "{part}\n{}", network.text());
        }
    }
}

/// Connections end, and others begin half a second later: less was sent for a moment, and a queue grows at once, but no link
/// has become narrower.
#[test]
fn flows_that_follow_others_make_no_link_narrow() {
    let mut link = Link::new(30.0);
    link.delay = Duration::from_micros(500);
    link.buffer = Duration::from_millis(50);
    for peer in PEERS {
        for seed in 1..=8 {
            let links = vec![link.clone(); 4];
            let mut network = Network::with_ports(aware(), peer, &links, 4, seed);
            network.start_tcp(5);
            network.seconds(8.0);
            network.end_flows();
            network.seconds(0.5 + 0.1 * (seed % 4) as f64);
            network.start_tcp(5);
            for _ in 0..30 {
                network.seconds(0.1);
                let shares = (1..=4).map(|id| network.target(id));
                let least = shares.fold(1.0, f64::min);
                let text = network.text();
                assert!(least >= 0.15, "{peer:?}, seed {seed}: {least}\n{text}");
            }
        }
    }
}

#[test]
fn many_flows_fill_equal_links_without_any_declaration() {
    for peer in PEERS {
        let mut network = Network::new(aware(), peer, &equal(3), 5);
        network.start_iperf(12);
        network.seconds(2.0);
        let part = network.part_of_sum(5.0);
        println!("{peer:?}: 12 flows, 3 links: {part:.3}");
        assert!(part >= 0.95, "{part}\n{}", network.text());
    }
}

#[test]
fn hashed_flows_leave_a_full_link_for_an_idle_one() {
    let mut sum = 0.0;
    for seed in 1..=4 {
        let mut network = Network::new(
            settings(BasePolicy::BalanceXor),
            PEERS[seed as usize % 3],
            &equal(2),
            seed,
        );
        network.start_iperf(8);
        network.seconds(3.0);
        sum += network.part_of_sum(4.0);
    }
    println!("balance-xor, 8 flows, 2 links: {:.3}", sum / 4.0);
    assert!(sum / 4.0 >= 0.85, "{sum}");
}

/// Some senders lose a third of what they send over full links, however many share them: nobody is the better for leaving one
/// full link for another.
#[test]
fn full_links_are_not_left_for_other_full_links() {
    for links in [2, 3, 4] {
        let mut sum = 0.0;
        for seed in 1..=4 {
            let xor = settings(BasePolicy::BalanceXor);
            let mut network = Network::new(xor, Peer::Own, &equal(links), seed);
            network.start_bbr(4 * links);
            network.seconds(3.0);
            sum += network.part_of_sum(6.0);
            let left = network.count(|event| matches!(event, EventKind::QualityAvoid { .. }));
            assert_eq!(left, 0, "{}", network.text());
        }
        println!("balance-xor, {links} links: {:.3}", sum / 4.0);
        assert!(sum / 4.0 >= 0.85, "{sum}");
    }
}

/// A short queue is never felt, and spills more than a lossy link would: but all of them do.
#[test]
fn links_that_lose_alike_are_not_left_for_each_other() {
    for links in [2, 4] {
        for seed in 1..=4 {
            let mut link = Link::new(20.0);
            link.delay = Duration::from_micros(500);
            link.buffer = Duration::from_millis(8);
            let mut network = Network::with_ports(aware(), Peer::Own, &vec![link; links], 4, seed);
            network.start_iperf(4 * links);
            network.seconds(3.0);
            let part = network.part_of_sum(12.0);
            println!("{links} links, seed {seed}: {part:.3}");
            assert!(part >= 0.95, "{part}\n{}", network.text());
            assert_eq!(network.faults(), 0, "{}", network.text());
        }
    }
}

/// Leaving a link that loses a tenth is of use only if another one loses less.
#[test]
fn lossy_links_are_left_for_better_ones_only() {
    for base in [
        BasePolicy::BalanceRr,
        BasePolicy::BalanceXor,
        BasePolicy::BalanceAware,
    ] {
        for loses_too in [false, true] {
            let mut links = equal(3);
            for link in &mut links[..2 + usize::from(loses_too)] {
                link.loss = 0.1;
            }
            let mut network = Network::new(settings(base), Peer::Own, &links, 3);
            network.start_paced(60, 0.1);
            network.seconds(8.0);
            let left = network.count(|event| matches!(event, EventKind::QualityAvoid { .. }));
            println!("{base}, all lose: {loses_too}: {left} left");
            let wanted = if loses_too { 0 } else { 2 };
            assert_eq!(left, wanted, "{}", network.text());
        }
    }
}

#[test]
fn a_link_that_loses_two_of_a_hundred_contributes_what_it_can() {
    let mut links = equal(3);
    for link in &mut links {
        link.delay = Duration::from_millis(1);
    }
    links[1].loss = 0.02;
    let mut network = Network::new(aware(), Peer::Own, &links, 6);
    network.start_iperf(12);
    network.seconds(3.0);
    let part = network.part_of_sum(6.0);
    println!("2 % loss on one of three: {part:.3}");
    assert!(part >= 0.90, "{part}\n{}", network.text());
}

/// The target share of a link follows its capacity down and up again.
#[test]
fn shares_follow_capacity_down_and_up() {
    for peer in PEERS {
        for (strategy, patience) in [
            (RebalanceStrategy::Aggressive, 3.0),
            (RebalanceStrategy::Opportunistic, 10.0),
        ] {
            let mut settings = aware();
            settings.rebalance = strategy;
            let mut network = Network::new(settings, peer, &vec![Link::new(20.0); 2], 7);
            network.start_iperf(8);
            network.seconds(5.0);
            network.link(2).rate = 2e6;
            network.seconds(patience);
            let narrow = network.target(2);
            let wanted = 2.0 / 22.0;
            println!(
                "{peer:?}, {strategy:?}: {narrow:.3} after a fall to a tenth, wanted {wanted:.3}"
            );
            assert!(
                (narrow - wanted).abs() <= 0.1,
                "{narrow}\n{}",
                network.text()
            );
            network.link(2).rate = 20e6;
            network.seconds(10.0);
            let wide = network.target(2);
            println!("{peer:?}, {strategy:?}: {wide:.3} after a rise to ten times");
            assert!((wide - 0.5).abs() <= 0.1, "{wide}\n{}", network.text());
        }
    }
}

/// A hundred paced flows; then nothing moves any more.
#[test]
fn many_flows_follow_declared_shares_and_then_stay() {
    use bond::config::{LinkMode, LinkSettings, Speed};
    let mut settings = aware();
    settings.links = [(1, 1000), (2, 100), (3, 100)]
        .map(|(number, speed)| LinkSettings {
            mode: LinkMode::Primary,
            speed_up: Some(Speed::Relative(speed)),
            ..LinkSettings::new(&format!("wan{number}"))
        })
        .into();
    let links = [Link::new(20.0), Link::new(4.0), Link::new(4.0)];
    let mut network = Network::new(settings, Peer::Own, &links, 8);
    network.start_paced(100, 0.04);
    network.seconds(15.0);
    let (settled, before) = (network.now, network.links.clone());
    network.seconds(30.0);
    let sent: Vec<u64> = network
        .links
        .iter()
        .map(|(id, link)| link.bytes - before[id].bytes)
        .collect();
    let all: u64 = sent.iter().sum();
    for (sent, wanted) in sent.iter().zip([1000.0, 100.0, 100.0]) {
        let part = *sent as f64 / all as f64;
        println!("{part:.3}, wanted {:.3}", wanted / 1200.0);
        assert!((part - wanted / 1200.0).abs() <= 0.05, "{part}");
    }
    let moved = network.moved_since(settled);
    println!("{moved} slots moved in 30 s");
    assert!(moved <= 5, "{moved}\n{}", network.text());
}

/// Connections that fill all links swing, lose much, and are left where they are; so is what goes beside them.
#[test]
fn flows_over_full_links_stay_where_they_are() {
    for peer in PEERS {
        for seed in 1..=3 {
            let mut network = Network::new(aware(), peer, &vec![Link::new(12.0); 3], seed);
            network.start_bbr(12);
            network.start_paced(100, 0.02);
            network.seconds(15.0);
            let settled = network.now;
            let part = network.part_of_sum(60.0);
            let moved = network.moved_since(settled);
            let lost: u64 = network.links.values().map(|link| link.dropped).sum();
            let left: u64 = network.links.values().map(|link| link.bytes / PACKET).sum();
            println!(
                "{peer:?}, seed {seed}: {moved} slots in a minute, {part:.3} of the sum, {:.2} lost",
                lost as f64 / left as f64
            );
            // One per cent.
            assert!(moved <= 10, "{moved}\n{}", network.text());
            assert!(part >= 0.9, "{part}\n{}", network.text());
            for flow in &network.flows {
                let rests = flow
                    .moves
                    .windows(2)
                    .map(|pair| pair[1].duration_since(pair[0]));
                let least = rests.min().unwrap_or(Duration::MAX);
                assert!(least.as_secs() >= 10, "{:?}", flow.moves);
            }
        }
    }
}

#[test]
fn a_static_flow_is_placed_once() {
    let mut settings = aware();
    settings.balance = BalancePolicy::FlowStatic;
    let mut network = Network::new(settings, Peer::Own, &equal(3), 9);
    network.start_iperf(3);
    network.seconds(8.0);
    for flow in &network.flows {
        assert!(flow.moves.len() <= 1, "{:?}", flow.moves);
    }
    let part = network.part_of_sum(3.0);
    println!("flow-static, 3 flows, 3 links: {part:.3}");
    assert!(part >= 0.95, "{part}\n{}", network.text());
}

/// Nobody says that a link has a tenth of its capacity, and then all of it again. Each link is four paths, as between two nodes
/// with two ports each.
#[test]
fn a_link_that_becomes_wider_again_is_used_within_ten_seconds() {
    for rebalance in [
        RebalanceStrategy::Aggressive,
        RebalanceStrategy::Opportunistic,
    ] {
        for seed in 1..=6 {
            let mut settings = aware();
            settings.rebalance = rebalance;
            let links = vec![Link::new(12.0); 3];
            let mut network = Network::with_ports(settings, Peer::Own, &links, 4, seed);
            network.start_bbr(12);
            network.seconds(14.0);
            network.link(3).rate = 1.2e6;
            network.seconds(1.0);
            let noticed = network.target(3);
            network.seconds(15.0);
            let before = network.target(3);
            network.link(3).rate = 12e6;
            network.seconds(9.0);
            let part = network.part_of_sum(3.0);
            let after = network.target(3);
            println!(
                "{rebalance:?}, seed {seed}: {noticed:.3}, {before:.3}, {after:.3}; {part:.3} of the sum"
            );
            let text = network.text();
            assert!(
                noticed < 0.1 && before < 0.06,
                "{noticed}, {before}\n{text}"
            );
            assert!(after > 0.25 && part > 0.9, "{after}, {part}\n{text}");
            assert_eq!(network.faults(), 0, "{text}");
        }
    }
}

/// As where a shaper has to make up first for what it let through before: for a while nothing passes, then a tenth.
#[test]
fn a_link_that_failed_while_full_is_not_filled_again_before_it_shows_what_fits() {
    for seed in 1..=6 {
        let mut settings = aware();
        settings.rebalance = RebalanceStrategy::Opportunistic;
        let mut network =
            Network::with_ports(settings, Peer::Own, &vec![Link::new(12.0); 3], 4, seed);
        network.start_bbr(12);
        network.seconds(14.0);
        network.link(3).rate = 1.0;
        network.seconds(0.5);
        network.link(3).rate = 1.2e6;
        network.seconds(0.5);
        let mut most = 0.0_f64;
        for _ in 0..100 {
            network.seconds(0.02);
            most = most.max(network.target(3));
        }
        let failed = network.count(|event| matches!(event, EventKind::PathIneligible { .. }));
        network.link(3).rate = 12e6;
        network.seconds(8.0);
        let after = network.target(3);
        println!("seed {seed}: {failed} failures, {most:.3}, {after:.3}");
        let text = network.text();
        assert!(failed > 0 && most < 0.19 && after > 0.25, "{text}");
    }
}

/// One of a narrow link's two paths fails alone, as when a router forgets a port: the other is as narrow. It becomes wider, and
/// then the first takes its place again.
#[test]
fn what_was_measured_on_one_path_of_a_wire_holds_for_the_next() {
    // One that reports seldom has said that the link is full when a path fails: then that is doubted for a while.
    for peer in [Peer::Own, Peer::Silent] {
        let mut network = Network::with_ports(aware(), peer, &ten_to_one(), 2, 4);
        network.start_iperf(12);
        network.seconds(6.0);
        let [first, second] = [2, 2 + PORT].map(PathId);
        // The least and the most of the flows that the link is to have in the half second after one of its paths failed.
        let after_failure = |network: &mut Network, path| {
            let now = network.now;
            network.bond.handle_link_event(path, LinkEvent::Down, now);
            let (mut least, mut most) = (1.0_f64, 0.0_f64);
            for _ in 0..500 {
                network.seconds(0.001);
                least = least.min(network.target(2));
                most = most.max(network.target(2));
            }
            (least, most)
        };
        let (_, most) = after_failure(&mut network, first);
        network.link(2).rate = 30e6;
        let now = network.now;
        network.bond.handle_link_event(first, LinkEvent::Up, now);
        network.seconds(15.0);
        let (least, _) = after_failure(&mut network, second);
        println!("{peer:?}: {most:.3} of the flows while narrow, {least:.3} while wide");
        let text = network.text();
        assert!(most < 0.12, "{most}\n{text}");
        assert!(least > 0.45, "{least}\n{text}");
    }
}
