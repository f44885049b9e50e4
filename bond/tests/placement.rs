//! Which flows a table of slots moves for load's sake, by what they send and what is known of the paths.

use std::time::Duration;

use bond::PathId;
use bond::config::RebalanceStrategy;
use bond::plan::SLOTS;
use bond::policy::allocation::Shares;
use bond::policy::placement::{Balance, Lane};
use bond::policy::slots::{Mobility, SlotTable};
use protocol::Instant;

const MEGABIT: u64 = 1_000_000 / 8;

fn owners(table: &SlotTable) -> Vec<PathId> {
    (0..SLOTS).filter_map(|slot| table.owner(slot)).collect()
}

fn slots_of(table: &SlotTable, path: PathId, count: usize) -> Vec<usize> {
    let own = (0..SLOTS).filter(|slot| table.owner(*slot) == Some(path));
    own.take(count).collect()
}

/// The load of few flows is spread by placing them, not by chance.
#[test]
fn uneven_load_is_evened_out_and_then_left_alone() {
    for strategy in [
        RebalanceStrategy::Opportunistic,
        RebalanceStrategy::Aggressive,
    ] {
        let shares = Shares::from_iter([
            (PathId(1), 1.0 / 3.0),
            (PathId(2), 1.0 / 3.0),
            (PathId(3), 1.0 / 3.0),
        ]);
        let mut table = SlotTable::default();
        let mut now = Instant::from_millis(10_000);
        table.retarget(&shares, now);
        // Three flows that all began on one path.
        let of_one = slots_of(&table, PathId(1), 3);
        let mobility = Mobility {
            strategy,
            pause: Duration::from_millis(250),
            balance: Balance::Follow,
        };
        let lanes: Vec<Lane> = shares
            .keys()
            .map(|path| Lane {
                path: *path,
                capacity: None,
                is_unknown: true,
                full_since: None,
                queues: false,
                rate: 0.0,
            })
            .collect();
        let mut changes = 0;
        for step in 0..240 {
            now = now + Duration::from_millis(250);
            table.add_bytes(of_one.iter().map(|slot| (*slot, 1_000_000)), now);
            let moved = table
                .step(mobility, &lanes, now)
                .map_or(0, |(moved, _)| moved);
            changes += moved;
            assert!(step < 80 || moved == 0, "moves at step {step}");
        }
        let mut used: Vec<_> = of_one.iter().map(|slot| owners(&table)[*slot]).collect();
        used.sort_unstable();
        assert_eq!(used, [PathId(1), PathId(2), PathId(3)]);
        assert_eq!(changes, 2);
    }
}

/// Where flows of these rates, Mbit/s, are some time after the path that they share, of `wide` Mbit/s, became full. Beside it is
/// one of `other` Mbit/s that was never full if `is_unknown`, and carries one flow of `carried` Mbit/s.
fn after_relief<const FLOWS: usize>(
    rates: [f64; FLOWS],
    wide: f64,
    (other, carried, is_unknown): (f64, f64, bool),
) -> Vec<u32> {
    let mut now = Instant::from_millis(10_000);
    let mut table = SlotTable::default();
    let shares = Shares::from_iter([(PathId(1), 0.5), (PathId(2), 0.5)]);
    table.retarget(&shares, now);
    let flows = slots_of(&table, PathId(1), FLOWS);
    let beside = slots_of(&table, PathId(2), 1)[0];
    let mobility = Mobility {
        strategy: RebalanceStrategy::Opportunistic,
        pause: Duration::from_millis(250),
        balance: Balance::Relieve,
    };
    let full_since = now + Duration::from_secs(10);
    let full = Lane {
        path: PathId(1),
        capacity: Some(wide * 1e6),
        is_unknown: false,
        full_since: Some(full_since),
        queues: true,
        rate: wide * 1e6,
    };
    let idle = Lane {
        path: PathId(2),
        capacity: Some(other * 1e6),
        is_unknown,
        full_since: None,
        queues: false,
        rate: carried * 1e6,
    };
    let bytes = |rate: f64| (rate * MEGABIT as f64) as u64 / 10;
    for _ in 0..160 {
        now = now + Duration::from_millis(100);
        table.add_bytes(flows.iter().copied().zip(rates.map(bytes)), now);
        table.add_bytes([(beside, bytes(carried))], now);
        if now >= full_since {
            table.step(mobility, &[full, idle], now);
        }
    }
    let owner = |slot: &usize| table.owner(*slot).map_or(0, |path| path.0);
    flows.iter().map(owner).collect()
}

/// An idle path too narrow for an equal part of the full one helps a flow that gets less than that, and no other.
#[test]
fn a_slow_flow_leaves_a_full_path_for_an_idle_one_that_is_narrow() {
    let narrow = (9.5, 0.0, false);
    let after = |rates| after_relief(rates, 100.0, narrow);
    assert_eq!(after([28.0, 7.4, 28.0, 28.0]), [1, 2, 1, 1]);
    // 9.5 Mbit/s are too little more than 9.
    assert_eq!(after([30.0, 9.0, 30.0, 30.0]), [1, 1, 1, 1]);
}

/// With two flows each would have 11 Mbit/s there instead of 10: enough if the path was never full, and may carry more still, or if
/// flows there do not want it.
#[test]
fn a_flow_leaves_a_full_path_for_little_more_where_nobody_loses_by_it() {
    let moved = |other, carried, is_unknown| {
        let flows = after_relief([10.0; 3], 30.0, (other, carried, is_unknown));
        flows.iter().filter(|path| **path == 2).count()
    };
    assert_eq!(moved(22.0, 10.0, true), 1);
    assert_eq!((moved(22.0, 10.0, false), moved(22.0, 9.8, false)), (0, 1));
    assert_eq!((moved(19.0, 10.0, true), moved(19.0, 5.0, false)), (0, 0));
    assert_eq!(moved(25.0, 10.0, false), 1);
}

/// A flow begins with far more than fits, and its smoothed rate falls for two seconds: that it has filled its path for one is
/// enough to try the other.
#[test]
fn a_flow_that_has_just_begun_leaves_the_path_that_it_fills() {
    for balance in [Balance::Relieve, Balance::Follow] {
        let start = Instant::from_millis(10_000);
        let mut table = SlotTable::default();
        let shares = Shares::from_iter([(PathId(1), 0.5), (PathId(2), 0.5)]);
        table.retarget(&shares, start);
        let flow = slots_of(&table, PathId(1), 1)[0];
        let mobility = Mobility {
            strategy: RebalanceStrategy::Opportunistic,
            pause: Duration::from_millis(250),
            balance,
        };
        let full = Lane {
            path: PathId(1),
            capacity: Some(5e6),
            is_unknown: false,
            full_since: Some(start + Duration::from_millis(100)),
            queues: true,
            rate: 5e6,
        };
        let idle = Lane {
            path: PathId(2),
            capacity: None,
            is_unknown: true,
            full_since: None,
            queues: false,
            rate: 0.0,
        };
        let left = (1..40).find(|tenth| {
            let now = start + Duration::from_millis(100 * tenth);
            let megabits = if *tenth <= 3 { 44 } else { 5 };
            table.add_bytes([(flow, megabits * MEGABIT / 10)], now);
            table.step(mobility, &[full, idle], now);
            table.owner(flow) == Some(PathId(2))
        });
        let left = left.expect("the flow leaves");
        assert!((11..=13).contains(&left), "after {left} tenths");
    }
}
