//! The boundary of the core: what goes in and what comes out.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bond::{BondEvent, BondSettings, LinkEvent};
use protocol::controller::{Effect, Request};
use protocol::network_config::NetworkConfig;
use protocol::packet::Lane;
use protocol::world::World;
use protocol::{
    Address, Identity, Instant, IpPrefix, MacAddress, MulticastGroup, NetworkId, PacketId,
    WallClock,
};

pub use crate::peer::is_nontrivial;
use crate::snapshot::Snapshot;

/// A local socket address that datagrams leave from and arrive at. Ids are never reused while a process lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u32);

/// A link as the node knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its name here.
    pub id: LinkId,
    /// Bound address and port (unspecified address if the wildcard had to be bound).
    pub local: SocketAddr,
    /// Interface name, empty for the wildcard.
    pub interface: String,
    /// Hardware address of the interface, if it has one.
    pub hardware_address: Option<MacAddress>,
}

/// A path: one of our links and a remote address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "named by their type")]
pub struct PathKey {
    pub link: LinkId,
    pub remote: SocketAddr,
}

/// What the world tells the node. Every input is handled at an instant given beside it.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram as it came from a socket, nothing checked yet.
    Datagram {
        /// Where it came in and from.
        path: PathKey,
        /// The UDP payload.
        bytes: &'a [u8],
    },
    /// A whole packet that a worker joined from its fragments but could not open (unknown sender, HELLO, trusted path).
    /// Treat it as a [`Input::Datagram`] that needs no reassembly although its header says fragmented.
    Assembled {
        /// Where the head came in and from.
        path: PathKey,
        /// Head and fragments' payloads in one, still sealed; the header is as on the wire.
        packet: &'a [u8],
    },
    /// A whole packet that a worker has joined and opened (authenticated under its sender's session keys), but did not
    /// finish: any verb but an admitted FRAME. Still compressed if its flag says so; the header is as on the wire.
    Opened {
        /// Where it came in and from (for fragments: the head's path).
        path: PathKey,
        /// Header, verb byte, plain payload.
        packet: &'a [u8],
    },
    /// An Ethernet frame from the TAP device of a network, header first, that no worker could finish.
    Frame {
        /// Which network's device.
        network: NetworkId,
        /// The frame without frame check sequence.
        bytes: &'a [u8],
    },
    /// A worker delivered a frame that came over a path that the snapshot does not list for this peer.
    UnknownPath {
        /// The sender.
        peer: Address,
        /// Where it came from.
        path: PathKey,
    },
    /// A worker relayed a packet between two peers: introduce them if that is due.
    Relayed {
        /// Origin of the packet.
        source: Address,
        /// Its destination.
        destination: Address,
    },
    /// Packets of measured peers that a worker sent or received since it last told.
    Samples(&'a [Sample]),
    /// What a worker saw of peers of our kind since it last told.
    Lanes {
        /// What arrived on lanes of those that asked for reports.
        arrivals: &'a [LaneArrivals],
        /// Those to whom it sent numbered packets.
        sent: &'a [Address],
    },
    /// Bytes that a worker sent to a peer with a hashed plan, by slot, since it last told.
    SlotBytes {
        /// To whom.
        peer: Address,
        /// Slots, each at most once, with their bytes.
        slots: &'a [(u16, u64)],
    },
    /// The kernel refused a datagram: no route, interface down and the like.
    SendFailed {
        /// Where it should have gone.
        path: PathKey,
        /// What the kernel said.
        errno: i32,
    },
    /// A wish of the operator, the OS or the controller.
    Command(Command),
    /// Time has passed: handle at the latest at the deadline of the last [`Output::Timeout`].
    Tick,
}

/// A packet with an odd id, sent to or received from a measured peer (protocol specification 15.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// With whom.
    pub peer: Address,
    /// On which path; of a packet in fragments, its head.
    pub path: PathKey,
    /// Its id on the wire.
    pub packet: PacketId,
    /// When.
    pub at: Instant,
    /// Sent by us; otherwise received.
    pub sent: bool,
    /// If sent: one in so many packets like it is sampled.
    pub one_in: u16,
}

/// Packets with a number that arrived on one lane of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneArrivals {
    /// The sender.
    pub peer: Address,
    /// Its lane.
    pub lane: Lane,
    /// Packets.
    pub packets: u32,
    /// Their bytes.
    pub bytes: u64,
    /// The highest number, as it travels.
    pub highest: u64,
    /// When that one arrived.
    pub at: Instant,
    /// There was traffic among them, not only what bonds say to each other: see [`is_nontrivial`].
    pub has_traffic: bool,
}

/// Wishes of the operator, news from the OS, answers of the embedded controller.
#[derive(Debug)]
pub enum Command {
    /// The full, new set of local links.
    SetLinks(Vec<Link>),
    /// The system clock was read again.
    SetWallClock(WallClock),
    /// Join a network; `cached` is its last known configuration, if any.
    Join {
        /// Which.
        network: NetworkId,
        /// From `networks.d`.
        cached: Option<Box<NetworkConfig>>,
    },
    /// Leave a network.
    Leave(NetworkId),
    /// The network's TAP device failed or works again: shows as PORT_ERROR.
    PortFailed {
        /// Which.
        network: NetworkId,
        /// True while there is no device.
        failed: bool,
    },
    /// What the OS says of a network's device: groups that its hosts listen to (ARP and solicited-node groups included),
    /// and addresses on it.
    PortState {
        /// Which.
        network: NetworkId,
        /// All groups.
        groups: Vec<MulticastGroup>,
        /// All addresses with prefix.
        addresses: Vec<IpPrefix>,
    },
    /// Orbit a moon; `seed` is the address of one of its roots (none if the moon is already held).
    Orbit {
        /// World id.
        moon: u64,
        /// Where to ask.
        seed: Option<Address>,
    },
    /// Load a moon from disk: accepted as is.
    LoadMoon(Box<World>),
    /// Forget a moon.
    Deorbit(u64),
    /// A peer from the cache: its identity is trusted, its endpoints are tried once.
    LoadPeer {
        /// Who.
        identity: Identity,
        /// Where it was.
        endpoints: Vec<SocketAddr>,
    },
    /// The parts of local.conf that concern the core.
    Configure(Box<Config>),
    /// External addresses learned by port mapping.
    SetMappedAddresses(Vec<SocketAddr>),
    /// What the embedded controller wants done. A revocation is sent to each of its receivers, and applied here if we are a member.
    Controller(Effect),
    /// `settings` of local.conf: which peers are bonded, and how. Roots never are.
    SetBonding(Arc<BondSettings>),
    /// The interfaces that have carried what their data caps allow.
    SetCapped(Arc<BTreeSet<String>>),
    /// An operator limits packets on paths from this interface to this address, until the process ends.
    SetPathMtu {
        /// Name as in [`Link::interface`].
        interface: String,
        /// The peer's address.
        remote: IpAddr,
        /// UDP payload limit in bytes.
        mtu: u16,
    },
    /// What the operating system says of an interface: carrier and address are there, or one of them is gone.
    LinkState {
        /// Name as in [`Link::interface`].
        interface: String,
        /// What happened.
        event: LinkEvent,
    },
}

/// Settings of the core, from local.conf.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `physical`: first match in address order wins.
    pub physical: Vec<PhysicalNetwork>,
    /// `virtual`: hints and blacklists per peer.
    pub peers: Vec<PeerConfig>,
    /// `lowBandwidthMode`.
    pub low_bandwidth: bool,
    /// An embedded controller answers NETWORK_CONFIG_REQUEST.
    pub has_controller: bool,
    /// Be to everybody what an unmodified node is: say nothing of what we can do besides, and do not do it.
    pub is_plain: bool,
    /// Threads of the data plane.
    pub workers: usize,
}

/// One entry of `physical`.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named as in local.conf")]
pub struct PhysicalNetwork {
    pub network: IpPrefix,
    pub blacklist: bool,
    pub trusted_path_id: Option<u64>,
    /// UDP payload limit, 1400..=10324.
    pub mtu: Option<u16>,
}

/// One entry of `virtual`.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named as in local.conf")]
pub struct PeerConfig {
    pub address: Address,
    pub r#try: Vec<SocketAddr>,
    pub blacklist: Vec<IpPrefix>,
}

/// What the node wants of the world.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit(Transmit),
    /// Write a frame to the TAP device of a network.
    Deliver {
        /// Which.
        network: NetworkId,
        /// Ethernet header and payload.
        frame: Vec<u8>,
    },
    /// Workers shall see this from now on.
    Publish(Arc<Snapshot>),
    /// Make the OS look like this.
    Port(PortChange),
    /// A member asks our controller for its configuration.
    ControllerRequest(Request),
    /// Write (or, with none, delete) a file of the home directory.
    Persist {
        /// Which.
        object: StateObject,
        /// Its content.
        content: Option<Vec<u8>>,
    },
    /// Something an operator, the API or a test may want to know.
    Event(Event),
    /// Nothing more to do before this instant.
    Timeout(Instant),
}

/// One datagram to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// From this link; none: from every link of the destination's address family.
    pub link: Option<LinkId>,
    /// Where to.
    pub to: SocketAddr,
    /// UDP payload, up to about 10 KB.
    pub bytes: Vec<u8>,
    /// IPv4 TTL if not the default.
    pub ttl: Option<u8>,
}

/// The declared state of a network's device.
#[derive(Clone, PartialEq, Debug)]
pub enum PortChange {
    /// The device shall exist and look like this.
    Up(Box<PortConfig>),
    /// The device shall not exist.
    Down(NetworkId),
}

/// What a device shall look like; local permissions (allowManaged …) are the daemon's to apply.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "named by their type")]
pub struct PortConfig {
    pub network: NetworkId,
    pub mac: MacAddress,
    pub mtu: u16,
    /// Managed addresses; empty before the first configuration.
    pub addresses: Vec<IpPrefix>,
    pub routes: Vec<protocol::network_config::Route>,
    pub dns_servers: Vec<IpAddr>,
    pub dns_domain: String,
}

/// State that outlives the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum StateObject {
    /// `planet`
    Planet,
    /// `moons.d/<16 hex>.moon`
    Moon(u64),
    /// `networks.d/<16 hex>.conf`
    Network(NetworkId),
    /// `peers.d/<10 hex>.peer`
    Peer(Address),
}

/// News.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "named by their type")]
pub enum Event {
    /// Some upstream was heard from, or none any more.
    Online(bool),
    PathLearned {
        peer: Address,
        path: PathKey,
    },
    PathLost {
        peer: Address,
        path: PathKey,
    },
    NetworkStatus {
        network: NetworkId,
        status: crate::status::NetworkStatusCode,
    },
    /// An upstream says that another node has our address: the identity must be replaced.
    IdentityCollision,
    /// A bond has something to say.
    Bond {
        peer: Address,
        event: Box<BondEvent>,
    },
}
