//! `balance-aware`: flows are spread by capacity and quality, and follow load.

use std::time::Duration;

use protocol::Instant;

use super::allocation::{Basis, shares};
use super::balance_rr;
use super::slots::SlotTable;
use super::{View, candidates};
use crate::config::BalancePolicy;
use crate::path::PathId;
use crate::plan::Plan;

/// Bytes per slot are told in intervals about this long: no pause shorter than this can be seen.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);

/// Whether packets rather than flows are placed.
pub fn places_packets(balance: BalancePolicy, peer_can_reorder: bool) -> bool {
    match balance {
        BalancePolicy::Packet => true,
        BalancePolicy::Auto => peer_can_reorder,
        BalancePolicy::FlowDynamic | BalancePolicy::FlowStatic => false,
    }
}

/// Brings the slots to the present candidates; how many moved at once. `None`: nothing changed.
pub fn retarget(
    table: &mut SlotTable,
    views: &[View],
    overflow: bool,
    now: Instant,
) -> Option<usize> {
    table.retarget(
        &shares(&candidates(views, overflow), Basis::CapacityAndQuality),
        now,
    )
}

/// Packet by packet: single packets in turn, in proportion to the shares.
pub fn packet_plan(
    views: &[View],
    overflow: bool,
    can_reorder: bool,
    previous: &Plan<PathId>,
) -> Plan<PathId> {
    balance_rr::plan(views, overflow, can_reorder, 1, previous)
}

/// How long a flow must be silent so that its packets stay in order when it changes its path: the difference of latencies,
/// and twice their variation.
pub fn pause(views: &[View]) -> Duration {
    let latencies = || views.iter().filter_map(|view| view.latency);
    let spread = latencies().max().unwrap_or_default() - latencies().min().unwrap_or_default();
    let variation = views
        .iter()
        .map(|view| view.variation)
        .max()
        .unwrap_or_default();
    (spread + 2 * variation).max(SHORTEST_PAUSE)
}
