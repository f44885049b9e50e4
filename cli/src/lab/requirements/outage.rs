//! Rows 1, 2 and 5: a link fails silently under traffic, both ways or one way.

use std::io;
use std::time::Duration;

use serde_json::json;

use super::bed::Failure;
use super::row::{Case, Load, Measurement, Row};
use super::trial::{TrialPlan, Trials};
use crate::lab::policy::Policy;
use crate::lab::stream::Pace;

const LINKS: u8 = 3;
/// Datagrams per second and direction: not more than twice what the rows ask for at least.
const RATE: u32 = 100;

pub(super) const FAILING_OVER: &[Policy] = &[
    Policy::ActiveBackup,
    Policy::BalanceRr,
    Policy::BalanceXor,
    Policy::BalanceAware,
];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            number: 1,
            quantity: "outage, black hole, traffic both ways",
            ours: "p50 <= 100 ms, p99 <= 250 ms",
            towards_stock: Some("p50 <= 500 ms, p99 <= 700 ms"),
            policies: FAILING_OVER,
            load: Load::Light,
            measure: black_hole_both_ways,
        },
        Row {
            number: 2,
            quantity: "outage, black hole, one-way load",
            ours: "p50 <= 300 ms, p99 <= 500 ms",
            towards_stock: Some("p50 <= 600 ms, p99 <= 900 ms"),
            policies: FAILING_OVER,
            load: Load::Light,
            measure: black_hole_one_way_load,
        },
        Row {
            number: 5,
            quantity: "outage, one direction fails, traffic both ways",
            ours: "p50 <= 200 ms, p99 <= 350 ms",
            towards_stock: Some("<= 1 s"),
            policies: FAILING_OVER,
            load: Load::Light,
            measure: one_way_failure,
        },
    ]
}

/// Median and 99th percentile that are allowed.
struct Limits {
    median: Duration,
    nearly_all: Duration,
}

const fn limits(median: u64, nearly_all: u64) -> Limits {
    Limits {
        median: Duration::from_millis(median),
        nearly_all: Duration::from_millis(nearly_all),
    }
}

fn black_hole_both_ways(case: &Case) -> io::Result<Measurement> {
    let limits = case.by_peer(limits(100, 250), limits(500, 700));
    measure(case, true, &limits, |_| Failure::BlackHole)
}

fn black_hole_one_way_load(case: &Case) -> io::Result<Measurement> {
    let limits = case.by_peer(limits(300, 500), limits(600, 900));
    measure(case, false, &limits, |_| Failure::BlackHole)
}

/// The directions fail in turn.
fn one_way_failure(case: &Case) -> io::Result<Measurement> {
    let limits = case.by_peer(limits(200, 350), limits(1000, 1000));
    measure(case, true, &limits, |number| {
        [Failure::NearToFar, Failure::FarToNear][number as usize % 2]
    })
}

fn measure(
    case: &Case,
    both_ways: bool,
    limits: &Limits,
    failure: impl Fn(u32) -> Failure,
) -> io::Result<Measurement> {
    let bed = case.bed(LINKS)?;
    let judged = if both_ways {
        case.judged_directions()
    } else {
        &[0]
    };
    let plan = TrialPlan {
        pace: Pace {
            rate: RATE,
            both_ways,
        },
        judged,
    };
    let trials = Trials::make(&bed, &plan, case.options.trials, failure)?;
    let outages = trials.outages(judged);
    let mut text = format!("{outages}, at most {} lost", trials.most_lost(judged));
    if trials.repeated > 0 {
        text.push_str(&format!(", {} repeated", trials.repeated));
    }
    Ok(Measurement {
        values: json!({
            "outage": outages.to_json(),
            "outageOfTheOtherDirections": trials.outages(&unjudged(judged)).to_json(),
            "trials": trials.to_json(),
        }),
        text,
        holds: outages.within(limits.median, limits.nearly_all),
    })
}

fn unjudged(judged: &[usize]) -> Vec<usize> {
    (0..2).filter(|n| !judged.contains(n)).collect()
}
