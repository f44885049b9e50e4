//! Which paths a bond has, and what the settings say of each.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::Instant;

use crate::bond::{Bond, PeerTraits};
use crate::event::EventKind;
use crate::failover::Phase;
use crate::member::Member;
use crate::path::{PathId, PathInfo};
use crate::punishment::Punishment;
use crate::rule::Rule;

/// Most paths of a bond, as in 1.14.1.
pub const MAX_PATHS: usize = 64;
/// Removed paths whose punishment is remembered.
const REMEMBERED: usize = 16;

/// Punishments of paths that were removed, oldest first: taking an interface away and back is no pardon.
#[derive(Default, Debug)]
pub(crate) struct RememberedPunishments(Vec<(String, SocketAddr, Punishment)>);

impl RememberedPunishments {
    fn put(&mut self, path: &PathInfo, punishment: Punishment) {
        if punishment.is_clear() {
            return;
        }
        if self.0.len() >= REMEMBERED {
            self.0.remove(0);
        }
        self.0
            .push((path.interface.clone(), path.remote, punishment));
    }

    /// What such a path owed when it was removed.
    fn take(&mut self, path: &PathInfo) -> Punishment {
        let is_same = |(interface, remote, _): &(String, SocketAddr, _)| {
            *interface == path.interface && *remote == path.remote
        };
        let Some(index) = self.0.iter().position(is_same) else {
            return Punishment::default();
        };
        let (.., punishment) = self.0.remove(index);
        self.0.shrink_to_fit();
        punishment
    }
}

impl Bond {
    /// What is known of the peer changed.
    pub fn set_peer_traits(&mut self, traits: PeerTraits) {
        if self.traits != traits {
            self.traits = traits;
            self.resolve_rules();
        }
    }

    /// These interfaces carried what their data caps allow: they are spare from now on, and spare ones are not used. Others
    /// are what the settings say.
    pub fn set_capped(&mut self, interfaces: Arc<BTreeSet<String>>) {
        if self.capped != interfaces {
            self.capped = interfaces;
            self.resolve_rules();
        }
    }

    /// The peer learned a path. False if it may carry nothing: refused by the rules (then it is shown in the status all the
    /// same), or one too many.
    pub fn add_path(&mut self, path: PathInfo, now: Instant) -> bool {
        if self.members.len() >= MAX_PATHS && !self.members.contains_key(&path.id) {
            let kind = EventKind::PathRefused {
                path: path.to_string(),
                reason: "too many paths",
            };
            self.tell(kind, now);
            return false;
        }
        let rule = self.rule_of(&path);
        let refused = rule.refused;
        let mut punishment = self.remembered.take(&path);
        punishment.advance(false, now);
        let jitter = (self.seed ^ u64::from(path.id.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let member = Member::new(path, rule, punishment, jitter as u32, now);
        let label = member.label();
        let is_trial = member.life.phase == Phase::Trial;
        self.members.insert(member.info.id, Box::new(member));
        self.mark_dirty();
        if let Some(reason) = refused {
            self.tell(
                EventKind::PathRefused {
                    path: label,
                    reason,
                },
                now,
            );
            return false;
        }
        self.tell(
            EventKind::PathNominated {
                path: label.clone(),
            },
            now,
        );
        if is_trial {
            self.tell(EventKind::TrialStarted { path: label }, now);
        }
        true
    }

    /// The path is gone.
    pub fn remove_path(&mut self, path: PathId, now: Instant) {
        let Some(mut member) = self.members.remove(&path) else {
            return;
        };
        if member.life.phase == Phase::Up {
            member.life.punishment.advance(true, now);
            member.life.punishment.add_failure(true);
        }
        self.remembered.put(&member.info, member.life.punishment);
        self.mark_dirty();
        self.tell(
            EventKind::PathRemoved {
                path: member.label(),
            },
            now,
        );
    }

    /// What the settings say of a path.
    pub(crate) fn rule_of(&self, path: &PathInfo) -> Arc<Rule> {
        let mut rule = Rule::resolve(path, &self.settings, self.traits.is_stock);
        if self.capped.contains(&path.interface) {
            rule.cap();
        }
        let mut known = self.members.values().map(|member| &member.rule);
        let same = known.find(|known| ***known == rule);
        same.map_or_else(|| Arc::new(rule), Arc::clone)
    }

    /// Rules or the peer changed.
    pub(crate) fn resolve_rules(&mut self) {
        let ids: Vec<PathId> = self.members.keys().copied().collect();
        for id in ids {
            let rule = self.members.get(&id).map(|m| self.rule_of(&m.info));
            if let (Some(rule), Some(member)) = (rule, self.members.get_mut(&id)) {
                member.rule = rule;
            }
        }
        self.mark_dirty();
    }
}
