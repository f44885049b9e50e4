//! Positive numbers in few bits, where there are so many that it counts: five bits of exponent and some of fraction; and times.

use std::time::Duration;

use protocol::Instant;

/// A number from 1 to 2^32 with so many bits of fraction, at most eleven; less than 1 is nothing. `dither`, of 23 bits less
/// those of the fraction, decides about rounding.
pub(crate) fn pack(value: f32, fraction: u32, dither: u32) -> u16 {
    const ONE: u32 = 1f32.to_bits();
    let most = (32 << fraction) - 1;
    let bits = value.min(4e9).to_bits();
    // Also catches negative numbers and NaN, whose bits are no smaller.
    if value > 1.0 {
        let packed = (bits - ONE + dither) >> (23 - fraction);
        packed.min(most) as u16
    } else {
        0
    }
}

/// The same, rounded to the nearest.
pub(crate) fn pack_nearest(value: f32, fraction: u32) -> u16 {
    pack(value, fraction, 1 << (22 - fraction))
}

/// The number again.
pub(crate) fn unpack(packed: u16, fraction: u32) -> f32 {
    match packed {
        0 => 0.0,
        packed => f32::from_bits((u32::from(packed) << (23 - fraction)) + 1f32.to_bits()),
    }
}

/// A time in tenths of a second, of which thirteen years can be counted.
pub(crate) fn tenths(at: Instant) -> u32 {
    (at.as_millis() / 100) as u32
}

/// A length of time in whole microseconds, 71 minutes at most.
pub(crate) fn micros(length: Duration) -> u32 {
    u32::try_from(length.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_lost() {
        for (fraction, step) in [(8, 1.0 / 256.0), (11, 1.0 / 2048.0)] {
            for exponent in 0..31 {
                for value in [1.1f32, 1.5, 1.999] {
                    let value = value * 2f32.powi(exponent);
                    let loss = |dither| {
                        let packed = unpack(pack(value, fraction, dither), fraction);
                        f64::from(packed) / f64::from(value) - 1.0
                    };
                    let dithers = 1 << (23 - fraction);
                    let nearest = unpack(pack_nearest(value, fraction), fraction) / value - 1.0;
                    assert!(f64::from(nearest.abs()) <= step / 2.0, "{value}: {nearest}");
                    let losses = (0..dithers).step_by(16).map(|dither| loss(dither + 8));
                    let (mut sum, mut count) = (0.0, 0);
                    for loss in losses {
                        assert!(loss.abs() < step, "{value}: {loss}");
                        (sum, count) = (sum + loss, count + 1);
                    }
                    // None at all on the whole.
                    let mean = sum / f64::from(count);
                    assert!(mean.abs() < step / 100.0, "{value}: {mean}");
                }
            }
            assert_eq!(pack(0.0, fraction, 0), 0);
            assert_eq!(pack(-3.0, fraction, 0), 0);
            assert_eq!(pack(f32::NAN, fraction, 0), 0);
            assert!(unpack(pack(f32::INFINITY, fraction, 1), fraction) > 3e9);
        }
    }

    #[test]
    fn long_times_count_as_71_minutes() {
        assert_eq!(micros(Duration::from_nanos(1_999)), 1);
        assert_eq!(micros(Duration::from_secs(4_294)), 4_294_000_000);
        assert_eq!(micros(Duration::from_secs(4_295)), u32::MAX);
    }
}
