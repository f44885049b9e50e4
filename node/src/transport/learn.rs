//! Which paths a peer has: learning, confirming, resetting (protocol specification 5.3, 8.3).

use std::net::SocketAddr;

use protocol::{Address, Instant, IpScope, Verb};

use super::{Received, Transport};
use crate::io::{Event, LinkId, PathKey};
use crate::limits::MAX_PATHS_PER_PEER;
use crate::peer::is_nontrivial;
use crate::peer::path::{Doubt, PeerPath};
use crate::physical::can_carry_path;
use crate::timers::{self, due};

impl Transport {
    /// May `peer` be contacted at, or learned to be at, `endpoint` (5.3)?
    pub(super) fn is_usable(&self, peer: Address, endpoint: SocketAddr) -> bool {
        let ip = endpoint.ip();
        if !can_carry_path(ip) || endpoint.port() == 0 {
            return false;
        }
        if let Some(upstream) = self.roots.upstreams().get(&peer)
            && !upstream.anywhere
            && !upstream.endpoints.iter().any(|e| e.ip() == ip)
        {
            return false;
        }
        !self.facts.excluded.iter().any(|prefix| prefix.contains(ip))
            && !self.settings.is_blacklisted(peer, ip)
    }

    /// What every authentic packet does after its handler (8.3). `trusted`: it passed a membership gate.
    pub(crate) fn note_authentic(&mut self, now: Instant, packet: &Received<'_>, trusted: bool) {
        let (source, path) = (packet.source, packet.path);
        let direct = packet.hops == 0;
        let _ = self.paths.entry(now, path).map(|record| {
            record.activity.received.set(now);
            if trusted {
                record.last_trust = Some(now);
            }
        });
        let Some(peer) = self.peers.get_mut(&source) else {
            return;
        };
        peer.activity.received.set(now);
        peer.merged = peer.merged.max(Some(now));
        if is_nontrivial(packet.verb) {
            peer.last_nontrivial = Some(now);
        }
        if trusted {
            peer.last_trust = Some(now);
        }
        let trust = peer.is_trusted(now);
        if direct {
            self.note_bond_received(now, packet);
            self.note_direct(now, source, path, packet.verb == Verb::Ok);
        } else if !self.is_bonded(source) {
            self.doubt_silent_paths(now, source, None);
        }
        if trust {
            self.push_direct_paths(now, source, path, direct);
        }
        if self.roots.contains(source) {
            self.update_online(now);
        }
    }

    /// An authentic packet came without relay. Only an expected OK proves that the peer is where its packets say.
    fn note_direct(&mut self, now: Instant, peer: Address, path: PathKey, proves: bool) {
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        if let Some(known) = record.path_mut(path) {
            let was_expired = known.is_expired(now);
            known.last_receive = Some(now);
            known.activity.authentic.set(now);
            if was_expired {
                self.mark_peer_dirty(peer);
            }
            return;
        }
        if !self.is_usable(peer, path.remote)
            || (!self.is_bonded(peer) && self.doubt_silent_paths(now, peer, Some(path)))
        {
            return;
        }
        if proves {
            self.learn_path(now, peer, path, 1);
            return;
        }
        let Some(record) = self.paths.entry(now, path) else {
            return;
        };
        if due(record.last_confirm, now, timers::CONFIRM) {
            record.last_confirm = Some(now);
            record.activity.sent.set(now);
            self.send_hello(now, peer, path.remote, Some(path.link));
        }
    }

    /// The peer was heard at a path that it is not known at, or through a relay (none). Whether it may still be at another port
    /// of the same address: with two ports it is heard from both. It may as well have started anew with other ports, or its
    /// NAT may have lost the old one; so where it was silent, it is asked. (1.14.1 waits until the path is dead, 8.3.)
    fn doubt_silent_paths(&mut self, now: Instant, peer: Address, heard: Option<PathKey>) -> bool {
        let Some(record) = self.peers.get_mut(&peer) else {
            return false;
        };
        let concerns = |known: PathKey| {
            heard
                .is_none_or(|path| known.link == path.link && known.remote.ip() == path.remote.ip())
        };
        let mut present = false;
        let mut ask = Vec::new();
        for known in record.paths.iter_mut().filter(|p| concerns(p.key)) {
            let path = self.paths.get(known.key);
            let last = known.heard();
            if last.is_none() || !path.is_some_and(|path| path.is_alive(now)) {
                continue;
            }
            present = true;
            if known.doubt.is_none() && due(last, now, timers::HEARD_LATELY) {
                known.doubt = Some(Doubt {
                    since: now,
                    elsewhere: heard,
                });
                ask.push(known.key);
            }
        }
        for path in ask {
            self.contact(now, peer, path.remote, Some(path.link), false);
        }
        present
    }

    /// Paths of the peer that were asked for a sign of life and gave none are left for where it was heard.
    pub(super) fn settle_doubts(&mut self, now: Instant, peer: Address) {
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        let mut left = Vec::new();
        for path in &mut record.paths {
            let Some(doubt) = path.doubt else {
                continue;
            };
            if path.heard() > Some(doubt.since) {
                path.doubt = None;
            } else if due(Some(doubt.since), now, timers::CONFIRM) {
                path.doubt = None;
                path.last_receive = None;
                path.reset_at = Some(now);
                left.push((path.key, doubt.elsewhere));
            }
        }
        for (path, elsewhere) in left {
            // Once more, if only the question or its answer was lost.
            self.contact(now, peer, path.remote, Some(path.link), false);
            if let Some(other) = elsewhere {
                self.send_hello(now, peer, other.remote, Some(other.link));
            }
            self.mark_peer_dirty(peer);
        }
    }

    /// Makes `path` one of the peer's.
    pub(super) fn learn_path(&mut self, now: Instant, peer: Address, path: PathKey, priority: u32) {
        let Some(record) = self.paths.entry(now, path) else {
            self.counters.overflow += 1;
            return;
        };
        let activity = record.activity.clone();
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        activity.authentic.set(now);
        let learned = PeerPath {
            key: path,
            activity,
            last_receive: Some(now),
            reset_at: None,
            doubt: None,
            priority,
        };
        let mut lost = None;
        if known.paths.len() < MAX_PATHS_PER_PEER {
            known.paths.push(learned);
        } else {
            let paths = &self.paths;
            let same_place = known.paths.iter().position(|p| {
                p.key.link == path.link
                    && p.key.remote.ip() == path.remote.ip()
                    && !paths.get(p.key).is_some_and(|r| r.is_alive(now))
            });
            let slot = same_place.or_else(|| {
                let oldest = |p: &PeerPath| p.activity.received.get();
                (0..known.paths.len()).min_by_key(|i| oldest(&known.paths[*i]))
            });
            if let Some(slot) = slot {
                lost = Some(std::mem::replace(&mut known.paths[slot], learned).key);
            }
        }
        if let Some(path) = lost {
            self.event(Event::PathLost { peer, path });
        }
        self.event(Event::PathLearned { peer, path });
        self.mark_peer_dirty(peer);
    }

    /// Removes the peer's paths that `keep` does not want.
    pub(super) fn retain_paths(&mut self, peer: Address, keep: impl Fn(&PeerPath) -> bool) {
        let Some(record) = self.peers.get_mut(&peer) else {
            return;
        };
        let lost: Vec<PathKey> = record
            .paths
            .extract_if(.., |p| !keep(p))
            .map(|p| p.key)
            .collect();
        if !lost.is_empty() {
            self.mark_peer_dirty(peer);
        }
        for path in lost {
            self.event(Event::PathLost { peer, path });
        }
    }

    /// The "contact at address" primitive (8.3.1): HELLO, or ECHO if that will do.
    pub(super) fn contact(
        &mut self,
        now: Instant,
        peer: Address,
        to: SocketAddr,
        link: Option<LinkId>,
        full: bool,
    ) {
        let Some(record) = self.peers.get(&peer) else {
            return;
        };
        if full || !record.answers_echo() {
            self.send_hello(now, peer, to, link);
            return;
        }
        let links: Vec<LinkId> = match link {
            Some(link) => vec![link],
            None => self
                .links
                .iter()
                .filter(|l| l.local.is_ipv4() == to.is_ipv4())
                .map(|l| l.id)
                .collect(),
        };
        for link in links {
            let path = PathKey { link, remote: to };
            if let Some(id) = self.send_on_path(now, peer, path, Verb::Echo, &[], false) {
                self.expected.register(id);
            }
        }
    }

    /// Our external address changed: paths of this scope and family must answer before they are used again (9.1).
    pub(super) fn reset_paths(&mut self, now: Instant, scope: IpScope, ipv4: bool) {
        let mut reset = Vec::new();
        for (address, peer) in &mut self.peers {
            for path in &mut peer.paths {
                let remote = path.key.remote;
                if remote.is_ipv4() == ipv4 && IpScope::of(remote.ip()) == scope {
                    path.last_receive = None;
                    path.reset_at = Some(now);
                    reset.push((*address, path.key));
                }
            }
        }
        for (peer, path) in reset {
            self.contact(now, peer, path.remote, Some(path.link), false);
            self.mark_peer_dirty(peer);
        }
    }

    /// A worker delivered a frame that came over an unknown path.
    pub(crate) fn note_unknown_path(&mut self, now: Instant, peer: Address, path: PathKey) {
        if let Some(record) = self.peers.get(&peer) {
            record.activity.received.set(now);
            let _ = self
                .paths
                .entry(now, path)
                .map(|r| r.activity.received.set(now));
            self.note_direct(now, peer, path, false);
        }
    }
}
