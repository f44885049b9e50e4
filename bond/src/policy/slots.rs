//! The table of slots behind a hashed plan: which path each slot's flows take, and when a slot may change its path. A slot
//! moves for a cause only: its path failed, the target shares changed, or load is uneven.

use std::time::Duration;

use protocol::Instant;

use super::allocation::Shares;
use crate::config::RebalanceStrategy;
use crate::path::PathId;
use crate::plan::SLOTS;

/// Steps of moving slots are this far apart.
pub const STEP: Duration = Duration::from_millis(250);
/// At most this many slots move per step: a tenth.
const PER_STEP: usize = SLOTS / 10;
/// Target shares that change by less leave the slots where they are.
const SHARE_TOLERANCE: f64 = 0.05;
/// A slot that was silent this long carries no flow any more.
const ENDED: Duration = Duration::from_secs(10);
/// An opportunistic move waits no longer for a pause.
const IMPATIENCE: Duration = Duration::from_secs(3);
/// Least time between two moves of a slot, and of one that carries more than a tenth.
const REST: Duration = Duration::from_secs(1);
const ELEPHANT_REST: Duration = Duration::from_secs(10);
/// Bytes per second below which load is not worth balancing.
const WORTHWHILE: f64 = 20_000.0;

/// Whether and when slots may move.
#[derive(Clone, Copy, Debug)]
pub struct Mobility {
    /// The policy's.
    pub strategy: RebalanceStrategy,
    /// A silence this long keeps a flow's packets in order when it changes its path.
    pub pause: Duration,
}

/// What is known of the load.
#[derive(Clone, Debug)]
struct Load {
    /// Smoothed bytes per second.
    rates: Box<[f32; SLOTS]>,
    last_active: Box<[Instant; SLOTS]>,
    at: Instant,
}

/// Which path each slot's flows take.
#[derive(Clone, Debug, Default)]
pub struct SlotTable {
    owners: Option<Box<[PathId; SLOTS]>>,
    targets: Shares,
    moved: Option<Box<[Instant; SLOTS]>>,
    load: Option<Load>,
    /// Since when slots are being moved towards changed targets.
    settling: Option<Instant>,
    last_step: Option<Instant>,
}

/// A path's claim on a slot: the largest wins, in proportion to the weights (weighted rendezvous hashing).
fn claim(slot: usize, path: PathId, weight: f64) -> f64 {
    let mut mixed = (slot as u64) << 32 | u64::from(path.0);
    mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // Uniform in (0, 1): the top 53 bits, and half a step more.
    let uniform = ((mixed >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    weight / -uniform.ln()
}

/// Slots for each share: together all of them, and at least one for every share above nothing.
pub fn quotas(shares: &Shares) -> Vec<(PathId, usize)> {
    let mut quotas: Vec<(PathId, usize, f64)> = shares
        .iter()
        .map(|(path, share)| {
            let exact = share * SLOTS as f64;
            let floor = if *share > 0.0 {
                (exact as usize).max(1)
            } else {
                0
            };
            (*path, floor, exact - floor as f64)
        })
        .collect();
    loop {
        let sum: usize = quotas.iter().map(|(_, quota, _)| quota).sum();
        // The largest remainder gains, the largest excess loses.
        let by_rest = |a: &&mut (PathId, usize, f64), b: &&mut (PathId, usize, f64)| {
            a.2.total_cmp(&b.2).then(b.0.cmp(&a.0))
        };
        if sum < SLOTS {
            let Some(entry) = quotas
                .iter_mut()
                .filter(|entry| entry.1 > 0)
                .max_by(by_rest)
            else {
                break;
            };
            entry.1 += 1;
            entry.2 -= 1.0;
        } else if sum > SLOTS {
            let Some(entry) = quotas
                .iter_mut()
                .filter(|entry| entry.1 > 1)
                .min_by(by_rest)
            else {
                break;
            };
            entry.1 -= 1;
            entry.2 += 1.0;
        } else {
            break;
        }
    }
    quotas
        .into_iter()
        .map(|(path, quota, _)| (path, quota))
        .collect()
}

impl SlotTable {
    /// The path of each slot; `None` before the first target.
    pub fn owners(&self) -> Option<&[PathId; SLOTS]> {
        self.owners.as_deref()
    }

    /// How many slots a path has.
    pub fn count(&self, path: PathId) -> usize {
        self.owners.as_ref().map_or(0, |owners| {
            owners.iter().filter(|owner| **owner == path).count()
        })
    }

    /// The target shares in force.
    pub fn targets(&self) -> &Shares {
        &self.targets
    }

    /// When the next step is due; `None` if nothing waits to be moved and no load is known.
    pub fn next_step(&self, balances_load: bool) -> Option<Instant> {
        let wait = if self.settling.is_some() {
            STEP
        } else if balances_load && self.load.is_some() && self.targets.len() > 1 {
            REST
        } else {
            return None;
        };
        Some(self.last_step.map_or(Instant::ZERO, |last| last + wait))
    }

    /// New target shares. Slots of paths that are not among them move at once, and only those; others follow step by step
    /// if some share changed by more than 5 %. Returns how many moved at once; `None` if the targets stay as they are.
    pub fn retarget(&mut self, shares: &Shares, now: Instant) -> Option<usize> {
        if shares.is_empty() {
            self.owners = None;
            self.targets.clear();
            self.settling = None;
            return None;
        }
        let same_paths = shares.keys().eq(self.targets.keys());
        let shift = shares
            .iter()
            .map(|(path, share)| (share - self.targets.get(path).unwrap_or(&0.0)).abs())
            .fold(0.0, f64::max);
        if same_paths && shift <= SHARE_TOLERANCE && self.owners.is_some() {
            return None;
        }
        let gone_only = shares.keys().all(|path| self.targets.contains_key(path));
        self.targets = shares.clone();
        let moved = match self.owners.take() {
            None => {
                self.owners = Some(Box::new([PathId(u32::MAX); SLOTS]));
                self.adopt(now);
                0
            }
            Some(owners) => {
                self.owners = Some(owners);
                let moved = self.adopt(now);
                if !gone_only || same_paths || shift > SHARE_TOLERANCE {
                    self.settling.get_or_insert(now);
                }
                moved
            }
        };
        Some(moved)
    }

    /// Slots whose path is no target get one that has fewer than its quota.
    fn adopt(&mut self, now: Instant) -> usize {
        let Some(owners) = &mut self.owners else {
            return 0;
        };
        let mut room: Vec<(PathId, isize)> = quotas(&self.targets)
            .into_iter()
            .map(|(path, quota)| (path, quota as isize))
            .collect();
        for owner in owners.iter() {
            if let Some(entry) = room.iter_mut().find(|(path, _)| path == owner) {
                entry.1 -= 1;
            }
        }
        let mut moved = 0;
        for (slot, owner) in owners.iter_mut().enumerate() {
            if self.targets.contains_key(owner) {
                continue;
            }
            let heir = room
                .iter_mut()
                .filter(|(_, room)| *room > 0)
                .max_by(|(a, _), (b, _)| {
                    claim(slot, *a, self.targets[a]).total_cmp(&claim(slot, *b, self.targets[b]))
                });
            if let Some((path, room)) = heir {
                *owner = *path;
                *room -= 1;
                moved += 1;
                if let Some(times) = &mut self.moved {
                    times[slot] = now;
                }
            }
        }
        moved
    }

    /// Moves some slots towards the targets, then some for even load; returns how many and why.
    pub fn step(
        &mut self,
        mobility: Mobility,
        balances_load: bool,
        now: Instant,
    ) -> Option<(usize, &'static str)> {
        if self.next_step(balances_load)? > now {
            return None;
        }
        self.last_step = Some(now);
        if self.settling.is_some() {
            let moved = self.settle(mobility, now);
            return (moved > 0).then_some((moved, "target allocation"));
        }
        let moved = self.even_out(mobility, now);
        (moved > 0).then_some((moved, "uneven load"))
    }

    fn settle(&mut self, mobility: Mobility, now: Instant) -> usize {
        let quotas = quotas(&self.targets);
        let mut balance: Vec<(PathId, isize)> = quotas
            .iter()
            .map(|(path, quota)| (*path, *quota as isize - self.count(*path) as isize))
            .collect();
        if balance.iter().all(|(_, room)| *room == 0) {
            self.settling = None;
            return 0;
        }
        let waited = self
            .settling
            .map_or(Duration::ZERO, |since| now.duration_since(since));
        let Some(mut owners) = self.owners.take() else {
            return 0;
        };
        let mut moved = 0;
        // First the slots that the gaining path would win among all, then any.
        for only_won in [true, false] {
            for (slot, owner) in owners.iter_mut().enumerate() {
                if moved == PER_STEP {
                    break;
                }
                let Some(from) = balance
                    .iter()
                    .position(|(path, room)| path == owner && *room < 0)
                else {
                    continue;
                };
                let claim = |path: &PathId| claim(slot, *path, self.targets[path]);
                let to = balance
                    .iter()
                    .enumerate()
                    .filter(|(_, (_, room))| *room > 0)
                    .max_by(|(_, (a, _)), (_, (b, _))| claim(a).total_cmp(&claim(b)))
                    .map(|(index, _)| index);
                let Some(to) = to else {
                    break;
                };
                let winner = balance[to].0;
                if only_won && claim(&winner) < claim(owner)
                    || !self.may_move(slot, mobility, waited, 1.0, now)
                {
                    continue;
                }
                balance[from].1 += 1;
                balance[to].1 -= 1;
                *owner = winner;
                self.note_move(slot, now);
                moved += 1;
            }
        }
        self.owners = Some(owners);
        if balance.iter().all(|(_, room)| *room == 0) {
            self.settling = None;
        }
        moved
    }

    fn note_move(&mut self, slot: usize, now: Instant) {
        self.moved
            .get_or_insert_with(|| Box::new([Instant::ZERO; SLOTS]))[slot] = now;
    }

    /// `total`: bytes per second of the bond.
    fn may_move(
        &self,
        slot: usize,
        mobility: Mobility,
        waited: Duration,
        total: f64,
        now: Instant,
    ) -> bool {
        let Some(load) = &self.load else {
            // Nothing is known of any flow; the pace alone limits what moves.
            return true;
        };
        let rest = if f64::from(load.rates[slot]) > total / 10.0 && total > WORTHWHILE {
            ELEPHANT_REST
        } else {
            REST
        };
        if let Some(moved) = &self.moved
            && moved[slot] > Instant::ZERO
            && moved[slot] + rest > now
        {
            return false;
        }
        let silent = now.duration_since(load.last_active[slot]);
        match mobility.strategy {
            RebalanceStrategy::Aggressive => true,
            RebalanceStrategy::Opportunistic => silent > mobility.pause || waited > IMPATIENCE,
            RebalanceStrategy::Passive => silent > ENDED,
        }
    }

    /// Bytes that left per slot since the last call.
    pub fn add_bytes(&mut self, slots: impl IntoIterator<Item = (usize, u64)>, now: Instant) {
        let load = self.load.get_or_insert_with(|| Load {
            rates: Box::new([0.0; SLOTS]),
            last_active: Box::new([Instant::ZERO; SLOTS]),
            at: now,
        });
        let elapsed = now.duration_since(load.at).as_secs_f32();
        load.at = load.at.max(now);
        let keep = (-elapsed).exp();
        for rate in load.rates.iter_mut() {
            *rate *= keep;
        }
        for (slot, bytes) in slots {
            if slot < SLOTS && bytes > 0 {
                load.rates[slot] += bytes as f32;
                load.last_active[slot] = now;
            }
        }
    }

    /// Moves the fewest slots that halve the difference between load and targets.
    fn even_out(&mut self, mobility: Mobility, now: Instant) -> usize {
        let (Some(load), Some(owners)) = (&self.load, &self.owners) else {
            return 0;
        };
        let rates = load.rates.clone();
        let mut owners = owners.clone();
        let total: f64 = rates.iter().map(|rate| f64::from(*rate)).sum();
        if total < WORTHWHILE {
            return 0;
        }
        let mut errors: Vec<(PathId, f64)> = self
            .targets
            .iter()
            .map(|(path, share)| (*path, -share * total))
            .collect();
        for (owner, rate) in owners.iter().zip(rates.iter()) {
            if let Some(entry) = errors.iter_mut().find(|(path, _)| path == owner) {
                entry.1 += f64::from(*rate);
            }
        }
        let worst =
            |errors: &[(PathId, f64)]| errors.iter().map(|(_, error)| *error).fold(0.0, f64::max);
        let first = worst(&errors);
        let mut moved = 0;
        if first <= SHARE_TOLERANCE * total {
            return 0;
        }
        while moved < PER_STEP && worst(&errors) > first / 2.0 {
            let by_error = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
            let indexed = || {
                errors
                    .iter()
                    .enumerate()
                    .map(|(index, (_, error))| (index, *error))
            };
            let (Some((from, excess)), Some((to, lack))) =
                (indexed().max_by(by_error), indexed().min_by(by_error))
            else {
                break;
            };
            let lack = -lack;
            let gain =
                |rate: f64| excess.abs() + lack.abs() - (excess - rate).abs() - (lack - rate).abs();
            let best = (0..SLOTS)
                .filter(|slot| owners[*slot] == errors[from].0 && rates[*slot] > 0.0)
                .filter(|slot| self.may_move(*slot, mobility, IMPATIENCE * 2, total, now))
                .max_by(|a, b| gain(f64::from(rates[*a])).total_cmp(&gain(f64::from(rates[*b]))));
            let Some(slot) = best else {
                break;
            };
            let rate = f64::from(rates[slot]);
            // A move that gains little would soon be taken back.
            if gain(rate) < 0.02 * total {
                break;
            }
            owners[slot] = errors[to].0;
            errors[from].1 -= rate;
            errors[to].1 += rate;
            self.note_move(slot, now);
            moved += 1;
        }
        self.owners = Some(owners);
        moved
    }
}
