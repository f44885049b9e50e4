//! How good a path is: latency, variation, loss, errors and availability, each over its own window.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Instant;

use crate::capacity::Capacity;
use crate::config::{QualityLimits, QualityWeights};
use crate::loss::{ENOUGH_OUTCOMES, Loss, Outcomes};

/// How many latency samples the variation is taken from.
const SAMPLES: usize = 64;
/// Round trips that tell of a queue that grows, and by how many µs they then exceed the fastest.
const LATEST: usize = 8;
const GROWING: u32 = 10_000;
/// Window of the largest latency.
const WINDOW: Duration = Duration::from_secs(10);
/// Availability is told from this much past.
const AVAILABILITY_WINDOW: Duration = Duration::from_secs(600);
/// Changes between up and down that are remembered for it.
const TRANSITIONS: usize = 64;
/// Samples in a windowed maximum; older ones are merged.
const MAXIMA: usize = 8;

/// A rate that forgets exponentially.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    per_second: f64,
    at: Instant,
}

impl Rate {
    /// Seconds after which a contribution has lost most of its weight.
    const TIME_CONSTANT: f64 = 1.0;

    /// Counts `amount` at `now`.
    pub fn add(&mut self, amount: u64, now: Instant) {
        self.per_second = self.at(now) + amount as f64 / Self::TIME_CONSTANT;
        self.at = self.at.max(now);
    }

    /// Per second, at `now`.
    pub fn at(&self, now: Instant) -> f64 {
        let age = now.duration_since(self.at).as_secs_f64();
        self.per_second * (-age / Self::TIME_CONSTANT).exp()
    }
}

/// The largest value of the last ten seconds.
#[derive(Clone, Debug, Default)]
struct WindowedMax(VecDeque<(Instant, u64)>);

impl WindowedMax {
    fn add(&mut self, value: u64, now: Instant) {
        while self.0.back().is_some_and(|(_, last)| *last <= value) {
            self.0.pop_back();
        }
        self.0.push_back((now, value));
        if self.0.len() > MAXIMA {
            self.0.remove(1);
        }
        // The newest stays however old it becomes: no news is no change.
        while self.0.len() > 1 && self.0[0].0 + WINDOW < now {
            self.0.pop_front();
        }
    }

    fn get(&self) -> Option<u64> {
        self.0.front().map(|(_, value)| *value)
    }
}

/// What is known of one path.
#[derive(Clone, Debug, Default)]
pub struct Quality {
    smoothed: Option<f64>,
    round_trips: VecDeque<u32>,
    largest: WindowedMax,
    smallest: Option<u32>,
    pub(crate) losses: Loss,
    received: Outcomes,
    pub(crate) capacity: Capacity,
    transitions: VecDeque<(Instant, bool)>,
}

impl Quality {
    /// A round trip took this long.
    pub fn add_round_trip(&mut self, round_trip: Duration, now: Instant) {
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        self.smoothed = Some(match self.smoothed {
            None => f64::from(micros),
            Some(smoothed) => smoothed + (f64::from(micros) - smoothed) / 8.0,
        });
        if self.round_trips.len() == SAMPLES {
            self.round_trips.pop_front();
        }
        self.round_trips.push_back(micros);
        self.largest.add(u64::from(micros), now);
        self.capacity.add_round_trip(f64::from(micros), now);
        self.smallest = Some(self.smallest.map_or(micros, |least| least.min(micros)));
    }

    /// A queue may be growing: one of the latest round trips took longer than the fastest by a good part of a queue.
    pub(crate) fn may_queue(&self) -> bool {
        let fastest = self.smallest.unwrap_or(0);
        let latest = self.round_trips.iter().rev().take(LATEST);
        latest.max().is_some_and(|most| *most > fastest + GROWING)
    }

    /// Of packets sent, so many arrived and so many did not.
    pub fn add_outcomes(&mut self, delivered: u64, lost: u64, now: Instant) {
        let full = self.capacity.was_full(now);
        self.losses.add((delivered, lost), full, false, now);
    }

    /// So many probes were answered, and so many were not.
    pub fn add_probes(&mut self, answered: u64, lost: u64, now: Instant) {
        self.losses.add_probes((answered, lost), now);
    }

    /// Losses so far count no more.
    pub fn forget_outcomes(&mut self) {
        self.losses = Loss::default();
    }

    /// Of packets received, so many were authentic and so many were not.
    pub fn add_received(&mut self, authentic: u64, forged: u64, now: Instant) {
        self.received.add(authentic, forged, now);
    }

    /// The receiver got `bytes` within `interval` of its clock, and missed `lost` of `packets + lost`. `ours`: a queue would
    /// be of our making. `down`: the path was down until now, so that what is missing is missing for that.
    pub fn add_delivery(
        &mut self,
        bytes: u64,
        (packets, lost): (u64, u64),
        interval: Duration,
        (ours, down): (bool, bool),
        now: Instant,
    ) {
        let queue = (self.least_round_trip(), ours);
        self.capacity
            .add_delivery(bytes, (packets, lost), interval, queue, now);
        let full = self.capacity.was_full(now);
        let lost = if down { 0 } else { lost };
        self.losses.add((packets, lost), full, true, now);
    }

    /// So many bytes left.
    pub fn add_sent(&mut self, bytes: u64, ours: bool, now: Instant) {
        let (loss, outcomes) = self.loss(now);
        let loss = if outcomes >= ENOUGH_OUTCOMES {
            loss
        } else {
            0.0
        };
        let queue = (self.least_round_trip(), ours);
        self.capacity.add_sent(bytes, loss, queue, now);
    }

    fn least_round_trip(&self) -> f64 {
        f64::from(self.smallest.unwrap_or(0))
    }

    /// The path went up or down.
    pub fn set_up(&mut self, up: bool, now: Instant) {
        if self.transitions.back().is_some_and(|(_, last)| *last == up) {
            return;
        }
        if self.transitions.len() == TRANSITIONS {
            self.transitions.pop_front();
        }
        self.transitions.push_back((now, up));
    }

    /// Smoothed round trip.
    pub fn round_trip(&self) -> Option<Duration> {
        self.smoothed
            .map(|micros| Duration::from_micros(micros as u64))
    }

    /// Smoothed one-way latency: half a round trip.
    pub fn latency(&self) -> Option<Duration> {
        self.round_trip().map(|round_trip| round_trip / 2)
    }

    /// Half of the least round trip so far.
    pub fn least_latency(&self) -> Option<Duration> {
        self.smallest
            .map(|micros| Duration::from_micros(u64::from(micros) / 2))
    }

    /// Largest one-way latency of the last 10 s.
    pub fn latency_max(&self) -> Option<Duration> {
        self.largest
            .get()
            .map(|micros| Duration::from_micros(micros / 2))
    }

    /// Standard deviation (n - 1) of the one-way latency over the last 64 samples.
    pub fn variation(&self) -> Option<Duration> {
        let count = self.round_trips.len();
        if count < 2 {
            return None;
        }
        let mean = self.round_trips.iter().map(|v| f64::from(*v)).sum::<f64>() / count as f64;
        let squares: f64 = self
            .round_trips
            .iter()
            .map(|value| (f64::from(*value) - mean).powi(2))
            .sum();
        let deviation = (squares / (count - 1) as f64).sqrt();
        Some(Duration::from_micros((deviation / 2.0) as u64))
    }

    /// Lost / sent of the last 5 s, and how many outcomes that is told from.
    pub fn loss(&self, now: Instant) -> (f64, u64) {
        self.losses.ratio(now)
    }

    /// Failed authentications / received of the last 5 s, and how many packets that is told from.
    pub fn error_ratio(&self, now: Instant) -> (f64, u64) {
        self.received.ratio(now)
    }

    /// Share of the last 600 s, or of the path's life, that it was up.
    pub fn availability(&self, now: Instant) -> f64 {
        let Some((first, _)) = self.transitions.front() else {
            return 1.0;
        };
        let start = (*first).max(now - AVAILABILITY_WINDOW);
        let all = now.duration_since(start).as_secs_f64();
        if all <= 0.0 {
            return if self.transitions.back().is_some_and(|(_, up)| *up) {
                1.0
            } else {
                0.0
            };
        }
        let ends = self
            .transitions
            .iter()
            .skip(1)
            .map(|(at, _)| *at)
            .chain([now]);
        let up: f64 = self
            .transitions
            .iter()
            .zip(ends)
            .filter(|((_, up), _)| *up)
            .map(|((from, _), to)| to.duration_since((*from).max(start)).as_secs_f64())
            .sum();
        (up / all).clamp(0.0, 1.0)
    }

    /// The six terms of the quality, each 0..=1, in the order of [`QualityWeights`]: exp(-4·m/max); availability⁴. What is
    /// unknown is taken for perfect.
    pub fn terms(&self, limits: &QualityLimits, now: Instant) -> [f64; 6] {
        let term = |value: f64, limit: f64| (-4.0 * (value / limit).clamp(0.0, 1.0)).exp();
        let millis = |value: Option<Duration>| value.map_or(0.0, |value| value.as_secs_f64() * 1e3);
        let latency_limit = limits.latency.unwrap_or(500.0);
        let enough = |(ratio, count)| if count >= ENOUGH_OUTCOMES { ratio } else { 0.0 };
        [
            term(millis(self.latency()), latency_limit),
            term(millis(self.latency_max()), latency_limit),
            term(millis(self.variation()), limits.variation.unwrap_or(100.0)),
            term(enough(self.loss(now)), limits.loss.unwrap_or(0.05)),
            term(enough(self.error_ratio(now)), limits.errors.unwrap_or(0.05)),
            self.availability(now).powi(4),
        ]
    }
}

/// Weighs each path's terms against the best path in that term: 0..=1 each.
pub fn relative_quality(weights: &QualityWeights, terms: &[[f64; 6]]) -> Vec<f64> {
    let weights = [
        weights.latency,
        weights.latency_max,
        weights.variation,
        weights.loss,
        weights.errors,
        weights.availability,
    ];
    let best: [f64; 6] = std::array::from_fn(|term| {
        terms
            .iter()
            .map(|path| path[term])
            .fold(f64::MIN_POSITIVE, f64::max)
    });
    terms
        .iter()
        .map(|path| {
            (0..6)
                .map(|term| weights[term] * path[term] / best[term])
                .sum::<f64>()
                .clamp(0.0, 1.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn variation_is_the_standard_deviation_of_few_samples_too() {
        let mut quality = Quality::default();
        for millis in [20, 40] {
            quality.add_round_trip(Duration::from_millis(millis), at(0));
        }
        // Deviation of the round trips: sqrt(200) ms; one way half of it.
        let variation = quality.variation().expect("two samples").as_micros();
        assert!((7070..7073).contains(&variation), "{variation}");
        assert_eq!(quality.latency(), Some(Duration::from_micros(11_250)));
        assert_eq!(quality.latency_max(), Some(Duration::from_millis(20)));
    }

    #[test]
    fn loss_is_forgotten_after_five_seconds() {
        let mut quality = Quality::default();
        quality.add_outcomes(80, 20, at(1000));
        assert_eq!(quality.loss(at(2000)), (0.2, 100));
        assert_eq!(quality.loss(at(7000)), (0.0, 0));
    }

    #[test]
    fn availability_counts_time_up() {
        let mut quality = Quality::default();
        quality.set_up(true, at(0));
        quality.set_up(false, at(90_000));
        assert!((quality.availability(at(100_000)) - 0.9).abs() < 1e-9);
        assert!(quality.availability(at(10_000_000)) < 1e-9);
    }

    #[test]
    fn relative_quality_never_divides_by_nothing() {
        let perfect = relative_quality(&QualityWeights::default(), &[[1.0; 6], [0.0; 6]]);
        assert!((perfect[0] - 1.0).abs() < 1e-9 && perfect[1].abs() < 1e-9);
        let none = relative_quality(&QualityWeights::default(), &[[0.0; 6]; 2]);
        assert!(none.iter().all(|quality| quality.is_finite()));
    }
}
