//! What an operator orders, asks or sets anew while a bond is at work, on virtual time.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bond::bond::LinkEvent;
use bond::config::{LinkMode, LinkSelectMethod, LinkSettings};
use bond::{BasePolicy, Command, EventKind, PathId, PathStatus, Plan, PolicySettings};
use support::{World, one_primary, path};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn policy(base: BasePolicy) -> PolicySettings {
    PolicySettings::standard(base)
}

fn rotate(interface: Option<&str>) -> Command {
    Command::Rotate {
        interface: interface.map(str::to_owned),
        sticky: false,
    }
}

/// An order that must be carried out, at this very moment.
fn order(world: &mut World, command: Command) {
    let answer = world.bond.command(command, world.now);
    assert!(answer.is_ok(), "{answer:?}\n{}", world.text());
    world.drain();
}

fn status_of(world: &World, id: u32) -> PathStatus {
    let paths = world.bond.status(world.now).paths;
    let own = paths.into_iter().find(|path| path.id == PathId(id));
    own.expect("a path of that number")
}

#[test]
fn rotation_moves_holds_and_refuses_with_a_reason() {
    let mut world = World::new(one_primary(3), 3, false);
    world.seconds(3);
    let text = world
        .bond
        .command(rotate(Some("wan3")), world.now)
        .expect("wan3 works");
    assert!(text.contains("wan3"), "{text}");
    world.drain();
    assert_eq!(world.active(), 3);
    world.seconds(55);
    assert_eq!(world.active(), 3);
    world.seconds(7);
    assert_eq!(world.active(), 1, "{}", world.text());
    let reason = world
        .bond
        .command(rotate(Some("wan7")), world.now)
        .expect_err("no such link");
    assert!(reason.contains("wan7"), "{reason}");
    let mut world = World::new(one_primary(1), 1, false);
    world.seconds(3);
    let reason = world
        .bond
        .command(rotate(None), world.now)
        .expect_err("nothing to rotate to");
    assert!(reason.contains("empty"), "{reason}");
    let mut world = World::new(policy(BasePolicy::BalanceRr), 2, false);
    let reason = world
        .bond
        .command(rotate(None), world.now)
        .expect_err("not active-backup");
    assert!(reason.contains("balance-rr"), "{reason}");
}

/// Rotates without a name: the head of the queue, which is `expected`, carries everything from that moment on.
fn rotate_to_head(world: &mut World, expected: u32) {
    let (before, now) = (world.active(), world.now);
    let queue = world.bond.status(now).queue;
    assert_eq!(queue.first(), Some(&PathId(expected)), "{queue:?}");
    let sent = world.wire(before).data;
    order(world, rotate(None));
    let plan = Plan::Single(PathId(expected));
    assert_eq!(world.plans.last(), Some(&(now, plan)), "{}", world.text());
    world.seconds(2);
    assert_eq!(world.active(), expected, "{}", world.text());
    assert_eq!(world.wire(before).data, sent, "packets to what was left");
    assert!(world.wires.values().all(|wire| wire.lost == 0));
}

#[test]
fn rotation_without_a_name_follows_the_operators_order() {
    let mut settings = one_primary(4);
    for (link, next) in [(1, "wan3"), (3, "wan4"), (4, "wan2")] {
        settings.links[link - 1].failover_to = Some(next.to_owned());
    }
    let mut world = World::new(settings, 4, false);
    world.sending = 500;
    world.seconds(3);
    assert_eq!(world.active(), 1);
    for expected in [3, 4, 2] {
        rotate_to_head(&mut world, expected);
    }
}

/// Without such an order who is better is next, and who does not work is not.
#[test]
fn rotation_without_a_name_goes_to_the_best_of_the_others() {
    let mut settings = policy(BasePolicy::ActiveBackup);
    settings.link_select = LinkSelectMethod::Failure;
    let mut world = World::new(settings, 4, false);
    world.sending = 500;
    for (id, delay) in [(2, 80), (3, 20), (4, 40)] {
        world.wire(id).delay = ms(delay);
    }
    world.seconds(20);
    assert_eq!(world.active(), 1);
    let queue = world.bond.status(world.now).queue;
    assert_eq!(queue, [3, 4, 2].map(PathId), "{}", world.text());
    world.cut(3);
    world.seconds(5);
    rotate_to_head(&mut world, 4);
    // The one that was left is the best that there is.
    rotate_to_head(&mut world, 1);
}

/// A rotation holds for a minute against the method of selection; a sticky one until its link fails.
#[test]
fn only_a_sticky_rotation_outlasts_its_minute() {
    for sticky in [false, true] {
        let mut world = World::new(one_primary(3), 3, false);
        world.seconds(3);
        let interface = Some("wan3".to_owned());
        order(&mut world, Command::Rotate { interface, sticky });
        world.seconds(59);
        assert_eq!(world.active(), 3, "{sticky}");
        world.seconds(3);
        let then = if sticky { 3 } else { 1 };
        assert_eq!(world.active(), then, "{}", world.text());
        world.seconds(600);
        assert_eq!(world.active(), then, "{}", world.text());
        // What was ordered is over with the link.
        world.cut(3);
        world.seconds(3);
        assert_eq!(world.active(), 1, "{}", world.text());
        world.mend(3);
        world.seconds(60);
        assert_eq!(world.active(), 1, "{}", world.text());
    }
}

/// What an operator orders is done or refused with a reason, not done and undone.
#[test]
fn rotation_holds_on_a_link_that_is_avoided_and_only_by_name() {
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 2, false);
    world.reports = true;
    world.seconds(3);
    let lossy = world.active();
    world.wire(lossy).one_in = 8;
    world.seconds(10);
    assert_ne!(world.active(), lossy, "{}", world.text());
    let reason = world
        .bond
        .command(rotate(None), world.now)
        .expect_err("the other one loses");
    let name = format!("wan{lossy}");
    assert!(
        reason.starts_with(&format!("{name} is avoided: loss 0.")),
        "{reason}"
    );
    world
        .bond
        .command(rotate(Some(&name)), world.now)
        .expect("it works");
    world.seconds(10);
    assert_eq!(world.active(), lossy, "{}", world.text());
    // Dead is worse than what the operator knew.
    world.cut(lossy);
    world.seconds(3);
    assert_ne!(world.active(), lossy, "{}", world.text());
    let reason = world
        .bond
        .command(rotate(Some(&name)), world.now)
        .expect_err("it is dead");
    assert!(reason.contains("does not work"), "{reason}");
}

#[test]
fn rotation_goes_to_another_link_and_no_path_looks_like_another() {
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 1, false);
    let second_port = bond::PathInfo {
        id: PathId(2),
        local: "10.78.1.1:9994".parse().expect("an address"),
        ..path(1)
    };
    world.add(second_port);
    world.seconds(3);
    let reason = world
        .bond
        .command(rotate(None), world.now)
        .expect_err("the other port is no other link");
    assert!(reason.contains("empty"), "{reason}");
    // One of the two ports is closed: the other takes over, and both are told apart.
    let before = world.active();
    world.cut(before);
    world.seconds(3);
    let after = world.active();
    assert_ne!(before, after);
    let switch = world
        .events
        .iter()
        .rev()
        .find_map(|event| match &event.kind {
            EventKind::ActiveChanged { from, to, .. } => Some((from.clone(), to.clone())),
            _ => None,
        });
    let (from, to) = switch.expect("it is told");
    assert_ne!(from, to);
    world.mend(before);
    world.add(path(3));
    world.seconds(10);
    assert!(world.active() < 3);
    world
        .bond
        .command(rotate(None), world.now)
        .expect("another link");
    world.drain();
    assert_eq!(world.active(), 3);
}

/// Finding 6: `enabled` has an effect, also when it changes at run time.
#[test]
fn finding_6_disabled_links_carry_nothing() {
    let mut world = World::new(policy(BasePolicy::BalanceRr), 3, false);
    world.seconds(3);
    let links = |world: &mut World, enabled: [bool; 3]| {
        let mut settings = policy(BasePolicy::BalanceRr);
        settings.links = ["wan1", "wan2", "wan3"]
            .into_iter()
            .zip(enabled)
            .map(|(name, enabled)| LinkSettings {
                mode: LinkMode::Primary,
                enabled,
                ..LinkSettings::new(name)
            })
            .collect();
        let order = Command::SetPolicy(Arc::new(settings));
        world.bond.command(order, world.now).expect("a policy");
        world.drain();
    };
    links(&mut world, [true, false, true]);
    assert!(world.uses(1) && !world.uses(2) && world.uses(3));
    links(&mut world, [false, true, true]);
    assert!(!world.uses(1) && world.uses(2));
    links(&mut world, [true; 3]);
    assert!(world.uses(1) && world.uses(2));
}

/// What a dry failover foretells is what happens.
#[test]
fn a_rehearsal_tells_what_a_failure_does() {
    for base in &BasePolicy::ALL[1..] {
        let mut world = World::new(policy(*base), 3, false);
        world.seconds(3);
        let rehearsed = world.bond.rehearse(world.now);
        assert!(!rehearsed.is_empty(), "{base}");
        for rehearsal in &rehearsed {
            assert!(!rehearsal.next.is_empty(), "{base}");
            assert!(!rehearsal.next.contains(&rehearsal.failing), "{base}");
        }
        let first = rehearsed[0].clone();
        world
            .bond
            .handle_link_event(first.failing, LinkEvent::Down, world.now);
        world.drain();
        let mut used: Vec<PathId> = world.bond.plan().paths().to_vec();
        used.sort();
        used.dedup();
        assert_eq!(used, first.next, "{base}");
    }
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 1, false);
    world.seconds(3);
    assert_eq!(world.bond.rehearse(world.now)[0].next, []);
}

#[test]
fn policy_changes_while_running() {
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 3, false);
    world.seconds(3);
    for base in BasePolicy::ALL {
        let settings = Arc::new(policy(base));
        world
            .bond
            .command(Command::SetPolicy(settings), world.now)
            .expect("any policy will do");
        world.drain();
        assert_ne!(*world.bond.plan(), Plan::Unreachable, "{base}");
        world.seconds(1);
    }
}

/// Runs until wan2 has answered all that it was asked, and some time is left until the next question.
fn all_answered(world: &mut World) {
    let asked = world.wire(2).probes;
    while world.wire(2).probes == asked {
        world.run(ms(1));
    }
    world.run(ms(25));
}

/// Has wan2 prove itself anew; it carries nothing from then on.
fn nominate(world: &mut World) {
    assert!(world.uses(2), "{}", world.text());
    order(world, Command::LinkNominate("wan2".to_owned()));
    assert_eq!(status_of(world, 2).condition, "trial");
    assert!(world.uses(1) && !world.uses(2) && world.uses(3));
}

#[test]
fn a_nominated_link_carries_nothing_until_it_has_answered() {
    for up_delay in [ms(0), ms(2000)] {
        let mut settings = policy(BasePolicy::BalanceRr);
        settings.up_delay = up_delay;
        let mut world = World::new(settings, 3, false);
        world.sending = 500;
        world.seconds(3);
        all_answered(&mut world);
        nominate(&mut world);
        let sent = world.wire(2).data;
        let took = world.time_to_use(2, ms(5000)).expect("it comes back");
        // It is asked at once, and answers 20 ms later.
        assert_eq!(took, up_delay + ms(20), "{}", world.text());
        assert_eq!(world.wire(2).data, sent);
        assert_eq!(status_of(&world, 2).condition, "up");
        let proven = |kind: &EventKind| matches!(kind, EventKind::TrialEnded { proven: true, .. });
        assert_eq!(world.count(proven), 1, "{}", world.text());
        world.seconds(1);
        assert!(world.wire(2).data > sent);
        assert!(world.wires.values().all(|wire| wire.lost == 0));
    }
}

#[test]
fn a_nominated_link_that_does_not_answer_has_failed_after_15_seconds() {
    let mut world = World::new(policy(BasePolicy::BalanceRr), 3, false);
    world.seconds(3);
    all_answered(&mut world);
    world.cut(2);
    nominate(&mut world);
    let start = world.now;
    let ended = |world: &World| {
        let mut events = world.events.iter();
        let unproven =
            |kind: &EventKind| matches!(kind, EventKind::TrialEnded { proven: false, .. });
        events
            .find(|event| unproven(&event.kind))
            .map(|event| event.at)
    };
    world.seconds(16);
    assert_eq!(
        ended(&world),
        Some(start + Duration::from_secs(15)),
        "{}",
        world.text()
    );
    assert_eq!(status_of(&world, 2).condition, "unproven");
    assert_eq!(world.wire(2).lost, 0, "it carried nothing");
    world.mend(2);
    let took = world.time_to_use(2, ms(5000)).expect("it comes back");
    assert!(took <= ms(1100), "{took:?}");
}

#[test]
fn a_link_whose_punishment_is_forgotten_works_at_once_and_another_waits() {
    let mut world = World::new(policy(BasePolicy::BalanceRr), 3, false);
    world.seconds(5);
    for _ in 0..3 {
        world.cut(1);
        world.cut(2);
        world.seconds(2);
        world.mend(1);
        world.mend(2);
        world.seconds(3);
    }
    for id in [1, 2] {
        let status = status_of(&world, id);
        assert_eq!(status.condition, "punished");
        assert!(status.punishment > Duration::from_secs(10), "{status:?}");
        assert!(!world.uses(id));
    }
    order(&mut world, Command::LinkReset("wan1".to_owned()));
    for _ in 0..2 {
        assert!(world.uses(1) && !world.uses(2), "{}", world.text());
        world.seconds(5);
    }
}

#[test]
fn a_link_whose_losses_are_forgotten_works_at_once() {
    for reset in [true, false] {
        let mut world = World::new(policy(BasePolicy::BalanceRr), 3, false);
        world.reports = true;
        world.sending = 300;
        world.seconds(3);
        world.wire(1).one_in = 8;
        let left = world.time_to_leave(1, ms(10_000));
        assert!(left.is_some(), "{}", world.text());
        assert_eq!(status_of(&world, 1).condition, "avoided");
        world.wire(1).one_in = 0;
        if reset {
            order(&mut world, Command::LinkReset("wan1".to_owned()));
        }
        for _ in 0..100 {
            assert_eq!(world.uses(1), reset, "{}", world.text());
            world.run(ms(10));
        }
    }
}

/// Settings that come while the bond works count from then on.
#[test]
fn the_up_delay_is_set_while_the_bond_works() {
    let mut world = World::new(one_primary(2), 2, false);
    world.seconds(3);
    for (delay, least, most) in [(3000, 3000, 4100), (0, 0, 1100), (6000, 6000, 7100)] {
        let mut settings = one_primary(2);
        settings.up_delay = ms(delay);
        order(&mut world, Command::SetPolicy(Arc::new(settings)));
        assert_eq!(world.active(), 1, "{}", world.text());
        world.cut(1);
        world.seconds(3);
        assert_eq!(world.active(), 2, "{}", world.text());
        world.mend(1);
        let took = world.time_to_use(1, ms(20_000)).expect("it comes back");
        assert!((ms(least)..=ms(most)).contains(&took), "{delay}: {took:?}");
        // What it owes for this failure is worked off before the next.
        world.seconds(20);
    }
}

/// Nothing else tells how long the only path may go unproven.
#[test]
fn the_failover_interval_is_set_while_the_bond_works() {
    let mut world = World::new(policy(BasePolicy::ActiveBackup), 1, false);
    world.seconds(3);
    for (interval, least, most) in [(4000, 2980, 4100), (500, 350, 1500), (8000, 5980, 8100)] {
        let mut settings = policy(BasePolicy::ActiveBackup);
        settings.failover_interval = ms(interval);
        order(&mut world, Command::SetPolicy(Arc::new(settings)));
        world.seconds(10);
        world.cut(1);
        let took = world.time_to_leave(1, ms(20_000)).expect("it is left");
        assert!(
            (ms(least)..=ms(most)).contains(&took),
            "{interval}: {took:?}"
        );
        world.mend(1);
        world.seconds(20);
        assert!(world.uses(1), "{}", world.text());
    }
}
