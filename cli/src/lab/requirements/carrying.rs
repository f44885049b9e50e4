//! Which members use a link, told by what leaves on it.

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::bed::Bed;
use crate::lab::bonds::bytes_by_link;

/// Counters are read so often,
const PERIOD: Duration = Duration::from_millis(25);
/// and compared with those of so many readings ago: 200 ms.
const WINDOW: usize = 8;
/// What a stream of traffic leaves of control traffic on the other links is far below.
const LITTLE: f64 = 0.1;

/// Reads a member's counters again and again.
pub(super) struct Watch<'a> {
    bed: &'a Bed,
    member: usize,
    readings: VecDeque<(Instant, Vec<u64>)>,
}

impl<'a> Watch<'a> {
    /// Of member 0 (near) or 1 (far).
    pub(super) fn new(bed: &'a Bed, member: usize) -> Self {
        Self {
            bed,
            member,
            readings: VecDeque::new(),
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let host = self.bed.lab.members[self.member].host();
        let bytes = bytes_by_link(host, self.bed.links)?;
        self.readings.push_back((Instant::now(), bytes));
        if self.readings.len() > WINDOW + 1 {
            self.readings.pop_front();
        }
        Ok(())
    }

    /// The link's share, 0 to 1, of what left in the window that just passed, and when that window began.
    fn share(&self, link: u8) -> Option<(Instant, f64)> {
        if self.readings.len() <= WINDOW {
            return None;
        }
        let ((began, first), (_, last)) = (self.readings.front()?, self.readings.back()?);
        Some((*began, share(first, last, link)))
    }
}

/// A link's share of the growth of all counters; 0 if there was none.
fn share(before: &[u64], after: &[u64], link: u8) -> f64 {
    let growth = |(after, before): (&u64, &u64)| after.saturating_sub(*before);
    let all: u64 = after.iter().zip(before).map(growth).sum();
    let of_link = after.iter().zip(before).map(growth).nth(link.into());
    of_link.unwrap_or(0) as f64 / all.max(1) as f64
}

/// What to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Until {
    /// The members have left the link: hardly anything goes out on it.
    Left,
    /// Most of what they send goes out on it.
    Carries,
}

/// Waits until each of the members (0: near, 1: far) does so with a link, at most for so long. Returns when each of them
/// began to, if it did. `meanwhile` is called about every 25 ms.
pub(super) fn wait(
    bed: &Bed,
    members: &[usize],
    link: u8,
    until: Until,
    patience: Duration,
    mut meanwhile: impl FnMut() -> io::Result<()>,
) -> io::Result<Vec<Option<Instant>>> {
    let start = Instant::now();
    let mut watches: Vec<Watch<'_>> = members.iter().map(|n| Watch::new(bed, *n)).collect();
    let mut found = vec![None; watches.len()];
    while found.iter().any(Option::is_none) && start.elapsed() < patience {
        for (watch, found) in watches.iter_mut().zip(&mut found) {
            watch.read()?;
            if let (None, Some((began, share))) = (&found, watch.share(link)) {
                let so = match until {
                    Until::Left => share < LITTLE,
                    Until::Carries => share > 0.5,
                };
                *found = so.then_some(began);
            }
        }
        meanwhile()?;
        thread::sleep(PERIOD);
    }
    Ok(found)
}

/// True if a member (0: near, 1: far) sends more than a little by the link, during the next so long.
pub(super) fn uses(bed: &Bed, member: usize, link: u8, during: Duration) -> io::Result<bool> {
    let host = bed.lab.members[member].host();
    let before = bytes_by_link(host, bed.links)?;
    thread::sleep(during);
    let after = bytes_by_link(host, bed.links)?;
    Ok(share(&before, &after, link) >= LITTLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_growth() {
        assert!((share(&[5, 5], &[35, 15], 0) - 0.75).abs() < 1e-9);
        assert!((share(&[5, 5], &[35, 15], 1) - 0.25).abs() < 1e-9);
        assert!(share(&[5, 5], &[5, 5], 0).abs() < 1e-9);
        assert!(share(&[5, 5], &[6, 6], 7).abs() < 1e-9);
    }
}
