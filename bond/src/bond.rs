//! One peer's bond: what happens to its paths comes in by `handle_*`, what is to be done goes out by [`Bond::poll`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use protocol::{Address, Instant};

use crate::account::Ledger;
use crate::attributes::LinkAttributes;
use crate::config::{BasePolicy, MonitorStrategy, PolicySettings};
use crate::event::{BondEvent, EventKind};
use crate::failover::{Cause, Phase};
use crate::idle::Idleness;
use crate::member::Member;
use crate::path::PathId;
use crate::plan::Plan;
use crate::policy::active_backup::Active;
use crate::policy::slots::SlotTable;
use crate::qos::QosSamples;
use crate::quality::Rate;
use crate::roster::RememberedPunishments;
use crate::status::BondState;
use crate::tell::EventRate;

/// What a bond wants or has decided.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Send an ECHO on this path, then call [`Bond::handle_probe_sent`].
    Probe(PathId),
    /// Tell the peer now, over every path that works, what arrived from it. Only asked for towards peers of our kind, at most
    /// every 20 ms: a path on which packets flowed has fallen silent, and the peer may be looking at the same failure from the
    /// other side.
    Report,
    /// Use this plan from now on. [`Plan::Unreachable`]: no path of the bond works; choose as without a bond
    /// among the paths that [`Bond::forbids`] does not forbid.
    PlanChanged(Plan<PathId>),
    /// Tell the operator.
    Event(BondEvent),
    /// Nothing more to do before then.
    Timeout(Instant),
}

/// What the operating system says about a path's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// Carrier and address are there.
    Up,
    /// Carrier or address is gone.
    Down,
    /// Sending failed with this error number.
    SendFailed(i32),
}

/// What a peer of our kind says that it received on a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliveryReport {
    /// Bytes received since the last report.
    pub bytes: u64,
    /// Packets received since the last report.
    pub packets: u32,
    /// Packets missing from the path's sequence since the last report, of those that left since [`Bond::works_since`].
    pub lost: u32,
    /// Time since the last report, by the receiver's clock.
    pub interval: Duration,
    /// When the latest of those was sent, by our clock, of which there was no report yet, however short; `None` if there are
    /// none, or nobody knows when.
    pub latest_sent: Option<Instant>,
    /// Packets that left after that one, early enough that they should have arrived and been reported by now.
    pub unreported: u32,
    /// When the first of those left; `None` if there is none.
    pub oldest_unreported: Option<Instant>,
    /// How long ago the latest packet of the path had arrived when the peer reported, by its clock. A queue that grows delays
    /// packets and yet keeps delivering; a path that lost a direction delivers nothing.
    pub silence: Duration,
}

/// What is known of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerTraits {
    /// It answers at most six ECHOs per second and path.
    pub is_stock: bool,
    /// It puts packets back in order.
    pub can_reorder: bool,
}

/// Time between evaluations that nothing else asks for, with traffic and without.
const TICK: Duration = Duration::from_secs(1);
const IDLE_TICK: Duration = Duration::from_secs(30);
/// Errors of sending that mean that the link is gone, on Linux: no device, address, network or route.
const LINK_ERRORS: [i32; 5] = [19, 99, 100, 101, 113];

/// One peer's bond.
#[derive(Debug)]
pub struct Bond {
    pub(crate) peer: Address,
    pub(crate) settings: Arc<PolicySettings>,
    pub(crate) traits: PeerTraits,
    /// Boxed: a map has room for eleven in a piece.
    pub(crate) members: BTreeMap<PathId, Box<Member>>,
    /// What workers follow.
    pub(crate) plan: Plan<PathId>,
    /// What the policy decided; the plan is another one while the bond is idle.
    pub(crate) decided: Plan<PathId>,
    pub(crate) idleness: Idleness,
    pub(crate) active: Active,
    pub(crate) queue: Vec<PathId>,
    pub(crate) slots: SlotTable,
    pub(crate) overflows: bool,
    pub(crate) state: Option<BondState>,
    pub(crate) has_link: bool,
    pub(crate) last_traffic: Option<Instant>,
    /// Packets per second on all paths.
    pub(crate) sent_packets: Rate,
    pub(crate) excused_until: Option<Instant>,
    /// A path is suspected, and judged as soon as another one is heard.
    pub(crate) awaits_witness: bool,
    pub(crate) remembered: RememberedPunishments,
    pub(crate) outputs: VecDeque<Output>,
    /// Something happened that may change the plan.
    is_dirty: bool,
    pub(crate) due: Instant,
    /// When the peer was last told what arrived from it, out of turn.
    pub(crate) last_report: Option<Instant>,
    pub(crate) event_rate: EventRate,
    pub(crate) ledger: Ledger,
    /// Interfaces over their data cap.
    pub(crate) capped: Arc<BTreeSet<String>>,
    /// Varies the timing of probes.
    pub(crate) seed: u64,
}

impl Bond {
    /// A bond with no path. `seed` varies the timing of probes.
    pub fn new(
        settings: Arc<PolicySettings>,
        peer: Address,
        traits: PeerTraits,
        now: Instant,
        seed: u64,
    ) -> Self {
        let mut bond = Self {
            peer,
            settings,
            traits,
            members: BTreeMap::new(),
            plan: Plan::Unreachable,
            decided: Plan::Unreachable,
            idleness: Idleness::Awake,
            sent_packets: Rate::default(),
            excused_until: None,
            awaits_witness: false,
            active: Active::default(),
            queue: Vec::new(),
            slots: SlotTable::default(),
            overflows: false,
            state: None,
            has_link: true,
            last_traffic: None,
            remembered: RememberedPunishments::default(),
            outputs: VecDeque::new(),
            is_dirty: true,
            due: now,
            last_report: None,
            event_rate: EventRate::default(),
            ledger: Ledger::new(now),
            capped: Arc::default(),
            seed,
        };
        let base = bond.settings.base;
        bond.tell(EventKind::BondCreated { base }, now);
        bond.tell_settings(now);
        bond
    }

    /// Authentic packets arrived on the path, the last of them at `now` (which may lie a little in the past, as stamps do).
    pub fn handle_received(&mut self, path: PathId, packets: u64, bytes: u64, now: Instant) {
        let is_passive = self.settings.monitor == MonitorStrategy::Passive;
        self.with(path, now, |member| {
            member.handle_received(packets, bytes, now);
            is_passive && member.prove(now, false, now)
        });
    }

    /// A packet arrived that is no traffic: a probe, an answer, a report. It shows that the peer can be heard on the path.
    pub fn handle_heard(&mut self, path: PathId, bytes: u64, now: Instant) {
        let is_passive = self.settings.monitor == MonitorStrategy::Passive;
        self.with(path, now, |member| {
            member.handle_heard(bytes, now);
            is_passive && member.prove(now, false, now)
        });
    }

    /// Data left on the path, the last of it at `now`: frames and what serves them. Probes and their answers do not count.
    pub fn handle_sent(&mut self, path: PathId, packets: u64, bytes: u64, now: Instant) {
        self.handle_woken(now);
        self.sent_packets.add(packets, now);
        self.with(path, now, |member| {
            member.handle_sent(packets, bytes, now);
            false
        });
    }

    /// Packets that name this peer arrived on the path and failed authentication.
    pub fn handle_forged(&mut self, path: PathId, packets: u64, now: Instant) {
        self.with(path, now, |member| {
            member.quality.add_received(0, packets, now);
            false
        });
    }

    /// The probe that [`Output::Probe`] asked for left; `token` (the packet's ID) tells its answer.
    pub fn handle_probe_sent(&mut self, path: PathId, token: u64, now: Instant) {
        self.ledger.probes += 1;
        self.with(path, now, |member| {
            member.prober.handle_sent(token, now);
            false
        });
    }

    /// The OK of that probe arrived; `path` is where the probe was sent.
    pub fn handle_probe_reply(&mut self, path: PathId, token: u64, now: Instant) {
        let is_stock = self.traits.is_stock;
        self.with(path, now, |member| {
            let reply = member.prober.handle_reply(token);
            reply.is_some_and(|reply| member.handle_answer(reply, is_stock, now))
        });
    }

    /// The path that a probe left on, while an answer to it counts.
    pub fn probed_path(&self, token: u64) -> Option<PathId> {
        let mut members = self.members.iter();
        let (id, _) = members.find(|(_, member)| member.prober.awaits(token))?;
        Some(*id)
    }

    /// A QOS_MEASUREMENT of the peer arrived.
    pub fn handle_qos_report(&mut self, path: PathId, samples: &QosSamples, now: Instant) {
        self.with(path, now, |member| {
            let ours = member.queues_are_ours(now);
            member
                .quality
                .add_round_trips(&samples.round_trips, ours, now);
            let works = member.life.phase == Phase::Up;
            let lost = if works { samples.lost } else { 0 };
            let (delivered, lost) = (samples.delivered.into(), lost.into());
            // What arrived, without what did not, would make any path look good.
            if samples.tells_loss {
                member.quality.add_outcomes(delivered, lost, now);
            }
            if let Some(arrived) = samples.arrived {
                member.handle_arrivals(arrived, samples.loss(), now);
            }
            samples
                .latest_sent
                .is_some_and(|sent| member.prove(sent, false, now))
        });
    }

    /// A peer of our kind reports what it received.
    pub fn handle_delivery_report(&mut self, path: PathId, report: &DeliveryReport, now: Instant) {
        let phase = |bond: &Self| bond.members.get(&path).map(|member| member.life.phase);
        let before = phase(self);
        self.with(path, now, |member| {
            member.handle_delivery(report, now);
            member.handle_report(report, now)
        });
        if before == Some(Phase::Up) && phase(self) == Some(Phase::Down) {
            self.suspect_siblings(path, now);
            // What has not arrived from the peer meanwhile tells it the same.
            self.request_report(now);
        }
    }

    /// What to tell the peer about a path; `None`: there is no such path.
    pub fn attributes(&self, path: PathId) -> Option<LinkAttributes> {
        self.members.get(&path).map(|member| member.attributes())
    }

    /// A peer of our kind says this of a path.
    pub fn handle_attributes(&mut self, path: PathId, attributes: LinkAttributes, now: Instant) {
        let Some(member) = self.members.get_mut(&path) else {
            return;
        };
        if !member.note_told(attributes, now) {
            return;
        }
        let kind = EventKind::PeerAttributes {
            path: member.label(),
            attributes,
        };
        self.is_dirty = true;
        self.tell(kind, now);
    }

    /// The operating system reports on the path's link.
    pub fn handle_link_event(&mut self, path: PathId, event: LinkEvent, now: Instant) {
        let Some(member) = self.members.get_mut(&path) else {
            return;
        };
        let errno = match event {
            LinkEvent::Up if member.life.link_up => return,
            LinkEvent::Down if !member.life.link_up => return,
            LinkEvent::SendFailed(errno) if !LINK_ERRORS.contains(&errno) => return,
            LinkEvent::SendFailed(errno) => Some(errno),
            LinkEvent::Up | LinkEvent::Down => None,
        };
        let up = event == LinkEvent::Up;
        if up {
            member.life.link_up = true;
            member.life.begin_trial(now);
            member.prober.handle_up();
            member.prober.hurry(1);
        } else {
            let failed = member.fail(Cause::Link, now);
            // After an error probes go on, since nobody will tell when it is over.
            member.life.link_up = errno.is_some();
            if !failed && errno.is_some() {
                return;
            }
        }
        let path = member.label();
        self.is_dirty = true;
        self.tell(EventKind::Link { path, up, errno }, now);
    }

    /// Bytes sent per slot since the last call; slots that are not named sent none.
    pub fn handle_slot_bytes(
        &mut self,
        slots: impl IntoIterator<Item = (usize, u64)>,
        now: Instant,
    ) {
        if matches!(
            self.settings.base,
            BasePolicy::BalanceXor | BasePolicy::BalanceAware
        ) {
            self.slots.add_bytes(slots, now);
            if let Some(at) = self.next_slot_step(now) {
                self.due = self.due.min(at.max(now));
            }
        }
    }

    /// The next thing to do. Call until [`Output::Timeout`], after each `handle_*` and when the timeout is over. Before a
    /// poll at its timeout tell the bond what was received and sent, else it takes silence for failure.
    pub fn poll(&mut self, now: Instant) -> Output {
        if self.outputs.is_empty() && (self.is_dirty || now >= self.due) {
            self.is_dirty = false;
            self.excuse(now);
            self.evaluate(now);
            self.due = self.next_due(now);
        }
        self.outputs.pop_front().unwrap_or_else(|| {
            // Events come seldom, and room for them is large.
            self.outputs = VecDeque::new();
            Output::Timeout(self.due)
        })
    }

    /// The plan in force.
    pub fn plan(&self) -> &Plan<PathId> {
        &self.plan
    }

    /// The limit of a UDP payload on this path in bytes, if its link's settings declare one.
    pub fn declared_mtu(&self, path: PathId) -> Option<u16> {
        self.members.get(&path)?.rule.mtu
    }

    /// Smoothed round trip of a path, or of another port of its wire, if one was measured.
    pub fn round_trip(&self, path: PathId) -> Option<Duration> {
        let member = self.members.get(&path)?;
        member.quality.round_trip().or(member.answers.mean())
    }

    /// The path works, and is asked often enough for that to be known.
    pub fn keeps(&self, path: PathId) -> bool {
        self.settings.monitor != MonitorStrategy::Passive
            && self.members.get(&path).is_some_and(|m| m.works())
    }

    /// Since when the path works, as far as is known; `None` if it does not, or is on trial.
    pub fn works_since(&self, path: PathId) -> Option<Instant> {
        let life = &self.members.get(&path)?.life;
        (life.phase == Phase::Up).then_some(life.since)
    }

    /// What part of packets got lost there of late: 0 to 1, and 0 while too little is known.
    pub fn loss(&self, path: PathId, now: Instant) -> f64 {
        let member = self.members.get(&path);
        let loss = member.and_then(|member| member.quality.told_loss(now));
        loss.unwrap_or(0.0)
    }

    /// Of the paths that [`Bond::keeps`] keeps the one for packets that one path suffices for: it carries traffic and costs
    /// nothing, if there is such a one.
    pub fn greeted(&self) -> Option<PathId> {
        let kept = self.members.iter().filter(|(path, _)| self.keeps(**path));
        let best = kept
            .min_by_key(|(path, member)| (member.is_metered(), member.standby.is_some(), **path));
        best.map(|(path, _)| *path)
    }

    /// The operator's word on the path's link keeps it from carrying anything, even where no path of the bond works. A link
    /// that the settings do not name is left out of the bond and no more.
    pub fn forbids(&self, path: PathId) -> bool {
        let member = self.members.get(&path);
        member.is_some_and(|member| member.rule.is_forbidden())
    }

    /// The settings in force.
    pub fn settings(&self) -> &Arc<PolicySettings> {
        &self.settings
    }

    /// Tells a path what happened; `happen` says whether the path came to life by it.
    fn with(&mut self, path: PathId, now: Instant, happen: impl FnOnce(&mut Member) -> bool) {
        let around = self.surroundings(now);
        let Some(member) = self.members.get_mut(&path) else {
            return;
        };
        let was_trial = member.life.phase == Phase::Trial;
        let revived = happen(member);
        self.due = self.due.min(member.next(&around, now));
        if self.awaits_witness {
            self.due = self.due.min(now);
        }
        let path = (revived && was_trial).then(|| member.label());
        self.is_dirty |= revived;
        if let Some(path) = path {
            self.tell(EventKind::TrialEnded { path, proven: true }, now);
        }
    }

    fn next_slot_step(&self, now: Instant) -> Option<Instant> {
        let mut members = self.members.values();
        let hurry = members.any(|member| member.quality.queues(now));
        self.slots.next_step(self.balance(), hurry)
    }

    fn next_due(&self, now: Instant) -> Instant {
        let around = self.surroundings(now);
        let tick = if around.has_traffic { TICK } else { IDLE_TICK };
        self.members
            .values()
            .map(|member| member.next(&around, now))
            .chain(self.next_slot_step(now))
            .chain(self.next_idleness())
            .chain([now + tick])
            .min()
            .unwrap_or(now)
            .max(now + Duration::from_millis(1))
    }

    pub(crate) fn mark_dirty(&mut self) {
        self.is_dirty = true;
    }

    pub(crate) fn request(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}
