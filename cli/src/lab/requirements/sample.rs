//! Percentiles of repeated measurements.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// Durations, in ascending order.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Sample(Vec<Duration>);

impl Sample {
    /// Takes them in any order.
    pub(in crate::lab) fn new(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort();
        Self(sorted)
    }

    /// The smallest value that at least so many percent do not exceed (nearest rank); zero of nothing.
    pub(in crate::lab) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// The largest; zero of nothing.
    pub(in crate::lab) fn largest(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    /// How many there are.
    pub(in crate::lab) fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is at least one, and half of them and 99 % of them keep these limits.
    pub(in crate::lab) fn within(&self, median: Duration, nearly_all: Duration) -> bool {
        self.len() > 0 && self.percentile(50) <= median && self.percentile(99) <= nearly_all
    }

    /// Milliseconds: median, 99th percentile, and all values.
    pub(in crate::lab) fn to_json(&self) -> Value {
        let all: Vec<f64> = self.0.iter().copied().map(milliseconds).collect();
        json!({
            "p50Ms": milliseconds(self.percentile(50)),
            "p99Ms": milliseconds(self.percentile(99)),
            "allMs": all,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.0} ms, p99 {:.0} ms of {}",
            milliseconds(self.percentile(50)),
            milliseconds(self.percentile(99)),
            self.len()
        )
    }
}

/// In milliseconds.
pub(in crate::lab) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred = Sample::new((1..=100).rev().map(|n| MS * n));
        assert_eq!(hundred.percentile(50), MS * 50);
        assert_eq!(hundred.percentile(99), MS * 99);
        assert_eq!(hundred.largest(), MS * 100);
        let few = Sample::new([MS * 7, MS, MS * 3]);
        assert_eq!((few.percentile(50), few.percentile(99)), (MS * 3, MS * 7));
    }

    #[test]
    fn nothing_measured_keeps_no_limit() {
        assert!(!Sample::new([]).within(MS, MS));
        assert!(Sample::new([MS]).within(MS, MS));
        assert!(!Sample::new([MS * 2]).within(MS, MS * 3));
    }
}
