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

/// Two links, of which nothing is known but what a test says, and flows over them.
#[derive(Clone)]
struct Pair {
    table: SlotTable,
    lanes: [Lane; 2],
    balance: Balance,
    now: Instant,
}

impl Pair {
    fn new(balance: Balance) -> Self {
        let lane = |path| Lane {
            path: PathId(path),
            capacity: None,
            is_unknown: true,
            full_since: None,
            queues: false,
            rate: 0.0,
        };
        let mut pair = Self {
            table: SlotTable::default(),
            lanes: [lane(1), lane(2)],
            balance,
            now: Instant::from_millis(10_000),
        };
        pair.retarget(&[1, 2]);
        pair
    }

    fn retarget(&mut self, paths: &[u32]) {
        let share = 1.0 / paths.len() as f64;
        let shares = paths.iter().map(|path| (PathId(*path), share));
        self.table.retarget(&Shares::from_iter(shares), self.now);
    }

    /// A tenth of a second, in which these slots send so many Mbit/s each.
    fn send(&mut self, slots: &[usize], megabits: u64) {
        self.now = self.now + Duration::from_millis(100);
        let bytes = slots.iter().map(|slot| (*slot, megabits * MEGABIT / 10));
        self.table.add_bytes(bytes, self.now);
        let mobility = Mobility {
            strategy: RebalanceStrategy::Opportunistic,
            pause: Duration::from_millis(250),
            balance: self.balance,
        };
        self.table.step(mobility, &self.lanes, self.now);
    }

    /// After how many tenths of a second a slot that sends so many Mbit/s is on that path.
    fn tenths_until(&mut self, slot: usize, path: u32, megabits: fn(u32) -> u64) -> Option<u32> {
        (1..40).find(|tenth| {
            self.send(&[slot], megabits(*tenth));
            self.table.owner(slot) == Some(PathId(path))
        })
    }
}

/// A flow begins with far more than fits, and its smoothed rate falls for two seconds: that it has filled its path for one
/// and a half is enough to try the other.
#[test]
fn a_flow_that_has_just_begun_leaves_the_path_that_it_fills() {
    for balance in [Balance::Relieve, Balance::Follow] {
        let mut pair = Pair::new(balance);
        let flow = slots_of(&pair.table, PathId(1), 1)[0];
        let full = &mut pair.lanes[0];
        (full.capacity, full.is_unknown, full.queues) = (Some(5e6), false, true);
        full.full_since = Some(pair.now + Duration::from_millis(100));
        let left = pair.tenths_until(flow, 2, |tenth| if tenth <= 3 { 44 } else { 5 });
        assert!(
            left.is_some_and(|left| (16..=18).contains(&left)),
            "{left:?}"
        );
    }
}

/// What one flow found out is of use to those that follow.
#[test]
fn a_flow_that_begins_on_the_worse_path_leaves_it_at_once() {
    let mut pair = Pair::new(Balance::Relieve);
    let [first, second] = [1, 2].map(|path| slots_of(&pair.table, PathId(path), 1)[0]);
    assert!(pair.tenths_until(first, 2, |_| 40).is_some(), "a trial");
    pair.lanes[1].queues = true;
    assert!(pair.tenths_until(first, 1, |_| 40).is_some(), "it fails");
    pair.lanes[1].queues = false;
    for _ in 0..30 {
        pair.send(&[], 0);
    }
    pair.lanes[1].queues = true;
    let left = pair.tenths_until(second, 1, |_| 30);
    assert!(left.is_some_and(|left| left <= 3), "{left:?}");
}

/// A comparison may be wrong: what a path carries beyond what fits on the better one shows that.
#[test]
fn a_path_that_carries_more_than_fits_on_the_better_one_is_not_left() {
    let mut pair = Pair::new(Balance::Relieve);
    let flow = slots_of(&pair.table, PathId(1), 1)[0];
    let next = slots_of(&pair.table, PathId(1), 2)[1];
    assert!(pair.tenths_until(flow, 2, |_| 5).is_some(), "a trial");
    for _ in 0..30 {
        pair.send(&[flow], 9);
    }
    let narrow = &mut pair.lanes[1];
    (narrow.capacity, narrow.is_unknown) = (Some(9e6), false);
    for _ in 0..20 {
        pair.send(&[], 0);
    }
    pair.lanes[0].queues = true;
    let mut carrying = pair.clone();
    assert!(pair.tenths_until(next, 2, |_| 8).is_some(), "path 2 won");
    carrying.lanes[0].rate = 30e6;
    assert_eq!(carrying.tenths_until(next, 2, |_| 30), None);
}

/// A link comes back, and takes its part of the slots: of two flows one, but not the only one that there is.
#[test]
fn a_flow_that_is_alone_stays_when_a_link_is_back() {
    for seed in 0..8 {
        for flows in [1, 2] {
            let mut pair = Pair::new(Balance::Relieve);
            pair.retarget(&[1]);
            // Any that the other path would win.
            let flows: Vec<usize> = {
                let both = Pair::new(Balance::Relieve);
                let won = slots_of(&both.table, PathId(2), SLOTS);
                won.into_iter().skip(7 * seed).take(flows).collect()
            };
            for _ in 0..20 {
                pair.send(&flows, 2);
            }
            pair.retarget(&[1, 2]);
            for _ in 0..150 {
                pair.send(&flows, 2);
            }
            let stay = flows
                .iter()
                .filter(|slot| pair.table.owner(**slot) == Some(PathId(1)));
            assert_eq!(stay.count(), 1, "{flows:?}");
            assert_eq!(pair.table.count(PathId(2)), SLOTS / 2);
        }
    }
}
