//! Row 30: what each further bonded peer allocates, with the plan that workers have of it.

use std::mem::size_of;
use std::time::Duration;

use crate::world::{World, aware};
use crate::{Measurement, live_bytes};

const LIMIT: usize = 8 * 1024;
/// Enough that what all share does not matter.
const PEERS: u32 = 100;
/// Everything that a bond measures over time is there by then.
const TRAFFIC: Duration = Duration::from_secs(30);

pub(crate) fn measure() -> Measurement {
    let settings = aware();
    let mut worlds = Vec::with_capacity(PEERS as usize);
    let before = live_bytes();
    for number in 0..PEERS {
        let mut world = World::new(&settings, number);
        world.run_for(TRAFFIC);
        worlds.push(world);
    }
    let allocated = (live_bytes() - before) / PEERS as usize;
    let each = allocated + size_of::<World>();
    Measurement {
        text: format!("{each} bytes each of {PEERS} peers with 3 paths, after 30 s of traffic"),
        holds: each <= LIMIT,
    }
}
