//! What happens by time: keeping peers, finding upstreams, forgetting (protocol specification 8.6, 8.8).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use protocol::{Address, Identity, Instant};

use super::Transport;
use crate::io::{Config, Event, Link, LinkId, PathKey, StateObject};
use crate::limits::{MAX_MAPPED_ADDRESSES, MAX_PATHS_PER_PEER};
use crate::peer::path::LATENCY_UNKNOWN;
use crate::physical::Settings;
use crate::timers::{self, due, within};

/// Over which families keepalive sent something.
#[derive(Clone, Copy, Default)]
struct Sent {
    ipv4: bool,
    ipv6: bool,
}

impl Sent {
    fn note(&mut self, to: SocketAddr) {
        match to {
            SocketAddr::V4(_) => self.ipv4 = true,
            SocketAddr::V6(_) => self.ipv6 = true,
        }
    }
}

/// How patient we are with a node that must always be contacted, in units of 14 s: upstreams with a path.
const UPSTREAM_SCALE: u32 = 16;
/// The same for anchors, replicators and seeds.
const ANCHOR_SCALE: u32 = 2;

impl Transport {
    /// Interval of [`Self::ping_check`].
    pub(crate) fn ping_interval(&self) -> core::time::Duration {
        if self.low_bandwidth() {
            timers::PING_CHECK_LOW_BANDWIDTH
        } else {
            timers::PING_CHECK
        }
    }

    /// Looks after all peers.
    pub(crate) fn ping_check(&mut self, now: Instant) {
        let mut always: BTreeSet<Address> = self.roots.upstreams().keys().copied().collect();
        always.extend(self.roots.seeds());
        always.extend(&self.facts.always_contact);
        always.remove(&self.address);
        let peers: Vec<(Address, bool)> = self
            .peers
            .iter()
            .map(|(address, peer)| (*address, peer.is_active(now)))
            .collect();
        for (peer, active) in peers {
            if always.contains(&peer) {
                if self.contact_always(now, peer) {
                    always.remove(&peer);
                }
            } else if active {
                self.keepalive(now, peer);
            }
        }
        // Whoever was skipped is asked about: the answer keeps the upstream's path fresh between HELLOs.
        for address in always {
            self.whois(now, address);
        }
        self.update_online(now);
    }

    /// Upstreams that there is no path to.
    fn lacking_upstreams(&self) -> impl Iterator<Item = Address> + '_ {
        let upstreams = self.roots.upstreams().keys().copied();
        upstreams.filter(|address| {
            let peer = self.peers.get(address);
            peer.is_some_and(|peer| peer.paths.is_empty())
        })
    }

    /// There is an upstream without a path, and a link to look for it on.
    pub(crate) fn lacks_an_upstream(&self) -> bool {
        !self.links.is_empty() && !self.low_bandwidth() && self.lacking_upstreams().next().is_some()
    }

    /// Contacts the upstreams that there is no path to, as the ping check does.
    pub(crate) fn contact_lacking_upstreams(&mut self, now: Instant) {
        let lacking: Vec<Address> = self.lacking_upstreams().collect();
        for address in lacking {
            self.contact_always(now, address);
        }
    }

    /// Some upstream was heard lately, or we are one.
    pub(crate) fn is_online(&self) -> bool {
        self.online
    }

    /// False if it is not this one's turn yet.
    fn contact_always(&mut self, now: Instant, address: Address) -> bool {
        let Some(peer) = self.peers.get(&address) else {
            return false;
        };
        let scale = match (self.roots.contains(address), peer.paths.is_empty()) {
            (true, true) => 0,
            (true, false) => UPSTREAM_SCALE,
            (false, _) => ANCHOR_SCALE,
        };
        let early = peer
            .last_full_hello
            .is_some_and(|at| now.duration_since(at) <= timers::CONTACT_UNIT * scale);
        if early && scale > 0 {
            return false;
        }
        let mut sent = self.keepalive(now, address);
        let endpoints = self
            .roots
            .upstreams()
            .get(&address)
            .map(|u| u.endpoints.clone())
            .unwrap_or_default();
        for ipv4 in [true, false] {
            if (ipv4 && sent.ipv4) || (!ipv4 && sent.ipv6) {
                continue;
            }
            let family: Vec<SocketAddr> = endpoints
                .iter()
                .copied()
                .filter(|e| e.is_ipv4() == ipv4)
                .collect();
            if family.is_empty() {
                continue;
            }
            let to = family[self.random_index(family.len())];
            self.send_hello(now, address, to, None);
            sent.note(to);
        }
        if !(sent.ipv4 || sent.ipv6)
            && let Some((_, path)) = self.relay_path(now, address)
        {
            self.send_hello(now, address, path.remote, Some(path.link));
        }
        true
    }

    fn keepalive(&mut self, now: Instant, address: Address) -> Sent {
        let mut sent = Sent::default();
        let Some(peer) = self.peers.get_mut(&address) else {
            return sent;
        };
        if let Some(latency) = peer.latency(now, &self.paths)
            && latency != LATENCY_UNKNOWN
        {
            peer.latencies.observe(latency);
        }
        let kept = self.bonds.kept_of(address);
        let interval = if kept.paths.is_empty() {
            timers::FULL_HELLO
        } else {
            timers::FULL_HELLO_BONDED
        };
        let full = due(peer.last_full_hello, now, interval);
        if full {
            peer.last_full_hello = Some(now);
        }
        let highest = peer.paths.iter().map(|p| p.priority).max().unwrap_or(1);
        self.retain_paths(address, |p| {
            (!p.is_expired(now) || kept.paths.contains(&p.key)) && p.priority >= highest
        });
        let keys: Vec<PathKey> = self
            .peers
            .get(&address)
            .map(|p| p.paths.iter().map(|p| p.key).collect())
            .unwrap_or_default();
        let only = kept.greeted.filter(|path| keys.contains(path));
        for path in keys {
            let full = full && only.is_none_or(|only| only == path);
            let quiet = !kept.paths.contains(&path)
                && self.paths.get(path).is_none_or(|p| p.needs_heartbeat(now));
            if full && only == Some(path) {
                let links = self.links_to_greet(path, &kept.paths);
                self.send_hello_over(now, address, path.remote, &links);
            } else if full || quiet {
                self.contact(now, address, path.remote, Some(path.link), full);
            }
            if full || quiet {
                if let Some(record) = self.paths.get(path) {
                    record.activity.sent.set(now);
                }
                sent.note(path.remote);
            }
        }
        sent
    }

    /// Where HELLO goes to a peer with which we have a bond: over `path`, and over the links on which the bond keeps no path at
    /// all, so that a link that was lost is found again, unless bandwidth is low.
    fn links_to_greet(&self, path: PathKey, kept: &BTreeSet<PathKey>) -> Vec<Option<LinkId>> {
        self.links_toward(path.remote)
            .filter(|link| {
                let is_kept = || kept.iter().any(|kept| kept.link == *link);
                *link == path.link || !self.low_bandwidth() && !is_kept()
            })
            .map(Some)
            .collect()
    }

    /// Forgets what is over.
    pub(crate) fn housekeeping(&mut self, now: Instant) {
        let silent: Vec<Address> = self
            .peers
            .values()
            .filter(|p| !p.is_alive(now) && !self.roots.contains(p.address()))
            .map(|p| p.address())
            .collect();
        for address in silent {
            self.forget_peer(now, address);
        }
        self.paths.sweep();
        self.surface.expire(now);
        self.introductions.expire(now);
    }

    /// Reads what workers stamped, and notices peers whose best path is another by now.
    pub(crate) fn read_activity(&mut self, now: Instant) {
        let addresses: Vec<Address> = self.peers.keys().copied().collect();
        let relay = self.best_relay(now);
        let relay_moved = relay != self.shown_relay;
        for address in addresses {
            let Some(peer) = self.peers.get_mut(&address) else {
                continue;
            };
            let heard = peer.merge_activity(&mut self.paths);
            if heard {
                self.push_after_activity(now, address);
            }
            self.settle_doubts(now, address);
            let best = self.direct_path(now, address, false);
            let shown = self.shown_path(address);
            let decided = self.has_bonded_plan(address);
            if !decided && (best != shown || (best.is_none() && relay_moved)) {
                self.mark_peer_dirty(address);
            }
        }
        self.update_online(now);
    }

    /// Any peer is known, so that activity has to be read.
    pub(crate) fn has_peers(&self) -> bool {
        !self.peers.is_empty()
    }

    pub(super) fn update_online(&mut self, now: Instant) {
        let online = self.roots.is_upstream()
            || self.roots.upstreams().keys().any(|address| {
                self.peers
                    .get(address)
                    .is_some_and(|p| within(p.last_receive(), now, timers::PEER_ALIVE))
            });
        if online != self.online {
            self.online = online;
            self.event(Event::Online(online));
        }
    }

    /// The full, new set of local links. False if it is the old one.
    pub(crate) fn set_links(&mut self, now: Instant, links: Vec<Link>) -> bool {
        if links == self.links {
            return false;
        }
        let old: BTreeSet<LinkId> = self.links.iter().map(|l| l.id).collect();
        self.links = links;
        let present: BTreeSet<LinkId> = self.links.iter().map(|l| l.id).collect();
        let peers: Vec<Address> = self.peers.keys().copied().collect();
        for peer in peers {
            self.retain_paths(peer, |p| present.contains(&p.key.link));
        }
        self.paths.retain_links(|link| present.contains(&link));
        for (peer, endpoint) in std::mem::take(&mut self.untried) {
            self.send_hello(now, peer, endpoint, None);
        }
        self.run_bonds(now);
        self.contact_bonded_over(now, &present.difference(&old).copied().collect());
        true
    }

    /// Settings from local.conf.
    pub(crate) fn configure(&mut self, config: Config) {
        if config.is_plain {
            self.peers
                .values_mut()
                .for_each(|peer| peer.features = None);
        }
        self.settings = Settings::new(config);
        let refused: Vec<(Address, PathKey)> = self
            .peers
            .iter()
            .flat_map(|(address, peer)| peer.paths.iter().map(|p| (*address, p.key)))
            .filter(|(peer, path)| self.settings.is_blacklisted(*peer, path.remote.ip()))
            .collect();
        for (peer, path) in refused {
            self.retain_paths(peer, |p| p.key != path);
        }
        let peers: Vec<Address> = self.peers.keys().copied().collect();
        for peer in peers {
            self.mark_peer_dirty(peer);
        }
    }

    /// External addresses that port mapping found.
    pub(crate) fn set_mapped(&mut self, mut mapped: Vec<SocketAddr>) {
        mapped.truncate(MAX_MAPPED_ADDRESSES);
        self.mapped = mapped;
    }

    /// The system clock was read again.
    pub(crate) fn set_wall(&mut self, wall: protocol::WallClock) {
        self.wall = wall;
    }

    /// A peer from the cache: its endpoints are tried once, as soon as there are links.
    pub(crate) fn load_peer(
        &mut self,
        now: Instant,
        identity: Identity,
        endpoints: Vec<SocketAddr>,
    ) {
        let address = identity.address();
        if !self.add_peer(now, identity) {
            return;
        }
        for endpoint in endpoints.into_iter().take(MAX_PATHS_PER_PEER) {
            if !self.is_usable(address, endpoint) {
                continue;
            }
            if self.links.is_empty() {
                self.untried.push((address, endpoint));
            } else {
                self.send_hello(now, address, endpoint, None);
            }
        }
    }

    /// Wants a moon.
    pub(crate) fn orbit(&mut self, moon: u64, seed: Option<Address>) {
        self.roots.orbit(moon, seed);
        // The next ping check shall ask at once: only a full HELLO names the moon.
        if let Some(peer) = seed.and_then(|seed| self.peers.get_mut(&seed)) {
            peer.last_full_hello = None;
        }
    }

    /// A moon from disk.
    pub(crate) fn load_moon(&mut self, now: Instant, moon: protocol::world::World) {
        let (id, bytes) = (moon.id, moon.to_bytes());
        if self.roots.load_moon(moon) {
            self.persist(StateObject::Moon(id), Some(bytes));
            self.upstreams_changed(now);
        }
    }

    /// Forgets a moon, on disk too.
    pub(crate) fn deorbit(&mut self, now: Instant, moon: u64) {
        self.roots.deorbit(moon);
        self.persist(StateObject::Moon(moon), None);
        self.upstreams_changed(now);
    }
}
