//! One bond and the world around it on virtual time: wires with a delay that can be cut in either direction, a peer that
//! answers probes, and traffic.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bond::config::{LinkMode, LinkSelectMethod, LinkSettings};
use bond::plan::{Cursor, Pick};
use bond::{
    BasePolicy, Bond, BondEvent, DeliveryReport, EventKind, Output, PathId, PathInfo, PeerTraits,
    Plan, PolicySettings,
};
use protocol::{Address, Instant};

/// The peer of every test.
pub const PEER: Address = Address::from_u64(0x16_a03a_3d03);

/// wan1 is primary, the others are spare.
pub fn one_primary(links: u32) -> PolicySettings {
    let mut settings = PolicySettings::standard(BasePolicy::ActiveBackup);
    settings.link_select = LinkSelectMethod::Always;
    for id in 1..=links {
        let mut link = LinkSettings::new(&format!("wan{id}"));
        if id == 1 {
            link.mode = LinkMode::Primary;
        }
        settings.links.push(link);
    }
    settings
}

/// A wire between two nodes.
#[derive(Clone, Debug)]
pub struct Wire {
    /// One way.
    pub delay: Duration,
    /// What we send arrives.
    pub there: bool,
    /// What the peer sends arrives.
    pub back: bool,
    /// Of that many packets one is lost; 0: none.
    pub one_in: u64,
    /// Bytes per second that fit, if reports are sent.
    pub capacity: Option<u64>,
    sent: u64,
    delivered: (u64, u32, u32),
    works_since: Option<Instant>,
    last_echo: Option<Instant>,
    /// Data packets that we sent on it.
    pub data: u64,
    /// Of those, lost.
    pub lost: u64,
    /// Probes that we sent on it.
    pub probes: u64,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            there: true,
            back: true,
            one_in: 0,
            capacity: None,
            sent: 0,
            delivered: (0, 0, 0),
            works_since: None,
            last_echo: None,
            data: 0,
            lost: 0,
            probes: 0,
        }
    }
}

impl Wire {
    fn loses(&mut self) -> bool {
        self.sent += 1;
        self.one_in > 0
            && self.sent.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33 & 0xffff_ffff
                < u64::from(u32::MAX) / 2 / self.one_in
    }
}

enum Arrival {
    Reply(PathId, u64),
    Data(PathId),
}

/// Everything.
pub struct World {
    pub now: Instant,
    pub bond: Bond,
    pub wires: BTreeMap<PathId, Wire>,
    pub events: Vec<BondEvent>,
    /// Plans as they changed.
    pub plans: Vec<(Instant, Plan<PathId>)>,
    /// Data packets per second, each way.
    pub sending: u64,
    pub receiving: u64,
    /// The peer reports as ours do.
    pub reports: bool,
    stock: bool,
    /// How many flows send, in turn.
    pub flows: u32,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    cursor: Cursor,
    sequence: u64,
    token: u64,
}

pub fn path(id: u32) -> PathInfo {
    PathInfo {
        id: PathId(id),
        interface: format!("wan{id}"),
        interface_mac: None,
        local: format!("10.78.{id}.1:9993").parse().expect("an address"),
        remote: format!("10.78.{id}.2:9993").parse().expect("an address"),
        link_up: true,
        confirmed: true,
    }
}

impl World {
    pub fn new(settings: PolicySettings, paths: u32, stock: bool) -> Self {
        let traits = PeerTraits {
            is_stock: stock,
            can_reorder: false,
        };
        let now = Instant::from_millis(1_000_000);
        let mut world = Self {
            now,
            bond: Bond::new(Arc::new(settings), PEER, traits, now, 7),
            wires: BTreeMap::new(),
            events: Vec::new(),
            plans: Vec::new(),
            sending: 100,
            receiving: 100,
            reports: false,
            stock,
            flows: 64,
            arrivals: BTreeMap::new(),
            cursor: Cursor::default(),
            sequence: 0,
            token: 0,
        };
        for id in 1..=paths {
            world.add(path(id));
        }
        world
    }

    pub fn add(&mut self, path: PathInfo) {
        self.wires.entry(path.id).or_default();
        self.bond.add_path(path, self.now);
        self.drain();
    }

    pub fn wire(&mut self, id: u32) -> &mut Wire {
        self.wires
            .get_mut(&PathId(id))
            .expect("a wire of that number")
    }

    /// Nothing passes any more, either way.
    pub fn cut(&mut self, id: u32) {
        let wire = self.wire(id);
        (wire.there, wire.back) = (false, false);
    }

    /// A path that never works.
    pub fn add_dead(&mut self, path: PathInfo) {
        let wire = Wire {
            there: false,
            back: false,
            ..Wire::default()
        };
        self.wires.insert(path.id, wire);
        self.add(path);
    }

    pub fn mend(&mut self, id: u32) {
        let wire = self.wire(id);
        (wire.there, wire.back) = (true, true);
    }

    fn schedule(&mut self, at: Instant, arrival: Arrival) {
        self.sequence += 1;
        self.arrivals.insert((at, self.sequence), arrival);
    }

    pub fn drain(&mut self) {
        for step in 0.. {
            assert!(step < 10_000, "the bond never comes to rest");
            match self.bond.poll(self.now) {
                Output::Timeout(at) => {
                    assert!(at > self.now, "a timeout in the past");
                    return;
                }
                Output::Event(event) => self.events.push(event),
                Output::Report => {}
                Output::PlanChanged(plan) => self.plans.push((self.now, plan)),
                Output::Probe(id) => {
                    self.token += 1;
                    let (token, now) = (self.token, self.now);
                    self.bond.handle_probe_sent(id, token, now);
                    let stock = self.stock;
                    let wire = self.wires.get_mut(&id).expect("probes go to known paths");
                    wire.probes += 1;
                    let gated = stock
                        && wire.last_echo.is_some_and(|last| {
                            now.duration_since(last) < Duration::from_millis(166)
                        });
                    assert!(!gated, "a stock peer does not answer that fast");
                    wire.last_echo = Some(now);
                    if wire.there && wire.back && !wire.loses() {
                        let at = now + 2 * wire.delay;
                        self.schedule(at, Arrival::Reply(id, token));
                    }
                }
            }
        }
    }

    fn send_data(&mut self) {
        let flow = (self.sequence as u32 % self.flows.max(1)).wrapping_mul(0x9e37_79b9);
        self.sequence += 1;
        let picked: Vec<PathId> = match self.bond.plan().pick(flow, &mut self.cursor) {
            Pick::None => Vec::new(),
            Pick::One(id) => vec![id],
            Pick::All(ids) => ids.to_vec(),
        };
        for id in picked {
            let now = self.now;
            self.bond.handle_sent(id, 1, 1000, now);
            let wire = self.wires.get_mut(&id).expect("plans name known paths");
            wire.data += 1;
            if wire.there && !wire.loses() {
                wire.delivered.0 += 1000;
                wire.delivered.1 += 1;
            } else {
                wire.lost += 1;
                wire.delivered.2 += 1;
            }
        }
    }

    fn report(&mut self) {
        let now = self.now;
        for (id, wire) in &mut self.wires {
            let works_since = self.bond.works_since(*id);
            if works_since.is_some() && wire.works_since != works_since {
                // What left before that is not reported as lost.
                wire.works_since = works_since;
                wire.delivered.2 = 0;
            }
            let (bytes, packets, lost) = std::mem::take(&mut wire.delivered);
            if !wire.back || packets == 0 {
                continue;
            }
            let interval = Duration::from_millis(250);
            let fits = wire
                .capacity
                .map_or(bytes, |capacity| bytes.min(capacity / 4));
            let report = DeliveryReport {
                bytes: fits,
                packets,
                lost: lost + ((bytes - fits) / 1000) as u32,
                interval,
                latest_sent: Some(now - wire.delay),
                unreported: 0,
                oldest_unreported: None,
                silence: Duration::ZERO,
            };
            self.bond.handle_delivery_report(*id, &report, now);
        }
    }

    /// A millisecond at a time. Data of the peer arrives on the path that our plan would take, if any.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Duration::from_millis(1);
            let millis = self.now.as_millis();
            let due = |per_second: u64| {
                per_second > 0 && millis * per_second / 1000 > (millis - 1) * per_second / 1000
            };
            if due(self.sending) {
                self.send_data();
            }
            if due(self.receiving)
                && let Pick::One(id) = self
                    .bond
                    .plan()
                    .pick(self.sequence as u32, &mut self.cursor)
                && let Some(wire) = self.wires.get(&id)
                && wire.back
            {
                let at = self.now + wire.delay;
                self.schedule(at, Arrival::Data(id));
            }
            if self.reports && millis.is_multiple_of(250) {
                self.report();
            }
            while let Some(entry) = self.arrivals.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                match entry.remove() {
                    Arrival::Reply(id, token) => {
                        self.bond.handle_heard(id, 28, self.now);
                        self.bond.handle_probe_reply(id, token, self.now);
                    }
                    Arrival::Data(id) => self.bond.handle_received(id, 1, 1000, self.now),
                }
            }
            self.drain();
        }
    }

    pub fn seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// Runs until the plan leaves a path out; how long that took.
    pub fn time_to_leave(&mut self, id: u32, at_most: Duration) -> Option<Duration> {
        let start = self.now;
        while self.now < start + at_most {
            if !self.uses(id) {
                return Some(self.now.duration_since(start));
            }
            self.run(Duration::from_millis(1));
        }
        None
    }

    pub fn time_to_use(&mut self, id: u32, at_most: Duration) -> Option<Duration> {
        let start = self.now;
        while self.now < start + at_most {
            if self.uses(id) {
                return Some(self.now.duration_since(start));
            }
            self.run(Duration::from_millis(1));
        }
        None
    }

    /// The path that carries everything.
    pub fn active(&self) -> u32 {
        match self.bond.plan() {
            Plan::Single(id) => id.0,
            // Idle: the first of two copies.
            Plan::Every(paths) => paths[0].0,
            other => panic!("{other:?}"),
        }
    }

    pub fn uses(&self, id: u32) -> bool {
        self.bond.plan().paths().contains(&PathId(id))
    }

    /// Part of the plan that a path has.
    pub fn part(&self, id: u32) -> f64 {
        let paths = self.bond.plan().paths();
        let own = paths.iter().filter(|path| **path == PathId(id)).count();
        own as f64 / paths.len().max(1) as f64
    }

    pub fn count(&self, test: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().filter(|event| test(&event.kind)).count()
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
