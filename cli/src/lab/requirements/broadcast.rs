//! Row 6: one of the links fails under a broadcast bond.

use std::io;

use serde_json::json;

use super::bed::Failure;
use super::row::{Case, Load, Measurement, Row};
use super::trial::{TrialPlan, Trials};
use crate::lab::policy::Policy;
use crate::lab::stream::Pace;

const LINKS: u8 = 3;
/// Positions by which a packet may come late.
const EXTENT: u64 = 3;

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        number: 6,
        quantity: "broadcast, one of 3 links fails",
        ours: "0 lost, 0 duplicates, no reordering by more than 3",
        towards_stock: Some("on receipt: 0 lost, 0 duplicates, no reordering by more than 3"),
        policies: &[Policy::Broadcast],
        load: Load::Light,
        measure,
    }]
}

fn measure(case: &Case) -> io::Result<Measurement> {
    let bed = case.bed(LINKS)?;
    // A zerotier-one delivers every copy: what we send to it is not judged.
    let judged: &[usize] = case.by_peer(&[0, 1], &[1]);
    let plan = TrialPlan {
        pace: Pace::default(),
        judged,
    };
    let trials = Trials::make(&bed, &plan, case.options.trials, |_| Failure::BlackHole)?;
    let deliveries = || {
        trials
            .all
            .iter()
            .flat_map(|trial| judged.iter().map(|direction| trial.deliveries[*direction]))
    };
    let sent: u64 = deliveries().map(|delivery| delivery.sent).sum();
    let lost: u64 = deliveries().map(|delivery| delivery.lost).sum();
    let duplicated: u64 = deliveries().map(|delivery| delivery.duplicated).sum();
    let extent = deliveries().map(|delivery| delivery.reorder_extent).max();
    let extent = extent.unwrap_or(0);
    Ok(Measurement {
        values: json!({
            "sent": sent,
            "lost": lost,
            "duplicated": duplicated,
            "largestReorderExtent": extent,
            "trials": trials.to_json(),
        }),
        text: format!(
            "{lost} lost, {duplicated} duplicates, extent {extent} of {sent} packets, {} failures",
            trials.all.len()
        ),
        holds: sent > 0 && lost == 0 && duplicated == 0 && extent <= EXTENT,
    })
}
