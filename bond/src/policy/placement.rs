//! Which path a flow is put on for load's sake: a new flow where most is left for it, an old one when a path is full while
//! another would give it more, or when bytes are far from the target shares.
//!
//! What is left for one more flow on a path is the path's capacity (or target share) divided by the flows there, that flow
//! included: flows that share a full path come to equal parts of it, as TCP's do.

use std::time::Duration;

use protocol::Instant;

use super::load::{Active, Load};
use super::relief::Relief;
use super::slots::{Mobility, PER_STEP, SlotTable, UNSETTLED};
use super::trial::{Comparison, TRIAL_AFTER, USES_UP, WORTH_A_TRIAL};
use crate::path::PathId;

/// A new flow moves for this much more.
const GAIN_OF_YOUNG: f64 = 1.1;
/// For so much more a flow moves although it was moved lately: that was a mistake. Little is known while flows settle down.
const GAIN_OF_MISTAKEN: f64 = 3.0;
const GAIN_OF_UNSETTLED: f64 = 1.5;
/// Less than this part of a flow is none.
pub(super) const FLOW: f64 = 0.5;
/// Bytes that are off the target shares by less, of the whole, are left so.
const LOAD_TOLERANCE: f64 = 0.02;
/// Where flows have settled down, they move only if that was called for without a break for this long, or to a path without
/// flows: rates of flows that fill a path swing by themselves.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a path was full, loads are not compared with shares for this long.
const CALM: Duration = Duration::from_secs(2);
/// Bytes per second below which load is not worth balancing.
const WORTHWHILE: f64 = 20_000.0;

/// What moves flows besides failures and changed targets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// Nothing.
    Off,
    /// Flows leave a path that is full while another has room: `balance-xor`.
    Relieve,
    /// New flows are placed by load, and stay: `flow-static`, and `passive` re-balancing.
    Place,
    /// New flows are placed by load, old ones follow it: `balance-aware`.
    Follow,
}

impl Balance {
    /// New flows are placed by load.
    pub const fn places(self) -> bool {
        matches!(self, Self::Place | Self::Follow)
    }

    /// Old flows may move for load's sake.
    pub const fn moves(self) -> bool {
        matches!(self, Self::Relieve | Self::Follow)
    }
}

/// What is known of a path.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Lane {
    /// Which.
    pub path: PathId,
    /// Bit/s that fit, by the operator or by measurement.
    pub capacity: Option<f64>,
    /// It was never full, and the operator said nothing of its capacity or share.
    pub is_unknown: bool,
    /// Since when it is full.
    pub full_since: Option<Instant>,
    /// It is full, or may be by its latest answer.
    pub queues: bool,
    /// Bit/s that leave on it.
    pub rate: f64,
}

/// Flows that are active, and how many there are on each path.
pub(super) struct Tally {
    /// Each with its path's place and with what part of a flow it is.
    pub(super) flows: Vec<(Active, usize, f64)>,
    pub(super) counts: Vec<f64>,
    /// Bytes per second.
    rates: Vec<f64>,
}

/// The rate of the slowest flow that counts, bytes per second: of those that carry all but a tenth. Flows that share a full
/// path seldom come to equal parts of it, and small ones hardly count.
fn usual_rate(rates: impl Iterator<Item = f64>) -> f64 {
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    let mut rest = rates.iter().sum::<f64>() / 10.0;
    let least = rates.into_iter().find(|rate| {
        rest -= rate;
        rest < 0.0
    });
    least.unwrap_or(0.0)
}

impl Tally {
    /// Loads are more even after a flow, if that is one, has moved to another path; notes that it has.
    pub(super) fn evens(&mut self, slot: usize, to: usize) -> bool {
        let Ok(index) = self
            .flows
            .binary_search_by_key(&slot, |(flow, ..)| flow.slot)
        else {
            return true;
        };
        let (_, from, weight) = &mut self.flows[index];
        let is_better = self.counts[*from] > self.counts[to] + *weight;
        if is_better {
            self.counts[*from] -= *weight;
            self.counts[to] += *weight;
            *from = to;
        }
        is_better
    }

    /// A path carries one flow.
    fn is_alone(&self, place: usize) -> bool {
        (FLOW..1.0 + FLOW).contains(&self.counts[place])
    }
}

impl SlotTable {
    /// `is_full`: by place; flows that share a full path are compared with each other.
    pub(super) fn tally(&self, is_full: &[bool]) -> Tally {
        let paths = self.paths.len();
        let active = self.load.as_ref().map(|load| load.active());
        let placed: Vec<(Active, usize)> = active
            .unwrap_or_default()
            .into_iter()
            .filter(|flow| !flow.paused)
            .filter_map(|flow| Some((flow, usize::from(*self.owners.as_ref()?.get(flow.slot)?))))
            .collect();
        let usual = usual_rate(placed.iter().map(|(flow, _)| flow.rate));
        let local: Vec<f64> = (0..paths)
            .map(|place| {
                if !is_full.get(place).is_some_and(|full| *full) {
                    return usual;
                }
                let there = placed.iter().filter(|(_, at)| *at == place);
                usual_rate(there.map(|(flow, _)| flow.rate)).min(usual)
            })
            .collect();
        let (mut counts, mut rates) = (vec![0.0; paths], vec![0.0; paths]);
        let flows = placed
            .into_iter()
            .map(|(flow, place)| {
                let weight = flow.weight(local[place]);
                counts[place] += weight;
                rates[place] += flow.rate;
                (flow, place, weight)
            })
            .collect();
        Tally {
            flows,
            counts,
            rates,
        }
    }

    /// Target shares, by place.
    pub(super) fn wanted_by_place(&self) -> Vec<f64> {
        let share = |path| self.wanted.get(path).copied().unwrap_or(0.0);
        self.paths.iter().map(share).collect()
    }

    /// Puts flows that have just started where most is left for them; each at most once. Returns how many moved.
    pub(super) fn place_young(&mut self, now: Instant) -> usize {
        if !self.load.as_ref().is_some_and(|load| load.has_young()) {
            return 0;
        }
        let shares = self.wanted_by_place();
        let mut tally = self.tally(&[]);
        let mut moved = 0;
        for (flow, place, weight) in &tally.flows {
            if !flow.young || !flow.seen || *weight < FLOW {
                continue;
            }
            self.unsettled_until = self.unsettled_until.max(now + UNSETTLED);
            let left = |at: usize| shares[at] / (tally.counts[at] + weight);
            let best = (0..shares.len())
                .filter(|at| at != place)
                .max_by(|a, b| left(*a).total_cmp(&left(*b)));
            let Some(best) = best else {
                break;
            };
            if left(best) > GAIN_OF_YOUNG * shares[*place] / tally.counts[*place] {
                tally.counts[*place] -= weight;
                tally.counts[best] += weight;
                self.give(flow.slot, best);
                moved += 1;
            }
        }
        moved
    }

    /// Moves flows for load's sake; how many and why.
    pub(super) fn balance(
        &mut self,
        mobility: Mobility,
        lanes: &[Lane],
        now: Instant,
    ) -> Option<(usize, &'static str)> {
        if !mobility.balance.moves() || self.load.is_none() {
            return None;
        }
        let lanes = self.lanes_in_order(lanes)?;
        if lanes.len() < 2 {
            return None;
        }
        if self.judge_trial(&lanes, now) {
            return Some((1, TRIAL_FAILED));
        }
        let is_full: Vec<bool> = lanes.iter().map(|lane| lane.full_since.is_some()).collect();
        let tally = self.tally(&is_full);
        if tally.rates.iter().sum::<f64>() < WORTHWHILE {
            return None;
        }
        if self.leave_worse(&tally, &lanes, now) {
            return Some((1, FULL));
        }
        let follows = mobility.balance == Balance::Follow;
        if is_full.contains(&true) {
            self.calm_from = now + CALM;
        }
        // What full paths carry is no sign of what their flows want.
        let evened = match follows && self.calm_from <= now {
            true => self.even_out(&tally, now),
            false => Vec::new(),
        };
        let is_empty: Vec<bool> = tally.counts.iter().map(|count| *count < FLOW).collect();
        let (mut moves, reason) = match evened.is_empty() {
            true => {
                let relief = Relief::new(self, tally, &lanes, follows, now);
                (relief.moves(), FULL)
            }
            false => (evened, "uneven load"),
        };
        if moves.is_empty() {
            self.uneven_since = None;
            let tally = self.tally(&is_full);
            return self
                .try_unknown(&tally, &lanes, now)
                .then_some((1, "trial of a path"));
        }
        let since = *self.uneven_since.get_or_insert(now);
        if self.unsettled_until <= now && now < since + PATIENCE {
            moves.retain(|(_, place)| is_empty[*place]);
            if moves.is_empty() {
                return None;
            }
        }
        self.uneven_since = None;
        for (slot, place) in &moves {
            self.give(*slot, *place);
        }
        Some((moves.len(), reason))
    }

    /// Lanes of the paths in use, in their order.
    fn lanes_in_order(&self, lanes: &[Lane]) -> Option<Vec<Lane>> {
        let lane = |path: &PathId| lanes.iter().find(|lane| lane.path == *path).copied();
        self.paths.iter().map(lane).collect()
    }

    /// Ends a trial on a path on which packets queue, if that shows enough: what it costs grows from moment to moment.
    pub(super) fn end_trial_of_narrow(
        &mut self,
        lanes: &[Lane],
        now: Instant,
    ) -> Option<(usize, &'static str)> {
        let tried = self.trials.present?.to;
        if !lanes.iter().any(|lane| lane.path == tried && lane.queues) {
            return None;
        }
        let lanes = self.lanes_in_order(lanes)?;
        self.judge_trial(&lanes, now).then_some((1, TRIAL_FAILED))
    }

    /// Enough is known of the flow, and it was not moved lately.
    fn is_movable(&self, flow: &Active) -> bool {
        flow.known
            && self
                .load
                .as_ref()
                .is_some_and(|load| load.is_rested(flow.slot))
    }

    /// Whether a flow may leave a path that gives it `present` for one that has `left` for it: it is movable, or was moved to
    /// the wrong place.
    pub(super) fn may_be_moved(
        &self,
        flow: &Active,
        (present, left): (f64, f64),
        now: Instant,
    ) -> bool {
        let gain_of_mistaken = match now < self.unsettled_until {
            true => GAIN_OF_UNSETTLED,
            false => GAIN_OF_MISTAKEN,
        };
        let has_settled = || {
            self.load
                .as_ref()
                .is_some_and(|load| load.has_settled(flow.slot))
        };
        let was_mistaken = left > gain_of_mistaken * present;
        self.is_movable(flow) || was_mistaken && flow.known && has_settled()
    }

    /// Flows that bring bytes closer to shares, those that do most first, until what is on wrong paths is halved; and where they
    /// should go.
    fn even_out(&self, tally: &Tally, now: Instant) -> Vec<(usize, usize)> {
        let total: f64 = tally.rates.iter().sum();
        let shares = self.wanted_by_place();
        let mut errors: Vec<f64> = shares
            .iter()
            .zip(&tally.rates)
            .map(|(share, rate)| rate - share * total)
            .collect();
        let excess = |errors: &[f64]| errors.iter().map(|error| error.max(0.0)).sum::<f64>();
        let first = excess(&errors);
        let mut moves = Vec::new();
        if first <= LOAD_TOLERANCE * total {
            return moves;
        }
        let mut counts = tally.counts.clone();
        let mut flows = tally.flows.clone();
        while moves.len() < PER_STEP && excess(&errors) > first / 2.0 {
            let least = (0..errors.len()).min_by(|a, b| errors[*a].total_cmp(&errors[*b]));
            let Some(to) = least else {
                break;
            };
            let gain = |index: usize| {
                let (Active { rate, .. }, from, _) = flows[index];
                let (excess, lack) = (errors[from], -errors[to]);
                excess.abs() + lack.abs() - (excess - rate).abs() - (lack - rate).abs()
            };
            let may_move = |index: &usize| {
                let (flow, from, _) = &flows[*index];
                let present = shares[*from] / counts[*from].max(1.0);
                let left = shares[to] / (counts[to] + 1.0);
                // A move that gains little would soon be taken back, or is not worth it.
                gain(*index) >= flow.rate.max(first / PER_STEP as f64)
                    && self.may_be_moved(flow, (present, left), now)
            };
            let best = (0..flows.len())
                .filter(may_move)
                .max_by(|a, b| gain(*a).total_cmp(&gain(*b)));
            let Some(best) = best else {
                break;
            };
            let (flow, from, weight) = flows.swap_remove(best);
            errors[from] -= flow.rate;
            errors[to] += flow.rate;
            counts[from] -= weight;
            counts[to] += weight;
            moves.push((flow.slot, to));
        }
        moves
    }

    /// The place of the path that won the latest comparison, if this one lost it.
    fn better_than(&self, place: usize, lanes: &[Lane], now: Instant) -> Option<usize> {
        let winner = self.trials.better_than(lanes[place].path, now)?;
        let winner = lanes.iter().position(|lane| lane.path == winner)?;
        // What was measured since counts more, and so does what is carried here although it would not fit there.
        let (lane, winner_lane) = (&lanes[place], &lanes[winner]);
        let carried = lane.capacity.filter(|_| lane.is_measured()).unwrap_or(0.0);
        let has_changed = winner_lane.is_measured()
            && winner_lane
                .capacity
                .is_some_and(|fits| fits < carried.max(lane.rate));
        (!has_changed).then_some(winner)
    }

    /// The only flow of the path that lost the latest comparison, if it may fill that, goes where nobody is on the one that won:
    /// there is nothing to find out, and BBR takes the path for one with a policer after eight round trips.
    fn leave_worse(&mut self, tally: &Tally, lanes: &[Lane], now: Instant) -> bool {
        if self.trials.present.is_some() {
            return false;
        }
        let way = (0..lanes.len()).find_map(|from| {
            let is_free = |to: &usize| !lanes[*to].queues && tally.counts[*to] < FLOW;
            let to = self.better_than(from, lanes, now).filter(is_free)?;
            let (lane, rate) = (&lanes[from], tally.rates[from]);
            let is_full = lane.queues || lane.is_measured() && lane.may_be_full(8.0 * rate);
            (is_full && tally.is_alone(from) && rate >= WORTH_A_TRIAL).then_some((from, to))
        });
        let Some((from, to)) = way else {
            return false;
        };
        let load = self.load.as_ref();
        let may_move = |slot| load.is_some_and(|load| load.is_rested(slot));
        let flow = tally
            .flows
            .iter()
            .find(|(flow, place, weight)| *place == from && *weight >= FLOW && may_move(flow.slot));
        let slot = flow.map(|(flow, ..)| flow.slot);
        if let Some(slot) = slot {
            self.give(slot, to);
        }
        slot.is_some()
    }

    /// Lets the only flow of a path find out what fits on one that was never full: if its own is full, or may be.
    fn try_unknown(&mut self, tally: &Tally, lanes: &[Lane], now: Instant) -> bool {
        let is_alone = |place: &usize| tally.is_alone(*place);
        let is_full = |place: &usize| {
            let since = lanes[*place].full_since;
            since.is_some_and(|since| since + TRIAL_AFTER <= now) && lanes[*place].is_measured()
        };
        let better = |place: usize| self.better_than(place, lanes, now);
        let may_be_full = |place: &usize| {
            let is_limit = lanes[*place].may_be_full(8.0 * tally.rates[*place]);
            (is_limit || better(*place).is_some()) && tally.rates[*place] >= WORTH_A_TRIAL
        };
        let may_begin = |place: &usize| self.trials.may_begin(lanes[*place].path, now);
        let alone = || (0..lanes.len()).filter(is_alone).filter(may_begin);
        let Some(from) = alone().find(is_full).or_else(|| alone().find(may_be_full)) else {
            return false;
        };
        let is_free = |place: &usize| {
            *place != from
                && lanes[*place].full_since.is_none()
                && tally.counts[*place] < FLOW
                && tally.rates[*place] < tally.rates[from] / 5.0
        };
        let free = || (0..lanes.len()).filter(is_free);
        let is_open = |place: &usize| {
            lanes[*place].is_unknown && !self.trials.is_worse(lanes[*place].path, now)
        };
        let to = better(from)
            .filter(is_free)
            .or_else(|| free().find(is_open));
        let flow = tally
            .flows
            .iter()
            .filter(|(flow, place, weight)| {
                *place == from && *weight >= FLOW && self.is_movable(flow)
            })
            .max_by(|a, b| a.0.rate.total_cmp(&b.0.rate));
        let (Some(to), Some((flow, ..))) = (to, flow) else {
            return false;
        };
        let (slot, was_full) = (flow.slot as u16, is_full(&from));
        // One that has just begun sends far more than fits, and then recovers from that.
        let has_recovered = |load: &Load| load.has_recovered(flow.slot) || !lanes[from].queues;
        let is_steady = self.trials.is_steady(slot, flow.rate, now) || was_full;
        if !is_steady || !self.load.as_deref().is_some_and(has_recovered) {
            return false;
        }
        let paths = [from, to].map(|place| lanes[place].path);
        self.trials.begin(slot, paths, was_full, flow.rate, now);
        self.give(flow.slot, to);
        true
    }

    /// Ends a trial that has shown enough; true if the flow went back.
    fn judge_trial(&mut self, lanes: &[Lane], now: Instant) -> bool {
        let Some(trial) = self.trials.present else {
            return false;
        };
        let slot = usize::from(trial.slot);
        let find = |path: PathId| lanes.iter().position(|lane| lane.path == path);
        let is_there = self.owner(slot) == Some(trial.to);
        let (Some(from), Some(to), true) = (find(trial.from), find(trial.to), is_there) else {
            self.trials.abort(find(trial.from).is_some(), now);
            return false;
        };
        let measured = |place: usize| lanes[place].capacity.filter(|_| !lanes[place].is_unknown);
        let load = self.load.as_ref();
        let found = Comparison {
            from: measured(from),
            to: measured(to),
            rate: load.map_or(0.0, |load| load.look(slot).rate),
            queues: lanes[to].queues,
        };
        let has_failed = self.trials.judge(&found, now) == Some(true);
        if has_failed {
            self.give(slot, from);
        }
        has_failed
    }
}

/// Why flows leave a path.
const FULL: &str = "full path";
/// Why a flow went back.
const TRIAL_FAILED: &str = "trial failed";

impl Lane {
    /// Nobody knows how much fits, or about so many bit/s do.
    pub(super) fn may_be_full(&self, rate: f64) -> bool {
        self.is_unknown || self.capacity.is_some_and(|bits| rate >= USES_UP * bits)
    }

    fn is_measured(&self) -> bool {
        self.capacity.is_some() && !self.is_unknown
    }
}
