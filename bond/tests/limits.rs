//! Limits of the operator: who exceeds one is avoided while that is known, on virtual time.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bond::config::MonitorStrategy;
use bond::{BasePolicy, Command, EventKind, PolicySettings};
use support::World;

const NEAR: Duration = Duration::from_millis(5);
const FAR: Duration = Duration::from_millis(50);

fn settings() -> PolicySettings {
    let mut settings = PolicySettings::standard(BasePolicy::BalanceXor);
    settings.limits.latency = Some(20.0);
    settings
}

/// Two links, the second of which exceeds a limit of 20 ms; after 5 s.
fn world(stock: bool) -> World {
    let mut world = World::new(settings(), 2, stock);
    world.reports = !stock;
    world.wire(2).delay = FAR;
    world.seconds(5);
    assert!(world.uses(1) && !world.uses(2), "{}", world.text());
    world
}

fn returns(world: &World) -> usize {
    world.count(|kind| matches!(kind, EventKind::QualityOk { .. }))
}

#[test]
fn a_path_that_is_too_far_gets_no_chance_while_its_latency_is_known() {
    for stock in [false, true] {
        let mut world = world(stock);
        world.seconds(300);
        assert_eq!(returns(&world), 0, "{}", world.text());
        world.wire(2).delay = NEAR;
        world.seconds(60);
        assert!(returns(&world) == 1 && world.uses(2), "{}", world.text());
    }
}

/// Nothing is known of a path that is neither used nor asked: it must be tried to know more.
#[test]
fn a_path_of_which_nothing_is_known_any_more_gets_another_chance() {
    let mut world = world(true);
    let mut unasked = settings();
    unasked.monitor = MonitorStrategy::Passive;
    let order = Command::SetPolicy(Arc::new(unasked));
    world.bond.command(order, world.now).expect("a policy");
    world.seconds(100);
    assert_eq!(returns(&world), 0, "{}", world.text());
    world.wire(2).delay = NEAR;
    world.seconds(60);
    assert!(returns(&world) >= 1 && world.uses(2), "{}", world.text());
}
