//! Row 30: what each further bonded peer allocates, with the plan that workers have of it; and what a node keeps besides.

use std::mem::size_of;
use std::time::Duration;

use bond::BasePolicy;

use crate::soak::Soak;
use crate::world::{World, aware};
use crate::{Measurement, live_bytes};

const LIMIT: usize = 8 * 1024;
/// Enough that what all share does not matter.
const PEERS: u32 = 100;
/// Everything that a bond measures over time is there by then.
const TRAFFIC: Duration = Duration::from_secs(30);

/// What two nodes keep, bonded or not, that have three paths to each other.
fn two_nodes(policy: Option<BasePolicy>) -> usize {
    let before = live_bytes();
    let mut soak = Soak::new(policy);
    soak.pass(TRAFFIC, true);
    // What is under way arrives.
    soak.pass(Duration::from_secs(1), false);
    live_bytes() - before
}

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
    let bonded = two_nodes(Some(BasePolicy::BalanceAware));
    let in_node = bonded.saturating_sub(two_nodes(None)) / 2;
    Measurement {
        text: format!(
            "{each} bytes each of {PEERS} peers with 3 paths, after 30 s of traffic: bond, and plan of the workers; all that \
             a node keeps of such a peer of our kind, those included, and not of one without a bond: {in_node} bytes"
        ),
        holds: each <= LIMIT,
    }
}
