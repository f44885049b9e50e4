//! What an operator orders, asks or sets anew while a bond is at work, on virtual time.

mod support;

use bond::bond::LinkEvent;
use bond::config::{LinkMode, LinkSettings};
use bond::{BasePolicy, Command, EventKind, PathId, Plan, PolicySettings};
use support::{World, one_primary, path};

fn policy(base: BasePolicy) -> PolicySettings {
    PolicySettings::standard(base)
}

fn rotate(interface: Option<&str>) -> Command {
    Command::Rotate {
        interface: interface.map(str::to_owned),
        sticky: false,
    }
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
        let order = Command::SetPolicy(std::sync::Arc::new(settings));
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
        let settings = std::sync::Arc::new(policy(base));
        world
            .bond
            .command(Command::SetPolicy(settings), world.now)
            .expect("any policy will do");
        world.drain();
        assert_ne!(*world.bond.plan(), Plan::Unreachable, "{base}");
        world.seconds(1);
    }
}
