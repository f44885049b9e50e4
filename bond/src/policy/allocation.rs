//! Target shares: what part of the traffic each path should carry.

use std::ops::Index;

use super::View;
use crate::config::Speed;
use crate::path::PathId;

/// Shares by path; together 1, unless there is no path. A map in the order of paths that takes no more room than it needs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Shares(Vec<(PathId, f64)>);

impl Shares {
    /// Paths and shares, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&PathId, &f64)> {
        self.0.iter().map(|(path, share)| (path, share))
    }

    /// The paths, in order.
    pub fn keys(&self) -> impl Iterator<Item = &PathId> {
        self.0.iter().map(|(path, _)| path)
    }

    /// The shares, in the order of the paths.
    pub fn values(&self) -> impl Iterator<Item = &f64> {
        self.0.iter().map(|(_, share)| share)
    }

    /// A path's share, if it has one.
    pub fn get(&self, path: &PathId) -> Option<&f64> {
        let place = self.0.binary_search_by_key(path, |(known, _)| *known);
        Some(&self.0[place.ok()?].1)
    }

    /// Whether it has one.
    pub fn contains_key(&self, path: &PathId) -> bool {
        self.get(path).is_some()
    }

    /// How many paths there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Comes closer to the shares of the same paths, by a part of what is between: 0 to 1.
    pub(super) fn approach(&mut self, others: &Self, part: f64) {
        for ((_, share), (_, other)) in self.0.iter_mut().zip(&others.0) {
            *share += (other - *share) * part;
        }
    }

    /// There is no path.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(PathId, f64)> for Shares {
    fn from_iter<I: IntoIterator<Item = (PathId, f64)>>(shares: I) -> Self {
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_by_key(|(path, _)| *path);
        shares.dedup_by_key(|(path, _)| *path);
        shares.shrink_to_fit();
        Self(shares)
    }
}

impl Index<&PathId> for Shares {
    type Output = f64;

    fn index(&self, path: &PathId) -> &f64 {
        self.get(path).expect("a path with a share")
    }
}

/// What shares follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// Every link alike, unless the operator declared shares.
    Equal,
    /// The links' capacity.
    Capacity,
    /// Capacity and quality.
    CapacityAndQuality,
}

/// Shares of `paths`. Declared shares count before all else; paths of one link divide its share.
pub fn shares(paths: &[&View], basis: Basis) -> Shares {
    let mut weights: Vec<f64> = if paths.iter().any(|path| path.allocation.is_some()) {
        fill_gaps(paths.iter().map(|path| path.allocation))
    } else {
        let capacities = match basis {
            Basis::Equal => vec![1.0; paths.len()],
            Basis::Capacity | Basis::CapacityAndQuality => capacities(paths),
        };
        let quality = |path: &View| match basis {
            Basis::CapacityAndQuality => quality_factor(path.quality),
            Basis::Equal | Basis::Capacity => 1.0,
        };
        capacities
            .iter()
            .zip(paths)
            .map(|(capacity, path)| capacity * quality(path))
            .collect()
    };
    for (weight, path) in weights.iter_mut().zip(paths) {
        let siblings = paths.iter().filter(|other| other.link == path.link).count();
        *weight /= siblings.max(1) as f64;
    }
    let sum: f64 = weights.iter().sum();
    let even = 1.0 / paths.len().max(1) as f64;
    paths
        .iter()
        .zip(&weights)
        .map(|(path, weight)| (path.id, if sum > 0.0 { weight / sum } else { even }))
        .collect()
}

/// 1 for a quality of a half or more, falling to 0.1 at none.
fn quality_factor(quality: f64) -> f64 {
    (0.1 + 1.8 * quality).clamp(0.1, 1.0)
}

/// What is known of capacities, and no more of any than the operator wants it taken for. If that is all that is known, the
/// largest such limit stands for those that have none.
fn capacities(paths: &[&View]) -> Vec<f64> {
    let limits = || paths.iter().filter_map(|path| path.max_rate);
    let are_relative = paths
        .iter()
        .any(|path| matches!(path.declared, Some(Speed::Relative(_))));
    let Some(largest) = limits().max().filter(|_| !are_relative) else {
        return known_capacities(paths);
    };
    let is_known = |path: &&View| path.measured.is_some() || path.declared.is_some();
    let known = if paths.iter().any(is_known) {
        known_capacities(paths)
    } else {
        vec![largest as f64; paths.len()]
    };
    let limit = |path: &View| path.max_rate.map_or(f64::INFINITY, |most| most as f64);
    let limited = known.into_iter().zip(paths);
    limited
        .map(|(capacity, path)| capacity.min(limit(path)))
        .collect()
}

/// Declared speeds, and paths without take the mean of the others. None declared: measured capacities, and paths that have
/// never been full take the largest of them, or what they have reached if that is more. Nothing known: all alike, never 0/0.
fn known_capacities(paths: &[&View]) -> Vec<f64> {
    let is_relative = paths
        .iter()
        .any(|path| matches!(path.declared, Some(Speed::Relative(_))));
    let declared = |path: &View| match path.declared {
        Some(Speed::Relative(speed)) => (speed > 0).then_some(f64::from(speed)),
        // Numbers without a unit cannot be compared with bits per second.
        Some(Speed::BitsPerSecond(bits)) => (!is_relative).then_some(bits as f64),
        None => None,
    };
    if paths.iter().any(|path| declared(path).is_some()) {
        return fill_gaps(paths.iter().map(|path| declared(path)));
    }
    let Some(largest) = paths.iter().filter_map(|path| path.measured).max() else {
        return vec![1.0; paths.len()];
    };
    paths
        .iter()
        .map(|path| path.measured.unwrap_or(largest.max(path.reached)).max(1) as f64)
        .collect()
}

fn fill_gaps(values: impl Iterator<Item = Option<f64>> + Clone) -> Vec<f64> {
    let known: Vec<f64> = values.clone().flatten().collect();
    let mean = match known.len() {
        0 => 1.0,
        count => known.iter().sum::<f64>() / count as f64,
    };
    values.map(|value| value.unwrap_or(mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::view;
    use super::*;

    fn of(views: &[View], basis: Basis) -> Vec<f64> {
        let paths: Vec<_> = views.iter().collect();
        shares(&paths, basis).values().copied().collect()
    }

    /// Finding 1: no capacity is known, and every path gets its share all the same.
    #[test]
    fn finding_1_unknown_capacities_are_equal_shares() {
        let views = [view(1, "a"), view(2, "b"), view(3, "c")];
        for share in of(&views, Basis::CapacityAndQuality) {
            assert!((share - 1.0 / 3.0).abs() < 1e-9);
        }
    }

    #[test]
    fn declared_capacities_divide_and_a_missing_one_is_the_mean() {
        let mut views = [view(1, "a"), view(2, "b"), view(3, "c")];
        views[0].declared = Some(Speed::Relative(1000));
        views[1].declared = Some(Speed::Relative(100));
        views[2].declared = Some(Speed::Relative(100));
        assert!((of(&views, Basis::Capacity)[0] - 1000.0 / 1200.0).abs() < 1e-9);
        views[2].declared = None;
        views[2].measured = Some(1_000_000_000);
        assert!((of(&views, Basis::Capacity)[2] - 550.0 / 1650.0).abs() < 1e-9);
    }

    #[test]
    fn no_path_counts_for_more_than_its_limit() {
        let mut views = [view(1, "a"), view(2, "b")];
        views[0].max_rate = Some(10);
        assert_eq!(of(&views, Basis::Capacity), [0.5, 0.5]);
        views[1].max_rate = Some(30);
        assert_eq!(of(&views, Basis::Capacity), [0.25, 0.75]);
        views[1].measured = Some(90);
        views[1].max_rate = None;
        assert_eq!(of(&views, Basis::Capacity), [0.1, 0.9]);
        views[0].declared = Some(Speed::BitsPerSecond(1000));
        views[1].declared = Some(Speed::BitsPerSecond(40));
        assert_eq!(of(&views, Basis::Capacity), [0.2, 0.8]);
        // Numbers without a unit cannot be compared with a rate.
        views[0].declared = Some(Speed::Relative(4));
        views[1].declared = Some(Speed::Relative(1));
        assert_eq!(of(&views, Basis::Capacity), [0.8, 0.2]);
    }

    #[test]
    fn a_path_that_was_never_full_is_no_less_than_what_it_reached() {
        let mut views = [view(1, "a"), view(2, "b"), view(3, "c")];
        // Rates alone are no capacities: who carries less now does not get less for it.
        views[0].reached = 9000;
        views[1].reached = 1000;
        assert_eq!(of(&views, Basis::Capacity)[0], 1.0 / 3.0);
        views[1].measured = Some(1000);
        let shares = of(&views, Basis::Capacity);
        assert!((shares[0] - 9.0 / 11.0).abs() < 1e-9 && (shares[2] - 1.0 / 11.0).abs() < 1e-9);
    }

    #[test]
    fn declared_shares_are_kept_exactly_and_links_with_two_paths_do_not_count_twice() {
        let mut views = [view(1, "a"), view(2, "a"), view(3, "b")];
        for view in &mut views {
            view.allocation = Some(if view.link == "a" { 0.7 } else { 0.3 });
            view.quality = 0.01;
            view.declared = Some(Speed::Relative(view.id.0));
        }
        let shares = of(&views, Basis::CapacityAndQuality);
        assert!(
            (shares[0] - 0.35).abs() < 1e-9 && (shares[2] - 0.3).abs() < 1e-9,
            "{shares:?}"
        );
    }

    #[test]
    fn bad_quality_costs_share_but_never_all() {
        let mut views = [view(1, "a"), view(2, "b")];
        views[1].quality = 0.0;
        let shares = of(&views, Basis::CapacityAndQuality);
        assert!((shares[1] - 0.1 / 1.1).abs() < 1e-9);
        assert_eq!(of(&views, Basis::Capacity), [0.5, 0.5]);
    }

    #[test]
    fn shares_drift_towards_others_and_their_sum_stays() {
        let shares = |one| Shares::from_iter([(PathId(1), one), (PathId(2), 1.0 - one)]);
        let mut drifting = shares(0.5);
        for expected in [0.6, 0.675] {
            drifting.approach(&shares(0.9), 0.25);
            assert!((drifting[&PathId(1)] - expected).abs() < 1e-9);
            assert!((drifting.values().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        drifting.approach(&shares(0.9), 1.0);
        assert_eq!(drifting[&PathId(1)], 0.9);
    }
}
