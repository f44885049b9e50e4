//! Bonds with settings from the whole space of values that are taken, through happenings in any order.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bond::config::{
    BalancePolicy, IpPreference, LinkMode, LinkSelectMethod, LinkSettings, MonitorStrategy,
    QualityLimits, QualityWeights, RebalanceStrategy, Speed,
};
use bond::plan::SLOTS;
use bond::{BasePolicy, Command, HashPolicy, LinkEvent, PathId, Plan, PolicySettings};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use support::{Wire, World, path};

/// Paths of every bond, each on its own interface.
const PATHS: u32 = 4;
/// Most slots that a step moves besides those that have lost their path.
const STEP: usize = SLOTS / 10;

fn millis(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

/// Of all values of a time in ms mostly those that happen within a history.
fn any_delay(least: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![
        2 => Just(Duration::from_millis(least)),
        4 => millis(least..=3000),
        1 => millis(least..=65_535),
    ]
}

fn any_speed() -> impl Strategy<Value = Option<Speed>> {
    prop_oneof![
        3 => Just(None),
        1 => (0u32..=u32::MAX).prop_map(|speed| Some(Speed::Relative(speed))),
        1 => (1u64..1 << 40).prop_map(|bits| Some(Speed::BitsPerSecond(bits))),
    ]
}

fn any_link() -> impl Strategy<Value = LinkSettings> {
    let modes = [
        LinkMode::Primary,
        LinkMode::Primary,
        LinkMode::Secondary,
        LinkMode::Spare,
        LinkMode::Never,
    ];
    let preferences = [
        IpPreference::Any,
        IpPreference::OnlyV4,
        IpPreference::OnlyV6,
        IpPreference::V4First,
        IpPreference::V6First,
    ];
    let delays = (
        option::weighted(0.2, any_delay(50)),
        option::weighted(0.2, any_delay(0)),
        option::weighted(0.2, any_delay(0)),
    );
    (
        prop::sample::select(modes.to_vec()),
        prop::bool::weighted(0.9),
        prop::sample::select(preferences.to_vec()),
        any_speed(),
        option::weighted(0.2, 0.0f64..=255.0),
        option::of(576u16..=65_507),
        delays,
        0u32..3,
        option::weighted(0.2, 1u64..1 << 40),
    )
        .prop_map(
            |(mode, enabled, ip_preference, speed_up, allocation, mtu, delays, cost, max_rate)| {
                LinkSettings {
                    mode,
                    enabled,
                    ip_preference,
                    speed_up,
                    allocation,
                    mtu,
                    failover_interval: delays.0,
                    up_delay: delays.1,
                    down_delay: delays.2,
                    cost,
                    max_rate,
                    ..LinkSettings::new("")
                }
            },
        )
}

/// Some links with settings, each of which may fail over to a later one, so that there is no circle.
fn any_links() -> impl Strategy<Value = Vec<LinkSettings>> {
    let names = vec!["wan1", "wan2", "wan3", "wan4", "wan?", "eth9"];
    let chosen = prop::sample::subsequence(names, 0..=5);
    (chosen, vec((any_link(), any::<bool>()), 5)).prop_map(|(names, links)| {
        let mut all: Vec<LinkSettings> = Vec::new();
        let named = names.iter().zip(links).enumerate();
        for (place, (name, (mut link, fails_over))) in named {
            (*name).clone_into(&mut link.name);
            let next = names.get(place + 1).filter(|_| fails_over);
            link.failover_to = next.map(|next| (*next).to_owned());
            all.push(link);
        }
        all
    })
}

fn any_settings() -> impl Strategy<Value = PolicySettings> {
    let choices = (
        prop::sample::select(BasePolicy::ALL.to_vec()),
        prop::sample::select(vec![
            MonitorStrategy::Active,
            MonitorStrategy::Dynamic,
            MonitorStrategy::Passive,
        ]),
        prop::sample::select(vec![
            LinkSelectMethod::Always,
            LinkSelectMethod::Better,
            LinkSelectMethod::Failure,
            LinkSelectMethod::Optimize,
        ]),
        prop::sample::select(vec![
            BalancePolicy::FlowDynamic,
            BalancePolicy::FlowStatic,
            BalancePolicy::Packet,
            BalancePolicy::Auto,
        ]),
        prop::sample::select(vec![
            RebalanceStrategy::Passive,
            RebalanceStrategy::Opportunistic,
            RebalanceStrategy::Aggressive,
        ]),
    );
    // Of all limits many that the wires' 10 ms exceed, or nearly.
    let latency = prop_oneof![0.1f64..20.0, 0.1f64..1000.0];
    let limits = (
        option::weighted(0.2, latency),
        option::weighted(0.2, 0.1f64..1000.0),
        option::weighted(0.2, 0.001f64..=1.0),
        option::weighted(0.2, 0.001f64..=1.0),
    );
    let numbers = (any::<u16>(), any::<bool>());
    (
        choices,
        (any_delay(50), any_delay(0), any_delay(0)),
        vec(0.01f64..1.0, 6),
        limits,
        numbers,
        any_links(),
    )
        .prop_map(|(choices, delays, weights, limits, numbers, links)| {
            let part = |place: usize| weights[place] / weights.iter().sum::<f64>();
            PolicySettings {
                failover_interval: delays.0,
                up_delay: delays.1,
                down_delay: delays.2,
                monitor: choices.1,
                packets_per_link: numbers.0,
                link_select: choices.2,
                balance: choices.3,
                rebalance: choices.4,
                hash: HashPolicy::default(),
                deduplicate: numbers.1,
                quality: QualityWeights {
                    latency: part(0),
                    latency_max: part(1),
                    variation: part(2),
                    loss: part(3),
                    errors: part(4),
                    availability: part(5),
                },
                limits: QualityLimits {
                    latency: limits.0,
                    variation: limits.1,
                    loss: limits.2,
                    errors: limits.3,
                },
                links,
                ..PolicySettings::standard(choices.0)
            }
        })
}

/// Something that happens to a bond. Numbers are those of paths.
#[derive(Clone, Debug)]
enum Happening {
    Cut(u32),
    OneWay(u32, bool),
    Mend(u32),
    Loss(u32, u64),
    Capacity(u32, u64),
    Link(u32, LinkEvent),
    Forged(u32, u64),
    Remove(u32),
    Add(u32),
    Capped(u32),
    Traffic(u64, u64),
    Order(Command),
    Settings(Box<PolicySettings>),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let id = || 1..=PATHS;
    let name = || id().prop_map(|id| format!("wan{id}"));
    let rotate = (option::of(name()), any::<bool>())
        .prop_map(|(interface, sticky)| Command::Rotate { interface, sticky });
    let event = prop_oneof![
        Just(LinkEvent::Up),
        Just(LinkEvent::Down),
        (1i32..130).prop_map(LinkEvent::SendFailed),
    ];
    prop_oneof![
        3 => id().prop_map(Happening::Cut),
        2 => (id(), any::<bool>()).prop_map(|(id, there)| Happening::OneWay(id, there)),
        4 => id().prop_map(Happening::Mend),
        1 => (id(), 0u64..20).prop_map(|(id, one_in)| Happening::Loss(id, one_in)),
        1 => (id(), 1000u64..1 << 20).prop_map(|(id, rate)| Happening::Capacity(id, rate)),
        2 => (id(), event).prop_map(|(id, event)| Happening::Link(id, event)),
        1 => (id(), 0u64..1 << 40).prop_map(|(id, packets)| Happening::Forged(id, packets)),
        1 => id().prop_map(Happening::Remove),
        2 => id().prop_map(Happening::Add),
        1 => (0..=PATHS).prop_map(Happening::Capped),
        2 => (0u64..500, 0u64..500).prop_map(|(there, back)| Happening::Traffic(there, back)),
        1 => rotate.prop_map(Happening::Order),
        1 => name().prop_map(|name| Happening::Order(Command::LinkNominate(name))),
        1 => name().prop_map(|name| Happening::Order(Command::LinkReset(name))),
        1 => any_settings().prop_map(|settings| Happening::Settings(Box::new(settings))),
    ]
}

fn happen(world: &mut World, happening: Happening) {
    let now = world.now;
    match happening {
        Happening::Cut(id) => world.cut(id),
        Happening::OneWay(id, true) => world.wire(id).there = false,
        Happening::OneWay(id, false) => world.wire(id).back = false,
        Happening::Mend(id) => world.mend(id),
        Happening::Loss(id, one_in) => world.wire(id).one_in = one_in,
        Happening::Capacity(id, rate) => world.wire(id).capacity = Some(rate),
        Happening::Link(id, event) => world.bond.handle_link_event(PathId(id), event, now),
        Happening::Forged(id, packets) => world.bond.handle_forged(PathId(id), packets, now),
        Happening::Remove(id) => world.bond.remove_path(PathId(id), now),
        Happening::Add(id) => {
            let status = world.bond.status(now);
            if status.paths.iter().all(|path| path.id != PathId(id)) {
                world.wires.insert(PathId(id), Wire::default());
                world.add(path(id));
            }
        }
        Happening::Capped(id) => {
            let capped = BTreeSet::from([format!("wan{id}")]);
            world.bond.set_capped(Arc::new(capped));
        }
        Happening::Traffic(there, back) => (world.sending, world.receiving) = (there, back),
        Happening::Order(order) => {
            // An order may be one that this bond cannot follow: then it says why.
            if let Err(reason) = world.bond.command(order, now) {
                assert!(!reason.is_empty());
            }
        }
        Happening::Settings(settings) => {
            let order = Command::SetPolicy(Arc::new(*settings));
            world.bond.command(order, now).expect("a policy");
        }
    }
    world.drain();
}

fn owners(plan: &Plan<PathId>) -> Option<Vec<PathId>> {
    matches!(plan, Plan::Slots { .. }).then(|| plan.paths())
}

/// What holds of a plan at any time.
fn check_plan(world: &World) {
    let status = world.bond.status(world.now);
    let sum: f64 = status.paths.iter().map(|path| path.allocation).sum();
    let plan = world.bond.plan();
    let expected = f64::from(u8::from(*plan != Plan::Unreachable));
    let text = || {
        format!(
            "{:#?}\n{status:#?}\n{}",
            world.bond.settings(),
            world.text()
        )
    };
    assert!((sum - expected).abs() < 1e-6, "{sum}: {}", text());
    let known: BTreeMap<PathId, _> = status.paths.iter().map(|path| (path.id, path)).collect();
    for id in BTreeSet::from_iter(plan.paths()) {
        let path = known
            .get(&id)
            .unwrap_or_else(|| panic!("{id:?}: {}", text()));
        let is_out = ["refused", "no carrier", "down"].contains(&path.condition);
        assert!(
            path.mode != LinkMode::Never && !is_out,
            "{id:?} is {}: {}",
            path.condition,
            text()
        );
    }
}

/// Of the slots whose path remains none moves when another path leaves, but for those of one ordinary step.
fn check_moves(before: &[PathId], after: &[PathId], what: &str) {
    let remaining: BTreeSet<PathId> = after.iter().copied().collect();
    let moved = before
        .iter()
        .zip(after)
        .filter(|(old, new)| old != new && remaining.contains(old))
        .count();
    assert!(moved <= STEP, "{moved} slots: {what}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(120) })]

    /// Whatever is set and whatever happens: nothing panics, shares sum to one, no plan names a path that is out, and flows
    /// stay where they are unless their path leaves or a step of rebalancing moves them.
    #[test]
    fn plans_are_sound_under_all_settings_and_histories(
        settings in any_settings(),
        stock in any::<bool>(),
        reports in any::<bool>(),
        history in vec((any_happening(), 1u64..3000), 1..24),
    ) {
        let mut world = World::new(settings, PATHS, stock);
        world.reports = reports && !stock;
        world.run(Duration::from_millis(1500));
        for (happening, pause) in history {
            let is_order = matches!(happening, Happening::Settings(_));
            let seen = world.plans.len();
            let before = owners(world.bond.plan());
            happen(&mut world, happening);
            check_plan(&world);
            world.run(Duration::from_millis(pause));
            check_plan(&world);
            // Another policy may place everything anew.
            let mut last = before.filter(|_| !is_order);
            for (_, plan) in &world.plans[seen..] {
                let next = owners(plan);
                if let (Some(last), Some(next)) = (&last, &next) {
                    check_moves(last, next, &world.text());
                }
                last = next;
            }
        }
    }

    /// Whatever is set: while nothing happens nothing moves, and whoever has a share has slots or turns.
    #[test]
    fn without_a_cause_nothing_moves_and_nobody_starves(mut settings in any_settings(), stock in any::<bool>()) {
        // Without probes a silent peer is a cause.
        if settings.monitor == MonitorStrategy::Passive {
            settings.monitor = MonitorStrategy::Active;
        }
        // A path is taken, and one that exceeds a limit is left, so much later.
        let longest = |own: Duration, delay: fn(&LinkSettings) -> Option<Duration>| {
            settings.links.iter().filter_map(delay).fold(own, Duration::max)
        };
        let up_delay = longest(settings.up_delay, |link| link.up_delay);
        let down_delay = longest(settings.down_delay, |link| link.down_delay);
        let mut world = World::new(settings, PATHS, stock);
        world.reports = !stock;
        world.run(up_delay + down_delay + Duration::from_secs(30));
        let settled = world.plans.len();
        // Longer than an avoided path waits for another chance.
        world.run(Duration::from_secs(70));
        check_plan(&world);
        let text = || format!("{:#?}\n{}", world.bond.settings(), world.text());
        prop_assert_eq!(world.plans.len(), settled, "{}", text());
        let status = world.bond.status(world.now);
        let plan = world.bond.plan().paths();
        // A slot or a turn at the least.
        for path in status.paths.iter().filter(|path| path.allocation > 0.02) {
            prop_assert!(plan.contains(&path.id), "{:?}: {}", path.id, text());
        }
    }
}
