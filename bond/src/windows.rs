//! What a path carried in the latest windows of time: reports of the receiver's, or stretches of our own clock.

use std::time::Duration;

use crate::packed::{pack_nearest, unpack};

/// So many windows are kept.
const WINDOWS: usize = 8;
/// Bits of fraction of a window's bytes, and the unit of its time.
const FRACTION: u32 = 11;
const TIME_UNIT: Duration = Duration::from_micros(20);

/// Bytes within a time; what took longer than can be told counts as that long, at the same rate.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// Bytes, see [`pack_nearest`].
    bytes: u16,
    /// In [`TIME_UNIT`]s; 0: nothing is known.
    time: u16,
}

impl Window {
    fn bytes(self) -> f64 {
        unpack(self.bytes, FRACTION).into()
    }

    fn time(self) -> Duration {
        TIME_UNIT * self.time.into()
    }
}

/// The latest windows of a path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows {
    /// The newest last.
    latest: [Window; WINDOWS],
}

impl Windows {
    /// Something was carried at `rate`, in bytes per second, for `time`.
    pub(crate) fn add(&mut self, rate: f64, time: Duration) {
        self.latest.rotate_left(1);
        let units = u16::try_from(time.as_micros() / TIME_UNIT.as_micros()).unwrap_or(u16::MAX);
        let bytes = rate * (TIME_UNIT * units.into()).as_secs_f64();
        self.latest[WINDOWS - 1] = Window {
            bytes: pack_nearest(bytes as f32, FRACTION),
            time: units,
        };
    }

    /// Bit/s of the latest windows that make up `time`, and how long they are.
    pub(crate) fn rate(&self, time: Duration) -> (f64, Duration) {
        self.rate_before(time, 0.0)
    }

    /// The same of the windows that came before the latest ones of less than `least` bit/s, unless those took longer than `time`.
    pub(crate) fn rate_before(&self, time: Duration, least: f64) -> (f64, Duration) {
        let (mut bytes, mut counted, mut skipped) = (0.0, Duration::ZERO, Duration::ZERO);
        for window in self.latest.iter().rev().filter(|window| window.time > 0) {
            let carries_less = window.bytes() * 8.0 < least * window.time().as_secs_f64();
            if counted.is_zero() && carries_less {
                skipped += window.time();
                continue;
            }
            if counted >= time || skipped > time {
                break;
            }
            bytes += window.bytes();
            counted += window.time();
        }
        let bits = bytes * 8.0 / counted.as_secs_f64().max(1e-6);
        (bits, counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn the_latest_windows_tell_a_rate() {
        let mut windows = Windows::default();
        assert_eq!(windows.rate(TENTH), (0.0, Duration::ZERO));
        for _ in 0..5 {
            windows.add(1e6, TENTH);
        }
        windows.add(2e6, TENTH);
        let near = |(bits, time): (f64, Duration), expected: f64, tenths| {
            assert!((bits / expected - 1.0).abs() < 0.001, "{bits}");
            assert_eq!(time, TENTH * tenths);
        };
        near(windows.rate(TENTH / 2), 16e6, 1);
        near(windows.rate(TENTH * 2), 12e6, 2);
        near(windows.rate(TENTH * 60), 56e6 / 6.0, 6);
        // What is longer than can be told has the same rate.
        windows.add(3e6, TENTH * 100);
        let (bits, _) = windows.rate(TENTH);
        assert!((bits / 24e6 - 1.0).abs() < 0.001, "{bits}");
    }

    #[test]
    fn silence_does_not_hide_what_came_before_it() {
        let mut windows = Windows::default();
        for rate in [1e6, 1e6, 1e6, 0.0, 1e3, 0.0] {
            windows.add(rate, TENTH);
        }
        let (bits, time) = windows.rate(TENTH * 6);
        assert!((4e6..4.1e6).contains(&bits) && time == TENTH * 6);
        let (bits, time) = windows.rate_before(TENTH * 6, 4e6);
        assert!((bits / 8e6 - 1.0).abs() < 0.001 && time == TENTH * 3);
        assert_eq!(windows.rate_before(TENTH * 6, 9e6).1, Duration::ZERO);
        // That was too long ago.
        assert_eq!(windows.rate_before(TENTH * 2, 4e6).1, Duration::ZERO);
    }
}
