//! What becomes of links: which faults begin, when, and for how long.

use std::time::Duration;

use bond::LinkEvent;
use node::io::{Command, Link, LinkId};
use protocol::Instant;

use super::{LOOK, Scenario};
use crate::multipath::{A, B, ip, seconds};

/// A scenario begins with so much time in which nothing becomes of any link, and has as much after each [`STORM`]: whatever
/// moves then moves by itself.
const REST: Duration = seconds(40);
/// Faults begin and end for so long.
const STORM: Duration = seconds(80);

/// What is wrong with a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    BlackHole,
    /// Nothing arrives at this node.
    Deaf(usize),
    /// The operating system of A tells.
    NoCarrier,
    /// Comes and goes each second.
    Flapping,
    /// One packet in five is lost.
    Lossy,
    /// Twenty times slower.
    Slow,
    /// A's interface is taken away, and later put back, with a socket of its own.
    Unplugged,
}

/// A link, its fault if any, and since when it has been as it is.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) fault: Option<Fault>,
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) rate: Option<u64>,
    pub(super) loss: u32,
}

impl State {
    /// Carries packets both ways as well as it can.
    pub(super) fn works(&self) -> bool {
        self.fault.is_none() && self.loss <= 10
    }

    /// Nothing that is sent by `from` arrives.
    pub(super) fn is_dead(&self, from: usize) -> bool {
        match self.fault {
            Some(Fault::BlackHole | Fault::NoCarrier | Fault::Unplugged) => true,
            Some(Fault::Deaf(node)) => node != from,
            _ => false,
        }
    }

    /// The operating system of A told at once that it is dead.
    pub(super) fn is_told(&self) -> bool {
        matches!(self.fault, Some(Fault::NoCarrier | Fault::Unplugged))
    }

    /// It changes all the time, or has a queue and loses what does not fit.
    pub(super) fn is_restless(&self) -> bool {
        matches!(self.fault, Some(Fault::Flapping | Fault::Slow))
    }
}

impl Scenario {
    /// Nothing becomes of any link now.
    fn rests(&self) -> bool {
        let passed = self.net.now().duration_since(self.begun).as_millis();
        passed % (REST + STORM).as_millis() < REST.as_millis()
    }

    /// Faults begin and end. True if any did.
    pub(super) fn change_links(&mut self) -> bool {
        let now = self.net.now();
        let rests = self.rests();
        if rests {
            for state in self.links.values_mut() {
                state.until = state.until + LOOK;
            }
        }
        let due: Vec<u8> = self
            .links
            .iter()
            .filter(|(_, state)| match rests {
                true => state.is_restless(),
                false => state.until <= now,
            })
            .map(|(link, _)| *link)
            .collect();
        for link in &due {
            let had = self.links[link].fault;
            let fault = match (had, self.pick(9)) {
                (Some(_), _) | (None, 0) => None,
                (None, 1 | 2) => Some(Fault::BlackHole),
                (None, 3) => Some(Fault::Deaf([A, B][self.pick(2) as usize])),
                (None, 4) => Some(Fault::NoCarrier),
                (None, 5) => Some(Fault::Flapping),
                (None, 6) => Some(Fault::Lossy),
                (None, 7) => Some(Fault::Slow),
                (None, _) => Some(Fault::Unplugged),
            };
            let lasts = match fault {
                Some(_) => seconds(3 + u64::from(self.pick(30))),
                None => seconds(10 + u64::from(self.pick(60))),
            };
            self.apply(*link, had, fault);
            let state = self.links.get_mut(link).expect("it is there");
            (state.fault, state.since, state.until) = (fault, now, now + lasts);
        }
        !due.is_empty()
    }

    fn apply(&mut self, link: u8, had: Option<Fault>, fault: Option<Fault>) {
        let (rate, loss) = (self.links[&link].rate, self.links[&link].loss);
        self.net.both(link, |wire| {
            wire.is_dead = matches!(fault, Some(Fault::BlackHole | Fault::NoCarrier));
            wire.conditions.loss_per_mille = if fault == Some(Fault::Lossy) {
                200
            } else {
                loss
            };
            wire.rate = match fault {
                Some(Fault::Slow) => Some(rate.unwrap_or(20_000_000) / 20),
                _ => rate,
            };
        });
        if let Some(Fault::Deaf(node)) = fault {
            self.net.wire(A + B - node, node, link).is_dead = true;
        }
        match (had, fault) {
            (_, Some(Fault::NoCarrier)) => self.tell_carrier(link, LinkEvent::Down),
            (Some(Fault::NoCarrier), _) => self.tell_carrier(link, LinkEvent::Up),
            (_, Some(Fault::Unplugged)) => self.unplug(link),
            (Some(Fault::Unplugged), _) => self.plug(link),
            _ => {}
        }
    }

    fn tell_carrier(&mut self, link: u8, event: LinkEvent) {
        let interface = format!("sim{}", link - 1);
        let command = Command::LinkState { interface, event };
        self.net.world.net.command(A, command);
    }

    fn unplug(&mut self, link: u8) {
        let links = &mut self.net.world.net.nodes[A].links;
        links.retain(|own| own.local.ip() != ip(A, link));
        let links = links.clone();
        self.net.world.net.command(A, Command::SetLinks(links));
    }

    fn plug(&mut self, link: u8) {
        self.sockets += 1;
        let own = Link {
            id: LinkId(1000 + self.sockets),
            ..self.interfaces[usize::from(link) - 1].clone()
        };
        let links = &mut self.net.world.net.nodes[A].links;
        links.push(own);
        links.sort_by(|a, b| a.interface.cmp(&b.interface));
        let links = links.clone();
        self.net.world.net.command(A, Command::SetLinks(links));
    }

    /// Links that come and go do.
    pub(super) fn flap(&mut self) {
        let is_down = (self.net.now().as_millis() / 500).is_multiple_of(2);
        for (link, state) in self.links.clone() {
            if state.fault == Some(Fault::Flapping) {
                self.net.both(link, |wire| wire.is_dead = is_down);
            }
        }
    }
}
