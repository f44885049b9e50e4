//! One path of a bond: what the settings say of it, whether it works, how good it is, and what it wants to do next.

use std::sync::Arc;
use std::time::Duration;

use protocol::Instant;

use crate::attributes::LinkAttributes;
use crate::bond::DeliveryReport;
use crate::config::{BasePolicy, LinkMode, MonitorStrategy, PolicySettings, Speed};
use crate::event::EventKind;
use crate::failover::{Life, Phase, Punishment};
use crate::loss::ENOUGH_OUTCOMES;
use crate::path::PathInfo;
use crate::policy::{Fitness, View};
use crate::probe::Prober;
use crate::probe_interval::Standby;
use crate::quality::{Quality, Rate};
use crate::rule::Rule;
use crate::suspicion::{AnswerTime, Suspicion};

/// Answers to a stream of packets, TCP's to bulk data, are no more than this part of its bytes.
const ANSWERS: f64 = 12.0;
/// A peer repeats what it says of a link; it holds so long after the last time.
const ATTRIBUTES_MEMORY: Duration = Duration::from_secs(1500);
/// Loss above which a path is avoided, unless the operator names a limit.
const SOFT_LOSS: f64 = 0.05;
/// Loss above which a path is the last choice.
const HARD_LOSS: f64 = 0.25;
/// Share of failed authentications above which a path is avoided.
const SOFT_ERRORS: f64 = 0.05;
/// What a queue that grows spills may be too much for a moment, until the path is known to be full.
const FULL_DWELL: Duration = Duration::from_millis(500);
/// A limit must be exceeded this long, unless it is plain at once.
const LOSS_DWELL: Duration = Duration::from_secs(1);
const DWELL: Duration = Duration::from_secs(2);
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

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) info: PathInfo,
    /// Paths of which the settings say the same share it.
    pub(crate) rule: Arc<Rule>,
    /// What the peer says of it, and when it last did, unless nothing speaks against the path.
    told: Option<Box<(LinkAttributes, Instant)>>,
    /// The least restrictive of what the peer says of any path: what it says of all alike prefers none.
    pub(crate) least_told: LinkMode,
    pub(crate) life: Life,
    pub(crate) prober: Prober,
    pub(crate) suspicion: Suspicion,
    /// How long answers to probes take.
    pub(crate) answers: AnswerTime,
    /// When the peer last reported that packets arrived.
    pub(crate) last_report: Option<Instant>,
    /// When the latest packet left of those that reports have told the fate of.
    reported_until: Instant,
    /// A path beside it failed then: it may carry nothing until something that left later is known to have arrived.
    pub(crate) suspected: Option<Instant>,
    /// Another path, not of the same link to the same address, works.
    pub(crate) has_alternative: bool,
    pub(crate) quality: Quality,
    pub(crate) sent_rate: Rate,
    pub(crate) received_rate: Rate,
    pub(crate) bytes: (u64, u64),
    /// The same at the last account.
    pub(crate) accounted: (u64, u64),
    /// 0..=1 against the best path, at the last evaluation.
    pub(crate) relative_quality: f64,
    pub(crate) last_sent: Option<Instant>,
    /// What it was at the last evaluation.
    pub(crate) fitness: Fitness,
    /// It waits for others to fail.
    pub(crate) standby: Option<Standby>,
    /// It is part of the plan in force.
    pub(crate) is_used: bool,
    /// Microseconds that packets took there and the report on them back, by the latest report.
    pub(crate) lag: u32,
    /// From the first unanswered question to the failure.
    pub(crate) detection: Option<Duration>,
    exceeds_since: Option<Instant>,
    within_since: Option<Instant>,
    pub(crate) avoided: Option<Instant>,
    loses_since: Option<Instant>,
    pub(crate) is_punished: bool,
    told_capacity: u64,
}

impl Member {
    pub(crate) fn new(
        info: PathInfo,
        rule: Arc<Rule>,
        punishment: Punishment,
        jitter: u32,
        now: Instant,
    ) -> Self {
        let life = Life::new(info.link_up, info.confirmed, punishment, now);
        let mut quality = Quality::default();
        quality.set_up(life.phase == Phase::Up, now);
        Self {
            info,
            rule,
            told: None,
            least_told: LinkMode::Primary,
            life,
            prober: Prober::new(jitter),
            suspicion: Suspicion::default(),
            answers: AnswerTime::default(),
            last_report: None,
            reported_until: now,
            suspected: None,
            has_alternative: false,
            quality,
            sent_rate: Rate::default(),
            received_rate: Rate::default(),
            bytes: (0, 0),
            accounted: (0, 0),
            relative_quality: 0.0,
            last_sent: None,
            fitness: Fitness::Unusable,
            standby: None,
            is_used: false,
            lag: 0,
            detection: None,
            exceeds_since: None,
            within_since: None,
            avoided: None,
            loses_since: None,
            is_punished: false,
            told_capacity: 0,
        }
    }

    /// What the peer says of it.
    pub(crate) fn told(&self) -> LinkAttributes {
        self.told.as_ref().map(|told| told.0).unwrap_or_default()
    }

    /// The peer says this of it. True if it said something else before.
    pub(crate) fn tell(&mut self, attributes: LinkAttributes, now: Instant) -> bool {
        let before = self.told();
        self.told = (attributes != LinkAttributes::default()).then(|| Box::new((attributes, now)));
        attributes != before
    }

    /// What the link is for, as both ends say.
    pub(crate) fn mode(&self) -> LinkMode {
        let mut told = self.told();
        if told.mode <= self.least_told {
            told.mode = LinkMode::Primary;
        }
        told.restrict(self.rule.mode)
    }

    /// Its declared speed, as both ends say.
    pub(crate) fn speed(&self) -> Option<Speed> {
        self.told().limit(self.rule.speed)
    }

    /// What to tell the peer about it.
    pub(crate) fn attributes(&self) -> LinkAttributes {
        LinkAttributes {
            mode: if self.rule.refused.is_some() {
                LinkMode::Never
            } else {
                self.rule.mode
            },
            is_metered: self.rule.is_metered,
            receives: match self.rule.speed_down {
                Some(Speed::BitsPerSecond(bits)) => Some(bits),
                Some(Speed::Relative(_)) | None => None,
            },
        }
    }

    pub(crate) fn label(&self) -> String {
        self.info.to_string()
    }

    pub(crate) fn handle_sent(&mut self, bytes: u64, now: Instant) {
        self.bytes.0 += bytes;
        self.sent_rate.add(bytes, now);
        self.last_sent = self.last_sent.max(Some(now));
        let ours = self.queues_are_ours(now);
        self.quality.add_sent(bytes, ours, now);
    }

    pub(crate) fn handle_received(&mut self, packets: u64, bytes: u64, now: Instant) {
        self.bytes.1 += bytes;
        self.received_rate.add(bytes, now);
        self.quality.add_received(packets, 0, now);
        if packets > 0 {
            self.life.hear(now);
            self.suspicion.note_traffic(packets, now);
            self.ask_if_down();
        }
    }

    /// A packet arrived that is no traffic: a probe, an answer, a report.
    pub(crate) fn handle_heard(&mut self, bytes: u64, now: Instant) {
        self.bytes.1 += bytes;
        self.received_rate.add(bytes, now);
        self.quality.add_received(1, 0, now);
        self.life.hear(now);
        self.suspicion.note_heard();
        self.ask_if_down();
    }

    /// What comes in shows that half of the path works again.
    fn ask_if_down(&mut self) {
        if self.life.phase == Phase::Down && self.life.link_up {
            self.prober.hurry(1);
        }
    }

    /// A queue that makes round trips longer is of what we send on this path: it is used, while others of the same wire are
    /// not, and we send no less than answers to what the peer sends.
    fn queues_are_ours(&self, now: Instant) -> bool {
        self.is_used && self.sent_rate.at(now) * ANSWERS > self.received_rate.at(now)
    }

    /// Both paths are one wire: they differ in ports alone.
    pub(crate) fn shares_wire(&self, other: &Self) -> bool {
        self.info.interface == other.info.interface
            && self.info.remote.ip().to_canonical() == other.info.remote.ip().to_canonical()
    }

    /// The peer's report on what it received.
    pub(crate) fn handle_delivery(&mut self, report: &DeliveryReport, now: Instant) {
        // What was lost while the path was down shows when packets arrive over it again, and that may be much later.
        let was_down = self.life.phase != Phase::Up || self.reported_until < self.life.since;
        if report.packets > 0 && !report.interval.is_zero() {
            self.reported_until = self.reported_until.max(report.latest_sent);
        }
        self.quality.add_delivery(
            report.bytes,
            (report.packets.into(), report.lost.into()),
            report.interval,
            (self.queues_are_ours(now), was_down),
            now,
        );
    }

    /// Forgets what the peer said long ago.
    pub(crate) fn expire_attributes(&mut self, events: &mut Vec<EventKind>, now: Instant) {
        let is_old = |said_at: Instant| said_at + ATTRIBUTES_MEMORY <= now;
        if self.told.take_if(|told| is_old(told.1)).is_some() {
            events.push(EventKind::PeerAttributes {
                path: self.label(),
                attributes: self.told(),
            });
        }
    }

    /// Compares measurements with their limits.
    pub(crate) fn judge(
        &mut self,
        settings: &PolicySettings,
        events: &mut Vec<EventKind>,
        now: Instant,
    ) {
        if self.life.phase != Phase::Up {
            self.loses_since = None;
            self.exceeds_since = None;
            return;
        }
        let (loss, outcomes) = self.quality.loss(now);
        if self.is_just_full(settings, now) {
            self.loses_since = None;
        } else if outcomes >= ENOUGH_OUTCOMES && loss > HARD_LOSS {
            self.loses_since.get_or_insert(now);
        } else if outcomes >= ENOUGH_OUTCOMES / 2 {
            self.loses_since = None;
        }
        match (self.excess(settings, 1.0, now), self.avoided) {
            (Some(excess), None) => {
                self.within_since = None;
                let since = *self.exceeds_since.get_or_insert(now);
                if since + excess.dwell + self.rule.down_delay <= now {
                    self.avoided = Some(now);
                    events.push(EventKind::QualityAvoid {
                        path: self.label(),
                        metric: excess.metric,
                        value: excess.value,
                        limit: excess.limit,
                    });
                }
            }
            (None, None) => self.exceeds_since = None,
            (_, Some(avoided)) => {
                let can_tell = outcomes >= ENOUGH_OUTCOMES / 2;
                let exceeds = self.excess(settings, 0.8, now).is_some();
                if exceeds || !can_tell {
                    self.within_since = None;
                } else {
                    self.within_since.get_or_insert(now);
                }
                let wait = DWELL.max(self.rule.up_delay);
                // A path that carries nothing loses nothing, but what is asked tells its latency all the same.
                let is_asked = settings.monitor != MonitorStrategy::Passive;
                let is_known = can_tell || exceeds && is_asked;
                if self.within_since.is_some_and(|since| since + wait <= now)
                    || !is_known && avoided + AVOID_AT_MOST <= now
                {
                    self.forget_excess();
                    events.push(EventKind::QualityOk { path: self.label() });
                }
            }
        }
        self.quality.capacity.expire(now);
        if let Some((capacity, _)) = self.quality.capacity.get() {
            let old = self.told_capacity;
            if capacity.abs_diff(old) > old / 5 {
                self.told_capacity = capacity;
                events.push(EventKind::CapacityChanged {
                    path: self.label(),
                    from: old,
                    to: capacity,
                });
            }
        }
    }

    fn forget_excess(&mut self) {
        self.avoided = None;
        self.exceeds_since = None;
        self.loses_since = None;
    }

    /// Its past counts no more.
    pub(crate) fn forgive(&mut self) {
        self.life.punishment = Punishment::default();
        self.quality.forget_outcomes();
        self.forget_excess();
    }

    /// What is lost is what does not fit: some senders, BBR's above all, lose a quarter and more for as long as they share a
    /// short queue. Where shares follow capacity, leaving such a path would only fill the others.
    fn is_just_full(&self, settings: &PolicySettings, now: Instant) -> bool {
        settings.base == BasePolicy::BalanceAware
            && settings.limits.loss.is_none()
            && self.quality.capacity.is_used_up(now)
    }

    /// Senders that begin together may lose most of what they send before a question shows the queue that they make.
    fn may_be_a_start(&self, settings: &PolicySettings) -> bool {
        settings.base == BasePolicy::BalanceAware && self.quality.capacity.get().is_none()
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
        let loss_limit = limits.loss.unwrap_or(soft_loss);
        let (loss, loss_dwell) = if self.is_just_full(settings, now) {
            (None, LOSS_DWELL)
        } else if self.avoided.is_some() {
            (told(self.quality.loss(now)), LOSS_DWELL)
        } else {
            match self.quality.losses.excess(loss_limit, now) {
                Some((loss, true)) if self.quality.may_queue() || self.may_be_a_start(settings) => {
                    (Some(loss), FULL_DWELL)
                }
                Some((loss, true)) => (Some(loss), Duration::ZERO),
                Some((loss, false)) => (Some(loss), LOSS_DWELL),
                None => (None, LOSS_DWELL),
            }
        };
        [
            ("loss", loss, Some(loss_limit), loss_dwell),
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
                } else if self.avoided.is_some() {
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
        match self.excess(settings, 0.8, now) {
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
        if self.is_punished == remaining.is_zero() {
            self.is_punished = !self.is_punished;
            events.push(if self.is_punished {
                EventKind::Punished {
                    path: self.label(),
                    remaining,
                }
            } else {
                EventKind::Pardoned { path: self.label() }
            });
        }
    }

    /// What policies see; the quality is filled in by comparison with the others.
    pub(crate) fn view(&self, now: Instant) -> View {
        View {
            id: self.info.id,
            link: self.info.interface.clone(),
            hardware_address: self.info.interface_mac,
            destination: self.info.remote.ip().to_canonical().to_string(),
            mode: self.mode(),
            fitness: self.fitness,
            preferred: self.rule.preferred,
            quality: 1.0,
            latency: self.quality.latency(),
            least_latency: self.quality.least_latency(),
            variation: self.quality.variation().unwrap_or_default(),
            declared: self.speed(),
            max_rate: self.rule.max_rate,
            measured: self.quality.capacity.get().map(|(bits, _)| bits),
            reached: self.quality.capacity.bound(),
            full_since: self.quality.capacity.full_since(),
            is_used: self.is_used,
            allocation: self.rule.allocation,
            sent_rate: self.sent_rate.at(now) * 8.0,
            failover_to: self.rule.failover_to.clone(),
        }
    }
}
