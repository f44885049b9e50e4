//! `active-backup`: one path carries everything, the others wait in a queue.

use std::time::Duration;

use protocol::Instant;

use super::queue::{order, score};
use super::trial::{Comparison, GAIN, Trials, USES_UP, WORTH_A_TRIAL};
use super::{Fitness, View};
use crate::config::{LinkMode, LinkSelectMethod};
use crate::event::Trigger;
use crate::path::PathId;

/// `optimize` changes at most this often.
const OPTIMIZE_INTERVAL: Duration = Duration::from_secs(15);
/// `optimize` changes for a score better by this.
const OPTIMIZE_GAIN: f64 = 1.1;
/// It leaves what is too narrow this long after it came to it: about as long as a trial lasts.
const NARROW_FOR: Duration = Duration::from_secs(2);

/// What was chosen before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Active {
    /// The path.
    pub path: Option<PathId>,
    /// Since when.
    pub since: Instant,
    /// An operator chose it: stay against the method of selection until then.
    pub hold: Option<Instant>,
    /// How fit it was when the operator chose it: while it is held, only what is worse drives away from it.
    pub tolerated: Option<Fitness>,
}

impl Active {
    /// Chosen now, by no operator.
    fn new(path: Option<PathId>, now: Instant) -> Self {
        Self {
            path,
            since: now,
            ..Self::default()
        }
    }
}

/// What is chosen now.
#[derive(Clone, PartialEq, Debug)]
pub struct Choice {
    /// The path and the rest of what to pass next time.
    pub active: Active,
    /// Why it is another one than before.
    pub trigger: Option<Trigger>,
    /// Who is next, in order.
    pub queue: Vec<PathId>,
}

/// Chooses the active path. `narrow`: it lost a trial of what fits.
pub fn choose(
    views: &[View],
    method: LinkSelectMethod,
    before: Active,
    narrow: Option<PathId>,
    now: Instant,
) -> Choice {
    let usable = |view: &&View| view.fitness != Fitness::Unusable && view.mode != LinkMode::Never;
    let find = |id: PathId| views.iter().find(|view| view.id == id);
    let present = before.path.and_then(find);
    let queue = order(views, present);
    let change = match present.filter(usable) {
        // The rules of a failed path count, even if it is gone from the table.
        None => queue.first().map(|next| {
            let trigger = if before.path.is_some() {
                Trigger::Dead
            } else {
                Trigger::First
            };
            (*next, trigger)
        }),
        Some(present) => {
            let narrow = narrow.and_then(find);
            better(present, &queue, method, before, narrow, now)
        }
    };
    let chosen = change.map(|(next, _)| next).or(present.filter(usable));
    let trigger = match change {
        Some((_, trigger)) => Some(trigger),
        None if chosen.is_none() && before.path.is_some() => Some(Trigger::Dead),
        None => None,
    };
    let active = match trigger {
        Some(_) => Active::new(chosen.map(|view| view.id), now),
        None => before,
    };
    Choice {
        active,
        trigger,
        queue: waiting(views, chosen),
    }
}

/// That path carries everything from now on.
pub fn switch(views: &[View], to: PathId, trigger: Trigger, now: Instant) -> Choice {
    Choice {
        active: Active::new(Some(to), now),
        trigger: Some(trigger),
        queue: waiting(views, views.iter().find(|view| view.id == to)),
    }
}

/// Who waits while that path is active, in order.
fn waiting(views: &[View], active: Option<&View>) -> Vec<PathId> {
    let queue = order(views, active);
    queue.iter().map(|view| view.id).collect()
}

/// Who carries everything for the sake of what fits, where a method of selection may look for the best: nobody knows of a path
/// that was never full, nor of one that a single sender fills without a sign. `None`: who does.
pub fn try_capacity(
    views: &[View],
    active: Active,
    trials: &mut Trials,
    now: Instant,
) -> Option<PathId> {
    let find = |id: PathId| views.iter().find(|view| view.id == id);
    let present = find(active.path?)?;
    let is_held = active.hold.is_some_and(|until| now < until);
    if let Some(trial) = trials.present {
        let from = find(trial.from).filter(|from| from.fitness == Fitness::Fit);
        let is_present = |from: &&View| trial.to == present.id && is_like(from, present);
        let Some(from) = from.filter(is_present).filter(|_| !is_held) else {
            trials.abort(from.is_some() && !is_held, now);
            return None;
        };
        // The rate of a path that has just come into use has not caught up yet.
        let caught_up = 1.0 - (-trial.seconds(now)).exp();
        let found = Comparison {
            from: from.measured.map(|bits| bits as f64),
            to: present.measured.map(|bits| bits as f64),
            rate: present.sent_rate / 8.0 / caught_up.max(0.1),
            queues: present.queues,
        };
        return (trials.judge(&found, now) == Some(true)).then_some(from.id);
    }
    let rate = present.sent_rate / 8.0;
    let may_be_full = present.lane().may_be_full(present.sent_rate);
    if is_held || rate < WORTH_A_TRIAL || !may_be_full || !trials.may_begin(present.id, now) {
        return None;
    }
    let is_open = |view: &View| {
        view.lane().is_unknown
            && view.full_since.is_none()
            && !view.is_metered
            && !trials.is_worse(view.id, now)
    };
    let others = order(views, Some(present)).into_iter();
    let next = others
        .filter(|view| view.link != present.link && is_like(view, present) && is_open(view))
        .find(|view| score(view) * OPTIMIZE_GAIN >= score(present))?;
    if !trials.is_steady(0, rate, now) {
        return None;
    }
    trials.begin(0, [present.id, next.id], false, rate, now);
    Some(next.id)
}

/// It may take the other's place without anybody's asking.
fn is_like(view: &View, present: &View) -> bool {
    view.fitness == Fitness::Fit && view.fitness == present.fitness && view.mode == present.mode
}

/// Less is known to fit than so many bit/s, or than on the path that it was compared with, if that is worth a trial.
fn is_too_narrow(view: &View, narrow: Option<&View>, rate: f64) -> bool {
    match view.lane().capacity {
        Some(bits) => bits < rate,
        None => {
            narrow.is_some_and(|narrow| narrow.shares_wire(view)) && rate / 8.0 >= WORTH_A_TRIAL
        }
    }
}

/// What is sent may fill the working path, and more fits on the other one. The queue that it makes on a wide path, and a narrow
/// one has not while it carries nothing, is part of the score.
fn is_wider(view: &View, present: &View) -> bool {
    let fits = |view: &View| view.lane().capacity.unwrap_or(view.reached as f64);
    let narrow = present.lane().capacity;
    narrow.is_some_and(|bits| present.sent_rate >= USES_UP * bits && fits(view) >= GAIN * bits)
        && (present.is_metered || !view.is_metered)
}

/// A path to leave the working one for.
fn better<'a>(
    present: &View,
    queue: &[&'a View],
    method: LinkSelectMethod,
    before: Active,
    narrow: Option<&View>,
    now: Instant,
) -> Option<(&'a View, Trigger)> {
    let is_held = before.hold.is_some_and(|until| now < until);
    let is_known = is_held
        && before
            .tolerated
            .is_some_and(|known| present.fitness <= known);
    let fitter = queue.iter().find(|view| view.fitness < present.fitness);
    if let Some(fitter) = fitter.filter(|_| !is_known) {
        return Some((fitter, Trigger::Quality));
    }
    if is_held {
        return None;
    }
    let equals = || queue.iter().filter(|view| view.fitness == present.fitness);
    let by_score = |a: &&&View, b: &&&View| score(a).total_cmp(&score(b)).then(b.id.cmp(&a.id));
    let of_mode = |mode: LinkMode| equals().filter(move |view| view.mode == mode);
    let primary = (present.mode != LinkMode::Primary)
        .then(|| of_mode(LinkMode::Primary).max_by(by_score).copied())
        .flatten();
    match method {
        LinkSelectMethod::Failure => None,
        LinkSelectMethod::Always => primary.map(|view| (view, Trigger::Always)),
        LinkSelectMethod::Better => primary
            .filter(|view| score(view) > score(present))
            .map(|view| (view, Trigger::Better)),
        LinkSelectMethod::Optimize => {
            if let Some(primary) = primary {
                return Some((primary, Trigger::Always));
            }
            let alike = || of_mode(present.mode);
            if now >= before.since + NARROW_FOR {
                let wider = alike().filter(|view| is_wider(view, present));
                if let Some(wider) = wider.max_by(by_score) {
                    return Some((wider, Trigger::Better));
                }
            }
            if now < before.since + OPTIMIZE_INTERVAL {
                return None;
            }
            alike()
                .filter(|view| !is_too_narrow(view, narrow, present.sent_rate))
                .max_by(by_score)
                .filter(|view| score(view) > score(present) * OPTIMIZE_GAIN)
                .map(|view| (*view, Trigger::Better))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::view;
    use super::*;

    fn on(path: u32) -> Active {
        Active {
            path: Some(PathId(path)),
            ..Active::default()
        }
    }

    fn later() -> Instant {
        Instant::from_millis(60_000)
    }

    fn chosen(views: &[View], method: LinkSelectMethod, before: Active) -> (u32, Option<Trigger>) {
        let choice = choose(views, method, before, None, later());
        (choice.active.path.map_or(0, |path| path.0), choice.trigger)
    }

    /// Finding 5: the primary link came back and was ignored.
    #[test]
    fn finding_5_always_returns_to_the_primary_link_wherever_it_stands_in_the_queue() {
        let mut views = [view(1, "a"), view(2, "b"), view(3, "c")];
        views[1].mode = LinkMode::Spare;
        views[2].mode = LinkMode::Spare;
        views[1].failover_to = Some("c".to_owned());
        use LinkSelectMethod::{Always, Better, Failure};
        assert_eq!(chosen(&views, Always, on(2)), (1, Some(Trigger::Always)));
        assert_eq!(chosen(&views, Failure, on(2)), (2, None));
        assert_eq!(chosen(&views, Better, on(2)), (2, None));
        views[0].quality = 1.0;
        views[1].quality = 0.5;
        assert_eq!(chosen(&views, Better, on(2)), (1, Some(Trigger::Better)));
    }

    #[test]
    fn optimize_needs_ten_percent_and_fifteen_seconds() {
        let mut views = [view(1, "a"), view(2, "b")];
        views[0].quality = 0.9;
        assert_eq!(chosen(&views, LinkSelectMethod::Optimize, on(1)).0, 2);
        views[0].quality = 0.95;
        assert_eq!(chosen(&views, LinkSelectMethod::Optimize, on(1)).0, 1);
        views[0].quality = 0.1;
        let young = Active {
            since: later() - Duration::from_secs(14),
            ..on(1)
        };
        assert_eq!(chosen(&views, LinkSelectMethod::Optimize, young).0, 1);
    }

    #[test]
    fn a_better_score_is_no_reason_to_go_where_less_fits_than_is_sent() {
        let mut views = [view(1, "a"), view(2, "b"), view(3, "c")];
        (views[0].quality, views[1].quality, views[2].quality) = (0.7, 1.0, 0.9);
        views[0].sent_rate = 40e6;
        views[1].measured = Some(5_000_000);
        let to = |views: &[View]| chosen(views, LinkSelectMethod::Optimize, on(1)).0;
        assert_eq!(to(&views), 3);
        views[2].measured = Some(39_000_000);
        assert_eq!(to(&views), 1);
        views[0].sent_rate = 4e6;
        assert_eq!(to(&views), 2);
        // A trial showed it.
        views[1].measured = None;
        let compared = |views: &[View]| {
            let (method, narrow) = (LinkSelectMethod::Optimize, Some(PathId(2)));
            choose(views, method, on(1), narrow, later()).active.path
        };
        assert_eq!(compared(&views), Some(PathId(3)));
        views[0].sent_rate = 1e6;
        assert_eq!(compared(&views), Some(PathId(2)));
    }

    #[test]
    fn a_path_that_what_is_sent_fills_is_left_for_a_wider_one() {
        let moves = |change: fn(&mut [View])| {
            let mut views = [view(1, "a"), view(2, "b")];
            views[0].measured = Some(5_000_000);
            views[0].sent_rate = 4e6;
            views[1].measured = Some(6_000_000);
            change(&mut views);
            let after = |millis| Active {
                since: later() - Duration::from_millis(millis),
                ..on(1)
            };
            let method = LinkSelectMethod::Optimize;
            assert_eq!(chosen(&views, method, after(1900)).0, 1);
            chosen(&views, method, after(2100)).0 == 2
        };
        assert!(moves(|_| {}));
        assert!(!moves(|views| views[0].sent_rate = 3e6));
        assert!(!moves(|views| views[0].measured = None));
        assert!(!moves(|views| views[1].measured = Some(5_900_000)));
        assert!(!moves(|views| views[1].is_metered = true));
        assert!(!moves(|views| views[1].mode = LinkMode::Spare));
        // It was never full, but carried that.
        assert!(moves(|views| {
            (views[1].measured, views[1].reached) = (None, 7_000_000);
        }));
    }

    #[test]
    fn spares_are_chosen_when_no_primary_works() {
        let mut views = [view(1, "a"), view(2, "b")];
        views[0].fitness = Fitness::Unusable;
        views[1].mode = LinkMode::Spare;
        let choice = choose(
            &views,
            LinkSelectMethod::Always,
            Active::default(),
            None,
            later(),
        );
        assert_eq!(choice.active.path, Some(PathId(2)));
        assert!(choice.queue.is_empty());
    }

    #[test]
    fn a_held_path_is_left_only_for_a_fitter_one() {
        let mut views = [view(1, "a"), view(2, "b")];
        views[1].mode = LinkMode::Spare;
        let held = Active {
            hold: Some(later() + Duration::from_secs(1)),
            ..on(2)
        };
        assert_eq!(chosen(&views, LinkSelectMethod::Always, held).0, 2);
        views[1].fitness = Fitness::Avoided;
        assert_eq!(
            chosen(&views, LinkSelectMethod::Always, held),
            (1, Some(Trigger::Quality))
        );
        // The operator knew that when choosing it.
        let known = Active {
            tolerated: Some(Fitness::Avoided),
            ..held
        };
        assert_eq!(chosen(&views, LinkSelectMethod::Always, known), (2, None));
        views[1].fitness = Fitness::Lossy;
        assert_eq!(chosen(&views, LinkSelectMethod::Always, known).0, 1);
        views[1].fitness = Fitness::Avoided;
        let over = Active {
            hold: Some(later()),
            ..known
        };
        assert_eq!(chosen(&views, LinkSelectMethod::Always, over).0, 1);
    }

    /// Path 1 carries 8 Mbit/s, steadily in the second before `later()`; what is tried then.
    fn tried(views: &mut [View], active: Active, trials: &mut Trials) -> Option<PathId> {
        views[0].sent_rate = 8e6;
        for millis in (0..1000).step_by(100) {
            let now = later() - Duration::from_millis(1000 - millis);
            if let Some(path) = try_capacity(views, active, trials, now) {
                return Some(path);
            }
        }
        None
    }

    #[test]
    fn a_path_that_was_never_full_is_tried_unless_it_is_held_metered_or_worse() {
        let views = || [view(1, "a"), view(2, "b")];
        let tried_with = |change: fn(&mut [View], &mut Active)| {
            let (mut views, mut active) = (views(), on(1));
            change(&mut views, &mut active);
            tried(&mut views, active, &mut Trials::default()).map(|path| path.0)
        };
        assert_eq!(tried_with(|_, _| {}), Some(2));
        assert_eq!(tried_with(|_, active| active.hold = Some(later())), None);
        assert_eq!(tried_with(|views, _| views[1].is_metered = true), None);
        assert_eq!(tried_with(|views, _| views[1].mode = LinkMode::Spare), None);
        assert_eq!(tried_with(|views, _| views[1].quality = 0.5), None);
        assert_eq!(
            tried_with(|views, _| views[1].measured = Some(9_000_000)),
            None
        );
        assert_eq!(
            tried_with(|views, _| views[0].measured = Some(90_000_000)),
            None
        );
    }

    #[test]
    fn a_trial_ends_when_its_result_is_known_or_a_path_is_gone() {
        let begun = || {
            let mut trials = Trials::default();
            let mut views = [view(1, "a"), view(2, "b")];
            assert!(tried(&mut views, on(1), &mut trials).is_some());
            views[1].sent_rate = 4e6;
            (views, trials, later() + Duration::from_secs(5))
        };
        // It gained nothing, and goes back.
        let (views, mut trials, then) = begun();
        assert_eq!(
            try_capacity(&views, on(2), &mut trials, then),
            Some(PathId(1))
        );
        // It gained, and stays.
        let (mut views, mut trials, then) = begun();
        views[1].sent_rate = 16e6;
        assert_eq!(try_capacity(&views, on(2), &mut trials, then), None);
        assert!(trials.present.is_none() && trials.is_worse(PathId(1), then));
        // Nobody is there to go back to; or the operator wants it so.
        let (views, mut trials, then) = begun();
        assert_eq!(try_capacity(&views[1..], on(2), &mut trials, then), None);
        assert!(trials.present.is_none());
        let (views, mut trials, then) = begun();
        let held = Active {
            hold: Some(then + Duration::from_secs(1)),
            ..on(2)
        };
        assert_eq!(try_capacity(&views, held, &mut trials, then), None);
        assert!(trials.present.is_none());
    }
}
