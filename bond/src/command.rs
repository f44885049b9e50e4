//! What an operator can tell a running bond. Nothing here outlives the bond unless the caller saves it.

use std::sync::Arc;

use std::time::Duration;

use protocol::Instant;

use crate::bond::Bond;
use crate::config::{BasePolicy, PolicySettings};
use crate::event::{EventKind, Trigger};
use crate::failover::Cause;
use crate::member::Member;
use crate::path::PathId;
use crate::plan::Plan;
use crate::policy::Fitness;
use crate::policy::active_backup::Active;
use crate::policy::slots::SlotTable;

/// How long a rotation holds against the method of link selection.
const HOLD: Duration = Duration::from_secs(60);

/// An order.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// active-backup: use the next path of the queue, or that of the named interface.
    Rotate {
        /// Where to; `None` is the head of the queue.
        interface: Option<String>,
        /// Stay until something fails; otherwise for 60 s against the method of link selection.
        sticky: bool,
    },
    /// Follow another policy from now on; paths keep their measurements.
    SetPolicy(Arc<PolicySettings>),
    /// Let a link's paths begin anew with a trial.
    LinkNominate(String),
    /// Forget a link's punishments.
    LinkReset(String),
}

impl Bond {
    /// Carries out an order. The text says what changed, or why nothing did.
    pub fn command(&mut self, command: Command, now: Instant) -> Result<String, String> {
        let text = match command {
            Command::Rotate { interface, sticky } => {
                self.rotate(interface.as_deref(), sticky, now)?
            }
            Command::SetPolicy(settings) => self.set_policy(settings, now),
            Command::LinkNominate(name) => self
                .each_path(&name, |member| {
                    member.fail(Cause::Unproven, now);
                    member.forgive();
                    if member.life.link_up {
                        member.life.begin_trial(now);
                        member.prober.hurry(1);
                    }
                })
                .map(|count| format!("{name}: {count} paths begin a new trial"))?,
            Command::LinkReset(name) => self
                .each_path(&name, Member::forgive)
                .map(|count| format!("{name}: punishment of {count} paths is forgotten"))?,
        };
        self.mark_dirty();
        self.tell(EventKind::Commanded { text: text.clone() }, now);
        Ok(text)
    }

    fn rotate(
        &mut self,
        interface: Option<&str>,
        sticky: bool,
        now: Instant,
    ) -> Result<String, String> {
        if self.settings.base != BasePolicy::ActiveBackup {
            return Err(format!(
                "the bond is {}, not active-backup",
                self.settings.base
            ));
        }
        let next = match interface {
            None => self.next_link(now)?,
            Some(name) => self.path_on(name, now)?,
        };
        let mut events = Vec::new();
        let queue = self.queue.len();
        self.announce(
            self.active.path,
            Some(next),
            Trigger::Operator,
            queue,
            &mut events,
        );
        for event in events {
            self.tell(event, now);
        }
        self.active = Active {
            path: Some(next),
            since: now,
            hold: Some(if sticky {
                Instant::from_micros(u64::MAX)
            } else {
                now + HOLD
            }),
            tolerated: self.members.get(&next).map(|member| member.fitness),
        };
        let label = self
            .members
            .get(&next)
            .map_or_else(String::new, |member| member.label());
        Ok(format!("active link is {label}"))
    }

    /// Where a rotation without a name goes: the first link of the queue other than the present one, if it is as fit.
    fn next_link(&self, now: Instant) -> Result<PathId, String> {
        let place = |id: &PathId| {
            let info = &self.members.get(id)?.info;
            Some((&info.interface, info.remote.ip().to_canonical()))
        };
        let present = self.active.path;
        let here = present.as_ref().and_then(place);
        let link = |id: &&PathId| place(id).map(|(link, _)| link) != here.map(|(link, _)| link);
        // A peer with several addresses may be reached by one link in several ways.
        let elsewhere = |id: &&PathId| place(id) != here;
        let mut queue = self.queue.iter();
        let next = queue.clone().find(link).or_else(|| queue.find(elsewhere));
        let next = next.and_then(|id| self.members.get(id));
        let Some(next) = next else {
            return Err("the failover queue is empty: no other path can take over".to_owned());
        };
        let present = present.and_then(|id| self.members.get(&id));
        if next.fitness > present.map_or(Fitness::Trial, |member| member.fitness) {
            let fault = next.fault(&self.settings, now);
            return Err(format!(
                "{fault}; name its interface to use it all the same"
            ));
        }
        Ok(next.info.id)
    }

    /// Where a rotation to an interface goes: the first path of the queue there that is known to work.
    fn path_on(&self, name: &str, now: Instant) -> Result<PathId, String> {
        let is_there = |id: &&PathId| self.members.get(id).is_some_and(|m| m.info.is_on(name));
        if self.active.path.iter().any(|id| is_there(&id)) {
            return Err(format!(
                "no path of {name} can take over: one of them is active already"
            ));
        }
        let next = self.queue.iter().find(is_there);
        if let Some(next) = next.and_then(|id| self.members.get(id))
            && next.fitness < Fitness::Trial
        {
            return Ok(next.info.id);
        }
        let mut faulty = self.members.values().filter(|m| m.info.is_on(name));
        Err(match faulty.next() {
            Some(member) => format!(
                "no path of {name} can take over: {}",
                member.fault(&self.settings, now)
            ),
            None => format!("no path of {name} can take over: there is none"),
        })
    }

    fn set_policy(&mut self, settings: Arc<PolicySettings>, now: Instant) -> String {
        let text = format!("policy {} is now {}", self.settings.name, settings.name);
        if settings.base != self.settings.base {
            self.active = Active::default();
            self.queue.clear();
            self.slots = SlotTable::default();
            if let (BasePolicy::ActiveBackup, Plan::Single(path)) = (settings.base, &self.decided) {
                self.active.path = Some(*path);
            }
        }
        self.settings = settings;
        self.resolve_rules();
        self.tell_settings(now);
        text
    }

    fn each_path(
        &mut self,
        name: &str,
        mut change: impl FnMut(&mut Member),
    ) -> Result<usize, String> {
        let mut count = 0;
        for member in self.members.values_mut() {
            if member.info.is_on(name) {
                change(member);
                count += 1;
            }
        }
        if count == 0 {
            return Err(format!("there is no path on {name}"));
        }
        Ok(count)
    }
}
