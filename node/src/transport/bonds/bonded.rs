//! What is kept of one peer that is bonded, by us or by itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bond::{Bond, Cursor, PathId, PolicySettings, QosLedger, Sampling};
use protocol::verb::QosRecord;
use protocol::{Instant, PacketId};

use super::arrivals::Arrivals;
use super::attributes::Announcement;
use super::departures::Departures;
use crate::io::PathKey;
use crate::limits::{MAX_LOST_ENDPOINTS, MAX_REMEMBERED_SAMPLES};
use crate::snapshot::{DuplicateFilter, PathActivity};
use crate::timers;

/// A peer whose paths are measured.
#[derive(Default)]
pub(super) struct Bonded {
    /// Our bond with it; none if only the peer has one.
    pub(super) bond: Option<Bond>,
    /// The policy as configured; an operator's order may have changed the bond's since.
    pub(super) configured: Option<Arc<PolicySettings>>,
    pub(super) paths: BTreeMap<PathKey, Box<BondedPath>>,
    keys: BTreeMap<PathId, PathKey>,
    next_id: u32,
    /// Endpoints of paths that were lost with their link, newest last.
    lost: VecDeque<SocketAddr>,
    /// Place in rotations of the control plane's own packets.
    pub(super) cursor: Cursor,
    /// Last QOS_MEASUREMENT of the peer.
    pub(super) last_qos: Option<Instant>,
    /// Since when the peer gets reports although we have no bond with it.
    pub(super) answering_since: Option<Instant>,
    /// Until when it gets none, whatever it sends.
    pub(super) paused_until: Option<Instant>,
    pub(super) deadline: Option<Instant>,
    /// What workers know of [`Bond::is_idle`].
    pub(super) idle: bool,
    /// It is of our kind: delivery is told by reports, not by samples.
    pub(super) is_own: bool,
    /// What leaves for it, if it is of our kind and we have a bond.
    pub(super) departures: Option<Departures>,
    /// What arrives from it, if it asked to be told.
    pub(super) arrivals: Option<Arrivals>,
    /// There if the peer, or we, send packets on several paths each.
    pub(super) duplicates: Option<Arc<DuplicateFilter>>,
    /// When one of us last broadcast, as far as known; only peers of our kind tell.
    pub(super) last_broadcast: Option<Instant>,
    remembered: BTreeSet<PacketId>,
    remembered_order: VecDeque<PacketId>,
}

/// One path of such a peer.
pub(super) struct BondedPath {
    pub(super) id: PathId,
    pub(super) ledger: QosLedger,
    /// How many of the packets sent there are sampled, and which.
    pub(super) sampling: Sampling,
    pub(super) activity: Arc<PathActivity>,
    pub(super) last_qos: Option<Instant>,
    /// The peer's reports that wait, with their times of arrival; [`timers::QOS_GATE`] bounds them.
    pub(super) reports: VecDeque<(Instant, Vec<QosRecord>)>,
    /// What of the workers' numbers was told to the bond.
    pub(super) told: Told,
    /// What the peer is told of our link.
    pub(super) announcement: Announcement,
}

/// Numbers of [`PathActivity`] at the last look.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    pub(super) authentic: Option<Instant>,
    pub(super) packets_received: u64,
    pub(super) bytes_received: u64,
    pub(super) packets_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) forged: u64,
}

impl Told {
    /// As of now.
    pub(super) fn read(activity: &PathActivity) -> Self {
        Self {
            authentic: activity.authentic.get(),
            packets_received: activity.packets_received.get(),
            bytes_received: activity.bytes_received.get(),
            packets_sent: activity.packets_sent.get(),
            bytes_sent: activity.bytes_sent.get(),
            forged: activity.forged.get(),
        }
    }
}

impl Bonded {
    /// Gives a path a name.
    pub(super) fn add_path(
        &mut self,
        key: PathKey,
        activity: Arc<PathActivity>,
        ledger: QosLedger,
    ) -> PathId {
        let id = PathId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.keys.insert(id, key);
        self.lost.retain(|endpoint| *endpoint != key.remote);
        let told = Told::read(&activity);
        self.paths.insert(
            key,
            Box::new(BondedPath {
                id,
                ledger,
                sampling: Sampling::default(),
                activity,
                last_qos: None,
                reports: VecDeque::new(),
                told,
                announcement: Announcement::default(),
            }),
        );
        id
    }

    /// Forgets a path, but not yet where it led.
    pub(super) fn remove_path(&mut self, key: PathKey) -> Option<PathId> {
        let path = self.paths.remove(&key)?;
        self.keys.remove(&path.id);
        if !self.lost.contains(&key.remote) {
            if self.lost.len() >= MAX_LOST_ENDPOINTS {
                self.lost.pop_front();
            }
            self.lost.push_back(key.remote);
        }
        Some(path.id)
    }

    /// Forgets all paths: they will be named anew.
    pub(super) fn forget_paths(&mut self) {
        self.paths.clear();
        self.keys.clear();
    }

    /// There is something to measure: our bond, or that of the peer.
    pub(super) fn is_measured(&self) -> bool {
        self.bond.is_some() || self.last_qos.is_some()
    }

    /// Stops answering for a while, to see whether the peer goes on by itself.
    pub(super) fn pause(&mut self, now: Instant) {
        self.last_qos = None;
        self.answering_since = None;
        self.paused_until = Some(now + timers::QOS_PAUSE);
        self.forget_paths();
    }

    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Notes how many packets have left by now.
    pub(super) fn read_departures(&mut self, now: Instant) {
        if let (Some(bond), Some(departures)) = (&self.bond, &mut self.departures) {
            departures.read(|key| bond.works_since(self.paths.get(&key)?.id), now);
        }
    }

    pub(super) fn key_of(&self, id: PathId) -> Option<PathKey> {
        self.keys.get(&id).copied()
    }

    /// Where the peer is, or lately was.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = SocketAddr> {
        let present = self.paths.keys().map(|key| key.remote);
        present.chain(self.lost.iter().copied())
    }

    /// True if this shows for the first time that the peer sends packets on several paths each: a wire id came twice.
    pub(super) fn note_repeated(&mut self, id: PacketId) -> bool {
        if self.duplicates.is_some() || self.wants_copies() {
            return false;
        }
        if !self.remembered.insert(id) {
            self.remembered = BTreeSet::new();
            self.remembered_order = VecDeque::new();
            self.duplicates = Some(Arc::default());
            return true;
        }
        self.remembered_order.push_back(id);
        if self.remembered_order.len() > MAX_REMEMBERED_SAMPLES
            && let Some(oldest) = self.remembered_order.pop_front()
        {
            self.remembered.remove(&oldest);
        }
        false
    }
}
