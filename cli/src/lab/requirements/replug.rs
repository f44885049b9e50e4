//! Row 9: an interface or its address goes and comes back. When does the bond count the link again?

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::bed::{Bed, Failure};
use super::outage::FAILING_OVER;
use super::row::{Case, Load, Measurement, Row};
use super::sample::Sample;
use super::trial::link_in_use;
use crate::lab::stream::Pace;

const LINKS: u8 = 3;
/// Some traffic, as a bond has it.
const RATE: u32 = 50;
/// How long the link is away.
const AWAY: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(20);

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        number: 9,
        quantity: "address or interface back, link bonded again",
        ours: "<= 2 s",
        towards_stock: Some("<= 6 s"),
        policies: FAILING_OVER,
        load: Load::Light,
        measure,
    }]
}

fn measure(case: &Case) -> io::Result<Measurement> {
    let limit = case.by_peer(Duration::from_secs(2), Duration::from_secs(6));
    let bed = case.bed(LINKS)?;
    let (mut times, mut never, mut unnoticed) = (Vec::new(), 0, 0);
    for number in 0..case.options.trials {
        let failure = [Failure::Address, Failure::Unplugged][number as usize % 2];
        let trial = trial(&bed, failure, case.judged_directions().len())?;
        unnoticed += u32::from(!trial.noticed);
        match trial.time {
            Some(time) => times.push(time),
            None => never += 1,
        }
    }
    let sample = Sample::new(times);
    let mut text = sample.to_string();
    if never > 0 {
        text.push_str(&format!(", {never} never within {} s", PATIENCE.as_secs()));
    }
    if unnoticed > 0 {
        text.push_str(&format!(", {unnoticed} times the loss went unnoticed"));
    }
    Ok(Measurement {
        values: json!({"bondedAgain": sample.to_json(), "never": never, "unnoticed": unnoticed}),
        text,
        holds: never == 0 && unnoticed == 0 && sample.within(limit, limit),
    })
}

struct Trial {
    /// The near member's bond went without the link meanwhile.
    noticed: bool,
    /// From the link's return until the bonds of the near member, and of the far one if it is ours, use all links.
    time: Option<Duration>,
}

fn trial(bed: &Bed, failure: Failure, members: usize) -> io::Result<Trial> {
    let stream = bed.stream(Pace {
        rate: RATE,
        both_ways: true,
    })?;
    let link = link_in_use(bed)?;
    let all_links = || -> io::Result<bool> {
        let bonds = bed.bond_links()?;
        let all = |bond: &Option<(u64, u64)>| bond.is_some_and(|(alive, _)| alive >= LINKS.into());
        Ok(bonds.iter().take(members).all(all))
    };
    bed.fail(link, failure)?;
    thread::sleep(AWAY);
    let [near, _] = bed.bond_links()?;
    let noticed = near.is_none_or(|(alive, _)| alive < LINKS.into());
    bed.heal(link, failure)?;
    let back = Instant::now();
    let mut time = None;
    while time.is_none() && back.elapsed() < PATIENCE {
        time = all_links()?.then(|| back.elapsed());
        thread::sleep(PERIOD);
    }
    let now = stream.elapsed();
    stream.finish(now)?;
    if time.is_some() {
        bed.recover(link)?;
    }
    Ok(Trial { noticed, time })
}
