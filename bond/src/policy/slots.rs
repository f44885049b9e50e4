//! The table of slots behind a hashed plan: which path each slot's flows take, and when a slot may change its path. A slot
//! moves for a cause only: its path failed, the target shares changed, or load asks for it (`placement`).

use std::sync::Arc;
use std::time::Duration;

use protocol::Instant;

use super::allocation::Shares;
use super::load::Load;
use super::placement::{Balance, Lane};
use super::trial::Trials;
use crate::config::RebalanceStrategy;
use crate::path::PathId;
use crate::plan::SLOTS;

/// Steps of moving slots are this far apart.
pub const STEP: Duration = Duration::from_millis(250);
/// The same while there is no hurry.
const CALM_STEP: Duration = Duration::from_secs(1);
/// And while flows are young.
const YOUNG_STEP: Duration = Duration::from_millis(50);
/// At most this many slots that carry flows move per step: a tenth.
pub(super) const PER_STEP: usize = SLOTS / 10;
/// Target shares that change by less leave the slots where they are: of the whole, and of a share itself.
const SHARE_TOLERANCE: f64 = 0.05;
const RELATIVE_TOLERANCE: f64 = 0.25;
const SMALL_SHARE: f64 = 0.01;
/// A share that changes by this factor is followed at once, and so exact as it is known for this time. Other changes are
/// followed if they last so long: capacities are measured from traffic that is never steady.
const GREAT: f64 = 1.5;
const TRACKED: Duration = Duration::from_secs(3);
const LASTING: Duration = Duration::from_secs(10);
/// Flows follow small changes too, slowly: with this time constant, in seconds.
const DRIFT: f64 = 2.0;
/// Flows settle down for so long.
pub(super) const UNSETTLED: Duration = Duration::from_secs(10);
/// An opportunistic move waits no longer for a pause.
const IMPATIENCE: Duration = Duration::from_secs(3);

/// Whether and when slots may move.
#[derive(Clone, Copy, Debug)]
pub struct Mobility {
    /// The policy's.
    pub strategy: RebalanceStrategy,
    /// A silence this long keeps a flow's packets in order when it changes its path.
    pub pause: Duration,
    /// What moves flows besides failures and changed targets.
    pub balance: Balance,
}

/// Which path each slot's flows take.
#[derive(Clone, Debug, Default)]
pub struct SlotTable {
    /// The paths that own slots, by their number in `owners`.
    pub(super) paths: Vec<PathId>,
    /// Shared with the plan, and copied only when a slot moves.
    pub(super) owners: Option<Arc<[u8; SLOTS]>>,
    /// What the slots follow.
    targets: Shares,
    /// The same, as exact as it is known; flows follow that. And when that was compared with what is known last.
    pub(super) wanted: Shares,
    wanted_at: Instant,
    pub(super) load: Option<Box<Load>>,
    /// Until when every change of the targets is followed.
    tracked_until: Instant,
    /// Since when the targets are off what they should be.
    off_since: Option<Instant>,
    /// Until when flows settle down: some have begun, or targets have changed.
    pub(super) unsettled_until: Instant,
    /// When no path will have been full for a while.
    pub(super) calm_from: Instant,
    /// Since when a flow should move for load's sake.
    pub(super) uneven_since: Option<Instant>,
    /// Since when slots are being moved towards changed targets.
    settling: Option<Instant>,
    last_step: Instant,
    /// Of flows; where one path carries everything, of that.
    pub(crate) trials: Trials,
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
    /// The paths that own slots, and for each slot the place of its path among them; `None` before the first target.
    pub fn owners(&self) -> Option<(&[PathId], &Arc<[u8; SLOTS]>)> {
        Some((&self.paths, self.owners.as_ref()?))
    }

    /// The path of a slot.
    pub fn owner(&self, slot: usize) -> Option<PathId> {
        let place = self.owners.as_ref()?.get(slot)?;
        self.paths.get(usize::from(*place)).copied()
    }

    /// How many slots a path has.
    pub fn count(&self, path: PathId) -> usize {
        let (Some(owners), Some(place)) = (&self.owners, self.place_of(path)) else {
            return 0;
        };
        owners.iter().filter(|owner| **owner == place).count()
    }

    fn place_of(&self, path: PathId) -> Option<u8> {
        let place = self.paths.iter().position(|known| *known == path)?;
        u8::try_from(place).ok()
    }

    /// The target shares in force.
    pub fn targets(&self) -> &Shares {
        &self.targets
    }

    /// When the next step is due; `None` if nothing waits to be moved and no load is known. `hurry`: packets queue on a path, or may.
    pub fn next_step(&self, balance: Balance, hurry: bool) -> Option<Instant> {
        let load = self.load.as_ref().filter(|_| self.targets.len() > 1);
        let wait = match load {
            Some(load) if balance.places() && load.has_young() => YOUNG_STEP,
            _ if self.settling.is_some() => STEP,
            Some(_) if balance.moves() => {
                if hurry || self.trials.present.is_some() {
                    STEP
                } else {
                    CALM_STEP
                }
            }
            _ => return None,
        };
        Some(self.last_step + wait)
    }

    /// New target shares. Slots of paths that are not among them move at once, and only those; others follow step by step
    /// if some share changed by more than 5 % of the whole, or by more than a quarter of itself, and stays so or changed
    /// much. Returns how many moved at once; `None` if the targets stay as they are.
    pub fn retarget(&mut self, shares: &Shares, now: Instant) -> Option<usize> {
        if shares.is_empty() {
            self.owners = None;
            self.paths.clear();
            self.targets = Shares::default();
            self.wanted = Shares::default();
            self.settling = None;
            return None;
        }
        let same_paths = shares.keys().eq(self.targets.keys());
        let shifts = || {
            shares.iter().map(|(path, share)| {
                let old = self.targets.get(path).copied().unwrap_or(0.0);
                (*share, old, (share - old).abs())
            })
        };
        let has_shifted = shifts().any(|(_, old, shift)| {
            shift > SHARE_TOLERANCE || shift > (RELATIVE_TOLERANCE * old).max(SMALL_SHARE)
        });
        let is_great = !same_paths
            || shifts().any(|(new, old, shift)| {
                shift > SMALL_SHARE && new.max(old) >= GREAT * new.min(old)
            });
        if is_great && has_shifted || self.owners.is_none() {
            self.tracked_until = now + TRACKED;
        }
        let is_tracked = now < self.tracked_until;
        if is_tracked || !self.wanted.keys().eq(shares.keys()) {
            self.wanted.clone_from(shares);
        } else {
            let passed = now.duration_since(self.wanted_at).as_secs_f64();
            self.wanted.approach(shares, 1.0 - (-passed / DRIFT).exp());
        }
        self.wanted_at = now;
        if same_paths && self.owners.is_some() {
            let off_since = *self.off_since.get_or_insert(now);
            if !has_shifted {
                self.off_since = None;
                return None;
            }
            if !is_tracked && now < off_since + LASTING {
                return None;
            }
        }
        self.off_since = None;
        self.wanted.clone_from(shares);
        self.unsettled_until = self.unsettled_until.max(now + UNSETTLED);
        let gone_only = shares.keys().all(|path| self.targets.contains_key(path));
        let is_first = self.owners.is_none();
        self.targets.clone_from(shares);
        let moved = self.adopt();
        if is_first {
            return Some(0);
        }
        if !gone_only || same_paths || has_shifted {
            self.settling.get_or_insert(now);
        }
        Some(moved)
    }

    /// Slots whose path is no target get one that has fewer than its quota; paths that are no target are forgotten.
    fn adopt(&mut self) -> usize {
        let old: Vec<Option<PathId>> = (0..SLOTS).map(|slot| self.owner(slot)).collect();
        self.paths = self.targets.keys().copied().collect();
        let mut room: Vec<isize> = quotas(&self.targets)
            .into_iter()
            .map(|(_, quota)| quota as isize)
            .collect();
        let places: Vec<Option<usize>> = old
            .iter()
            .map(|path| self.paths.iter().position(|known| Some(*known) == *path))
            .collect();
        for place in places.iter().flatten() {
            room[*place] -= 1;
        }
        let mut owners = [0u8; SLOTS];
        let mut moved = 0;
        for (slot, place) in places.iter().enumerate() {
            let place = place.unwrap_or_else(|| {
                let heir = (0..room.len())
                    .filter(|heir| room[*heir] > 0)
                    .max_by(|a, b| self.claim_of(slot, *a).total_cmp(&self.claim_of(slot, *b)));
                let heir = heir.unwrap_or(0);
                room[heir] -= 1;
                moved += 1;
                heir
            });
            owners[slot] = place as u8;
        }
        self.owners = Some(Arc::new(owners));
        moved
    }

    fn claim_of(&self, slot: usize, place: usize) -> f64 {
        let path = self.paths[place];
        claim(slot, path, self.targets[&path])
    }

    /// Bytes that left per slot since the last call.
    pub fn add_bytes(&mut self, slots: impl IntoIterator<Item = (usize, u64)>, now: Instant) {
        self.load
            .get_or_insert_with(|| Box::new(Load::new(now)))
            .add(slots, now);
    }

    /// Moves some slots towards the targets and some for even load; returns how many and why. `lanes`: what is known of the
    /// paths.
    pub fn step(
        &mut self,
        mobility: Mobility,
        lanes: &[Lane],
        now: Instant,
    ) -> Option<(usize, &'static str)> {
        if let Some(ended) = self.end_trial_of_narrow(lanes, now) {
            return Some(ended);
        }
        let hurry = lanes.iter().any(|lane| lane.queues);
        if self.next_step(mobility.balance, hurry)? > now {
            return None;
        }
        let last = self.last_step;
        if let Some(load) = &mut self.load {
            load.advance(now);
        }
        if mobility.balance.places() {
            let placed = self.place_young(now);
            if placed > 0 {
                self.last_step = now;
                return Some((placed, "new flows"));
            }
        }
        // Steps for young flows come more often than others.
        if last + STEP > now && self.load.as_ref().is_some_and(|load| load.has_young()) {
            return None;
        }
        self.last_step = now;
        if self.settling.is_some() {
            let moved = self.settle(mobility, now);
            if moved > 0 {
                return Some((moved, "target allocation"));
            }
        }
        self.balance(mobility, lanes, now)
    }

    /// Moves slots from paths that have too many to those that have too few. Slots without a flow first, and without limit.
    fn settle(&mut self, mobility: Mobility, now: Instant) -> usize {
        let mut balance: Vec<isize> = quotas(&self.targets)
            .iter()
            .map(|(path, quota)| *quota as isize - self.count(*path) as isize)
            .collect();
        if balance.iter().all(|room| *room == 0) {
            self.settling = None;
            return 0;
        }
        let waited = self
            .settling
            .map_or(Duration::ZERO, |since| now.duration_since(since));
        // A flow that has a path for itself is not moved to one that nobody uses: it may have been put where it is.
        let mut tally = (mobility.balance == Balance::Relieve).then(|| self.tally(&[]));
        let Some(mut owners) = self.owners.take() else {
            return 0;
        };
        let (mut moved, mut carrying) = (0, 0);
        let has_ended =
            |table: &Self, slot| table.load.as_ref().is_some_and(|load| load.has_ended(slot));
        // First the slots that the gaining path would win among all, then any. Where load is not balanced, a path must not
        // fill up with silent slots: then those with flows would never come to it.
        let passes: &[(bool, bool)] = match mobility.balance.places() {
            true => &[(true, true), (true, false), (false, true), (false, false)],
            false if waited <= 2 * IMPATIENCE => &[(true, true), (false, true)],
            false => &[(true, true), (false, true), (true, false), (false, false)],
        };
        for &(only_ended, only_won) in passes {
            for slot in 0..SLOTS {
                let from = usize::from(owners[slot]);
                let ended = has_ended(self, slot);
                if balance[from] >= 0 || only_ended && !ended || !ended && carrying == PER_STEP {
                    continue;
                }
                let to = (0..balance.len())
                    .filter(|to| balance[*to] > 0)
                    .max_by(|a, b| self.claim_of(slot, *a).total_cmp(&self.claim_of(slot, *b)));
                let Some(to) = to else {
                    break;
                };
                if only_won && self.claim_of(slot, to) < self.claim_of(slot, from)
                    || !self.may_move(slot, mobility, waited)
                    || tally.as_mut().is_some_and(|tally| !tally.evens(slot, to))
                {
                    continue;
                }
                balance[from] += 1;
                balance[to] -= 1;
                Arc::make_mut(&mut owners)[slot] = to as u8;
                moved += 1;
                if !ended {
                    carrying += 1;
                    self.note_move(slot);
                }
            }
        }
        self.owners = Some(owners);
        if balance.iter().all(|room| *room == 0) {
            self.settling = None;
        }
        moved
    }

    pub(super) fn note_move(&mut self, slot: usize) {
        if let Some(load) = &mut self.load {
            load.note_move(slot);
        }
    }

    /// Gives a slot another path.
    pub(super) fn give(&mut self, slot: usize, place: usize) {
        if let Some(owners) = &mut self.owners {
            Arc::make_mut(owners)[slot] = place as u8;
            self.note_move(slot);
        }
    }

    /// Paths that slots have left since `owners` said by place among `paths` whose they were, and how many bytes per second the
    /// flows of each of those sent.
    pub(crate) fn departures(&self, paths: &[PathId], owners: &[u8; SLOTS]) -> Vec<(PathId, f64)> {
        let Some(load) = &self.load else {
            return Vec::new();
        };
        let mut departures: Vec<_> = paths.iter().map(|path| (*path, 0.0)).collect();
        for (slot, place) in owners.iter().enumerate() {
            if let Some((path, rate)) = departures.get_mut(usize::from(*place))
                && self.owner(slot) != Some(*path)
            {
                *rate += load.look(slot).rate;
            }
        }
        departures.retain(|(_, rate)| *rate > 0.0);
        departures
    }

    fn may_move(&self, slot: usize, mobility: Mobility, waited: Duration) -> bool {
        let Some(load) = &self.load else {
            // Nothing is known of any flow; the pace alone limits what moves.
            return true;
        };
        if load.has_ended(slot) {
            return true;
        }
        load.is_rested(slot)
            && match mobility.strategy {
                RebalanceStrategy::Aggressive => true,
                RebalanceStrategy::Opportunistic => {
                    load.silence(slot) > mobility.pause || waited > IMPATIENCE
                }
                RebalanceStrategy::Passive => false,
            }
    }
}
