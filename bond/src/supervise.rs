//! Watching the paths of a bond together: what one path's silence means depends on what the others hear.

use std::time::Duration;

use protocol::Instant;

use crate::bond::{Bond, Output};
use crate::event::EventKind;
use crate::failover::Phase;
use crate::member::{Beside, Member};
use crate::path::PathId;
use crate::probe_interval::Standby;
use crate::watch::{News, Surroundings};

/// Traffic this recent keeps probes frequent.
const RECENT_TRAFFIC: Duration = Duration::from_secs(30);
/// Packets per second, on all paths together, from which failures must be noticed at once.
const BUSY: f64 = 40.0;
/// Time between reports out of turn.
const REPORT_GATE: Duration = Duration::from_millis(20);
/// Who is looked after this much too late has missed more than the clock: what came in meanwhile may not have been read.
const LATE: Duration = Duration::from_millis(20);
/// So long nothing is held against any path then, and so often at most that is granted.
const EXCUSE: Duration = Duration::from_millis(25);
const EXCUSE_AGAIN: Duration = Duration::from_millis(300);
/// A path that loses this part of what another one loses is no better.
const NO_BETTER: f64 = 0.4;
/// Paths that are asked when another one is suspected.
const WITNESSES: usize = 2;

impl Bond {
    pub(crate) fn has_traffic(&self, now: Instant) -> bool {
        self.last_traffic
            .is_some_and(|last| now <= last + RECENT_TRAFFIC)
    }

    pub(crate) fn surroundings(&self, now: Instant) -> Surroundings {
        let mut heard = [None; 2];
        for (id, member) in &self.members {
            let Some(at) = member.life.last_received else {
                continue;
            };
            if heard[0].is_none_or(|(_, latest)| at > latest) {
                heard = [Some((*id, at)), heard[0]];
            } else if heard[1].is_none_or(|(_, second)| at > second) {
                heard[1] = Some((*id, at));
            }
        }
        Surroundings {
            strategy: self.settings.monitor,
            is_stock: self.traits.is_stock,
            has_traffic: self.has_traffic(now),
            idle_for: self
                .last_traffic
                .map_or(Duration::MAX, |last| now.duration_since(last)),
            is_busy: self.sent_packets.at(now) >= BUSY,
            excused_until: self.excused_until,
            heard,
        }
    }

    /// Notes if the bond is looked after too late.
    pub(crate) fn excuse(&mut self, now: Instant) {
        let again = self.excused_until.unwrap_or_default() + EXCUSE_AGAIN;
        if now > self.due + LATE && now >= again {
            self.excused_until = Some(now + EXCUSE);
        }
    }

    /// Lets every path do what is due, except for probes.
    pub(crate) fn supervise(
        &mut self,
        around: &Surroundings,
        events: &mut Vec<EventKind>,
        now: Instant,
    ) {
        self.look_beside(now);
        let mut news: Vec<(PathId, News)> = Vec::new();
        for (id, member) in &mut self.members {
            news.push((*id, member.advance(around, &self.settings, events, now)));
        }
        for (id, _) in news.iter().filter(|(_, news)| news.failed) {
            self.suspect_siblings(*id, now);
        }
        self.awaits_witness = news.iter().any(|(_, news)| news.wants_witness);
        for (id, _) in news.iter().filter(|(_, news)| news.wants_witness) {
            self.ask_witnesses(*id, now);
        }
        let tells = |(_, news): &(PathId, News)| news.fell_silent || news.failed;
        if news.iter().any(tells) && !self.traits.is_stock {
            self.request_report(now);
        }
        for member in self.members.values_mut() {
            member.update_fitness(events, now);
        }
    }

    /// Tells every path what there is besides it: whether other links work, whether leaving it for those in use would help,
    /// whether the peer left it, and what other ports of its wire still owe for failures that it shares.
    fn look_beside(&mut self, now: Instant) {
        let beside = |member: &Member| {
            let others = self.members.values();
            let works = others.filter(|other| other.works() && !other.shares_wire(member));
            let mut works = works.peekable();
            let has_alternative = works.peek().is_some();
            // Further ports of a link tell nothing of it that the first does not.
            let links = works.filter(|other| other.standby != Some(Standby::Port));
            let links: Vec<&Member> = links.map(|other| &**other).collect();
            let mut used = links.iter().filter(|other| other.is_used).peekable();
            let is_full = |other: &Member| other.quality.capacity.is_used_up(now);
            let others_are_full = used.peek().is_some() && used.all(|other| is_full(other));
            let loss = |member: &Member| member.quality.losses.usual(now);
            let others_lose_too = loss(member).is_some_and(|own| {
                let loses = |other: &&Member| loss(other) > Some(NO_BETTER * own);
                !links.is_empty() && links.iter().all(loses)
            });
            let wire = || self.members.values().filter(|m| m.shares_wire(member));
            let ports = wire().filter(|port| port.info.id != member.info.id);
            let shared = ports.map(|port| port.life.punishment.own()).max();
            let beside = Beside {
                has_alternative,
                others_are_full,
                others_lose_too,
                wire_is_full: wire().any(|port| port.is_used && is_full(port)),
            };
            let peer_avoids = wire().any(|port| port.told().is_lossy);
            (beside, peer_avoids, shared.unwrap_or_default())
        };
        let found: Vec<_> = self.members.values().map(|m| beside(m)).collect();
        for (member, (beside, peer_avoids, shared)) in self.members.values_mut().zip(found) {
            member.beside = beside;
            member.judgement.peer_avoids = peer_avoids;
            member.life.punishment.share_at_most(shared);
        }
    }

    /// What is true of a link's failed path is probably true of the others, and what it owes for that is owed by all ports of its
    /// wire: none of them takes its place.
    pub(crate) fn suspect_siblings(&mut self, failed: PathId, now: Instant) {
        // It is out of the way meanwhile.
        let Some(mut failed_member) = self.members.remove(&failed) else {
            return;
        };
        let mut siblings = self.members.values();
        if let Some(first) = siblings.find(|sibling| failed_member.shares_outage(sibling)) {
            failed_member.life.punishment.take_back_failure();
            failed_member.life.punishment.share(&first.life.punishment);
        }
        for member in self.members.values_mut() {
            if member.info.interface == failed_member.info.interface {
                member.share_failure(&failed_member, now);
                member.suspect(now);
            }
        }
        self.members.insert(failed, failed_member);
    }

    /// Asks paths of other links that are likely to answer.
    fn ask_witnesses(&mut self, suspect: PathId, now: Instant) {
        let Some(suspect) = self.members.get(&suspect) else {
            return;
        };
        let link = suspect.info.interface.clone();
        let since = suspect.prober.unanswered().unwrap_or(now);
        let mut others: Vec<&mut Box<Member>> = self
            .members
            .values_mut()
            .filter(|member| member.info.interface != link && member.life.phase == Phase::Up)
            .collect();
        others.sort_by_key(|member| (member.is_metered(), member.fitness, member.info.id));
        for member in others.into_iter().take(WITNESSES) {
            // Whoever was heard since, or is being asked, will do.
            let heard = member.life.last_received.is_some_and(|at| at >= since);
            if !heard && member.prober.unanswered().is_none() {
                member.prober.hurry(1);
            }
        }
    }

    /// The probes that are due.
    pub(crate) fn ask(&mut self, now: Instant) {
        let around = self.surroundings(now);
        let mut probes = Vec::new();
        for (id, member) in &mut self.members {
            if member.ask(&around, now) {
                probes.push(*id);
            }
        }
        for path in probes {
            self.request(Output::Probe(path));
        }
    }

    /// Asks for a report to the peer, unless one has just been asked for.
    pub(crate) fn request_report(&mut self, now: Instant) {
        if self
            .last_report
            .is_none_or(|last| last + REPORT_GATE <= now)
        {
            self.last_report = Some(now);
            self.request(Output::Report);
        }
    }
}
