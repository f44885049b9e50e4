//! Row 11: a link fails and works again once a second.

use std::io;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::bed::Failure;
use super::carrying;
use super::outage::FAILING_OVER;
use super::row::{Case, Load, Measurement, Peer, Row};
use super::trial::link_in_use;
use crate::lab::stream::Pace;

const LINKS: u8 = 3;
/// The member whose use of the link counts.
const NEAR: usize = 0;
/// The link is down for so long, and then up for so long.
const HALF_PERIOD: Duration = Duration::from_millis(500);
/// What is looked at of each half: the end.
const LOOK: Duration = Duration::from_millis(250);
const FLAPPING: Duration = Duration::from_secs(60);
const MOST_SWITCHES: usize = 4;
/// A paced stream loses nothing on a stable link.
const SHARE: f64 = 0.95;

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        number: 11,
        quantity: "a link flaps at 1 Hz for 60 s",
        ours: "<= 4 switches, goodput >= 95 % of a stable link's",
        towards_stock: Some("<= 4 switches, goodput >= 95 % of a stable link's"),
        policies: FAILING_OVER,
        load: Load::Light,
        measure,
    }]
}

fn measure(case: &Case) -> io::Result<Measurement> {
    let bed = case.bed(LINKS)?;
    if case.peer == Peer::ZerotierOne {
        // Its bond stays on the link, since no flap lasts for its failover interval, and half of what it sends is lost, answers
        // to ARP among it. That is its own affair.
        bed.keep_resolved()?;
    }
    let stream = bed.stream(Pace::default())?;
    let link = link_in_use(&bed)?;
    let start = stream.elapsed();
    let mut uses = vec![true];
    while stream.elapsed() < start + case.options.observation(FLAPPING) {
        bed.fail(link, Failure::BlackHole)?;
        thread::sleep(HALF_PERIOD - LOOK);
        uses.push(carrying::uses(&bed, NEAR, link, LOOK)?);
        bed.heal(link, Failure::BlackHole)?;
        thread::sleep(HALF_PERIOD - LOOK);
        uses.push(carrying::uses(&bed, NEAR, link, LOOK)?);
    }
    let end = stream.elapsed();
    let shares = stream.arrived_shares(start, end);
    let deliveries = stream.finish(start)?;
    let switches = changes(&uses);
    let judged = case.judged_directions();
    let arrived = judged.iter().map(|n| shares[*n]).fold(1.0, f64::min);
    Ok(Measurement {
        values: json!({
            "seconds": (end - start).as_secs_f64(),
            "switches": switches,
            "usedByHalfPeriod": uses,
            "arrivedShares": shares,
            "longestGapMs": deliveries.map(|d| d.longest_gap.as_secs_f64() * 1e3),
        }),
        text: format!(
            "{switches} switches in {:.0} s, {:.1} % arrived",
            (end - start).as_secs_f64(),
            arrived * 100.0
        ),
        holds: switches <= MOST_SWITCHES && arrived >= SHARE,
    })
}

/// How often the near member left the link or came back to it.
fn changes(uses: &[bool]) -> usize {
    uses.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_and_coming_back_are_switches() {
        assert_eq!(changes(&[true, true, false, false, true]), 2);
        assert_eq!(changes(&[true]), 0);
    }
}
