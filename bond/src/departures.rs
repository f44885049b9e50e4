//! What the flows sent that were moved off a path. It is no longer sent there, and yet no sender has given way: a peer that
//! reports seldom tells only with its second report what is sent since.

use crate::packed::{pack_nearest, unpack};

/// Bits of a rate's fraction.
const FRACTION: u32 = 11;

/// Flows that left, since the last report and in the time between that and the one before, in bytes per second: see
/// [`pack_nearest`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Departures {
    since: u16,
    before: u16,
}

impl Departures {
    /// Flows that sent so many bit/s left.
    pub(crate) fn add(&mut self, bits: f64) {
        let sum = unpack(self.since, FRACTION) + (bits / 8.0) as f32;
        self.since = pack_nearest(sum, FRACTION);
    }

    /// The peer reports what arrived.
    pub(crate) fn note_report(&mut self) {
        self.before = std::mem::take(&mut self.since);
    }

    /// What they sent, in bit/s.
    pub(crate) fn rate(&self) -> f64 {
        let sum = unpack(self.since, FRACTION) + unpack(self.before, FRACTION);
        f64::from(sum) * 8.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_that_left_are_known_until_the_second_report() {
        let mut departures = Departures::default();
        departures.add(1e6);
        departures.note_report();
        departures.add(2e6);
        departures.add(1e6);
        assert!((departures.rate() / 4e6 - 1.0).abs() < 1e-3);
        departures.note_report();
        assert!((departures.rate() / 3e6 - 1.0).abs() < 1e-3);
        departures.note_report();
        assert_eq!(departures.rate(), 0.0);
    }
}
