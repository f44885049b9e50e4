//! `broadcast`: every path that works carries each packet. A path that loses much is still worth its copy.

use super::{Fitness, View, candidates, one_per_destination};
use crate::config::LinkMode;
use crate::path::PathId;
use crate::plan::Plan;

/// All proven paths of primary and secondary links; else what any policy would use.
pub fn plan(views: &[View]) -> Plan<PathId> {
    let proven = views.iter().filter(|view| {
        view.fitness < Fitness::Trial
            && matches!(view.mode, LinkMode::Primary | LinkMode::Secondary)
    });
    let mut paths = one_per_destination(proven);
    if paths.is_empty() {
        paths = candidates(views, true);
    }
    match *paths {
        [] => Plan::Unreachable,
        [path] => Plan::Single(path.id),
        _ => Plan::Every(paths.iter().map(|path| path.id).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::view;
    use super::*;

    #[test]
    fn every_path_that_works_carries_a_copy() {
        let mut views = [view(1, "a"), view(2, "b"), view(3, "c"), view(4, "d")];
        views[0].fitness = Fitness::Lossy;
        views[2].fitness = Fitness::Unusable;
        views[3].mode = LinkMode::Spare;
        assert_eq!(plan(&views), Plan::Every(Box::new([PathId(1), PathId(2)])));
        views[0].fitness = Fitness::Unusable;
        views[1].fitness = Fitness::Unusable;
        assert_eq!(plan(&views), Plan::Single(PathId(4)));
    }
}
