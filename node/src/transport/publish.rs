//! What others may see: the peers of the snapshot, and views for the API.

use std::sync::Arc;

use bond::{PathIndex, Plan};
use protocol::{Address, Instant};

use super::Transport;
use crate::io::PathKey;
use crate::peer::Peer;
use crate::snapshot::{PathEntry, PeerEntry, PeerShard, Snapshot};
use crate::status::{NodeStatus, PathStatus, PeerStatus};

impl Transport {
    /// Something changed since the last [`Self::snapshot_peers`].
    pub(crate) fn is_snapshot_dirty(&self) -> bool {
        self.snapshot_dirty
    }

    /// The shards of peers as of now, and whether any differs from last time. Unchanged shards and entries keep their
    /// `Arc`.
    pub(crate) fn snapshot_peers(&mut self, now: Instant) -> (Vec<Arc<PeerShard>>, bool) {
        self.snapshot_dirty = false;
        let relay = self.best_relay(now);
        self.shown_relay = relay;
        let mut changed = false;
        for address in std::mem::take(&mut self.dirty_peers) {
            let shard = &self.shards[Snapshot::shard_of(address)];
            let old = shard.get(&address);
            let new = self
                .peers
                .get(&address)
                .map(|peer| self.entry(now, peer, relay));
            match (old, &new) {
                (None, None) => continue,
                (Some(old), Some(new)) if is_same(old, new) => continue,
                _ => {}
            }
            changed = true;
            let shard = Arc::make_mut(&mut self.shards[Snapshot::shard_of(address)]);
            match new {
                Some(entry) => shard.insert(address, Arc::new(entry)),
                None => shard.remove(&address),
            };
        }
        (self.shards.clone(), changed)
    }

    /// The best upstream and its best path, if it has one.
    pub(super) fn best_relay(&self, now: Instant) -> Option<(Address, PathKey)> {
        let relay = self.best_upstream(now)?;
        self.direct_path(now, relay, false)
            .map(|path| (relay, path))
    }

    /// The direct path that the snapshot's plan for this peer uses; none if it has none or goes through a relay.
    pub(super) fn shown_path(&self, address: Address) -> Option<PathKey> {
        let entry = self.shards[Snapshot::shard_of(address)].get(&address)?;
        let Plan::Single(index) = entry.plan else {
            return None;
        };
        entry
            .paths
            .get(usize::from(index))
            .filter(|path| path.direct)
            .map(|path| path.key)
    }

    fn entry(&self, now: Instant, peer: &Peer, relay: Option<(Address, PathKey)>) -> PeerEntry {
        let numbering = peer.numbering.as_ref();
        let path_entry = |key: PathKey, direct: bool| {
            let ip = key.remote.ip();
            PathEntry {
                key,
                mtu: self.path_mtu(peer.address(), key),
                direct,
                trusted_path_id: self.settings.trusted_path(ip),
                one_in: self.sampled_one_in(peer.address(), key),
                lanes: numbering.and_then(|n| n.lanes_of(key)).cloned(),
                activity: self
                    .paths
                    .get(key)
                    .map(|p| p.activity.clone())
                    .unwrap_or_default(),
            }
        };
        let mut paths: Vec<PathEntry> =
            peer.paths.iter().map(|p| path_entry(p.key, true)).collect();
        let index = match self.best_allowed_path(now, peer, false) {
            Some(best) => Some(best),
            None => match relay {
                Some((upstream, path)) if upstream != peer.address() => {
                    paths.push(path_entry(path, false));
                    Some(paths.len() - 1)
                }
                _ => self.best_allowed_path(now, peer, true),
            },
        };
        let address = peer.address();
        let keys: Vec<PathKey> = paths.iter().map(|path| path.key).collect();
        let plan = self.bonded_plan(address, &keys).unwrap_or_else(|| {
            index
                .and_then(|index| PathIndex::try_from(index).ok())
                .map_or(Plan::Unreachable, Plan::Single)
        });
        PeerEntry {
            address,
            keys: peer.keys.clone(),
            suite: peer.suite(),
            plan,
            paths: paths.into_boxed_slice(),
            measured: self.is_measured(address),
            sampled: self.is_measured(address) && !self.is_own(address),
            idle: self.has_idle_bond(address),
            numbering: numbering.map(|numbering| numbering.origin),
            counted: self.counted_origin(address),
            duplicates: self.duplicate_filter(address),
            activity: peer.activity.clone(),
        }
    }

    /// Index of the path that carries data without a bond, or where none of its paths works.
    fn best_allowed_path(&self, now: Instant, peer: &Peer, also_expired: bool) -> Option<usize> {
        peer.best_path_where(now, &self.paths, |path| {
            (also_expired || !path.is_expired(now)) && !self.is_forbidden(peer.address(), path.key)
        })
    }

    /// For the API.
    pub(crate) fn status(&self, now: Instant) -> NodeStatus {
        NodeStatus {
            identity: self.secret.public().clone(),
            online: self.online,
            planet_id: self.roots.planet().id,
            planet_timestamp: self.roots.planet().timestamp,
            surface_addresses: self.surface.addresses(now),
            counters: self.counters.clone(),
        }
    }

    /// For the API, by address.
    pub(crate) fn peer_status(&self, now: Instant) -> Vec<PeerStatus> {
        self.peers
            .values()
            .map(|peer| {
                let keys: Vec<PathKey> = peer.paths.iter().map(|p| p.key).collect();
                let preferred = match self.bonded_plan(peer.address(), &keys) {
                    Some(Plan::Single(index)) => Some(usize::from(index)),
                    _ => self.best_allowed_path(now, peer, false),
                };
                let paths = peer
                    .paths
                    .iter()
                    .enumerate()
                    .map(|(index, path)| {
                        self.path_status(now, peer.address(), path.key, preferred == Some(index))
                    })
                    .collect::<Vec<_>>();
                PeerStatus {
                    address: peer.address(),
                    version: peer.version.map(|v| {
                        let (major, minor, revision) = v.software;
                        (
                            u16::from(v.protocol),
                            u16::from(major),
                            u16::from(minor),
                            revision,
                        )
                    }),
                    latency: paths.iter().find(|p| p.preferred).and_then(|p| p.latency),
                    role: self.roots.role(peer.address()),
                    paths,
                    latencies: peer.latencies,
                    packets_received: peer.activity.packets_received.get(),
                    packets_sent: peer.activity.packets_sent.get(),
                    packet_errors: peer.activity.packet_errors.get(),
                }
            })
            .collect()
    }

    fn path_status(
        &self,
        now: Instant,
        peer: Address,
        key: PathKey,
        preferred: bool,
    ) -> PathStatus {
        let record = self.paths.get(key);
        PathStatus {
            path: key,
            last_send: record.and_then(|r| r.activity.sent.get()),
            last_receive: record.and_then(|r| r.activity.received.get()),
            alive: record.is_some_and(|r| r.is_alive(now)) || self.bonds.keeps(peer, key),
            preferred,
            trusted_path_id: self.settings.trusted_path(key.remote.ip()).unwrap_or(0),
            mtu: self.path_mtu(peer, key),
            latency: record.and_then(|r| r.latency),
        }
    }

    /// Moons held, by id.
    pub(crate) fn moons(&self) -> Vec<protocol::world::World> {
        self.roots.moons().values().cloned().collect()
    }

    /// What an orderly stop writes to the cache.
    pub(crate) fn peer_cache(&self) -> Vec<(Address, Vec<u8>)> {
        self.peers
            .iter()
            .map(|(address, peer)| (*address, peer.cache_file()))
            .collect()
    }
}

fn is_same(a: &PeerEntry, b: &PeerEntry) -> bool {
    a.suite == b.suite
        && a.plan == b.plan
        && a.measured == b.measured
        && a.sampled == b.sampled
        && a.idle == b.idle
        && a.numbering == b.numbering
        && a.counted == b.counted
        && is_same_filter(a, b)
        && Arc::ptr_eq(&a.activity, &b.activity)
        && a.paths.len() == b.paths.len()
        && a.paths.iter().zip(&b.paths).all(|(a, b)| {
            a.key == b.key
                && a.mtu == b.mtu
                && a.direct == b.direct
                && a.trusted_path_id == b.trusted_path_id
                && a.one_in == b.one_in
                && match (&a.lanes, &b.lanes) {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    (a, b) => a.is_none() && b.is_none(),
                }
                && Arc::ptr_eq(&a.activity, &b.activity)
        })
}

fn is_same_filter(a: &PeerEntry, b: &PeerEntry) -> bool {
    match (&a.duplicates, &b.duplicates) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}
