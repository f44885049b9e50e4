//! Another node: its keys, its paths, and when it was last heard (protocol specification 8.1).

pub(crate) mod path;

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::endpoint::encode_endpoint;
use protocol::packet::{Lane, LaneOrigin};
use protocol::verb::Features;
use protocol::{Address, Identity, Instant, PacketId, SecretIdentity, SessionKeys, Suite, Verb};

use crate::io::PathKey;
use crate::lanes::PathLanes;
use crate::snapshot::PeerActivity;
use crate::status::LatencyHistogram;
use crate::timers::{self, within};
use path::{LATENCY_UNKNOWN, PathTable, PeerPath};

/// What a peer said that it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Version {
    pub(crate) protocol: u8,
    pub(crate) software: (u8, u8, u16),
}

impl Version {
    /// Answers ECHO, and did not run the one release whose ECHO is broken (8.3.1).
    fn answers_echo(self) -> bool {
        self.protocol >= 5 && self.software != (1, 1, 0)
    }
}

/// How packets for a peer of our kind are numbered.
#[derive(Debug)]
pub(crate) struct Numbering {
    pub(crate) origin: LaneOrigin,
    pub(crate) lanes: Vec<(PathKey, Arc<PathLanes>)>,
}

impl Numbering {
    /// The lanes of a path.
    pub(crate) fn lanes_of(&self, path: PathKey) -> Option<&Arc<PathLanes>> {
        let found = self.lanes.iter().find(|(key, _)| *key == path);
        found.map(|(_, lanes)| lanes)
    }

    /// The inner IV of the control plane's next packet. Without a number if it takes several paths, or one that has none.
    fn next(&self, path: Option<PathKey>, random: PacketId) -> PacketId {
        path.and_then(|path| self.lanes_of(path)?.draw(self.origin, Lane::CONTROL))
            .unwrap_or_else(|| self.origin.unnumbered(random.0))
    }
}

/// First protocol version that understands AES-GMAC-SIV.
const FIRST_AES_VERSION: u8 = 12;

/// A node that we have keys with.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) identity: Identity,
    pub(crate) keys: SessionKeys,
    pub(crate) version: Option<Version>,
    /// What it can do as one of our kind; none for unmodified nodes. Not kept over a restart.
    pub(crate) features: Option<Features>,
    /// There if it reads numbers and we have a bond with it.
    pub(crate) numbering: Option<Numbering>,
    pub(crate) paths: Vec<PeerPath>,
    /// It has a bond with us and we have none with it: the path that it was last seen to use, and since when we do.
    pub(crate) followed: Option<(PathKey, Instant)>,
    /// When it was heard; workers write here too.
    pub(crate) activity: Arc<PeerActivity>,
    pub(crate) latencies: LatencyHistogram,
    pub(crate) created: Instant,
    pub(crate) last_nontrivial: Option<Instant>,
    pub(crate) last_trust: Option<Instant>,
    pub(crate) last_full_hello: Option<Instant>,
    pub(crate) last_whois_answered: Option<Instant>,
    pub(crate) last_push_sent: Option<Instant>,
    pub(crate) last_push_received: Option<Instant>,
    pub(crate) pushes_in_a_row: u32,
    pub(crate) last_hint: Option<Instant>,
    /// Up to when the workers' stamps have been read.
    pub(crate) merged: Option<Instant>,
}

impl Peer {
    /// Agrees on keys; the identity is taken as valid.
    pub(crate) fn new(me: &SecretIdentity, identity: Identity, now: Instant) -> Self {
        let keys = SessionKeys::new(&me.agree(&identity));
        Self::with_keys(identity, keys, now)
    }

    /// As [`Self::new`] when the keys are at hand.
    pub(crate) fn with_keys(identity: Identity, keys: SessionKeys, now: Instant) -> Self {
        Self {
            identity,
            keys,
            version: None,
            features: None,
            numbering: None,
            paths: Vec::new(),
            followed: None,
            activity: Arc::default(),
            latencies: LatencyHistogram::default(),
            created: now,
            last_nontrivial: None,
            last_trust: None,
            last_full_hello: None,
            last_whois_answered: None,
            last_push_sent: None,
            last_push_received: None,
            pushes_in_a_row: 0,
            last_hint: None,
            merged: None,
        }
    }

    pub(crate) fn address(&self) -> Address {
        self.identity.address()
    }

    /// What to seal with (2.7).
    pub(crate) fn suite(&self) -> Suite {
        match self.version {
            Some(v) if v.protocol >= FIRST_AES_VERSION => Suite::AesGmacSiv,
            _ => Suite::Salsa20Poly1305,
        }
    }

    /// It is of our kind and can do all of this.
    pub(crate) fn can(&self, bits: u32) -> bool {
        self.features.is_some_and(|features| features.has(bits))
    }

    /// What the inner IV shall be of a packet that leaves on `path`, or on several; `random` if it does not matter.
    pub(crate) fn inner_id(&self, path: Option<PathKey>, random: PacketId) -> PacketId {
        let numbering = self.numbering.as_ref();
        numbering.map_or(random, |numbering| numbering.next(path, random))
    }

    pub(crate) fn answers_echo(&self) -> bool {
        self.version.is_some_and(Version::answers_echo)
    }

    pub(crate) fn last_receive(&self) -> Option<Instant> {
        self.activity.received.get()
    }

    /// Heard of recently, or known only for a short time.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        within(
            self.last_receive().or(Some(self.created)),
            now,
            timers::PEER_ALIVE,
        )
    }

    pub(crate) fn is_active(&self, now: Instant) -> bool {
        within(self.last_nontrivial, now, timers::PEER_ALIVE)
    }

    pub(crate) fn is_trusted(&self, now: Instant) -> bool {
        within(self.last_trust, now, timers::TRUST)
    }

    pub(crate) fn path_mut(&mut self, key: PathKey) -> Option<&mut PeerPath> {
        self.paths.iter_mut().find(|p| p.key == key)
    }

    /// Index of the path that carries data (8.5); later ones win ties.
    pub(crate) fn best_path(
        &self,
        now: Instant,
        paths: &PathTable,
        also_expired: bool,
    ) -> Option<usize> {
        self.best_path_where(now, paths, |p| also_expired || !p.is_expired(now))
    }

    /// As [`Self::best_path`] among those that `filter` accepts.
    pub(crate) fn best_path_where(
        &self,
        now: Instant,
        paths: &PathTable,
        filter: impl Fn(&PeerPath) -> bool,
    ) -> Option<usize> {
        if let Some((followed, _)) = self.followed
            && paths.get(followed).is_some_and(|path| path.is_alive(now))
            && let Some(index) = self.paths.iter().position(|p| p.key == followed)
            && filter(&self.paths[index])
        {
            return Some(index);
        }
        let mut best: Option<(u64, usize)> = None;
        for (index, peer_path) in self.paths.iter().enumerate() {
            if !filter(peer_path) {
                continue;
            }
            let quality = peer_path.quality(now, paths.get(peer_path.key));
            if best.is_none_or(|(least, _)| quality <= least) {
                best = Some((quality, index));
            }
        }
        best.map(|(_, index)| index)
    }

    /// Latency of the best unexpired path; unknown counts as 0xffff, none means no such path.
    pub(crate) fn latency(&self, now: Instant, paths: &PathTable) -> Option<u32> {
        let best = self.paths.get(self.best_path(now, paths, false)?)?;
        Some(
            paths
                .get(best.key)
                .and_then(|p| p.latency)
                .unwrap_or(LATENCY_UNKNOWN),
        )
    }

    /// Reads what workers stamped. True if they heard the peer since the last time.
    pub(crate) fn merge_activity(&mut self, paths: &mut PathTable) -> bool {
        let received = self.activity.received.get();
        for path in &mut self.paths {
            // The path's record may be shared with another peer, so its stamp counts only as far as this peer's does.
            let seen = path.activity.authentic.get().min(received);
            if seen > path.reset_at && seen > path.last_receive {
                path.last_receive = seen;
            }
        }
        if let Some(frame) = self.activity.frame_received.get() {
            if Some(frame) > self.last_trust {
                for path in self.paths.iter().filter(|p| p.last_receive > self.merged) {
                    if let Some(record) = paths.get_mut(path.key) {
                        record.last_trust = record.last_trust.max(Some(frame));
                    }
                }
            }
            self.last_trust = self.last_trust.max(Some(frame));
            self.last_nontrivial = self.last_nontrivial.max(Some(frame));
        }
        let heard = received > self.merged;
        self.merged = received;
        heard
    }

    /// The content of `peers.d/<address>.peer` (20.2).
    pub(crate) fn cache_file(&self) -> Vec<u8> {
        let mut file = vec![2];
        file.extend(self.identity.to_bytes());
        let (protocol, (major, minor, revision)) = self
            .version
            .map_or((0, (0, 0, 0)), |v| (v.protocol, v.software));
        for field in [
            u16::from(protocol),
            u16::from(major),
            u16::from(minor),
            revision,
        ] {
            file.extend(field.to_be_bytes());
        }
        let endpoints: Vec<SocketAddr> = self.paths.iter().map(|p| p.key.remote).collect();
        file.extend(
            u16::try_from(endpoints.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        for endpoint in endpoints {
            encode_endpoint(Some(endpoint), &mut file);
        }
        file
    }
}

/// Verbs whose packets keep a peer active (8.1).
pub const fn is_nontrivial(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Frame
            | Verb::ExtFrame
            | Verb::NetworkConfigRequest
            | Verb::NetworkConfig
            | Verb::MulticastFrame
    )
}
