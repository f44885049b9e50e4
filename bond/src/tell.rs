//! What a bond tells its operator, and how much of it at most.

use std::sync::Arc;

use protocol::Instant;

use crate::bond::{Bond, Output};
use crate::event::{BondEvent, EventKind};

/// Events per second; further ones are counted only.
const EVENTS_PER_SECOND: u32 = 10;

/// What was told within a second.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Told {
    /// Since the clock's origin.
    second: u64,
    count: u32,
    left_out: u32,
}

impl Bond {
    pub(crate) fn tell_settings(&mut self, now: Instant) {
        let settings = Arc::clone(&self.settings);
        let kind = EventKind::BondConfigured {
            base: settings.base,
            failover_interval: settings.failover_interval,
            probe_interval: settings.failover_interval / 4,
            up_delay: settings.up_delay,
            down_delay: settings.down_delay,
        };
        self.tell(kind, now);
    }

    pub(crate) fn tell(&mut self, kind: EventKind, now: Instant) {
        let second = now.as_millis() / 1000;
        if second > self.told.second {
            let fresh = Told {
                second,
                ..Told::default()
            };
            let before = std::mem::replace(&mut self.told, fresh);
            if before.left_out > 0 {
                let count = before.left_out;
                self.push_event(EventKind::Suppressed { count }, now);
            }
        }
        // The creation of a bond with many paths is not a flood.
        if self.told.count >= EVENTS_PER_SECOND + self.members.len() as u32 * 3 {
            self.told.left_out += 1;
            return;
        }
        self.told.count += 1;
        self.push_event(kind, now);
    }

    /// What there is to tell when the bond ends.
    pub fn farewell(&self, now: Instant) -> BondEvent {
        BondEvent {
            at: now,
            peer: self.peer,
            policy: self.settings.name.clone(),
            kind: EventKind::BondRemoved,
        }
    }

    fn push_event(&mut self, kind: EventKind, now: Instant) {
        let event = BondEvent {
            at: now,
            peer: self.peer,
            policy: self.settings.name.clone(),
            kind,
        };
        self.outputs.push_back(Output::Event(event));
    }
}
