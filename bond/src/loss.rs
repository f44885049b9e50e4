//! What became of the packets sent on a path, and when that is more loss than a limit allows and more than chance explains.

use std::time::Duration;

use protocol::Instant;

/// Outcomes are told from ten buckets of so many ms: five seconds.
const BUCKET: u64 = 500;
/// The same for the long run: a minute.
const LONG_BUCKET: u64 = 6000;
const BUCKETS: usize = 10;
/// The latest of the short buckets, between one and a half and two seconds: the shortest time that loss is told from. Where
/// less was sent it is half a second more.
const RECENT: usize = 4;
const MANY_RECENT: u64 = 400;
/// The latest of the short buckets that are no measure for what a path lost before: what grows has begun before it is told.
const GROWING: usize = 7;
/// Fewer outcomes than this say nothing about loss.
pub(crate) const ENOUGH_OUTCOMES: u64 = 20;
/// So many tell of it without waiting for more.
const PLENTY: u64 = 40;
/// What is known for longer is known from at least so many.
const MANY: u64 = 200;
/// Packets that came back as answers count no more while reports on our direction are this recent.
const REPORTS_COUNT_FOR: Duration = Duration::from_secs(1);
/// By so many standard deviations of chance more has to be lost than is usual; where the peer says that it loses too much as
/// well, by so many.
const CHANCE: f64 = 4.7;
const CONFIRMED_CHANCE: f64 = 3.0;
/// The limit itself has to be exceeded by so many, or loss that grows might be told before it is there.
const SURELY_ABOVE: f64 = 0.15;
/// Usual for a path that was good is what it lost before and so many standard deviations more, but no less and no more than
/// these parts of the limit: it has changed.
const PAST_CHANCE: f64 = 2.4;
const LEAST_USUAL: f64 = 0.32;
const MOST_USUAL: f64 = 0.43;
/// Two of twenty may be chance.
const FEWEST_LOST: u64 = 3;

/// Good and bad outcomes of the last ten buckets of so many ms.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Outcomes<const MILLIS: u64 = BUCKET> {
    /// Number of the newest bucket.
    newest: u32,
    /// Good and bad, the newest first. Where one is too large both are halved: what part is bad is what counts.
    buckets: [(u16, u16); BUCKETS],
}

impl<const MILLIS: u64> Outcomes<MILLIS> {
    pub(crate) fn add(&mut self, good: u64, bad: u64, now: Instant) {
        let index = Self::index(now);
        if index > self.newest {
            let older = usize::try_from(index - self.newest).map_or(BUCKETS, |n| n.min(BUCKETS));
            self.buckets.rotate_right(older);
            self.buckets[..older].fill((0, 0));
            self.newest = index;
        }
        let (old_good, old_bad) = self.buckets[0];
        let (mut good, mut bad) = (
            good.saturating_add(old_good.into()),
            bad.saturating_add(old_bad.into()),
        );
        self.buckets[0] = loop {
            if let (Ok(good), Ok(bad)) = (u16::try_from(good), u16::try_from(bad)) {
                break (good, bad);
            }
            (good, bad) = (good / 2, bad / 2);
        };
    }

    fn index(now: Instant) -> u32 {
        (now.as_millis() / MILLIS) as u32
    }

    fn latest(&self, buckets: usize, now: Instant) -> Count {
        let age = Self::index(now).saturating_sub(self.newest) as usize;
        let latest = self.buckets.iter().take(buckets.saturating_sub(age));
        latest.fold(Count::default(), |sum, (good, bad)| Count {
            bad: sum.bad + u64::from(*bad),
            all: sum.all + u64::from(*good) + u64::from(*bad),
        })
    }

    /// Bad / all, and all.
    pub(crate) fn ratio(&self, now: Instant) -> (f64, u64) {
        let count = self.latest(BUCKETS, now);
        (count.ratio(), count.all)
    }
}

#[derive(Clone, Copy, Default, Debug)]
struct Count {
    bad: u64,
    all: u64,
}

impl Count {
    fn ratio(self) -> f64 {
        self.bad as f64 / self.all.max(1) as f64
    }

    fn with(self, other: Self) -> Self {
        Self {
            bad: self.bad + other.bad,
            all: self.all + other.all,
        }
    }

    fn without(self, other: Self) -> Self {
        Self {
            bad: self.bad.saturating_sub(other.bad),
            all: self.all.saturating_sub(other.all),
        }
    }

    /// Standard deviation of the ratio by chance, if each is bad with this probability.
    fn chance(self, ratio: f64) -> f64 {
        let ratio = ratio.clamp(0.0, 1.0);
        (ratio * (1.0 - ratio) / self.all.max(1) as f64).sqrt()
    }

    /// More of these are bad than `limit` allows, and than `usual` by so many standard deviations of a binomial distribution.
    fn exceeds(self, limit: f64, usual: f64, chance: f64) -> bool {
        let least = limit + SURELY_ABOVE * self.chance(limit);
        // One less, since few losses scatter more to the upper side.
        let surely = self.bad.saturating_sub(1) as f64 / self.all.max(1) as f64;
        self.bad >= FEWEST_LOST
            && self.ratio() > least
            && surely > usual + chance * self.chance(usual)
    }
}

/// What is known of a path's loss.
#[derive(Clone, Default, Debug)]
pub(crate) struct Loss {
    /// Of packets in our direction.
    direction: Outcomes,
    /// Of probes: they are lost either way.
    probes: Outcomes,
    /// Of all of them, for longer; without what a full path lost.
    memory: Outcomes<LONG_BUCKET>,
    reported: Option<Instant>,
}

impl Loss {
    /// Of packets that left, so many arrived and so many did not. `full`: it may be our doing; `reported`: a peer of our kind
    /// says so.
    pub(crate) fn add(
        &mut self,
        (good, bad): (u64, u64),
        full: bool,
        reported: bool,
        now: Instant,
    ) {
        self.direction.add(good, bad, now);
        if reported {
            self.reported = self.reported.max(Some(now));
        }
        if !full {
            self.memory.add(good, bad, now);
        }
    }

    /// So many probes were answered, and so many were not.
    pub(crate) fn add_probes(&mut self, (good, bad): (u64, u64), now: Instant) {
        self.probes.add(good, bad, now);
        if !self.is_reported(now) {
            self.memory.add(good, bad, now);
        }
    }

    fn is_reported(&self, now: Instant) -> bool {
        self.reported
            .is_some_and(|at| now <= at + REPORTS_COUNT_FOR)
    }

    fn latest(&self, buckets: usize, now: Instant) -> Count {
        let direction = self.direction.latest(buckets, now);
        if self.is_reported(now) {
            direction
        } else {
            direction.with(self.probes.latest(buckets, now))
        }
    }

    /// Lost / sent of the last 5 s, and how many outcomes that is told from.
    pub(crate) fn ratio(&self, now: Instant) -> (f64, u64) {
        let count = self.latest(BUCKETS, now);
        (count.ratio(), count.all)
    }

    /// Lost / sent of the last 5 s, or, where that was too little to tell it, of the last minute, if it is plain that the path
    /// loses at all.
    pub(crate) fn usual(&self, now: Instant) -> Option<f64> {
        let recent = self.latest(BUCKETS, now);
        let memory = self.memory.latest(BUCKETS, now);
        if recent.all >= ENOUGH_OUTCOMES {
            Some(recent.ratio())
        } else {
            let is_plain = memory.all >= PLENTY && memory.bad >= FEWEST_LOST;
            is_plain.then(|| memory.ratio())
        }
    }

    /// What has to be expected of the next packets, by the last 5 s or the last minute, whichever was worse. The latest
    /// `missing` probes are what is to be judged, and no measure for it.
    pub(crate) fn expected(&self, missing: u64, now: Instant) -> f64 {
        let mut probes = self.probes.latest(BUCKETS, now);
        probes.bad = probes.bad.saturating_sub(missing);
        probes.all = probes.all.saturating_sub(missing);
        let mut memory = self.memory.latest(BUCKETS, now);
        if !self.is_reported(now) {
            memory.bad = memory.bad.saturating_sub(missing);
            memory.all = memory.all.saturating_sub(missing);
        }
        let short = self.direction.latest(BUCKETS, now).with(probes);
        // One that is missing tells of no rate: a zerotier-one passes over questions that come too close together, and whoever
        // is held up for a while leaves some unanswered.
        [short, memory]
            .into_iter()
            .filter(|count| count.all >= ENOUGH_OUTCOMES && count.bad >= 2)
            .map(Count::ratio)
            .fold(0.0, f64::max)
    }

    /// Far more was sent of late than before: there is no past yet to tell a beginning from what will last.
    pub(crate) fn has_just_begun(&self, now: Instant) -> bool {
        let recent = self.latest(RECENT, now).all;
        let before = self.latest(BUCKETS, now).all - recent;
        before < recent / 4
    }

    /// The loss, if it exceeds `limit` and chance is no explanation, and whether that is sure enough to act at once.
    /// `is_confirmed`: the peer loses too much in its direction.
    pub(crate) fn excess(
        &self,
        limit: f64,
        is_confirmed: bool,
        now: Instant,
    ) -> Option<(f64, bool)> {
        let chance = match is_confirmed {
            true => CONFIRMED_CHANCE,
            false => CHANCE,
        };
        let memory = self.memory.latest(BUCKETS, now);
        // What is to be judged is no measure for it, however short the past.
        let past = memory.without(self.latest(GROWING, now));
        let usual = if past.all >= MANY && past.ratio() < limit / 2.0 {
            let least = LEAST_USUAL * limit;
            let past_chance = past.chance(past.ratio().max(least));
            (past.ratio() + PAST_CHANCE * past_chance).clamp(least, MOST_USUAL * limit)
        } else {
            limit
        };
        // The more packets the less is chance, but the longer ago some of them left.
        let told = (RECENT..BUCKETS)
            .map(|buckets| (buckets, self.latest(buckets, now)))
            .find(|(buckets, count)| {
                let enough = if *buckets == RECENT && !is_confirmed {
                    MANY_RECENT
                } else {
                    PLENTY
                };
                count.all >= enough && count.exceeds(limit, usual, chance)
            });
        if let Some((_, count)) = told {
            return Some((count.ratio(), true));
        }
        let short = self.latest(BUCKETS, now);
        if short.all >= ENOUGH_OUTCOMES && short.exceeds(limit, usual, chance) {
            return Some((short.ratio(), false));
        }
        (memory.all >= PLENTY && short.ratio() > limit && memory.exceeds(limit, limit, chance))
            .then(|| (memory.ratio(), false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports ten times a second on packets that are lost at random.
    struct Path {
        loss: Loss,
        now: u64,
        random: u64,
    }

    impl Path {
        fn new(seed: u64) -> Self {
            Self {
                loss: Loss::default(),
                now: 1000,
                random: seed,
            }
        }

        fn chance(&mut self) -> f64 {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.random;
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ mixed >> 31) as f64 / u64::MAX as f64
        }

        fn step(&mut self, per_second: u64, probability: f64) -> Option<(f64, bool)> {
            let count = per_second / 10;
            let bad = (0..count).filter(|_| self.chance() < probability).count() as u64;
            self.now += 100;
            let now = Instant::from_millis(self.now);
            self.loss.add((count - bad, bad), false, true, now);
            self.loss.excess(0.05, false, now)
        }
    }

    #[test]
    fn growing_loss_is_told_within_three_seconds() {
        for (before, per_second, usual, worst) in [
            (20, 50, 2000, 4500),
            (20, 100, 1400, 3300),
            (20, 170, 1000, 2100),
            (20, 500, 800, 2100),
            (20, 1000, 1000, 1500),
            (1, 170, 1000, 2800),
            (1, 500, 900, 1700),
        ] {
            let mut times: Vec<i64> = (0..101)
                .map(|seed| {
                    let mut path = Path::new(seed);
                    for _ in 0..10 * before {
                        path.step(per_second, 0.0);
                    }
                    // Two per cent more in each second.
                    let steps = (1..200u32).find(|step| {
                        let probability = 0.02 * f64::from(step / 10);
                        matches!(path.step(per_second, probability.min(0.2)), Some((_, true)))
                    });
                    // It exceeds 5 % after three seconds.
                    steps.expect("it is told") as i64 * 100 - 3000
                })
                .collect();
            times.sort_unstable();
            println!(
                "{per_second}/s after {before} s: {} {} {}",
                times[0], times[50], times[100]
            );
            assert!(
                times[0] >= 0 && times[50] <= usual && times[100] <= worst,
                "{per_second}: {times:?}"
            );
        }
    }

    /// When both ends of a path know that it loses too much each way, in ms after it does, of 500 times: the first, the median,
    /// the 99th percentile. `tell`: who knows it first says so.
    fn both_know(before: u64, per_second: u64, tell: bool) -> [i64; 3] {
        let mut times: Vec<i64> = (0..500)
            .map(|seed| {
                let mut ends = [Path::new(2 * seed), Path::new(2 * seed + 1)];
                for _ in 0..10 * before {
                    ends.iter_mut().for_each(|end| {
                        end.step(per_second, 0.0);
                    });
                }
                let mut told: [Option<u32>; 2] = [None; 2];
                let last = (1..200u32).find(|step| {
                    let probability = (0.02 * f64::from(step / 10)).min(0.2);
                    for end in 0..2 {
                        ends[end].step(per_second, probability);
                        let now = Instant::from_millis(ends[end].now);
                        let is_confirmed = tell && told[1 - end].is_some_and(|at| at + 1 < *step);
                        let limit = if is_confirmed { 0.04 } else { 0.05 };
                        let excess = ends[end].loss.excess(limit, is_confirmed, now);
                        if matches!(excess, Some((_, true))) {
                            told[end].get_or_insert(*step);
                        }
                    }
                    told.iter().all(Option::is_some)
                });
                i64::from(last.expect("it is told")) * 100 - 3000
            })
            .collect();
        times.sort_unstable();
        [times[0], times[250], times[495]]
    }

    #[test]
    fn what_one_end_finds_out_helps_the_other() {
        for (before, per_second, [usual, nearly_all]) in [
            (1, 100, [2000, 3500]),
            (1, 170, [1300, 2400]),
            (20, 170, [1300, 2200]),
            (20, 500, [900, 1700]),
        ] {
            let [first, median, last] = both_know(before, per_second, true);
            let [_, _, silent] = both_know(before, per_second, false);
            println!("{per_second}/s after {before} s: {first} {median} {last}, else {silent}");
            assert!(first >= 0 && median <= usual && last <= nearly_all);
            assert!(last + 300 <= silent);
        }
    }

    #[test]
    fn less_than_the_limit_is_never_more_by_chance() {
        for (per_second, probability) in [
            (20, 0.02),
            (50, 0.02),
            (100, 0.02),
            (50, 0.03),
            (100, 0.04),
            (1000, 0.045),
        ] {
            let mut excesses = 0;
            for seed in 0..5 {
                let mut path = Path::new(seed);
                for _ in 0..6000 {
                    excesses += u32::from(path.step(per_second, probability).is_some());
                }
            }
            println!("{per_second}/s, {probability}: {excesses}");
            assert_eq!(excesses, 0, "{per_second}/s, {probability}");
        }
    }

    #[test]
    fn steady_loss_above_the_limit_is_told_sooner_or_later() {
        let mut path = Path::new(1);
        assert!((0..600).any(|_| path.step(100, 0.08).is_some()));
    }

    #[test]
    fn what_has_just_begun_has_next_to_no_past() {
        let mut path = Path::new(1);
        assert!(!path.loss.has_just_begun(Instant::from_millis(1000)));
        let begun: Vec<bool> = (0..40)
            .map(|_| {
                path.step(200, 0.0);
                path.loss.has_just_begun(Instant::from_millis(path.now))
            })
            .collect();
        // Two seconds are judged, and half a second beside them is no beginning any more.
        let until = begun.iter().position(|begun| !begun);
        assert!(
            until.is_some_and(|tenths| (19..=26).contains(&tenths)),
            "{begun:?}"
        );
        assert!(begun[30..].iter().all(|begun| !begun));
    }

    #[test]
    fn one_lost_probe_makes_no_lossy_path() {
        let mut loss = Loss::default();
        let at = Instant::from_millis;
        loss.add_probes((24, 1), at(1000));
        assert!(loss.expected(0, at(1200)) < 1e-9);
        loss.add_probes((0, 1), at(1100));
        assert!(loss.expected(0, at(1200)) > 0.07);
        assert!(loss.expected(1, at(1200)) < 1e-9);
    }

    #[test]
    fn outcomes_of_many_packets_keep_their_ratio() {
        let mut outcomes = Outcomes::<500>::default();
        let at = Instant::from_millis;
        for _ in 0..50 {
            outcomes.add(99_000, 1000, at(1000));
        }
        let (ratio, all) = outcomes.ratio(at(1000));
        assert!(
            (ratio - 0.01).abs() < 0.001 && all > 10_000,
            "{ratio} of {all}"
        );
        outcomes.add(10, 10, at(5900));
        assert_eq!(outcomes.ratio(at(6000)).1, 20);
        outcomes.add(0, 7, at(400_000));
        assert_eq!(outcomes.ratio(at(404_999)), (1.0, 7));
        assert_eq!(outcomes.ratio(at(405_000)), (0.0, 0));
    }

    #[test]
    fn probes_do_not_count_beside_reports() {
        let mut loss = Loss::default();
        let at = Instant::from_millis;
        loss.add_probes((10, 30), at(1000));
        assert_eq!(loss.ratio(at(1000)), (0.75, 40));
        loss.add((100, 0), false, true, at(1100));
        assert_eq!(loss.ratio(at(1200)), (0.0, 100));
        assert!(loss.expected(0, at(1200)) > 0.2);
        assert_eq!(loss.ratio(at(2300)).1, 140);
    }
}
