//! A sender that behaves like BBR's first version: it sends at the highest rate that it saw delivered lately, tries a quarter
//! more every eighth round trip and drains that in the next one, does not mind losses, and stops almost wholly for a fifth of
//! a second every ten. What loses a fifth and more twice in a row, at about the same rate, it takes for a policer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use protocol::Instant;

const GAINS: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const STARTUP: f64 = 2.885;
const FEW: usize = 4;
/// Rounds in which the highest rate is remembered.
const MEMORY: usize = 10;
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBE: Duration = Duration::from_millis(200);

/// A policer is looked for in so many round trips at least and at most, and shows by this much loss, twice, at rates that differ
/// by this part (`bbr_lt_*` in Linux).
const POLICER_ROUNDS: [f64; 2] = [4.0, 16.0];
const POLICER_LOSS: f64 = 0.2;
const POLICER_SAME: f64 = 0.125;
/// Its rate is kept to for 48 round trips: so long, if few packets are on the way and answers to them are held back (seen).
const POLICER_MEMORY: Duration = Duration::from_secs(3);

/// A search for a policer.
#[derive(Default)]
struct Policer {
    since: Option<Instant>,
    lost: u64,
    delivered: u64,
    /// Packets per second: of the interval before.
    before: Option<f64>,
    /// What is kept to, and until when.
    found: Option<(f64, Instant)>,
}

impl Policer {
    /// The packets per second to keep to.
    fn limit(&self, now: Instant) -> Option<f64> {
        let (rate, until) = self.found?;
        (now < until).then_some(rate)
    }

    fn lose(&mut self, round_trip: f64, now: Instant) {
        if self.limit(now).is_some() {
            return;
        }
        self.lost += 1;
        let elapsed = self.since.map(|since| now.duration_since(since));
        let rounds = elapsed.map_or(f64::INFINITY, |time| time.as_secs_f64() / round_trip);
        let [fewest, most] = POLICER_ROUNDS;
        if rounds > most {
            *self = Self {
                since: Some(now),
                ..Self::default()
            };
        }
        let delivered = self.delivered as f64;
        if rounds < fewest || rounds > most || (self.lost as f64) < POLICER_LOSS * delivered {
            return;
        }
        let rate = delivered / (rounds * round_trip);
        let same = self.before.filter(|b| (rate - b).abs() <= POLICER_SAME * b);
        *self = Self {
            since: Some(now),
            before: Some(rate),
            found: same.map(|before| ((rate + before) / 2.0, now + POLICER_MEMORY)),
            ..Self::default()
        };
    }
}

pub struct Bbr {
    /// If it looks for policers, and counts rounds as long as they are: queues that it shares make them long.
    policer: Option<Policer>,
    /// The latest round trip, in seconds.
    round_trip: f64,
    /// Packets per second: of the rounds, newest last.
    rates: VecDeque<f64>,
    is_starting: bool,
    flat_rounds: u32,
    phase: usize,
    round: Instant,
    delivered: u64,
    least: f64,
    next_probe: Instant,
    credit: f64,
    credited: Instant,
    next: u64,
    outstanding: BTreeMap<u64, Instant>,
}

impl Bbr {
    /// `offset`: flows do not keep step.
    pub fn new(now: Instant, offset: f64) -> Self {
        Self {
            policer: None,
            round_trip: 0.02,
            rates: VecDeque::from([100.0]),
            is_starting: true,
            flat_rounds: 0,
            phase: (offset * 8.0) as usize % GAINS.len(),
            round: now,
            delivered: 0,
            least: 1.0,
            next_probe: now + PROBE_EVERY.mul_f64(0.5 + offset),
            credit: 10.0,
            credited: now,
            next: 1,
            outstanding: BTreeMap::new(),
        }
    }

    /// The same, but it looks for policers.
    pub fn minding_policers(now: Instant, offset: f64) -> Self {
        Self {
            policer: Some(Policer::default()),
            ..Self::new(now, offset)
        }
    }

    fn rate(&self) -> f64 {
        self.rates.iter().copied().fold(10.0, f64::max)
    }

    /// The number of a packet that may leave now.
    pub fn next(&mut self, now: Instant) -> Option<u64> {
        // What is not answered by now is lost.
        let patience = Duration::from_secs_f64(0.1 + 2.0 * self.least.min(0.2));
        while let Some(first) = self.outstanding.first_entry() {
            if *first.get() + patience > now {
                break;
            }
            first.remove();
            if let Some(policer) = &mut self.policer {
                policer.lose(self.round_trip, now);
            }
        }
        let (rate, gain) = if self.is_starting {
            (self.rate(), STARTUP)
        } else if let Some(limit) = self.policer.as_ref().and_then(|p| p.limit(now)) {
            (limit, 1.0)
        } else {
            (self.rate(), GAINS[self.phase])
        };
        let elapsed = now.duration_since(self.credited).as_secs_f64();
        self.credited = now;
        self.credit = (self.credit + elapsed * gain * rate).min(20.0);
        let is_probing = now >= self.next_probe;
        if now >= self.next_probe + PROBE {
            self.next_probe = now + PROBE_EVERY;
        }
        let window = if is_probing {
            FEW
        } else {
            ((2.0 * rate * self.least) as usize).max(FEW)
        };
        if self.credit < 1.0 || self.outstanding.len() >= window {
            return None;
        }
        self.credit -= 1.0;
        let number = self.next;
        self.next += 1;
        self.outstanding.insert(number, now);
        Some(number)
    }

    /// That packet arrived; false if it was given up.
    pub fn acknowledge(&mut self, number: u64, now: Instant) -> bool {
        let Some(sent) = self.outstanding.remove(&number) else {
            return false;
        };
        self.round_trip = now.duration_since(sent).as_secs_f64();
        self.least = self.least.min(self.round_trip);
        let mut least_round = self.least;
        if let Some(policer) = &mut self.policer {
            policer.delivered += 1;
            least_round = self.round_trip;
        }
        self.delivered += 1;
        let round = now.duration_since(self.round).as_secs_f64();
        if round >= least_round.max(0.02) {
            let rate = self.delivered as f64 / round;
            if rate > 1.25 * self.rate() {
                self.flat_rounds = 0;
            } else {
                self.flat_rounds += 1;
                self.is_starting &= self.flat_rounds < 3;
            }
            self.rates.push_back(rate);
            if self.rates.len() > MEMORY {
                self.rates.pop_front();
            }
            self.phase = (self.phase + 1) % GAINS.len();
            self.delivered = 0;
            self.round = now;
        }
        true
    }
}
