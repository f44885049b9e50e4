//! Delivery between nodes of our kind: who sends asks, who receives reports, and the bond hears what arrived.

use std::collections::BTreeSet;
use std::sync::Arc;

use bond::{BasePolicy, Pick, Plan, PolicySettings};
use protocol::packet::{LaneOrigin, PacketView};
use protocol::verb::{ArrivalReport, Features, PathAttributes, ReportRequest, UserMessage, Verb};
use protocol::{Address, Instant, PacketId, Suite};

use super::super::{Received, Transport};
use super::arrivals::Arrivals;
use super::bonded::Bonded;
use super::departures::Departures;
use crate::io::{LaneArrivals, LinkId, PathKey};
use crate::limits::{
    DUPLICATE_WINDOW, MAX_MEASURED_PEERS, MAX_REPORT_PATHS, SHORT_DUPLICATE_WINDOW,
};
use crate::peer::{Numbering, is_nontrivial};
use crate::snapshot::DuplicateFilter;
use crate::timers;

/// What both sides must be able to.
const NEEDED: u32 = Features::NUMBERED | Features::REPORTS;

impl Transport {
    /// The peer numbers its packets for us if we number ours for it, and reports.
    pub(in crate::transport) fn is_own(&self, peer: Address) -> bool {
        let record = self.peers.get(&peer);
        record.is_some_and(|peer| peer.can(NEEDED) && peer.suite() == Suite::AesGmacSiv)
    }

    /// USER_MESSAGE came in: a request for reports, a report, what a link is for, or nothing that
    /// we know.
    pub(crate) fn handle_user_message(&mut self, now: Instant, packet: &Received<'_>) {
        let source = packet.source;
        // Whoever did not say that it is of our kind has no business with this.
        if !self.is_own(source) {
            return;
        }
        let Ok(message) = UserMessage::decode(packet.payload) else {
            self.count_malformed_of(source);
            return;
        };
        match message.type_id {
            ReportRequest::TYPE => match ReportRequest::decode(message.data) {
                Ok(request) => self.handle_report_request(now, source, &request),
                Err(_) => self.count_malformed_of(source),
            },
            ArrivalReport::TYPE => match ArrivalReport::decode(message.data) {
                Ok(report) => self.handle_arrival_report(now, source, &report),
                Err(_) => self.count_malformed_of(source),
            },
            PathAttributes::TYPE => match PathAttributes::decode(message.data) {
                Ok(attributes) => self.handle_attributes(now, packet, &attributes),
                Err(_) => self.count_malformed_of(source),
            },
            _ => {}
        }
    }

    fn handle_report_request(&mut self, now: Instant, source: Address, request: &ReportRequest) {
        if !self.bonds.peers.contains_key(&source) {
            let others = self.bonds.peers.values().filter(|b| b.bond.is_none());
            if others.count() >= MAX_MEASURED_PEERS {
                return;
            }
            self.bonds.peers.insert(source, Box::default());
        }
        let origin = LaneOrigin::new(source, self.address, request.run);
        let Some(bonded) = self.bonds.peers.get_mut(&source) else {
            return;
        };
        let mut shown = bonded.expect_repeats(request.repeats, now);
        match &mut bonded.arrivals {
            Some(arrivals) if arrivals.is_of(request) => arrivals.renew(request, now),
            arrivals => {
                *arrivals = Some(Arrivals::new(request, origin, now));
                for path in bonded.paths.values_mut() {
                    path.announcement.repeat();
                }
                shown = true;
            }
        }
        self.bonds.touched.insert(source);
        if shown {
            self.show_peer(source);
        }
    }

    fn handle_arrival_report(&mut self, now: Instant, source: Address, report: &ArrivalReport) {
        let Some(bonded) = self.bonds.peers.get_mut(&source) else {
            return;
        };
        bonded.read_departures(now);
        let (Some(bond), Some(departures)) = (&mut bonded.bond, &mut bonded.departures) else {
            return;
        };
        let round_trip = |key: PathKey| bond.round_trip(bonded.paths.get(&key)?.id);
        for (key, delivery) in departures.take(report, round_trip, now) {
            if let Some(path) = bonded.paths.get(&key) {
                bond.handle_delivery_report(path.id, &delivery, now);
            }
        }
        self.bonds.touched.insert(source);
    }

    /// What workers saw of peers of our kind: packets that arrived on their lanes, and to whom something was sent.
    pub(crate) fn note_lanes(&mut self, now: Instant, arrivals: &[LaneArrivals], sent: &[Address]) {
        for arrived in arrivals {
            let arrived = LaneArrivals {
                at: arrived.at.min(now),
                ..*arrived
            };
            let bonded = self.bonds.peers.get_mut(&arrived.peer);
            if let Some(counted) = bonded.and_then(|bonded| bonded.arrivals.as_mut()) {
                counted.note(&arrived);
                self.bonds.touched.insert(arrived.peer);
            }
        }
        for peer in sent {
            if self.bonds.peers.contains_key(peer) {
                self.bonds.touched.insert(*peer);
            }
        }
    }

    /// We opened a packet with this inner IV ourselves.
    pub(in crate::transport) fn note_numbered(
        &mut self,
        now: Instant,
        peer: Address,
        inner: PacketId,
        packet: &[u8],
    ) {
        let Some(bonded) = self.bonds.peers.get_mut(&peer) else {
            return;
        };
        let verb = PacketView::new(packet).and_then(PacketView::verb);
        if let Some(counted) = &mut bonded.arrivals
            && let Some((lane, highest)) = counted.origin.read(inner)
        {
            counted.note(&LaneArrivals {
                peer,
                lane,
                packets: 1,
                bytes: packet.len() as u64,
                highest,
                at: now,
                has_traffic: verb.is_some_and(is_nontrivial),
            });
            self.bonds.touched.insert(peer);
        }
    }

    /// What packets of the peer must carry to be counted.
    pub(in crate::transport) fn counted_origin(&self, peer: Address) -> Option<LaneOrigin> {
        let arrivals = self.bonds.bonded(peer)?.arrivals.as_ref()?;
        Some(arrivals.origin)
    }

    /// Packets for a bonded peer of our kind are numbered, path by path.
    pub(super) fn sync_numbering(&mut self, now: Instant, peer: Address, bonded: &mut Bonded) {
        if bonded.bond.is_none() || !self.is_own(peer) {
            if bonded.departures.take().is_some() {
                self.stop_numbering(peer);
            }
            return;
        }
        let mut changed = bonded.expect_repeats(false, now);
        let keys: Vec<PathKey> = bonded.paths.keys().copied().collect();
        let workers = self.settings.config.workers;
        let (run, me) = (self.random_u64() as u32, self.address);
        let departures = bonded.departures.get_or_insert_with(|| {
            changed = true;
            Departures::new(run, LaneOrigin::new(me, peer, run))
        });
        changed |= departures.set_paths(&keys, workers);
        if !changed {
            return;
        }
        if let Some(record) = self.peers.get_mut(&peer) {
            record.numbering = Some(Numbering {
                origin: departures.origin,
                lanes: departures.lanes().collect(),
            });
        }
        self.show_peer(peer);
    }

    /// The peer's packets get random inner IVs again.
    pub(super) fn stop_numbering(&mut self, peer: Address) {
        if let Some(record) = self.peers.get_mut(&peer) {
            record.numbering = None;
        }
        self.show_peer(peer);
    }

    /// Sends the request and the report that are due, and says when to look again.
    pub(super) fn exchange_reports(&mut self, now: Instant, peer: Address, bonded: &mut Bonded) {
        let is_own = self.is_own(peer);
        if let (Some(departures), Some(bond)) = (&mut bonded.departures, &bonded.bond)
            && let Some(mut request) = departures.poll_request(now)
        {
            // What an idle bond sends twice is little, and always expected.
            request.repeats = bond.settings().base == BasePolicy::Broadcast
                && matches!(bond.plan(), Plan::Every(_));
            let planned = match bond.plan().pick(0, &mut bonded.cursor) {
                Pick::None => None,
                Pick::One(id) => Some(id),
                Pick::All(ids) => ids.first().copied(),
            };
            let path = planned.and_then(|id| bonded.key_of(id));
            let path = path.or_else(|| self.report_paths(now, peer).first().copied());
            let mut payload = Vec::new();
            request.encode(&mut payload);
            if let Some(path) = path {
                self.send_on_path(now, peer, path, Verb::UserMessage, &payload, false);
            }
        }
        if let Some(arrivals) = &mut bonded.arrivals {
            if arrivals.is_over(now) || !is_own {
                bonded.arrivals = None;
                self.show_peer(peer);
            } else if let Some((report, is_urgent)) = arrivals.poll(now) {
                let mut payload = Vec::new();
                report.encode(&mut payload);
                let mut paths = self.report_paths(now, peer);
                if !is_urgent && !paths.is_empty() {
                    // One dead direction delays what is told; the next report tells it.
                    paths.sort();
                    paths = vec![paths[arrivals.turn % paths.len()]];
                }
                for path in paths {
                    self.send_on_path(now, peer, path, Verb::UserMessage, &payload, false);
                }
            }
        }
        let request = bonded.departures.as_ref().and_then(|d| d.next_request(now));
        let report = bonded.arrivals.as_ref().map(|arrivals| arrivals.next(now));
        bonded.wake_by(now, request);
        bonded.wake_by(now, report);
    }

    /// The paths over which the peer was heard last, one of each link.
    fn report_paths(&self, now: Instant, peer: Address) -> Vec<PathKey> {
        let Some(record) = self.peers.get(&peer) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = record
            .paths
            .iter()
            .filter(|path| self.paths.get(path.key).is_some_and(|p| p.is_alive(now)))
            .filter(|path| !self.is_dead(path.key.link))
            .map(|path| (path.activity.authentic.get(), path.key))
            .collect();
        paths.sort_by_key(|(heard, _)| std::cmp::Reverse(*heard));
        let mut links: BTreeSet<LinkId> = BTreeSet::new();
        paths
            .into_iter()
            .map(|(_, key)| key)
            .filter(|key| links.insert(key.link))
            .take(MAX_REPORT_PATHS)
            .collect()
    }
}

impl Bonded {
    /// Packets of a peer of our kind may come twice: all of them, or, if nobody broadcasts, some. True if that needs another
    /// filter than there is.
    pub(super) fn expect_repeats(&mut self, all: bool, now: Instant) -> bool {
        if self.wants_copies() {
            return false;
        }
        if all || self.broadcast().is_some() {
            self.last_broadcast = Some(now);
        }
        // What is still under way when a broadcast ends may be told by the old filter alone.
        let window = match self.last_broadcast {
            Some(last) if now < last + timers::BROADCAST_MEMORY => DUPLICATE_WINDOW,
            _ => SHORT_DUPLICATE_WINDOW,
        };
        if self.duplicates.as_ref().map(|f| f.window()) == Some(window) {
            return false;
        }
        self.duplicates = Some(Arc::new(DuplicateFilter::new(window)));
        true
    }

    /// The settings of our own bond with it, if that broadcasts.
    fn broadcast(&self) -> Option<&PolicySettings> {
        let settings = self.bond.as_ref()?.settings();
        (settings.base == BasePolicy::Broadcast).then_some(settings)
    }

    /// Every copy is to be delivered: `dedup` is off in our own broadcast bond with it.
    pub(super) fn wants_copies(&self) -> bool {
        let settings = self.broadcast();
        settings.is_some_and(|settings| !settings.deduplicate)
    }

    /// The filter of copies follows the bond's settings. True if it is another one now.
    pub(super) fn sync_filter(&mut self, now: Instant) -> bool {
        if self.wants_copies() {
            return self.duplicates.take().is_some();
        }
        self.broadcast().is_some() && self.expect_repeats(true, now)
    }

    /// Wants to be looked after at `at` at the latest.
    pub(super) fn wake_by(&mut self, now: Instant, at: Option<Instant>) {
        let at = at.map(|at| at.max(now + timers::BOND_GRANULARITY));
        self.deadline = [self.deadline, at].into_iter().flatten().min();
    }
}
