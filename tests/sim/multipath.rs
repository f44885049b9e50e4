//! Two members with several links between them, bonded as their `local.conf` says, and flows of packets in both directions.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bond::status::BondStatus;
use bond::{BondSettings, EventKind, Plan, Severity};
use node::Input;
use node::io::{Command, Config, Event, LinkId};
use node::snapshot::PeerEntry;
use node::testing::{Conditions, Wire};
use protocol::packet::PacketView;
use protocol::{Instant, Suite, Verb};
use serde_json::{Value, json};

use crate::flows::{DATAGRAM_LENGTH, ETHERTYPE_IPV4, Flow, Receiver, header, packet};
use crate::world::{Members, underlay};

/// Index of the first member.
pub(crate) const A: usize = 2;
/// Index of the second.
pub(crate) const B: usize = 3;
/// Length of a datagram with an empty ECHO: header and verb.
pub(crate) const ECHO_LENGTH: usize = 28;
/// Both kinds.
pub(crate) const KINDS: [Kind; 2] = [Kind::Ours, Kind::Plain];
/// Workers tell what they sent this often.
const TELL: Duration = Duration::from_millis(250);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the second member is to the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A node that is known as one of ours.
    Ours,
    /// It does nothing that an unmodified node does not do.
    Plain,
}

/// Flows that send a packet each at an interval.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    from: usize,
    flows: Vec<Flow>,
    interval: Duration,
    next: Instant,
    number: u64,
}

/// The two members and everything between them.
pub(crate) struct Multipath {
    pub(crate) world: Members,
    links: u8,
    /// Of each member on each link.
    ports: usize,
    loads: Vec<Load>,
    /// What arrived, by receiving node.
    pub(crate) received: BTreeMap<usize, Receiver>,
    /// Bytes by slot since they were last told, by sending node.
    slot_bytes: BTreeMap<usize, BTreeMap<u16, u64>>,
    told: Instant,
    attended: Instant,
}

/// The address of a member's link; links of one number, from 1, are connected with each other.
pub(crate) fn ip(node: usize, link: u8) -> IpAddr {
    IpAddr::from([10, 100 + link, u8::try_from(node).expect("few nodes"), 1])
}

/// Ports of a link: the first, and the second port of a node in its default settings.
const PORTS: [u16; 2] = [9993, 20_001];

fn endpoints(node: usize, links: u8, ports: usize) -> Vec<SocketAddr> {
    if node != A && node != B {
        return vec![underlay(node)];
    }
    (1..=links)
        .flat_map(|link| PORTS.map(|port| SocketAddr::new(ip(node, link), port)))
        .filter(|endpoint| PORTS[..ports].contains(&endpoint.port()))
        .collect()
}

/// The object `settings` of a `local.conf`, which must be without errors.
pub(crate) fn bonding(settings: &Value) -> Command {
    let (parsed, problems) = BondSettings::parse(settings);
    let errors: Vec<_> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{settings}: {errors:?}");
    Command::SetBonding(Arc::new(parsed))
}

/// Whether a datagram is a QOS_MEASUREMENT.
pub(crate) fn is_report(datagram: &[u8]) -> bool {
    // Readable, as it is authenticated and not encrypted.
    PacketView::new(datagram).is_some_and(|view| {
        view.suite() == Some(Suite::Poly1305) && view.verb() == Some(Verb::QosMeasurement)
    })
}

/// A policy for every peer, with parameters of its own.
pub(crate) fn policy(base: &str, parameters: Value) -> Value {
    json!({"defaultBondingPolicy": base, base: parameters})
}

impl Multipath {
    /// Both members are on the network and know each other over `links` links of 5 ms; `settings` of each as in its
    /// `local.conf`. The second does nothing that an unmodified node does not do.
    pub(crate) fn new(seed: u64, links: u8, settings: [Value; 2]) -> Self {
        Self::of_kind(Kind::Plain, seed, links, settings)
    }

    /// The same; the second member is of this kind.
    pub(crate) fn of_kind(kind: Kind, seed: u64, links: u8, settings: [Value; 2]) -> Self {
        Self::with_ports(kind, seed, (links, 1), settings)
    }

    /// The same; each member has so many ports on each of so many links.
    pub(crate) fn with_ports(
        kind: Kind,
        seed: u64,
        (links, ports): (u8, usize),
        settings: [Value; 2],
    ) -> Self {
        let mut world = Members::at(seed, 2, Conditions::default(), |node| {
            endpoints(node, links, ports)
        });
        world.net.pair_interfaces(A, B);
        if kind == Kind::Plain {
            let config = Config {
                is_plain: true,
                ..Config::default()
            };
            world.net.command(B, Command::Configure(Box::new(config)));
        }
        for (node, settings) in [A, B].into_iter().zip(settings) {
            world.net.command(node, bonding(&settings));
        }
        let joined = world.run_until(seconds(60), |world| {
            [A, B].iter().all(|node| world.has_joined(*node))
        });
        assert!(joined, "seed {seed}: a member did not join within 60 s");
        let now = world.net.now();
        let mut this = Self {
            world,
            links,
            ports,
            loads: Vec::new(),
            received: BTreeMap::from([(A, Receiver::default()), (B, Receiver::default())]),
            slot_bytes: BTreeMap::new(),
            told: now,
            attended: now,
        };
        for link in 1..=links {
            for (from, to) in [(A, B), (B, A)] {
                this.wire(from, to, link);
            }
        }
        this.introduce();
        this.run(seconds(2));
        this
    }

    /// Each learns where the other is.
    pub(crate) fn introduce(&mut self) {
        self.world.net.introduce(A, B);
        self.world.net.introduce(B, A);
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.net.now()
    }

    pub(crate) fn links(&self) -> std::ops::RangeInclusive<u8> {
        1..=self.links
    }

    /// One direction of a link.
    pub(crate) fn wire(&mut self, from: usize, to: usize, link: u8) -> &mut Wire {
        self.world.net.wire(ip(from, link), ip(to, link))
    }

    /// Both directions of a link.
    pub(crate) fn both(&mut self, link: u8, mut change: impl FnMut(&mut Wire)) {
        change(self.wire(A, B, link));
        change(self.wire(B, A, link));
    }

    /// Nothing arrives over the link any more.
    pub(crate) fn cut(&mut self, link: u8) {
        self.both(link, |wire| wire.is_dead = true);
    }

    pub(crate) fn mend(&mut self, link: u8) {
        self.both(link, |wire| wire.is_dead = false);
    }

    /// Flows that each send a packet per `interval` from now on.
    pub(crate) fn load(&mut self, from: usize, flows: &[Flow], interval: Duration) {
        self.loads.push(Load {
            from,
            flows: flows.to_vec(),
            interval,
            next: self.now(),
            number: 0,
        });
    }

    pub(crate) fn end_loads(&mut self) {
        self.loads.clear();
    }

    /// Forgets what arrived and what was carried so far; flows go on.
    pub(crate) fn reset(&mut self) {
        for receiver in self.received.values_mut() {
            *receiver = Receiver::default();
        }
        for link in self.links() {
            self.both(link, |wire| wire.traffic = Default::default());
        }
        for node in &mut self.world.net.nodes {
            node.sent.clear();
            node.sent_at.clear();
            node.files.clear();
            node.ports.clear();
        }
    }

    /// Silence of flows counts from now on.
    pub(crate) fn forgive_gaps(&mut self) {
        let now = self.now();
        for receiver in self.received.values_mut() {
            receiver.forgive_gaps(now);
        }
    }

    /// Forgets what a long run would heap up.
    pub(crate) fn forget_old(&mut self) {
        self.received.values_mut().for_each(Receiver::forget_old);
        for node in &mut self.world.net.nodes {
            node.sent.clear();
            node.sent_at.clear();
        }
    }

    /// Lets the loads run for a while.
    pub(crate) fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// The same until something is so. Returns how long that took.
    pub(crate) fn run_until(
        &mut self,
        at_most: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now();
        let end = start + at_most;
        loop {
            if done(self) {
                return Some(self.now().duration_since(start));
            }
            if self.now() >= end {
                return None;
            }
            self.send_due();
            let next = self.loads.iter().map(|load| load.next).min();
            let next = next
                .unwrap_or(end)
                .min(end)
                .min(self.now() + ms(50))
                .max(self.now() + Duration::from_micros(100));
            let step = next.duration_since(self.now());
            self.world.net.run_for(step);
            self.collect();
            if self.now() >= self.attended + ms(100) {
                self.attended = self.now();
                self.world.attend();
            }
            if self.now() >= self.told + TELL {
                self.told = self.now();
                self.tell_slot_bytes();
            }
        }
    }

    fn send_due(&mut self) {
        let now = self.now();
        for index in 0..self.loads.len() {
            while self.loads[index].next <= now {
                let load = &mut self.loads[index];
                load.next = load.next + load.interval;
                load.number += 1;
                let (from, number, flows) = (load.from, load.number, load.flows.clone());
                for flow in flows {
                    self.send(from, flow, number);
                }
            }
        }
    }

    fn send(&mut self, from: usize, flow: Flow, number: u64) {
        let to = A + B - from;
        let payload = packet(flow, number);
        let (to, own) = (self.world.mac(to), self.world.mac(from));
        if let Some(entry) = self.entry(from)
            && let plan @ Plan::Slots { .. } = &entry.plan
        {
            let slot = Plan::<u16>::slot_of(plan.flow_of(&header(to, own), &payload));
            let slot = u16::try_from(slot).expect("1024 slots");
            let bytes = self.slot_bytes.entry(from).or_default();
            *bytes.entry(slot).or_default() += payload.len() as u64;
        }
        self.world.send_frame(from, to, ETHERTYPE_IPV4, &payload);
    }

    fn collect(&mut self) {
        let now = self.now();
        for node in [A, B] {
            let frames = std::mem::take(&mut self.world.net.nodes[node].delivered);
            let receiver = self.received.entry(node).or_default();
            for (_, frame) in frames {
                receiver.take(&frame, now);
            }
        }
    }

    /// What workers tell of the frames that they send; here the nodes send them all.
    fn tell_slot_bytes(&mut self) {
        for (node, slots) in std::mem::take(&mut self.slot_bytes) {
            let peer = self.world.net.nodes[A + B - node].address();
            let slots: Vec<_> = slots.into_iter().collect();
            let input = Input::SlotBytes {
                peer,
                slots: &slots,
            };
            self.world.net.handle(node, input);
        }
    }

    /// The other member as a member's workers see it.
    pub(crate) fn entry(&self, of: usize) -> Option<&PeerEntry> {
        let peer = self.world.net.nodes[A + B - of].address();
        let snapshot = self.world.net.nodes[of].snapshot.as_ref()?;
        snapshot.peer(peer).map(|entry| &**entry)
    }

    /// The bond of a member with the other.
    pub(crate) fn bond(&self, of: usize) -> Option<BondStatus> {
        let peer = self.world.net.nodes[A + B - of].address();
        let bonds = self.world.net.nodes[of].node.bonds(self.now());
        bonds.into_iter().find(|bond| bond.peer == peer)
    }

    fn number_of(&self, node: usize, link: LinkId) -> Option<u8> {
        let links = &self.world.net.nodes[node].links;
        let position = links.iter().position(|l| l.id == link)?;
        u8::try_from(position / self.ports + 1).ok()
    }

    /// The link of each turn or slot of a member's plan.
    pub(crate) fn planned(&self, of: usize) -> Vec<u8> {
        let Some(entry) = self.entry(of) else {
            return Vec::new();
        };
        let paths = entry.plan.paths();
        paths
            .iter()
            .filter_map(|index| {
                let path = entry.paths.get(usize::from(*index))?;
                self.number_of(of, path.key.link)
            })
            .collect()
    }

    /// Part of the plan that a link has.
    pub(crate) fn part(&self, of: usize, link: u8) -> f64 {
        let planned = self.planned(of);
        let own = planned.iter().filter(|planned| **planned == link).count();
        own as f64 / planned.len().max(1) as f64
    }

    /// The one link that carries everything.
    pub(crate) fn active(&self, of: usize) -> u8 {
        match self.planned(of)[..] {
            [link] => link,
            ref other => panic!("{other:?}"),
        }
    }

    /// Packets of flows that a member sent over a link, and all that it sent over it.
    pub(crate) fn carried(&mut self, from: usize, link: u8) -> (u64, u64) {
        let traffic = &self.wire(from, A + B - from, link).traffic;
        let packets = traffic.lengths.get(&DATAGRAM_LENGTH).copied();
        (packets.unwrap_or(0), traffic.datagrams)
    }

    /// Packets of flows that a member sent, by link.
    pub(crate) fn packets(&mut self, from: usize) -> Vec<u64> {
        let links = self.links();
        links.map(|link| self.carried(from, link).0).collect()
    }

    /// Links of the packets of flows that a member sent since the last reset, in order.
    pub(crate) fn sequence(&self, from: usize) -> Vec<u8> {
        let node = &self.world.net.nodes[from];
        let packets = node.sent.iter();
        packets
            .filter(|transmit| transmit.bytes.len() == DATAGRAM_LENGTH)
            .filter_map(|transmit| self.number_of(from, transmit.link?))
            .collect()
    }

    /// Link and time of each QOS_MEASUREMENT that a member sent since the last reset.
    pub(crate) fn reports(&self, from: usize) -> Vec<(u8, Instant)> {
        let node = &self.world.net.nodes[from];
        let sent = node.sent.iter().zip(&node.sent_at);
        let reports = sent.filter(|(transmit, _)| is_report(&transmit.bytes));
        reports
            .filter_map(|(transmit, at)| Some((self.number_of(from, transmit.link?)?, *at)))
            .collect()
    }

    /// Probes that a member sent over a link since the last reset.
    pub(crate) fn probes(&mut self, from: usize, link: u8) -> u64 {
        let traffic = &self.wire(from, A + B - from, link).traffic;
        traffic.lengths.get(&ECHO_LENGTH).copied().unwrap_or(0)
    }

    /// Datagrams that a member sent over a link since the last reset, by length.
    pub(crate) fn lengths(&mut self, from: usize, link: u8) -> BTreeMap<usize, u64> {
        self.wire(from, A + B - from, link).traffic.lengths.clone()
    }

    /// What bonds of a member told.
    pub(crate) fn events(&self, of: usize) -> Vec<&EventKind> {
        let events = self.world.net.nodes[of].events.iter();
        events
            .filter_map(|event| match event {
                Event::Bond { event, .. } => Some(&event.kind),
                _ => None,
            })
            .collect()
    }

    /// Packets of a kind that a member sent so far.
    pub(crate) fn sent(&self, of: usize, verb: Verb) -> u64 {
        self.world.net.nodes[of].node.status().counters.sent[verb as usize]
    }

    /// Waits until a member's bond has all links.
    pub(crate) fn settle(&mut self, of: usize) {
        let links = usize::from(self.links);
        let full = self.run_until(seconds(30), |this| {
            this.bond(of).is_some_and(|bond| bond.alive_links == links)
        });
        assert!(full.is_some(), "{:#?}", self.bond(of));
    }
}
