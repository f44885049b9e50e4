//! How many packets one sample stands for, on one path to a zerotier-one. That peer samples what has an odd id and reports
//! 140 samples at a time ([`crate::qos`]), two or three times a second; what it samples beyond that it cannot tell of. We
//! choose the ids, and so how many there are.

use std::time::Duration;

use protocol::Instant;

use crate::qos::BY_CHANCE;

/// Packets are counted for so long.
const WINDOW: Duration = Duration::from_millis(250);
/// Samples per second at most, in two reports: 0.15 % of the bytes from 10 Mbit/s on.
const MOST: f64 = 200.0;
/// There are more of them again when there would be fewer than this.
const LEAST: f64 = 80.0;
/// One in no more than so many: 300 of ten million packets per second.
const LARGEST: u16 = 1 << 15;

/// Which of the next packets of a path is sampled: one in each block of so many, by chance. Packets come in runs, and a queue that
/// spills drops them in a rhythm, to which regular samples might keep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Block {
    /// Packets that are left in it, and how many when it is the turn of the one that is sampled.
    left: u16,
    chosen: u16,
}

impl Block {
    /// Whether the id of the next packet is to be odd, so that one in `one_in` is sampled; `None` if that is left to chance.
    /// `random`: 32 random bits.
    pub fn next_id_is_odd(&mut self, one_in: u16, random: impl FnOnce() -> u32) -> Option<bool> {
        if one_in <= BY_CHANCE {
            return None;
        }
        if self.left == 0 || self.left > one_in {
            self.left = one_in;
            self.chosen = (random() % u32::from(one_in)) as u16;
        }
        self.left -= 1;
        Some(self.left == self.chosen)
    }
}

/// Counts what leaves on a path.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    one_in: u16,
    block: Block,
    since: Option<Instant>,
    packets: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            one_in: BY_CHANCE,
            block: Block::default(),
            since: None,
            packets: 0,
        }
    }
}

impl Sampling {
    /// One in so many packets is to be sampled; a power of two, 2 at least: then ids are left to chance.
    pub fn one_in(&self) -> u16 {
        self.one_in
    }

    /// As [`Block::next_id_is_odd`].
    pub fn next_id_is_odd(&mut self, random: impl FnOnce() -> u32) -> Option<bool> {
        self.block.next_id_is_odd(self.one_in, random)
    }

    /// So many packets left.
    pub fn note_sent(&mut self, packets: u64) {
        self.packets += packets;
    }

    /// Lets time pass; call it often. True if [`Self::one_in`] changed.
    pub fn update(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let elapsed = now.duration_since(since);
        if elapsed < WINDOW {
            return false;
        }
        let rate = self.packets as f64 / elapsed.as_secs_f64();
        self.since = Some(now);
        self.packets = 0;
        let before = self.one_in;
        while rate > MOST * f64::from(self.one_in) && self.one_in < LARGEST {
            self.one_in *= 2;
        }
        // One step at a time: the next run of packets must not find all of them sampled.
        if rate < LEAST * f64::from(self.one_in) && self.one_in > BY_CHANCE {
            self.one_in /= 2;
        }
        self.one_in != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_per_second_are_bounded_both_ways() {
        let mut sampling = Sampling::default();
        let mut now = 1000;
        sampling.update(Instant::from_millis(now));
        let mut run = |rate: u64| {
            let changes = (0..40).filter(|_| {
                now += 25;
                sampling.note_sent(rate / 40);
                sampling.update(Instant::from_millis(now))
            });
            (changes.count(), sampling.one_in())
        };
        assert_eq!(run(400), (0, 2));
        for (rate, one_in) in [(1000, 8), (5000, 32), (100_000, 512), (10_000_000, 32768)] {
            assert_eq!(run(rate), (1, one_in), "{rate}/s");
        }
        // A rate that stays, or changes by half, changes nothing.
        // Down step by step.
        assert_eq!((run(5000), run(5000)), ((4, 2048), (4, 128)));
        assert_eq!((run(5000), run(5000)), ((2, 32), (0, 32)));
        assert_eq!(
            (run(6400), run(5000), run(2600)),
            ((0, 32), (0, 32), (0, 32))
        );
        assert_eq!(run(0), (4, 2));
    }

    #[test]
    fn one_packet_of_each_block_is_sampled() {
        let mut random = 1u32;
        let mut draw = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 8
        };
        let mut block = Block::default();
        assert_eq!(block.next_id_is_odd(2, &mut draw), None);
        for one_in in [4, 64, 1 << 12] {
            for _ in 0..16 {
                let odd =
                    (0..one_in).filter(|_| block.next_id_is_odd(one_in, &mut draw) == Some(true));
                assert_eq!(odd.count(), 1);
            }
        }
        // However short its part of a block.
        let mut odd = 0;
        for _ in 0..64_000 {
            let mut block = Block::default();
            odd += (0..3)
                .filter(|_| block.next_id_is_odd(64, &mut draw) == Some(true))
                .count();
        }
        assert!(odd.abs_diff(3000) < 250, "{odd}");
        // What was begun with longer ones ends at once.
        let mut block = Block::default();
        block.next_id_is_odd(1 << 15, &mut draw);
        let odd = (0..40).filter(|_| block.next_id_is_odd(4, &mut draw) == Some(true));
        assert_eq!(odd.count(), 10);
    }
}
