//! Failures and what becomes of them, on virtual time.

mod support;

use std::time::Duration;

use bond::bond::LinkEvent;
use bond::config::{LinkSettings, MonitorStrategy};
use bond::{BasePolicy, BondState, Command, EventKind, PathId, Plan, PolicySettings};
use support::{World, one_primary, path};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn policy(base: BasePolicy) -> PolicySettings {
    PolicySettings::standard(base)
}

#[test]
fn black_hole_under_traffic_is_left_within_a_quarter_of_a_second() {
    for base in [
        BasePolicy::ActiveBackup,
        BasePolicy::BalanceRr,
        BasePolicy::BalanceXor,
        BasePolicy::BalanceAware,
    ] {
        for offset in [0, 7, 130, 333] {
            let mut world = World::new(policy(base), 2, false);
            world.sending = 400;
            world.receiving = 400;
            world.run(ms(5000 + offset));
            let id = world.bond.plan().paths()[0].0;
            world.cut(id);
            let time = world.time_to_leave(id, ms(2000)).expect("it is left");
            assert!(time <= ms(250), "{base}: {time:?}\n{}", world.text());
        }
    }
}

#[test]
fn stock_peer_is_left_within_700_ms_and_never_asked_too_fast() {
    for offset in [0, 50, 100, 150] {
        let mut world = World::new(policy(BasePolicy::ActiveBackup), 2, true);
        world.run(ms(5000 + offset));
        let id = world.active();
        world.cut(id);
        let time = world.time_to_leave(id, ms(3000)).expect("it is left");
        assert!(time <= ms(700), "{time:?}\n{}", world.text());
    }
}

/// Finding 4: what we send is lost, what the peer sends arrives.
#[test]
fn finding_4_one_way_failure_is_detected() {
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 2, false);
    world.seconds(5);
    let id = world.active();
    world.wire(id).there = false;
    let time = world.time_to_leave(id, ms(3000)).expect("it is left");
    assert!(time <= ms(350), "{time:?}");
    assert_eq!(
        world.count(|kind| matches!(kind, EventKind::OneWayFailure { .. })),
        1,
        "{}",
        world.text()
    );
    // Receiving goes on, and does not bring it back.
    world.seconds(5);
    assert_ne!(world.active(), id);
}

#[test]
fn one_way_load_alone_detects_a_failure() {
    let mut world = World::new(policy(BasePolicy::BalanceXor), 3, false);
    world.receiving = 0;
    world.sending = 300;
    world.seconds(5);
    world.cut(2);
    let time = world.time_to_leave(2, ms(3000)).expect("it is left");
    assert!(time <= ms(500), "{time:?}");
}

#[test]
fn idle_bond_notices_within_the_failover_interval_of_the_next_probe() {
    let mut settings = policy(BasePolicy::ActiveBackup);
    settings.monitor = MonitorStrategy::Active;
    let mut world = World::new(settings, 2, false);
    (world.sending, world.receiving) = (0, 0);
    world.seconds(60);
    let id = world.active();
    world.cut(id);
    let time = world.time_to_leave(id, ms(5000)).expect("it is left");
    assert!(time <= ms(1030), "{time:?}");
}

#[test]
fn lost_carrier_is_left_at_once_and_taken_back_soon() {
    let mut world = World::new(policy(BasePolicy::BalanceRr), 3, false);
    world.seconds(3);
    world
        .bond
        .handle_link_event(PathId(2), LinkEvent::Down, world.now);
    world.drain();
    assert!(!world.uses(2));
    world.cut(2);
    world.seconds(5);
    world.mend(2);
    world
        .bond
        .handle_link_event(PathId(2), LinkEvent::Up, world.now);
    let time = world.time_to_use(2, ms(5000)).expect("it comes back");
    assert!(time <= ms(100), "{time:?}");
    assert_eq!(world.bond.status(world.now).state, BondState::Healthy);
}

#[test]
fn errors_of_sending_count_only_if_they_mean_the_link() {
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 2, false);
    world.seconds(2);
    let id = world.active();
    world
        .bond
        .handle_link_event(PathId(id), LinkEvent::SendFailed(11), world.now);
    world.drain();
    assert_eq!(world.active(), id);
    world
        .bond
        .handle_link_event(PathId(id), LinkEvent::SendFailed(101), world.now);
    world.drain();
    assert_ne!(world.active(), id);
}

/// Finding 5: the primary link comes back and is used again.
#[test]
fn finding_5_primary_returns_with_always() {
    let mut world = World::new(one_primary(3), 3, false);
    world.seconds(3);
    assert_eq!(world.active(), 1);
    world.cut(1);
    world.seconds(10);
    assert_ne!(world.active(), 1);
    world.mend(1);
    let time = world.time_to_use(1, ms(5000)).expect("it comes back");
    assert!(time <= ms(1100), "{time:?}");
}

/// Finding 10: an interface that went away and came back with a new path.
#[test]
fn finding_10_replugged_interface_joins_again() {
    let mut world = World::new(policy(BasePolicy::BalanceXor), 3, false);
    world.seconds(3);
    world.bond.remove_path(PathId(3), world.now);
    world.wires.remove(&PathId(3));
    world.drain();
    assert!(!world.uses(3));
    world.seconds(5);
    world.add(bond::PathInfo {
        id: PathId(9),
        confirmed: false,
        ..path(3)
    });
    let time = world.time_to_use(9, ms(5000)).expect("it joins");
    assert!(time <= ms(500), "{time:?}");
    world.seconds(5);
    assert!(
        (world.part(9) - 1.0 / 3.0).abs() < 0.02,
        "{}",
        world.part(9)
    );
}

/// Finding 9: the peer has no bond and sends no QOS_MEASUREMENT; ours lives on.
#[test]
fn finding_9_one_sided_bond_lives() {
    let mut world = World::new(policy(BasePolicy::BalanceXor), 3, true);
    world.seconds(120);
    let status = world.bond.status(world.now);
    assert_eq!((status.alive_links, status.total_links), (3, 3));
    assert!(world.uses(1) && world.uses(2) && world.uses(3));
}

#[test]
fn flapping_link_is_punished() {
    let mut world = World::new(one_primary(2), 2, false);
    world.seconds(5);
    let before = world.plans.len();
    for _ in 0..60 {
        world.cut(1);
        world.run(ms(500));
        world.mend(1);
        world.run(ms(500));
    }
    let switches = world.plans.len() - before;
    assert!((1..=4).contains(&switches), "{switches}\n{}", world.text());
    assert_eq!(world.active(), 2);
    assert!(world.count(|kind| matches!(kind, EventKind::Punished { .. })) > 0);
    world
        .bond
        .command(Command::LinkReset("wan1".to_owned()), world.now)
        .expect("it has a path");
    world.seconds(3);
    assert_eq!(world.active(), 1);
}

/// So many ports of each of three links.
fn with_ports(ports: u32, base: BasePolicy, is_stock: bool) -> World {
    let mut world = World::new(policy(base), 0, is_stock);
    // The port in use is not the first by its number.
    for port in (0..ports).rev() {
        for link in 1..=3 {
            let mut path = path(link);
            path.id = PathId(link + 10 * port);
            path.local.set_port(9993 + port as u16);
            world.add(path);
        }
        world.seconds(1);
    }
    world
}

/// A link that fails is left, whatever port of it was asked first, and no port of it takes the place of another.
#[test]
fn ports_of_a_flapping_link_are_punished_together() {
    for base in [
        BasePolicy::ActiveBackup,
        BasePolicy::BalanceRr,
        BasePolicy::BalanceXor,
        BasePolicy::BalanceAware,
    ] {
        for (case, half_period) in (0..24).map(|case| (case, ms(400 + 10 * case))) {
            let mut world = with_ports(2, base, case % 2 == 0);
            world.run(ms(5000 + 37 * case));
            let link = world.bond.plan().paths()[0].0 % 10;
            let ports = [link, link + 10];
            let mut used = vec![true];
            for half in 0..60 {
                for port in ports {
                    match half % 2 {
                        0 => world.cut(port),
                        _ => world.mend(port),
                    }
                }
                world.run(half_period / 2);
                let sent = ports.map(|port| world.wire(port).data);
                world.run(half_period / 2);
                used.push(ports.map(|port| world.wire(port).data) != sent);
            }
            let switches = used.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(
                switches <= 4,
                "{base}, {case}: {switches}\n{}",
                world.text()
            );
        }
    }
}

/// However many ports of a link fail in an outage, and whether at once or one after the other.
#[test]
fn an_outage_counts_once_for_all_ports_of_a_link() {
    for (case, base) in [BasePolicy::ActiveBackup, BasePolicy::BalanceXor]
        .into_iter()
        .cycle()
        .take(16)
        .enumerate()
    {
        let mut world = with_ports(4, base, case % 4 < 2);
        world.run(ms(5000 + 61 * case as u64));
        let link = world.bond.plan().paths()[0].0 % 10;
        for outage in 0..3 {
            for port in (0..4).map(|port| link + 10 * port) {
                world.cut(port);
            }
            world.seconds(10);
            for port in (0..4).map(|port| link + 10 * port) {
                world.mend(port);
            }
            world.seconds(2);
            let owing = world
                .bond
                .status(world.now)
                .paths
                .into_iter()
                .filter(|path| path.punishment > Duration::ZERO);
            assert_eq!(
                owing.count(),
                0,
                "{base}, {case}, {outage}\n{}",
                world.text()
            );
            world.seconds(20);
        }
    }
}

#[test]
fn only_path_carries_in_spite_of_its_punishment() {
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 1, false);
    world.seconds(3);
    for _ in 0..5 {
        world.cut(1);
        world.seconds(2);
        world.mend(1);
        world.seconds(3);
    }
    assert_eq!(world.active(), 1);
    assert!(world.bond.status(world.now).paths[0].punishment > Duration::ZERO);
}

#[test]
fn much_loss_is_left_within_two_seconds() {
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 2, false);
    world.reports = true;
    world.seconds(5);
    let id = world.active();
    world.wire(id).one_in = 8;
    let time = world.time_to_leave(id, ms(10_000)).expect("it is left");
    assert!(time <= ms(2000), "{time:?}\n{}", world.text());
}

/// How much the others lose is known although they, too, carry too little to tell it from.
#[test]
fn links_that_lose_alike_are_not_left_as_the_traffic_ends() {
    for tenths in 0..10 {
        let mut world = World::new(policy(BasePolicy::BalanceRr), 3, false);
        world.reports = true;
        for id in 1..=3 {
            world.wire(id).one_in = 10;
        }
        world.sending = 300;
        world.run(ms(20_000 + 100 * tenths));
        world.sending = 0;
        world.seconds(30);
        let left = world.count(|event| matches!(event, EventKind::QualityAvoid { .. }));
        assert_eq!(left, 0, "{}", world.text());
    }
}

/// A path that loses two of five packets is the last choice, unless the operator allows that.
#[test]
fn the_limit_of_the_operator_counts_for_much_loss_too() {
    for (limit, leaves) in [(None, true), (Some(0.3), true), (Some(1.0), false)] {
        let mut settings = one_primary(2);
        settings.limits.loss = limit;
        let mut world = World::new(settings, 2, false);
        world.reports = true;
        world.seconds(5);
        let id = world.active();
        world.wire(id).one_in = 2;
        let left = world.time_to_leave(id, ms(20_000));
        assert_eq!(left.is_some(), leaves, "{limit:?}\n{}", world.text());
    }
}

#[test]
fn a_path_that_never_worked_is_not_used_while_another_works() {
    let mut world = World::new(policy(BasePolicy::BalanceAware), 2, false);
    world.add_dead(bond::PathInfo {
        confirmed: false,
        ..path(3)
    });
    for _ in 0..200 {
        world.run(ms(100));
        assert!(!world.uses(3));
    }
    assert_eq!(
        world.count(|kind| matches!(kind, EventKind::TrialEnded { proven: false, .. })),
        1
    );
}

#[test]
fn up_delay_holds_a_link_back_unless_it_is_the_only_one() {
    let mut settings = one_primary(2);
    settings.up_delay = ms(4000);
    let mut world = World::new(settings, 2, false);
    world.seconds(3);
    world.cut(1);
    world.seconds(3);
    world.mend(1);
    let time = world.time_to_use(1, ms(10_000)).expect("it comes back");
    assert!((ms(3900)..=ms(5100)).contains(&time), "{time:?}");
    world.cut(1);
    world.cut(2);
    world.seconds(5);
    world.mend(2);
    let time = world.time_to_use(2, ms(10_000)).expect("it comes back");
    assert!(time <= ms(1100), "{time:?}");
}

#[test]
fn idle_bond_costs_little() {
    let mut world = World::new(policy(BasePolicy::BalanceAware), 3, false);
    world.seconds(5);
    (world.sending, world.receiving) = (0, 0);
    world.seconds(95);
    let before: u64 = world.wires.values().map(|wire| wire.probes).sum();
    world.seconds(600);
    let probes = world.wires.values().map(|wire| wire.probes).sum::<u64>() - before;
    assert!(probes * 70 <= 10 * 600 * 3, "{probes}");
}

#[test]
fn no_path_is_no_plan_and_rules_that_refuse_all_are_told() {
    let mut settings = policy(BasePolicy::ActiveBackup);
    settings.links.push(LinkSettings::new("nosuch0"));
    let mut world = World::new(settings, 2, false);
    world.seconds(1);
    assert_eq!(*world.bond.plan(), Plan::Unreachable);
    assert_eq!(
        world.count(|kind| matches!(kind, EventKind::NoLink { .. })),
        1
    );
    assert_eq!(world.bond.status(world.now).paths.len(), 2);
}
