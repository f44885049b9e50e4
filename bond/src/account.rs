//! What a bond says of itself from time to time: how it does, what carried how much, and what that cost.

use std::time::Duration;

use protocol::Instant;

use crate::bond::Bond;
use crate::event::EventKind;
use crate::status::BondState;

/// Time between two accounts.
const INTERVAL: Duration = Duration::from_secs(30);
/// UDP payload of a probe, and of its answer, bytes (an ECHO without content: protocol specification 7.9).
const PROBE_LENGTH: u64 = 28;

/// How a bond did in the time since the last account.
#[derive(Clone, PartialEq, Debug)]
pub struct Account {
    /// How it does now.
    pub state: BondState,
    /// Links that work.
    pub alive_links: usize,
    /// Links that may be used.
    pub total_links: usize,
    /// Bytes per second of probes sent, as UDP payload.
    pub overhead: u64,
    /// Its paths, in the order of their ids.
    pub paths: Vec<PathAccount>,
}

/// How one path did.
#[derive(Clone, PartialEq, Debug)]
pub struct PathAccount {
    /// `interface/address/port`
    pub path: String,
    /// The share that it shall carry, 0..=1.
    pub target: f64,
    /// The share that it carried of what was sent, 0..=1.
    pub actual: f64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

/// Counters at the last account.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    since: Instant,
    pub(crate) probes: u64,
}

impl Ledger {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            probes: 0,
        }
    }
}

impl Bond {
    /// The account that is due, if one is.
    pub(crate) fn give_account(&mut self, now: Instant) -> Option<EventKind> {
        let elapsed = now.duration_since(self.ledger.since);
        if elapsed < INTERVAL {
            return None;
        }
        let (state, alive_links, total_links) = self.state_now();
        let used = self.used();
        let targets = self.slots.targets();
        let mut paths = Vec::new();
        for (id, member) in &mut self.members {
            let before = std::mem::replace(&mut member.accounted, member.bytes);
            let target = match targets.get(id) {
                Some(share) if used.contains_key(id) => *share,
                _ => used.get(id).copied().unwrap_or(0.0),
            };
            paths.push(PathAccount {
                path: member.label(),
                target,
                actual: 0.0,
                sent: member.bytes.0.saturating_sub(before.0),
                received: member.bytes.1.saturating_sub(before.1),
            });
        }
        let sum: u64 = paths.iter().map(|path| path.sent).sum();
        for path in &mut paths {
            path.actual = path.sent as f64 / sum.max(1) as f64;
        }
        let overhead = (self.ledger.probes * PROBE_LENGTH) as f64 / elapsed.as_secs_f64();
        self.ledger = Ledger {
            since: now,
            probes: 0,
        };
        Some(EventKind::Status(Account {
            state,
            alive_links,
            total_links,
            overhead: overhead.round() as u64,
            paths,
        }))
    }
}

impl Account {
    /// In a line.
    pub(crate) fn text(&self) -> String {
        let paths: Vec<String> = self
            .paths
            .iter()
            .map(|path| {
                format!(
                    "{} carried {:.2} of a share of {:.2} ({} bytes out, {} in)",
                    path.path, path.actual, path.target, path.sent, path.received
                )
            })
            .collect();
        format!(
            "{} ({}/{} links), overhead {} B/s; {}",
            self.state.name().to_uppercase(),
            self.alive_links,
            self.total_links,
            self.overhead,
            paths.join(", ")
        )
    }
}
