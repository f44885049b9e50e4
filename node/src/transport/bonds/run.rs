//! The loop around a bond: tell it what happened, ask it what to do, do it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bond::{Bond, Command, Output, PathId, PathInfo, PeerTraits, PolicySettings, QosLedger};
use protocol::verb::{Features, Verb, encode_qos};
use protocol::{Address, Instant};

use super::Transport;
use super::bonded::{Bonded, Told};
use crate::io::{Event, PathKey};
use crate::timers::{self, due, within};

/// Things that one bond may want at a time; more is a defect, which must not stop the node.
const MAX_WISHES: usize = 4096;

/// What a bond must know of a peer that said this of itself.
fn traits_of(features: Option<Features>) -> PeerTraits {
    PeerTraits {
        is_stock: !features.is_some_and(|features| features.has(Features::PROBES)),
        can_reorder: false,
    }
}

/// A peer that has no bond of ours got reports for long enough to see whether it needs them.
fn due_turn(bonded: &Bonded, now: Instant) -> bool {
    bonded.answering_since.is_some() && due(bonded.answering_since, now, timers::QOS_TURN)
}

/// Compares the peer's reports, once they have waited, with what was sent.
fn settle_reports(now: Instant, bonded: &mut Bonded) {
    for path in bonded.paths.values_mut() {
        while let Some((arrived, records)) = path
            .reports
            .pop_front_if(|(at, _)| *at + timers::QOS_SETTLE <= now)
        {
            let bond = bonded.bond.as_ref();
            path.ledger
                .note_working(bond.and_then(|bond| bond.works_since(path.id)));
            let samples = path.ledger.handle_report(&records, arrived);
            if let Some(bond) = &mut bonded.bond {
                bond.handle_qos_report(path.id, &samples, now);
            }
        }
    }
}

impl Transport {
    /// Looks after every bond about which there is news, or whose time has come.
    pub(crate) fn run_bonds(&mut self, now: Instant) {
        if self.bonds.is_idle() && self.bonds.touched.is_empty() {
            return;
        }
        while let Some(&(at, peer)) = self.bonds.schedule.first()
            && at <= now
        {
            self.bonds.schedule.pop_first();
            self.bonds.touched.insert(peer);
        }
        for peer in std::mem::take(&mut self.bonds.touched) {
            self.run_bond(now, peer);
        }
    }

    /// Looks after one peer: makes, changes or ends its bond as the settings say, and does what the bond wants.
    pub(super) fn run_bond(&mut self, now: Instant, peer: Address) {
        let wanted = self.policy_for(peer).filter(|_| self.bonds.in_use);
        let mut bonded = match self.bonds.peers.remove(&peer) {
            Some(bonded) => bonded,
            None if wanted.is_some() && self.has_paths(peer) => {
                self.show_peer(peer);
                Box::default()
            }
            None => return,
        };
        if let Some(at) = bonded.deadline.take() {
            self.bonds.schedule.remove(&(at, peer));
        }
        let measures = within(bonded.last_qos, now, timers::QOS_MEMORY) || bonded.is_paused(now);
        let is_over =
            wanted.is_none() && bonded.bond.is_none() && bonded.arrivals.is_none() && !measures;
        if !self.peers.contains_key(&peer) || is_over {
            self.stop_numbering(peer);
            return;
        }
        let traits = traits_of(self.peers.get(&peer).and_then(|p| p.features));
        self.configure_bond(now, peer, &mut bonded, wanted, traits);
        if bonded.sync_filter(now) {
            self.show_peer(peer);
        }
        if bonded.bond.is_none() && due_turn(&bonded, now) {
            bonded.pause(now);
            self.show_peer(peer);
        }
        if bonded.is_measured() {
            self.sync_paths(now, peer, &mut bonded);
        }
        bonded.is_own = self.is_own(peer);
        self.sync_numbering(now, peer, &mut bonded);
        settle_reports(now, &mut bonded);
        bonded.read_departures(now);
        self.drain_bond(now, peer, &mut bonded);
        let idle = bonded.bond.as_ref().is_some_and(Bond::is_idle);
        if std::mem::replace(&mut bonded.idle, idle) != idle {
            self.show_peer(peer);
        }
        self.follow(now, peer, &bonded);
        self.report_measurements(now, peer, &mut bonded);
        self.exchange_reports(now, peer, &mut bonded);
        self.announce_attributes(now, peer, &mut bonded);
        if let Some(at) = bonded.deadline {
            self.bonds.schedule.insert((at, peer));
        }
        self.bonds.peers.insert(peer, bonded);
    }

    /// A peer of our kind that asks for reports has a bond and looks after its paths; without one of ours we use what it uses,
    /// instead of a path that has gone silent for us.
    fn follow(&mut self, now: Instant, peer: Address, bonded: &Bonded) {
        let asks = bonded.bond.is_none() && bonded.arrivals.is_some();
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        if bonded.bond.is_some() && record.followed.take().is_some() {
            self.show_peer(peer);
            return;
        }
        let rests = record
            .followed
            .is_some_and(|(_, since)| within(Some(since), now, timers::FOLLOW_REST));
        if !asks || rests {
            return;
        }
        let heard = |index: usize| record.paths[index].activity.authentic.get();
        let Some(present) = record.best_path(now, &self.paths, true) else {
            return;
        };
        let Some(latest) = (0..record.paths.len()).max_by_key(|index| heard(*index)) else {
            return;
        };
        if due(heard(present), now, timers::FOLLOW_SILENCE)
            && within(heard(latest), now, timers::FOLLOW_HEARD)
        {
            record.followed = Some((record.paths[latest].key, now));
            self.show_peer(peer);
        }
    }

    fn has_paths(&self, peer: Address) -> bool {
        self.peers.get(&peer).is_some_and(|p| !p.paths.is_empty())
    }

    fn configure_bond(
        &mut self,
        now: Instant,
        peer: Address,
        bonded: &mut Bonded,
        wanted: Option<Arc<PolicySettings>>,
        traits: PeerTraits,
    ) {
        if let Some(bond) = &mut bonded.bond {
            bond.set_peer_traits(traits);
        }
        if wanted == bonded.configured {
            return;
        }
        match (&mut bonded.bond, &wanted) {
            (None, Some(_)) if !self.has_paths(peer) => return,
            (None, Some(policy)) => {
                let seed = self.random_u64();
                bonded.forget_paths();
                let mut bond = Bond::new(Arc::clone(policy), peer, traits, now, seed);
                bond.set_capped(Arc::clone(&self.bonds.capped));
                bonded.bond = Some(bond);
            }
            (Some(bond), Some(policy)) => {
                if let Err(reason) = bond.command(Command::SetPolicy(Arc::clone(policy)), now) {
                    tracing::warn!(%peer, reason, "bond keeps its policy");
                }
            }
            (_, None) => {
                if let Some(event) = bonded.bond.as_ref().map(|bond| bond.farewell(now)) {
                    let event = Box::new(event);
                    self.event(Event::Bond { peer, event });
                }
                // The peer may send reports only because it got ours.
                bonded.bond = None;
                bonded.pause(now);
            }
        }
        bonded.configured = wanted;
        self.show_peer(peer);
    }

    /// The bond's paths become those of the peer.
    fn sync_paths(&mut self, now: Instant, peer: Address, bonded: &mut Bonded) {
        let Some(record) = self.peers.get(&peer) else {
            return;
        };
        let present: BTreeSet<PathKey> = record.paths.iter().map(|p| p.key).collect();
        let gone: Vec<PathKey> = bonded
            .paths
            .keys()
            .filter(|key| !present.contains(key))
            .copied()
            .collect();
        for key in gone {
            if let (Some(id), Some(bond)) = (bonded.remove_path(key), &mut bonded.bond) {
                bond.remove_path(id, now);
            }
        }
        for path in &record.paths {
            if bonded.paths.contains_key(&path.key) {
                continue;
            }
            let Some(link) = self.links.iter().find(|link| link.id == path.key.link) else {
                continue;
            };
            let interval = bonded
                .bond
                .as_ref()
                .map_or(timers::QOS_REPORT, |b| 2 * b.settings().failover_interval);
            let activity = Arc::clone(&path.activity);
            let id = bonded.add_path(path.key, activity, QosLedger::new(interval));
            if let Some(bond) = &mut bonded.bond {
                let info = PathInfo {
                    id,
                    interface: link.interface.clone(),
                    interface_mac: link.hardware_address,
                    local: link.local,
                    remote: path.key.remote,
                    link_up: !self.bonds.down.contains(&link.interface),
                    confirmed: path.last_receive == Some(now),
                };
                bond.add_path(info, now);
            }
        }
    }

    /// Tells the bond what workers saw, then does what it wants.
    fn drain_bond(&mut self, now: Instant, peer: Address, bonded: &mut Bonded) {
        let Some(bond) = &mut bonded.bond else {
            return;
        };
        let mut resampled = false;
        for path in bonded.paths.values_mut() {
            let seen = Told::read(&path.activity);
            let told = std::mem::replace(&mut path.told, seen);
            if !bonded.is_own {
                path.sampling
                    .note_sent(seen.packets_sent - told.packets_sent);
                let (loss, is_behind) = (bond.loss(path.id, now), path.ledger.is_behind());
                resampled |= path.sampling.update(loss, is_behind, now);
            }
            // What workers handed over was told when it came.
            if seen.packets_received > told.packets_received {
                let at = seen.authentic.unwrap_or(now);
                let packets = seen.packets_received - told.packets_received;
                let bytes = seen.bytes_received - told.bytes_received;
                bond.handle_received(path.id, packets, bytes, at.min(now));
            }
            if seen.packets_sent > told.packets_sent {
                let packets = seen.packets_sent - told.packets_sent;
                let bytes = seen.bytes_sent - told.bytes_sent;
                bond.handle_sent(path.id, packets, bytes, now);
                if let Some(departures) = &mut bonded.departures {
                    departures.note_data(now);
                }
            }
            if seen.forged > told.forged {
                bond.handle_forged(path.id, seen.forged - told.forged, now);
            }
        }
        if resampled {
            self.show_peer(peer);
        }
        for _ in 0..MAX_WISHES {
            let Some(bond) = &mut bonded.bond else {
                return;
            };
            match bond.poll(now) {
                Output::Probe(path) => self.probe(now, peer, bonded, path),
                Output::PlanChanged(_) => self.show_peer(peer),
                // Peers of our kind are not told from others yet, and only they understand it.
                Output::Report => {
                    if let Some(arrivals) = &mut bonded.arrivals {
                        arrivals.hurry();
                    }
                }
                Output::Event(event) => self.event(Event::Bond {
                    peer,
                    event: Box::new(event),
                }),
                Output::Timeout(at) => {
                    bonded.deadline = Some(at.max(now + timers::BOND_GRANULARITY));
                    return;
                }
            }
        }
        tracing::error!(%peer, "a bond does not come to rest");
        bonded.deadline = Some(now + timers::RETRY);
    }

    /// An empty ECHO on one path (15.6).
    fn probe(&mut self, now: Instant, peer: Address, bonded: &mut Bonded, path: PathId) {
        let Some(key) = bonded.key_of(path) else {
            return;
        };
        let Some(id) = self.send_on_path(now, peer, key, Verb::Echo, &[], false) else {
            return;
        };
        self.expected.register(id);
        if let Some(bond) = &mut bonded.bond {
            bond.handle_probe_sent(path, id.0, now);
        }
    }

    /// Sends the reports that are due (15.2).
    fn report_measurements(&mut self, now: Instant, peer: Address, bonded: &mut Bonded) {
        let mut next = bonded.deadline;
        if bonded.bond.is_none() {
            let over = bonded.last_qos.map(|at| at + timers::QOS_MEMORY);
            let turn = bonded.answering_since.map(|at| at + timers::QOS_TURN);
            next = over.or(bonded.paused_until).into_iter().chain(turn).min();
        }
        for (key, path) in &mut bonded.paths {
            path.ledger.expire(now);
            if bonded.is_own {
                continue;
            }
            if let Some(records) = path.ledger.poll_report(now) {
                let mut payload = Vec::new();
                for record in &records {
                    encode_qos(record, &mut payload);
                }
                self.send_on_path(now, peer, *key, Verb::QosMeasurement, &payload, false);
            }
            let settled = path.reports.front().map(|(at, _)| *at + timers::QOS_SETTLE);
            for at in path.ledger.next_report(now).into_iter().chain(settled) {
                let at = at.max(now + timers::BOND_GRANULARITY);
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        bonded.deadline = next;
    }
}
