//! Two worker cores on devices and sockets in memory, wired back to back.

mod frames;
mod hostile;
mod measured;
mod namespace;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bond::Plan;
use node::io::{LinkId, PathKey};
use node::rules::{NetworkPolicy, RemoteCredentials};
use node::snapshot::{
    DuplicateFilter, MemberActivity, MemberEntry, NetworkEntry, PathActivity, PathEntry,
    PeerActivity, PeerEntry, Snapshot,
};
use protocol::packet::LaneOrigin;
use protocol::rule::{Rule, RuleKind};
use protocol::{Address, Instant, MacAddress, NetworkId, SessionKeys, SharedKey, Suite};
use rtrb::Consumer;

use crate::counters::{CounterCells, NetworkCells};
use crate::handover::{Bell, HandoverSender};
use crate::tap::fake::FakeTap;
use crate::udp::ReceiveBuffers;
use crate::udp::fake::FakeUdp;
use crate::worker::{Core, LinkPort, TapPort};
use crate::{DropReason, Handover};

pub(crate) const NETWORK: NetworkId = NetworkId(0x8056_c2e2_1c00_0001);
const LINK: LinkId = LinkId(1);
const SECOND_LINK: LinkId = LinkId(2);
const NOW: Instant = Instant::from_millis(5000);

/// One rule without modifiers.
fn rule(kind: RuleKind) -> Rule {
    Rule {
        not: false,
        or: false,
        kind,
    }
}

/// What a node knows in these tests: itself, one peer, one network.
#[derive(Clone)]
pub(crate) struct Knowledge {
    pub(crate) address: Address,
    pub(crate) peer: Address,
    pub(crate) suite: Suite,
    pub(crate) plan: Plan,
    pub(crate) paths: Vec<PathEntry>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) admitted: bool,
    pub(crate) is_upstream: bool,
    pub(crate) mtu: u16,
    pub(crate) epoch: u64,
    pub(crate) measured: bool,
    pub(crate) idle: bool,
    pub(crate) numbering: Option<LaneOrigin>,
    pub(crate) counted: Option<LaneOrigin>,
    pub(crate) duplicates: Option<Arc<DuplicateFilter>>,
    pub(crate) activity: Arc<PeerActivity>,
}

impl Knowledge {
    pub(crate) fn new(address: u64, peer: u64, remote: SocketAddr) -> Self {
        Self {
            address: Address::from_u64(address),
            peer: Address::from_u64(peer),
            suite: Suite::AesGmacSiv,
            plan: Plan::Single(0),
            paths: vec![path_entry(LINK, remote)],
            rules: vec![rule(RuleKind::Accept)],
            admitted: true,
            is_upstream: false,
            mtu: 2800,
            epoch: 1,
            measured: false,
            idle: false,
            numbering: None,
            counted: None,
            duplicates: None,
            activity: Arc::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::empty(self.address);
        snapshot.epoch = self.epoch;
        snapshot.is_upstream = self.is_upstream;
        let peer = PeerEntry {
            measured: self.measured,
            sampled: self.measured && self.numbering.is_none(),
            idle: self.idle,
            numbering: self.numbering,
            counted: self.counted,
            duplicates: self.duplicates.clone(),
            address: self.peer,
            keys: keys(),
            suite: self.suite,
            plan: self.plan.clone(),
            paths: self.paths.clone().into_boxed_slice(),
            activity: Arc::clone(&self.activity),
        };
        let shard = Snapshot::shard_of(self.peer);
        snapshot.peers[shard] = Arc::new(BTreeMap::from([(self.peer, Arc::new(peer))]));
        let member = MemberEntry {
            admitted: self.admitted,
            has_our_credentials: true,
            remote: Arc::new(RemoteCredentials::default()),
            activity: Arc::new(MemberActivity::default()),
        };
        let network = NetworkEntry {
            network: NETWORK,
            mac: MacAddress::of(self.address, NETWORK),
            mtu: self.mtu,
            policy: Arc::new(NetworkPolicy {
                me: self.address,
                network: NETWORK,
                rules: self.rules.clone().into_boxed_slice(),
                capabilities: Box::default(),
                tags: Box::default(),
                owned: Box::default(),
                assigned: Box::default(),
                flags: 0,
            }),
            members: BTreeMap::from([(self.peer, Arc::new(member))]),
        };
        snapshot.networks.insert(NETWORK, Arc::new(network));
        snapshot
    }
}

fn path_entry(link: LinkId, remote: SocketAddr) -> PathEntry {
    PathEntry {
        key: PathKey { link, remote },
        mtu: 1432,
        direct: true,
        trusted_path_id: None,
        one_in: 2,
        lanes: None,
        activity: Arc::new(PathActivity::default()),
    }
}

/// The keys of the one pair of nodes.
fn keys() -> SessionKeys {
    SessionKeys::new(&SharedKey(std::array::from_fn(|i| i as u8 + 1)))
}

/// A worker core and everything around it.
struct Side {
    core: Core<FakeTap, FakeUdp>,
    tap: Arc<FakeTap>,
    sockets: [Arc<FakeUdp>; 2],
    handovers: Consumer<Handover>,
    buffers: ReceiveBuffers,
    knowledge: Knowledge,
    now: Instant,
}

impl Side {
    fn new(knowledge: Knowledge, ring: usize) -> Self {
        let (sender, handovers) = HandoverSender::new(ring, Bell::new(Arc::new(|| ())));
        let counters = Arc::<CounterCells>::default();
        let seed = [knowledge.address.to_u64() as u8; 32];
        let mut core = Core::new(knowledge.address, 0, seed, sender, counters);
        let tap = Arc::new(FakeTap::default());
        let cells = Arc::<NetworkCells>::default();
        core.taps
            .push(TapPort::new(NETWORK, Arc::clone(&tap), cells, None));
        let sockets: [Arc<FakeUdp>; 2] = Default::default();
        for (link, socket) in [LINK, SECOND_LINK].into_iter().zip(&sockets) {
            core.links
                .push(LinkPort::new(link, Arc::clone(socket), None));
        }
        Self {
            core,
            tap,
            sockets,
            handovers,
            buffers: ReceiveBuffers::new(),
            knowledge,
            now: NOW,
        }
    }

    /// Turns until there is nothing to do.
    fn work(&mut self) {
        let snapshot = self.knowledge.snapshot();
        self.core.mark_all_readable();
        while self.core.turn(&mut self.buffers, &snapshot, self.now) {}
    }

    /// The host of this side sends an IPv4/UDP frame to the other member.
    fn emit(&mut self, payload: &[u8]) -> Vec<u8> {
        let frame = frame(
            MacAddress::of(self.knowledge.peer, NETWORK),
            MacAddress::of(self.knowledge.address, NETWORK),
            payload,
        );
        self.tap.emit(&frame);
        frame
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.core.counters.read(&[]).dropped(reason)
    }

    fn take_handovers(&mut self) -> Vec<Handover> {
        std::iter::from_fn(|| self.handovers.pop().ok()).collect()
    }
}

/// Where the two sides are.
fn endpoint(side: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, side as u8], 9993))
}

/// Two nodes that know each other.
fn pair() -> [Side; 2] {
    let (a, b) = (0x11_2233_4455, 0x66_7788_99aa);
    [
        Side::new(Knowledge::new(a, b, endpoint(1)), 64),
        Side::new(Knowledge::new(b, a, endpoint(0)), 64),
    ]
}

/// Carries everything that one side sent to the other.
fn carry(from: &Side, to: &Side, source: SocketAddr) -> usize {
    let mut carried = 0;
    for (sender, receiver) in from.sockets.iter().zip(&to.sockets) {
        for datagram in sender.take_sent() {
            receiver.arrive(source, &datagram.bytes);
            carried += 1;
        }
    }
    carried
}

/// An Ethernet frame with an IPv4 packet of the given UDP payload.
fn frame(destination: MacAddress, source: MacAddress, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&destination.0[..], &source.0, &[8, 0]].concat();
    let mut header = [0; 28];
    header[0] = 0x45;
    header[9] = 17;
    header[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    header[20..24].copy_from_slice(&[0x12, 0x34, 0, 53]);
    frame.extend_from_slice(&header);
    frame.extend_from_slice(payload);
    frame
}

/// Bytes that do not repeat soon.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}
