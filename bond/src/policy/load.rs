//! What is known of the load of each slot, in three bytes: a bond must fit into a few kilobytes.

use std::time::Duration;

use protocol::Instant;

use crate::packed::{pack, unpack};
use crate::plan::SLOTS;

/// Silence is counted in this unit up to [`ACTIVE`], then in as many of it.
const TICK_MILLIS: u64 = 50;
/// A flow that sent within the last second is active, in ticks.
const ACTIVE: u8 = 20;
/// A slot that was silent this long, ten to eleven seconds, carries no flow any more.
const ENDED: u8 = ACTIVE + 10;
/// Ages are counted in this many ticks up to [`GROWN`], two seconds, then in as many of these units.
const AGE_TICKS: u64 = 2;
const GROWN: u8 = 20;
/// A flow is young for one second, in units of ages.
const YOUTH: u8 = 10;
/// The rate of a flow is believed after half a second, in units of ages.
const KNOWN: u8 = 5;
/// What has just begun sends far more than fits, and repairs what it lost until about this age, in units of ages. BBR that is
/// moved meanwhile takes that for a policer's doing twice over: moved after 1.0 s off 5 onto 50 Mbit/s it was fast after up to
/// 6 s, moved after 1.3 to 1.8 s after 3.5 s at most (a dozen times each).
const RECOVERED: u8 = 15;
/// Before this age only a flow that sent [`SOME_BYTES`] is placed: it may be one that hardly ever sends.
const SEEN: u8 = 1;
const SOME_BYTES: f64 = 4000.0;
/// Least time between two moves of a flow: ten to twelve seconds.
const REST: u8 = GROWN + 5;
/// Counts of silence and age end here.
const MOST: u8 = 31;
/// A flow that was silent for so many ticks, in which it would have sent this many bytes, has ended or paused. Bytes are told
/// four times a second at least.
const PAUSED: u8 = 10;
const MISSED_BYTES: f64 = 30_000.0;
/// Rates forget with this time constant, in seconds: by half in so many µs.
const TIME_CONSTANT: f32 = 1.0;
const HALF_LIFE_MICROS: u64 = 693_147;
/// Bits of a rate's fraction.
const FRACTION: u32 = 8;

/// What is known of one slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    /// Smoothed bytes per second, see [`pack`]; 13 bits. It grows with time, so that what is old need not be touched in
    /// order to weigh less: see [`Load::weight`].
    rate: u16,
    /// Since the last bytes, see [`later`] with [`ACTIVE`]; 5 bits.
    silence: u8,
    /// Since the flow started or was moved, see [`later`] with [`GROWN`]; 5 bits.
    age: u8,
    /// It was moved.
    moved: bool,
}

/// A [`State`].
#[derive(Clone, Copy, Debug)]
struct Packed([u8; 3]);

impl From<State> for Packed {
    fn from(state: State) -> Self {
        let bits = u32::from(state.rate)
            | u32::from(state.silence) << 13
            | u32::from(state.age) << 18
            | u32::from(state.moved) << 23;
        let [low, middle, high, _] = bits.to_le_bytes();
        Self([low, middle, high])
    }
}

impl From<Packed> for State {
    fn from(Packed([low, middle, high]): Packed) -> Self {
        let bits = u32::from_le_bytes([low, middle, high, 0]);
        Self {
            rate: (bits & 0x1fff) as u16,
            silence: (bits >> 13 & 0x1f) as u8,
            age: (bits >> 18 & 0x1f) as u8,
            moved: bits >> 23 != 0,
        }
    }
}

/// Rate and times of every slot.
#[derive(Clone, Debug)]
pub(super) struct Load {
    slots: [Packed; SLOTS],
    at: Instant,
    /// When what was sent weighs 1.
    base: Instant,
    /// Rates are rounded up or down at random: what is added in small pieces would get lost otherwise.
    dither: u32,
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
    /// It sent steadily, and then nothing more.
    pub(super) paused: bool,
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

/// A count that goes on by one per unit up to `fine`, then by one per `fine` units, as time goes on from unit `from` to `to`.
fn later(count: u8, fine: u8, from: u64, to: u64) -> u8 {
    let coarse = from + u64::from(fine.saturating_sub(count));
    let fine = u64::from(fine);
    let count = u64::from(count);
    let later = if to <= coarse {
        count + (to - from)
    } else {
        count.max(fine) + (to / fine - coarse / fine)
    };
    u8::try_from(later).map_or(MOST, |later| later.min(MOST))
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        let unused = State {
            rate: 0,
            silence: MOST,
            age: MOST,
            moved: false,
        };
        Self {
            slots: [unused.into(); SLOTS],
            at: now,
            base: now,
            dither: 0,
        }
    }

    fn state(&self, slot: usize) -> State {
        self.slots[slot].into()
    }

    /// How much more than once what is sent now weighs in rates: 1 to 2.
    fn weight(&self) -> f32 {
        let age = self.at.duration_since(self.base).as_micros() as f32;
        (age / HALF_LIFE_MICROS as f32).exp2()
    }

    /// Bytes that left per slot since the last call.
    pub(super) fn add(&mut self, slots: impl IntoIterator<Item = (usize, u64)>, now: Instant) {
        self.advance(now);
        let weight = self.weight();
        for (slot, bytes) in slots {
            if slot >= SLOTS || bytes == 0 {
                continue;
            }
            let mut state = self.state(slot);
            if state.silence >= ENDED {
                (state.rate, state.age, state.moved) = (0, 0, false);
            }
            state.silence = 0;
            // Numerical Recipes' linear congruential generator; its upper bits are the better ones.
            self.dither = self.dither.wrapping_mul(1_664_525);
            self.dither = self.dither.wrapping_add(1_013_904_223);
            let rate = unpack(state.rate, FRACTION) + bytes as f32 * weight / TIME_CONSTANT;
            state.rate = pack(rate, FRACTION, self.dither >> (9 + FRACTION));
            self.slots[slot] = state.into();
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: Instant) {
        let tick = |at: Instant| at.as_millis() / TICK_MILLIS;
        let (from, to) = (tick(self.at), tick(self.at.max(now)));
        self.at = self.at.max(now);
        let halvings = self.at.duration_since(self.base).as_micros() as u64 / HALF_LIFE_MICROS;
        if from == to && halvings == 0 {
            return;
        }
        self.base = self.base + Duration::from_micros(halvings * HALF_LIFE_MICROS);
        let halved = u16::try_from(halvings.saturating_mul(1 << FRACTION)).unwrap_or(u16::MAX);
        for packed in &mut self.slots {
            let mut state = State::from(*packed);
            state.rate = state.rate.saturating_sub(halved);
            state.silence = later(state.silence, ACTIVE, from, to);
            state.age = later(state.age, GROWN, from / AGE_TICKS, to / AGE_TICKS);
            *packed = state.into();
        }
    }

    /// The slot now takes another path.
    pub(super) fn note_move(&mut self, slot: usize) {
        let state = State {
            age: 0,
            moved: true,
            ..self.state(slot)
        };
        self.slots[slot] = state.into();
    }

    /// Whether its flow may be moved again.
    pub(super) fn is_rested(&self, slot: usize) -> bool {
        let state = self.state(slot);
        !state.moved || state.age >= REST || state.silence >= ENDED
    }

    /// Its last move is a second old.
    pub(super) fn has_settled(&self, slot: usize) -> bool {
        self.state(slot).age >= YOUTH
    }

    /// Its flow may have repaired what it lost when it began, or was moved.
    pub(super) fn has_recovered(&self, slot: usize) -> bool {
        self.state(slot).age >= RECOVERED
    }

    /// It carries no flow.
    pub(super) fn has_ended(&self, slot: usize) -> bool {
        self.state(slot).silence >= ENDED
    }

    /// How long it has been silent at least, at most 11 s.
    pub(super) fn silence(&self, slot: usize) -> Duration {
        let silence = self.state(slot).silence;
        let seconds = silence.saturating_sub(ACTIVE);
        let ticks = if seconds > 0 { 0 } else { u64::from(silence) };
        Duration::from_secs(seconds.into()) + Duration::from_millis(ticks * TICK_MILLIS)
    }

    /// The slots that sent within the last second.
    pub(super) fn active(&self) -> Vec<Active> {
        let active = (0..SLOTS).filter(|slot| self.state(*slot).silence <= ACTIVE);
        active.map(|slot| self.look(slot)).collect()
    }

    /// Some slot may have to be placed.
    pub(super) fn has_young(&self) -> bool {
        let mut states = self.slots.iter().map(|packed| State::from(*packed));
        states.any(|state| !state.moved && state.age < YOUTH && state.silence <= ACTIVE)
    }

    /// One slot.
    pub(super) fn look(&self, slot: usize) -> Active {
        let State {
            rate,
            silence,
            age,
            moved,
        } = self.state(slot);
        let sent = f64::from(unpack(rate, FRACTION) / self.weight());
        let is_new = !moved;
        // What a smoothed rate has not caught up with yet. A report is about a tick late.
        let lived = if age < GROWN {
            f64::from(age) * 0.1 + 0.05
        } else {
            // Two seconds to four and so on; nearly all is caught up with.
            f64::from(age - GROWN) * 2.0 + 2.6
        };
        let caught_up = if is_new { 1.0 - (-lived).exp() } else { 1.0 };
        Active {
            slot,
            rate: sent / caught_up,
            young: is_new && age < YOUTH,
            seen: !is_new || age >= SEEN || sent >= SOME_BYTES,
            known: age >= KNOWN,
            paused: silence >= PAUSED && sent * self.silence(slot).as_secs_f64() > MISSED_BYTES,
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
    fn states_are_packed_whole() {
        for (rate, silence, age, moved) in [
            (0, 0, 0, false),
            (0x1fff, 0, MOST, true),
            (1, MOST, 1, false),
        ] {
            let state = State {
                rate,
                silence,
                age,
                moved,
            };
            assert_eq!(State::from(Packed::from(state)), state);
        }
    }

    #[test]
    fn counts_are_fine_at_first() {
        assert_eq!(later(3, 20, 100, 107), 10);
        // Ten units to the end of the fine ones, at 110; 120 and 140 are passed.
        assert_eq!(later(10, 20, 100, 150), 22);
        assert_eq!(later(22, 20, 150, 160), 23);
        assert_eq!(later(22, 20, 150, 10_000), MOST);
        let steps = (0..37).fold(0, |count, unit| later(count, 20, unit, unit + 1));
        assert_eq!(steps, later(0, 20, 0, 37));
    }

    /// However small the pieces are in which it is told. Rounding adds chance, and nothing else: of each piece at most half a
    /// step of a 256th in standard deviation, and those of about half a second add up.
    #[test]
    fn rates_follow_what_is_sent() {
        for (interval, bytes) in [(1, 1000), (20, 20_000), (50, 50_000), (100, 100_000)] {
            let seconds = interval as f64 / 1000.0;
            // What exponential forgetting makes of such pieces, looked at just after one.
            let exact = 1e6 * seconds / (1.0 - (-seconds).exp());
            let chance = (0.5 / seconds).sqrt() / 512.0;
            let mut load = Load::new(at(0));
            let (mut sum, mut count, mut most) = (0.0, 0, 0.0f64);
            for millis in (interval..200_000).step_by(interval as usize) {
                load.add([(7, bytes)], at(millis));
                // By then all is caught up with, and known to be.
                if millis > 20_000 {
                    let error = load.look(7).rate / exact - 1.0;
                    most = most.max(error.abs());
                    (sum, count) = (sum + error, count + 1);
                }
            }
            let mean = sum / f64::from(count);
            println!("{interval} ms: {mean:.4} {most:.4}, {chance:.4} by chance");
            assert!(mean.abs() < chance / 6.0 && most < 3.5 * chance);
        }
        let mut load = Load::new(at(0));
        load.add([(7, 1_000_000)], at(1000));
        load.advance(at(2000));
        let kept = load.look(7).sent / 1e6 / (-1f64).exp();
        assert!((kept - 1.0).abs() <= 1.0 / 256.0, "{kept}");
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
        load.advance(at(3300));
        assert!(!load.look(7).paused);
        load.advance(at(3600));
        let paused = load.look(7);
        assert!(paused.paused);
        load.advance(at(12_000));
        assert!(!load.is_rested(7) && load.active().is_empty());
        load.advance(at(13_100));
        assert!(load.is_rested(7) && load.has_ended(7));
        load.add([(7, 10)], at(13_100));
        assert!(load.look(7).young && !load.look(7).seen);
        // Who sends little at a time has not paused.
        load.advance(at(13_900));
        assert!(!load.look(7).paused);
    }
}
