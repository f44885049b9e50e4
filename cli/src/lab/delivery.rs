//! What became of a numbered stream: gaps, loss, duplicates, order. Times are counted from a common start.

use std::collections::BTreeSet;
use std::time::Duration;

/// A datagram that came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Its number.
    pub sequence: u64,
    /// When, since the start.
    pub at: Duration,
}

/// The fate of one direction's stream around a disturbance.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Delivery {
    /// Sent in all.
    pub sent: u64,
    /// Sent, and never came.
    pub lost: u64,
    /// Of these, sent after the disturbance.
    pub lost_afterwards: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came after a later one (RFC 4737, section 3).
    pub reordered: u64,
    /// The largest number of arrivals by which one came late (RFC 4737, section 4.2).
    pub reorder_extent: u64,
    /// The longest time after the disturbance without anything new.
    pub longest_gap: Duration,
    /// From the first datagram sent after the disturbance that never came to the last.
    pub losses_lasted: Duration,
    /// The longest time after the disturbance in which the sender itself sent nothing: what the machine adds to the gap.
    pub longest_pause: Duration,
}

impl Delivery {
    /// Looks at a stream: number *n* was sent at `sent[n]`; the disturbance was at `disturbed`.
    pub fn of(sent: &[Duration], arrivals: &[Arrival], disturbed: Duration) -> Self {
        let arrived = distinct(arrivals);
        let lost = (0..).zip(sent).filter(|(n, _)| !arrived.contains(n));
        let afterwards = lost.clone().map(|(_, at)| *at).filter(|at| *at > disturbed);
        let first_loss = afterwards.clone().min().unwrap_or_default();
        let last_loss = afterwards.clone().max().unwrap_or_default();
        let news = first_copies(arrivals);
        let (reordered, reorder_extent) = reordering(&news);
        let ended = sent.last().copied().unwrap_or_default();
        let came = news.iter().map(|arrival| arrival.at);
        Self {
            sent: sent.len() as u64,
            lost_afterwards: afterwards.count() as u64,
            lost: lost.count() as u64,
            duplicated: (arrivals.len() - news.len()) as u64,
            reordered,
            reorder_extent,
            longest_gap: longest_gap(came, disturbed, ended),
            losses_lasted: last_loss.saturating_sub(first_loss),
            longest_pause: longest_gap(sent.iter().copied(), disturbed, ended),
        }
    }

    /// The share, 0 to 1, that arrived of what was sent from `from` until `until`; 1 if that was nothing.
    pub fn arrived_share(
        sent: &[Duration],
        arrivals: &[Arrival],
        from: Duration,
        until: Duration,
    ) -> f64 {
        let first = sent.partition_point(|at| *at < from);
        let end = sent.partition_point(|at| *at < until);
        if first >= end {
            return 1.0;
        }
        let arrived = distinct(arrivals);
        let came = arrived.range(first as u64..end as u64).count();
        came as f64 / (end - first) as f64
    }
}

fn distinct(arrivals: &[Arrival]) -> BTreeSet<u64> {
    arrivals.iter().map(|arrival| arrival.sequence).collect()
}

fn first_copies(arrivals: &[Arrival]) -> Vec<Arrival> {
    let mut seen = BTreeSet::new();
    let mut copies = arrivals.to_vec();
    copies.retain(|arrival| seen.insert(arrival.sequence));
    copies
}

/// How many came late, and the largest extent. Without duplicates.
fn reordering(arrivals: &[Arrival]) -> (u64, u64) {
    let mut highest_so_far: Vec<u64> = Vec::with_capacity(arrivals.len());
    let (mut count, mut extent) = (0, 0);
    for (position, arrival) in arrivals.iter().enumerate() {
        let highest = highest_so_far.last().copied();
        if highest.is_some_and(|highest| highest > arrival.sequence) {
            count += 1;
            // The earliest arrival with a higher number: the running maximum first exceeds ours there.
            let overtaker = highest_so_far.partition_point(|highest| *highest < arrival.sequence);
            extent = extent.max((position - overtaker) as u64);
        }
        highest_so_far.push(highest.unwrap_or(0).max(arrival.sequence));
    }
    (count, extent)
}

/// The longest time between events that ends after `from`, where the end of the stream counts as an event.
fn longest_gap(
    events: impl Iterator<Item = Duration>,
    from: Duration,
    ended: Duration,
) -> Duration {
    let (mut last, mut longest) = (Duration::ZERO, Duration::ZERO);
    for at in events.chain([ended]) {
        if at > from {
            longest = longest.max(at.saturating_sub(last));
        }
        last = last.max(at);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sent once a millisecond; `arrived` holds (number, millisecond).
    fn delivery(sent: u32, arrived: &[(u64, u32)], disturbed: u32) -> Delivery {
        let sent: Vec<Duration> = (0..sent).map(|n| MS * n).collect();
        Delivery::of(&sent, &arrivals(arrived), MS * disturbed)
    }

    fn arrivals(list: &[(u64, u32)]) -> Vec<Arrival> {
        let arrival = |(sequence, at): &(u64, u32)| Arrival {
            sequence: *sequence,
            at: MS * *at,
        };
        list.iter().map(arrival).collect()
    }

    #[test]
    fn a_perfect_stream_has_no_blemish() {
        let result = delivery(4, &[(0, 0), (1, 1), (2, 2), (3, 3)], 1);
        assert_eq!(
            result,
            Delivery {
                sent: 4,
                longest_gap: MS,
                longest_pause: MS,
                ..Delivery::default()
            }
        );
    }

    #[test]
    fn a_hole_is_a_gap_and_a_loss() {
        // Numbers 2 to 6 are lost, the first of them sent when the disturbance began.
        let result = delivery(9, &[(0, 0), (1, 1), (7, 7), (8, 8)], 2);
        assert_eq!((result.lost, result.lost_afterwards), (5, 4));
        assert_eq!(result.longest_gap, MS * 6);
        assert_eq!(result.losses_lasted, MS * 3);
        assert_eq!((result.reordered, result.duplicated), (0, 0));
    }

    #[test]
    fn a_stream_that_never_comes_back_has_a_gap_until_its_end() {
        let result = delivery(101, &[(0, 0), (1, 1)], 1);
        assert_eq!(result.longest_gap, MS * 99);
        let nothing = delivery(101, &[], 50);
        assert_eq!(nothing.longest_gap, MS * 100);
        assert_eq!(nothing.lost, 101);
    }

    #[test]
    fn gaps_before_the_disturbance_do_not_count() {
        let result = delivery(30, &[(0, 0), (20, 20), (21, 21), (29, 29)], 20);
        assert_eq!(result.longest_gap, MS * 8);
    }

    #[test]
    fn duplicates_are_neither_late_nor_news() {
        let result = delivery(3, &[(0, 0), (0, 1), (1, 1), (2, 2), (1, 9)], 0);
        assert_eq!(
            (result.duplicated, result.reordered, result.lost),
            (2, 0, 0)
        );
        assert_eq!(result.longest_gap, MS);
    }

    #[test]
    fn the_extent_counts_arrivals_since_the_first_that_overtook() {
        // The example of RFC 4737, section 4.2: 4 comes after 5, 6, 7 and 8.
        let list: Vec<(u64, u32)> = [1, 2, 3, 5, 6, 7, 8, 4, 9].into_iter().zip(0..).collect();
        assert_eq!(reordering(&arrivals(&list)), (1, 4));
    }

    #[test]
    fn shares_are_of_a_window_of_sending() {
        let sent: Vec<Duration> = (0..10).map(|n| MS * n).collect();
        let came = arrivals(&[(0, 0), (5, 5), (6, 6), (6, 6)]);
        let share = |from, until| Delivery::arrived_share(&sent, &came, MS * from, MS * until);
        assert!((share(5, 9) - 0.5).abs() < 1e-9);
        assert!((share(1, 5) - 0.0).abs() < 1e-9);
        assert!((share(20, 30) - 1.0).abs() < 1e-9);
    }
}
