//! One path of a bond: what the settings say of it, whether it works, how good it is, and what it wants to do next.

use std::sync::Arc;
use std::time::Duration;

use protocol::Instant;

use crate::attributes::LinkAttributes;
use crate::bond::DeliveryReport;
use crate::config::{LinkMode, Speed};
use crate::event::EventKind;
use crate::failover::{Life, Phase};
use crate::judgement::Judgement;
use crate::path::PathInfo;
use crate::policy::{Fitness, View};
use crate::probe::Prober;
use crate::probe_interval::Standby;
use crate::punishment::Punishment;
use crate::quality::{Quality, Rate};
use crate::rule::Rule;
use crate::suspicion::{AnswerTime, Suspicion};

/// Answers to a stream of packets, TCP's to bulk data, are no more than this part of its bytes.
const ANSWERS: f64 = 12.0;
/// A peer repeats what it says of a link; it holds so long after the last time.
const ATTRIBUTES_MEMORY: Duration = Duration::from_secs(1500);

/// What a path has beside it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Beside {
    /// Another path, not of the same link to the same address, works.
    pub(crate) has_alternative: bool,
    /// Such paths are in use, and all of them full.
    pub(crate) others_are_full: bool,
    /// They lose about as much.
    pub(crate) others_lose_too: bool,
    /// The wire is full: what one port of it lost may have been for that, although another one is used now.
    pub(crate) wire_is_full: bool,
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
    /// A path beside it failed then: it may carry nothing until something that left later is known to have arrived.
    pub(crate) suspected: Option<Instant>,
    pub(crate) beside: Beside,
    pub(crate) quality: Quality,
    pub(crate) sent_rate: Rate,
    pub(crate) received_rate: Rate,
    /// Sent and received.
    pub(crate) bytes: (u64, u64),
    /// The same at the last account.
    pub(crate) accounted: (u64, u64),
    /// 0..=1 against the best path, at the last evaluation.
    pub(crate) relative_quality: f32,
    pub(crate) last_sent: Option<Instant>,
    /// What it was at the last evaluation.
    pub(crate) fitness: Fitness,
    /// It waits for others to fail.
    pub(crate) standby: Option<Standby>,
    /// It is part of the plan in force.
    pub(crate) is_used: bool,
    /// Microseconds that packets took there and the report on them back, by the latest report.
    pub(crate) lag: u32,
    /// From the first unanswered question to the failure, in microseconds; 0 if there is none.
    pub(crate) detection: u32,
    pub(crate) judgement: Judgement,
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
            suspected: None,
            beside: Beside::default(),
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
            detection: 0,
            judgement: Judgement::default(),
        }
    }

    /// What the peer says of it.
    pub(crate) fn told(&self) -> LinkAttributes {
        self.told.as_ref().map(|told| told.0).unwrap_or_default()
    }

    /// The peer says this of it. True if it said something else before.
    pub(crate) fn note_told(&mut self, attributes: LinkAttributes, now: Instant) -> bool {
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
            is_lossy: self.judgement.is_lossy,
            receives: match self.rule.speed_down {
                Some(Speed::BitsPerSecond(bits)) => Some(bits),
                Some(Speed::Relative(_)) | None => None,
            },
        }
    }

    pub(crate) fn label(&self) -> String {
        self.info.to_string()
    }

    pub(crate) fn handle_sent(&mut self, packets: u64, bytes: u64, now: Instant) {
        self.bytes.0 += bytes;
        self.sent_rate.add(bytes, now);
        let last = self.last_sent.unwrap_or(now);
        self.quality.capacity.note_silence(now.duration_since(last));
        self.last_sent = self.last_sent.max(Some(now));
        let ours = self.queues_are_ours(now);
        let rate = self.sent_rate.at(now) * 8.0;
        self.quality.add_sent((packets, bytes), rate, ours, now);
    }

    /// A zerotier-one says when some of our packets arrived: so many did within that time, while this part was lost.
    pub(crate) fn handle_arrivals(
        &mut self,
        arrived: (u64, Duration),
        loss: Option<f64>,
        now: Instant,
    ) {
        let ours = self.queues_are_ours(now);
        self.quality.add_arrivals(arrived, loss, ours, now);
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
    pub(crate) fn queues_are_ours(&self, now: Instant) -> bool {
        self.is_used && self.sent_rate.at(now) * ANSWERS > self.received_rate.at(now)
    }

    /// Both paths are one wire: they differ in ports alone.
    pub(crate) fn shares_wire(&self, other: &Self) -> bool {
        self.info.interface == other.info.interface
            && self.info.remote.ip().to_canonical() == other.info.remote.ip().to_canonical()
    }

    /// How much weight its word has on what fits on its wire: that of a path in use has most, then what was measured, of late.
    pub(crate) fn authority(&self) -> (bool, bool, Option<Instant>) {
        let capacity = &self.quality.capacity;
        (self.is_used, capacity.get().is_some(), capacity.confirmed())
    }

    /// It is proven, and the rules let it carry something.
    pub(crate) fn works(&self) -> bool {
        self.life.phase == Phase::Up && self.rule.refused.is_none()
    }

    /// What it carries costs, as either end says.
    pub(crate) fn is_metered(&self) -> bool {
        self.rule.is_metered || self.told().is_metered
    }

    /// The peer's report on what it received.
    pub(crate) fn handle_delivery(&mut self, report: &DeliveryReport, now: Instant) {
        // It may prove that the path works again, and then tells what was lost until now.
        let was_down = self.life.phase != Phase::Up;
        self.quality.add_delivery(
            report.bytes,
            (report.packets.into(), report.lost.into()),
            report.interval,
            self.queues_are_ours(now),
            was_down,
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
            queues: self.quality.queues(now),
            is_used: self.is_used,
            is_metered: self.is_metered(),
            allocation: self.rule.allocation,
            sent_rate: self.sent_rate.at(now) * 8.0,
            failover_to: self.rule.failover_to.clone(),
        }
    }
}

#[cfg(test)]
impl Member {
    /// A path that works, since the beginning of time.
    pub(crate) fn example(settings: &crate::config::PolicySettings) -> Self {
        let info = PathInfo {
            id: crate::path::PathId(1),
            interface: "wan1".to_owned(),
            interface_mac: None,
            local: "10.0.0.1:9993".parse().expect("an address"),
            remote: "10.0.0.2:9993".parse().expect("an address"),
            link_up: true,
            confirmed: true,
        };
        let rule = Arc::new(Rule::resolve(&info, settings, false));
        let now = Instant::from_millis(0);
        Self::new(info, rule, Punishment::default(), 0, now)
    }
}
