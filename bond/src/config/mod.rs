//! Bonding settings as in `local.conf`: which policy for which peer, and each policy's parameters. [`BondSettings::parse`]
//! never fails: it returns what is usable and every problem with its place and reason.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use protocol::Address;

mod link;
mod parse;
mod policy;
mod reader;

pub use crate::flow::HashPolicy;

/// The policies that every other is based on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum BasePolicy {
    /// No bonding: the best path carries all.
    #[default]
    None,
    /// One path carries all, others wait.
    ActiveBackup,
    /// Every path carries each packet.
    Broadcast,
    /// Paths take turns.
    BalanceRr,
    /// Flows are spread evenly.
    BalanceXor,
    /// Flows are spread by capacity and quality.
    BalanceAware,
}

impl BasePolicy {
    /// Traffic is divided among the paths.
    pub const fn balances(self) -> bool {
        matches!(
            self,
            Self::BalanceRr | Self::BalanceXor | Self::BalanceAware
        )
    }

    /// All of them, by code.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::ActiveBackup,
        Self::Broadcast,
        Self::BalanceRr,
        Self::BalanceXor,
        Self::BalanceAware,
    ];

    /// As written in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ActiveBackup => "active-backup",
            Self::Broadcast => "broadcast",
            Self::BalanceRr => "balance-rr",
            Self::BalanceXor => "balance-xor",
            Self::BalanceAware => "balance-aware",
        }
    }

    /// The policy of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// The number by which the API names it: 0..=5.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for BasePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a path is watched while no traffic proves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MonitorStrategy {
    /// A probe every quarter of the failover interval, always.
    Active,
    /// The same while there is traffic; else ever rarer.
    #[default]
    Dynamic,
    /// Traffic alone: no probes.
    Passive,
}

/// When active-backup leaves a path that still works.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LinkSelectMethod {
    /// Back to a primary link as soon as it is up again.
    #[default]
    Always,
    /// Back to a primary link if it is better than the present one.
    Better,
    /// Never.
    Failure,
    /// To whichever is better by 10 %, at most every 15 seconds.
    Optimize,
}

impl LinkSelectMethod {
    /// As written in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Better => "better",
            Self::Failure => "failure",
            Self::Optimize => "optimize",
        }
    }

    /// The number by which the API names it.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// What balance-aware places.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BalancePolicy {
    /// Flows, moved when load or capacity change.
    #[default]
    FlowDynamic,
    /// Flows, moved only when their path fails or returns.
    FlowStatic,
    /// Packets.
    Packet,
    /// Packets if the peer can restore their order, else [`Self::FlowDynamic`].
    Auto,
}

/// How eagerly flows move to meet the target allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RebalanceStrategy {
    /// Only flows that have been silent for long.
    Passive,
    /// At a pause of the flow.
    #[default]
    Opportunistic,
    /// At once, at most a tenth of all slots per 250 ms.
    Aggressive,
}

/// What a link is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum LinkMode {
    /// Carries traffic.
    Primary,
    /// Carries traffic while the primary links are nearly full.
    Secondary,
    /// Carries traffic while nothing else can.
    #[default]
    Spare,
    /// Carries none.
    Never,
}

impl LinkMode {
    /// As written in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Spare => "spare",
            Self::Never => "never",
        }
    }
}

/// Which IP versions a link may use, and which it prefers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IpPreference {
    /// 0: both alike.
    #[default]
    Any,
    /// 4: only IPv4.
    OnlyV4,
    /// 6: only IPv6.
    OnlyV6,
    /// 46: IPv4 first.
    V4First,
    /// 64: IPv6 first.
    V6First,
}

/// A declared speed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speed {
    /// Relative to other links' numbers.
    Relative(u32),
    /// In bit/s.
    BitsPerSecond(u64),
}

/// One entry of `links`.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkSettings {
    /// Interface name, pattern with `*` and `?`, or hardware address.
    pub name: String,
    /// What it is for.
    pub mode: LinkMode,
    /// The link to use next when this one fails.
    pub failover_to: Option<String>,
    /// False is the same as mode never.
    pub enabled: bool,
    /// IP versions.
    pub ip_preference: IpPreference,
    /// Declared speed towards the peer.
    pub speed_up: Option<Speed>,
    /// Declared speed from the peer.
    pub speed_down: Option<Speed>,
    /// Declared share of the traffic, as a weight; the shares of all links are divided by their sum.
    pub allocation: Option<f64>,
    /// Limit of a UDP payload in bytes, if declared: 576..=65507.
    pub mtu: Option<u16>,
    /// Overrides the policy's.
    pub failover_interval: Option<Duration>,
    /// Overrides the policy's.
    pub up_delay: Option<Duration>,
    /// Overrides the policy's.
    pub down_delay: Option<Duration>,
    /// Above 0 the link is metered: it is probed rarely while it waits.
    pub cost: u32,
    /// The most that it shall be taken for, in bit/s: an upper limit of its capacity.
    pub max_rate: Option<u64>,
    /// Bytes per month after which it is spare, or not used if it is spare already.
    pub data_cap: Option<u64>,
}

impl LinkSettings {
    /// A link of that name with default attributes.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mode: LinkMode::default(),
            failover_to: None,
            enabled: true,
            ip_preference: IpPreference::default(),
            speed_up: None,
            speed_down: None,
            allocation: None,
            mtu: None,
            failover_interval: None,
            up_delay: None,
            down_delay: None,
            cost: 0,
            max_rate: None,
            data_cap: None,
        }
    }
}

/// What each measurement counts for in a path's quality; together 1.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(
    missing_docs,
    reason = "the names are those of the configuration, explained in docs/bonding.md"
)]
pub struct QualityWeights {
    pub latency: f64,
    pub latency_max: f64,
    pub variation: f64,
    pub loss: f64,
    pub errors: f64,
    pub availability: f64,
}

impl Default for QualityWeights {
    fn default() -> Self {
        Self {
            latency: 0.2,
            latency_max: 0.1,
            variation: 0.2,
            loss: 0.3,
            errors: 0.1,
            availability: 0.1,
        }
    }
}

/// What a path may not exceed: `None` where the operator named no limit.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct QualityLimits {
    /// One-way latency in ms.
    pub latency: Option<f64>,
    /// Variation of latency in ms.
    pub variation: Option<f64>,
    /// Lost packets / all, 0..=1.
    pub loss: Option<f64>,
    /// Packets that fail authentication / all, 0..=1.
    pub errors: Option<f64>,
}

/// A policy with all its parameters.
#[derive(Clone, PartialEq, Debug)]
pub struct PolicySettings {
    /// Its name: a standard one, or the operator's.
    pub name: String,
    /// What it is based on.
    pub base: BasePolicy,
    /// How long a path may go unproven: 50..=65535 ms.
    pub failover_interval: Duration,
    /// How long a path must be up again before it carries traffic.
    pub up_delay: Duration,
    /// How much longer than the failover interval a path may go unproven.
    pub down_delay: Duration,
    /// How paths are watched.
    pub monitor: MonitorStrategy,
    /// balance-rr: packets in a row on one path; 0 picks at random.
    pub packets_per_link: u16,
    /// active-backup: when to leave a working path.
    pub link_select: LinkSelectMethod,
    /// balance-aware: what is placed.
    pub balance: BalancePolicy,
    /// How eagerly flows move.
    pub rebalance: RebalanceStrategy,
    /// What makes two frames one flow.
    pub hash: HashPolicy,
    /// broadcast: the receiver drops repeated packets.
    pub deduplicate: bool,
    /// What counts how much.
    pub quality: QualityWeights,
    /// What is too bad.
    pub limits: QualityLimits,
    /// The operator's links; none: every interface is a primary link.
    pub links: Vec<LinkSettings>,
}

impl PolicySettings {
    /// A standard policy with its defaults.
    pub fn standard(base: BasePolicy) -> Self {
        Self {
            name: base.name().to_owned(),
            base,
            failover_interval: Duration::from_millis(1000),
            up_delay: Duration::ZERO,
            down_delay: Duration::ZERO,
            monitor: MonitorStrategy::default(),
            packets_per_link: 8,
            link_select: LinkSelectMethod::Optimize,
            balance: BalancePolicy::default(),
            rebalance: RebalanceStrategy::default(),
            hash: HashPolicy::default(),
            deduplicate: true,
            quality: QualityWeights::default(),
            limits: QualityLimits::default(),
            links: Vec::new(),
        }
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Taken as written, but worth a look.
    Warning,
    /// The settings must not be put into effect: keep the last good ones.
    Error,
}

/// Something wrong in the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigProblem {
    /// Where: `settings.policies.office.failoverInterval`.
    pub path: String,
    /// Why, in one sentence.
    pub reason: String,
    /// How bad.
    pub severity: Severity,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}: {}", self.path, self.reason)
    }
}

/// Which policy applies to whom.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct BondSettings {
    /// For peers without an entry of their own.
    pub default_policy: Arc<PolicySettings>,
    /// Policies by name: all standard ones and the operator's.
    pub policies: BTreeMap<String, Arc<PolicySettings>>,
    /// Peers with an entry of their own.
    pub peers: BTreeMap<Address, Arc<PolicySettings>>,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self::standard(BasePolicy::None)
    }
}

impl BondSettings {
    /// The policy for a peer; `None` if it is not to be bonded.
    pub fn policy_for(&self, peer: Address) -> Option<&Arc<PolicySettings>> {
        let policy = self.peers.get(&peer).unwrap_or(&self.default_policy);
        (policy.base != BasePolicy::None).then_some(policy)
    }

    /// The policy of that name, standard or the operator's.
    pub fn policy(&self, name: &str) -> Option<Arc<PolicySettings>> {
        match self.policies.get(name) {
            Some(policy) => Some(Arc::clone(policy)),
            None => {
                BasePolicy::from_name(name).map(|base| Arc::new(PolicySettings::standard(base)))
            }
        }
    }

    /// True if any peer may be bonded.
    pub fn is_in_use(&self) -> bool {
        self.default_policy.base != BasePolicy::None
            || self
                .peers
                .values()
                .any(|policy| policy.base != BasePolicy::None)
    }
}
