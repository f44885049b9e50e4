//! Whether loss may be for overload: because more is sent than a path carries.

use std::time::Duration;

use crate::packed::{pack, unpack};

/// Who lost so much must have become narrower, if nothing else.
const NARROWED: f64 = 0.3;
/// What is lost although hardly more is sent than arrived a while ago, when next to nothing was lost, is not lost for overload.
const MORE: f32 = 1.05;
const HARDLY_LOST: f64 = 0.02;
/// Seconds after which that is mostly forgotten.
const MEMORY: f32 = 300.0;
/// Bits of a rate's fraction.
const FRACTION: u32 = 11;

/// The most that arrived on a path while next to nothing was lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CleanRate {
    /// Bytes per second, see [`pack`].
    rate: u16,
}

impl CleanRate {
    /// So many bytes arrived within that time, and this part of what was sent did not. True if that may be for overload.
    pub(crate) fn may_be_overload(&mut self, bytes: u64, loss: f64, time: Duration) -> bool {
        let seconds = time.as_secs_f32().max(1e-3);
        let arrived = bytes as f32 / seconds;
        let mut clean = unpack(self.rate, FRACTION) * (-seconds / MEMORY).exp();
        if loss < HARDLY_LOST {
            clean = clean.max(arrived);
        }
        self.rate = pack(clean, FRACTION, 1 << (22 - FRACTION));
        loss > NARROWED || arrived > MORE * clean * (1.0 - loss as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A radio link loses a part of whatever is sent.
    #[test]
    fn loss_that_grows_while_no_more_is_sent_is_no_overload() {
        let mut clean = CleanRate::default();
        let mut deliver = |kilobytes: u64, loss| {
            clean.may_be_overload(kilobytes * 1000, loss, Duration::from_millis(100))
        };
        for _ in 0..50 {
            deliver(100, 0.01);
        }
        for _ in 0..50 {
            assert!(!deliver(80, 0.2));
            assert!(deliver(112, 0.2));
            assert!(deliver(10, 0.9));
        }
        // Of a path that always lost nobody knows.
        assert!(CleanRate::default().may_be_overload(1000, 0.2, Duration::from_millis(100)));
    }
}
