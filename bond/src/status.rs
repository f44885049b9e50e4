//! A bond as its operator sees it.

use std::net::SocketAddr;
use std::time::Duration;

use protocol::Address;

use crate::config::{BasePolicy, LinkMode, LinkSelectMethod};
use crate::path::PathId;

/// How a bond does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BondState {
    /// Every link works.
    Healthy,
    /// Some links work.
    Degraded,
    /// No link works.
    #[default]
    Failed,
    /// There is one path only.
    Single,
}

impl BondState {
    /// `Healthy`, `Degraded`, `Failed`, `Single`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Degraded => "Degraded",
            Self::Failed => "Failed",
            Self::Single => "Single",
        }
    }
}

/// Where a capacity comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CapacitySource {
    /// The operator.
    Declared,
    /// Reports of the receiver.
    Measured,
    /// What we sent while packets queued: the peer does not report.
    Estimated,
}

/// What `bond <peer> show` shows.
#[derive(Clone, PartialEq, Debug)]
pub struct BondStatus {
    /// With whom.
    pub peer: Address,
    /// Base policy.
    pub base: BasePolicy,
    /// Its name in the configuration.
    pub policy_name: String,
    /// How it does.
    pub state: BondState,
    /// Interfaces with a usable path.
    pub alive_links: usize,
    /// Interfaces with a path.
    pub total_links: usize,
    /// In effect: no less than a stock peer allows.
    pub failover_interval: Duration,
    /// As configured.
    pub up_delay: Duration,
    /// As configured.
    pub down_delay: Duration,
    /// As configured; only balance-rr uses it.
    pub packets_per_link: u16,
    /// As configured; only active-backup uses it.
    pub link_select: LinkSelectMethod,
    /// active-backup: who is next, in order.
    pub queue: Vec<PathId>,
    /// Every path, in the order of their ids.
    pub paths: Vec<PathStatus>,
}

/// One path of a bond.
#[derive(Clone, PartialEq, Debug)]
pub struct PathStatus {
    /// Its name.
    pub id: PathId,
    /// Interface name.
    pub interface: String,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// What its link is for.
    pub mode: LinkMode,
    /// Both directions are proven.
    pub alive: bool,
    /// It may carry traffic.
    pub eligible: bool,
    /// It carries traffic.
    pub bonded: bool,
    /// It is active-backup's present choice.
    pub active: bool,
    /// Of its IP version its link's first choice.
    pub preferred: bool,
    /// In one or two words: `up`, `trial`, `down`, `no carrier`, `one way`, `late`, `up delay`, `punished`, `lossy`, `refused`.
    pub condition: &'static str,
    /// Mean one-way latency.
    pub latency: Option<Duration>,
    /// Largest one-way latency of the last 10 s.
    pub latency_max: Option<Duration>,
    /// Standard deviation of the latency.
    pub variation: Option<Duration>,
    /// Lost / sent, 0..=1.
    pub loss: f64,
    /// Failed authentications / received, 0..=1.
    pub error_ratio: f64,
    /// Share of the time that it was up, 0..=1.
    pub availability: f64,
    /// In bit/s; relative declared numbers are given as they are.
    pub capacity: Option<(u64, CapacitySource)>,
    /// 0..=1 against the best path.
    pub quality: f64,
    /// Target share of the traffic, 0..=1; over all paths 1 if any is bonded.
    pub allocation: f64,
    /// Slots of a hashed plan that name it.
    pub slots: usize,
    /// Bytes sent and received in all.
    pub bytes: (u64, u64),
    /// Bytes per second sent and received, smoothed over some seconds.
    pub rates: (u64, u64),
    /// Since something authentic came over it.
    pub received_age: Option<Duration>,
    /// Since something was sent over it.
    pub sent_age: Option<Duration>,
    /// Since our direction was last proven.
    pub proof_age: Option<Duration>,
    /// How long it stays out of the bond if it works from now on.
    pub punishment: Duration,
}
