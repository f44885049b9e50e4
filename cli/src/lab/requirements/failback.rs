//! Row 8: the primary link works again. When is it used again, and what does the change cost?

use std::io;
use std::time::{Duration, Instant};

use serde_json::json;

use super::bed::{Bed, BedPlan, Failure, Settings};
use super::carrying::{self, Until};
use super::row::{Case, Load, Measurement, Row};
use super::sample::Sample;
use super::trial::{link_in_use, wait_until_whole};
use crate::lab::policy::Policy;
use crate::lab::stream::Pace;
use crate::lab::topology::interface_name;

const LINKS: u8 = 3;
const PRIMARY: u8 = 0;
const UP_DELAY: Duration = Duration::from_millis(2000);
/// How much later the primary link may be used.
const LATER: Duration = Duration::from_millis(1000);
const PATIENCE: Duration = Duration::from_secs(20);
const NAME: &str = "lab";

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        number: 8,
        quantity: "fail-back to the primary link (always, upDelay 2 s)",
        ours: "<= 3 s, 0 lost",
        towards_stock: Some("<= 3 s, 0 lost"),
        policies: &[Policy::ActiveBackup],
        load: Load::Light,
        measure,
    }]
}

/// Both spellings of the method: either software reads one of them.
fn settings(policy: Policy) -> Settings {
    let links: Settings = (0..LINKS)
        .map(|link| {
            let mode = if link == PRIMARY { "primary" } else { "spare" };
            (interface_name(link), json!({"mode": mode}))
        })
        .collect();
    let policy = json!({
        "basePolicy": policy.name(),
        "activeReselect": "always",
        "upDelay": UP_DELAY.as_millis() as u64,
        "links": links,
    });
    let mut settings = Settings::new();
    settings.insert("policies".into(), json!({ NAME: policy }));
    settings.insert("defaultBondingPolicy".into(), json!(NAME));
    settings
}

fn measure(case: &Case) -> io::Result<Measurement> {
    let bed = case.bed_of(&BedPlan {
        links: LINKS,
        near: settings(case.policy),
        far: settings(case.policy),
    })?;
    let judged = case.judged_directions();
    let (mut times, mut never, mut lost) = (Vec::new(), 0, 0);
    for _ in 0..case.options.trials {
        let trial = trial(&bed, judged)?;
        lost += trial.lost;
        for time in trial.times {
            match time {
                Some(time) => times.push(time),
                None => never += 1,
            }
        }
    }
    let sample = Sample::new(times);
    let mut text = format!("{sample}, {lost} lost");
    if never > 0 {
        text.push_str(&format!(", {never} never"));
    }
    let limit = UP_DELAY + LATER;
    Ok(Measurement {
        values: json!({"failback": sample.to_json(), "never": never, "lost": lost}),
        text,
        holds: never == 0 && lost == 0 && sample.within(limit, limit),
    })
}

struct Trial {
    /// From the link's recovery until each of the judged directions used it again.
    times: Vec<Option<Duration>>,
    /// Datagrams of the judged directions, sent after the recovery.
    lost: u64,
}

fn trial(bed: &Bed, judged: &[usize]) -> io::Result<Trial> {
    let stream = bed.stream(Pace::default())?;
    let link = link_in_use(bed)?;
    if link != PRIMARY {
        return Err(io::Error::other(format!(
            "link {link} is in use before the failure, not the primary one"
        )));
    }
    bed.fail(PRIMARY, Failure::BlackHole)?;
    wait_until_whole(&stream, stream.elapsed(), judged);
    bed.heal(PRIMARY, Failure::BlackHole)?;
    let (healed, healed_at) = (stream.elapsed(), Instant::now());
    let back = carrying::wait(bed, judged, PRIMARY, Until::Carries, PATIENCE, || Ok(()))?;
    wait_until_whole(&stream, stream.elapsed(), judged);
    let deliveries = stream.finish(healed)?;
    bed.recover(PRIMARY)?;
    let since = |at: Instant| at.saturating_duration_since(healed_at);
    Ok(Trial {
        times: back.into_iter().map(|at| at.map(since)).collect(),
        lost: judged.iter().map(|n| deliveries[*n].lost_afterwards).sum(),
    })
}
