//! `balance-xor`: flows are spread evenly by a hash that mixes all bits, so that even ports do not share one path.

use protocol::Instant;

use super::allocation::{Basis, shares};
use super::slots::SlotTable;
use super::{View, candidates};

/// Brings the slots to the present candidates; how many moved at once. `None`: nothing changed.
pub fn retarget(
    table: &mut SlotTable,
    views: &[View],
    overflow: bool,
    now: Instant,
) -> Option<usize> {
    table.retarget(&shares(&candidates(views, overflow), Basis::Equal), now)
}
