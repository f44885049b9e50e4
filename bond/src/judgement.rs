//! What measurements say against a path: limits that it exceeds, and how fit that leaves it.

use std::time::Duration;

use protocol::Instant;

use crate::config::{BasePolicy, MonitorStrategy, PolicySettings};
use crate::event::EventKind;
use crate::failover::Phase;
use crate::loss::ENOUGH_OUTCOMES;
use crate::member::Member;
use crate::policy::Fitness;
use crate::punishment::Punishment;

/// Loss above which a path is avoided, unless the operator names a limit.
const SOFT_LOSS: f64 = 0.05;
/// Part of that, above which one is that the peer avoids for what it loses.
const CONFIRMED: f64 = 0.8;
/// Loss above which a path is the last choice, unless the operator's limit allows more.
const HARD_LOSS: f64 = 0.25;
/// The name of loss among the metrics.
const LOSS: &str = "loss";
/// Share of failed authentications above which a path is avoided.
const SOFT_ERRORS: f64 = 0.05;
/// What a queue that grows spills may be too much for a moment, until the path is known to be full.
const FULL_DWELL: Duration = Duration::from_millis(500);
/// And what senders lose that have only just begun, until more is known.
const START_DWELL: Duration = Duration::from_millis(2500);
/// A limit must be exceeded this long, unless it is plain at once.
const LOSS_DWELL: Duration = Duration::from_secs(1);
const DWELL: Duration = Duration::from_secs(2);
/// A path that is avoided stays so while it exceeds this part of a limit.
const STAYS_AVOIDED: f64 = 0.8;
/// After this long without enough to judge by, an avoided path gets another chance.
const AVOID_AT_MOST: Duration = Duration::from_secs(60);

/// A limit that is exceeded.
#[derive(Clone, Copy, Debug)]
struct Excess {
    metric: &'static str,
    value: f64,
    limit: f64,
    /// It must be exceeded so long.
    dwell: Duration,
}

/// What was found out about a path so far.
#[derive(Clone, Default, Debug)]
pub(crate) struct Judgement {
    /// It exceeds a limit, and is not avoided yet.
    exceeds_since: Option<Instant>,
    /// It is avoided, and keeps all limits.
    within_since: Option<Instant>,
    /// Since when others are preferred to it.
    pub(crate) avoided: Option<Instant>,
    /// It loses so much that it is the last choice.
    loses_since: Option<Instant>,
    /// It is avoided for what it loses.
    pub(crate) is_lossy: bool,
    /// The peer avoids the wire for what it loses there.
    pub(crate) peer_avoids: bool,
    /// It waits, since it failed too often.
    pub(crate) is_punished: bool,
    /// The capacity that the operator was told of last, bit/s.
    told_capacity: f32,
}

impl Judgement {
    fn forget_excess(&mut self) {
        self.avoided = None;
        self.is_lossy = false;
        self.exceeds_since = None;
        self.loses_since = None;
    }
}

impl Member {
    /// Compares measurements with their limits.
    pub(crate) fn judge(
        &mut self,
        settings: &PolicySettings,
        events: &mut Vec<EventKind>,
        now: Instant,
    ) {
        if self.life.phase != Phase::Up {
            self.judgement.loses_since = None;
            self.judgement.exceeds_since = None;
            return;
        }
        self.note_hard_loss(settings, now);
        self.avoid_or_readmit(settings, events, now);
        self.tell_capacity(events, now);
    }

    fn note_hard_loss(&mut self, settings: &PolicySettings, now: Instant) {
        let (loss, outcomes) = self.quality.loss(now);
        let limit = settings.limits.loss.unwrap_or(0.0).max(HARD_LOSS);
        if self.is_just_full(settings, now) {
            self.judgement.loses_since = None;
        } else if outcomes >= ENOUGH_OUTCOMES && loss > limit {
            self.judgement.loses_since.get_or_insert(now);
        } else if outcomes >= ENOUGH_OUTCOMES / 2 {
            self.judgement.loses_since = None;
        }
    }

    fn avoid_or_readmit(
        &mut self,
        settings: &PolicySettings,
        events: &mut Vec<EventKind>,
        now: Instant,
    ) {
        match (self.excess(settings, 1.0, now), self.judgement.avoided) {
            (Some(excess), None) => {
                self.judgement.within_since = None;
                let since = *self.judgement.exceeds_since.get_or_insert(now);
                if since + excess.dwell + self.rule.down_delay <= now {
                    self.judgement.avoided = Some(now);
                    self.judgement.is_lossy = excess.metric == LOSS;
                    events.push(EventKind::QualityAvoid {
                        path: self.label(),
                        metric: excess.metric,
                        value: excess.value,
                        limit: excess.limit,
                    });
                }
            }
            (None, None) => self.judgement.exceeds_since = None,
            (_, Some(avoided)) => {
                let (_, outcomes) = self.quality.loss(now);
                let can_tell = outcomes >= ENOUGH_OUTCOMES / 2;
                let exceeds = self.excess(settings, STAYS_AVOIDED, now).is_some();
                if exceeds || !can_tell {
                    self.judgement.within_since = None;
                } else {
                    self.judgement.within_since.get_or_insert(now);
                }
                let wait = DWELL.max(self.rule.up_delay);
                let within_since = self.judgement.within_since;
                // A path that carries nothing loses nothing, but what is asked tells its latency all the same.
                let is_asked = settings.monitor != MonitorStrategy::Passive;
                let is_known = can_tell || exceeds && is_asked;
                if within_since.is_some_and(|since| since + wait <= now)
                    || !is_known && avoided + AVOID_AT_MOST <= now
                {
                    self.judgement.forget_excess();
                    events.push(EventKind::QualityOk { path: self.label() });
                }
            }
        }
    }

    fn tell_capacity(&mut self, events: &mut Vec<EventKind>, now: Instant) {
        self.quality.capacity.expire(now);
        if let Some((capacity, _)) = self.quality.capacity.get() {
            let old = self.judgement.told_capacity as u64;
            if capacity.abs_diff(old) > old / 5 {
                self.judgement.told_capacity = capacity as f32;
                events.push(EventKind::CapacityChanged {
                    path: self.label(),
                    from: old,
                    to: capacity,
                });
            }
        }
    }

    /// Its past counts no more.
    pub(crate) fn forgive(&mut self) {
        self.life.punishment = Punishment::default();
        self.quality.forget_outcomes();
        self.judgement.forget_excess();
    }

    /// What is lost is what does not fit: some senders, BBR's above all, lose a quarter and more for as long as they share a
    /// short queue. Where shares follow capacity, or the other paths are full as well, leaving such a path would only fill those.
    fn is_just_full(&self, settings: &PolicySettings, now: Instant) -> bool {
        let leaving_only_fills_others = match settings.base {
            BasePolicy::BalanceAware => true,
            BasePolicy::BalanceXor => self.beside.others_are_full,
            _ => false,
        };
        leaving_only_fills_others
            && settings.limits.loss.is_none()
            && (self.quality.capacity.is_used_up(now) || self.beside.wire_is_full)
    }

    /// Senders that begin together may lose most of what they send before a question shows the queue that they make.
    fn may_be_a_start(&self, settings: &PolicySettings) -> bool {
        matches!(
            settings.base,
            BasePolicy::BalanceAware | BasePolicy::BalanceXor
        ) && self.quality.capacity.get().is_none()
    }

    /// How long loss that is plain must last before it counts.
    fn plain_loss_dwell(&self, settings: &PolicySettings, now: Instant) -> Duration {
        let is_start = self.may_be_a_start(settings);
        if is_start && self.quality.losses.has_just_begun(now) {
            START_DWELL
        } else if is_start || self.quality.may_queue() {
            FULL_DWELL
        } else {
            Duration::ZERO
        }
    }

    fn excess(&self, settings: &PolicySettings, factor: f64, now: Instant) -> Option<Excess> {
        let limits = &settings.limits;
        let millis = |value: Option<Duration>| value.map(|value| value.as_secs_f64() * 1e3);
        let told = |(ratio, count)| (count >= ENOUGH_OUTCOMES).then_some(ratio);
        // A full path loses what is too much: its share, not its place, is what has to change.
        let soft_loss = if self.quality.capacity.was_full(now) {
            HARD_LOSS
        } else {
            SOFT_LOSS
        };
        // What the peer left for its loss is as bad with less.
        let is_confirmed = limits.loss.is_none() && self.judgement.peer_avoids;
        let loss_limit = match (limits.loss, is_confirmed) {
            (Some(limit), _) => limit,
            (None, true) => CONFIRMED * soft_loss,
            (None, false) => soft_loss,
        };
        let is_spared =
            limits.loss.is_none() && self.beside.others_lose_too && settings.base.balances();
        let is_avoided = self.judgement.avoided.is_some();
        let (loss, loss_dwell) = if self.is_just_full(settings, now) || is_spared && !is_avoided {
            (None, LOSS_DWELL)
        } else if is_avoided {
            (told(self.quality.loss(now)), LOSS_DWELL)
        } else {
            match self.quality.losses.excess(loss_limit, is_confirmed, now) {
                Some((loss, true)) => (Some(loss), self.plain_loss_dwell(settings, now)),
                Some((loss, false)) => {
                    let dwell = self.plain_loss_dwell(settings, now);
                    (Some(loss), dwell.max(LOSS_DWELL))
                }
                None => (None, LOSS_DWELL),
            }
        };
        [
            (LOSS, loss, Some(loss_limit), loss_dwell),
            (
                "error ratio",
                told(self.quality.error_ratio(now)),
                Some(limits.errors.unwrap_or(SOFT_ERRORS)),
                DWELL,
            ),
            (
                "latency",
                millis(self.quality.latency()),
                limits.latency,
                DWELL,
            ),
            (
                "variation",
                millis(self.quality.variation()),
                limits.variation,
                DWELL,
            ),
        ]
        .into_iter()
        .find_map(|(metric, value, limit, dwell)| {
            let (value, limit) = (value?, limit?);
            (value > limit * factor).then_some(Excess {
                metric,
                value,
                limit,
                dwell,
            })
        })
    }

    /// How fit it is now, and in a word why.
    pub(crate) fn condition(&self, now: Instant) -> (Fitness, &'static str) {
        if self.rule.refused.is_some() {
            return (Fitness::Unusable, "refused");
        }
        match self.life.phase {
            Phase::Down => (Fitness::Unusable, self.life.cause.name()),
            Phase::Trial => (Fitness::Trial, "trial"),
            Phase::Up => {
                if self
                    .judgement
                    .loses_since
                    .is_some_and(|since| since + DWELL + self.rule.down_delay <= now)
                {
                    (Fitness::Lossy, "lossy")
                } else if !self.life.punishment.remaining().is_zero() {
                    (Fitness::Waiting, "punished")
                } else if self.suspected.is_some() {
                    (Fitness::Waiting, "in doubt")
                } else if self.life.up_delay_end(self.rule.up_delay, now).is_some() {
                    (Fitness::Waiting, "up delay")
                } else if self.judgement.avoided.is_some() {
                    (Fitness::Avoided, "avoided")
                } else {
                    (Fitness::Fit, "up")
                }
            }
        }
    }

    /// What speaks against it, for an operator: `wan2 is avoided: loss 0.080`.
    pub(crate) fn fault(&self, settings: &PolicySettings, now: Instant) -> String {
        let (fitness, reason) = self.condition(now);
        let link = match self.info.interface.as_str() {
            "" => self.label(),
            name => name.to_owned(),
        };
        match self.excess(settings, STAYS_AVOIDED, now) {
            Some(excess) if fitness == Fitness::Avoided => {
                format!("{link} is avoided: {} {:.3}", excess.metric, excess.value)
            }
            _ if fitness == Fitness::Trial => format!("{link} is not proven yet"),
            _ if fitness == Fitness::Unusable => format!("{link} does not work: {reason}"),
            _ => format!("{link} is waiting: {reason}"),
        }
    }

    /// Takes note of what has become of it.
    pub(crate) fn update_fitness(&mut self, events: &mut Vec<EventKind>, now: Instant) {
        let (fitness, reason) = self.condition(now);
        let carries = |fitness| fitness < Fitness::Waiting;
        if carries(fitness) && !carries(self.fitness) {
            events.push(EventKind::PathEligible { path: self.label() });
        } else if !carries(fitness) && carries(self.fitness) {
            let age = |at: Option<Instant>| at.map(|at| now.duration_since(at));
            events.push(EventKind::PathIneligible {
                path: self.label(),
                reason,
                received_age: age(self.life.last_received),
                proof_age: age(self.life.last_proof),
            });
        }
        self.fitness = fitness;
        let remaining = self.life.punishment.remaining();
        if self.judgement.is_punished == remaining.is_zero() {
            self.judgement.is_punished = !self.judgement.is_punished;
            events.push(if self.judgement.is_punished {
                EventKind::Punished {
                    path: self.label(),
                    remaining,
                }
            } else {
                EventKind::Pardoned { path: self.label() }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Senders that begin together fill a path before anything tells that it is full, where their flows can be placed anew.
    #[test]
    fn plain_loss_has_to_last_while_it_may_be_a_beginning() {
        for (base, dwells) in [
            (BasePolicy::BalanceAware, [START_DWELL, FULL_DWELL]),
            (BasePolicy::BalanceXor, [START_DWELL, FULL_DWELL]),
            (BasePolicy::BalanceRr, [Duration::ZERO; 2]),
            (BasePolicy::ActiveBackup, [Duration::ZERO; 2]),
        ] {
            let settings = PolicySettings::standard(base);
            let mut member = Member::example(&settings);
            let mut dwell_at = |tenths: u64| {
                let now = Instant::from_millis(100 * tenths);
                member.quality.losses.add((10, 2), false, true, now);
                member.plain_loss_dwell(&settings, now)
            };
            let found: Vec<Duration> = (10..60).map(&mut dwell_at).collect();
            assert_eq!([found[5], found[40]], dwells, "{base}");
        }
    }

    /// What one port lost while the wire was full says nothing once another one is used.
    #[test]
    fn a_path_of_a_full_wire_is_not_left_for_what_it_lost() {
        for (base, limit, is_full, avoided) in [
            (BasePolicy::BalanceAware, None, true, false),
            (BasePolicy::BalanceAware, None, false, true),
            (BasePolicy::BalanceAware, Some(0.1), true, true),
            (BasePolicy::ActiveBackup, None, true, true),
        ] {
            let mut settings = PolicySettings::standard(base);
            settings.limits.loss = limit;
            let mut member = Member::example(&settings);
            member.life.phase = Phase::Up;
            member.beside.wire_is_full = is_full;
            for tenths in 10..50 {
                let now = Instant::from_millis(100 * tenths);
                member.quality.losses.add((10, 10), false, true, now);
                member.judge(&settings, &mut Vec::new(), now);
            }
            let found = member.judgement.avoided.is_some();
            assert_eq!(found, avoided, "{base}, {limit:?}, {is_full}");
        }
    }
}
