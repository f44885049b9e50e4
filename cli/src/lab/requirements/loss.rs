//! Row 7: a link in use begins to lose packets, ever more of them.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::bed::Bed;
use super::carrying::{self, Until};
use super::outage::FAILING_OVER;
use super::row::{Case, Load, Measurement, Row};
use super::sample::Sample;
use super::trial::link_in_use;
use crate::lab::failures;
use crate::lab::stream::Pace;

const LINKS: u8 = 3;
/// Loss grows so much at a time, in thousandths,
const STEP: u16 = 20;
const STEP_TIME: Duration = Duration::from_secs(1);
/// up to this.
const MOST: u16 = 200;
/// For so long it is watched who uses the link.
const WATCHED: Duration = Duration::from_millis(300);
/// Above this the link must be left.
const TOO_MUCH: u16 = 50;
const PATIENCE: Duration = Duration::from_secs(30);
/// After a trial, until what was measured of the link's loss is forgotten.
const FORGET: Duration = Duration::from_secs(12);

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        number: 7,
        quantity: "link with growing loss left, after more than 5 %",
        ours: "<= 3 s",
        towards_stock: Some("<= 10 s"),
        policies: FAILING_OVER,
        load: Load::Light,
        measure,
    }]
}

fn measure(case: &Case) -> io::Result<Measurement> {
    let limit = case.by_peer(Duration::from_secs(3), Duration::from_secs(10));
    let bed = case.bed(LINKS)?;
    let (mut times, mut trials, mut never) = (Vec::new(), Vec::new(), 0);
    for number in 0..case.options.trials {
        if number > 0 {
            thread::sleep(FORGET);
        }
        let found = trial(&bed, case.judged_directions())?;
        let seconds = found.iter().map(|time| time.map(|time| time.as_secs_f64()));
        trials.push(seconds.collect::<Vec<_>>());
        for time in found {
            match time {
                Some(time) => times.push(time),
                None => never += 1,
            }
        }
    }
    let sample = Sample::new(times);
    let mut text = sample.to_string();
    if never > 0 {
        text.push_str(&format!(", {never} never within {} s", PATIENCE.as_secs()));
    }
    Ok(Measurement {
        values: json!({
            "left": sample.to_json(),
            "neverLeft": never,
            "secondsByTrial": trials,
        }),
        text,
        holds: never == 0 && sample.within(limit, limit),
    })
}

/// When each of the judged directions that use the link left it, counted from the moment at which it lost too much; zero if before.
fn trial(bed: &Bed, judged: &[usize]) -> io::Result<Vec<Option<Duration>>> {
    let stream = bed.stream(Pace::default())?;
    let link = link_in_use(bed)?;
    let set = |loss| -> io::Result<()> {
        for member in &bed.lab.members {
            failures::drop_arriving(member.host(), link, loss)?;
        }
        Ok(())
    };
    // A direction that does not use the link cannot leave it.
    let mut users = Vec::new();
    for member in judged.iter().copied() {
        if carrying::uses(bed, member, link, WATCHED)? {
            users.push(member);
        }
    }
    let start = Instant::now();
    let (mut loss, mut too_much) = (0, None);
    let left = carrying::wait(bed, &users, link, Until::Left, PATIENCE, || {
        let steps = start.elapsed().as_secs() / STEP_TIME.as_secs();
        let wanted = u16::try_from(steps).map_or(MOST, |n| n.saturating_mul(STEP).min(MOST));
        if wanted != loss {
            loss = wanted;
            set(loss)?;
            if loss > TOO_MUCH {
                too_much.get_or_insert_with(Instant::now);
            }
        }
        Ok(())
    })?;
    let now = stream.elapsed();
    stream.finish(now)?;
    set(0)?;
    bed.recover(link)?;
    let since =
        |at: Instant| too_much.map_or(Duration::ZERO, |begun| at.saturating_duration_since(begun));
    Ok(left.into_iter().map(|at| at.map(since)).collect())
}
