//! Row 7 of the requirements on virtual time: a link in use loses two per cent more in each second, up to a fifth.

mod traffic;

use std::time::Duration;

use bond::{BasePolicy, PolicySettings};
use traffic::{Link, Network, PORT, Peer};

const LINKS: usize = 3;
const PORTS: u32 = 2;
/// A flow of so much, in packets of 10,000 bits, for so many seconds before.
const MEGABITS: f64 = 5.0;
const BEFORE: f64 = 20.0;
/// In the middle of that time answers are late by so much, on all links, for so many seconds: somebody else's traffic, or a
/// busy machine.
const LATE: Duration = Duration::from_millis(40);
const LATE_FOR: f64 = 2.0;
const SEEDS: u64 = 40;

/// When all links are slow by so much and for so many seconds, from the beginning of a flow: shortly before the link that it uses
/// begins to lose something, at the same time, and after that.
const SLOW: [(f64, Duration, f64); 4] = [
    (0.2, Duration::from_millis(40), 0.5),
    (0.2, Duration::from_millis(150), 0.5),
    (0.6, LATE, LATE_FOR),
    (3.0, LATE, LATE_FOR),
];
const LOSES_FROM: f64 = 1.2;

/// Tenths of a second until nothing is sent over the link, after it loses more than 5 %; less than zero if before.
fn left_after(base: BasePolicy, peer: Peer, late: Duration, seed: u64) -> i32 {
    let links = vec![Link::new(1000.0); LINKS];
    let settings = PolicySettings::standard(base);
    let mut network = Network::with_ports(settings, peer, &links, PORTS, seed);
    network.seconds(16.0);
    network.start_paced(1, MEGABITS);
    network.seconds(BEFORE / 2.0);
    network
        .links
        .values_mut()
        .for_each(|link| link.delay += late);
    network.seconds(LATE_FOR);
    network
        .links
        .values_mut()
        .for_each(|link| link.delay -= late);
    network.seconds(BEFORE / 2.0);
    let spreads = base == BasePolicy::BalanceRr;
    let wire = |network: &Network| network.flows[0].path.map(|path| path.0 % PORT);
    let link = wire(&network).expect("it sends");
    for tenth in 0..300 {
        let second = f64::from(tenth / 10);
        network.link(link).loss = (0.02 * second).min(0.2);
        network.seconds(0.1);
        let is_left = if spreads {
            (0..PORTS).all(|port| network.target(link + PORT * port) == 0.0)
        } else {
            wire(&network) != Some(link)
        };
        if is_left {
            // It loses 6 % from the fourth second on.
            return tenth + 1 - 30;
        }
    }
    panic!("{base}, {peer:?}, seed {seed}: never\n{}", network.text());
}

/// The median and the longest of the times after which a link is left, at most, in tenths of a second.
fn is_left_within([usual, longest]: [i32; 2], peer: Peer, late: Duration) {
    for base in [
        BasePolicy::ActiveBackup,
        BasePolicy::BalanceRr,
        BasePolicy::BalanceXor,
        BasePolicy::BalanceAware,
    ] {
        let mut times: Vec<i32> = (0..SEEDS)
            .map(|seed| left_after(base, peer, late, seed))
            .collect();
        times.sort_unstable();
        let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{peer:?}, {base}, late by {late:?}: {median}, {last} tenths of a second");
        assert!(
            median <= usual && last <= longest,
            "{peer:?}, {base}: {times:?}"
        );
    }
}

#[test]
fn a_link_with_growing_loss_is_left_in_time() {
    is_left_within([20, 30], Peer::Own, Duration::ZERO);
    // The requirement allows ten seconds: reports come two seconds apart, and later on a busy machine.
    is_left_within([40, 70], Peer::Stock, Duration::ZERO);
}

/// What a link carried while a queue was felt is not what fits if as much arrives without one.
#[test]
fn a_link_that_was_slow_once_is_left_as_soon() {
    is_left_within([20, 30], Peer::Own, LATE);
    is_left_within([40, 70], Peer::Stock, LATE);
}

/// A flow begins, and after a moment its link begins to lose. Tenths of a second as above for three such flows with twelve seconds
/// between; the first sees all links become slow for a while.
fn left_one_after_the_other(
    peer: Peer,
    megabits: f64,
    (slow_at, late, slow_for): (f64, Duration, f64),
    seed: u64,
) -> [i32; 3] {
    let links = vec![Link::new(1000.0); LINKS];
    let settings = PolicySettings::standard(BasePolicy::BalanceAware);
    let mut network = Network::with_ports(settings, peer, &links, PORTS, seed);
    network.seconds(16.0 + 0.1 * seed as f64);
    [0, 1, 2].map(|number| {
        network.seconds(12.0);
        network.start_paced(1, megabits);
        let flow = network.flows.len() - 1;
        let wire = |network: &Network| network.flows[flow].path.map(|path| path.0 % PORT);
        let (mut lossy, mut left, mut tenth) = (None, None, 0);
        let tenths = |seconds: f64| (seconds * 10.0) as i32;
        let is_slow =
            |tenth| number == 0 && (tenths(slow_at)..tenths(slow_at + slow_for)).contains(&tenth);
        while (left.is_none() && tenth < 300) || is_slow(tenth) {
            for link in network.links.values_mut() {
                link.delay = Link::new(1000.0).delay
                    + if is_slow(tenth) {
                        late / 2
                    } else {
                        Duration::ZERO
                    };
            }
            let losing_for = tenth - tenths(LOSES_FROM);
            if losing_for >= 0 && left.is_none() {
                let link = *lossy.get_or_insert_with(|| wire(&network).expect("it sends"));
                network.link(link).loss = (0.02 * f64::from(losing_for / 10)).min(0.2);
            }
            network.seconds(0.1);
            tenth += 1;
            if left.is_none() && lossy.is_some() && lossy != wire(&network) {
                left = Some(losing_for + 1 - 30);
            }
        }
        network.links.values_mut().for_each(|link| {
            link.loss = 0.0;
            link.delay = Link::new(1000.0).delay;
        });
        network.flows[flow].is_over = true;
        left.unwrap_or(300)
    })
}

/// Whoever begins to send as links are slow has never been seen to arrive whole since.
#[test]
fn a_link_that_is_slow_as_a_flow_begins_is_left() {
    // Of a thin flow a zerotier-one reports far more packets than half of them, or fewer, and our own kind ten at a time.
    let flows = [
        (Peer::Own, MEGABITS, 80),
        (Peer::Stock, MEGABITS, 100),
        (Peer::Own, 1.0, 80),
        (Peer::Stock, 1.0, 100),
    ];
    for (peer, megabits, longest) in flows {
        for slow in SLOW {
            let times: Vec<_> = (0..SEEDS / 2)
                .map(|seed| left_one_after_the_other(peer, megabits, slow, seed))
                .collect();
            let last = times.iter().flatten().max().expect("seeds");
            println!("{peer:?}, {megabits} Mbit/s, slow {slow:?}: {last} tenths of a second");
            assert!(
                *last <= longest,
                "{peer:?}, {megabits} Mbit/s, slow {slow:?}: {times:?}"
            );
        }
    }
}
