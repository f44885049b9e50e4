//! Whether a path works: proven in both directions by authentic packets, and how it is punished for failing again and again.

use std::time::Duration;

use protocol::Instant;

/// How long a new path may take to prove itself; it ends with the first proof.
pub const TRIAL: Duration = Duration::from_secs(15);
/// Punishment of a first failure.
const FIRST: Duration = Duration::from_secs(8);
/// What a probe costs that is lost meanwhile.
const LOSS: Duration = Duration::from_secs(4);
/// Longest punishment.
const LONGEST: Duration = Duration::from_secs(600);

/// What a path owes for its failures. A first failure puts it on probation: it may come back at once. If it fails again
/// before it has worked its debt off, it stays out until only a first failure's debt is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Punishment {
    /// In µs: no longer than [`LONGEST`].
    debt: u32,
    at: Instant,
}

impl Punishment {
    /// Works off the time since the last call if the path was alive in it.
    pub fn advance(&mut self, alive: bool, now: Instant) {
        if alive {
            self.owe(self.debt().saturating_sub(now.duration_since(self.at)));
        }
        self.at = self.at.max(now);
    }

    /// The path failed; with notice of the operating system it counts half.
    pub fn add_failure(&mut self, with_notice: bool) {
        let first = if with_notice { FIRST / 2 } else { FIRST };
        self.owe(first + 2 * self.debt());
    }

    /// The latest failure, of which the operating system had no notice, was none: what it added is not owed.
    pub fn take_back_failure(&mut self) {
        self.owe(self.debt().saturating_sub(FIRST) / 2);
    }

    /// It failed with another one, as the other one did with it: it owes no less.
    pub fn share(&mut self, other: &Self) {
        self.debt = self.debt.max(other.debt);
    }

    fn debt(&self) -> Duration {
        Duration::from_micros(self.debt.into())
    }

    fn owe(&mut self, debt: Duration) {
        self.debt = debt.min(LONGEST).as_micros() as u32;
    }

    /// Probes were lost while it is punished: it flaps faster than it can be declared down, or loses much.
    pub fn add_losses(&mut self, probes: u64) {
        if !self.remaining().is_zero() {
            let more = u32::try_from(probes).unwrap_or(u32::MAX);
            self.owe(self.debt().saturating_add(LOSS.saturating_mul(more)));
        }
    }

    /// How long it stays out if it works from now on.
    pub fn remaining(&self) -> Duration {
        self.debt().saturating_sub(FIRST)
    }

    /// Nothing is owed.
    pub fn is_clear(&self) -> bool {
        self.debt == 0
    }
}

/// Where a path stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Not proven yet.
    Trial,
    /// Proven, and not refuted.
    Up,
    /// Refuted, or never proven.
    Down,
}

/// Why a path is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Neither direction works, as far as we know.
    Silent,
    /// We hear the peer, and it does not hear us.
    OneWay,
    /// The operating system says so.
    Link,
    /// It did not prove itself in its trial.
    Unproven,
}

impl Cause {
    /// In one or two words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "down",
            Self::OneWay => "one way",
            Self::Link => "no carrier",
            Self::Unproven => "unproven",
        }
    }
}

/// A path's life.
#[derive(Clone, Debug)]
pub struct Life {
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Instant,
    /// Why it is down.
    pub cause: Cause,
    /// It has been down before, so that the up delay applies.
    pub has_failed: bool,
    /// The operating system sees carrier and address.
    pub link_up: bool,
    /// When something authentic last arrived.
    pub last_received: Option<Instant>,
    /// When the last thing left that is known to have arrived.
    pub last_proof: Option<Instant>,
    /// What it owes.
    pub punishment: Punishment,
}

impl Life {
    /// A new path.
    pub fn new(link_up: bool, confirmed: bool, punishment: Punishment, now: Instant) -> Self {
        let phase = match (link_up, confirmed) {
            (false, _) => Phase::Down,
            (true, true) => Phase::Up,
            (true, false) => Phase::Trial,
        };
        Self {
            phase,
            since: now,
            cause: Cause::Link,
            has_failed: !link_up,
            link_up,
            last_received: confirmed.then_some(now),
            last_proof: confirmed.then_some(now),
            punishment,
        }
    }

    /// Something authentic arrived.
    pub fn hear(&mut self, now: Instant) {
        self.last_received = self.last_received.max(Some(now));
    }

    /// Something that left at `sent` arrived. True if the path is up now and was not.
    pub fn prove(&mut self, sent: Instant, now: Instant) -> bool {
        self.last_proof = self.last_proof.max(Some(sent));
        // A late answer to something sent before the failure proves nothing about after it.
        if self.phase == Phase::Up
            || !self.link_up
            || (self.phase == Phase::Down && sent < self.since)
        {
            return false;
        }
        self.phase = Phase::Up;
        self.since = now;
        true
    }

    /// The path is down from now on. True if it was not.
    pub fn fail(&mut self, cause: Cause, now: Instant) -> bool {
        if self.phase == Phase::Down {
            return false;
        }
        if self.phase == Phase::Up {
            self.punishment.add_failure(cause == Cause::Link);
        }
        self.phase = Phase::Down;
        self.since = now;
        self.cause = cause;
        self.has_failed = true;
        true
    }

    /// The path has another chance to prove itself, unless it is up.
    pub fn begin_trial(&mut self, now: Instant) {
        if self.phase == Phase::Down {
            self.phase = Phase::Trial;
            self.since = now;
        }
    }

    /// When the up delay is over, if it is not.
    pub fn up_delay_end(&self, up_delay: Duration, now: Instant) -> Option<Instant> {
        let end = self.since + up_delay;
        (self.phase == Phase::Up && self.has_failed && now < end).then_some(end)
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
        punishment.advance(true, at(114_000));
        assert_eq!(punishment.remaining(), Duration::ZERO);
        for _ in 0..20 {
            punishment.add_failure(false);
        }
        assert_eq!(punishment.debt(), secs(600));
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
        assert_eq!(punishment, before);
    }

    #[test]
    fn who_fails_with_another_owes_no_less() {
        let [mut one, mut other] = [Punishment::default(); 2];
        one.add_failure(false);
        other.share(&one);
        assert_eq!(other.debt(), secs(8));
        other.add_failure(false);
        other.share(&one);
        assert_eq!(other.remaining(), secs(16));
    }

    #[test]
    fn a_late_answer_does_not_revive() {
        let mut life = Life::new(true, true, Punishment::default(), at(0));
        assert!(life.fail(Cause::Silent, at(500)));
        assert!(!life.prove(at(400), at(600)));
        assert_eq!(life.phase, Phase::Down);
        assert!(life.prove(at(700), at(710)));
        assert_eq!(life.up_delay_end(secs(1), at(800)), Some(at(1710)));
    }

    #[test]
    fn hearing_alone_proves_nothing() {
        let mut life = Life::new(true, false, Punishment::default(), at(0));
        life.hear(at(5));
        assert_eq!(life.phase, Phase::Trial);
        assert!(life.prove(at(3), at(10)));
    }
}
