//! When a path that worked is suspected, and what it takes to give it up: how long silence is nothing special, how long an
//! answer may take, and how many answers may be missing.

use std::time::Duration;

use protocol::Instant;

/// Packets that come in no further apart than this flow, so that their absence says something: 40 per second.
const FLOWING: f64 = 25_000.0;
/// A pause longer than this begins a new flow.
const NEW_FLOW: f64 = 1e6;
/// Once packets have flowed for so many times as long, a pause counts no more.
const PAUSES_COUNT_FOR: f64 = 2.0;
/// The shortest silence that is suspicious.
const SHORTEST_SILENCE: Duration = Duration::from_millis(60);
/// The chance of false alarm that is accepted: e to the power of minus this.
const CERTAINTY: f64 = 11.5;
/// The same on a path that loses more than this by chance: there the chance is taken again and again.
const CERTAINTY_IF_LOSSY: f64 = 18.0;
const LOSSY: f64 = 0.005;
/// Answers that are lost by chance at least, and at most, as far as we know.
const LEAST_LOSS: f64 = 0.02;
const MOST_LOSS: f64 = 0.4;

/// Why a path is suspected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Packets flowed in and stopped.
    Silent,
    /// The peer reports that ours do not arrive.
    Unreported,
    /// It has just been put to use, or a path beside it has failed, and nothing proves that it works now.
    Untried,
}

/// What speaks against a path.
#[derive(Clone, Debug)]
pub struct Suspicion {
    /// Mean time between packets of traffic that came in, in µs, while they flow.
    gap: f64,
    /// The longest of late, in µs: what comes in bursts pauses between them.
    longest: f64,
    last_traffic: Option<Instant>,
    /// Traffic came in since the last doubt.
    armed: bool,
    /// The present silence was asked about.
    asked: bool,
    doubt: Option<(Reason, Instant)>,
}

impl Default for Suspicion {
    fn default() -> Self {
        Self {
            gap: f64::MAX,
            longest: 0.0,
            last_traffic: None,
            armed: false,
            asked: false,
            doubt: None,
        }
    }
}

impl Suspicion {
    /// Packets of traffic arrived: what stops when somebody has nothing more to say. Probes and the like are not.
    pub fn note_traffic(&mut self, packets: u64, now: Instant) {
        if packets == 0 {
            return;
        }
        if let Some(last) = self.last_traffic {
            let elapsed = now.duration_since(last).as_micros() as f64;
            let gap = elapsed / packets as f64;
            self.longest = if elapsed > NEW_FLOW {
                0.0
            } else {
                (self.longest - elapsed / PAUSES_COUNT_FOR).max(elapsed)
            };
            self.gap = if elapsed > NEW_FLOW || self.gap == f64::MAX {
                gap
            } else {
                // Many packets at once weigh as many packets.
                let weight = (packets as f64 / 8.0).min(1.0);
                self.gap + (gap - self.gap) * weight
            };
        }
        self.armed = true;
        self.asked = false;
        self.last_traffic = self.last_traffic.max(Some(now));
        self.note_heard();
    }

    /// Anything authentic arrived.
    pub fn note_heard(&mut self) {
        if self.reason() == Some(Reason::Silent) {
            self.doubt = None;
        }
    }

    /// Something that left at `sent` arrived; `answered` if we know that by an answer on the same path.
    pub fn note_proof(&mut self, sent: Instant, answered: bool) {
        if self.doubt.is_some_and(|(reason, since)| {
            (answered && reason == Reason::Silent) || (reason != Reason::Silent && sent >= since)
        }) {
            self.doubt = None;
        }
        // Whoever answers a question about silence is there and has nothing to say.
        if answered && self.asked && self.last_traffic.is_some_and(|last| last < sent) {
            self.armed = false;
        }
    }

    /// How much silence is nothing special, while packets flow.
    fn patience(&self, round_trip: Option<Duration>) -> Option<Duration> {
        if !self.armed || self.gap > FLOWING {
            return None;
        }
        let gaps = Duration::from_micros((3.0 * self.gap) as u64);
        let pauses = Duration::from_micros((1.5 * self.longest) as u64);
        let usual = gaps.max(pauses);
        Some(usual.max(2 * round_trip?).max(SHORTEST_SILENCE))
    }

    /// When silence since `heard` is worth a question.
    pub fn question_at(&self, heard: Instant, round_trip: Option<Duration>) -> Option<Instant> {
        let patience = self.patience(round_trip)?;
        (!self.asked && self.doubt.is_none()).then(|| heard + patience * 2 / 3)
    }

    /// When silence since `heard` becomes suspicious.
    pub fn doubt_at(&self, heard: Instant, round_trip: Option<Duration>) -> Option<Instant> {
        let patience = self.patience(round_trip)?;
        self.doubt.is_none().then(|| heard + patience)
    }

    /// Traffic comes in, densely enough for its absence to be noticed.
    pub fn flows(&self, now: Instant) -> bool {
        let last = self.last_traffic;
        self.armed
            && self.gap <= FLOWING
            && last.is_some_and(|last| now < last + SHORTEST_SILENCE * 2)
    }

    /// The question is being asked.
    pub fn note_asked(&mut self) {
        self.asked = true;
    }

    /// From now on the path is in doubt, unless it is already.
    pub fn doubt(&mut self, reason: Reason, now: Instant) {
        if reason == Reason::Silent {
            self.armed = false;
        }
        self.doubt.get_or_insert((reason, now));
    }

    /// Why the path is in doubt, if it is.
    pub fn reason(&self) -> Option<Reason> {
        self.doubt.map(|(reason, _)| reason)
    }

    /// Since when it is.
    pub fn since(&self) -> Option<Instant> {
        self.doubt.map(|(_, since)| since)
    }

    /// The path is down, or begins anew.
    pub fn clear(&mut self) {
        self.doubt = None;
        self.armed = false;
    }
}

/// How long answers take (the estimator of RFC 6298, from probes alone).
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerTime {
    /// Mean and mean deviation, in µs.
    estimate: Option<(f32, f32)>,
}

impl AnswerTime {
    /// An answer took this long.
    pub fn add(&mut self, round_trip: Duration) {
        let sample = round_trip.as_micros() as f32;
        self.estimate = Some(match self.estimate {
            None => (sample, sample / 2.0),
            Some((mean, deviation)) => (
                mean + (sample - mean) / 8.0,
                deviation + ((sample - mean).abs() - deviation) / 4.0,
            ),
        });
    }

    /// The mean.
    pub fn mean(&self) -> Option<Duration> {
        let (mean, _) = self.estimate?;
        Some(Duration::from_micros(mean as u64))
    }

    /// After this long an answer is overdue: the mean, and four deviations, a part `1 / divisor` of the mean or `least`
    /// more, whichever is longest.
    fn limit(&self, divisor: f32, least: f32) -> Option<Duration> {
        let (mean, deviation) = self.estimate?;
        let margin = (4.0 * deviation).max(mean / divisor).max(least);
        Some(Duration::from_micros((mean + margin) as u64))
    }

    /// How long to wait for an answer before the question is repeated.
    pub fn overdue(&self) -> Option<Duration> {
        self.limit(4.0, 8_000.0)
    }

    /// How long the first of several questions must have waited for an answer, when something speaks against the path
    /// already.
    pub fn suspicious(&self) -> Option<Duration> {
        self.limit(2.0, 20_000.0)
            .map(|limit| limit.max(Duration::from_millis(35)))
    }

    /// The same when nothing does but the missing answers. Longer than a queue of 40 ms takes to fill: then answers are late
    /// all at once.
    pub fn serious(&self) -> Option<Duration> {
        self.limit(0.5, 20_000.0)
            .map(|limit| limit.max(Duration::from_millis(60)))
    }
}

/// How many answers in a row must be missing, if packets are lost by chance at this rate one way, to be sure that the path
/// failed. What speaks against it besides counts as one.
pub fn answers_to_miss(loss: f64, reason: Option<Reason>) -> usize {
    let needed = in_a_row(2.0 * loss, loss);
    // Silence alone may be that of a peer that has nothing to say.
    let besides = match reason {
        Some(Reason::Silent) => loss <= LOSSY,
        Some(Reason::Unreported) => true,
        Some(Reason::Untried) | None => false,
    };
    (needed - usize::from(besides)).max(2)
}

/// How many packets in a row must be missing from the peer's reports.
pub fn packets_to_miss(loss: f64) -> u32 {
    in_a_row(loss, loss) as u32
}

/// How many in a row are not lost by chance, if it is `chance` for each.
fn in_a_row(chance: f64, loss: f64) -> usize {
    let certainty = if loss > LOSSY {
        CERTAINTY_IF_LOSSY
    } else {
        CERTAINTY
    };
    (certainty / -chance.clamp(LEAST_LOSS, MOST_LOSS).ln()).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn flow(suspicion: &mut Suspicion, from: u64, every: u64, count: u64) -> Instant {
        for index in 0..count {
            suspicion.note_traffic(1, at(from + every * index));
        }
        at(from + every * (count - 1))
    }

    #[test]
    fn silence_is_suspicious_only_after_a_flow_and_once() {
        let mut suspicion = Suspicion::default();
        let round_trip = Some(ms(10));
        suspicion.note_traffic(1, at(900));
        assert_eq!(suspicion.doubt_at(at(900), round_trip), None);
        let last = flow(&mut suspicion, 1000, 10, 100);
        assert_eq!(suspicion.question_at(last, round_trip), Some(last + ms(40)));
        assert_eq!(suspicion.doubt_at(last, round_trip), Some(last + ms(60)));
        suspicion.note_asked();
        assert_eq!(suspicion.question_at(last, round_trip), None);
        suspicion.doubt(Reason::Silent, at(2050));
        assert_eq!(suspicion.doubt_at(last, round_trip), None);
        suspicion.note_heard();
        assert_eq!(suspicion.reason(), None);
    }

    #[test]
    fn fifty_packets_a_second_flow_even_if_they_jitter() {
        let mut suspicion = Suspicion::default();
        for index in 0..50 {
            suspicion.note_traffic(1, at(1000 + 20 * index + 5 * (index % 2)));
        }
        let deadline = suspicion.doubt_at(at(2000), Some(ms(1)));
        let patience = deadline.map(|at| at.duration_since(Instant::from_millis(2000)));
        assert!(patience.is_some_and(|patience| (ms(60)..=ms(75)).contains(&patience)));
    }

    #[test]
    fn pauses_between_bursts_are_no_silence() {
        let mut suspicion = Suspicion::default();
        for burst in 0..20 {
            for packet in 0..16 {
                suspicion.note_traffic(1, at(1000 + 100 * burst + packet / 8));
            }
        }
        let last = at(2901);
        let doubt = suspicion.doubt_at(last, Some(ms(10)));
        assert!(doubt.is_some_and(|at| at >= last + ms(120) && at <= last + ms(160)));
    }

    /// What begins soon after a few packets of something else does not come in bursts.
    #[test]
    fn one_pause_before_a_flow_does_not_excuse_silence_for_long() {
        let mut suspicion = Suspicion::default();
        suspicion.note_traffic(1, at(1000));
        let last = flow(&mut suspicion, 1400, 2, 350);
        let doubt = suspicion.doubt_at(last, Some(ms(1)));
        assert!(doubt.is_some_and(|at| at <= last + ms(90)), "{doubt:?}");
    }

    #[test]
    fn whoever_answers_merely_has_nothing_to_say() {
        let mut suspicion = Suspicion::default();
        let last = flow(&mut suspicion, 1000, 10, 100);
        suspicion.note_proof(last + ms(5), true);
        assert!(suspicion.doubt_at(last, Some(ms(1))).is_some());
        suspicion.note_asked();
        suspicion.note_proof(last + ms(40), true);
        assert_eq!(suspicion.doubt_at(last, Some(ms(1))), None);
    }

    #[test]
    fn a_report_does_not_excuse_silence_and_hearing_does_not_excuse_what_is_missing() {
        let mut suspicion = Suspicion::default();
        suspicion.doubt(Reason::Silent, at(100));
        suspicion.note_proof(at(200), false);
        assert_eq!(suspicion.reason(), Some(Reason::Silent));
        suspicion.clear();
        suspicion.doubt(Reason::Unreported, at(100));
        suspicion.note_heard();
        suspicion.note_proof(at(50), true);
        assert_eq!(suspicion.reason(), Some(Reason::Unreported));
        suspicion.note_proof(at(150), false);
        assert_eq!(suspicion.reason(), None);
    }

    #[test]
    fn lossy_paths_must_miss_more_answers() {
        assert_eq!(answers_to_miss(0.0, None), 3);
        assert_eq!(answers_to_miss(0.0, Some(Reason::Silent)), 2);
        assert_eq!(answers_to_miss(0.05, None), 8);
        assert_eq!(answers_to_miss(0.05, Some(Reason::Silent)), 8);
        assert_eq!(answers_to_miss(0.05, Some(Reason::Unreported)), 7);
        assert!(answers_to_miss(0.5, None) <= 20);
        assert_eq!((packets_to_miss(0.0), packets_to_miss(0.05)), (3, 7));
    }

    #[test]
    fn answers_are_waited_for_as_long_as_they_usually_take() {
        let mut time = AnswerTime::default();
        assert_eq!(time.overdue(), None);
        for _ in 0..50 {
            time.add(ms(1));
        }
        assert!(time.overdue().is_some_and(|t| t <= ms(10)));
        assert_eq!(time.suspicious(), Some(ms(35)));
        assert_eq!(time.serious(), Some(ms(60)));
        for _ in 0..50 {
            time.add(ms(100));
        }
        assert!(time.suspicious().is_some_and(|t| t >= ms(145)));
        assert!(time.serious().is_some_and(|t| t >= ms(290)));
    }
}
