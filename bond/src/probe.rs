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
mod tests {
    use super::*;
    use crate::probe_interval::{IDLE_INTERVAL, Standby};
    use crate::suspicion::{AnswerTime, Reason};

    fn watch() -> Watch {
        let mut answers = AnswerTime::default();
        for _ in 0..20 {
            answers.add(Duration::from_millis(10));
        }
        Watch {
            strategy: MonitorStrategy::Dynamic,
            failover_interval: Duration::from_millis(1000),
            is_stock: false,
            is_down: false,
            is_trial: false,
            reason: None,
            has_alternative: true,
            has_traffic: true,
            idle_for: Duration::ZERO,
            is_busy: false,
            is_covered: false,
            sent_rate: 0.0,
            loss: 0.0,
            standby: None,
            answers,
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
                proof = prober.handle_reply(millis).map(|reply| reply.sent);
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
            idle_for: Duration::from_secs(80),
            ..watch()
        };
        // Probes and answers of both ends take half of 10 bytes/s, 3.86 of a link with 10 MB a month.
        let exchanged = |watch: &Watch| 2 * probes(watch, 0, 60_000) * 149;
        assert!(exchanged(&idle) <= 2 * 5 * 60_000);
        for standby in [Standby::Spare, Standby::Metered] {
            let waits = Watch {
                standby: Some(standby),
                ..idle
            };
            assert!(exchanged(&waits) <= 3 * 60_000);
            // One that failed is asked by both ends, and does not answer.
            let down = Watch {
                is_down: true,
                has_alternative: true,
                ..waits
            };
            assert!(unanswered(&down, 6000) * 2 * 70 <= 15 * 6000);
        }
        let active = Watch {
            strategy: MonitorStrategy::Active,
            has_traffic: false,
            ..watch()
        };
        // Four probes of 70 bytes per failover interval: our probes, and answers to as many of the peer's.
        let count = probes(&active, 0, 100);
        assert!((150..=168).contains(&count), "{count}");
        assert!(count * 149 <= 280 * 100);
        let stock = Watch {
            is_stock: true,
            ..active
        };
        let count = probes(&stock, 0, 100);
        assert!((240..=251).contains(&count), "{count}");
        let passive = Watch {
            strategy: MonitorStrategy::Passive,
            ..watch()
        };
        assert_eq!(probes(&passive, 0, 10), 0);
        // Without reports of the peer, however little is sent.
        let busy = Watch {
            is_busy: true,
            sent_rate: 1e6,
            ..watch()
        };
        assert!(probes(&busy, 0, 10) <= 168);
        let metered = Watch {
            standby: Some(Standby::Metered),
            ..watch()
        };
        assert!(probes(&metered, 0, 600) <= 11);
        // Reports cover 1.5 MB/s: probes and answers are less than a thousandth of it.
        let covered = Watch {
            is_busy: true,
            is_covered: true,
            sent_rate: 1.5e6,
            ..watch()
        };
        let count = probes(&covered, 0, 100);
        assert!((500..=750).contains(&count), "{count}");
    }

    #[test]
    fn a_bond_that_never_sent_anything_is_asked_as_rarely_as_can_be() {
        let never = Watch {
            has_traffic: false,
            idle_for: Duration::MAX,
            ..watch()
        };
        assert_eq!(never.interval(Duration::ZERO), Some(IDLE_INTERVAL));
    }

    #[test]
    fn the_longer_nothing_was_sent_the_rarer_are_probes() {
        let mut prober = Prober::new(0);
        let mut asked = Vec::new();
        let mut proof = None;
        for millis in 1..120_000 {
            let now = Instant::from_millis(millis);
            let watch = Watch {
                has_traffic: millis <= 30_000,
                idle_for: Duration::from_millis(millis),
                ..watch()
            };
            if prober.next(&watch, proof).is_some_and(|due| due <= now) {
                prober.handle_asked(&watch, now);
                prober.handle_sent(millis, now);
                proof = prober.handle_reply(millis).map(|reply| reply.sent);
                prober.handle_proof(now);
                asked.push(millis);
            }
        }
        assert!((7..=12).contains(&asked.len()), "{asked:?}");
        let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert!(*pauses.last().unwrap() <= 45_000, "{pauses:?}");
    }

    /// Probes within `seconds` when none is answered.
    fn unanswered(watch: &Watch, seconds: u64) -> u64 {
        let mut prober = Prober::new(0);
        let mut count = 0;
        for millis in 0..seconds * 1000 {
            let now = Instant::from_millis(millis);
            if prober.next(watch, None).is_some_and(|due| due <= now) {
                prober.handle_asked(watch, now);
                prober.handle_sent(millis, now);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn a_stock_peer_is_never_asked_faster_than_it_answers() {
        for reason in [None, Some(Reason::Silent)] {
            let watch = Watch {
                is_stock: true,
                reason,
                is_busy: true,
                sent_rate: 1e9,
                ..watch()
            };
            assert!(probes(&watch, 0, 60) <= 60_000 / 166);
            let failure = failure(&watch);
            assert!(failure <= Duration::from_millis(600), "{failure:?}");
        }
    }

    /// From the first probe that is not answered to the verdict.
    fn failure(watch: &Watch) -> Duration {
        let mut prober = Prober::new(0);
        let start = 10_000;
        prober.handle_asked(watch, Instant::from_millis(start));
        prober.handle_sent(0, Instant::from_millis(start));
        for millis in start.. {
            let now = Instant::from_millis(millis);
            prober.expire(watch, now);
            let verdict = prober.failure_at(watch, Some(Instant::from_millis(start)), Some(now));
            if verdict.is_some_and(|at| at <= now) {
                return now.duration_since(Instant::from_millis(start));
            }
            if prober.next(watch, None).is_some_and(|due| due <= now) {
                prober.handle_asked(watch, now);
                prober.handle_sent(millis, now);
            }
        }
        unreachable!("it fails some time");
    }

    #[test]
    fn missing_answers_become_a_failure_the_sooner_the_more_speaks_for_it() {
        let ms = Duration::from_millis;
        let plain = watch();
        assert!((ms(60)..=ms(75)).contains(&failure(&plain)));
        let silent = Watch {
            reason: Some(Reason::Silent),
            ..plain
        };
        assert!((ms(35)..=ms(45)).contains(&failure(&silent)));
        let lossy = Watch {
            loss: 0.05,
            ..plain
        };
        assert!(failure(&lossy) > failure(&plain));
        // Nobody could take over.
        let alone = Watch {
            has_alternative: false,
            ..silent
        };
        assert_eq!(failure(&alone), ms(750));
    }

    #[test]
    fn a_path_in_doubt_all_the_time_is_asked_hastily_only_for_a_while() {
        let mut prober = Prober::new(0);
        let mut asked = Vec::new();
        for millis in 10_000..70_000 {
            let now = Instant::from_millis(millis);
            prober.hurry(6);
            if prober.next(&watch(), None).is_some_and(|due| due <= now) {
                prober.handle_asked(&watch(), now);
                asked.push(millis);
            }
        }
        let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            pauses.iter().take(16).all(|pause| *pause == 15),
            "{pauses:?}"
        );
        // Every 500 ms one that is early, and 250 ms after the last one that is due.
        assert!((300..=330).contains(&asked.len()), "{}", asked.len());
    }

    #[test]
    fn when_nothing_comes_in_anywhere_there_is_no_haste() {
        let watch = Watch {
            reason: Some(Reason::Silent),
            ..watch()
        };
        let mut prober = Prober::new(0);
        for millis in [0, 15, 30] {
            prober.handle_sent(millis, Instant::from_millis(1000 + millis));
        }
        let at = |witness| prober.failure_at(&watch, None, witness);
        assert_eq!(
            at(Some(Instant::from_millis(999))),
            Some(Instant::from_millis(1750))
        );
        assert_eq!(
            at(Some(Instant::from_millis(1001))),
            Some(Instant::from_millis(1035))
        );
    }

    #[test]
    fn what_is_late_is_lost_once_a_later_probe_is_answered() {
        let at = Instant::from_millis;
        let mut prober = Prober::new(0);
        for token in 1..=5 {
            prober.handle_sent(token, at(1000 + token * 10));
        }
        // Out of order, and then the one before it is late.
        assert_eq!(prober.handle_reply(3).map(|reply| reply.lost), Some(0));
        assert_eq!(prober.expire(&watch(), at(1319)), 1);
        assert_eq!(prober.expire(&watch(), at(1330)), 1);
        assert_eq!(prober.expire(&watch(), at(1360)), 0);
        assert_eq!(prober.missing(), 4);
        assert_eq!(prober.handle_reply(4).map(|reply| reply.lost), Some(0));
        prober.handle_sent(6, at(1361));
        assert_eq!(prober.handle_reply(6).map(|reply| reply.lost), Some(1));
        assert_eq!(prober.handle_reply(5), None);
        // Late or not, so many are remembered.
        for token in 7..60 {
            prober.handle_sent(token, at(1400 + token));
        }
        prober.expire(&watch(), at(2000));
        assert_eq!(prober.outstanding.len(), MOST_LATE);
    }

    #[test]
    fn an_unanswered_probe_ages_until_something_sent_later_arrives() {
        let at = Instant::from_millis;
        let mut prober = Prober::new(0);
        prober.handle_sent(1, at(100));
        prober.handle_sent(2, at(200));
        prober.handle_proof(at(50));
        assert_eq!(prober.unanswered(), Some(at(100)));
        let (sent, lost) = (at(100), 0);
        assert_eq!(prober.handle_reply(1), Some(Reply { sent, lost }));
        prober.handle_proof(at(100));
        assert_eq!(prober.unanswered(), Some(at(200)));
        assert_eq!(prober.handle_reply(1), None);
        prober.handle_proof(at(250));
        assert_eq!(prober.unanswered(), None);
    }
}
