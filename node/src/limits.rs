//! Every bound in one place, with its reason. Whatever the network can feed is bounded here.

/// Peers in memory. Each costs a valid proof of work or an upstream's word; a busy root sees tens of thousands.
/// When full, the non-upstream peer that was silent longest makes room.
pub const MAX_PEERS: usize = 65_536;
/// Paths of one peer (protocol specification 8.1).
pub const MAX_PATHS_PER_PEER: usize = 64;
/// Path records of all peers together. Records that no peer refers to are swept first; then nothing new is learned.
pub const MAX_PATHS: usize = 262_144;
/// Packets waiting for a destination's identity or path (specification 4.2). The oldest is dropped.
pub const MAX_TRANSMIT_QUEUE: usize = 32;
/// Packets waiting for their sender's identity or credentials. The reference shares a ring of 32 with reassembly; ours
/// is apart and larger, so that fragments cannot push them out. The oldest is dropped.
pub const MAX_WAIT_QUEUE: usize = 64;
/// Packets being put together from fragments; as in the reference the oldest makes room, only later.
pub const MAX_REASSEMBLY: usize = 64;
/// Addresses that we remember to have asked for. An address is forgotten half a second after it was asked for, so this
/// also bounds how many WHOIS per half second strangers can make us send.
pub const MAX_WHOIS: usize = 512;
/// Pairs of peers that were introduced within the last 30 s. Beyond that nobody is introduced for a while.
pub const MAX_INTRODUCTIONS: usize = 65_536;
/// Reports of our own external address; only peers that we have keys with can make them. The oldest
/// that is not an upstream's makes room.
pub const MAX_SURFACE_REPORTS: usize = 1_024;
/// Configured physical networks (specification 17).
pub const MAX_PHYSICAL_NETWORKS: usize = 32;
/// Buckets of the gate in front of proof-of-work checks (specification 5.4 hashes to 14 bits).
pub const VALIDATION_BUCKETS: usize = 1 << 14;
/// Proof-of-work checks per second from everywhere: each costs some milliseconds, and sources are easily forged.
pub const MAX_VALIDATIONS_PER_SECOND: u32 = 50;
/// How often upstreams without any path are contacted between two ping checks, after the start and after a change of links
/// or moons: each second until the next ping check, then no more often than the reference does.
pub const MAX_EARLY_CONTACTS: u32 = 4;
/// Addresses of one scope and family that are tried for one PUSH_DIRECT_PATHS (specification 9.2).
pub const MAX_PUSHED_PER_CLASS: usize = 8;
/// PUSH_DIRECT_PATHS from one peer with pauses of at most 30 s before it is muted (specification 9.2).
pub const MAX_PUSHES_IN_A_ROW: u32 = 8;
/// Bytes of payload that one of our PUSH_DIRECT_PATHS may have.
pub const MAX_PUSH_BYTES: usize = 1_150;
/// Bytes of serialized worlds that an OK(HELLO) carries at most: it has to fit into one packet.
pub const MAX_WORLD_BYTES: usize = 8_480;
/// Own addresses in one push of direct paths. Peers can report any number of them, so upstreams' reports come first.
pub const MAX_PUSHED_ENDPOINTS: usize = 64;
/// Own addresses that port mapping may report.
pub const MAX_MAPPED_ADDRESSES: usize = 32;
/// Peers with which we have no bond that are told what we receive (protocol specification 15.2). Each may cost some
/// 10 KB per path; beyond that, those who come later do without.
pub const MAX_MEASURED_PEERS: usize = 1_024;
/// Endpoints of a bonded peer that are tried again when a link appears.
pub const MAX_LOST_ENDPOINTS: usize = 16;
/// Packet sizes that operators may order, each for one interface and one address of a peer.
pub const MAX_MTU_ORDERS: usize = 256;
/// Shortest UDP payload limit of a path: below it fragments would be more header than packet.
pub const MIN_PATH_MTU: u16 = 128;
/// Sampled packets of one peer among which repeats are looked for.
pub const MAX_REMEMBERED_SAMPLES: usize = 512;
/// Packets of one peer among which repeats are dropped: 32 KB, only for peers that repeat.
pub const DUPLICATE_WINDOW: usize = 8_192;
/// Workers whose packets are numbered on each path: the numbers 0 to 61 (62 is left, 63 is the control plane).
pub const MAX_NUMBERED_WORKERS: usize = 62;
/// Lanes of one peer whose arrivals are counted: 40 fit into a report, and as many may have been forgotten by the sender.
pub const MAX_COUNTED_LANES: usize = 256;
/// Moments of a lane at which its count is remembered, some 400 bytes. When full, every second one is dropped.
pub const MAX_LANE_MARKS: usize = 16;
/// Paths over which one report is sent, so that one dead direction does not hide it.
pub const MAX_REPORT_PATHS: usize = 4;
/// Packets of one peer of our kind among which repeats are dropped while nobody broadcasts: those that a bond sends twice
/// are few, and arrive soon after each other. 2 KB.
pub const SHORT_DUPLICATE_WINDOW: usize = 512;
