//! Who is next when active-backup's path fails.

use std::collections::BTreeSet;

use super::{Fitness, View, one_per_destination};
use crate::config::LinkMode;
use crate::link_name;

/// Usable paths other than the active one, in the order in which they take over: the fitter first; among equals the
/// `failoverTo` chain of the active link, then links of its mode by score, then the others by mode and score.
pub fn order<'a>(views: &'a [View], active: Option<&View>) -> Vec<&'a View> {
    let usable = views.iter().filter(|view| {
        view.fitness != Fitness::Unusable
            && view.mode != LinkMode::Never
            && active.is_none_or(|active| active.id != view.id)
    });
    let chain = chain(views, active);
    // Another port of the active path's own wire takes over last: what fails, or is to be left, is the link.
    let is_own = |view: &View| active.is_some_and(|active| active.shares_wire(view));
    let (own, others): (Vec<&View>, Vec<&View>) = usable.partition(|view| is_own(view));
    let mut queue = one_per_destination(others.into_iter());
    queue.sort_by(|a, b| {
        let place = |view: &View| chain.iter().position(|link| *link == view.link);
        let rank = |view: &View| {
            (
                view.fitness,
                place(view).unwrap_or(usize::MAX),
                active.is_some_and(|active| active.mode != view.mode),
                view.mode,
            )
        };
        rank(a)
            .cmp(&rank(b))
            .then(score(b).total_cmp(&score(a)))
            .then(a.id.cmp(&b.id))
    });
    queue.extend(one_per_destination(own.into_iter()));
    queue
}

/// What makes one path better than another of the same fitness and mode.
pub fn score(view: &View) -> f64 {
    view.quality + if view.preferred { 0.05 } else { 0.0 }
}

/// Interfaces that take over one after another from the active one, by the operator's rules.
fn chain(views: &[View], active: Option<&View>) -> Vec<String> {
    let mut chain = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = active.and_then(|active| active.failover_to.clone());
    while let Some(name) = next.take() {
        if !seen.insert(name.clone()) {
            break;
        }
        for view in views
            .iter()
            .filter(|view| link_name::means(&name, &view.link, view.hardware_address))
        {
            if !chain.contains(&view.link) {
                chain.push(view.link.clone());
            }
            next = next.or_else(|| view.failover_to.clone());
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::super::view;
    use super::*;

    fn ids(queue: &[&View]) -> Vec<u32> {
        queue.iter().map(|view| view.id.0).collect()
    }

    /// Finding 5: the operator's order counts, not the order in which paths were found.
    #[test]
    fn finding_5_failover_to_is_the_order_of_the_queue() {
        let mut views = [
            view(1, "wan1"),
            view(2, "wan2"),
            view(3, "wan3"),
            view(4, "wan4"),
        ];
        views[0].failover_to = Some("wan3".to_owned());
        for spare in &mut views[1..] {
            spare.mode = LinkMode::Spare;
        }
        views[2].failover_to = Some("wan4".to_owned());
        views[1].quality = 1.0;
        views[2].quality = 0.2;
        assert_eq!(ids(&order(&views, Some(&views[0]))), [3, 4, 2]);
        views[2].fitness = Fitness::Unusable;
        assert_eq!(ids(&order(&views, Some(&views[0]))), [4, 2]);
    }

    #[test]
    fn without_rules_the_better_primary_goes_before_any_spare() {
        let mut views = [view(1, "a"), view(2, "b"), view(3, "c"), view(4, "d")];
        views[1].quality = 0.4;
        views[2].quality = 0.6;
        views[3].mode = LinkMode::Spare;
        assert_eq!(ids(&order(&views, Some(&views[0]))), [3, 2, 4]);
        views[2].fitness = Fitness::Avoided;
        assert_eq!(ids(&order(&views, Some(&views[0]))), [2, 4, 3]);
    }

    /// With a second port each link has several paths; who takes over is another link.
    #[test]
    fn other_ports_of_the_same_wire_come_last() {
        let mut views = [view(1, "a"), view(2, "a"), view(3, "b"), view(4, "b")];
        views[2].fitness = Fitness::Avoided;
        views[3].fitness = Fitness::Avoided;
        assert_eq!(ids(&order(&views, Some(&views[0]))), [3, 2]);
        assert_eq!(ids(&order(&views, None)), [1, 3]);
    }

    #[test]
    fn a_circle_of_rules_ends() {
        let mut views = [view(1, "a"), view(2, "b")];
        views[0].failover_to = Some("b".to_owned());
        views[1].failover_to = Some("a".to_owned());
        assert_eq!(ids(&order(&views, Some(&views[0]))), [2]);
    }
}
