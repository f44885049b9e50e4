//! From the state of the paths to the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::Instant;

use crate::bond::{Bond, Output};
use crate::config::{BalancePolicy, BasePolicy, LinkMode, LinkSelectMethod, RebalanceStrategy};
use crate::event::{EventKind, Trigger};
use crate::failover::Phase;
use crate::member::Member;
use crate::path::PathId;
use crate::plan::Plan;
use crate::policy::placement::{Balance, Lane};
use crate::policy::slots::Mobility;
use crate::policy::trial::Trials;
use crate::policy::{
    Fitness, View, active_backup, balance_aware, balance_rr, balance_xor, broadcast, none,
    overflows,
};
use crate::probe_interval::Standby;
use crate::quality::relative_quality;
use crate::status::BondState;

/// What a path loses while it is used, all of its wire would: another port is no way out, and what another port lost some time
/// ago says less than what the one in use does not lose now.
fn share_faults(views: &mut [View]) {
    let is_judged = |view: &View| {
        matches!(
            view.fitness,
            Fitness::Fit | Fitness::Avoided | Fitness::Lossy
        )
    };
    let mut wires: BTreeMap<(String, String), (bool, Fitness)> = BTreeMap::new();
    for view in views.iter().filter(|view| is_judged(view)) {
        let wire = (view.link.clone(), view.destination.clone());
        let told = (view.is_used, view.fitness);
        let known = wires.entry(wire).or_insert(told);
        *known = told.max(*known);
    }
    for view in views.iter_mut().filter(|view| is_judged(view)) {
        if let Some((_, fitness)) = wires.get(&(view.link.clone(), view.destination.clone())) {
            view.fitness = *fitness;
        }
    }
}

impl Bond {
    /// Lets every path do what is due, and decides anew which of them carry what.
    pub(crate) fn evaluate(&mut self, now: Instant) {
        let around = self.surroundings(now);
        let mut events = Vec::new();
        self.supervise(&around, &mut events, now);
        self.raise_bounds(now);
        let told = self.members.values().filter(|m| m.rule.refused.is_none());
        let least_told = told.map(|member| member.told().mode).min();
        for member in self.members.values_mut() {
            member.least_told = least_told.unwrap_or(LinkMode::Primary);
        }
        let views = self.views(now);
        self.overflows = overflows(&views, self.overflows);
        let decided = self.decide(&views, &mut events, now);
        if decided != self.decided {
            self.engage(&decided, now);
            self.decided = decided;
        }
        self.update_idleness(now);
        let plan = self.doubled(self.decided.clone(), &views);
        // The plan first: every packet until then may go astray.
        if plan != self.plan {
            self.plan = plan.clone();
            self.request(Output::PlanChanged(plan));
        }
        self.ask(now);
        self.share_answer_times();
        self.set_standby();
        self.compare_state(&mut events);
        events.extend(self.give_account(now));
        for event in events {
            self.tell(event, now);
        }
    }

    /// Where it is known how much fits on some path, those that were never full may carry more than they do.
    fn raise_bounds(&mut self, now: Instant) {
        let mut members = self.members.values();
        if members.any(|member| member.quality.capacity.get().is_some()) {
            for member in self.members.values_mut() {
                member.quality.capacity.raise(now);
            }
        }
    }

    /// Paths that come into use have to show that they work.
    fn engage(&mut self, decided: &Plan<PathId>, now: Instant) {
        let before: BTreeSet<PathId> = self.decided.paths().into_iter().collect();
        let after: BTreeSet<PathId> = decided.paths().into_iter().collect();
        for id in after.difference(&before) {
            let Some(member) = self.members.get(id) else {
                continue;
            };
            // What was learnt of the wire stays true.
            let capacity = self.best_informed(member);
            let capacity = capacity.map(|member| member.quality.capacity.clone());
            if let Some(member) = self.members.get_mut(id) {
                if let Some(capacity) = capacity {
                    member.quality.capacity = capacity;
                    member.quality.capacity.note_revived(now);
                }
                member.engage(now);
            }
        }
    }

    fn views(&mut self, now: Instant) -> Vec<View> {
        let mut views: Vec<View> = self
            .members
            .values()
            .map(|member| member.view(now))
            .collect();
        let proven: Vec<PathId> = self
            .members
            .values()
            .filter(|member| member.life.phase == Phase::Up)
            .map(|member| member.info.id)
            .collect();
        let terms: Vec<_> = proven
            .iter()
            .filter_map(|id| self.members.get(id))
            .map(|member| member.quality.terms(&self.settings.limits, now))
            .collect();
        let qualities = relative_quality(&self.settings.quality, &terms);
        let mut qualities = proven.into_iter().zip(qualities).peekable();
        let places_flows = self.places_flows();
        for (view, (id, member)) in views.iter_mut().zip(&mut self.members) {
            let own = qualities.next_if(|(proven, _)| proven == id);
            view.quality = own.map_or(0.0, |(_, quality)| quality);
            member.relative_quality = view.quality as f32;
            view.measured = member.quality.capacity.known(places_flows);
        }
        self.share_capacities(&mut views);
        share_faults(&mut views);
        views
    }

    /// Flows are placed by shares that follow capacity.
    fn places_flows(&self) -> bool {
        self.settings.base == BasePolicy::BalanceAware
            && !balance_aware::places_packets(self.settings.balance, self.traits.can_reorder)
    }

    /// Who knows best what fits on the wire of a path, if any path does.
    fn best_informed(&self, path: &Member) -> Option<&Member> {
        let members = self.members.values();
        let wire = members.filter(|member| member.shares_wire(path));
        let best = wire.max_by_key(|member| member.authority())?;
        (best.authority() > (false, false, None)).then_some(best)
    }

    /// What was measured on one path of a wire holds for the others of it: one may take its place.
    fn share_capacities(&self, views: &mut [View]) {
        for view in views.iter_mut().filter(|view| !view.is_used) {
            let member = self.members.get(&view.id);
            if let Some(known) = member.and_then(|member| self.best_informed(member)) {
                view.measured = known.quality.capacity.known(self.places_flows());
                view.reached = known.quality.capacity.bound();
            }
        }
    }

    fn decide(
        &mut self,
        views: &[View],
        events: &mut Vec<EventKind>,
        now: Instant,
    ) -> Plan<PathId> {
        let settings = &self.settings;
        match settings.base {
            BasePolicy::None => none::plan(views, &self.decided),
            BasePolicy::ActiveBackup => self.decide_active(views, events, now),
            BasePolicy::Broadcast => broadcast::plan(views),
            BasePolicy::BalanceRr => balance_rr::plan(
                views,
                self.overflows,
                self.traits.can_reorder,
                settings.packets_per_link,
                &self.decided,
            ),
            BasePolicy::BalanceAware if !self.places_flows() => balance_aware::packet_plan(
                views,
                self.overflows,
                self.traits.can_reorder,
                &self.decided,
            ),
            BasePolicy::BalanceXor | BasePolicy::BalanceAware => {
                self.decide_slots(views, events, now)
            }
        }
    }

    fn decide_active(
        &mut self,
        views: &[View],
        events: &mut Vec<EventKind>,
        now: Instant,
    ) -> Plan<PathId> {
        let narrow = self.slots.trials.worse(now);
        let method = self.settings.link_select;
        let mut choice = active_backup::choose(views, method, self.active, narrow, now);
        if self.settings.link_select != LinkSelectMethod::Optimize {
            self.slots.trials = Trials::default();
        } else if choice.trigger.is_none()
            && let Some(path) =
                active_backup::try_capacity(views, self.active, &mut self.slots.trials, now)
        {
            choice = active_backup::switch(views, path, Trigger::Trial, now);
        }
        if let Some(trigger) = choice.trigger {
            self.announce(
                self.active.path,
                choice.active.path,
                trigger,
                choice.queue.len(),
                events,
            );
        }
        if choice.queue.is_empty() && !self.queue.is_empty() {
            events.push(EventKind::QueueEmpty);
        }
        // Its order follows measurements from moment to moment; who stands in it is news.
        let ids = |queue: &[PathId]| queue.iter().copied().collect::<BTreeSet<_>>();
        if !choice.queue.is_empty() && ids(&choice.queue) != ids(&self.queue) {
            let label = |id| self.members.get(id).map(|member| member.label());
            events.push(EventKind::QueueChanged {
                queue: choice.queue.iter().filter_map(label).collect(),
            });
        }
        self.active = choice.active;
        self.queue = choice.queue;
        self.active.path.map_or(Plan::Unreachable, Plan::Single)
    }

    pub(crate) fn announce(
        &self,
        from: Option<PathId>,
        to: Option<PathId>,
        trigger: Trigger,
        queue: usize,
        events: &mut Vec<EventKind>,
    ) {
        // A removed path has no name left.
        let label = |id: PathId| {
            let member = self.members.get(&id);
            member.map_or_else(|| "-".to_owned(), |member| member.label())
        };
        let local = |id: PathId| self.members.get(&id).map(|m| m.info.local);
        let mut names = (from.map(label), to.map(label));
        // Two paths of one wire differ in the local address alone.
        if names.0 == names.1 {
            for (name, path) in [(&mut names.0, from), (&mut names.1, to)] {
                if let (Some(name), Some(local)) = (name, path.and_then(local)) {
                    name.push_str(&format!(" from {local}"));
                }
            }
        }
        let detection = from
            .filter(|_| trigger == Trigger::Dead)
            .and_then(|from| Some(self.members.get(&from)?.detection))
            .filter(|micros| *micros > 0)
            .map(|micros| Duration::from_micros(micros.into()));
        events.push(EventKind::ActiveChanged {
            from: names.0,
            to: names.1,
            trigger,
            detection,
            queue,
        });
    }

    /// What moves flows besides failures and changed targets.
    pub(crate) fn balance(&self) -> Balance {
        let settings = &self.settings;
        let is_passive = settings.rebalance == RebalanceStrategy::Passive;
        match settings.base {
            BasePolicy::BalanceAware
                if is_passive || settings.balance == BalancePolicy::FlowStatic =>
            {
                Balance::Place
            }
            BasePolicy::BalanceAware => Balance::Follow,
            BasePolicy::BalanceXor if !is_passive => Balance::Relieve,
            _ => Balance::Off,
        }
    }

    fn decide_slots(
        &mut self,
        views: &[View],
        events: &mut Vec<EventKind>,
        now: Instant,
    ) -> Plan<PathId> {
        let before = self.slots.owners();
        let before = before.map(|(paths, owners)| (paths.to_vec(), Arc::clone(owners)));
        let retargeted = match self.settings.base {
            BasePolicy::BalanceXor => {
                balance_xor::retarget(&mut self.slots, views, self.overflows, now)
            }
            _ => balance_aware::retarget(&mut self.slots, views, self.overflows, now),
        };
        if let Some(moved) = retargeted {
            let shares = self.slots.targets().iter().map(|(id, share)| {
                let path = self.members.get(id).map_or_else(String::new, |m| m.label());
                (path, (share * 1000.0).round() as u16)
            });
            events.push(EventKind::Rebalanced {
                shares: shares.collect(),
            });
            if moved > 0 {
                events.push(EventKind::FlowsMoved {
                    slots: moved,
                    reason: "path lost",
                });
            }
        }
        let is_static = self.settings.base == BasePolicy::BalanceAware
            && self.settings.balance == BalancePolicy::FlowStatic;
        let mobility = Mobility {
            strategy: match self.settings.rebalance {
                _ if is_static => RebalanceStrategy::Passive,
                strategy => strategy,
            },
            pause: balance_aware::pause(views),
            balance: self.balance(),
        };
        let lanes: Vec<Lane> = views.iter().map(View::lane).collect();
        let stepped = self.slots.step(mobility, &lanes, now);
        if let Some((slots, reason)) = stepped {
            events.push(EventKind::FlowsMoved { slots, reason });
        }
        if let Some((paths, owners)) = before
            && (stepped.is_some() || retargeted.is_some())
        {
            for (path, rate) in self.slots.departures(&paths, &owners) {
                if let Some(member) = self.members.get_mut(&path) {
                    member.quality.capacity.note_departure(8.0 * rate);
                }
            }
        }
        let Some((paths, owners)) = self.slots.owners() else {
            return Plan::Unreachable;
        };
        if owners.iter().all(|owner| *owner == owners[0])
            && let Some(path) = paths.get(usize::from(owners[0]))
        {
            return Plan::Single(*path);
        }
        Plan::Slots {
            slots: Arc::clone(owners),
            paths: paths.into(),
            hash: self.settings.hash,
        }
    }

    /// Ports of one wire answer alike: of one that was never asked we know how long answers take by another.
    fn share_answer_times(&mut self) {
        let unknown: Vec<PathId> = self
            .members
            .iter()
            .filter(|(_, member)| member.answers.mean().is_none())
            .map(|(id, _)| *id)
            .collect();
        for id in unknown {
            let Some(member) = self.members.get(&id) else {
                continue;
            };
            let known = self
                .members
                .values()
                .find(|other| other.answers.mean().is_some() && other.shares_wire(member))
                .map(|other| other.answers);
            if let (Some(answers), Some(member)) = (known, self.members.get_mut(&id)) {
                member.answers = answers;
            }
        }
    }

    /// Paths outside the plan are asked rarely.
    fn set_standby(&mut self) {
        let used = self.used();
        // One path stands for all of a wire: one in use, or the first that works.
        let works = |member: &Member| member.works() && member.suspected.is_none();
        let is_stood_for = |member: &Member| {
            let others = self.members.iter();
            let wire = others.filter(|(_, other)| works(other) && other.shares_wire(member));
            let first = wire.min_by_key(|(id, _)| (!used.contains_key(id), **id));
            first.is_some_and(|(first, _)| *first != member.info.id)
        };
        let stood_for: Vec<bool> = self.members.values().map(|m| is_stood_for(m)).collect();
        for ((id, member), is_stood_for) in self.members.iter_mut().zip(stood_for) {
            member.is_used = used.contains_key(id);
            member.standby = if member.is_used {
                None
            } else if is_stood_for {
                Some(Standby::Port)
            } else if member.is_metered() {
                Some(Standby::Metered)
            } else if member.mode() == LinkMode::Spare {
                Some(Standby::Spare)
            } else {
                Some(Standby::Ready)
            };
        }
    }

    /// Each path of the plan with its share of it.
    pub(crate) fn used(&self) -> BTreeMap<PathId, f64> {
        let paths = self.decided.paths();
        let mut used = BTreeMap::new();
        let part = 1.0 / paths.len() as f64;
        for path in paths {
            *used.entry(path).or_insert(0.0) += part;
        }
        used
    }

    /// The state, with how many links work and how many there are.
    pub(crate) fn state_now(&self) -> (BondState, usize, usize) {
        let mut links: BTreeMap<&str, bool> = BTreeMap::new();
        let mut paths = 0;
        for member in self.members.values() {
            if member.rule.refused.is_none() {
                paths += 1;
                *links.entry(&member.info.interface).or_default() |=
                    member.fitness < Fitness::Waiting;
            }
        }
        let alive = links.values().filter(|alive| **alive).count();
        let state = match (alive, paths) {
            (0, _) => BondState::Failed,
            (_, 1) => BondState::Single,
            (alive, _) if alive == links.len() => BondState::Healthy,
            _ => BondState::Degraded,
        };
        (state, alive, links.len())
    }

    fn compare_state(&mut self, events: &mut Vec<EventKind>) {
        let (to, alive_links, total_links) = self.state_now();
        let from = self.state.replace(to).unwrap_or(BondState::Failed);
        if from != to {
            events.push(EventKind::StateChanged {
                from,
                to,
                alive_links,
                total_links,
            });
        }
        let has_link = self.members.is_empty() || total_links > 0;
        if self.has_link && !has_link {
            events.push(EventKind::NoLink {
                reason: "the rules refuse every path",
            });
        }
        self.has_link = has_link;
    }
}
