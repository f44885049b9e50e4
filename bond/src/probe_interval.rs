//! How often a path is asked whether it works, and what that depends on.

use std::time::Duration;

use crate::config::MonitorStrategy;
use crate::suspicion::{AnswerTime, Reason, answers_to_miss};

/// A stock peer answers one ECHO per 166 ms and path (protocol specification 15.6).
pub const STOCK_GATE: Duration = Duration::from_millis(170);
/// Our own peers are asked no faster than this.
const OWN_GATE: Duration = Duration::from_millis(15);
/// Interval of probes under load; longer only if the peer's reports tell of failures too, so that little load need not pay.
const BUSY_INTERVAL: Duration = Duration::from_millis(60);
/// Longest interval of probes of an idle path. Both ends ask, and answer: a probe and an answer each way, 4 bytes per second.
pub(crate) const IDLE_INTERVAL: Duration = Duration::from_secs(45);
/// A path that is down is probed at least this often while there is traffic that might use it.
const DOWN_INTERVAL: Duration = Duration::from_millis(500);
/// And at least this often without, unless it is seldom needed: 9 bytes per second.
const IDLE_DOWN_INTERVAL: Duration = Duration::from_secs(8);
/// However long it has been down, and whatever it costs, it is asked at least this often.
pub(crate) const LONGEST_DOWN_INTERVAL: Duration = Duration::from_secs(60);
/// The only path of a bond is asked no more often: what else could carry its traffic?
const ALONE: Duration = Duration::from_secs(1);
/// Bytes of a probe and its answer with UDP, IP and Ethernet headers.
const PROBE_BYTES: f64 = 149.0;
/// Share of the traffic that probes under load may add. Requirement 28 allows 0.002 for them, the peer's probes, and reports.
const BUSY_SHARE: f64 = 0.0007;

/// Why a path waits for others to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standby {
    /// It may be needed at any time, like the paths that carry traffic.
    Ready,
    /// It is of a spare link.
    Spare,
    /// It is of a metered link.
    Metered,
    /// It is another port of a link and an address that another path works on, and shares that one's fate.
    Port,
}

impl Standby {
    /// How rarely it is asked while the bond has traffic.
    fn interval(self) -> Duration {
        Duration::from_secs(match self {
            Self::Ready => 1,
            Self::Spare => 10,
            Self::Metered | Self::Port => 60,
        })
    }

    /// The same while it has none. Both ends ask: waiting links are heard once a minute or so, for 3 bytes per second in both
    /// directions (10 MB per month are 3.86, requirement 27).
    fn idle(self) -> Duration {
        match self {
            Self::Ready => IDLE_INTERVAL,
            Self::Spare | Self::Metered => Duration::from_secs(150),
            Self::Port => Duration::from_secs(600),
        }
    }
}

/// What a path's probing depends on.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// As configured.
    pub strategy: MonitorStrategy,
    /// In effect.
    pub failover_interval: Duration,
    /// The peer answers few probes.
    pub is_stock: bool,
    /// The path is down.
    pub is_down: bool,
    /// The path has not proven anything yet, or exceeds a limit: measure it.
    pub is_trial: bool,
    /// What speaks against it.
    pub reason: Option<Reason>,
    /// There is another path that works: without one there is no hurry.
    pub has_alternative: bool,
    /// The bond sent something within the last 30 s.
    pub has_traffic: bool,
    /// Since the bond last sent something.
    pub idle_for: Duration,
    /// The path is one of those that carry 40 packets per second or more.
    pub is_busy: bool,
    /// The peer's reports tell of failures as fast as probes.
    pub is_covered: bool,
    /// Bytes per second that leave on the path.
    pub sent_rate: f64,
    /// Lost of what is sent, 0..=1.
    pub loss: f64,
    /// The path waits for others to fail.
    pub standby: Option<Standby>,
    /// How long answers take.
    pub answers: AnswerTime,
}

impl Watch {
    /// A quarter of the failover interval.
    pub fn quarter(&self) -> Duration {
        (self.failover_interval / 4).max(self.gate())
    }

    pub(crate) fn gate(&self) -> Duration {
        if self.is_stock { STOCK_GATE } else { OWN_GATE }
    }

    /// After this long an answer is overdue.
    pub(crate) fn overdue(&self) -> Duration {
        self.answers.overdue().unwrap_or_else(|| self.quarter())
    }

    /// Time between probes of a path that is asked all the time. Requirement 27 allows four times 70 bytes per failover interval:
    /// besides our probes these are answers to as many of a peer of our kind, or reports to a stock peer on its packets.
    fn steady(&self) -> Duration {
        let percent = if self.is_stock { 40 } else { 65 };
        (self.failover_interval * percent / 100).max(self.gate())
    }

    /// How long the oldest unanswered probe may wait, whatever else is known. With probes a quarter of the failover interval
    /// apart, three quarters after the first unanswered one the whole interval has gone by since the last proof.
    pub(crate) fn calm(&self) -> Duration {
        let rest = match self.strategy {
            MonitorStrategy::Active => self.failover_interval.saturating_sub(self.steady()),
            MonitorStrategy::Dynamic | MonitorStrategy::Passive => self.quarter() * 3,
        };
        rest.max(self.overdue())
    }

    /// How many answers must be missing for a verdict before that.
    pub(crate) fn needed(&self) -> usize {
        answers_to_miss(self.loss, self.reason)
    }

    fn busy_interval(&self) -> Duration {
        let interval = if self.is_covered {
            let by_share = PROBE_BYTES / (BUSY_SHARE * self.sent_rate.max(1.0));
            Duration::from_secs_f64(by_share.min(60.0)).max(BUSY_INTERVAL)
        } else {
            BUSY_INTERVAL
        };
        interval.max(self.gate()).min(self.quarter())
    }

    /// Time between probes while nothing else proves the path; `None`: no probes. `backed_off` is the interval reached on a path
    /// that does not answer.
    pub(crate) fn interval(&self, backed_off: Duration) -> Option<Duration> {
        let quarter = self.quarter();
        let waits = self.standby.filter(|standby| *standby != Standby::Ready);
        match self.strategy {
            // Nothing else could bring back a path that carries nothing.
            MonitorStrategy::Passive if !self.is_down && !self.is_trial => return None,
            MonitorStrategy::Passive => return Some(backed_off),
            MonitorStrategy::Active
                if waits.is_none() && !(self.is_busy && self.has_alternative) =>
            {
                return Some(self.steady());
            }
            MonitorStrategy::Active | MonitorStrategy::Dynamic => {}
        }
        Some(if self.is_trial {
            quarter
        } else if self.is_down {
            backed_off.min(match waits.filter(|_| self.has_alternative) {
                _ if self.has_traffic => DOWN_INTERVAL.max(quarter),
                Some(standby) => IDLE_DOWN_INTERVAL.max(standby.interval()),
                None => IDLE_DOWN_INTERVAL,
            })
        } else if self.is_busy && self.has_alternative {
            self.busy_interval()
        } else {
            let least = match self.standby {
                Some(standby) => standby.interval().max(quarter),
                // Nothing depends on it.
                None if !self.has_alternative => quarter.max(ALONE),
                None => quarter,
            };
            // Ever rarer the longer nothing was sent: a single packet costs a dozen probes.
            least.max(match waits {
                Some(standby) if !self.has_traffic => standby.idle(),
                Some(_) => Duration::ZERO,
                None => self.idle_for.min(IDLE_INTERVAL * 3 / 2) * 2 / 3,
            })
        })
    }
}
