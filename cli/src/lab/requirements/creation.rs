//! Row 10: two members find each other. When is there a bond over both links?

use std::collections::BTreeSet;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::bed::{Bed, BedPlan};
use super::row::{Case, Load, Measurement, Row};
use super::sample::Sample;
use crate::lab::bonds::bond_links;
use crate::lab::policy::Policy;
use crate::lab::stream::Pace;

const LINKS: u8 = 2;
const RATE: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(1);

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        number: 10,
        quantity: "bond of 2 links after the second path is confirmed",
        ours: "<= 1 s",
        towards_stock: Some("<= 1 s"),
        policies: &[Policy::ActiveBackup, Policy::BalanceAware],
        load: Load::Light,
        measure,
    }]
}

fn measure(case: &Case) -> io::Result<Measurement> {
    let mut times = Vec::new();
    for _ in 0..case.options.trials {
        times.push(trial(case)?);
    }
    let sample = Sample::new(times);
    Ok(Measurement {
        values: json!({"created": sample.to_json()}),
        text: sample.to_string(),
        holds: sample.within(LIMIT, LIMIT),
    })
}

/// Of the near member: the time from its knowing a path over each link until its bond uses both.
fn trial(case: &Case) -> io::Result<Duration> {
    let bed = Bed::join(case, &BedPlan::new(LINKS, case.policy))?;
    let stream = bed.stream(Pace {
        rate: RATE,
        both_ways: true,
    })?;
    let start = Instant::now();
    let (mut confirmed, mut bonded) = (None, None);
    while confirmed.is_none() || bonded.is_none() {
        if start.elapsed() > PATIENCE {
            return Err(io::Error::other(format!(
                "within {} s: paths over both links {}, bond of both {}",
                PATIENCE.as_secs(),
                confirmed.is_some(),
                bonded.is_some()
            )));
        }
        if confirmed.is_none() && links_with_paths(&bed)? >= LINKS.into() {
            confirmed = Some(start.elapsed());
        }
        let bond = bond_links(bed.near(), bed.far())?;
        if bonded.is_none() && bond.is_some_and(|(alive, _)| alive >= LINKS.into()) {
            bonded = Some(start.elapsed());
        }
        thread::sleep(PERIOD);
    }
    let now = stream.elapsed();
    stream.finish(now)?;
    Ok(bonded
        .unwrap_or_default()
        .saturating_sub(confirmed.unwrap_or_default()))
}

/// Over how many links the near member knows a path to the far one that works. Each link is a network of its own.
fn links_with_paths(bed: &Bed) -> io::Result<usize> {
    let (_, peer) = bed.near().get(&format!("/peer/{}", bed.far().address()))?;
    let paths = peer["paths"].as_array().map_or(&[][..], Vec::as_slice);
    let working = paths.iter().filter(|path| path["expired"] == false);
    let networks: BTreeSet<&str> = working
        .filter_map(|path| path["address"].as_str().and_then(network))
        .collect();
    Ok(networks.len())
}

/// `10.77.1` of `10.77.1.4/9993`.
fn network(address: &str) -> Option<&str> {
    Some(address.split_once('/')?.0.rsplit_once('.')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_told_by_the_network_of_its_addresses() {
        assert_eq!(network("10.77.1.4/9993"), Some("10.77.1"));
        assert_eq!(network("nonsense"), None);
    }
}
