//! How long failures of a path that carries traffic take to be noticed, at a hundred phases each, on virtual time.

mod support;

use std::time::Duration;

use bond::{BasePolicy, DeliveryReport, Output, PolicySettings};
use support::World;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn policy(base: BasePolicy) -> PolicySettings {
    PolicySettings::standard(base)
}

/// What `trials` of one failure took: the median and the 99th percentile.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    (at(0.5), at(0.99))
}

/// Times from a failure to the plan without it, at a hundred phases of probes and packets.
fn detection(
    base: BasePolicy,
    stock: bool,
    rates: (u64, u64),
    fail: impl Fn(&mut World, u32),
) -> (Duration, Duration) {
    let mut times = Vec::new();
    for trial in 0..100 {
        let mut world = World::new(policy(base), 3, stock);
        (world.sending, world.receiving) = rates;
        world.run(ms(2000 + trial * 37 % 1009));
        let id = world.bond.plan().paths()[0].0;
        fail(&mut world, id);
        times.push(world.time_to_leave(id, ms(5000)).expect("it is left"));
    }
    let percentiles = percentiles(times);
    println!("{base}, stock {stock}, {rates:?} packets/s: {percentiles:?}");
    percentiles
}

const POLICIES: [BasePolicy; 4] = [
    BasePolicy::ActiveBackup,
    BasePolicy::BalanceRr,
    BasePolicy::BalanceXor,
    BasePolicy::BalanceAware,
];

#[test]
fn row_1_black_hole_under_traffic() {
    for base in POLICIES {
        for rate in [50, 1000] {
            let (median, high) = detection(base, false, (rate, rate), |w, id| w.cut(id));
            assert!(median <= ms(100) && high <= ms(250), "{base} {rate}");
            if base == BasePolicy::BalanceRr || base == BasePolicy::BalanceAware {
                continue;
            }
            let (median, high) = detection(base, true, (rate, rate), |w, id| w.cut(id));
            assert!(median <= ms(500) && high <= ms(700), "{base} {rate}");
        }
    }
}

#[test]
fn row_2_black_hole_under_load_one_way() {
    for base in POLICIES {
        for rate in [50, 300] {
            let (median, high) = detection(base, false, (rate, 0), |w, id| w.cut(id));
            assert!(median <= ms(300) && high <= ms(500), "{base} {rate}");
            let (median, high) = detection(base, true, (rate, 0), |w, id| w.cut(id));
            assert!(median <= ms(600) && high <= ms(900), "{base} {rate}");
        }
    }
}

#[test]
fn row_5_one_direction_fails() {
    for base in POLICIES {
        let there = |w: &mut World, id| w.wire(id).there = false;
        let (median, high) = detection(base, false, (100, 100), there);
        assert!(median <= ms(200) && high <= ms(350), "{base}");
        let (_, high) = detection(base, true, (100, 100), there);
        assert!(high <= ms(1000), "{base}");
        let back = |w: &mut World, id| w.wire(id).back = false;
        let (median, high) = detection(base, false, (100, 100), back);
        assert!(median <= ms(200) && high <= ms(350), "{base}");
        let (_, high) = detection(base, true, (100, 100), back);
        assert!(high <= ms(1000), "{base}");
    }
}

/// Row 3: an idle bond's first packets are doubled, so that none is lost whichever path failed meanwhile, and only they.
#[test]
fn row_3_first_packets_after_a_pause_survive_any_failure() {
    for base in POLICIES {
        for id in 1..=3 {
            for pause in [1600, 5000, 40_000] {
                let mut world = World::new(policy(base), 3, false);
                (world.sending, world.receiving) = (100, 0);
                world.run(ms(3000));
                world.sending = 0;
                world.run(ms(pause));
                world.cut(id);
                let sent: u64 = world.wires.values().map(|wire| wire.data).sum();
                world.sending = 100;
                // Ten packets: each must have arrived on one path at least.
                for _ in 0..10 {
                    let arrived: u64 = world.wires.values().map(|w| w.data - w.lost).sum();
                    world.run(ms(10));
                    let after: u64 = world.wires.values().map(|w| w.data - w.lost).sum();
                    assert!(after > arrived, "{base}, path {id}\n{}", world.text());
                }
                world.run(ms(1000));
                let doubled: u64 = world.wires.values().map(|wire| wire.data).sum::<u64>() - sent;
                assert!(doubled <= 110 + 30, "{base}: {doubled}");
            }
        }
    }
    // Towards 1.14.1, which delivers copies, nothing is doubled.
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 3, true);
    world.run(ms(1000));
    (world.sending, world.receiving) = (0, 0);
    world.run(ms(10_000));
    assert_eq!(world.bond.plan().paths().len(), 1);
}

/// The peer may have sent too little on a path to notice that it failed.
#[test]
fn whoever_learns_of_a_failure_by_a_report_reports_as_well() {
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 3, false);
    (world.sending, world.receiving) = (100, 100);
    world.run(ms(2000));
    let path = world.bond.plan().paths()[0];
    let missing = DeliveryReport {
        bytes: 0,
        packets: 0,
        lost: 0,
        interval: ms(100),
        latest_sent: None,
        unreported: 5,
        oldest_unreported: Some(world.now),
        silence: ms(100),
    };
    world.run(ms(1));
    let now = world.now + ms(100);
    world.bond.handle_delivery_report(path, &missing, now);
    let outputs = std::iter::from_fn(|| match world.bond.poll(now) {
        Output::Timeout(_) => None,
        output => Some(output),
    });
    assert!(outputs.take(100).any(|output| output == Output::Report));
}
