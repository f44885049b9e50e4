//! Answers that are late are not lost: what a busy machine, or somebody else's traffic, costs a link is over when that is, and
//! a link that becomes slow for good is slow, not dead.

mod traffic;

use std::time::Duration;

use bond::{BasePolicy, PolicySettings};
use traffic::{Link, Network, PORT, Peer};

const LINKS: u32 = 3;
const PORTS: u32 = 2;
const MEGABITS: f64 = 5.0;
const SEEDS: u64 = 20;
/// How late answers are: in milliseconds. The longest is a failover interval, after which a link is given up.
const LATE: [u64; 3] = [30, 100, 300];
const LATE_ONCE: [u64; 4] = [30, 100, 300, 1000];
/// Tenths of a second after which every link may carry something again: a zerotier-one answers six probes a second.
const AT_ONCE: u32 = 5;

fn network(base: BasePolicy, peer: Peer, seed: u64) -> Network {
    let links = vec![Link::new(1000.0); LINKS as usize];
    let settings = PolicySettings::standard(base);
    let mut network = Network::with_ports(settings, peer, &links, PORTS, seed);
    network.seconds(16.0);
    network.start_paced(1, MEGABITS);
    network.seconds(10.0);
    network
}

/// Answers take so much longer, or shorter, on these links.
fn delay(network: &mut Network, links: &[u32], by: Duration, longer: bool) {
    for (id, link) in &mut network.links {
        if links.contains(&(id.0 % PORT)) {
            link.delay = match longer {
                true => link.delay + by / 2,
                false => link.delay - by / 2,
            };
        }
    }
}

/// Tenths of a second until every link may carry something, at most a minute.
fn until_all_are_back(network: &mut Network) -> u32 {
    let is_eligible = |network: &Network, link: u32| {
        let status = network.bond.status(network.now);
        let mut paths = status.paths.iter();
        paths.any(|path| path.id.0 % PORT == link && path.eligible)
    };
    for tenth in 0..600 {
        if (1..=LINKS).all(|link| is_eligible(network, link)) {
            return tenth;
        }
        network.seconds(0.1);
    }
    600
}

/// Every link may carry something at once after `happen`.
fn are_back_after(what: &str, late: &[u64], happen: impl Fn(&mut Network, Duration)) {
    let mut worst = Vec::new();
    for peer in [Peer::Own, Peer::Stock] {
        for base in [
            BasePolicy::ActiveBackup,
            BasePolicy::BalanceRr,
            BasePolicy::BalanceXor,
            BasePolicy::BalanceAware,
        ] {
            for late in late.iter().copied().map(Duration::from_millis) {
                let times = (0..SEEDS).map(|seed| {
                    let mut network = network(base, peer, seed);
                    happen(&mut network, late);
                    until_all_are_back(&mut network)
                });
                let longest = times.max().expect("seeds");
                println!("{what}, {peer:?}, {base}, by {late:?}: {longest} tenths of a second");
                if longest > AT_ONCE {
                    worst.push((peer, base, late, longest));
                }
            }
        }
    }
    assert!(worst.is_empty(), "{what}: {worst:?}");
}

#[test]
fn links_that_are_slow_for_a_while_are_back_at_once() {
    are_back_after("late for two seconds", &LATE_ONCE, |network, late| {
        delay(network, &[1, 2, 3], late, true);
        network.seconds(2.0);
        delay(network, &[1, 2, 3], late, false);
    });
}

#[test]
fn links_that_are_slow_now_and_then_are_back_at_once() {
    are_back_after("late now and then", &LATE, |network, late| {
        for turn in 0..10 {
            let links: &[u32] = if turn % 3 == 0 { &[1, 2, 3] } else { &[2, 3] };
            delay(network, links, late, true);
            network.seconds(0.3);
            delay(network, links, late, false);
            network.seconds(1.7);
        }
    });
}

#[test]
fn a_link_that_becomes_slow_for_good_is_back() {
    are_back_after("slow for good", &LATE_ONCE, |network, late| {
        delay(network, &[1], late, true);
        network.seconds(2.0);
    });
}

/// It fails, comes back, and the machine is busy meanwhile.
#[test]
fn a_link_that_comes_back_slowly_is_back() {
    are_back_after("lost, then late", &LATE, |network, late| {
        network
            .links
            .iter_mut()
            .filter(|(id, _)| id.0 % PORT == 1)
            .for_each(|(_, link)| link.loss = 1.0);
        network.seconds(4.0);
        network.links.values_mut().for_each(|link| link.loss = 0.0);
        delay(network, &[1, 2, 3], late, true);
        network.seconds(2.0);
        delay(network, &[1, 2, 3], late, false);
    });
}
