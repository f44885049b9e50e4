//! Goodput against what the same links carry alone: rows 12 to 14 and 17 to 20.

use std::io;
use std::time::Duration;

use serde_json::json;

use super::baseline::Baselines;
use super::pair::{Pair, Scenario};
use super::parts::{Part, all_of};
use super::row::{Case, Load, Measurement, Row};
use crate::lab::flows::TcpFlows;
use crate::lab::policy::Policy;

/// Mbit/s of equal links: few enough that a small machine is not what limits four of them.
const EQUAL: u32 = 30;
/// Ten to one.
const FAST: u32 = 50;
const SLOW: u32 = 5;
/// What every run lasts before it counts: TCP has found its rates, and the bond what is not declared.
const WARM_UP: Duration = Duration::from_secs(5);
/// What counts.
const WINDOW: Duration = Duration::from_secs(8);

/// Rows 12, 13: part of the sum that is required of two, three and four links.
const AWARE: [(usize, f64); 3] = [(2, 0.97), (3, 0.96), (4, 0.95)];
const AWARE_FEW: f64 = 0.95;
const XOR: f64 = 0.85;
const UNEQUAL: f64 = 0.93;
const POOREST: f64 = 0.5;
const NO_HARM: f64 = 0.97;
const LOSSY: f64 = 0.90;
/// Row 19: thousandths.
const LOSS: u16 = 20;
const BROADCAST_LESS: f64 = 0.02;

pub(super) fn rows() -> Vec<Row> {
    let row = |number, quantity, ours, policies, measure| Row {
        number,
        quantity,
        ours,
        towards_stock: Some(ours),
        policies,
        load: Load::Heavy,
        measure,
    };
    vec![
        row(
            12,
            "goodput, equal links, 4n TCP flows, nothing declared",
            "0.97 / 0.96 / 0.95 of the sum of 2 / 3 / 4 links",
            &[Policy::BalanceAware],
            many_flows,
        ),
        row(
            13,
            "goodput, equal links, n and n+1 TCP flows",
            "0.95 of the sum",
            &[Policy::BalanceAware],
            few_flows,
        ),
        row(
            14,
            "goodput, equal links, 4n TCP flows",
            "0.85 of the sum, mean over port sets",
            &[Policy::BalanceXor],
            xor,
        ),
        row(
            17,
            "goodput, links 10:1, 12 TCP flows, nothing declared, after 5 s",
            "0.93 of the sum, no flow under half its fair share",
            &[Policy::BalanceAware],
            unequal,
        ),
        row(
            18,
            "goodput, links 10:1, 1 TCP flow",
            "0.97 of the better link alone, every time",
            &[
                Policy::ActiveBackup,
                Policy::BalanceRr,
                Policy::BalanceXor,
                Policy::BalanceAware,
            ],
            one_flow,
        ),
        row(
            19,
            "goodput, one of 3 links loses 2 %, 12 TCP flows",
            "0.90 of the sum of what each carries alone",
            &[Policy::BalanceAware],
            lossy,
        ),
        row(
            20,
            "goodput, every packet on every link",
            "1/n of the sum - 2 %",
            &[Policy::Broadcast],
            broadcast,
        ),
    ]
}

/// Goodputs of one number of connections.
struct Runs {
    /// Mbit/s in all, of each run.
    sums: Vec<f64>,
    /// The slowest connection of each run against its fair share.
    poorest: Vec<f64>,
}

impl Runs {
    /// Runs with so many connections, each with ports of its own.
    fn make(case: &Case, pair: &Pair, connections: usize) -> io::Result<Self> {
        Self::of(case, connections, || pair.connections(connections))
    }

    fn of(
        case: &Case,
        connections: usize,
        start: impl Fn() -> io::Result<TcpFlows>,
    ) -> io::Result<Self> {
        let mut runs = Self {
            sums: Vec::new(),
            poorest: Vec::new(),
        };
        for _ in 0..case.options.trials {
            let flows = start()?;
            std::thread::sleep(WARM_UP);
            let rates = flows.rates(WINDOW);
            let sum: f64 = rates.iter().sum();
            let fair = sum / connections as f64;
            runs.poorest
                .push(least(&rates) / fair.max(f64::MIN_POSITIVE));
            runs.sums.push(sum);
            drop(flows);
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(runs)
    }

    fn mean(&self) -> f64 {
        self.sums.iter().sum::<f64>() / self.sums.len().max(1) as f64
    }

    /// The part of `whole` Mbit/s, and whether it is what a row asks for.
    fn part(&self, case: String, whole: f64, holds: bool) -> Part {
        let largest = self.sums.iter().copied().fold(0.0, f64::max);
        let [mean, least, largest] =
            [self.mean(), least(&self.sums), largest].map(|rate| rate / whole);
        let range = if self.sums.len() > 1 {
            format!(" ({least:.3} to {largest:.3})")
        } else {
            String::new()
        };
        Part {
            case,
            values: json!({"Mbit/s": self.sums, "of": whole, "poorestFlow": self.poorest}),
            measured: format!("{mean:.3}{range} of {whole:.1} Mbit/s"),
            holds,
        }
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Runs over equal links, with as many connections as `connections` says for each number of links.
fn over_equal_links(
    case: &Case,
    links: &[(usize, f64)],
    connections: impl Fn(usize) -> Vec<usize>,
) -> io::Result<Measurement> {
    let alone = Baselines::default().alone(case, EQUAL, 0)?;
    let mut parts = Vec::new();
    for (links, required) in links.iter().copied() {
        let sum = links as f64 * alone;
        let pair = Pair::start(case, &Scenario::equal(links, EQUAL, case.policy))?;
        for connections in connections(links) {
            let runs = Runs::make(case, &pair, connections)?;
            let what = format!("{links} x {EQUAL} Mbit/s, {connections} flows");
            let holds = runs.mean() >= required * sum;
            parts.push(runs.part(what, sum, holds));
        }
    }
    Ok(all_of(&parts))
}

fn many_flows(case: &Case) -> io::Result<Measurement> {
    over_equal_links(case, &AWARE, |links| vec![4 * links])
}

fn few_flows(case: &Case) -> io::Result<Measurement> {
    let links = AWARE.map(|(links, _)| (links, AWARE_FEW));
    over_equal_links(case, &links, |links| vec![links, links + 1])
}

fn xor(case: &Case) -> io::Result<Measurement> {
    over_equal_links(case, &[2, 3, 4].map(|links| (links, XOR)), |links| {
        vec![4 * links]
    })
}

fn broadcast(case: &Case) -> io::Result<Measurement> {
    let required = |links: usize| (links, 1.0 / links as f64 - BROADCAST_LESS);
    over_equal_links(case, &[2, 3].map(required), |_| vec![4])
}

fn unequal(case: &Case) -> io::Result<Measurement> {
    let mut baselines = Baselines::default();
    let sum = baselines.alone(case, FAST, 0)? + baselines.alone(case, SLOW, 0)?;
    let pair = Pair::start(case, &Scenario::of(vec![FAST, SLOW], case.policy))?;
    let runs = Runs::of(case, 12, || pair.fair_connections(12))?;
    drop(pair);
    let poorest = least(&runs.poorest);
    let holds = runs.mean() >= UNEQUAL * sum && poorest >= POOREST;
    let mut part = runs.part(format!("{FAST} and {SLOW} Mbit/s"), sum, holds);
    // How unequal the same flows are where nothing is to be chosen: it decides nothing, but shows whose doing the rest is.
    let pair = Pair::start(case, &Scenario::alone(FAST))?;
    let alone = Runs::of(case, 12, || pair.fair_connections(12))?.poorest;
    part.values["poorestFlowOfBetterLinkAlone"] = json!(alone);
    part.measured += &format!(
        ", the slowest flow has {poorest:.2} of its fair share (12 on the better link alone: {:.2})",
        least(&alone)
    );
    Ok(all_of(&[part]))
}

/// With the better link first and last, since a policy may well begin with the first.
fn one_flow(case: &Case) -> io::Result<Measurement> {
    let best = Baselines::default().alone(case, FAST, 0)?;
    let mut parts = Vec::new();
    for [first, second] in [[FAST, SLOW], [SLOW, FAST]] {
        let pair = Pair::start(case, &Scenario::of(vec![first, second], case.policy))?;
        let runs = Runs::make(case, &pair, 1)?;
        // No port may be unlucky: no harm is a promise to each flow.
        let holds = least(&runs.sums) >= NO_HARM * best;
        parts.push(runs.part(format!("{first} and {second} Mbit/s"), best, holds));
    }
    Ok(all_of(&parts))
}

fn lossy(case: &Case) -> io::Result<Measurement> {
    let mut baselines = Baselines::default();
    let lossy = baselines.alone(case, EQUAL, LOSS)?;
    let sum = 2.0 * baselines.alone(case, EQUAL, 0)? + lossy;
    let pair = Pair::start(case, &Scenario::equal(3, EQUAL, case.policy))?;
    pair.lose(2, LOSS)?;
    let runs = Runs::make(case, &pair, 12)?;
    let holds = runs.mean() >= LOSSY * sum;
    let mut part = runs.part(format!("3 x {EQUAL} Mbit/s"), sum, holds);
    part.measured += &format!(" (the lossy link alone: {lossy:.1})");
    Ok(all_of(&[part]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_as_parts_of_the_whole() {
        let mut runs = Runs {
            sums: vec![90.0, 100.0, 80.0],
            poorest: vec![0.5; 3],
        };
        let part = runs.part("x".into(), 100.0, true);
        assert_eq!(part.measured, "0.900 (0.800 to 1.000) of 100.0 Mbit/s");
        runs.sums.truncate(1);
        assert_eq!(
            runs.part("x".into(), 100.0, true).measured,
            "0.900 of 100.0 Mbit/s"
        );
    }
}
