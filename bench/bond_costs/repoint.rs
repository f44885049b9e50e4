//! Row 31: from the news that a path failed to the plan without it, as workers get it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bond::plan::SLOTS;
use bond::{Cursor, PathIndex, Pick, Plan};

use crate::Measurement;
use crate::world::{World, aware};

const LIMIT: Duration = Duration::from_millis(1);
const TRIALS: u32 = 1000;
const TRAFFIC: Duration = Duration::from_secs(12);

/// Paths that some flow gets.
fn named(plan: &Plan) -> BTreeSet<PathIndex> {
    let mut cursor = Cursor::default();
    let flows = 0..SLOTS as u32;
    flows
        .filter_map(|flow| match plan.pick(flow, &mut cursor) {
            Pick::One(path) => Some(path),
            Pick::None | Pick::All(_) => None,
        })
        .collect()
}

pub(crate) fn measure() -> Measurement {
    let settings = aware();
    let mut times = Vec::new();
    let mut all_moved = true;
    for number in 0..TRIALS {
        let mut world = World::new(&settings, number);
        world.run_for(TRAFFIC);
        all_moved &= named(&world.published) == BTreeSet::from([0, 1, 2]);
        let start = Instant::now();
        world.carrier(1, false);
        world.poll();
        times.push(start.elapsed());
        all_moved &= named(&world.published) == BTreeSet::from([0, 2]);
    }
    times.sort_unstable();
    let (median, nearly_all) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let incomplete = if all_moved {
        ""
    } else {
        ", NOT all flows moved"
    };
    Measurement {
        text: format!("p50 {median:.1?}, p99 {nearly_all:.1?} of {TRIALS} failures{incomplete}"),
        holds: all_moved && nearly_all <= LIMIT,
    }
}
