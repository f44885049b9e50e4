//! A bond that has nothing to send asks its paths ever more rarely, and may not know that they failed. So its next packets go
//! out on two links at once, until the paths have shown that they work.

use std::collections::BTreeSet;
use std::time::Duration;

use protocol::Instant;

use crate::bond::Bond;
use crate::config::{BasePolicy, LinkMode, MonitorStrategy};
use crate::path::PathId;
use crate::plan::Plan;
use crate::policy::queue::order;
use crate::policy::{Fitness, View};

/// A bond that sent nothing for this long is idle: longer than the pauses of what beats once a second.
const IDLE_AFTER: Duration = Duration::from_millis(1500);
/// Packets are doubled no longer than this, and two round trips, after the first.
const DOUBLED_FOR: Duration = Duration::from_millis(150);

/// Whether the bond has something to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Idleness {
    /// It had, lately.
    #[default]
    Awake,
    /// It had nothing for a while.
    Idle,
    /// It began to send then, and does not know yet if its paths work.
    Waking(Instant),
}

impl Bond {
    /// Nothing was sent for a while: whoever sends the next packet should tell at once ([`Bond::handle_woken`]).
    pub fn is_idle(&self) -> bool {
        self.idleness == Idleness::Idle
    }

    /// Something is being sent for the first time after a while, whatever paths it goes out on.
    pub fn handle_woken(&mut self, now: Instant) {
        let is_first = self.last_traffic.is_none();
        self.last_traffic = self.last_traffic.max(Some(now));
        match self.idleness {
            Idleness::Idle => self.idleness = Idleness::Waking(now),
            // A peer that never got anything may not expect copies yet.
            Idleness::Awake if is_first => {}
            Idleness::Awake | Idleness::Waking(_) => return,
        }
        // What was seldom asked while nothing depended on it must show now that it still works.
        let used = self.decided_paths();
        for (id, member) in &mut self.members {
            member.prober.forget_back_off();
            let stale = now - member.rule.failover_interval;
            if used.contains(id) {
                member.prober.hurry(2);
            } else if member.life.last_proof.is_none_or(|proof| proof < stale) {
                member.prober.hurry(1);
            }
        }
        self.mark_dirty();
    }

    fn decided_paths(&self) -> BTreeSet<PathId> {
        self.decided.paths().into_iter().collect()
    }

    /// Time has passed.
    pub(crate) fn update_idleness(&mut self, now: Instant) {
        match self.idleness {
            Idleness::Awake if self.idle_at().is_some_and(|at| at <= now) => {
                self.idleness = Idleness::Idle;
            }
            Idleness::Waking(since) => {
                let used = self.decided_paths();
                let unproven = |id: &PathId| {
                    self.members
                        .get(id)
                        .is_some_and(|m| m.life.last_proof.is_none_or(|proof| proof < since))
                };
                if self.waking_ends(since) <= now || !used.iter().any(unproven) {
                    self.idleness = Idleness::Awake;
                }
            }
            Idleness::Awake | Idleness::Idle => {}
        }
    }

    fn idle_at(&self) -> Option<Instant> {
        Some(self.last_traffic? + IDLE_AFTER)
    }

    fn waking_ends(&self, since: Instant) -> Instant {
        let longest = self.members.values().filter_map(|m| m.answers.mean()).max();
        since + DOUBLED_FOR + 2 * longest.unwrap_or_default()
    }

    /// When that changes by itself.
    pub(crate) fn next_idleness(&self) -> Option<Instant> {
        match self.idleness {
            Idleness::Awake => self.idle_at(),
            Idleness::Idle => None,
            Idleness::Waking(since) => Some(self.waking_ends(since)),
        }
    }

    /// The policy's plan, or what takes its place while the bond is idle or waking.
    pub(crate) fn doubled(&self, decided: Plan<PathId>, views: &[View]) -> Plan<PathId> {
        // Only our own kind drops what comes twice. Broadcast doubles anyway, and who may not ask would never know when to stop.
        if self.idleness == Idleness::Awake
            || self.traits.is_stock
            || self.settings.base == BasePolicy::Broadcast
            || self.settings.monitor == MonitorStrategy::Passive
        {
            return decided;
        }
        match two_links(&decided, views, |id| {
            self.members.get(&id).is_some_and(|m| m.is_metered())
        }) {
            Some(pair) => Plan::Every(Box::new(pair)),
            None => decided,
        }
    }
}

/// The first path of the plan, and the next best one of another link that costs nothing.
fn two_links(
    decided: &Plan<PathId>,
    views: &[View],
    is_metered: impl Fn(PathId) -> bool,
) -> Option<[PathId; 2]> {
    let used: BTreeSet<PathId> = decided.paths().into_iter().collect();
    let first = views.iter().find(|view| used.contains(&view.id))?;
    let works = |view: &&View| view.fitness < Fitness::Trial && view.mode != LinkMode::Never;
    let elsewhere = |view: &&View| view.link != first.link && !is_metered(view.id);
    let queue = order(views, Some(first));
    let mut others = queue.into_iter().filter(works).filter(elsewhere);
    let second = others.clone().find(|view| used.contains(&view.id));
    let second = second.or_else(|| others.next())?;
    Some([first.id, second.id])
}
