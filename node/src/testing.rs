//! A small world for tests: nodes, links with public addresses, and a network of virtual time that delays, loses,
//! doubles and reorders datagrams as a seed says. Nothing here is random otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use core::time::Duration;
use protocol::controller::Request;
use protocol::world::World;
use protocol::{Address, Instant, NetworkId, SecretIdentity, Verb, WallClock};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

mod wire;

pub use wire::{Traffic, Wire};

use crate::Node;
use crate::io::{
    Command, Event, Input, Link, LinkId, Output, PathKey, PortChange, StateObject, Transmit,
};
use crate::snapshot::Snapshot;

/// Where the virtual clock starts; not zero, since zero means "never" in places.
const START: Instant = Instant::from_millis(1_000_000);
/// The wall clock at that instant, ms since the epoch.
const START_WALL: u64 = 1_700_000_000_000;

/// An identity, the same for the same seed.
pub fn identity(seed: u64) -> SecretIdentity {
    SecretIdentity::generate(&mut StdRng::seed_from_u64(seed))
}

/// How the network treats datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Shortest way from one node to another.
    pub delay: Duration,
    /// Added at random: makes datagrams overtake each other.
    pub jitter: Duration,
    /// Lost of a thousand.
    pub loss_per_mille: u32,
    /// Doubled of a thousand.
    pub duplicate_per_mille: u32,
}

impl Default for Conditions {
    /// 5 ms, nothing lost, nothing overtaken.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
        }
    }
}

/// A node and everything that came out of it.
pub struct SimNode {
    /// The node itself.
    pub node: Node,
    /// Its identity.
    pub identity: SecretIdentity,
    /// Its links.
    pub links: Vec<Link>,
    /// It neither hears nor acts while this is false.
    pub running: bool,
    /// News, oldest first.
    pub events: Vec<Event>,
    /// Its home directory: last content written; none if deleted.
    pub files: BTreeMap<StateObject, Option<Vec<u8>>>,
    /// What workers would see.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Snapshots published so far.
    pub publications: usize,
    /// Frames for its TAP devices, oldest first.
    pub delivered: Vec<(NetworkId, Vec<u8>)>,
    /// Wishes for its devices, oldest first.
    pub ports: Vec<PortChange>,
    /// Requests to its embedded controller, oldest first.
    pub controller_requests: Vec<Request>,
    /// Datagrams that it sent, oldest first.
    pub sent: Vec<Transmit>,
    /// When each of them left.
    pub sent_at: Vec<Instant>,
    planet: World,
    deadline: Instant,
    /// Calls of `handle` since the start: shows busy loops.
    pub turns: u64,
}

impl SimNode {
    /// Its node address.
    pub fn address(&self) -> Address {
        self.identity.address()
    }

    /// Packets of this verb that it received so far.
    pub fn received(&self, verb: Verb) -> u64 {
        self.node.status().counters.received[verb as usize]
    }

    /// Paths to `peer` that the API shows as alive.
    pub fn live_paths(&self, now: Instant, peer: Address) -> Vec<PathKey> {
        self.node
            .peers(now)
            .into_iter()
            .filter(|p| p.address == peer)
            .flat_map(|p| p.paths)
            .filter(|p| p.alive)
            .map(|p| p.path)
            .collect()
    }
}

/// Nodes and the network between them.
pub struct Net {
    /// By index, as [`Net::add`] returned it.
    pub nodes: Vec<SimNode>,
    /// How datagrams are treated from now on.
    pub conditions: Conditions,
    now: Instant,
    rng: StdRng,
    in_flight: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sequence: u64,
    blocked: BTreeSet<(IpAddr, IpAddr)>,
    wires: BTreeMap<(IpAddr, IpAddr), Wire>,
    next_link: u32,
}

impl Net {
    /// An empty world; everything in it follows from `seed`.
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            nodes: Vec::new(),
            conditions,
            now: START,
            rng: StdRng::seed_from_u64(seed),
            in_flight: BTreeMap::new(),
            sequence: 0,
            blocked: BTreeSet::new(),
            wires: BTreeMap::new(),
            next_link: 1,
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The virtual wall clock, ms since the epoch.
    pub fn wall(&self) -> u64 {
        WallClock::new(START, START_WALL).at(self.now)
    }

    /// Starts a node that is bound to `addresses`, on interfaces `sim0`, `sim1` and so on, one for each IP address. Returns its
    /// index.
    pub fn add(
        &mut self,
        identity: SecretIdentity,
        planet: &World,
        addresses: &[SocketAddr],
    ) -> usize {
        let links = self.links(addresses);
        let node = self.start_node(identity.clone(), planet);
        self.nodes.push(SimNode {
            node,
            identity,
            links: links.clone(),
            running: true,
            events: Vec::new(),
            files: BTreeMap::new(),
            snapshot: None,
            publications: 0,
            delivered: Vec::new(),
            ports: Vec::new(),
            controller_requests: Vec::new(),
            sent: Vec::new(),
            sent_at: Vec::new(),
            planet: planet.clone(),
            deadline: self.now,
            turns: 0,
        });
        let index = self.nodes.len() - 1;
        self.command(index, Command::SetLinks(links));
        index
    }

    /// Replaces a node by a fresh process with the same identity and planet, bound to `addresses`.
    pub fn restart(&mut self, index: usize, addresses: &[SocketAddr]) {
        let links = self.links(addresses);
        let node = self.start_node(
            self.nodes[index].identity.clone(),
            &self.nodes[index].planet.clone(),
        );
        let sim = &mut self.nodes[index];
        sim.node = node;
        sim.links.clone_from(&links);
        sim.running = true;
        sim.snapshot = None;
        sim.deadline = self.now;
        self.command(index, Command::SetLinks(links));
    }

    fn start_node(&mut self, identity: SecretIdentity, planet: &World) -> Node {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let wall = WallClock::new(START, START_WALL);
        Node::new(identity, planet.clone(), seed, self.now, wall)
    }

    fn links(&mut self, addresses: &[SocketAddr]) -> Vec<Link> {
        let mut interfaces: Vec<IpAddr> = Vec::new();
        let mut links = Vec::new();
        for local in addresses {
            let known = interfaces.iter().position(|ip| *ip == local.ip());
            let interface = known.unwrap_or(interfaces.len());
            if known.is_none() {
                interfaces.push(local.ip());
            }
            links.push(Link {
                id: LinkId(self.next_link),
                local: *local,
                interface: format!("sim{interface}"),
                hardware_address: None,
            });
            self.next_link += 1;
        }
        links
    }

    /// A node is told who another one is and where, as if it had met it before.
    pub fn introduce(&mut self, index: usize, peer: usize) {
        let peer = &self.nodes[peer];
        let command = Command::LoadPeer {
            identity: peer.identity.public().clone(),
            endpoints: peer.links.iter().map(|link| link.local).collect(),
        };
        self.command(index, command);
    }

    /// Of the interfaces of two nodes only those of one name reach each other.
    pub fn pair_interfaces(&mut self, a: usize, b: usize) {
        let [a, b] = [a, b].map(|index| self.nodes[index].links.clone());
        for (a, b) in a.iter().flat_map(|a| b.iter().map(move |b| (a, b))) {
            if a.interface != b.interface {
                self.block(a.local.ip(), b.local.ip());
            }
        }
    }

    /// Datagrams between these two addresses vanish, both ways.
    pub fn block(&mut self, a: IpAddr, b: IpAddr) {
        self.blocked.insert((a, b));
        self.blocked.insert((b, a));
    }

    /// Datagrams from `from` to `to` vanish; the other way is as it was.
    pub fn block_one_way(&mut self, from: IpAddr, to: IpAddr) {
        self.blocked.insert((from, to));
    }

    /// Undoes [`Net::block`].
    pub fn unblock(&mut self, a: IpAddr, b: IpAddr) {
        self.blocked.remove(&(a, b));
        self.blocked.remove(&(b, a));
    }

    /// The way from one address to another, which from now on has properties of its own; at first those of
    /// [`Net::conditions`].
    pub fn wire(&mut self, from: IpAddr, to: IpAddr) -> &mut Wire {
        let conditions = self.conditions;
        self.wires
            .entry((from, to))
            .or_insert_with(|| Wire::new(conditions))
    }

    /// Gives a node a command now.
    pub fn command(&mut self, index: usize, command: Command) {
        self.handle(index, Input::Command(command));
    }

    /// Gives a node an input now, and takes what comes out.
    pub fn handle(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        let sim = &mut self.nodes[index];
        sim.turns += 1;
        sim.node.handle(now, input);
        let mut transmits = Vec::new();
        loop {
            match sim.node.poll() {
                Output::Timeout(deadline) => {
                    sim.deadline = deadline;
                    break;
                }
                Output::Transmit(transmit) => transmits.push(transmit),
                Output::Deliver { network, frame } => sim.delivered.push((network, frame)),
                Output::Publish(snapshot) => {
                    sim.snapshot = Some(snapshot);
                    sim.publications += 1;
                }
                Output::Port(change) => sim.ports.push(change),
                Output::ControllerRequest(request) => sim.controller_requests.push(request),
                Output::Persist { object, content } => {
                    sim.files.insert(object, content);
                }
                Output::Event(event) => sim.events.push(event),
            }
        }
        for transmit in transmits {
            self.transmit(index, transmit);
        }
    }

    /// Makes a node send a packet by the normal transmit path, as VL2 would.
    pub fn send(&mut self, index: usize, to: Address, verb: Verb, payload: &[u8]) {
        let now = self.now;
        self.nodes[index]
            .node
            .transport
            .send(now, to, verb, payload, false);
        self.handle(index, Input::Tick);
    }

    fn transmit(&mut self, index: usize, transmit: Transmit) {
        // What opens a NAT dies on the way.
        if transmit.ttl.is_none() {
            let sources: Vec<SocketAddr> = self.nodes[index]
                .links
                .iter()
                .filter(|l| match transmit.link {
                    Some(link) => l.id == link,
                    None => l.local.is_ipv4() == transmit.to.is_ipv4(),
                })
                .map(|l| l.local)
                .collect();
            for from in sources {
                self.fly(from, transmit.to, &transmit.bytes);
            }
        }
        self.nodes[index].sent.push(transmit);
        self.nodes[index].sent_at.push(self.now);
    }

    fn fly(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.blocked.contains(&(from.ip(), to.ip())) {
            return;
        }
        let key = (from.ip(), to.ip());
        let conditions = self
            .wires
            .get(&key)
            .map_or(self.conditions, |wire| wire.conditions);
        let copies = if self.chance(conditions.duplicate_per_mille) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let is_lost = self.chance(conditions.loss_per_mille);
            let jitter = u64::try_from(conditions.jitter.as_micros()).unwrap_or(0);
            let extra = Duration::from_micros(self.rng.next_u64() % (jitter + 1));
            let at = match self.wires.get_mut(&key) {
                Some(wire) => wire.carry(self.now, bytes, extra, is_lost),
                None => (!is_lost).then_some(self.now + conditions.delay + extra),
            };
            let Some(at) = at else {
                continue;
            };
            self.sequence += 1;
            self.in_flight
                .insert((at, self.sequence), (from, to, bytes.to_vec()));
        }
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.next_u32() % 1000 < per_mille
    }

    /// Lets the world run for `duration`.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
            let timer = self
                .nodes
                .iter()
                .enumerate()
                .filter(|(_, n)| n.running)
                .map(|(index, n)| (n.deadline, index))
                .min();
            let next = match (arrival, timer) {
                (Some(at), Some((deadline, _))) => at.min(deadline),
                (Some(at), None) => at,
                (None, Some((deadline, _))) => deadline,
                (None, None) => break,
            };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now) {
                self.arrive();
            } else if let Some((_, index)) = timer {
                self.handle(index, Input::Tick);
            }
        }
        self.now = end;
    }

    fn arrive(&mut self) {
        let Some((_, (from, to, bytes))) = self.in_flight.pop_first() else {
            return;
        };
        let target = self.nodes.iter().enumerate().find_map(|(index, node)| {
            let link = node.links.iter().find(|l| l.local == to)?;
            node.running.then_some((index, link.id))
        });
        if let Some((index, link)) = target {
            let path = PathKey { link, remote: from };
            self.handle(
                index,
                Input::Datagram {
                    path,
                    bytes: &bytes,
                },
            );
        }
    }
}
