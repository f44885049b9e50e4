//! Links with rates, delays, queues and losses, flows that behave like TCP's or are paced, and one bond that spreads them:
//! packet by packet, on virtual time.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

mod bbr;
mod flow;
mod link;
mod stock;
mod tcp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bbr::Bbr;
use bond::plan::{Cursor, Pick, SLOTS};
use bond::{
    Bond, BondEvent, EventKind, Output, PathId, PathInfo, PeerTraits, Plan, PolicySettings,
};
pub use flow::Flow;
use flow::Sender;
pub use link::Link;
use link::{Load, Packet};
use protocol::verb::QosRecord;
use protocol::{Address, Instant};
use stock::Stock;
use tcp::Tcp;

/// Bytes of a data packet, of an answer to two of them, and of a probe.
pub const PACKET: u64 = 1250;
const ANSWER: u64 = 80;
const PROBE: u64 = 70;
const STEP: Duration = Duration::from_millis(1);
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
const PEER: Address = Address::from_u64(0x16_a03a_3d03);
/// What the numbers of paths of one wire differ by.
pub const PORT: u32 = 100;

/// The path that has the wire's queue.
fn wire(path: PathId) -> PathId {
    PathId(path.0 % PORT)
}

enum Arrival {
    There(Packet),
    Back(PathId, Load),
    Report(PathId, Vec<QosRecord>),
}

fn new_bond(settings: Arc<PolicySettings>, peer: Peer, now: Instant, seed: u64) -> Bond {
    let traits = PeerTraits {
        is_stock: peer != Peer::Own,
        can_reorder: false,
    };
    Bond::new(settings, PEER, traits, now, seed)
}

/// The other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Of our kind: it reports what it received ten times a second.
    Own,
    /// A zerotier-one that says nothing of what it received; this and the next one answer six probes a second.
    Silent,
    /// One that reports as 1.14.1 does.
    Stock,
}

/// The links, the bond over them, and the flows that it spreads.
pub struct Network {
    pub now: Instant,
    pub bond: Bond,
    pub links: BTreeMap<PathId, Link>,
    pub flows: Vec<Flow>,
    pub events: Vec<BondEvent>,
    /// Slots that changed their path, each time.
    pub slot_moves: Vec<(Instant, usize)>,
    peer: Peer,
    plan: Vec<PathId>,
    cursor: Cursor,
    on_the_way: BTreeMap<(Instant, u64), Arrival>,
    counter: u64,
    random: u64,
    slot_bytes: Box<[u64; SLOTS]>,
    slot_seen: Box<[Option<Instant>; SLOTS]>,
    slots_told: Instant,
    early: u8,
    next_report: Instant,
}

impl Network {
    /// Nobody sends anything yet.
    pub fn new(settings: PolicySettings, peer: Peer, links: &[Link], seed: u64) -> Self {
        Self::with_ports(settings, peer, links, 1, seed)
    }

    /// Each link with so many paths, which differ in ports alone: link `n` is also path `n + PORT`, and so on.
    pub fn with_ports(
        settings: PolicySettings,
        peer: Peer,
        links: &[Link],
        ports: u32,
        seed: u64,
    ) -> Self {
        let now = Instant::from_millis(1_000_000);
        let mut network = Self {
            now,
            bond: new_bond(Arc::new(settings), peer, now, seed),
            links: BTreeMap::new(),
            flows: Vec::new(),
            events: Vec::new(),
            slot_moves: Vec::new(),
            peer,
            plan: Vec::new(),
            cursor: Cursor::default(),
            on_the_way: BTreeMap::new(),
            counter: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            slot_bytes: Box::new([0; SLOTS]),
            slot_seen: Box::new([None; SLOTS]),
            slots_told: now,
            early: 0,
            next_report: now,
        };
        for (link, (id, port)) in (1..)
            .zip(links)
            .flat_map(|(id, link)| (0..ports).map(move |port| (link, (id, port))))
        {
            let path = PathId(id + port * PORT);
            let mut link = link.clone();
            link.stock = (peer == Peer::Stock).then(|| Stock::new(now));
            network.links.insert(path, link);
            let (own, other) = (9993 + port / 2, 9993 + port % 2);
            let path = PathInfo {
                id: path,
                interface: format!("wan{id}"),
                interface_mac: None,
                local: format!("10.78.{id}.1:{own}").parse().expect("an address"),
                remote: format!("10.78.{id}.2:{other}").parse().expect("an address"),
                link_up: true,
                confirmed: true,
            };
            network.bond.add_path(path, now);
        }
        network.drain();
        network.seconds(2.0);
        network
    }

    /// The bond, with a new one in its place.
    pub fn take_bond(&mut self) -> Bond {
        let settings = Arc::clone(self.bond.settings());
        let fresh = new_bond(settings, self.peer, self.now, 1);
        std::mem::replace(&mut self.bond, fresh)
    }

    pub fn link(&mut self, id: u32) -> &mut Link {
        self.links.get_mut(&PathId(id)).expect("a link")
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// All 64 bits.
    fn draw_all(&mut self) -> u64 {
        if self.peer == Peer::Stock {
            self.draw() << 32 ^ self.draw()
        } else {
            0
        }
    }

    fn chance(&mut self) -> f64 {
        (self.draw() % 1_000_000) as f64 / 1e6
    }

    fn start(&mut self, sender: Sender) -> usize {
        let hash = self.draw() as u32;
        self.flows.push(Flow::new(sender, hash));
        self.flows.len() - 1
    }

    /// Bulk data, as much as fits.
    pub fn start_tcp(&mut self, count: usize) {
        for _ in 0..count {
            self.start(Sender::Tcp(Tcp::new(self.now)));
        }
    }

    /// Nobody sends any more.
    pub fn end_flows(&mut self) {
        for flow in &mut self.flows {
            flow.is_over = true;
        }
    }

    /// A sender that keeps to its own rhythm, and looks for policers.
    pub fn start_bbr_minding_policers(&mut self) {
        let bbr = Bbr::minding_policers(self.now, self.chance());
        self.start(Sender::Bbr(bbr));
    }

    /// Bulk data of senders that keep to no rhythm but their own.
    pub fn start_bbr(&mut self, count: usize) {
        for _ in 0..count {
            let offset = self.chance();
            self.start(Sender::Bbr(Bbr::new(self.now, offset)));
        }
    }

    /// A connection that hardly sends, and a little later those that do, as iperf3 begins.
    pub fn start_iperf(&mut self, count: usize) {
        self.start_paced(1, 0.01);
        self.seconds(0.03);
        self.start_tcp(count);
    }

    /// Packets at a fixed rate.
    pub fn start_paced(&mut self, count: usize, megabits: f64) {
        for _ in 0..count {
            let interval = Duration::from_secs_f64(PACKET as f64 * 8.0 / (megabits * 1e6));
            let wait = interval.mul_f64(self.chance());
            let next = self.now + wait;
            self.start(Sender::Paced { interval, next });
        }
    }

    fn drain(&mut self) {
        for step in 0.. {
            assert!(step < 10_000, "the bond never comes to rest");
            match self.bond.poll(self.now) {
                Output::Timeout(at) => {
                    assert!(at > self.now, "a timeout in the past");
                    return;
                }
                Output::Event(event) => self.events.push(event),
                Output::PlanChanged(plan) => self.note_plan(&plan),
                Output::Probe(id) => {
                    self.counter += 1;
                    let token = self.counter;
                    self.bond.handle_probe_sent(id, token, self.now);
                    self.put(id, Load::Probe(token), PROBE);
                }
                _ => {}
            }
        }
    }

    fn note_plan(&mut self, plan: &Plan<PathId>) {
        let slots = match plan.paths() {
            paths if paths.len() == 1 => paths.repeat(SLOTS),
            paths => paths,
        };
        if self.plan.len() == slots.len() {
            let moved = self.plan.iter().zip(&slots).filter(|(a, b)| a != b).count();
            self.slot_moves.push((self.now, moved));
        }
        self.plan = slots;
    }

    /// A packet is sent on a path, into the queue of its wire.
    fn put(&mut self, id: PathId, load: Load, bytes: u64) {
        let chance = self.chance();
        let random = [self.draw_all(), self.draw_all()];
        let link = self.links.get_mut(&id).expect("a link");
        let stock = link
            .stock
            .as_mut()
            .filter(|_| matches!(load, Load::Data { .. }));
        let packet = Packet {
            id: stock.map(|stock| stock.send(random, self.now)),
            load,
            path: id,
            bytes,
            sent: self.now,
            sequence: link.next_sequence(),
        };
        let link = self.links.get_mut(&wire(id)).expect("a wire");
        link.take_in(packet, chance);
    }

    fn send(&mut self, flow: usize, number: u64) {
        let hash = self.flows[flow].hash;
        let id = match self.bond.plan().pick(hash, &mut self.cursor) {
            Pick::None => return,
            Pick::One(id) => id,
            // The first packets after silence go everywhere; the copies are of no use here.
            Pick::All(ids) => ids[0],
        };
        let record = &mut self.flows[flow];
        if record.path.replace(id).is_some_and(|old| old != id) {
            record.moves.push(self.now);
        }
        let slot = hash as usize % SLOTS;
        self.slot_bytes[slot] += PACKET;
        let seen = self.slot_seen[slot].replace(self.now);
        if seen.is_none_or(|seen| seen + Duration::from_secs(10) < self.now) {
            self.early = 20;
        }
        let link = self.links.get_mut(&id).expect("a link");
        link.bytes += PACKET;
        link.sent.0 += 1;
        link.sent.1 += PACKET;
        self.put(id, Load::Data { flow, number }, PACKET);
    }

    fn serve(&mut self) {
        let mut leaving = Vec::new();
        for link in self.links.values_mut() {
            let at = self.now + link.delay;
            leaving.extend(link.serve().into_iter().map(|packet| (at, packet)));
        }
        for (at, packet) in leaving {
            self.schedule(at, Arrival::There(packet));
        }
    }

    fn schedule(&mut self, at: Instant, arrival: Arrival) {
        self.counter += 1;
        self.on_the_way.insert((at, self.counter), arrival);
    }

    fn arrive(&mut self) {
        while let Some(entry) = self.on_the_way.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            let now = self.now;
            match entry.remove() {
                Arrival::There(packet) => {
                    let link = self.links.get_mut(&packet.path).expect("a link");
                    if let Load::Probe(_) = packet.load {
                        let gate = Duration::from_millis(166);
                        let is_early = |last: Instant| now.duration_since(last) < gate;
                        if self.peer != Peer::Own && link.last_echo.is_some_and(is_early) {
                            continue;
                        }
                        link.last_echo = Some(now);
                    }
                    link.note_arrival(&packet);
                    if let (Some(stock), Some(id)) = (&mut link.stock, packet.id) {
                        stock.receive(id, now);
                    }
                    let at = now + link.delay;
                    self.schedule(at, Arrival::Back(packet.path, packet.load));
                }
                Arrival::Report(id, records) => {
                    let link = self.links.get_mut(&id).expect("a link");
                    let since = self.bond.works_since(id);
                    let samples = link
                        .stock
                        .as_mut()
                        .map(|stock| stock.samples(&records, now - stock::SETTLE, since));
                    if let Some(samples) = samples {
                        self.bond.handle_qos_report(id, &samples, now);
                    }
                }
                Arrival::Back(id, Load::Probe(token)) => {
                    self.bond.handle_received(id, 1, PROBE, now);
                    self.bond.handle_probe_reply(id, token, now);
                }
                Arrival::Back(id, Load::Data { flow, number }) => {
                    let link = self.links.get_mut(&id).expect("a link");
                    link.received.0 += number % 2;
                    link.received.1 += number % 2 * ANSWER;
                    let flow = &mut self.flows[flow];
                    if flow.sender.acknowledge(number, now) {
                        flow.arrived += PACKET;
                    }
                }
            }
        }
    }

    fn send_all(&mut self) {
        let count = self.flows.len();
        // Nobody is always first.
        let first = self.counter as usize;
        for index in 0..count {
            let flow = (first + index) % count;
            if self.flows[flow].is_over {
                continue;
            }
            while let Some(number) = self.flows[flow].sender.next(self.now) {
                self.send(flow, number);
            }
        }
    }

    fn tell(&mut self) {
        let now = self.now;
        if now.as_millis().is_multiple_of(50) {
            for (id, link) in &mut self.links {
                let (sent, received) = (
                    std::mem::take(&mut link.sent),
                    std::mem::take(&mut link.received),
                );
                if let Some(stock) = &mut link.stock {
                    stock.tell(self.bond.loss(*id, now), now);
                }
                if sent.0 > 0 {
                    self.bond.handle_sent(*id, sent.0, sent.1, now);
                }
                if received.0 > 0 {
                    self.bond.handle_received(*id, received.0, received.1, now);
                }
            }
        }
        let patience = Duration::from_millis(if self.early > 0 { 50 } else { 250 });
        if now.duration_since(self.slots_told) >= patience {
            self.early = self.early.saturating_sub(1);
            self.slots_told = now;
            let told: Vec<(usize, u64)> = (0..SLOTS)
                .map(|slot| (slot, std::mem::take(&mut self.slot_bytes[slot])))
                .filter(|(_, bytes)| *bytes > 0)
                .collect();
            self.bond.handle_slot_bytes(told, now);
        }
        if self.peer == Peer::Stock && now >= self.next_report {
            self.next_report = now + stock::TICK;
            let mut reports = Vec::new();
            for (id, link) in &mut self.links {
                let records = link.stock.as_mut().and_then(|stock| stock.report(now));
                reports.extend(
                    records.map(|records| (now + link.delay + stock::SETTLE, *id, records)),
                );
            }
            for (at, id, records) in reports {
                self.schedule(at, Arrival::Report(id, records));
            }
        } else if self.peer == Peer::Own && now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            for (id, link) in &mut self.links {
                link.note_working(self.bond.works_since(*id));
                if let Some(report) = link.report() {
                    self.bond.handle_delivery_report(*id, &report, now);
                }
            }
        }
    }

    /// Lets time pass.
    pub fn seconds(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            self.now = self.now + STEP;
            self.arrive();
            self.send_all();
            self.serve();
            self.tell();
            self.drain();
        }
    }

    /// Bit/s that arrive for the first time during so many seconds, by flow.
    pub fn rates(&mut self, seconds: f64) -> Vec<f64> {
        let before: Vec<u64> = self.flows.iter().map(|flow| flow.arrived).collect();
        self.seconds(seconds);
        let rate = |flow: &Flow, before: u64| (flow.arrived - before) as f64 * 8.0 / seconds;
        self.flows
            .iter()
            .zip(before)
            .map(|(flow, before)| rate(flow, before))
            .collect()
    }

    /// All of them, as a part of what the links carry together.
    pub fn part_of_sum(&mut self, seconds: f64) -> f64 {
        let sum: f64 = self
            .links
            .iter()
            .filter(|(id, _)| wire(**id) == **id)
            .map(|(_, link)| link.rate * (1.0 - link.loss))
            .sum();
        self.rates(seconds).iter().sum::<f64>() / sum
    }

    /// Slots that changed their path since then.
    pub fn moved_since(&self, since: Instant) -> usize {
        self.slot_moves
            .iter()
            .filter(|(at, _)| *at >= since)
            .map(|(_, moved)| moved)
            .sum()
    }

    /// Target share of a link.
    pub fn target(&self, id: u32) -> f64 {
        let status = self.bond.status(self.now);
        let paths = status.paths.iter();
        let of_link = paths.filter(|path| wire(path.id) == PathId(id));
        of_link.map(|path| path.allocation).sum()
    }

    pub fn count(&self, test: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().filter(|event| test(&event.kind)).count()
    }

    /// How often a path was taken for faulty.
    pub fn faults(&self) -> usize {
        self.count(|kind| {
            matches!(
                kind,
                EventKind::QualityAvoid { .. } | EventKind::PathIneligible { .. }
            )
        })
    }

    pub fn text(&self) -> String {
        let lines: Vec<_> = self
            .events
            .iter()
            .map(|event| format!("{} {event}", event.at.as_millis()))
            .collect();
        lines.join("\n")
    }
}
