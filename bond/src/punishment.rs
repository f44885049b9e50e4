//! How a path is punished for failing again and again.

use std::time::Duration;

use protocol::Instant;

/// Punishment of a first failure.
const FIRST: Duration = Duration::from_secs(8);
/// What a probe costs that is lost meanwhile.
const LOSS: Duration = Duration::from_secs(4);
/// Longest punishment.
const LONGEST: Duration = Duration::from_secs(600);
/// A failure that was only lateness is forgiven for this, and as long as no more than this has been given away: both are worked
/// off as debts are.
const LENIENCE: Duration = Duration::from_secs(4);
const MOST_LENIENCE: Duration = Duration::from_secs(8);
/// Debts are told in this.
const UNIT: Duration = Duration::from_millis(10);

/// Time that is owed, in [`UNIT`]s: [`LONGEST`] at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Debt(u16);

impl Debt {
    fn new(time: Duration) -> Self {
        Self((time.min(LONGEST).as_millis() / UNIT.as_millis()) as u16)
    }

    fn time(self) -> Duration {
        UNIT * self.0.into()
    }
}

/// What a path owes for its failures. A first failure puts it on probation: it may come back at once. If it fails again
/// before it has worked its debt off, it stays out until only a first failure's debt is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Punishment {
    own: Debt,
    /// What it owed before its latest failure.
    before: Debt,
    /// For failures of other ports of its wire, which were its own, too.
    shared: Debt,
    /// What lateness was forgiven for: no longer than [`MOST_LENIENCE`].
    lenience: Debt,
    /// Until when it has been worked off.
    at: Instant,
}

impl Punishment {
    /// Works off the time since the last call if the path was alive in it.
    pub fn advance(&mut self, alive: bool, now: Instant) {
        if !alive {
            self.at = self.at.max(now);
            return;
        }
        let worked = Debt::new(now.duration_since(self.at));
        for debt in [&mut self.own, &mut self.shared, &mut self.lenience] {
            debt.0 = debt.0.saturating_sub(worked.0);
        }
        // What is left of a unit counts next time.
        self.at = if worked.time() < LONGEST {
            self.at + worked.time()
        } else {
            self.at.max(now)
        };
    }

    /// The path failed; with notice of the operating system it counts half.
    pub fn add_failure(&mut self, with_notice: bool) {
        let first = if with_notice { FIRST / 2 } else { FIRST };
        self.before = self.own;
        self.own = Debt::new(first + 2 * self.debt());
    }

    /// The latest failure was none: what it added is not owed.
    pub fn take_back_failure(&mut self) {
        self.own = self.own.min(self.before);
    }

    /// The latest failure was not taken back.
    pub(crate) fn counts_failure(&self) -> bool {
        self.own > self.before
    }

    /// The latest failure was only lateness: answers to what left before have come after all. That is no failure, unless it is
    /// the rule.
    pub fn forgive_lateness(&mut self) {
        let lenience = self.lenience.time() + LENIENCE;
        if lenience <= MOST_LENIENCE {
            self.lenience = Debt::new(lenience);
            self.take_back_failure();
        }
    }

    /// It failed with another one, as the other one did with it: it owes no less.
    pub fn share(&mut self, other: &Self) {
        self.shared = self.shared.max(other.own.max(other.shared));
    }

    /// Nobody whose failures it shares owes more than this.
    pub(crate) fn share_at_most(&mut self, debt: Debt) {
        self.shared = self.shared.min(debt);
    }

    /// What it owes for its own failures.
    pub(crate) fn own(&self) -> Debt {
        self.own
    }

    /// What it owes for its own failures, or for those of the ports of its wire if that is more.
    pub(crate) fn debt(&self) -> Duration {
        self.own.max(self.shared).time()
    }

    /// Probes were lost while it is punished: it flaps faster than it can be declared down, or loses much.
    pub fn add_losses(&mut self, probes: u64) {
        if !self.remaining().is_zero() {
            let more = u32::try_from(probes).unwrap_or(u32::MAX);
            self.own = Debt::new(self.debt().saturating_add(LOSS.saturating_mul(more)));
        }
    }

    /// How long it stays out if it works from now on.
    pub fn remaining(&self) -> Duration {
        self.debt().saturating_sub(FIRST)
    }

    /// Nothing is owed.
    pub fn is_clear(&self) -> bool {
        self.debt().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn punishment_grows_with_each_failure_and_is_worked_off_alive_only() {
        let mut punishment = Punishment::default();
        punishment.add_failure(false);
        assert_eq!(punishment.remaining(), Duration::ZERO);
        punishment.advance(true, at(1000));
        punishment.add_failure(false);
        assert_eq!(punishment.debt(), secs(22));
        assert_eq!(punishment.remaining(), secs(14));
        punishment.advance(false, at(100_000));
        assert_eq!(punishment.debt(), secs(22));
        // However often it is told.
        for millis in (100_000..=114_000).step_by(7) {
            punishment.advance(true, at(millis));
        }
        assert_eq!(punishment.remaining(), Duration::ZERO);
        for _ in 0..20 {
            punishment.add_failure(false);
        }
        assert_eq!(punishment.debt(), secs(600));
        punishment.advance(true, at(2_000_000));
        assert!(punishment.is_clear());
        let mut noticed = Punishment::default();
        noticed.add_failure(true);
        assert_eq!(noticed.debt(), secs(4));
    }

    #[test]
    fn a_failure_that_was_none_is_taken_back() {
        let mut punishment = Punishment::default();
        punishment.add_failure(true);
        let before = punishment;
        punishment.add_failure(false);
        assert_eq!(punishment.remaining(), secs(8));
        punishment.take_back_failure();
        assert_eq!(punishment.debt(), before.debt());
    }

    #[test]
    fn lateness_is_forgiven_unless_it_is_the_rule() {
        let mut punishment = Punishment::default();
        let mut late = |second: u64| {
            punishment.advance(true, at(second * 1000));
            punishment.add_failure(false);
            punishment.forgive_lateness();
            punishment.debt()
        };
        for second in [10, 14, 18, 22, 23] {
            assert_eq!(late(second), Duration::ZERO);
        }
        assert_eq!(late(24), secs(8));
        assert_eq!(late(25), secs(22));
    }

    #[test]
    fn who_fails_with_another_owes_no_less_but_no_longer() {
        let [mut one, mut other] = [Punishment::default(); 2];
        one.add_failure(false);
        other.share(&one);
        assert_eq!(other.debt(), secs(8));
        other.add_failure(false);
        other.share(&one);
        assert_eq!(other.remaining(), secs(16));
        // Its own was none.
        other.take_back_failure();
        assert_eq!(other.debt(), secs(8));
        // Nor was the one that it shares.
        one.take_back_failure();
        other.share_at_most(one.own());
        assert!(other.is_clear());
    }
}
