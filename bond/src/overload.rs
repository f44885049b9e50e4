//! Whether loss may be for overload: because more is sent than a path carries.

use std::time::Duration;

use crate::packed::{pack_nearest, unpack};

/// Loss above which a path is full although nothing queues: far more is sent than fits. Less than that may be chance.
pub(crate) const OVERLOAD: f64 = 0.1;
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
/// Half of it is enough while what arrives shows as well that it is lost by chance.
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
    /// How long no more than `since_full` has left, or what was lost was lost by chance, in the same.
    no_more_for: u8,
}

/// Why packets are lost, as far as what arrives tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LossCause {
    /// Next to nothing is lost.
    None,
    /// No more arrives than if a part of what arrived a while ago were lost: a radio link loses a part of whatever is sent.
    Chance,
    /// Of so few packets nobody can say.
    Unknown,
    /// It may be for overload, or not.
    Unclear,
    /// Much is lost, and more arrives than that: the path carries what it can.
    Overload,
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
    /// So many bytes per second arrived for that time, and this part of what was sent did not. Why?
    pub(crate) fn add(&mut self, arrived: f64, loss: f64, time: Duration) -> LossCause {
        let mut clean =
            f64::from(unpack(self.rate, FRACTION)) * (-time.as_secs_f64() / MEMORY).exp();
        let is_hardly_any = loss < HARDLY_LOST;
        if is_hardly_any {
            clean = clean.max(arrived);
        }
        self.rate = pack_nearest(clean as f32, FRACTION);
        let clean = f64::from(unpack(self.rate, FRACTION));
        let is_exceeded = loss > NARROWED || arrived > MORE * clean * (1.0 - loss);
        match is_exceeded {
            _ if is_hardly_any => LossCause::None,
            false => LossCause::Chance,
            true if loss > OVERLOAD => LossCause::Overload,
            true => LossCause::Unclear,
        }
    }

    /// The path is full.
    pub(crate) fn note_full(&mut self) {
        self.since_full = 0;
        self.whole_for = 0;
        self.no_more_for = 0;
    }

    /// It is not. For that time so many bytes per second leave and so many arrive, smoothed.
    pub(crate) fn note_room(
        &mut self,
        (left, arrived): (f32, f32),
        cause: LossCause,
        time: Duration,
    ) {
        self.whole_for = longer(self.whole_for, cause == LossCause::None, time);
        if lasts(self.whole_for, WHOLE_FOR) {
            self.since_full = self.since_full.max(pack_nearest(arrived, FRACTION));
        }
        let is_chance = cause == LossCause::Chance;
        let is_no_more = left <= MORE as f32 * unpack(self.since_full, FRACTION);
        let time = if is_chance { 2 * time } else { time };
        let says_nothing = matches!(cause, LossCause::None | LossCause::Unknown);
        if is_no_more || !says_nothing {
            self.no_more_for = longer(self.no_more_for, is_no_more || is_chance, time);
        }
    }

    /// As much as leaves arrived whole since the path was last full, or what is lost is lost by chance: it is not lost because
    /// it is too much.
    pub(crate) fn is_not_exceeded(&self) -> bool {
        lasts(self.no_more_for, NO_MORE_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_that_grows_while_no_more_is_sent_is_no_overload() {
        let mut clean = CleanRate::default();
        let mut deliver = |rate, loss| clean.add(rate, loss, Duration::from_millis(100));
        for _ in 0..50 {
            assert_eq!(deliver(1e6, 0.01), LossCause::None);
        }
        for _ in 0..20 {
            assert_eq!(deliver(0.8e6, 0.2), LossCause::Chance);
            assert_eq!(deliver(1.12e6, 0.2), LossCause::Overload);
            assert_eq!(deliver(1e6, 0.09), LossCause::Unclear);
            assert_eq!(deliver(0.1e6, 0.9), LossCause::Overload);
        }
        // Of a path that always lost nobody knows.
        let mut unknown = CleanRate::default();
        let loss = unknown.add(1e4, 0.2, Duration::from_millis(100));
        assert_eq!(loss, LossCause::Overload);
    }

    /// What was carried for three seconds without loss is not too much, once no more has left for five.
    #[test]
    fn as_much_as_arrived_whole_is_not_too_much() {
        let mut clean = CleanRate::default();
        let mut deliver = |tenths: u32, left, arrived, loss| {
            for _ in 0..tenths {
                let time = Duration::from_millis(100);
                clean.note_room((left, arrived), loss, time);
            }
            clean.is_not_exceeded()
        };
        // It takes three seconds to show, and five more to count.
        assert!(!deliver(78, 1e6, 1e6, LossCause::None) && deliver(1, 1e6, 1e6, LossCause::None));
        assert!(deliver(50, 1e6, 0.8e6, LossCause::Unclear));
        assert!(!deliver(1, 1.1e6, 0.8e6, LossCause::Unclear));
        assert!(
            !deliver(49, 1e6, 0.8e6, LossCause::Unclear)
                && deliver(1, 1e6, 0.8e6, LossCause::Unclear)
        );
        // What arrives whole for a moment shows nothing.
        deliver(29, 2e6, 2e6, LossCause::None);
        assert!(!deliver(1, 2e6, 1.8e6, LossCause::Unclear));
        assert!(!deliver(29, 2e6, 2e6, LossCause::None));
        // What is lost by chance is known sooner. Small reports in between say nothing.
        assert!(!deliver(24, 2e6, 1.8e6, LossCause::Chance));
        assert!(
            !deliver(9, 2e6, 1e6, LossCause::Unknown) && !deliver(9, 2e6, 2e6, LossCause::None)
        );
        assert!(deliver(1, 2e6, 1.8e6, LossCause::Chance));
        clean.note_full();
        assert!(!clean.is_not_exceeded());
    }
}
