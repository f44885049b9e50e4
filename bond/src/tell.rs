//! What a bond tells its operator, and how much of it at most.

use std::sync::Arc;

use protocol::Instant;

use crate::bond::{Bond, Output};
use crate::event::{BondEvent, EventKind};

/// Events per second; further ones are counted only.
const EVENTS_PER_SECOND: u32 = 10;

/// Events of the latest second.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct EventRate {
    /// Since the origin of the clock.
    second: u64,
    count: u32,
    suppressed: u32,
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
        if second > self.event_rate.second {
            let fresh = EventRate {
                second,
                ..EventRate::default()
            };
            let before = std::mem::replace(&mut self.event_rate, fresh);
            if before.suppressed > 0 {
                let count = before.suppressed;
                self.push_event(EventKind::Suppressed { count }, now);
            }
        }
        // The creation of a bond with many paths is not a flood.
        if self.event_rate.count >= EVENTS_PER_SECOND + self.members.len() as u32 * 3 {
            self.event_rate.suppressed += 1;
            return;
        }
        self.event_rate.count += 1;
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
