//! Flows leave full paths for those that would give them more.

use std::time::Duration;

use protocol::Instant;

use super::placement::{FLOW, Lane, Tally};
use super::slots::{PER_STEP, SlotTable};
use super::trial::GAIN;

/// A flow moves onto a path without flows even for less than [`GAIN`], since all the others gain by it and nobody learns
/// otherwise that the path has become wider. The only flow of a path leaves for this much more if it would get that among
/// other flows, or on a path that is empty as well.
const GAIN_OF_EMPTY: f64 = 0.4;
const GAIN_OF_ONLY: f64 = 3.0;
const GAIN_OF_ONLY_TO_EMPTY: f64 = 1.5;
/// A path is relieved after it was full this long.
const FULL_ENOUGH: Duration = Duration::from_millis(500);
/// A path with room is filled less than this.
const ROOM: f64 = 0.8;
/// Flows on a path that would be filled no more than this, with one more of them, have all that they want.
const FREE: f64 = 0.9;

/// Where a flow may go.
struct Destination {
    place: usize,
    /// Any flow of the path that it leaves gains by it; else only the slow ones do, that share that path unequally.
    for_all: bool,
}

/// The search for flows to move.
pub(super) struct Relief<'a> {
    table: &'a SlotTable,
    tally: Tally,
    lanes: &'a [Lane],
    /// Of each path, in the unit that flows are compared in.
    capacities: Vec<f64>,
    /// Target shares are compared, and a full path may take flows too; else measured capacities, and only paths with room take
    /// any.
    by_share: bool,
    now: Instant,
}

impl<'a> Relief<'a> {
    pub(super) fn new(
        table: &'a SlotTable,
        tally: Tally,
        lanes: &'a [Lane],
        by_share: bool,
        now: Instant,
    ) -> Self {
        let capacities = if by_share {
            table.wanted_by_place()
        } else {
            let known = lanes.iter().filter_map(|lane| lane.capacity);
            let most = known.fold(0.0, f64::max);
            let capacity = |lane: &Lane| lane.capacity.unwrap_or(most);
            lanes.iter().map(capacity).collect()
        };
        Self {
            table,
            tally,
            lanes,
            capacities,
            by_share,
            now,
        }
    }

    /// Slots that should move, and where to: places of paths in the table.
    pub(super) fn moves(mut self) -> Vec<(usize, usize)> {
        let mut moves = Vec::new();
        while moves.len() < PER_STEP
            && let Some(from) = self.source()
            && let Some(to) = self.destination(from)
            && let Some(index) = self.flow(from, &to)
        {
            let (flow, _, weight) = self.tally.flows.swap_remove(index);
            self.tally.counts[from] -= weight;
            self.tally.counts[to.place] += weight;
            moves.push((flow.slot, to.place));
        }
        moves
    }

    /// The full path that gives its flows least.
    fn source(&self) -> Option<usize> {
        let is_full = |place: &usize| {
            let since = self.lanes[*place].full_since;
            since.is_some_and(|since| since + FULL_ENOUGH <= self.now)
        };
        let part = |place: &usize| self.capacities[*place] / self.tally.counts[*place];
        (0..self.lanes.len())
            .filter(|place| is_full(place) && self.tally.counts[*place] >= FLOW)
            .min_by(|a, b| part(a).total_cmp(&part(b)))
    }

    fn has_room(&self, place: usize) -> bool {
        let lane = &self.lanes[place];
        self.by_share || lane.full_since.is_none() && lane.rate < ROOM * self.capacities[place]
    }

    fn was_never_full(&self, place: usize) -> bool {
        let lane = &self.lanes[place];
        lane.is_unknown && lane.full_since.is_none()
    }

    /// Its flows want no more than they have, and would not with one more.
    fn is_free(&self, place: usize) -> bool {
        let lane = &self.lanes[place];
        let one_more = lane.rate * (1.0 + 1.0 / self.tally.counts[place].max(1.0));
        let fits = lane.capacity.filter(|_| lane.full_since.is_none());
        fits.is_some_and(|bits| one_more <= FREE * bits)
    }

    fn is_empty(&self, place: usize) -> bool {
        self.tally.counts[place] < FLOW
    }

    /// Its flow is the only one.
    fn is_alone(&self, place: usize) -> bool {
        self.tally.counts[place] < 1.0 + FLOW
    }

    /// What each flow of a path has.
    fn present(&self, place: usize) -> f64 {
        self.capacities[place] / self.tally.counts[place].max(1.0)
    }

    /// What one more flow would have.
    fn left(&self, place: usize) -> f64 {
        self.capacities[place] / (self.tally.counts[place] + 1.0)
    }

    /// The path that is most worth it, if any is; else the widest one that is empty.
    fn destination(&self, from: usize) -> Option<Destination> {
        let is_alone = self.is_alone(from);
        // A flow moves for more than it has at present.
        let worth = |place: usize| {
            let margin = match (is_alone, self.is_empty(place)) {
                (true, true) => GAIN_OF_ONLY_TO_EMPTY,
                (true, false) => GAIN_OF_ONLY,
                (false, true) => GAIN_OF_EMPTY,
                // Nobody else there loses by it, and of what was never full nobody learns otherwise how much fits.
                (false, false) if self.was_never_full(place) || self.is_free(place) => 1.0,
                (false, false) => GAIN,
            };
            self.left(place) / margin
        };
        let others = || {
            (0..self.lanes.len())
                .filter(|place| *place != from && !(is_alone && self.lanes[*place].is_unknown))
                .filter(|place| self.has_room(*place))
        };
        let best = others().max_by(|a, b| worth(*a).total_cmp(&worth(*b)));
        if let Some(place) = best.filter(|place| worth(*place) > self.present(from)) {
            return Some(Destination {
                place,
                for_all: true,
            });
        }
        let empty = others().filter(|place| self.is_empty(*place) && !is_alone);
        let widest = empty.max_by(|a, b| self.capacities[*a].total_cmp(&self.capacities[*b]))?;
        Some(Destination {
            place: widest,
            for_all: false,
        })
    }

    /// Which flow moves, by its index in the tally: to an empty path the slowest one.
    fn flow(&self, from: usize, to: &Destination) -> Option<usize> {
        let fits = self.lanes[to.place].capacity.unwrap_or(0.0);
        let gains = |rate: f64| to.for_all || fits > GAIN * 8.0 * rate;
        let gain = (self.present(from), self.left(to.place));
        let candidates = (0..self.tally.flows.len()).filter(|index| {
            let (flow, place, weight) = &self.tally.flows[*index];
            *place == from
                && *weight >= FLOW
                && gains(flow.rate)
                && self.table.may_be_moved(flow, gain, self.now)
        });
        let is_empty = self.is_empty(to.place);
        let rank = |index: &usize| {
            let (flow, ..) = &self.tally.flows[*index];
            (if is_empty { flow.rate } else { 0.0 }, flow.slot)
        };
        candidates.min_by(|a, b| {
            let ((a, a_slot), (b, b_slot)) = (rank(a), rank(b));
            a.total_cmp(&b).then(a_slot.cmp(&b_slot))
        })
    }
}
