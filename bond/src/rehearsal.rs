//! A dry failover: what would carry the traffic if a path failed now. Nothing changes by asking.

use protocol::Instant;

use crate::bond::Bond;
use crate::config::BasePolicy;
use crate::path::PathId;
use crate::policy::{Fitness, View, active_backup, broadcast, candidates, none};

/// What would happen if a path that carries traffic failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rehearsal {
    /// The path that would fail.
    pub failing: PathId,
    /// What would carry the traffic then; empty if nothing could.
    pub next: Vec<PathId>,
}

impl Bond {
    /// For each path that carries traffic now, in the order of their ids: what would, without it.
    pub fn rehearse(&self, now: Instant) -> Vec<Rehearsal> {
        let used = self.used();
        let rehearsals = used.keys().map(|failing| Rehearsal {
            failing: *failing,
            next: self.without(*failing, now),
        });
        rehearsals.collect()
    }

    fn without(&self, failing: PathId, now: Instant) -> Vec<PathId> {
        let mut views: Vec<View> = self.members.values().map(|m| m.view(now)).collect();
        for view in &mut views {
            view.quality = self
                .members
                .get(&view.id)
                .map_or(0.0, |m| m.relative_quality.into());
            if view.id == failing {
                view.fitness = Fitness::Unusable;
            }
        }
        match self.settings.base {
            BasePolicy::None => none::plan(&views, &self.decided).paths().to_vec(),
            BasePolicy::ActiveBackup => {
                let method = self.settings.link_select;
                let narrow = self.slots.trials.worse(now);
                let choice = active_backup::choose(&views, method, self.active, narrow, now);
                choice.active.path.into_iter().collect()
            }
            BasePolicy::Broadcast => broadcast::plan(&views).paths().to_vec(),
            BasePolicy::BalanceRr | BasePolicy::BalanceXor | BasePolicy::BalanceAware => {
                let views = candidates(&views, self.overflows);
                views.iter().map(|view| view.id).collect()
            }
        }
    }
}
