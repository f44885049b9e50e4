//! When to probe a path, how long to wait for the answer, and what becomes of probes without one.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Instant;

use crate::config::MonitorStrategy;

/// A stock peer answers one ECHO per 166 ms and path (protocol specification 15.6).
pub const STOCK_GATE: Duration = Duration::from_millis(170);
/// Our own peers are asked no faster than this.
const OWN_GATE: Duration = Duration::from_millis(20);
/// Shortest interval of probes under load.
const BUSY_INTERVAL: Duration = Duration::from_millis(60);
/// Longest interval of probes under load: one direction alone may fail, and only probes tell.
const LONGEST_BUSY_INTERVAL: Duration = Duration::from_millis(80);
/// Longest interval of probes of an idle path.
const IDLE_INTERVAL: Duration = Duration::from_secs(30);
/// A path that is down is probed at least this often while there is traffic that might use it.
const DOWN_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of a probe with UDP, IP and Ethernet headers.
const PROBE_BYTES: f64 = 70.0;
/// Share of the traffic that probes under load may add.
const BUSY_SHARE: f64 = 0.002;
/// Probes without an answer that are remembered.
const OUTSTANDING: usize = 32;

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
    /// Traffic stopped all at once.
    pub is_doubted: bool,
    /// The bond sent something within the last 30 s.
    pub has_traffic: bool,
    /// 50 packets per second or more leave on the path.
    pub is_busy: bool,
    /// Bytes per second that leave on the path.
    pub sent_rate: f64,
    /// The path waits for others to fail: the longest interval at which it is asked meanwhile.
    pub standby: Option<Duration>,
    /// Smoothed round trip.
    pub round_trip: Option<Duration>,
    /// Deviation of it.
    pub variation: Option<Duration>,
}

impl Watch {
    /// A quarter of the failover interval.
    pub fn quarter(&self) -> Duration {
        (self.failover_interval / 4).max(self.gate())
    }

    fn gate(&self) -> Duration {
        if self.is_stock { STOCK_GATE } else { OWN_GATE }
    }

    /// A round trip, with room for its variation.
    fn slow_answer(&self) -> Duration {
        self.round_trip.unwrap_or_default() + 8 * self.variation.unwrap_or_default()
    }

    /// After this long an answer is overdue.
    fn late_answer(&self) -> Duration {
        match self.round_trip {
            Some(round_trip) => self.slow_answer().max(2 * round_trip),
            None => self.quarter(),
        }
    }

    fn busy_interval(&self) -> Duration {
        let by_share = PROBE_BYTES / (BUSY_SHARE * self.sent_rate.max(1.0));
        Duration::from_secs_f64(by_share.min(60.0))
            .clamp(BUSY_INTERVAL, LONGEST_BUSY_INTERVAL)
            .max(self.gate())
            .min(self.quarter())
    }

    /// How long the oldest unanswered probe may wait before the path counts as down. With probes a quarter of the failover
    /// interval apart, three quarters after the first unanswered one the whole interval has gone by since the last proof.
    pub fn patience(&self) -> Duration {
        let slow = self.slow_answer();
        let calm = (self.quarter() * 3).max(slow);
        let hasty = match self.round_trip {
            Some(round_trip) if self.is_doubted => (3 * round_trip)
                .max(slow)
                .max(BUSY_INTERVAL)
                .max(2 * self.gate()),
            Some(round_trip) if self.is_busy => {
                (3 * round_trip).max(slow).max(3 * self.busy_interval())
            }
            _ => calm,
        };
        hasty.min(calm)
    }

    /// Time between probes while nothing else proves the path; `None`: no probes. `backed_off` is the idle interval reached.
    fn interval(&self, backed_off: Duration) -> Option<Duration> {
        let quarter = self.quarter();
        match self.strategy {
            // Nothing else could bring back a path that carries nothing.
            MonitorStrategy::Passive if !self.is_down && !self.is_trial => return None,
            MonitorStrategy::Passive => return Some(backed_off),
            MonitorStrategy::Active => return Some(quarter),
            MonitorStrategy::Dynamic => {}
        }
        Some(if self.is_trial {
            quarter
        } else if self.is_down {
            if self.has_traffic {
                backed_off.min(DOWN_INTERVAL.max(quarter))
            } else {
                backed_off
            }
        } else if self.is_doubted {
            (self.patience() / 3).max(self.gate()).min(quarter)
        } else if self.is_busy {
            self.busy_interval()
        } else if !self.has_traffic {
            backed_off
        } else {
            self.standby.map_or(quarter, |standby| standby.max(quarter))
        })
    }
}

/// The probes of one path.
#[derive(Clone, Debug, Default)]
pub struct Prober {
    outstanding: VecDeque<(u64, Instant)>,
    /// When the last probe was asked for.
    last_asked: Option<Instant>,
    /// When the oldest probe left after which nothing proved the path.
    unanswered: Option<Instant>,
    backed_off: Duration,
    /// Probes to send regardless of the interval.
    urgent: u8,
    /// Shortens intervals, so that bonds do not probe in step: sixteenths of an eighth.
    jitter: u32,
}

impl Prober {
    /// `jitter` varies the intervals.
    pub fn new(jitter: u32) -> Self {
        Self {
            jitter: jitter % 16,
            ..Self::default()
        }
    }

    /// Ask as soon as the peer's gate allows.
    pub fn hurry(&mut self) {
        self.urgent = self.urgent.max(1);
    }

    /// When the next probe is due; `proof` is when our direction was last proven.
    pub fn next(&self, watch: &Watch, proof: Option<Instant>) -> Option<Instant> {
        let interval = watch.interval(self.backed_off.max(watch.quarter()))?;
        let Some(asked) = self.last_asked else {
            return Some(Instant::ZERO);
        };
        if self.urgent > 0 {
            return Some(asked + watch.gate());
        }
        let interval = (interval - interval * self.jitter / 128).max(watch.gate());
        let since = if watch.strategy == MonitorStrategy::Active {
            asked
        } else {
            asked.max(proof.unwrap_or_default())
        };
        let due = since + interval;
        Some(match self.unanswered {
            // An answer is late: ask again soon, however rarely the path is asked otherwise.
            Some(first) if !watch.is_down => {
                due.min((first + watch.late_answer()).max(asked + watch.quarter()))
            }
            _ => due,
        })
    }

    /// A probe is being asked for.
    pub fn handle_asked(&mut self, watch: &Watch, now: Instant) {
        self.urgent = self.urgent.saturating_sub(1);
        self.last_asked = Some(now);
        self.backed_off = if watch.is_down || !watch.has_traffic {
            (self.backed_off.max(watch.quarter()) * 2).min(IDLE_INTERVAL)
        } else {
            watch.quarter()
        };
    }

    /// Traffic came back: probe as often as with traffic.
    pub fn forget_back_off(&mut self) {
        self.backed_off = Duration::ZERO;
    }

    /// A probe left.
    pub fn handle_sent(&mut self, token: u64, now: Instant) {
        if self.outstanding.len() == OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((token, now));
        self.unanswered.get_or_insert(now);
    }

    /// An answer arrived: when the probe had left. `None` if there was no such probe.
    pub fn handle_reply(&mut self, token: u64) -> Option<Instant> {
        let index = self
            .outstanding
            .iter()
            .position(|(known, _)| *known == token)?;
        self.outstanding.remove(index).map(|(_, sent)| sent)
    }

    /// Something sent at `sent` arrived.
    pub fn handle_proof(&mut self, sent: Instant) {
        if self.unanswered.is_some_and(|first| first <= sent) {
            self.unanswered = self
                .outstanding
                .iter()
                .map(|(_, at)| *at)
                .find(|at| *at > sent);
        }
    }

    /// When the oldest unanswered probe left.
    pub fn unanswered(&self) -> Option<Instant> {
        self.unanswered
    }

    /// Gives up probes older than any answer may be; returns how many.
    pub fn expire(&mut self, watch: &Watch, now: Instant) -> u64 {
        let limit = watch
            .patience()
            .max(4 * watch.slow_answer())
            .max(Duration::from_millis(300));
        let mut lost = 0;
        while self
            .outstanding
            .front()
            .is_some_and(|(_, at)| *at + limit <= now)
        {
            self.outstanding.pop_front();
            lost += 1;
        }
        lost
    }

    /// Forgets what is unanswered: the path is down, and waiting begins anew.
    pub fn reset(&mut self) {
        self.unanswered = None;
        self.outstanding.clear();
        self.backed_off = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch {
            strategy: MonitorStrategy::Dynamic,
            failover_interval: Duration::from_millis(1000),
            is_stock: false,
            is_down: false,
            is_trial: false,
            is_doubted: false,
            has_traffic: true,
            is_busy: false,
            sent_rate: 0.0,
            standby: None,
            round_trip: Some(Duration::from_millis(10)),
            variation: Some(Duration::from_millis(1)),
        }
    }

    /// Probes sent in the seconds `from..to` when each is answered at once.
    fn probes(watch: &Watch, from: u64, to: u64) -> u64 {
        let mut prober = Prober::new(0);
        let (mut count, mut proof) = (0, None);
        for millis in 0..to * 1000 {
            let now = Instant::from_millis(millis);
            if prober.next(watch, proof).is_some_and(|due| due <= now) {
                prober.handle_asked(watch, now);
                prober.handle_sent(millis, now);
                proof = prober.handle_reply(millis);
                prober.handle_proof(now);
                count += u64::from(millis >= from * 1000);
            }
        }
        count
    }

    #[test]
    fn cost_of_probing_is_bounded() {
        let idle = Watch {
            has_traffic: false,
            ..watch()
        };
        // 10 bytes/s after a minute.
        assert!(probes(&idle, 60, 660) * 70 <= 10 * 600);
        let active = Watch {
            strategy: MonitorStrategy::Active,
            has_traffic: false,
            ..watch()
        };
        let count = probes(&active, 0, 100);
        assert!((380..=401).contains(&count), "{count}");
        let passive = Watch {
            strategy: MonitorStrategy::Passive,
            ..watch()
        };
        assert_eq!(probes(&passive, 0, 10), 0);
        // 0.2 % of 1 MB/s is 2 kB/s: no more than one per 60 ms.
        let busy = Watch {
            is_busy: true,
            sent_rate: 1e6,
            ..watch()
        };
        assert!(probes(&busy, 0, 10) <= 168);
        let metered = Watch {
            standby: Some(Duration::from_secs(60)),
            ..watch()
        };
        assert!(probes(&metered, 0, 600) <= 11);
    }

    #[test]
    fn a_stock_peer_is_never_asked_faster_than_it_answers() {
        for doubted in [false, true] {
            let watch = Watch {
                is_stock: true,
                is_doubted: doubted,
                is_busy: true,
                sent_rate: 1e9,
                ..watch()
            };
            assert!(probes(&watch, 0, 60) <= 60_000 / 166);
            assert!(watch.patience() >= 2 * Duration::from_millis(166));
            assert!(watch.patience() <= Duration::from_millis(750));
        }
    }

    #[test]
    fn an_unanswered_probe_ages_until_something_sent_later_arrives() {
        let at = Instant::from_millis;
        let mut prober = Prober::new(0);
        prober.handle_sent(1, at(100));
        prober.handle_sent(2, at(200));
        prober.handle_proof(at(50));
        assert_eq!(prober.unanswered(), Some(at(100)));
        assert_eq!(prober.handle_reply(1), Some(at(100)));
        prober.handle_proof(at(100));
        assert_eq!(prober.unanswered(), Some(at(200)));
        assert_eq!(prober.handle_reply(1), None);
        prober.handle_proof(at(250));
        assert_eq!(prober.unanswered(), None);
    }
}
