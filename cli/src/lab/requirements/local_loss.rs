//! Row 4: the near member's system loses a link's carrier, address or route, and knows it.

use std::io;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::bed::Failure;
use super::outage::FAILING_OVER;
use super::row::{Case, Load, Measurement, Row};
use super::sample::milliseconds;
use super::trial::{TrialPlan, Trials};
use crate::lab::stream::Pace;

const LINKS: u8 = 3;
/// Datagrams per second and direction: a gap of 20 ms must be seen.
const RATE: u32 = 500;

/// What the near member sends, that it may be missing.
const MEDIAN: Duration = Duration::from_millis(20);
const NEARLY_ALL: Duration = Duration::from_millis(50);
/// What the far member sends: it has seen no failure of its own, so that row 1 applies to it.
const BACK_MEDIAN: Duration = Duration::from_millis(100);
const BACK_NEARLY_ALL: Duration = Duration::from_millis(250);

const FAILURES: [(&str, Failure); 3] = [
    ("carrier", Failure::Carrier),
    ("address", Failure::Address),
    ("route", Failure::Route),
];

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        number: 4,
        quantity: "outage, carrier/address/route lost, traffic both ways",
        ours: "p50 <= 20 ms, p99 <= 50 ms (back: as row 1), then nothing into the void",
        towards_stock: Some("p50 <= 20 ms, p99 <= 50 ms, then nothing into the void"),
        policies: FAILING_OVER,
        load: Load::Light,
        measure,
    }]
}

fn measure(case: &Case) -> io::Result<Measurement> {
    let bed = case.bed(LINKS)?;
    let plan = TrialPlan {
        pace: Pace {
            rate: RATE,
            both_ways: true,
        },
        judged: case.judged_directions(),
    };
    let (mut holds, mut texts, mut values) = (true, Vec::new(), Map::new());
    for (name, failure) in FAILURES {
        let trials = Trials::make(&bed, &plan, case.options.trials, |_| failure)?;
        let (there, back) = (trials.outages(&[0]), trials.outages(&[1]));
        let void = trials.all.iter().filter_map(|trial| trial.into_the_void);
        let void = void.max().unwrap_or(0);
        holds &= there.within(MEDIAN, NEARLY_ALL) && void == 0;
        if plan.judged.contains(&1) {
            holds &= back.within(BACK_MEDIAN, BACK_NEARLY_ALL);
        }
        texts.push(format!(
            "{name} {there} (back {:.0}/{:.0} ms), {void} into the void",
            milliseconds(back.percentile(50)),
            milliseconds(back.percentile(99)),
        ));
        let mut object = trials.to_json();
        object["outage"] = there.to_json();
        object["outageBack"] = back.to_json();
        values.insert(name.to_owned(), object);
    }
    let text = texts.join("; ");
    Ok(Measurement {
        values: json!(Value::Object(values)),
        text,
        holds,
    })
}
