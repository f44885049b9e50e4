//! A sender that behaves like BBR's first version: it sends at the highest rate that it saw delivered lately, tries a quarter
//! more every eighth round trip and drains that in the next one, does not mind losses, and stops almost wholly for a fifth of
//! a second every ten.

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

pub struct Bbr {
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
        }
        let gain = if self.is_starting {
            STARTUP
        } else {
            GAINS[self.phase]
        };
        let elapsed = now.duration_since(self.credited).as_secs_f64();
        self.credited = now;
        self.credit = (self.credit + elapsed * gain * self.rate()).min(20.0);
        let is_probing = now >= self.next_probe;
        if now >= self.next_probe + PROBE {
            self.next_probe = now + PROBE_EVERY;
        }
        let window = if is_probing {
            FEW
        } else {
            ((2.0 * self.rate() * self.least) as usize).max(FEW)
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
        self.least = self.least.min(now.duration_since(sent).as_secs_f64());
        self.delivered += 1;
        let round = now.duration_since(self.round).as_secs_f64();
        if round >= self.least.max(0.02) {
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
