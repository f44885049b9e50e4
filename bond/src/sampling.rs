//! How many packets one sample stands for, on one path to a zerotier-one. That peer samples what has an odd id and reports
//! 140 samples at a time ([`crate::qos`]), with a failover interval of one second once a second at most; of the others it keeps
//! 420, and has no room for more. We choose the ids, and so how many there are.

use std::time::Duration;

use protocol::Instant;

use crate::qos::BY_CHANCE;

/// Packets are counted for so long.
const WINDOW: Duration = Duration::from_millis(250);
/// Unless there are so many samples of them before.
const MANY: f64 = 60.0;
/// Samples per second at most that arrive: 0.1 % of the bytes from 10 Mbit/s on.
const MOST: f64 = 110.0;
/// So many there are to be when there were more: the peer sends a report as soon as it has 140.
const WANTED: f64 = 100.0;
/// There are as many again when there would be fewer than this.
const LEAST: f64 = 70.0;
/// While more is noted than the peer reports there are fewer, by this factor.
const CATCHES_UP: f64 = 4.0;
/// Of what is sent no less than this part is taken to arrive: what left between two reports has to be remembered.
const LEAST_ARRIVING: f64 = 0.6;
/// One in no more than so many: 300 of ten million packets per second.
const LARGEST: u16 = 1 << 15;
/// Where this part of packets gets lost, all are sampled unless there are more than so many per second.
const SOME_LOSS: f64 = 0.01;
const ALL: f64 = 100.0;

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
        if one_in == BY_CHANCE {
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
    /// One in so many packets is to be sampled. Of two ids are left to chance.
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

    /// Lets time pass; call it often. `loss`: part of packets that get lost there, 0 to 1; `is_behind`: the peer cannot report
    /// all that is sampled. True if [`Self::one_in`] changed.
    pub fn update(&mut self, loss: f64, is_behind: bool, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let elapsed = now.duration_since(since);
        let arriving = (1.0 - loss).max(LEAST_ARRIVING) * self.packets as f64;
        if elapsed < WINDOW && arriving <= MANY * f64::from(self.one_in) {
            return false;
        }
        let rate = arriving / elapsed.max(WINDOW).as_secs_f64();
        let scale = if is_behind { CATCHES_UP } else { 1.0 };
        self.since = Some(now);
        self.packets = 0;
        let before = self.one_in;
        let samples = rate * scale / f64::from(self.one_in);
        let wanted = (rate * scale / WANTED).ceil() as u16;
        if samples > MOST {
            self.one_in = wanted.clamp(BY_CHANCE, LARGEST);
        } else if samples < LEAST && self.one_in > BY_CHANCE {
            // By half at most: the next run of packets must not find all of them sampled.
            self.one_in = wanted.max(self.one_in / 2).max(BY_CHANCE);
        }
        if before <= BY_CHANCE && self.one_in <= BY_CHANCE {
            let takes_all = match before {
                1 => loss > SOME_LOSS / 2.0 && rate <= MOST,
                _ => loss > SOME_LOSS && rate <= ALL,
            };
            self.one_in = if takes_all { 1 } else { BY_CHANCE };
        }
        self.one_in != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs at so many packets per second, for a second: how often one in how many changes, and to what.
    struct Run {
        sampling: Sampling,
        now: u64,
    }

    impl Run {
        fn second(&mut self, rate: u64, loss: f64, is_behind: bool) -> (usize, u16) {
            let changes = (0..40).filter(|_| {
                self.now += 25;
                self.sampling.note_sent(rate / 40);
                let now = Instant::from_millis(self.now);
                self.sampling.update(loss, is_behind, now)
            });
            (changes.count(), self.sampling.one_in())
        }
    }

    fn run() -> Run {
        let mut sampling = Sampling::default();
        sampling.update(0.0, false, Instant::from_millis(1000));
        Run {
            sampling,
            now: 1000,
        }
    }

    #[test]
    fn samples_per_second_are_bounded_both_ways() {
        let mut run = run();
        let mut second = |rate| run.second(rate, 0.0, false);
        assert_eq!(second(200), (0, 2));
        for (rate, one_in) in [(400, 4), (5000, 50), (100_000, 1000), (10_000_000, 32768)] {
            let (changes, now) = second(rate);
            assert!(changes <= 4 && now == one_in, "{rate}/s: {now}");
        }
        // Down step by step, and no step for what changes by less than a quarter.
        assert_eq!((second(5000), second(5000)), ((3, 4096), (4, 256)));
        assert_eq!((second(5000), second(5000)), ((2, 64), (0, 64)));
        assert_eq!((second(6400), second(4600)), ((0, 64), (0, 64)));
        assert_eq!(second(0), (4, 4));
    }

    #[test]
    fn a_flood_is_sampled_less_at_once() {
        let mut run = run();
        let mut samples = 0;
        for _ in 0..40 {
            samples += 1000 / u64::from(run.sampling.one_in());
            run.sampling.note_sent(1000);
            run.now += 25;
            let now = Instant::from_millis(run.now);
            run.sampling.update(0.0, false, now);
        }
        assert!(samples < 900, "{samples}");
    }

    #[test]
    fn what_arrives_counts_and_what_the_peer_cannot_report_is_left_out() {
        let mut run = run();
        assert_eq!(run.second(2000, 0.2, false).1, 16);
        assert_eq!(run.second(2000, 0.0, false).1, 20);
        assert_eq!(run.second(9000, 0.9, false).1, 54);
        assert_eq!(
            (run.second(2000, 0.0, false), run.second(2000, 0.0, false)),
            ((3, 20), (0, 20))
        );
        assert_eq!(run.second(2000, 0.0, true).1, 80);
        assert_eq!(run.second(2000, 0.0, false).1, 20);
        // Where some get lost all are sampled, if they are few.
        let mut run = self::run();
        assert_eq!(run.second(80, 0.0, false), (0, 2));
        assert_eq!(run.second(80, 0.02, false), (1, 1));
        assert_eq!(run.second(100, 0.02, false), (0, 1));
        assert_eq!(run.second(160, 0.02, false), (1, 2));
        assert_eq!(run.second(80, 0.0, false), (0, 2));
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
        assert_eq!(
            [1; 4].map(|all| block.next_id_is_odd(all, &mut draw)),
            [Some(true); 4]
        );
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
