//! When to probe a path, how long to wait for the answer, and what becomes of probes without one.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Instant;

use crate::config::MonitorStrategy;
use crate::probe_interval::{LONGEST_DOWN_INTERVAL, Watch};

/// Probes without an answer that are remembered, and how many of them may be late.
const OUTSTANDING: usize = 32;
const MOST_LATE: usize = 16;
/// After this long an answer is late, unless answers take long.
const GIVE_UP: Duration = Duration::from_millis(300);
/// So many probes may leave before their interval is over, as it takes to tell a few failures one after the other; then one more
/// in this time, however often the path fails.
const MOST_EARLY: u32 = 16;
const EARLY_INTERVAL: Duration = Duration::from_millis(500);

/// An answer arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// When its probe had left.
    pub sent: Instant,
    /// Probes whose answers were late already, and now are overtaken by this one: they are lost.
    pub lost: u64,
}

/// The probes of one path.
#[derive(Clone, Debug, Default)]
pub struct Prober {
    /// Probes that may yet be answered, oldest first: token, when they left.
    outstanding: VecDeque<(u64, Instant)>,
    /// So many of the oldest are not waited for: their answers are late, or the path failed meanwhile. Late is not lost, as long
    /// as no later probe is answered (what RFC 3522 calls a spurious timeout).
    late: u8,
    /// Probes that were given up since something was last proven.
    given_up: u32,
    /// When the last probe was asked for.
    last_asked: Option<Instant>,
    /// When the oldest probe left after which nothing proved the path.
    unanswered: Option<Instant>,
    /// When the oldest probe left after which none was answered, whatever else proved our direction.
    unreplied: Option<Instant>,
    /// What the interval of a path that is down has grown to, in milliseconds.
    backed_off: u32,
    /// Probes to send regardless of the interval.
    urgent: u8,
    /// When all that left early will have been made up for, at one per [`EARLY_INTERVAL`].
    early_until: Instant,
    /// Shortens intervals, so that bonds do not probe in step: sixteenths of an eighth.
    jitter: u8,
}

impl Prober {
    /// `jitter` varies the intervals.
    pub fn new(jitter: u32) -> Self {
        Self {
            jitter: (jitter % 16) as u8,
            ..Self::default()
        }
    }

    /// Ask `times` in all, as soon as the peer's gate allows.
    pub fn hurry(&mut self, times: u8) {
        self.urgent = self.urgent.max(times);
    }

    /// It is to ask whatever the interval is.
    #[cfg(test)]
    pub(crate) fn is_hurried(&self) -> bool {
        self.urgent > 0
    }

    /// Probes without an answer since something was last proven.
    pub(crate) fn missing(&self) -> usize {
        let waiting = self
            .unanswered
            .map_or(0, |first| self.awaited().filter(|at| *at >= first).count());
        self.given_up() + waiting
    }

    /// When those left that are waited for, in order.
    fn awaited(&self) -> impl Iterator<Item = Instant> {
        let awaited = self.outstanding.iter().skip(self.late.into());
        awaited.map(|(_, at)| *at)
    }

    /// How many of those are not waited for any more.
    pub(crate) fn given_up(&self) -> usize {
        self.given_up as usize
    }

    /// When the next probe is due; `proof` is when both directions were last proven.
    pub fn next(&self, watch: &Watch, proof: Option<Instant>) -> Option<Instant> {
        let interval = self.interval(watch)?;
        let Some(asked) = self.last_asked else {
            return Some(Instant::ZERO);
        };
        let since = if watch.strategy == MonitorStrategy::Active {
            asked
        } else {
            asked.max(proof.unwrap_or_default())
        };
        let due = since + interval;
        let early = match self.unanswered {
            _ if self.urgent > 0 => asked + watch.gate(),
            // An answer is late: ask again soon, however rarely the path is asked otherwise.
            Some(first) if !watch.is_down => {
                let pause = if watch.has_alternative && self.missing() <= watch.needed() {
                    watch.gate()
                } else {
                    watch.quarter()
                };
                (first + watch.overdue()).max(asked + pause)
            }
            _ => return Some(due),
        };
        Some(due.min(early.max(self.early_until - EARLY_INTERVAL * (MOST_EARLY - 1))))
    }

    /// Time between probes that nothing hurries.
    fn interval(&self, watch: &Watch) -> Option<Duration> {
        let interval = watch.interval(self.backed_off(watch))?;
        Some((interval - interval * self.jitter.into() / 128).max(watch.gate()))
    }

    /// A probe is being asked for.
    pub fn handle_asked(&mut self, watch: &Watch, now: Instant) {
        self.urgent = self.urgent.saturating_sub(1);
        let due = self.last_asked.zip(self.interval(watch));
        if due.is_some_and(|(asked, interval)| now < asked + interval) {
            self.early_until = self.early_until.max(now) + EARLY_INTERVAL;
        }
        self.last_asked = Some(now);
        let backed_off = match watch.is_down {
            true => (self.backed_off(watch) * 2).min(LONGEST_DOWN_INTERVAL),
            false => watch.quarter(),
        };
        self.backed_off = u32::try_from(backed_off.as_millis()).unwrap_or(u32::MAX);
    }

    fn backed_off(&self, watch: &Watch) -> Duration {
        Duration::from_millis(self.backed_off.into()).max(watch.quarter())
    }

    /// Traffic came back: probe as often as with traffic.
    pub fn forget_back_off(&mut self) {
        self.backed_off = 0;
    }

    /// A probe left.
    pub fn handle_sent(&mut self, token: u64, now: Instant) {
        if self.outstanding.len() == OUTSTANDING {
            self.outstanding.pop_front();
            self.late = self.late.saturating_sub(1);
        }
        self.outstanding.push_back((token, now));
        self.unanswered.get_or_insert(now);
        self.unreplied.get_or_insert(now);
    }

    /// This probe may still be answered.
    pub fn awaits(&self, token: u64) -> bool {
        self.outstanding.iter().any(|(known, _)| *known == token)
    }

    /// An answer arrived. `None` if there was no such probe.
    pub fn handle_reply(&mut self, token: u64) -> Option<Reply> {
        let mut tokens = self.outstanding.iter().map(|(known, _)| *known);
        let index = tokens.position(|known| known == token)?;
        let (_, sent) = self.outstanding.remove(index)?;
        let overtaken = index.min(self.late.into());
        self.outstanding.drain(..overtaken);
        self.late = usize::from(self.late).saturating_sub(index + 1) as u8;
        if self.unreplied.is_some_and(|first| first <= sent) {
            self.unreplied = self.first_after(sent);
        }
        let lost = overtaken as u64;
        Some(Reply { sent, lost })
    }

    /// Something sent at `sent` arrived.
    pub fn handle_proof(&mut self, sent: Instant) {
        if self.unanswered.is_some_and(|first| first <= sent) {
            self.unanswered = self.first_after(sent);
            self.given_up = 0;
        }
    }

    fn first_after(&self, sent: Instant) -> Option<Instant> {
        self.awaited().find(|at| *at > sent)
    }

    /// When the oldest unanswered probe left.
    pub fn unanswered(&self) -> Option<Instant> {
        self.unanswered
    }

    /// An answer is late.
    pub fn is_overdue(&self, watch: &Watch, now: Instant) -> bool {
        self.unanswered
            .is_some_and(|first| first + watch.overdue() <= now)
    }

    /// When missing answers become a failure, if nothing comes of them until then. `heard` is when something last came in on
    /// the path, `witness` when on another one: if nothing came in anywhere, it may be us who did not listen, or the peer who
    /// did not speak.
    pub fn failure_at(
        &self,
        watch: &Watch,
        heard: Option<Instant>,
        witness: Option<Instant>,
    ) -> Option<Instant> {
        // Our direction works, by the peer's reports; the other one has to be heard too.
        let deaf = self
            .unreplied
            .filter(|first| heard.is_none_or(|heard| heard < *first))
            .map(|first| first + watch.failover_interval.max(watch.calm()));
        let Some(first) = self.unanswered else {
            return deaf;
        };
        let calm = deaf.map_or(first + watch.calm(), |deaf| deaf.min(first + watch.calm()));
        let witnessed = witness.is_some_and(|heard| heard >= first);
        if !watch.has_alternative || !witnessed || self.missing() < watch.needed() {
            return Some(calm);
        }
        let patience = match watch.reason {
            Some(_) => watch.answers.suspicious(),
            None => watch.answers.serious(),
        };
        let Some(patience) = patience else {
            return Some(calm);
        };
        // The last of those that count has waited as long as an answer takes, too.
        let count = watch.needed() - self.given_up().min(watch.needed());
        let mut counted = self.awaited().filter(|at| *at >= first);
        let last = counted.nth(count.saturating_sub(1)).unwrap_or(first);
        let hasty = (first + patience).max(last + watch.overdue());
        Some(hasty.min(calm))
    }

    /// Waits no longer for answers that are late; returns how many probes are lost: later ones were answered.
    pub fn expire(&mut self, watch: &Watch, now: Instant) -> u64 {
        let limit = (4 * watch.overdue()).max(GIVE_UP);
        let mut lost = 0;
        while let Some(&(_, at)) = self.outstanding.get(self.late.into()) {
            if now < at + limit {
                break;
            }
            if self.unanswered.is_some_and(|first| first <= at) {
                self.given_up = self.given_up.saturating_add(1);
            }
            let is_overtaken = self.unreplied.is_none_or(|first| at < first);
            let dropped = if is_overtaken {
                self.outstanding.remove(self.late.into())
            } else if usize::from(self.late) == MOST_LATE {
                self.outstanding.pop_front()
            } else {
                self.late += 1;
                None
            };
            lost += u64::from(dropped.is_some());
        }
        lost
    }

    /// The path is down: waiting begins anew, although answers to what left before may yet come.
    pub fn handle_down(&mut self) {
        while self.outstanding.len() > MOST_LATE {
            self.outstanding.pop_front();
        }
        self.late = self.outstanding.len() as u8;
        self.unanswered = None;
        self.unreplied = None;
        self.given_up = 0;
        self.backed_off = 0;
    }

    /// The path is up again: what left before says no more.
    pub fn handle_up(&mut self) {
        // A path that works has two or three on the way.
        self.outstanding = VecDeque::new();
        self.handle_down();
    }
}

#[cfg(test)]
mod tests;
