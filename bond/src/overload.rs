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

/// What arrives whole for so long does not arrive so by chance: some senders come in bursts.
const WHOLE_FOR: Duration = Duration::from_secs(3);
/// Unit of that time.
const TIME_UNIT: Duration = Duration::from_millis(20);
/// No more than that must have left for so long before what is lost counts as lost for another reason: loss is told from as much.
const NO_MORE_FOR: Duration = Duration::from_secs(5);

/// The most that lately arrived on a path while next to nothing was lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CleanRate {
    /// Bytes per second, see [`pack_nearest`].
    rate: u16,
    /// The same since the path was last full, smoothed, after [`WHOLE_FOR`] without loss.
    since_full: u16,
    /// How long next to nothing has been lost, by what reports tell of, in [`TIME_UNIT`]s.
    whole_for: u8,
    /// How long no more than `since_full` has left, in the same.
    no_more_for: u8,
}

/// Whether that is next to nothing.
pub(crate) fn is_hardly_any(loss: f64) -> bool {
    loss < HARDLY_LOST
}

/// What is so for some time goes on for that time, or is not so any more.
fn longer(units: u8, goes_on: bool, time: Duration) -> u8 {
    let more = time.as_micros() / TIME_UNIT.as_micros();
    match goes_on {
        true => units.saturating_add(u8::try_from(more).unwrap_or(u8::MAX)),
        false => 0,
    }
}

fn lasts(units: u8, time: Duration) -> bool {
    TIME_UNIT * units.into() >= time
}

impl CleanRate {
    /// So many bytes per second arrived for that time, and this part of what was sent did not.
    pub(crate) fn add(&mut self, arrived: f64, loss: f64, time: Duration) {
        let mut clean =
            f64::from(unpack(self.rate, FRACTION)) * (-time.as_secs_f64() / MEMORY).exp();
        if is_hardly_any(loss) {
            clean = clean.max(arrived);
        }
        self.rate = pack_nearest(clean as f32, FRACTION);
    }

    /// The path is full.
    pub(crate) fn note_full(&mut self) {
        self.since_full = 0;
        self.whole_for = 0;
        self.no_more_for = 0;
    }

    /// It is not. For that time so many bytes per second leave and so many arrive, smoothed; `is_whole`: next to nothing is lost.
    pub(crate) fn note_room(
        &mut self,
        (left, arrived): (f32, f32),
        is_whole: bool,
        time: Duration,
    ) {
        self.whole_for = longer(self.whole_for, is_whole, time);
        if lasts(self.whole_for, WHOLE_FOR) {
            self.since_full = self.since_full.max(pack_nearest(arrived, FRACTION));
        }
        let is_no_more = left <= MORE as f32 * unpack(self.since_full, FRACTION);
        self.no_more_for = longer(self.no_more_for, is_no_more, time);
    }

    /// As much as leaves arrived whole since the path was last full: what is lost is not lost because it is too much.
    pub(crate) fn carried_whole(&self) -> bool {
        lasts(self.no_more_for, NO_MORE_FOR)
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

    /// What was carried for three seconds without loss is not too much, once no more has left for five.
    #[test]
    fn as_much_as_arrived_whole_is_not_too_much() {
        let mut clean = CleanRate::default();
        let mut deliver = |tenths: u32, left, arrived, is_whole| {
            for _ in 0..tenths {
                let time = Duration::from_millis(100);
                clean.note_room((left, arrived), is_whole, time);
            }
            clean.carried_whole()
        };
        // It takes three seconds to show, and five more to count.
        assert!(!deliver(78, 1e6, 1e6, true) && deliver(1, 1e6, 1e6, true));
        assert!(deliver(50, 1e6, 0.8e6, false) && !deliver(1, 1.1e6, 0.8e6, false));
        assert!(!deliver(49, 1e6, 0.8e6, false) && deliver(1, 1e6, 0.8e6, false));
        // What arrives whole for a moment shows nothing.
        assert!(!deliver(29, 2e6, 2e6, true) && !deliver(1, 2e6, 1.8e6, false));
        assert!(!deliver(29, 2e6, 2e6, true));
        clean.note_full();
        assert!(!clean.carried_whole());
    }
}
