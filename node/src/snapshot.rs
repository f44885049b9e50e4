//! The read-only world that data-plane workers see. Built by [`crate::Node`], immutable, replaced as a whole; workers
//! load it once per batch. Only the activity stamps are written by workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bond::Plan;
use protocol::packet::LaneOrigin;
use protocol::{Address, Instant, MacAddress, NetworkId, PacketId, SessionKeys, Suite};

use crate::io::PathKey;
pub use crate::lanes::PathLanes;
use crate::limits::DUPLICATE_WINDOW;
use crate::rules::{NetworkPolicy, RemoteCredentials};

/// How many shards the table of peers has; a change of one peer copies one shard.
pub const PEER_SHARDS: usize = 256;

/// Peers of one shard, by address.
pub type PeerShard = BTreeMap<Address, Arc<PeerEntry>>;

/// Everything that a worker may know.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows with each publication; flow caches are valid for one epoch.
    pub epoch: u64,
    /// Our address.
    pub address: Address,
    /// We are a root: relay for anyone.
    pub is_upstream: bool,
    /// By the low 8 bits of the address.
    pub peers: Vec<Arc<PeerShard>>,
    /// Joined networks with a configuration.
    pub networks: BTreeMap<NetworkId, Arc<NetworkEntry>>,
}

impl Snapshot {
    /// Nobody known, nothing joined.
    pub fn empty(address: Address) -> Self {
        Self {
            epoch: 0,
            address,
            is_upstream: false,
            peers: vec![Arc::default(); PEER_SHARDS],
            networks: BTreeMap::new(),
        }
    }

    /// The shard that holds `address`.
    pub fn shard_of(address: Address) -> usize {
        (address.to_u64() % PEER_SHARDS as u64) as usize
    }

    /// Looks up a peer.
    pub fn peer(&self, address: Address) -> Option<&Arc<PeerEntry>> {
        self.peers.get(Self::shard_of(address))?.get(&address)
    }

    /// Looks up a joined network.
    pub fn network(&self, network: NetworkId) -> Option<&Arc<NetworkEntry>> {
        self.networks.get(&network)
    }
}

/// A peer with known identity.
#[derive(Debug)]
pub struct PeerEntry {
    /// Who.
    pub address: Address,
    /// Keys of the pair.
    pub keys: SessionKeys,
    /// What to seal data with.
    pub suite: Suite,
    /// Which of `paths` carry data.
    pub plan: Plan,
    /// Direct paths, then at most one relay path (an upstream's path), in the order that `plan` indexes.
    pub paths: Box<[PathEntry]>,
    /// Its packets are counted by path.
    pub measured: bool,
    /// They are sampled as well (protocol specification 15.1).
    pub sampled: bool,
    /// Its bond sent nothing for a while, and may not know that its paths failed: the next packet is to be told at once.
    pub idle: bool,
    /// It reads the numbers in our inner IVs, so that they must be these; else they are random.
    pub numbering: Option<LaneOrigin>,
    /// It asked to be told what arrives: packets whose inner IVs are of this origin are counted by lane.
    pub counted: Option<LaneOrigin>,
    /// There if its packets may come several times, on several paths.
    pub duplicates: Option<Arc<DuplicateFilter>>,
    /// Stamps written by workers, read by the node.
    pub activity: Arc<PeerActivity>,
}

/// One path of a peer.
#[derive(Clone, Debug)]
pub struct PathEntry {
    /// Link and remote address.
    pub key: PathKey,
    /// UDP payload limit.
    pub mtu: u16,
    /// False for the path through a relay.
    pub direct: bool,
    /// Send with suite 2 and this id.
    pub trusted_path_id: Option<u64>,
    /// One in so many packets of a sampled peer is to have an odd id; 2: left to chance.
    pub one_in: u16,
    /// Number packets here by these, if the peer reads numbers.
    pub lanes: Option<Arc<PathLanes>>,
    /// Stamps written by workers, read by the node.
    pub activity: Arc<PathActivity>,
}

/// When something last happened: microseconds of the node's clock, 0 for never. Written with relaxed stores, by whoever
/// saw it; the node reads them at its ticks.
#[derive(Debug, Default)]
pub struct Stamp(AtomicU64);

impl Stamp {
    /// Records `now`.
    pub fn set(&self, now: Instant) {
        // A plain store would do; the comparison keeps the cache line shared while the clock stands still.
        let micros = now.as_micros();
        if self.0.load(Ordering::Relaxed) < micros {
            self.0.store(micros, Ordering::Relaxed);
        }
    }

    /// The last record.
    pub fn get(&self) -> Option<Instant> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Instant::from_micros(micros)),
        }
    }
}

/// A number that several threads add to. Workers add sums of many packets at a time, as each addition moves the cache line.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What workers saw of a peer.
#[derive(Debug, Default)]
pub struct PeerActivity {
    /// An authentic packet came from it.
    pub received: Stamp,
    /// An admitted frame came from it: non-trivial, and establishes trust.
    pub frame_received: Stamp,
    /// A frame was sent to it.
    pub frame_sent: Stamp,
    /// Authentic packets from it. Those that workers hand over are counted by the node.
    pub packets_received: Tally,
    /// Packets sealed for it.
    pub packets_sent: Tally,
    /// Packets in its name that were not authentic or could not be understood.
    pub packet_errors: Tally,
}

/// What workers saw of a path.
#[derive(Debug, Default)]
pub struct PathActivity {
    /// An authentic packet came in, of whichever peer and from however far.
    pub received: Stamp,
    /// An authentic packet of this peer came in, without relay.
    pub authentic: Stamp,
    /// Something was sent.
    pub sent: Stamp,
    /// Authentic packets that workers finished. This and what follows only for measured peers.
    pub packets_received: Tally,
    /// Their bytes.
    pub bytes_received: Tally,
    /// Packets that workers sent.
    pub packets_sent: Tally,
    /// Their bytes.
    pub bytes_sent: Tally,
    /// Packets in the peer's name that were not authentic.
    pub forged: Tally,
}

/// Tells the second copy of a packet from the first, for peers that send each packet on several paths. One table for all
/// threads, without locks: of two that ask about one packet at a time, exactly one hears that it is the first.
#[derive(Debug)]
pub struct DuplicateFilter {
    /// Marks of ids. Each one's only place depends on the id; a newer one takes it over.
    seen: Box<[AtomicU32]>,
    /// Where those that had to give way go, by other bits of them.
    displaced: Box<[AtomicU32]>,
}

impl Default for DuplicateFilter {
    fn default() -> Self {
        Self::new(DUPLICATE_WINDOW)
    }
}

impl DuplicateFilter {
    /// Remembers about the last `window` packets.
    pub fn new(window: usize) -> Self {
        let places = || (0..window.div_ceil(2).max(1)).map(|_| AtomicU32::new(0));
        Self {
            seen: places().collect(),
            displaced: places().collect(),
        }
    }

    /// How many packets it remembers.
    pub fn window(&self) -> usize {
        self.seen.len() + self.displaced.len()
    }

    /// False if this packet was asked about before, and not too many others since. 32 bits of each id are kept, so that of
    /// two billion packets one is taken for a copy.
    pub fn is_first(&self, packet: PacketId) -> bool {
        let mark = mark(packet.0);
        let places = self.seen.len();
        // Ids that follow each other go to places of their own (Fibonacci hashing).
        let first = (packet.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize;
        let aside = |mark: u32| mark.wrapping_mul(0x9e37_79b9) as usize >> 8;
        let before = self.seen[first % places].swap(mark, Ordering::Relaxed);
        if before == mark {
            return false;
        }
        let is_first = self.displaced[aside(mark) % places].load(Ordering::Relaxed) != mark;
        if before != 0 {
            self.displaced[aside(before) % places].store(before, Ordering::Relaxed);
        }
        is_first
    }
}

/// What is kept of an id, never 0; of ids that differ in one half alone all the difference.
fn mark(id: u64) -> u32 {
    let (low, high) = (id as u32, (id >> 32) as u32);
    low.wrapping_add(high.wrapping_mul(0x85eb_ca6b)).max(1)
}

/// A joined, configured network.
#[derive(Debug)]
pub struct NetworkEntry {
    /// Which.
    pub network: NetworkId,
    /// Our MAC address on it.
    pub mac: MacAddress,
    /// Device MTU.
    pub mtu: u16,
    /// Rules, own tags and capabilities.
    pub policy: Arc<NetworkPolicy>,
    /// Members that we know of, by address.
    pub members: BTreeMap<Address, Arc<MemberEntry>>,
}

/// A member of a network as a worker sees it. Absent: hand over.
#[derive(Debug)]
pub struct MemberEntry {
    /// Its frames may come in: the network is public or its certificate agrees with ours.
    pub admitted: bool,
    /// It has our current credentials: frames may go out without telling the node first.
    pub has_our_credentials: bool,
    /// What it proved about itself.
    pub remote: Arc<RemoteCredentials>,
    /// Stamps written by workers, read by the node.
    pub activity: Arc<MemberActivity>,
}

/// What workers saw of a member.
#[derive(Debug, Default)]
pub struct MemberActivity {
    /// An admitted frame came from it on this network.
    pub received: Stamp,
    /// A frame was sent to it on this network.
    pub sent: Stamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random ids, as most suites have them, and ids that follow each other, in either half.
    #[test]
    fn copies_are_told_and_first_packets_are_not_dropped() {
        let random = |n: u64| {
            let n = (n ^ n << 32).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
        };
        let ids: [fn(u64) -> u64; 3] = [random, |n| n + 1, |n| n << 32 | 7];
        for (id, percent) in ids.into_iter().zip([95, 100, 100]) {
            let filter = DuplicateFilter::new(512);
            let mut told = 0;
            for n in 0..100_000u64 {
                assert!(filter.is_first(PacketId(id(n))), "{n}");
                // The copy comes when 50 others have come.
                if n >= 50 {
                    told += u32::from(!filter.is_first(PacketId(id(n - 50))));
                }
            }
            println!("{told}");
            assert!(told >= 999 * percent, "{told}");
        }
    }
}
