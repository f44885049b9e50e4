//! Peers with several paths: their bonds, and the measurements that peers with bonds of their own ask of us (protocol
//! specification 15). A bond decides; what it decides upon is told here, and what it wants is done here.

mod arrivals;
mod attributes;
mod bonded;
mod delivery;
mod departures;
mod keep;
mod mtu;
mod numbered_path;
mod route;
mod run;
mod sent_lane;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bond::qos::BY_CHANCE;
use bond::{Bond, BondSettings, BondStatus, LinkEvent, PolicySettings, Rehearsal};
use protocol::verb::{Verb, decode_qos};
use protocol::{Address, Instant, PacketId};

use super::{Received, Transport};
use crate::io::{LinkId, PathKey, Sample};
use crate::limits::MAX_MEASURED_PEERS;
use crate::peer::is_nontrivial;
use crate::snapshot::DuplicateFilter;
use crate::timers::{self, due};
use bonded::Bonded;

/// Everything about bonds.
#[derive(Default)]
pub(super) struct Bonds {
    settings: Arc<BondSettings>,
    /// Some peer may be bonded.
    in_use: bool,
    // Boxed: maps keep room for eleven.
    peers: BTreeMap<Address, Box<Bonded>>,
    /// Who has to be looked after by when.
    schedule: BTreeSet<(Instant, Address)>,
    /// About whom there is news.
    touched: BTreeSet<Address>,
    /// Interfaces without carrier or address.
    down: BTreeSet<String>,
    /// Interfaces over their data cap.
    capped: Arc<BTreeSet<String>>,
    /// Packet sizes that an operator ordered, by interface and the peer's address.
    mtu_orders: BTreeMap<(String, IpAddr), u16>,
}

impl Bonds {
    /// Nobody is bonded, and nobody may be.
    fn is_idle(&self) -> bool {
        !self.in_use && self.peers.is_empty()
    }

    /// Something about the peer changed.
    pub(super) fn touch(&mut self, peer: Address) {
        if self.in_use || self.peers.contains_key(&peer) {
            self.touched.insert(peer);
        }
    }

    fn bonded(&self, peer: Address) -> Option<&Bonded> {
        self.peers.get(&peer).map(Box::as_ref)
    }

    /// Our bond with a peer, and all that belongs to it.
    fn bond_with(&self, peer: Address) -> Option<(&Bonded, &Bond)> {
        let bonded = self.bonded(peer)?;
        Some((bonded, bonded.bond.as_ref()?))
    }
}

/// What is sent for both ends to note; 1.14.1 does not note its own probes (protocol specification 15.1).
fn is_sampled_verb(verb: Verb) -> bool {
    !matches!(
        verb,
        Verb::Ack | Verb::QosMeasurement | Verb::Hello | Verb::Echo
    )
}

impl Transport {
    /// Which peers are bonded from now on, and how.
    pub(crate) fn set_bonding(&mut self, settings: Arc<BondSettings>) {
        self.bonds.in_use = settings.is_in_use();
        if !self.bonds.in_use {
            // Nobody watches carriers any more.
            self.bonds.down.clear();
        }
        self.bonds.settings = settings;
        self.bonds.touched.extend(self.peers.keys());
    }

    /// The policy for a peer; none for roots.
    fn policy_for(&self, peer: Address) -> Option<Arc<PolicySettings>> {
        if self.roots.contains(peer) {
            return None;
        }
        self.bonds.settings.policy_for(peer).cloned()
    }

    /// The peer is bonded, or would be if it had a path: all its ports are learned (8.3).
    pub(super) fn is_bonded(&self, peer: Address) -> bool {
        self.bonds.in_use && self.policy_for(peer).is_some()
    }

    /// An interface lost its carrier or address, or has both.
    pub(crate) fn note_link_state(&mut self, now: Instant, interface: &str, event: LinkEvent) {
        match event {
            LinkEvent::Up => {
                self.bonds.down.remove(interface);
            }
            LinkEvent::Down => {
                self.bonds.down.insert(interface.to_owned());
            }
            LinkEvent::SendFailed(_) => {}
        }
        let links: BTreeSet<LinkId> = self
            .links
            .iter()
            .filter(|link| link.interface == interface)
            .map(|link| link.id)
            .collect();
        self.link_event(now, event, |path| links.contains(&path.link));
        if event == LinkEvent::Up {
            self.contact_bonded_over(now, &links);
        }
    }

    /// The link has no carrier, or not its address.
    pub(in crate::transport) fn is_dead(&self, link: LinkId) -> bool {
        let is_down = |interface: &String| self.bonds.down.contains(interface);
        !self.bonds.down.is_empty()
            && self
                .links
                .iter()
                .any(|known| known.id == link && is_down(&known.interface))
    }

    /// The links for a packet that may leave by `link`, or by any (`None`): without those that are dead.
    pub(in crate::transport) fn live_links(
        &self,
        link: Option<LinkId>,
        to: SocketAddr,
    ) -> Vec<Option<LinkId>> {
        match link {
            _ if self.bonds.down.is_empty() => vec![link],
            Some(link) if self.is_dead(link) => Vec::new(),
            Some(_) => vec![link],
            None => self.links_toward(to).map(Some).collect(),
        }
    }

    /// The links with an address of the same family as `to`, without those that are dead.
    pub(in crate::transport) fn links_toward(
        &self,
        to: SocketAddr,
    ) -> impl Iterator<Item = LinkId> {
        self.links
            .iter()
            .filter(move |link| link.local.is_ipv4() == to.is_ipv4() && !self.is_dead(link.id))
            .map(|link| link.id)
    }

    /// The kernel refused a datagram for this path.
    pub(crate) fn note_send_failed(&mut self, now: Instant, path: PathKey, errno: i32) {
        self.link_event(now, LinkEvent::SendFailed(errno), |p| p == path);
    }

    fn link_event(&mut self, now: Instant, event: LinkEvent, concerns: impl Fn(PathKey) -> bool) {
        for (address, bonded) in &mut self.bonds.peers {
            let Some(bond) = &mut bonded.bond else {
                continue;
            };
            for (key, path) in &bonded.paths {
                if concerns(*key) {
                    bond.handle_link_event(path.id, event, now);
                    self.bonds.touched.insert(*address);
                }
            }
        }
    }

    /// Links are there that were not: bonded peers are tried over them, at the addresses that they have or lately had.
    pub(super) fn contact_bonded_over(&mut self, now: Instant, links: &BTreeSet<LinkId>) {
        let mut contacts: BTreeSet<(Address, SocketAddr)> = BTreeSet::new();
        for (address, bonded) in &self.bonds.peers {
            if bonded.bond.is_some() {
                contacts.extend(bonded.endpoints().map(|endpoint| (*address, endpoint)));
            }
        }
        let v4 = |link: &LinkId| {
            let found = self.links.iter().find(|l| l.id == *link);
            found.map(|l| l.local.is_ipv4())
        };
        let families: BTreeSet<bool> = links.iter().filter_map(v4).collect();
        for (peer, endpoint) in contacts {
            if families.contains(&endpoint.is_ipv4()) && self.is_usable(peer, endpoint) {
                self.send_hello(now, peer, endpoint, None);
            }
        }
    }

    /// The interfaces that have carried what their data caps allow.
    pub(crate) fn set_capped(&mut self, interfaces: Arc<BTreeSet<String>>) {
        let mut told = Vec::new();
        for (address, bonded) in &mut self.bonds.peers {
            if let Some(bond) = &mut bonded.bond {
                bond.set_capped(Arc::clone(&interfaces));
                self.bonds.touched.insert(*address);
                told.push(*address);
            }
        }
        self.bonds.capped = interfaces;
        // Where no path works, a link may be forbidden now under the same plan.
        for peer in told {
            self.show_peer(peer);
        }
    }

    /// An operator's order for one bond.
    pub(crate) fn bond_command(
        &mut self,
        now: Instant,
        peer: Address,
        command: bond::Command,
    ) -> Result<String, String> {
        let bonded = self.bonds.peers.get_mut(&peer);
        let Some(bond) = bonded.and_then(|bonded| bonded.bond.as_mut()) else {
            return Err(format!("{peer} has no bond"));
        };
        self.bonds.touched.insert(peer);
        let answer = bond.command(command, now);
        // Links may have other packet sizes now, under the same plan.
        self.show_peer(peer);
        answer
    }

    /// All bonds, by peer.
    pub(crate) fn bond_status(&self, now: Instant) -> Vec<BondStatus> {
        let bonds = self.bonds.peers.values().filter_map(|b| b.bond.as_ref());
        bonds.map(|bond| bond.status(now)).collect()
    }

    /// What would carry the traffic of each path that one bond uses, if it failed; none without a bond.
    pub(crate) fn rehearse_bond(&self, now: Instant, peer: Address) -> Option<Vec<Rehearsal>> {
        let (_, bond) = self.bonds.bond_with(peer)?;
        Some(bond.rehearse(now))
    }

    /// An authentic packet came from a peer without relay. Frames that workers deliver come as [`Self::note_samples`].
    pub(super) fn note_bond_received(&mut self, now: Instant, packet: &Received<'_>) {
        let Some(bonded) = self.bonds.peers.get_mut(&packet.source) else {
            return;
        };
        let Some(path) = bonded.paths.get_mut(&packet.path) else {
            return;
        };
        if !bonded.is_own {
            match packet.verb {
                Verb::Ack | Verb::QosMeasurement => {}
                Verb::Echo | Verb::Hello => path.ledger.handle_probe_received(packet.id, now),
                _ => path.ledger.handle_received(packet.id, now),
            }
        }
        if let Some(bond) = &mut bonded.bond {
            let bytes = packet.payload.len() as u64;
            if is_nontrivial(packet.verb) {
                bond.handle_received(path.id, 1, bytes, now);
            } else {
                bond.handle_heard(path.id, bytes, now);
            }
        }
        self.bonds.touched.insert(packet.source);
    }

    /// A packet left for a peer on one of its paths; one in so many like it is sampled.
    pub(super) fn note_bond_sent(
        &mut self,
        now: Instant,
        peer: Address,
        path: PathKey,
        (id, one_in): (PacketId, u16),
        verb: Verb,
        length: usize,
    ) {
        let Some(bonded) = self.bonds.peers.get_mut(&peer) else {
            return;
        };
        let Some(path) = bonded.paths.get_mut(&path) else {
            return;
        };
        if !bonded.is_own && is_sampled_verb(verb) {
            path.sampling.note_sent(1);
            path.ledger.handle_sent(id, one_in, now);
        }
        // Heartbeats, probes and their answers are no traffic: else two bonds would keep each other awake for ever.
        if let Some(bond) = &mut bonded.bond
            && is_nontrivial(verb)
        {
            bond.handle_sent(path.id, 1, length as u64, now);
            if let Some(departures) = &mut bonded.departures {
                departures.note_data(now);
            }
            self.bonds.touched.insert(peer);
        }
    }

    /// A packet in the name of a bonded peer was not authentic.
    pub(super) fn note_bond_forged(&mut self, now: Instant, peer: Address, path: PathKey) {
        if let Some(bonded) = self.bonds.peers.get_mut(&peer)
            && let (Some(path), Some(bond)) = (bonded.paths.get(&path), &mut bonded.bond)
        {
            bond.handle_forged(path.id, 1, now);
            self.bonds.touched.insert(peer);
        }
    }

    /// What workers sampled.
    pub(crate) fn note_samples(&mut self, samples: &[Sample]) {
        for sample in samples {
            let Some(bonded) = self.bonds.peers.get_mut(&sample.peer) else {
                continue;
            };
            let repeats = !sample.sent && bonded.note_repeated(sample.packet);
            if let Some(path) = bonded.paths.get_mut(&sample.path) {
                if sample.sent {
                    path.ledger
                        .handle_sent(sample.packet, sample.one_in, sample.at);
                } else {
                    path.ledger.handle_received(sample.packet, sample.at);
                }
                self.bonds.touched.insert(sample.peer);
            }
            if repeats {
                self.show_peer(sample.peer);
            }
        }
    }

    /// Bytes that workers sent by slots of the peer's plan.
    pub(crate) fn note_slot_bytes(&mut self, now: Instant, peer: Address, slots: &[(u16, u64)]) {
        let bonded = self.bonds.peers.get_mut(&peer);
        if let Some(bond) = bonded.and_then(|bonded| bonded.bond.as_mut()) {
            let slots = slots.iter();
            bond.handle_slot_bytes(slots.map(|(slot, bytes)| (usize::from(*slot), *bytes)), now);
            self.bonds.touched.insert(peer);
        }
    }

    /// QOS_MEASUREMENT came in (15.2).
    pub(crate) fn handle_qos(&mut self, now: Instant, packet: &Received<'_>) {
        let source = packet.source;
        if packet.hops > 0 || self.roots.contains(source) {
            return;
        }
        if !self.bonds.peers.contains_key(&source) {
            let others = self.bonds.peers.values().filter(|b| b.bond.is_none());
            if others.count() >= MAX_MEASURED_PEERS {
                return;
            }
            let mut bonded = Box::<Bonded>::default();
            bonded.last_qos = Some(now);
            self.bonds.peers.insert(source, bonded);
            self.run_bond(now, source);
            self.show_peer(source);
        }
        self.bonds.touched.insert(source);
        let Some(bonded) = self.bonds.peers.get_mut(&source) else {
            return;
        };
        if bonded.bond.is_none() {
            if bonded.is_paused(now) {
                return;
            }
            bonded.answering_since.get_or_insert(now);
        }
        bonded.last_qos = Some(now);
        let Some(path) = bonded.paths.get_mut(&packet.path) else {
            return;
        };
        if !due(path.last_qos, now, timers::QOS_GATE) {
            return;
        }
        path.last_qos = Some(now);
        path.reports.push_back((now, decode_qos(packet.payload)));
    }

    /// This packet is a probe of a bond with the peer, not answered yet.
    pub(crate) fn is_probe(&self, peer: Address, id: PacketId) -> bool {
        let bond = self.bonds.bond_with(peer);
        bond.is_some_and(|(_, bond)| bond.probed_path(id.0).is_some())
    }

    /// OK(ECHO): was it a probe?
    pub(crate) fn handle_ok_echo(&mut self, now: Instant, peer: Address, id: PacketId) {
        let bonded = self.bonds.peers.get_mut(&peer);
        let Some(bond) = bonded.and_then(|bonded| bonded.bond.as_mut()) else {
            return;
        };
        if let Some(path) = bond.probed_path(id.0) {
            bond.handle_probe_reply(path, id.0, now);
            self.bonds.touched.insert(peer);
        }
    }

    /// Workers shall sample packets of this peer.
    pub(super) fn is_measured(&self, peer: Address) -> bool {
        self.bonds.bonded(peer).is_some_and(Bonded::is_measured)
    }

    /// Whether the wire id of the next packet there is to be odd or even, if that matters.
    pub(super) fn next_id_is_odd(
        &mut self,
        peer: Address,
        path: PathKey,
        verb: Verb,
    ) -> Option<bool> {
        let bonded = self.bonds.bonded(peer).filter(|bonded| !bonded.is_own)?;
        if bonded.paths.get(&path)?.sampling.one_in() == BY_CHANCE {
            return None;
        }
        // What we do not note shall take no room in the peer's reports.
        if !is_sampled_verb(verb) {
            return Some(false);
        }
        let random = self.random_u64() as u32;
        let path = self.bonds.peers.get_mut(&peer)?.paths.get_mut(&path)?;
        path.sampling.next_id_is_odd(|| random)
    }

    /// One in so many packets that workers send there is to be sampled.
    pub(super) fn sampled_one_in(&self, peer: Address, path: PathKey) -> u16 {
        let bonded = self.bonds.bonded(peer);
        let path = bonded.and_then(|bonded| bonded.paths.get(&path));
        path.map_or(BY_CHANCE, |path| path.sampling.one_in())
    }

    /// Its bond waits for something to send: workers shall tell at once when they send.
    pub(super) fn has_idle_bond(&self, peer: Address) -> bool {
        self.bonds.bonded(peer).is_some_and(|bonded| bonded.idle)
    }

    /// What tells the peer's repeated packets, if it sends each on several paths.
    pub(super) fn duplicate_filter(&self, peer: Address) -> Option<Arc<DuplicateFilter>> {
        self.bonds.bonded(peer)?.duplicates.clone()
    }

    /// False if the packet came before, on another path; then all that it says is that this path works too.
    pub(super) fn is_first_copy(
        &mut self,
        now: Instant,
        peer: Address,
        path: PathKey,
        id: PacketId,
    ) -> bool {
        let Some(bonded) = self.bonds.peers.get_mut(&peer) else {
            return true;
        };
        let filter = bonded.duplicates.as_ref();
        if filter.is_none_or(|filter| filter.is_first(id)) {
            return true;
        }
        if let Some(path) = bonded.paths.get_mut(&path) {
            if !bonded.is_own {
                path.ledger.handle_received(id, now);
            }
            if let Some(bond) = &mut bonded.bond {
                bond.handle_heard(path.id, 0, now);
            }
            self.bonds.touched.insert(peer);
        }
        false
    }

    /// When a bond wants to be looked after.
    pub(crate) fn next_bond_deadline(&self) -> Option<Instant> {
        self.bonds.schedule.first().map(|(at, _)| *at)
    }
}
