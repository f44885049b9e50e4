//! A sender that behaves like TCP: slow start, additive increase, a decrease to seven tenths per lossy round trip, losses told
//! by time as RACK does, and a timeout.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::Instant;

const DECREASE: f64 = 0.7;
const TIMEOUT: Duration = Duration::from_millis(200);

pub struct Tcp {
    window: f64,
    threshold: f64,
    next: u64,
    outstanding: BTreeMap<u64, Instant>,
    /// Losses below this number belong to a decrease that was made.
    recover: u64,
    smoothed: f64,
    last_progress: Instant,
    backed_off: u32,
}

impl Tcp {
    pub fn new(now: Instant) -> Self {
        Self {
            window: 10.0,
            threshold: f64::INFINITY,
            next: 1,
            outstanding: BTreeMap::new(),
            recover: 0,
            smoothed: 0.1,
            last_progress: now,
            backed_off: 0,
        }
    }

    /// The number of a packet that may leave now. What was lost is sent again under a new number.
    pub fn next(&mut self, now: Instant) -> Option<u64> {
        let patience =
            (TIMEOUT + Duration::from_secs_f64(2.0 * self.smoothed)) * (1 << self.backed_off);
        if !self.outstanding.is_empty() && self.last_progress + patience <= now {
            self.threshold = (self.window / 2.0).max(2.0);
            self.window = 1.0;
            self.outstanding.clear();
            self.recover = self.next;
            self.last_progress = now;
            self.backed_off = (self.backed_off + 1).min(5);
        }
        if self.outstanding.len() as f64 >= self.window {
            return None;
        }
        if self.outstanding.is_empty() {
            self.last_progress = now;
        }
        let number = self.next;
        self.next += 1;
        self.outstanding.insert(number, now);
        Some(number)
    }

    /// That packet arrived; false if it was already sent again.
    pub fn acknowledge(&mut self, number: u64, now: Instant) -> bool {
        let Some(sent) = self.outstanding.remove(&number) else {
            return false;
        };
        let sample = now.duration_since(sent).as_secs_f64();
        self.smoothed += (sample - self.smoothed) / 8.0;
        self.last_progress = now;
        self.backed_off = 0;
        self.window += if self.window < self.threshold {
            1.0
        } else {
            1.0 / self.window
        };
        // Lost is what left before this one and has had a quarter of a round trip more.
        let horizon = sent - Duration::from_secs_f64((self.smoothed / 4.0).max(0.002));
        let lost: Vec<u64> = self
            .outstanding
            .range(..number)
            .take_while(|(_, at)| **at < horizon)
            .map(|(lost, _)| *lost)
            .collect();
        for lost in lost {
            self.outstanding.remove(&lost);
            if lost >= self.recover {
                self.window = (self.window * DECREASE).max(2.0);
                self.threshold = self.window;
                self.recover = self.next;
            }
        }
        true
    }
}
