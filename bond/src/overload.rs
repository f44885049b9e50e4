//! Whether loss may be for overload: because more is sent than a path carries.

use std::time::Duration;

use crate::packed::{pack_nearest, unpack};

/// A path that loses so much must have become narrower, if nothing else.
const NARROWED: f64 = 0.3;
/// What is lost although no more is sent than arrived a while ago, times this, is not lost for overload.
const MORE: f64 = 1.05;
/// Less loss than this is next to nothing.
const HARDLY_LOST: f64 = 0.02;
/// Seconds of reports after which what arrived a while ago is mostly forgotten.
const MEMORY: f64 = 300.0;
/// Bits of a rate's fraction.
const FRACTION: u32 = 11;

/// The most that lately arrived on a path while next to nothing was lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CleanRate {
    /// Bytes per second, see [`pack_nearest`].
    rate: u16,
}

impl CleanRate {
    /// So many bytes per second arrived for that time, and this part of what was sent did not.
    pub(crate) fn add(&mut self, arrived: f64, loss: f64, time: Duration) {
        let mut clean =
            f64::from(unpack(self.rate, FRACTION)) * (-time.as_secs_f64() / MEMORY).exp();
        if loss < HARDLY_LOST {
            clean = clean.max(arrived);
        }
        self.rate = pack_nearest(clean as f32, FRACTION);
    }

    /// So many bytes per second arrive, and this part of what is sent does not: true if that may be for overload.
    pub(crate) fn is_exceeded(&self, arrived: f64, loss: f64) -> bool {
        loss > NARROWED || arrived > MORE * f64::from(unpack(self.rate, FRACTION)) * (1.0 - loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A radio link loses a part of whatever is sent.
    #[test]
    fn loss_that_grows_while_no_more_is_sent_is_no_overload() {
        let mut clean = CleanRate::default();
        let mut deliver = |rate, loss| {
            clean.add(rate, loss, Duration::from_millis(100));
            clean.is_exceeded(rate, loss)
        };
        for _ in 0..50 {
            deliver(1e6, 0.01);
        }
        for _ in 0..50 {
            assert!(!deliver(0.8e6, 0.2));
            assert!(deliver(1.12e6, 0.2));
            assert!(deliver(0.1e6, 0.9));
        }
        // Of a path that always lost nobody knows.
        assert!(CleanRate::default().is_exceeded(1e4, 0.2));
    }
}
