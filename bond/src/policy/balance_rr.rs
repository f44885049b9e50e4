//! `balance-rr`: paths take turns, in proportion to their capacity.

use std::time::Duration;

use super::allocation::{Basis, Shares, shares};
use super::{View, candidates};
use crate::path::PathId;
use crate::plan::Plan;

/// Turns of a cycle at most.
const TURNS: usize = 64;
/// A path that is so much farther than the nearest is not like it.
const FARTHER: Duration = Duration::from_millis(20);

/// A path fills if its turn is this part of what fits; once left out it has room below the second.
const FILLS: f64 = 0.7;
const HAS_ROOM: f64 = 0.5;

/// A cycle of turns. The previous one stays while it is nearly right, so that rotations do not start over without cause.
pub fn plan(
    views: &[View],
    overflow: bool,
    can_reorder: bool,
    packets_per_path: u16,
    previous: &Plan<PathId>,
) -> Plan<PathId> {
    let mut paths = candidates(views, overflow);
    if !can_reorder {
        paths = alike(paths, &previous.paths());
    }
    let shares = shares(&paths, Basis::Capacity);
    if let Plan::Rotate {
        paths: turns,
        packets_per_path: packets,
    } = previous
        && *packets == u32::from(packets_per_path)
        && is_close(turns, &shares)
    {
        return previous.clone();
    }
    cycle(&shares, packets_per_path)
}

/// Where nobody restores the order, one flow over unlike paths gets less than over the best of them alone. So paths are left
/// out that are known to carry less than half of the widest, or that are 20 ms farther than the nearest; not if the operator
/// said what paths are to carry. Beside a path that would fill in its turn the others get no more than that one: while it is
/// not known what fits on them, it is left out too. Either they fill, and then that is known, or everything fits on them.
fn alike<'a>(paths: Vec<&'a View>, before: &[PathId]) -> Vec<&'a View> {
    let is_said = |path: &&View| path.declared.is_some() || path.allocation.is_some();
    if paths.iter().any(is_said) {
        return paths;
    }
    let width = |path: &View| path.measured.unwrap_or(path.reached);
    let nearest = paths.iter().filter_map(|path| path.least_latency).min();
    let is_near = |path: &View| match (path.least_latency, nearest) {
        (Some(latency), Some(nearest)) => latency <= nearest + FARTHER,
        _ => true,
    };
    let near: Vec<&View> = paths.iter().copied().filter(|path| is_near(path)).collect();
    let widest = near.iter().map(|path| width(path)).max().unwrap_or(0);
    let may_be_wider = near
        .iter()
        .any(|path| path.measured.is_none() && path.full_since.is_none());
    let all: f64 = near.iter().map(|path| path.sent_rate).sum();
    let parts = shares(&near, Basis::Capacity);
    let is_narrow = |path: &View, bits: u64| {
        let part = match before.contains(&path.id) {
            true => FILLS,
            false => HAS_ROOM,
        };
        bits < widest / 2 || may_be_wider && all * parts[&path.id] >= part * bits as f64
    };
    near.into_iter()
        .filter(|path| path.measured.is_none_or(|bits| !is_narrow(path, bits)))
        .collect()
}

/// A plan in which each path has turns in proportion to its share, spread evenly over the cycle (smooth weighted round robin).
pub fn cycle(shares: &Shares, packets_per_path: u16) -> Plan<PathId> {
    let mut weights: Vec<(PathId, usize)> = turns(shares);
    weights.retain(|(_, weight)| *weight > 0);
    match *weights {
        [] => return Plan::Unreachable,
        [(path, _)] => return Plan::Single(path),
        _ => {}
    }
    let sum: usize = weights.iter().map(|(_, weight)| weight).sum();
    let mut credit = vec![0isize; weights.len()];
    let mut paths = Vec::with_capacity(sum);
    for _ in 0..sum {
        for (credit, (_, weight)) in credit.iter_mut().zip(&weights) {
            *credit += *weight as isize;
        }
        let mut next = 0;
        for (index, value) in credit.iter().enumerate() {
            if *value > credit[next] {
                next = index;
            }
        }
        credit[next] -= sum as isize;
        paths.push(weights[next].0);
    }
    Plan::Rotate {
        paths: paths.into(),
        packets_per_path: u32::from(packets_per_path),
    }
}

/// The shortest cycle that meets the shares to a hundredth, or the longest allowed; every share above nothing has a turn.
fn turns(shares: &Shares) -> Vec<(PathId, usize)> {
    let weigh = |length: usize| -> Vec<(PathId, usize)> {
        shares
            .iter()
            .map(|(path, share)| {
                let turns = (share * length as f64).round() as usize;
                (*path, if *share > 0.0 { turns.max(1) } else { 0 })
            })
            .collect()
    };
    let error = |weights: &[(PathId, usize)]| {
        let sum: usize = weights.iter().map(|(_, weight)| weight).sum();
        weights
            .iter()
            .map(|(path, weight)| (*weight as f64 / sum.max(1) as f64 - shares[path]).abs())
            .fold(0.0, f64::max)
    };
    (shares.len()..=TURNS)
        .map(weigh)
        .find(|weights| error(weights) < 0.01)
        .unwrap_or_else(|| weigh(TURNS))
}

fn is_close(turns: &[PathId], shares: &Shares) -> bool {
    turns.iter().all(|path| shares.contains_key(path))
        && shares.iter().all(|(path, share)| {
            let count = turns.iter().filter(|turn| *turn == path).count();
            let actual = count as f64 / turns.len().max(1) as f64;
            (count > 0) == (*share > 0.0) && (actual - share).abs() <= 0.05
        })
}

#[cfg(test)]
mod tests {
    use super::super::view;
    use super::*;
    use crate::config::Speed;

    fn turns_of(plan: &Plan<PathId>) -> Vec<u32> {
        plan.paths().iter().map(|path| path.0).collect()
    }

    #[test]
    fn equal_paths_alternate_and_unequal_ones_interleave() {
        let mut views = [view(1, "a"), view(2, "b"), view(3, "c")];
        let even = plan(&views, false, false, 8, &Plan::Unreachable);
        assert_eq!(turns_of(&even), [1, 2, 3]);
        views[0].declared = Some(Speed::Relative(20));
        views[1].declared = Some(Speed::Relative(10));
        views[2].declared = Some(Speed::Relative(10));
        let weighted = plan(&views, false, false, 8, &even);
        assert_eq!(turns_of(&weighted), [1, 2, 3, 1]);
        // A change of a few percent is no reason to start over.
        views[0].declared = Some(Speed::Relative(21));
        assert_eq!(plan(&views, false, false, 8, &weighted), weighted);
    }

    #[test]
    fn a_slow_path_gets_no_more_than_its_share() {
        let mut views = [view(1, "a"), view(2, "b")];
        views[0].measured = Some(50_000_000);
        views[1].measured = Some(5_000_000);
        let turns = |views: &[View], can_reorder| {
            turns_of(&plan(views, false, can_reorder, 8, &Plan::Unreachable))
        };
        // None at all if nobody restores the order, and the operator said nothing.
        assert_eq!(turns(&views, false), [1]);
        views[1].least_latency = Some(Duration::from_millis(40));
        views[1].measured = Some(50_000_000);
        assert_eq!(turns(&views, false), [1]);
        views[1].measured = Some(5_000_000);
        let plan = turns(&views, true);
        let slow = plan.iter().filter(|path| **path == 2).count() as f64 / plan.len() as f64;
        assert!((slow - 1.0 / 11.0).abs() < 0.011, "{slow}");
    }

    #[test]
    fn a_path_that_would_fill_in_its_turn_waits_until_the_others_are_known() {
        let mut views = [view(1, "a"), view(2, "b")];
        views[1].measured = Some(5_000_000);
        let mut before = Plan::Unreachable;
        let mut turns_at = |views: &mut [View], rate: f64| {
            views[0].sent_rate = rate;
            before = plan(views, false, false, 8, &before);
            turns_of(&before)
        };
        // Little is sent: why should it?
        assert_eq!(turns_at(&mut views, 4e6), [1, 2]);
        assert_eq!(turns_at(&mut views, 8e6), [1]);
        assert_eq!(turns_at(&mut views, 6e6), [1]);
        assert_eq!(turns_at(&mut views, 4e6), [1, 2]);
        // Both are full, and alike.
        assert_eq!(turns_at(&mut views, 9e6), [1]);
        views[0].measured = Some(6_000_000);
        assert_eq!(turns_at(&mut views, 9e6).len(), 11);
    }
}
