//! `none`: the best path carries everything.

use super::{View, candidates};
use crate::path::PathId;
use crate::plan::Plan;

/// The path of least latency among the candidates; the present one unless another is faster by a tenth.
pub fn plan(views: &[View], previous: &Plan<PathId>) -> Plan<PathId> {
    let paths = candidates(views, false);
    let latency = |view: &View| {
        view.latency
            .map_or(f64::MAX, |latency| latency.as_secs_f64())
    };
    let Some(best) = paths
        .iter()
        .min_by(|a, b| latency(a).total_cmp(&latency(b)))
    else {
        return Plan::Unreachable;
    };
    if let Plan::Single(present) = previous
        && let Some(present) = paths.iter().find(|path| path.id == *present)
        && latency(best) > latency(present) * 0.9
    {
        return Plan::Single(present.id);
    }
    Plan::Single(best.id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::view;
    use super::*;

    #[test]
    fn a_little_faster_is_no_reason_to_change() {
        let mut views = [view(1, "a"), view(2, "b")];
        views[1].latency = Some(Duration::from_micros(9500));
        assert_eq!(plan(&views, &Plan::Unreachable), Plan::Single(PathId(2)));
        assert_eq!(
            plan(&views, &Plan::Single(PathId(1))),
            Plan::Single(PathId(1))
        );
        views[1].latency = Some(Duration::from_micros(8500));
        assert_eq!(
            plan(&views, &Plan::Single(PathId(1))),
            Plan::Single(PathId(2))
        );
        assert_eq!(plan(&[], &Plan::Unreachable), Plan::Unreachable);
    }
}
