//! What a bond tells its operator, and how much of it at most.

use std::sync::Arc;

use protocol::Instant;

use crate::bond::{Bond, Output};
use crate::event::{BondEvent, EventKind};

/// Events per second; further ones are counted only.
const EVENTS_PER_SECOND: u32 = 10;

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
        if second > self.told.0 {
            let left_out = self.told.2;
            self.told = (second, 0, 0);
            if left_out > 0 {
                self.push_event(EventKind::Suppressed { count: left_out }, now);
            }
        }
        // The creation of a bond with many paths is not a flood.
        if self.told.1 >= EVENTS_PER_SECOND + self.members.len() as u32 * 3 {
            self.told.2 += 1;
            return;
        }
        self.told.1 += 1;
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
