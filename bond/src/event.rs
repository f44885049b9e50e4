//! What a bond has to say: every change of note, as data, as a line of text and as JSON.

use std::fmt;
use std::time::Duration;

use protocol::{Address, Instant};

use crate::account::Account;
use crate::attributes::LinkAttributes;
use crate::config::BasePolicy;
use crate::status::BondState;

/// Something happened to a bond.
#[derive(Clone, PartialEq, Debug)]
pub struct BondEvent {
    /// When.
    pub at: Instant,
    /// With whom the bond is.
    pub peer: Address,
    /// Name of its policy.
    pub policy: String,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen. A `path` is written as `interface/address/port`.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "fields are named as what they hold")]
pub enum EventKind {
    /// The bond exists.
    BondCreated { base: BasePolicy },
    /// It follows these parameters.
    BondConfigured {
        base: BasePolicy,
        failover_interval: Duration,
        probe_interval: Duration,
        up_delay: Duration,
        down_delay: Duration,
    },
    /// Healthy, degraded, failed, single.
    StateChanged {
        from: BondState,
        to: BondState,
        alive_links: usize,
        total_links: usize,
    },
    /// A path joined the bond.
    PathNominated { path: String },
    /// A path may not join.
    PathRefused { path: String, reason: &'static str },
    /// A path left.
    PathRemoved { path: String },
    /// A path has some time to prove itself.
    TrialStarted { path: String },
    /// It did, or did not.
    TrialEnded { path: String, proven: bool },
    /// A path may carry traffic from now on.
    PathEligible { path: String },
    /// A path may not carry traffic any more.
    PathIneligible {
        path: String,
        reason: &'static str,
        received_age: Option<Duration>,
        proof_age: Option<Duration>,
    },
    /// We hear the peer, but it does not hear us.
    OneWayFailure { path: String },
    /// The operating system reports carrier and address, or their loss.
    Link {
        path: String,
        up: bool,
        errno: Option<i32>,
    },
    /// Another path is active.
    ActiveChanged {
        from: Option<String>,
        to: Option<String>,
        trigger: Trigger,
        /// From the first doubt to the switch.
        detection: Option<Duration>,
        /// How many paths stand ready now.
        queue: usize,
    },
    /// Other paths stand ready than before, in this order.
    QueueChanged { queue: Vec<String> },
    /// Nothing stands ready: one more failure ends the connection.
    QueueEmpty,
    /// Rules leave no link.
    NoLink { reason: &'static str },
    /// Slots moved between paths.
    FlowsMoved { slots: usize, reason: &'static str },
    /// The target allocation changed: paths with their shares in thousandths.
    Rebalanced { shares: Vec<(String, u16)> },
    /// A capacity estimate changed, in bit/s.
    CapacityChanged { path: String, from: u64, to: u64 },
    /// A measurement crossed its limit.
    QualityAvoid {
        path: String,
        metric: &'static str,
        value: f64,
        limit: f64,
    },
    /// It is back within it.
    QualityOk { path: String },
    /// A path failed repeatedly and stays out.
    Punished { path: String, remaining: Duration },
    /// It may come back.
    Pardoned { path: String },
    /// The peer says what its link is for.
    PeerAttributes {
        path: String,
        attributes: LinkAttributes,
    },
    /// An operator's order was carried out.
    Commanded { text: String },
    /// The bond is no more.
    BondRemoved,
    /// How it did of late.
    Status(Account),
    /// More events happened than may be told: this many were left out.
    Suppressed { count: u32 },
}

/// Why another path became active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// None was.
    First,
    /// The old one failed.
    Dead,
    /// A primary link is back.
    Always,
    /// A better one is there.
    Better,
    /// The old one loses packets or exceeds a limit.
    Quality,
    /// To see whether more fits on it, or because more does not.
    Trial,
    /// An operator said so.
    Operator,
}

impl Trigger {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Dead => "dead",
            Self::Always => "always",
            Self::Better => "better",
            Self::Quality => "quality",
            Self::Trial => "trial",
            Self::Operator => "operator",
        }
    }
}

impl EventKind {
    /// The event's name in logs and in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BondCreated { .. } => "bond-created",
            Self::BondConfigured { .. } => "bond-config",
            Self::StateChanged { .. } => "bond-state",
            Self::PathNominated { .. } => "path-nominated",
            Self::PathRefused { .. } => "path-refused",
            Self::PathRemoved { .. } => "path-removed",
            Self::TrialStarted { .. } => "trial-start",
            Self::TrialEnded { .. } => "trial-end",
            Self::PathEligible { .. } => "path-eligible",
            Self::PathIneligible { .. } => "path-ineligible",
            Self::OneWayFailure { .. } => "one-way-failure",
            Self::Link { up: true, .. } => "link-up",
            Self::Link { up: false, .. } => "link-down",
            Self::ActiveChanged { trigger, .. } => match trigger {
                Trigger::Operator => "rotate",
                Trigger::Trial => "trial",
                Trigger::Always | Trigger::Better => "failback",
                Trigger::First | Trigger::Dead | Trigger::Quality => "failover",
            },
            Self::QueueChanged { .. } => "queue-changed",
            Self::QueueEmpty => "queue-empty",
            Self::NoLink { .. } => "no-link",
            Self::FlowsMoved { .. } => "flows-moved",
            Self::Rebalanced { .. } => "rebalance",
            Self::CapacityChanged { .. } => "capacity",
            Self::QualityAvoid { .. } => "quality-avoid",
            Self::QualityOk { .. } => "quality-ok",
            Self::Punished { .. } => "punished",
            Self::Pardoned { .. } => "pardoned",
            Self::PeerAttributes { .. } => "peer-attributes",
            Self::Commanded { .. } => "command",
            Self::BondRemoved => "bond-removed",
            Self::Status(_) => "status",
            Self::Suppressed { .. } => "suppressed",
        }
    }

    /// The path it is about, if about one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::PathNominated { path }
            | Self::PathRefused { path, .. }
            | Self::PathRemoved { path }
            | Self::TrialStarted { path }
            | Self::TrialEnded { path, .. }
            | Self::PathEligible { path }
            | Self::PathIneligible { path, .. }
            | Self::OneWayFailure { path }
            | Self::Link { path, .. }
            | Self::CapacityChanged { path, .. }
            | Self::QualityAvoid { path, .. }
            | Self::QualityOk { path }
            | Self::Punished { path, .. }
            | Self::PeerAttributes { path, .. }
            | Self::Pardoned { path } => Some(path),
            Self::ActiveChanged { to, .. } => to.as_deref(),
            _ => None,
        }
    }
}

fn age(age: Option<Duration>) -> String {
    age.map_or_else(
        || "never".to_owned(),
        |age| format!("{} ms ago", age.as_millis()),
    )
}

impl BondEvent {
    /// What happened, in a sentence.
    pub fn text(&self) -> String {
        let peer = self.peer;
        match &self.kind {
            EventKind::BondCreated { base } => format!("Bond to peer {peer} created ({base})"),
            EventKind::BondConfigured {
                base,
                failover_interval,
                probe_interval,
                up_delay,
                down_delay,
            } => format!(
                "Bond to peer {peer} configured: base={base}, fi={}, bmi={}, ud={}, dd={}",
                failover_interval.as_millis(),
                probe_interval.as_millis(),
                up_delay.as_millis(),
                down_delay.as_millis()
            ),
            EventKind::StateChanged {
                to,
                alive_links,
                total_links,
                ..
            } => format!(
                "Bond to peer {peer} is in a {} state ({alive_links}/{total_links} links)",
                to.name().to_uppercase()
            ),
            EventKind::PathNominated { path } => {
                format!("Nominated link {path} to peer {peer}")
            }
            EventKind::PathRefused { path, reason } => {
                format!("Refused link {path} to peer {peer}: {reason}")
            }
            EventKind::PathRemoved { path } => format!("Removed link {path} to peer {peer}"),
            EventKind::TrialStarted { path } => {
                format!("Link {path} to peer {peer} has now entered its trial period")
            }
            EventKind::TrialEnded { path, proven } => format!(
                "Trial period of link {path} to peer {peer} ended: {}",
                if *proven {
                    "it works"
                } else {
                    "no proof that it works"
                }
            ),
            EventKind::PathEligible { path } => {
                format!("Eligibility of link {path} to peer {peer} has changed from 0 to 1")
            }
            EventKind::PathIneligible {
                path,
                reason,
                received_age,
                proof_age,
            } => format!(
                "Eligibility of link {path} to peer {peer} has changed from 1 to 0 (reason: {reason}, heard {}, \
                 proven {})",
                age(*received_age),
                age(*proof_age)
            ),
            EventKind::OneWayFailure { path } => format!(
                "Link {path} to peer {peer} works in one direction only: what we send does not arrive"
            ),
            EventKind::Link { path, up, errno } => {
                let state = if *up { "up" } else { "down" };
                match errno {
                    Some(errno) => format!(
                        "Link {path} to peer {peer} is {state} (sending failed with error {errno})"
                    ),
                    None => format!("Link {path} to peer {peer} is {state}"),
                }
            }
            EventKind::ActiveChanged {
                from,
                to,
                trigger,
                detection,
                queue,
            } => {
                let detection = detection.map_or_else(String::new, |time| {
                    format!(", detected in {} ms", time.as_millis())
                });
                let from = from
                    .as_ref()
                    .map_or_else(String::new, |from| format!(" from {from}"));
                match to {
                    Some(to) => format!(
                        "Active link to peer {peer} has been switched{from} to {to} (trigger: {}{detection}, failover \
                         queue size is {queue})",
                        trigger.name()
                    ),
                    None => format!("Active link to peer {peer} has failed{from}, none is left"),
                }
            }
            EventKind::QueueEmpty => format!(
                "Failover queue to peer {peer} is empty, the bond is no longer fault-tolerant"
            ),
            EventKind::NoLink { reason } => {
                format!("Bond to peer {peer} has no link to use: {reason}")
            }
            EventKind::FlowsMoved { slots, reason } => {
                format!("Moved {slots} of 1024 slots of flows to peer {peer} ({reason})")
            }
            EventKind::Rebalanced { shares } => {
                let shares: Vec<_> = shares
                    .iter()
                    .map(|(path, share)| format!("{path}={}.{}%", share / 10, share % 10))
                    .collect();
                format!("Target allocation to peer {peer}: {}", shares.join(", "))
            }
            EventKind::CapacityChanged { path, from, to } => format!(
                "Capacity of link {path} to peer {peer} has changed from {from} to {to} bit/s"
            ),
            EventKind::QualityAvoid {
                path,
                metric,
                value,
                limit,
            } => format!(
                "Link {path} to peer {peer} is avoided: {metric} {value:.3} is over {limit:.3}"
            ),
            EventKind::QualityOk { path } => {
                format!("Link {path} to peer {peer} is within its limits again")
            }
            EventKind::Punished { path, remaining } => format!(
                "Link {path} to peer {peer} fails repeatedly: punished for {} s",
                remaining.as_secs()
            ),
            EventKind::Pardoned { path } => {
                format!("Link {path} to peer {peer} may be used again")
            }
            EventKind::PeerAttributes { path, attributes } => {
                let metered = if attributes.is_metered {
                    ", metered"
                } else {
                    ""
                };
                let lossy = if attributes.is_lossy {
                    ", avoided for its loss"
                } else {
                    ""
                };
                let receives = attributes.receives.map_or_else(String::new, |bits| {
                    format!(", receives at most {bits} bit/s")
                });
                format!(
                    "Peer {peer} calls its end of link {path} {}{metered}{lossy}{receives}",
                    attributes.mode.name()
                )
            }
            EventKind::Commanded { text } => format!("Operator: {text} (peer {peer})"),
            EventKind::BondRemoved => format!("Bond to peer {peer} removed"),
            EventKind::Status(account) => format!("Bond to peer {peer}: {}", account.text()),
            EventKind::QueueChanged { queue } => format!(
                "Failover queue of the bond to peer {peer} is {}",
                queue.join(", ")
            ),
            EventKind::Suppressed { count } => {
                format!("{count} further events of the bond to peer {peer} were not shown")
            }
        }
    }
}

/// `(active-backup) Active link to peer 16a03a3d03 has been switched to v1ab/11.100.1.21/9997 …`.
impl fmt::Display for BondEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}) {}", self.policy, self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_words_that_operators_search_for() {
        let event = |kind| BondEvent {
            at: Instant::ZERO,
            peer: Address::from_u64(0x16_a03a_3d03),
            policy: "active-backup".to_owned(),
            kind,
        };
        let switched = event(EventKind::ActiveChanged {
            from: None,
            to: Some("v1ab/11.100.1.21/9997".to_owned()),
            trigger: Trigger::Dead,
            detection: None,
            queue: 2,
        });
        assert!(switched.to_string().starts_with(
            "(active-backup) Active link to peer 16a03a3d03 has been switched to v1ab/11.100.1.21/9997"
        ));
        let state = event(EventKind::StateChanged {
            from: BondState::Failed,
            to: BondState::Healthy,
            alive_links: 2,
            total_links: 2,
        });
        assert!(state.text().contains("HEALTHY state (2/2 links)"));
        assert_eq!(state.to_json()["event"], "bond-state");
    }
}
