//! Paths: a link of ours and a remote address (protocol specification 8.1, 8.5).

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::{Instant, IpScope};

use crate::io::{LinkId, PathKey};
use crate::limits::MAX_PATHS;
use crate::snapshot::PathActivity;
use crate::timers::{self, due, millis_since, within};

/// Latency that stands for "never measured".
pub(crate) const LATENCY_UNKNOWN: u32 = 0xffff;

/// What is known of a path, whoever uses it.
#[derive(Debug, Default)]
pub(crate) struct Path {
    /// When something came in or went out; workers write here too.
    pub(crate) activity: Arc<PathActivity>,
    /// Round trip, ms.
    pub(crate) latency: Option<u32>,
    pub(crate) last_trust: Option<Instant>,
    /// Last confirming HELLO.
    pub(crate) last_confirm: Option<Instant>,
    /// Last ECHO that was answered.
    pub(crate) last_echo: Option<Instant>,
}

impl Path {
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        within(self.activity.received.get(), now, timers::PATH_ALIVE)
    }

    pub(crate) fn needs_heartbeat(&self, now: Instant) -> bool {
        due(self.activity.sent.get(), now, timers::PATH_HEARTBEAT)
    }

    pub(crate) fn is_trusted(&self, now: Instant) -> bool {
        within(self.last_trust, now, timers::TRUST)
    }

    /// Takes a round trip into the average (8.4).
    pub(crate) fn measure(&mut self, round_trip: u32) {
        let round_trip = round_trip.min(LATENCY_UNKNOWN - 1);
        self.latency = Some(match self.latency {
            None => round_trip,
            Some(old) => u32::midpoint(old, round_trip),
        });
    }
}

/// All paths, by key.
#[derive(Debug, Default)]
pub(crate) struct PathTable {
    paths: BTreeMap<PathKey, Path>,
    last_sweep: Option<Instant>,
}

impl PathTable {
    pub(crate) fn get(&self, key: PathKey) -> Option<&Path> {
        self.paths.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: PathKey) -> Option<&mut Path> {
        self.paths.get_mut(&key)
    }

    /// The record of `key`, made if there is room.
    pub(crate) fn entry(&mut self, now: Instant, key: PathKey) -> Option<&mut Path> {
        if self.paths.len() >= MAX_PATHS && !self.paths.contains_key(&key) {
            // A sweep visits everything, so it may not happen for each packet of a flood.
            if within(self.last_sweep, now, timers::CONFIRM) {
                return None;
            }
            self.last_sweep = Some(now);
            self.sweep();
            if self.paths.len() >= MAX_PATHS {
                return None;
            }
        }
        Some(self.paths.entry(key).or_default())
    }

    /// Forgets the paths that no peer and no snapshot refers to.
    pub(crate) fn sweep(&mut self) {
        self.paths
            .retain(|_, path| Arc::strong_count(&path.activity) > 1);
    }

    /// Forgets the paths of links that are gone.
    pub(crate) fn retain_links(&mut self, keep: impl Fn(LinkId) -> bool) {
        self.paths.retain(|key, _| keep(key.link));
    }
}

/// The peer was heard from another port of the same address, or through a relay, while this path was silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt {
    /// When it was asked for a sign of life.
    pub(crate) since: Instant,
    /// The other port.
    pub(crate) elsewhere: Option<PathKey>,
}

/// A path as one of a peer's.
#[derive(Debug)]
pub(crate) struct PeerPath {
    pub(crate) key: PathKey,
    pub(crate) activity: Arc<PathActivity>,
    /// Last authentic direct packet of this peer; none after a reset.
    pub(crate) last_receive: Option<Instant>,
    /// What workers stamped up to here does not count: the path was reset then.
    pub(crate) reset_at: Option<Instant>,
    /// The peer may have left it.
    pub(crate) doubt: Option<Doubt>,
    /// 1, or more by cluster redirect (8.9).
    pub(crate) priority: u32,
}

impl PeerPath {
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        due(self.last_receive, now, timers::PATH_EXPIRY)
    }

    /// Last authentic direct packet of this peer that counts.
    pub(crate) fn heard(&self) -> Option<Instant> {
        let stamped = self.activity.authentic.get();
        stamped
            .filter(|at| Some(*at) > self.reset_at)
            .max(self.last_receive)
    }

    /// The smaller the better (8.5).
    pub(crate) fn quality(&self, now: Instant, path: Option<&Path>) -> u64 {
        let latency = path.and_then(|p| p.latency).unwrap_or(LATENCY_UNKNOWN);
        let age = self
            .activity
            .received
            .get()
            .map_or(timers::PATH_AGE_CAP, |t| {
                millis_since(t, now).min(timers::PATH_AGE_CAP)
            });
        let penalty = if u128::from(age) < timers::PATH_ALIVE.as_millis() {
            0
        } else {
            u64::from(LATENCY_UNKNOWN) + age
        };
        let scope = IpScope::of(self.key.remote.ip()) as u64;
        (u64::from(latency) + penalty) * (8 - scope) / u64::from(self.priority.max(1))
    }
}
