//! What a link carries alone, through the same software without bonding: the measure of the rows on goodput.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::pair::{Pair, Scenario};
use super::row::Case;

/// Before it counts, and what counts.
const WARM_UP: Duration = Duration::from_secs(3);
const WINDOW: Duration = Duration::from_secs(6);

/// Mbit/s by rate and loss, measured once each and in the same run as what is compared with them.
#[derive(Default)]
pub(super) struct Baselines(BTreeMap<(u32, u16), f64>);

impl Baselines {
    /// Mbit/s of TCP payload over one link alone of `rate` Mbit/s that loses `per_mille` of the packets in each direction:
    /// the better of one and of four connections.
    pub(super) fn alone(&mut self, case: &Case, rate: u32, per_mille: u16) -> io::Result<f64> {
        if let Some(known) = self.0.get(&(rate, per_mille)) {
            return Ok(*known);
        }
        let pair = Pair::start(case, &Scenario::alone(rate))?;
        pair.lose(0, per_mille)?;
        let mut best = 0.0_f64;
        for connections in [1, 4] {
            let flows = pair.connections(connections)?;
            std::thread::sleep(WARM_UP);
            best = best.max(flows.rates(WINDOW).iter().sum());
        }
        self.0.insert((rate, per_mille), best);
        Ok(best)
    }
}
