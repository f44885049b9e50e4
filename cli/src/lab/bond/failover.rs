//! A link turns into a black hole in the middle of a stream: how long does nothing come?

use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use crate::lab::bonds::{busiest, bytes_by_link};
use crate::lab::delivery::Delivery;
use crate::lab::stream::{Pace, Stream, source_address};
use crate::lab::topology::Lab;

/// The member whose link fails.
pub(super) const SENDER: u8 = 0;
/// The stream before the failure: long enough to see which link carries it.
const BEFORE: Duration = Duration::from_millis(1500);
/// The stream goes on at least so long after the failure,
const AFTER: Duration = Duration::from_secs(3);
/// and until it was whole for so long,
const WHOLE: Duration = Duration::from_secs(2);
/// which is: at least this share arrived (the machine may drop a few);
const WHOLE_SHARE: f64 = 0.99;
/// but not longer than this.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);
/// The latest datagrams may still be on their way.
const ON_THE_WAY: Duration = Duration::from_millis(250);

/// One failure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    /// The link that failed, the one that carried most.
    pub(super) link: u8,
    /// From the first member to the second, and back.
    pub(super) directions: [Delivery; 2],
}

impl Trial {
    /// The longest gap of the two directions.
    pub(super) fn gap(&self) -> Duration {
        let [there, back] = self.directions;
        there.longest_gap.max(back.longest_gap)
    }

    /// A sum over both directions.
    pub(super) fn sum(&self, count: impl Fn(&Delivery) -> u64) -> u64 {
        self.directions.iter().map(count).sum()
    }

    /// The larger value of the two directions.
    pub(super) fn largest<T: Ord>(&self, value: impl Fn(&Delivery) -> T) -> T {
        let [there, back] = &self.directions;
        value(there).max(value(back))
    }
}

/// Runs a stream between the two members, cuts the link that carries most of it, and restores the link afterwards.
pub(super) fn measure(lab: &Lab, links: u8, target: IpAddr) -> io::Result<Trial> {
    let (near, far) = (lab.members[0].host(), lab.members[1].host());
    let source = near.run(move || source_address(target))??;
    let stream = Stream::start(Pace::default(), [(near, source), (far, target)])?;
    thread::sleep(BEFORE / 3);
    let before = bytes_by_link(near, links)?;
    thread::sleep(BEFORE * 2 / 3);
    let after = bytes_by_link(near, links)?;
    let link = busiest(&before, &after);
    let disturbed = stream.elapsed();
    // At the sender's end, where the counters were read: relayed traffic reaches the other end by any link.
    lab.blackhole(SENDER, link)?;
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = stream.elapsed();
        let window = now.saturating_sub(ON_THE_WAY);
        let whole = || {
            let shares = stream.arrived_shares(window.saturating_sub(WHOLE), window);
            shares.iter().all(|share| *share >= WHOLE_SHARE)
        };
        if now > disturbed + PATIENCE || (now > disturbed + AFTER && whole()) {
            break;
        }
    }
    let directions = stream.finish(disturbed)?;
    lab.restore(SENDER, link)?;
    Ok(Trial { link, directions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_as_bad_as_its_worse_direction() {
        let direction = |milliseconds, lost| Delivery {
            lost,
            longest_gap: Duration::from_millis(milliseconds),
            ..Delivery::default()
        };
        let trial = Trial {
            link: 0,
            directions: [direction(5, 7), direction(9, 4)],
        };
        assert_eq!(trial.gap(), Duration::from_millis(9));
        assert_eq!(trial.sum(|delivery| delivery.lost), 11);
        assert_eq!(trial.largest(|delivery| delivery.lost), 7);
    }
}
