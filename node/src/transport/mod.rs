//! VL1 as VL2 uses it: peers, paths, upstreams, sending. Owned by [`crate::Node`] beside the networks, so that both
//! halves can be borrowed at once.

mod bonds;
mod direct_paths;
mod hello;
mod keepalive;
mod learn;
mod publish;
mod receive;
mod relay;
mod send;
mod verbs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::verb::{ErrorCode, Verb};
use protocol::world::World;
use protocol::{Address, Identity, Instant, PacketId, SecretIdentity, WallClock};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::expected::ExpectedReplies;
use crate::io::{Event, Link, Output, PathKey, StateObject};
use crate::limits::MAX_PEERS;
use crate::peer::Peer;
use crate::peer::path::PathTable;
use crate::physical::Settings;
use crate::queue::{Incoming, Outgoing, WaitQueue};
use crate::reassembly::Reassembly;
use crate::rendezvous::Introductions;
use crate::roots::Roots;
use crate::snapshot::PeerShard;
use crate::status::Counters;
use crate::surface::Surface;
use crate::validation::ValidationGate;
use crate::whois::WhoisGate;

/// An authenticated, decompressed packet for us.
pub(crate) struct Received<'a> {
    /// Arrival path.
    pub(crate) path: PathKey,
    /// Sender; its identity is known.
    pub(crate) source: Address,
    /// Id as on the wire.
    pub(crate) id: PacketId,
    /// Relays passed.
    pub(crate) hops: u8,
    /// Kind.
    pub(crate) verb: Verb,
    /// What follows the verb byte.
    pub(crate) payload: &'a [u8],
}

/// What a VL2 handler made of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handled {
    /// Processed: path learning goes on as for any authentic packet (8.3).
    Done,
    /// As `Done`, and the sender passed a membership gate: refreshes trust (8.1).
    Trusted,
    /// The sender's credentials are missing: keep the packet and retry (4.1, 10.4). No path learning yet.
    Hold,
    /// Dropped by a rate gate, or not to be counted: no path learning (7.0).
    RateLimited,
}

/// What VL1 must know of the joined networks.
#[derive(Default)]
pub(crate) struct NetworkFacts {
    /// Assigned addresses and addresses on our devices: physical paths inside are refused.
    pub(crate) excluded: Vec<protocol::IpPrefix>,
    /// Anchors and multicast replicators: always contacted.
    pub(crate) always_contact: Vec<Address>,
}

/// Everything of VL1.
pub(crate) struct Transport {
    secret: SecretIdentity,
    address: Address,
    rng: StdRng,
    wall: WallClock,
    settings: Settings,
    links: Vec<Link>,
    mapped: Vec<SocketAddr>,
    facts: NetworkFacts,
    /// Endpoints from the cache that wait for links.
    untried: Vec<(Address, SocketAddr)>,

    roots: Roots,
    peers: BTreeMap<Address, Peer>,
    paths: PathTable,
    bonds: bonds::Bonds,

    expected: ExpectedReplies,
    whois: WhoisGate,
    transmit_queue: WaitQueue<Outgoing>,
    wait_queue: WaitQueue<Incoming>,
    reassembly: Reassembly,
    surface: Surface,
    introductions: Introductions,
    validation: ValidationGate,
    last_beacon: Option<Instant>,

    /// Identities learned since the node last looked: waiting packets may go on.
    learned: Vec<Address>,
    outputs: VecDeque<Output>,
    counters: Counters,
    online: bool,

    shards: Vec<Arc<PeerShard>>,
    dirty_peers: BTreeSet<Address>,
    snapshot_dirty: bool,
    /// The relay path that the snapshot shows.
    shown_relay: Option<(Address, PathKey)>,
}

impl Transport {
    pub(crate) fn new(
        secret: SecretIdentity,
        planet: World,
        seed: [u8; 32],
        now: Instant,
        wall: WallClock,
    ) -> Self {
        let address = secret.address();
        let roots = Roots::new(secret.public().clone(), planet);
        let mut transport = Self {
            address,
            secret,
            rng: StdRng::from_seed(seed),
            wall,
            settings: Settings::default(),
            links: Vec::new(),
            mapped: Vec::new(),
            facts: NetworkFacts::default(),
            untried: Vec::new(),
            roots,
            peers: BTreeMap::new(),
            paths: PathTable::default(),
            bonds: bonds::Bonds::default(),
            expected: ExpectedReplies::new(),
            whois: WhoisGate::default(),
            transmit_queue: WaitQueue::default(),
            wait_queue: WaitQueue::default(),
            reassembly: Reassembly::default(),
            surface: Surface::default(),
            introductions: Introductions::default(),
            validation: ValidationGate::new(),
            last_beacon: None,
            learned: Vec::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            online: false,
            shards: vec![Arc::default(); crate::snapshot::PEER_SHARDS],
            dirty_peers: BTreeSet::new(),
            snapshot_dirty: true,
            shown_relay: None,
        };
        // A default planet of the same id, newer and rightly signed, replaces what the home directory held (6.2).
        if transport.roots.offer(World::default_planet()) {
            let planet = transport.roots.planet().to_bytes();
            transport.persist(StateObject::Planet, Some(planet));
        }
        transport.upstreams_changed(now);
        transport
    }

    /// Our identity.
    pub(crate) fn identity(&self) -> &SecretIdentity {
        &self.secret
    }

    /// Our address.
    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn wall(&self, now: Instant) -> u64 {
        self.wall.at(now)
    }

    /// Random bits from the node's seeded generator.
    pub(crate) fn random_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// An index below `count`, which must not be 0.
    fn random_index(&mut self, count: usize) -> usize {
        usize::try_from(self.rng.next_u64() % count.max(1) as u64).unwrap_or(0)
    }

    /// Sends a packet by the normal transmit path (4.2): best path, else relay, else queue and WHOIS. Registers the wire
    /// id for replies. Returns it if the packet was sent at once.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        to: Address,
        verb: Verb,
        payload: &[u8],
        compress: bool,
    ) -> Option<PacketId> {
        if to == self.address || to.is_reserved() {
            return None;
        }
        let packet = self.build(to, verb, payload, compress);
        self.send_or_queue(now, to, packet)
    }

    /// Answers with OK on the arrival path, one datagram. `body` follows the in-re header.
    pub(crate) fn reply_ok(&mut self, now: Instant, to: &Received<'_>, body: &[u8]) {
        self.reply_ok_as(now, to, to.verb as u8, body);
    }

    /// As `reply_ok` with another in-re verb byte (the acknowledgement of NETWORK_CONFIG says ECHO).
    pub(crate) fn reply_ok_as(
        &mut self,
        now: Instant,
        to: &Received<'_>,
        in_re_verb: u8,
        body: &[u8],
    ) {
        let mut payload = vec![in_re_verb];
        payload.extend(to.id.0.to_be_bytes());
        payload.extend(body);
        self.send_on_path(now, to.source, to.path, Verb::Ok, &payload, false);
    }

    /// Answers with ERROR on the arrival path. `rest` follows the code.
    pub(crate) fn reply_error(
        &mut self,
        now: Instant,
        to: &Received<'_>,
        code: ErrorCode,
        rest: &[u8],
    ) {
        let payload = self.error_payload(to.verb, to.id, code, rest);
        self.send_on_path(now, to.source, to.path, Verb::Error, &payload, false);
    }

    fn error_payload(&mut self, verb: Verb, id: PacketId, code: ErrorCode, rest: &[u8]) -> Vec<u8> {
        if let Some(count) = self.counters.errors_sent.get_mut(code as usize) {
            *count += 1;
        }
        let mut payload = vec![verb as u8];
        payload.extend(id.0.to_be_bytes());
        payload.push(code as u8);
        payload.extend(rest);
        payload
    }

    /// The identity of a node, if known. Our own is known.
    pub(crate) fn identity_of(&self, address: Address) -> Option<&Identity> {
        if address == self.address {
            return Some(self.secret.public());
        }
        self.peers.get(&address).map(|peer| &peer.identity)
    }

    /// Asks the best upstream for an identity (rate limited per address).
    pub(crate) fn whois(&mut self, now: Instant, address: Address) {
        if address.is_reserved() || address == self.address {
            return;
        }
        let Some(upstream) = self.best_upstream(now) else {
            return;
        };
        if !self.whois.may_ask(now, address) {
            return;
        }
        let mut packet = self.build(upstream, Verb::Whois, &address.to_bytes(), false);
        // Not queued: whoever needs the identity asks again, and queued questions would push out what they are for.
        let _ = self.try_send(now, upstream, &mut packet);
    }

    /// The best upstream (9.5), if any.
    pub(crate) fn best_upstream(&self, now: Instant) -> Option<Address> {
        let mut best: Option<(u64, Address)> = None;
        for address in self.roots.upstreams().keys() {
            let Some(peer) = self.peers.get(address) else {
                continue;
            };
            let score = self.upstream_score(now, peer);
            if best.is_none_or(|(least, _)| score <= least) {
                best = Some((score, *address));
            }
        }
        best.map(|(_, address)| address)
    }

    /// All upstreams.
    pub(crate) fn upstreams(&self) -> Vec<Address> {
        self.roots.upstreams().keys().copied().collect()
    }

    /// This node is itself named in the planet or a moon.
    pub(crate) fn is_upstream(&self) -> bool {
        self.roots.is_upstream()
    }

    /// Latency of the best unexpired direct path, ms (0xffff: not measured yet); none if there is no such path.
    pub(crate) fn direct_latency(&self, now: Instant, address: Address) -> Option<u32> {
        self.peers.get(&address)?.latency(now, &self.paths)
    }

    /// Queues an output.
    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// The next queued output.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn event(&mut self, event: Event) {
        self.output(Output::Event(event));
    }

    fn persist(&mut self, object: StateObject, content: Option<Vec<u8>>) {
        self.output(Output::Persist { object, content });
    }

    /// Something that the snapshot shows has changed.
    pub(crate) fn mark_snapshot_dirty(&mut self) {
        self.snapshot_dirty = true;
    }

    fn mark_peer_dirty(&mut self, address: Address) {
        self.bonds.touch(address);
        self.show_peer(address);
    }

    /// As [`Self::mark_peer_dirty`] when nothing changed that a bond must know.
    fn show_peer(&mut self, address: Address) {
        self.dirty_peers.insert(address);
        self.snapshot_dirty = true;
    }

    /// The networks' say in 5.3 rule 3 and 4, and in the always-contact set of 8.6: replaced as a whole when they change.
    pub(crate) fn set_network_facts(&mut self, facts: NetworkFacts) {
        self.facts = facts;
    }

    /// Low-bandwidth mode is on.
    pub(crate) fn low_bandwidth(&self) -> bool {
        self.settings.config.low_bandwidth
    }

    /// An embedded controller answers configuration requests.
    pub(crate) fn has_controller(&self) -> bool {
        self.settings.config.has_controller
    }

    /// Addresses whose identities became known since the last call.
    pub(crate) fn take_learned(&mut self) -> Vec<Address> {
        std::mem::take(&mut self.learned)
    }

    /// Adds a peer unless it is known; the identity is taken as valid.
    fn add_peer(&mut self, now: Instant, identity: Identity) -> bool {
        let address = identity.address();
        if address == self.address || address.is_reserved() || self.peers.contains_key(&address) {
            return false;
        }
        let peer = Peer::new(&self.secret, identity, now);
        self.insert_peer(now, peer);
        true
    }

    fn insert_peer(&mut self, now: Instant, peer: Peer) {
        if self.peers.len() >= MAX_PEERS {
            let idle = self
                .peers
                .values()
                .filter(|p| !self.roots.contains(p.address()))
                .min_by_key(|p| p.last_receive().unwrap_or(p.created))
                .map(Peer::address);
            if let Some(address) = idle {
                self.forget_peer(now, address);
            }
        }
        let address = peer.address();
        self.peers.insert(address, peer);
        self.learned.push(address);
        self.mark_peer_dirty(address);
    }

    /// Writes a peer to the cache and drops it from memory.
    fn forget_peer(&mut self, _now: Instant, address: Address) {
        if let Some(peer) = self.peers.remove(&address) {
            self.persist(StateObject::Peer(address), Some(peer.cache_file()));
            for path in &peer.paths {
                self.event(Event::PathLost {
                    peer: address,
                    path: path.key,
                });
            }
            self.mark_peer_dirty(address);
        }
    }

    /// After a change of worlds: upstreams are peers.
    fn upstreams_changed(&mut self, now: Instant) {
        let identities: Vec<Identity> = self
            .roots
            .upstreams()
            .values()
            .map(|u| u.identity.clone())
            .collect();
        for identity in identities {
            self.bonds.touch(identity.address());
            self.add_peer(now, identity);
        }
        self.snapshot_dirty = true;
    }
}
