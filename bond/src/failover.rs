//! Whether a path works: proven in both directions by authentic packets.

use std::time::Duration;

use protocol::Instant;

use crate::punishment::Punishment;

/// How long a new path may take to prove itself; it ends with the first proof.
pub const TRIAL: Duration = Duration::from_secs(15);
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
    /// It looked like one of those, and then answers came to what had left before: it is slow, or was for a while.
    Late,
    /// The operating system says so.
    Link,
    /// It did not prove itself in its trial.
    Unproven,
}

impl Cause {
    /// Packets were missing; others say nothing of the wire: what an operator asks for, or that an interface was taken down.
    pub const fn is_noticed(self) -> bool {
        matches!(self, Self::Silent | Self::OneWay)
    }

    /// In one or two words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "down",
            Self::OneWay => "one way",
            Self::Late => "late",
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
            || ((self.phase == Phase::Down || self.has_failed) && sent < self.since)
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

    /// Something that left at `sent` was answered. What left before the path failed was late, and the path did not fail.
    pub fn note_answer(&mut self, sent: Instant) {
        if self.phase == Phase::Down && self.cause.is_noticed() && sent < self.since {
            self.cause = Cause::Late;
            self.punishment.forgive_lateness();
        }
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

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn answers_to_what_left_before_a_failure_show_that_there_was_none() {
        let mut life = Life::new(true, true, Punishment::default(), at(0));
        assert!(life.fail(Cause::OneWay, at(500)));
        let before = life.punishment;
        life.note_answer(at(500));
        assert_eq!((life.cause, life.punishment), (Cause::OneWay, before));
        life.note_answer(at(499));
        assert_eq!(life.cause, Cause::Late);
        assert!(life.punishment.is_clear());
        assert_eq!(life.phase, Phase::Down);
        // An interface that was taken down did fail.
        let mut life = Life::new(true, true, Punishment::default(), at(0));
        assert!(life.fail(Cause::Link, at(500)));
        life.note_answer(at(499));
        assert_eq!(life.cause, Cause::Link);
        assert!(!life.punishment.is_clear());
    }

    #[test]
    fn a_trial_after_a_failure_is_not_won_by_what_left_before_it() {
        let mut life = Life::new(true, true, Punishment::default(), at(0));
        assert!(life.fail(Cause::Unproven, at(500)));
        life.begin_trial(at(500));
        assert!(!life.prove(at(490), at(510)));
        assert_eq!(life.phase, Phase::Trial);
        assert!(life.prove(at(500), at(520)));
        // The first trial of all is: the path is known because something was answered there.
        let mut life = Life::new(true, false, Punishment::default(), at(500));
        assert_eq!(life.phase, Phase::Trial);
        assert!(life.prove(at(490), at(510)));
    }

    #[test]
    fn a_late_answer_does_not_revive() {
        let mut life = Life::new(true, true, Punishment::default(), at(0));
        assert!(life.fail(Cause::Silent, at(500)));
        assert!(!life.prove(at(400), at(600)));
        assert_eq!(life.phase, Phase::Down);
        assert!(life.prove(at(700), at(710)));
        assert_eq!(
            life.up_delay_end(Duration::from_secs(1), at(800)),
            Some(at(1710))
        );
    }

    #[test]
    fn hearing_alone_proves_nothing() {
        let mut life = Life::new(true, false, Punishment::default(), at(0));
        life.hear(at(5));
        assert_eq!(life.phase, Phase::Trial);
        assert!(life.prove(at(3), at(10)));
    }
}
