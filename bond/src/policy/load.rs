//! What is known of the load of each slot, in four bytes: a bond must fit into a few kilobytes.

use std::time::Duration;

use protocol::Instant;

use crate::plan::SLOTS;

/// Silence is counted in this unit.
const TICK_MILLIS: u64 = 50;
/// Ages are counted in this many ticks.
const AGE_TICKS: u64 = 2;
/// A slot that was silent this long carries no flow any more: 10 s, in ticks.
const ENDED: u8 = 200;
/// A flow that sent within the last second is active, in ticks.
const ACTIVE: u8 = 20;
/// A flow is young for one second, in units of ages.
const YOUTH: u8 = 10;
/// The rate of a flow is believed after half a second, in units of ages.
const KNOWN: u8 = 5;
/// Before this age only a flow that sent [`SOME_BYTES`] is placed: it may be one that hardly ever sends.
const SEEN: u8 = 1;
const SOME_BYTES: f64 = 4000.0;
/// Least time between two moves of a flow: 10 s, in units of ages.
const REST: u8 = 100;
/// Set in an age: of the last move, not of the start.
const MOVED: u8 = 0x80;
const MAX_AGE: u8 = 0x7f;
/// Rates forget with this time constant, in seconds.
const TIME_CONSTANT: f32 = 1.0;

/// Rate and times of every slot.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Smoothed bytes per second, see [`pack`].
    rates: [u16; SLOTS],
    /// Ticks since the last bytes.
    silence: [u8; SLOTS],
    /// Since the flow started or, with [`MOVED`], since it was moved.
    ages: [u8; SLOTS],
    at: Instant,
}

/// A slot that sent lately.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    pub(super) slot: usize,
    /// Bytes per second.
    pub(super) rate: f64,
    /// Young enough to be placed anew, and not moved yet.
    pub(super) young: bool,
    /// Enough is known to place it.
    pub(super) seen: bool,
    /// Its rate says what it wants.
    pub(super) known: bool,
    /// Bytes sent so far, for a young flow.
    sent: f64,
}

impl Active {
    /// How much of a flow it is: 1 unless it sends little beside others that send `usual` bytes per second. A flow that has
    /// just begun is none yet: it may hardly ever send.
    pub(super) fn weight(&self, usual: f64) -> f64 {
        if self.known {
            (2.0 * self.rate / usual.max(1.0)).min(1.0)
        } else if self.sent >= SOME_BYTES {
            1.0
        } else {
            0.0
        }
    }
}

/// A positive number in 16 bits: five of exponent and eleven of fraction, from 1 to 2^32; less is nothing.
fn pack(value: f32) -> u16 {
    const ONE: u32 = 1f32.to_bits();
    let bits = value.min(4e9).to_bits();
    // Also catches negative numbers and NaN, whose bits are no smaller.
    if value > 1.0 {
        u16::try_from((bits - ONE + (1 << 11)) >> 12).unwrap_or(u16::MAX)
    } else {
        0
    }
}

fn unpack(packed: u16) -> f32 {
    match packed {
        0 => 0.0,
        packed => f32::from_bits((u32::from(packed) << 12) + 1f32.to_bits()),
    }
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rates: [0; SLOTS],
            silence: [u8::MAX; SLOTS],
            ages: [MAX_AGE; SLOTS],
            at: now,
        }
    }

    /// Bytes that left per slot since the last call.
    pub(super) fn add(&mut self, slots: impl IntoIterator<Item = (usize, u64)>, now: Instant) {
        let elapsed = now.duration_since(self.at).as_secs_f32();
        self.advance(now);
        let keep = (-elapsed / TIME_CONSTANT).exp();
        for rate in &mut self.rates {
            *rate = pack(unpack(*rate) * keep);
        }
        for (slot, bytes) in slots {
            if slot >= SLOTS || bytes == 0 {
                continue;
            }
            if self.silence[slot] >= ENDED {
                self.rates[slot] = 0;
                self.ages[slot] = 0;
            }
            self.silence[slot] = 0;
            let rate = unpack(self.rates[slot]) + bytes as f32 / TIME_CONSTANT;
            self.rates[slot] = pack(rate);
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: Instant) {
        let (from, to) = (
            self.at.as_millis() / TICK_MILLIS,
            now.as_millis() / TICK_MILLIS,
        );
        self.at = self.at.max(now);
        let ticks = u8::try_from(to.saturating_sub(from)).unwrap_or(u8::MAX);
        let ages =
            u8::try_from((to / AGE_TICKS).saturating_sub(from / AGE_TICKS)).unwrap_or(u8::MAX);
        if ticks > 0 {
            for silence in &mut self.silence {
                *silence = silence.saturating_add(ticks);
            }
        }
        if ages > 0 {
            for age in &mut self.ages {
                *age = *age & MOVED | (*age & MAX_AGE).saturating_add(ages).min(MAX_AGE);
            }
        }
    }

    /// The slot now takes another path.
    pub(super) fn note_move(&mut self, slot: usize) {
        self.ages[slot] = MOVED;
    }

    /// Whether its flow may be moved again.
    pub(super) fn is_rested(&self, slot: usize) -> bool {
        self.ages[slot] & MOVED == 0 || self.ages[slot] & MAX_AGE >= REST || self.has_ended(slot)
    }

    /// Its last move is a second old.
    pub(super) fn has_settled(&self, slot: usize) -> bool {
        self.ages[slot] & MAX_AGE >= YOUTH
    }

    /// It carries no flow.
    pub(super) fn has_ended(&self, slot: usize) -> bool {
        self.silence[slot] >= ENDED
    }

    /// How long it has been silent, at most some 12 s.
    pub(super) fn silence(&self, slot: usize) -> Duration {
        Duration::from_millis(u64::from(self.silence[slot]) * TICK_MILLIS)
    }

    /// The slots that sent within the last second.
    pub(super) fn active(&self) -> Vec<Active> {
        let active = (0..SLOTS).filter(|slot| self.silence[*slot] <= ACTIVE);
        active.map(|slot| self.look(slot)).collect()
    }

    /// Some slot may have to be placed.
    pub(super) fn has_young(&self) -> bool {
        (0..SLOTS).any(|slot| self.ages[slot] < YOUTH && self.silence[slot] <= ACTIVE)
    }

    /// One slot.
    pub(super) fn look(&self, slot: usize) -> Active {
        let sent = f64::from(unpack(self.rates[slot]));
        let is_new = self.ages[slot] & MOVED == 0;
        let age = self.ages[slot] & MAX_AGE;
        // What a smoothed rate has not caught up with yet. A report is about a tick late.
        let lived = f64::from(age) * 0.1 + 0.05;
        let caught_up = if is_new { 1.0 - (-lived).exp() } else { 1.0 };
        Active {
            slot,
            rate: sent / caught_up,
            young: is_new && age < YOUTH,
            seen: !is_new || age >= SEEN || sent >= SOME_BYTES,
            known: age >= KNOWN,
            sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn packed_rates_lose_less_than_a_thousandth() {
        for exponent in 0..31 {
            for value in [1.1f32, 1.5, 1.999] {
                let value = value * 2f32.powi(exponent);
                assert!((unpack(pack(value)) / value - 1.0).abs() < 0.001, "{value}");
            }
        }
        assert_eq!((pack(0.0), pack(-3.0), pack(f32::NAN)), (0, 0, 0));
        assert!(unpack(pack(f32::INFINITY)) > 3e9);
    }

    #[test]
    fn flows_start_grow_up_rest_and_end() {
        let mut load = Load::new(at(0));
        load.add([(7, 5000)], at(1000));
        assert!(load.has_young() && load.look(7).young && load.look(7).seen);
        for step in 1..40 {
            load.add([(7, 5000)], at(1000 + 50 * step));
        }
        let grown = load.look(7);
        assert!(!grown.young && grown.known && load.is_rested(7));
        assert!((grown.rate / 100_000.0 - 1.0).abs() < 0.1, "{}", grown.rate);
        load.note_move(7);
        load.advance(at(12_000));
        assert!(!load.is_rested(7) && load.active().is_empty());
        load.advance(at(13_100));
        assert!(load.is_rested(7) && load.has_ended(7));
        load.add([(7, 10)], at(13_100));
        assert!(load.look(7).young && !load.look(7).seen);
    }
}
