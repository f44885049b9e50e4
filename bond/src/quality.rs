//! How good a path is: latency, variation, loss, errors and availability, each over its own window.

use std::time::Duration;

use protocol::Instant;

use crate::capacity::{Capacity, LONGEST_WINDOW};
use crate::config::{QualityLimits, QualityWeights};
use crate::felt_queue;
use crate::loss::{ENOUGH_OUTCOMES, Loss, Outcomes};
use crate::packed::{micros, pack_nearest, unpack};

/// The variation is taken from the latest 64 latency samples at least, in so many blocks of as many each, and from those of
/// the block that is not full yet.
const BLOCKS: usize = 9;
const BLOCK: u8 = 8;
/// A queue may be growing if one of so many latest round trips exceeded the fastest by more than so many µs.
const QUEUE_ROUND_TRIPS: u8 = 8;
const QUEUE_MICROS: u32 = 10_000;
/// So many packets of a report, and a tenth of them, have waited in a queue: what is missing found it full.
const ENOUGH_QUEUED: usize = 3;
/// The largest latency is kept with so many bits of fraction: to a 4096th.
const FRACTION: u32 = 11;
/// The largest latency is told from so many times so many seconds: ten seconds at least.
const MAXIMA: usize = 6;
const MAXIMUM_SECONDS: u64 = 2;
/// The mean size is that of about so many packets.
const PACKETS: f64 = 100.0;
/// Availability is told from the latest ten minutes.
const MINUTES: usize = 10;
const MINUTE: u64 = 60_000;

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
        self.per_second * Self::kept(now.duration_since(self.at))
    }

    /// What part of it is left after so long without anything.
    pub(crate) fn kept(silence: Duration) -> f64 {
        (-silence.as_secs_f64() / Self::TIME_CONSTANT).exp()
    }
}

/// Mean of some numbers, and the sum of the squares of how far they are from it.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    mean: f32,
    squares: f32,
}

/// What varies among the latest round trips, in µs, without each of them.
#[derive(Clone, Debug, Default)]
struct RoundTrips {
    /// The newest first; it alone may not be full.
    blocks: [Moments; BLOCKS],
    /// Samples in all blocks.
    count: u8,
}

impl RoundTrips {
    /// How many samples the newest block has.
    fn in_newest(&self) -> u8 {
        match self.count % BLOCK {
            0 => BLOCK.min(self.count),
            part => part,
        }
    }

    fn add(&mut self, micros: u32) {
        if self.in_newest() == BLOCK {
            self.blocks.rotate_right(1);
            self.blocks[0] = Moments::default();
            self.count = self.count.min(BLOCK * (BLOCKS as u8 - 1));
        }
        self.count += 1;
        // Welford's method.
        let count = f32::from(self.in_newest());
        let block = &mut self.blocks[0];
        let off = micros as f32 - block.mean;
        block.mean += off / count;
        block.squares += off * (micros as f32 - block.mean);
    }

    /// Standard deviation (n - 1).
    fn deviation(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let full = usize::from(self.count.div_ceil(BLOCK));
        let counts = [self.in_newest()].into_iter().chain([BLOCK; BLOCKS]);
        let (_, _, squares) = self.blocks[..full].iter().zip(counts).fold(
            (0.0, 0.0, 0.0),
            |(count, mean, squares), (block, more)| {
                // Chan's formula for two sets of numbers.
                let more = f64::from(more);
                let (all, off) = (count + more, f64::from(block.mean) - mean);
                (
                    all,
                    mean + off * more / all,
                    squares + f64::from(block.squares) + off * off * count * more / all,
                )
            },
        );
        Some((squares / f64::from(self.count - 1)).sqrt())
    }
}

/// The largest round trip, in µs, of about the ten seconds before the latest one: no news is no change.
#[derive(Clone, Debug, Default)]
struct WindowedMax {
    /// Number of the newest.
    newest: u32,
    /// The newest first.
    maxima: [u16; MAXIMA],
}

impl WindowedMax {
    fn add(&mut self, micros: u32, now: Instant) {
        let index = (now.as_millis() / 1000 / MAXIMUM_SECONDS) as u32;
        if index > self.newest {
            let older = usize::try_from(index - self.newest).map_or(MAXIMA, |n| n.min(MAXIMA));
            self.maxima.rotate_right(older);
            self.maxima[..older].fill(0);
            self.newest = index;
        }
        self.maxima[0] = self.maxima[0].max(pack_nearest(micros as f32, FRACTION));
    }

    fn get(&self) -> u64 {
        // Packed numbers are in the order of what they stand for.
        let largest = self.maxima.iter().copied().max().unwrap_or(0);
        unpack(largest, FRACTION) as u64
    }
}

/// When a path was up.
#[derive(Clone, Copy, Debug, Default)]
struct Availability {
    /// Since when anything is known.
    first: Option<Instant>,
    is_up: bool,
    /// Until when time was counted.
    counted: Instant,
    /// Milliseconds up in each minute, the newest first.
    up: [u16; MINUTES],
}

impl Availability {
    fn set(&mut self, up: bool, now: Instant) {
        self.advance(now);
        self.first.get_or_insert(now);
        self.is_up = up;
    }

    fn advance(&mut self, now: Instant) {
        let (mut at, end) = (self.counted.as_millis(), now.as_millis());
        // What is too long ago need not be counted.
        at = at.max(end.saturating_sub((MINUTES as u64 + 1) * MINUTE));
        if at / MINUTE > self.counted.as_millis() / MINUTE {
            self.up = [0; MINUTES];
        }
        while at < end {
            let next = ((at / MINUTE + 1) * MINUTE).min(end);
            if self.is_up {
                self.up[0] += (next - at) as u16;
            }
            if next % MINUTE == 0 {
                self.up.rotate_right(1);
                self.up[0] = 0;
            }
            at = next;
        }
        self.counted = self.counted.max(now);
    }

    /// Share of the last nine to ten minutes, or since something is known.
    fn get(&self, now: Instant) -> f64 {
        let Some(first) = self.first else {
            return 1.0;
        };
        let mut present = *self;
        present.advance(now);
        let oldest = (now.as_millis() / MINUTE).saturating_sub(MINUTES as u64 - 1) * MINUTE;
        let all = now
            .as_millis()
            .saturating_sub(oldest.max(first.as_millis()));
        if all == 0 {
            return f64::from(u8::from(self.is_up));
        }
        let up: u64 = present.up.iter().map(|millis| u64::from(*millis)).sum();
        (up as f64 / all as f64).clamp(0.0, 1.0)
    }
}

/// What is known of one path.
#[derive(Clone, Debug, Default)]
pub struct Quality {
    smoothed: Option<f32>,
    round_trips: RoundTrips,
    largest: WindowedMax,
    smallest: Option<u32>,
    /// Round trips since one told of a queue; `None`: none ever did.
    since_queue: Option<u8>,
    pub(crate) losses: Loss,
    /// Of packets that came in; only while some of them are forged.
    received: Option<Box<Outcomes>>,
    pub(crate) capacity: Capacity,
    /// Mean size of the packets that left lately.
    packet_bytes: u16,
    availability: Availability,
}

impl Quality {
    /// A round trip took this long.
    pub fn add_round_trip(&mut self, round_trip: Duration, now: Instant) {
        self.add_past_round_trip(round_trip, now);
        self.capacity
            .add_round_trip(round_trip.as_micros() as f64, now);
    }

    /// Round trips of packets that a zerotier-one names took so long, in the order in which these left. `ours`: a queue would be
    /// of our making.
    pub fn add_round_trips(&mut self, round_trips: &[Duration], ours: bool, now: Instant) {
        for round_trip in round_trips {
            self.add_past_round_trip(*round_trip, now);
        }
        let least = self.least_round_trip();
        let is_late = |time: &&Duration| felt_queue::is_late(time.as_micros() as f64, least);
        let late = round_trips.iter().filter(is_late).count();
        // If all are late it is the report that was.
        let queued = ENOUGH_QUEUED.max(round_trips.len() / 10)..round_trips.len();
        if ours && queued.contains(&late) {
            self.capacity.note_queue(now);
        }
        // How it is now the latest of them tells.
        if let Some(latest) = round_trips.last() {
            self.capacity.add_round_trip(latest.as_micros() as f64, now);
        }
    }

    /// It may be over for long.
    fn add_past_round_trip(&mut self, round_trip: Duration, now: Instant) {
        let micros = micros(round_trip);
        self.smoothed = Some(match self.smoothed {
            None => micros as f32,
            Some(smoothed) => smoothed + (micros as f32 - smoothed) / 8.0,
        });
        self.round_trips.add(micros);
        self.largest.add(micros, now);
        let fastest = self.smallest.map_or(micros, |least| least.min(micros));
        self.smallest = Some(fastest);
        self.since_queue = if micros > fastest.saturating_add(QUEUE_MICROS) {
            Some(0)
        } else {
            self.since_queue.map(|since| since.saturating_add(1))
        };
    }

    /// A queue may be growing: one of the latest round trips took longer than the fastest by a good part of a queue.
    pub(crate) fn may_queue(&self) -> bool {
        self.since_queue
            .is_some_and(|since| since < QUEUE_ROUND_TRIPS)
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
        if forged > 0 {
            self.received.get_or_insert_default();
        }
        if let Some(received) = &mut self.received {
            received.add(authentic, forged, now);
            if received.ratio(now).0 == 0.0 {
                self.received = None;
            }
        }
    }

    /// The receiver got `bytes` within `interval` of its clock, and missed `lost` of `packets + lost`. `ours`: a queue would
    /// be of our making. `down`: the path was down until now, so that what is missing is missing for that.
    pub fn add_delivery(
        &mut self,
        bytes: u64,
        (packets, lost): (u64, u64),
        interval: Duration,
        ours: bool,
        down: bool,
        now: Instant,
    ) {
        let queue = (self.least_round_trip(), ours);
        self.capacity
            .add_delivery((bytes, None), (packets, lost), interval, queue, now);
        let full = self.capacity.was_full(now);
        let lost = if down { 0 } else { lost };
        self.losses.add((packets, lost), full, true, now);
    }

    /// So many packets arrived within that time, as large as those that left lately, while this part of them was lost, if that
    /// is known. `ours`: a queue would be of our making.
    pub fn add_arrivals(
        &mut self,
        (packets, time): (u64, Duration),
        loss: Option<f64>,
        ours: bool,
        now: Instant,
    ) {
        // What took longer tells the same rate, and is believed no more.
        let counted = time.min(LONGEST_WINDOW);
        let bytes = packets as f64 * f64::from(self.packet_bytes) * counted.div_duration_f64(time);
        let queue = (self.least_round_trip(), ours);
        let recent = self.told_loss(now);
        let left_for_each = |loss: Option<f64>| 1.0 / (1.0 - loss.unwrap_or(0.0)).max(0.1);
        // By chance one report may tell of more than an overload's, and the recent past may have been worse.
        let surely = loss.map_or(recent, |loss| recent.map(|recent| recent.min(loss)));
        let lost = packets as f64 * (left_for_each(surely) - 1.0);
        let left = bytes * left_for_each(loss.or(recent));
        self.capacity.add_delivery(
            (bytes as u64, Some(left as u64)),
            (packets, lost as u64),
            counted,
            queue,
            now,
        );
    }

    /// So much left, at so many bit/s of late. `ours`: a queue would be of our making.
    pub fn add_sent(&mut self, (packets, bytes): (u64, u64), rate: f64, ours: bool, now: Instant) {
        if packets > 0 {
            let mean = bytes as f64 / packets as f64;
            let known = f64::from(self.packet_bytes);
            let part = match self.packet_bytes {
                0 => 1.0,
                _ => (packets as f64 / PACKETS).min(1.0),
            };
            let next = known + (mean - known) * part;
            // Towards what left: a change of less than a byte would be none.
            self.packet_bytes = match mean > known {
                true => next.ceil() as u16,
                false => next.floor() as u16,
            };
        }
        let loss = self.told_loss(now).unwrap_or(0.0);
        let queue = (self.least_round_trip(), ours);
        self.capacity.add_sent((bytes, rate), loss, queue, now);
    }

    /// Packets may be waiting in a queue at this moment.
    pub(crate) fn queues(&self, now: Instant) -> bool {
        self.capacity.may_queue(self.least_round_trip(), now)
    }

    fn least_round_trip(&self) -> f64 {
        f64::from(self.smallest.unwrap_or(0))
    }

    /// The path went up or down.
    pub fn set_up(&mut self, up: bool, now: Instant) {
        self.availability.set(up, now);
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
        self.smallest?;
        Some(Duration::from_micros(self.largest.get() / 2))
    }

    /// Standard deviation (n - 1) of the one-way latency over the last 64 to 72 samples.
    pub fn variation(&self) -> Option<Duration> {
        let deviation = self.round_trips.deviation()?;
        Some(Duration::from_micros((deviation / 2.0) as u64))
    }

    /// Lost / sent of the last 5 s, and how many outcomes that is told from.
    pub fn loss(&self, now: Instant) -> (f64, u64) {
        self.losses.ratio(now)
    }

    /// Lost / sent of the last 5 s, if that is told from enough outcomes.
    pub fn told_loss(&self, now: Instant) -> Option<f64> {
        let (loss, outcomes) = self.loss(now);
        (outcomes >= ENOUGH_OUTCOMES).then_some(loss)
    }

    /// Failed authentications / received of the last 5 s, and how many packets that is told from: none if none failed.
    pub fn error_ratio(&self, now: Instant) -> (f64, u64) {
        let received = self.received.as_ref();
        received.map_or((0.0, 0), |received| received.ratio(now))
    }

    /// Share of the last ten minutes, or of the path's life, that it was up.
    pub fn availability(&self, now: Instant) -> f64 {
        self.availability.get(now)
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
    fn variation_forgets_what_is_older_than_72_samples() {
        let mut quality = Quality::default();
        for _ in 0..100 {
            quality.add_round_trip(Duration::from_millis(500), at(0));
        }
        // A sawtooth of 0 to 9 ms.
        for count in 0..150u64 {
            let millis = 200 + count % 10;
            quality.add_round_trip(Duration::from_millis(millis), at(count));
            let in_newest_block = (100 + count) % 8 + 1;
            if count >= 71 {
                let first = count + 1 - 64 - in_newest_block;
                let values: Vec<f64> = (first..=count).map(|n| (n % 10) as f64).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
                let expected = (squares / (values.len() - 1) as f64).sqrt() * 500.0;
                let variation = quality.variation().expect("samples").as_micros() as f64;
                assert!((variation - expected).abs() < 3.0, "{variation} {expected}");
            }
        }
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
        quality.set_up(true, at(10_000_000));
        assert!((quality.availability(at(20_000_000)) - 1.0).abs() < 1e-9);
        // However often it changes.
        for second in 0..600 {
            quality.set_up(second % 4 == 0, at(20_000_000 + 1000 * second));
        }
        let availability = quality.availability(at(20_600_000));
        assert!((availability - 0.25).abs() < 0.01, "{availability}");
    }

    #[test]
    fn relative_quality_never_divides_by_nothing() {
        let perfect = relative_quality(&QualityWeights::default(), &[[1.0; 6], [0.0; 6]]);
        assert!((perfect[0] - 1.0).abs() < 1e-9 && perfect[1].abs() < 1e-9);
        let none = relative_quality(&QualityWeights::default(), &[[0.0; 6]; 2]);
        assert!(none.iter().all(|quality| quality.is_finite()));
    }
}
