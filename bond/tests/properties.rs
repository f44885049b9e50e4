//! What must hold for every policy and every combination of paths.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bond::config::{BalancePolicy, LinkMode, RebalanceStrategy, Speed};
use bond::plan::SLOTS;
use bond::policy::allocation::{Basis, Shares, shares};
use bond::policy::placement::Balance;
use bond::policy::slots::{Mobility, SlotTable, quotas};
use bond::policy::{Fitness, View, balance_rr, candidates};
use bond::{BasePolicy, PathId, Plan, PolicySettings};
use proptest::prelude::*;
use protocol::Instant;
use support::World;

fn any_view(id: u32) -> impl Strategy<Value = View> {
    let fitness = prop_oneof![
        4 => Just(Fitness::Fit),
        1 => Just(Fitness::Avoided),
        1 => Just(Fitness::Waiting),
        1 => Just(Fitness::Lossy),
        1 => Just(Fitness::Trial),
        2 => Just(Fitness::Unusable),
    ];
    let mode = prop_oneof![
        4 => Just(LinkMode::Primary),
        1 => Just(LinkMode::Secondary),
        1 => Just(LinkMode::Spare),
        1 => Just(LinkMode::Never),
    ];
    let declared = prop_oneof![
        Just(None),
        (0u32..1000).prop_map(|speed| Some(Speed::Relative(speed))),
        (1u64..1 << 40).prop_map(|bits| Some(Speed::BitsPerSecond(bits))),
    ];
    let share = prop::option::of(0.0f64..255.0);
    (
        fitness,
        mode,
        declared,
        share,
        0u8..4,
        0.0f64..=1.0,
        any::<bool>(),
        prop::option::of(0u64..1 << 40),
    )
        .prop_map(
            move |(fitness, mode, declared, allocation, link, quality, preferred, measured)| View {
                id: PathId(id),
                link: format!("wan{link}"),
                hardware_address: None,
                max_rate: None,
                destination: format!("10.0.0.{}", id % 3),
                mode,
                fitness,
                preferred,
                quality,
                latency: Some(Duration::from_millis(u64::from(id) * 7 % 50)),
                least_latency: Some(Duration::from_millis(10)),
                variation: Duration::from_millis(1),
                declared,
                measured,
                reached: u64::from(id) << 20,
                is_used: false,
                is_metered: false,
                full_since: None,
                queues: false,
                allocation,
                sent_rate: 0.0,
                failover_to: None,
            },
        )
}

fn any_views() -> impl Strategy<Value = Vec<View>> {
    (0usize..8).prop_flat_map(|count| (0..count as u32).map(any_view).collect::<Vec<_>>())
}

fn owners(table: &SlotTable) -> Vec<PathId> {
    (0..SLOTS).filter_map(|slot| table.owner(slot)).collect()
}

fn moved(before: &[PathId], after: &[PathId]) -> usize {
    before.iter().zip(after).filter(|(a, b)| a != b).count()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn shares_sum_to_one_and_nobody_starves(views in any_views()) {
        let paths = candidates(&views, false);
        for basis in [Basis::Equal, Basis::Capacity, Basis::CapacityAndQuality] {
            let shares = shares(&paths, basis);
            prop_assert_eq!(shares.len(), paths.len());
            let sum: f64 = shares.values().sum();
            prop_assert!(paths.is_empty() || (sum - 1.0).abs() < 1e-9, "{}", sum);
            prop_assert!(shares.values().all(|share| share.is_finite() && *share >= 0.0));
            let declared_zero = |view: &View| view.allocation == Some(0.0);
            for view in paths.iter().filter(|view| !declared_zero(view)) {
                prop_assert!(shares[&view.id] > 0.0);
            }
            let slots: usize = quotas(&shares).iter().map(|(_, quota)| quota).sum();
            prop_assert_eq!(slots, if paths.is_empty() { 0 } else { SLOTS });
            prop_assert!(quotas(&shares).iter().all(|(id, quota)| *quota > 0 || shares[id] == 0.0));
        }
    }

    #[test]
    fn a_path_is_used_only_if_no_fitter_one_exists(views in any_views()) {
        let chosen = candidates(&views, false);
        let usable = |view: &&View| view.fitness != Fitness::Unusable && view.mode != LinkMode::Never;
        let best = views.iter().filter(usable).map(|view| view.fitness).min();
        prop_assert_eq!(chosen.first().map(|view| view.fitness), best);
        prop_assert!(chosen.iter().all(|view| Some(view.fitness) == best));
    }

    /// Failover is monotone: when a path fails, no other path that carries traffic leaves, each keeps all its slots, and where
    /// shares divide what is known none of the others falls.
    #[test]
    fn failover_is_monotone(mut views in any_views(), victim in any::<prop::sample::Index>(), measured in any::<bool>()) {
        // Every second time each path has a link and a measured capacity of its own.
        for view in views.iter_mut().filter(|_| measured) {
            view.link = format!("wan{}", view.id.0);
            view.measured = view.measured.or(Some(view.reached.max(1)));
            (view.declared, view.allocation) = (None, None);
        }
        let ids = |paths: &[&View]| paths.iter().map(|view| view.id).collect::<Vec<_>>();
        let before = candidates(&views, false);
        prop_assume!(!before.is_empty());
        let victim = before[victim.index(before.len())].id;
        let mut failed = views.clone();
        for view in failed.iter_mut().filter(|view| view.id == victim) {
            view.fitness = Fitness::Unusable;
        }
        let after = candidates(&failed, false);
        prop_assert!(!ids(&after).contains(&victim));
        prop_assert!(ids(&before).iter().all(|id| *id == victim || ids(&after).contains(id)));
        for basis in [Basis::Equal, Basis::Capacity, Basis::CapacityAndQuality] {
            let (old, new) = (shares(&before, basis), shares(&after, basis));
            let mut table = SlotTable::default();
            table.retarget(&old, Instant::from_millis(1000));
            let had = owners(&table);
            table.retarget(&new, Instant::from_millis(2000));
            let has = owners(&table);
            for (slot, (old, new)) in had.iter().zip(&has).enumerate() {
                prop_assert!(old == new || *old == victim, "slot {} of {:?}", slot, old);
            }
            // What is unknown is guessed from the others, whose number falls; and of two paths of a link the one that remains
            // has its capacity for itself.
            let is_even = basis == Basis::Equal && views.iter().all(|view| view.allocation.is_none());
            if is_even || measured {
                for (id, share) in new.iter().filter(|(id, _)| old.contains_key(id)) {
                    prop_assert!(*share >= old[id] - 1e-12, "{:?}: {} after {}", id, share, old[id]);
                }
            }
        }
    }

    #[test]
    fn rotation_follows_the_shares(views in any_views()) {
        let paths = candidates(&views, false);
        let shares = shares(&paths, Basis::Capacity);
        let Plan::Rotate { paths: turns, .. } = balance_rr::plan(&views, false, true, 8, &Plan::Unreachable) else {
            return Ok(());
        };
        prop_assert!(turns.len() <= 64 + shares.len());
        for (path, share) in shares.iter() {
            let count = turns.iter().filter(|turn| *turn == path).count();
            prop_assert!(count > 0 || *share == 0.0);
            let part = count as f64 / turns.len() as f64;
            prop_assert!((part - share).abs() < 0.13, "{} for {}", part, share);
        }
    }

    /// A failure moves the slots of the failed path and no others; recovery gives back its share step by step.
    #[test]
    fn failure_moves_only_what_it_must(weights in prop::collection::vec(0.05f64..1.0, 2..6), victim in 0usize..6) {
        let sum: f64 = weights.iter().sum();
        let all: Shares =
            weights.iter().enumerate().map(|(id, weight)| (PathId(id as u32), weight / sum)).collect();
        let victim = PathId((victim % weights.len()) as u32);
        let rest_sum = 1.0 - all[&victim];
        let rest: Shares =
            all.iter().filter(|(id, _)| **id != victim).map(|(id, share)| (*id, share / rest_sum)).collect();
        let mut table = SlotTable::default();
        let mut now = Instant::from_millis(1000);
        table.retarget(&all, now);
        let before = owners(&table);
        for (id, quota) in quotas(&all) {
            prop_assert_eq!(table.count(id), quota);
        }
        let gone = table.retarget(&rest, now).expect("a path is lost");
        let after = owners(&table);
        prop_assert!(!after.contains(&victim));
        prop_assert_eq!(gone, moved(&before, &after));
        prop_assert!(before.iter().zip(&after).all(|(old, new)| old == new || *old == victim));
        // Nothing else moves, except to even out what rounding and changed shares ask for.
        let mobility = Mobility { strategy: RebalanceStrategy::Opportunistic, pause: Duration::from_millis(250), balance: Balance::Off };
        for _ in 0..40 {
            now = now + Duration::from_millis(250);
            table.step(mobility, &[], now);
        }
        let settled = owners(&table);
        prop_assert!(moved(&after, &settled) <= 8, "{}", moved(&after, &settled));
        // Recovery.
        table.retarget(&all, now);
        prop_assert_eq!(&owners(&table), &settled);
        let mut last = settled;
        let mut steps = 0;
        while table.next_step(Balance::Off, false).is_some() && steps < 60 {
            now = now + Duration::from_millis(250);
            table.step(mobility, &[], now);
            let next = owners(&table);
            prop_assert!(moved(&last, &next) <= SLOTS / 10);
            last = next;
            steps += 1;
        }
        for (id, quota) in quotas(&all) {
            prop_assert_eq!(table.count(id), quota);
        }
        // And then rest.
        now = now + Duration::from_secs(60);
        prop_assert_eq!(table.step(mobility, &[], now), None);
        prop_assert_eq!(table.retarget(&all, now), None);
    }
}

/// Finding 2: Linux clients have even ports. Two links share their flows all the same.
#[test]
fn finding_2_even_ports_are_spread_over_two_links() {
    let shares = Shares::from_iter([(PathId(1), 0.5), (PathId(2), 0.5)]);
    let mut table = SlotTable::default();
    table.retarget(&shares, Instant::ZERO);
    let owners = owners(&table);
    let mut header = [0u8; 14];
    header[12] = 8;
    let mut frame = [0u8; 40];
    (frame[0], frame[9]) = (0x45, 6);
    frame[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    frame[22..24].copy_from_slice(&5201u16.to_be_bytes());
    let mut worst = 1.0f64;
    for base in (32_768u16..60_000).step_by(512) {
        let mut first = 0;
        for flow in 0..64 {
            frame[20..22].copy_from_slice(&(base + 2 * flow).to_be_bytes());
            let hash = bond::flow::hash_frame(bond::HashPolicy::default(), &header, &frame);
            first += usize::from(owners[hash as usize % SLOTS] == PathId(1));
        }
        let part = first as f64 / 64.0;
        worst = worst.min(part.min(1.0 - part));
    }
    assert!(worst > 0.2, "{worst}");
}

/// Finding 6: `packetsPerLink` counts; finding 11 and capacities are with the policies.
#[test]
fn finding_6_packets_per_link_is_the_length_of_a_run() {
    for packets in [1, 8, 64] {
        let mut settings = PolicySettings::standard(BasePolicy::BalanceRr);
        settings.packets_per_link = packets;
        let world = World::new(settings, 2, false);
        let mut cursor = bond::Cursor::default();
        let picks: Vec<_> = (0..4 * usize::from(packets))
            .map(|_| format!("{:?}", world.bond.plan().pick(0, &mut cursor)))
            .collect();
        for run in picks.chunks(usize::from(packets)) {
            assert!(run.iter().all(|pick| *pick == run[0]));
        }
        assert_ne!(picks[0], picks[usize::from(packets)]);
    }
}

/// Finding 3: the capacity of a link falls under load, and the share follows.
#[test]
fn finding_3_shares_follow_measured_capacity() {
    let mut settings = PolicySettings::standard(BasePolicy::BalanceAware);
    settings.rebalance = RebalanceStrategy::Aggressive;
    let mut world = World::new(settings, 2, false);
    world.reports = true;
    world.sending = 1000;
    world.seconds(10);
    assert!((world.part(1) - 0.5).abs() < 0.1, "{}", world.part(1));
    // A tenth of half a megabyte per second fits from now on.
    world.wire(2).capacity = Some(50_000);
    world.seconds(5);
    assert!(world.part(2) < 0.2, "{}\n{}", world.part(2), world.text());
}

/// Links fail and come back in every order under every policy: a path that does not work is never in the plan for long while
/// another works, and the bond always comes to rest.
#[test]
fn no_dead_path_in_the_plan_while_another_lives() {
    let mut random = 0x1234_5678_9abc_def1u64;
    let mut draw = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for base in BasePolicy::ALL {
        for round in 0..4 {
            let mut settings = PolicySettings::standard(base);
            settings.failover_interval = Duration::from_millis([50, 250, 1000, 5000][round]);
            settings.balance = [
                BalancePolicy::FlowDynamic,
                BalancePolicy::FlowStatic,
                BalancePolicy::Packet,
                BalancePolicy::Auto,
            ][round];
            let interval = settings.failover_interval;
            let mut world = World::new(settings, 4, round == 3);
            world.reports = round != 3;
            world.seconds(2);
            for _ in 0..12 {
                let id = draw(4) as u32 + 1;
                if draw(2) == 0 {
                    world.cut(id);
                } else {
                    world.mend(id);
                }
                world.run(2 * interval + Duration::from_millis(1200));
                let dead: Vec<u32> = (1..=4)
                    .filter(|id| !world.wires[&PathId(*id)].there)
                    .collect();
                if dead.len() < 4 {
                    for id in dead {
                        assert!(
                            !world.uses(id),
                            "{base} {interval:?}: wan{id}\n{}",
                            world.text()
                        );
                    }
                }
                if let Plan::Slots { slots, .. } = world.bond.plan() {
                    assert_eq!(slots.len(), SLOTS);
                }
            }
            let status = world.bond.status(world.now);
            let sum: f64 = status.paths.iter().map(|path| path.allocation).sum();
            let expected = if *world.bond.plan() == Plan::Unreachable {
                0.0
            } else {
                1.0
            };
            assert!((sum - expected).abs() < 1e-6, "{base}: {sum}");
        }
    }
}

/// The same happenings give the same outputs.
#[test]
fn bonds_are_deterministic() {
    let run = || {
        let mut world = World::new(PolicySettings::standard(BasePolicy::BalanceAware), 3, false);
        world.reports = true;
        world.seconds(5);
        world.cut(2);
        world.seconds(5);
        world.mend(2);
        world.seconds(5);
        (
            world.text(),
            world.plans.len(),
            Arc::clone(world.bond.settings()),
        )
    };
    assert_eq!(run(), run());
}
