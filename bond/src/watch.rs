//! Watching one path: what proves that it works, what speaks against it, and when it is given up.

use std::time::Duration;

use protocol::Instant;

use crate::bond::DeliveryReport;
use crate::config::{MonitorStrategy, PolicySettings};
use crate::event::EventKind;
use crate::failover::{Cause, Phase, TRIAL};
use crate::member::Member;
use crate::packed::micros;
use crate::path::PathId;
use crate::probe::Reply;
use crate::probe_interval::{Standby, Watch};
use crate::suspicion::{Reason, packets_to_miss};

/// Packets that the peer does not report are missing if the first of them left this long ago, and nothing has come in there
/// for as long.
const UNREPORTED_FOR: Duration = Duration::from_millis(60);
/// Reports this recent tell of failures as fast as probes would.
const REPORTS_COUNT_FOR: Duration = Duration::from_millis(250);
/// A full path that is back so soon did not fail: far more was sent than fits, and nothing passed for a while.
const STALLED: Duration = Duration::from_millis(300);
/// A path whose last proof is older than this is asked as it is put to use.
const FRESH: Duration = Duration::from_millis(100);
/// Under load a report proves a path ten times a second: one that is not proven for longer is silent.
const PROVEN_WITHIN: Duration = Duration::from_millis(125);

/// What a path's doings depend on besides itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    pub(crate) strategy: MonitorStrategy,
    pub(crate) is_stock: bool,
    pub(crate) has_traffic: bool,
    /// Since the bond last sent something.
    pub(crate) idle_for: Duration,
    /// The bond sends enough for failures to be noticed at once.
    pub(crate) is_busy: bool,
    /// We were late ourselves: no judgement before then.
    pub(crate) excused_until: Option<Instant>,
    /// The two paths that were heard last, and when.
    pub(crate) heard: [Option<(PathId, Instant)>; 2],
}

impl Surroundings {
    /// When something came in on another path than this.
    fn witness(&self, path: PathId) -> Option<Instant> {
        let others = self.heard.iter().flatten().find(|(id, _)| *id != path);
        others.map(|(_, at)| *at)
    }

    fn is_excused(&self, now: Instant) -> bool {
        self.excused_until.is_some_and(|until| now < until)
    }
}

/// What became of a path.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct News {
    /// It went down, and not because the operating system said so.
    pub(crate) failed: bool,
    /// Packets stopped coming in.
    pub(crate) fell_silent: bool,
    /// Answers are missing: others should be asked too, to tell a failure of the path from one of ours or the peer's.
    pub(crate) wants_witness: bool,
}

impl Member {
    /// Something that left at `sent` arrived; `answered` if an answer on this path says so. True if the path is up again.
    pub(crate) fn prove(&mut self, sent: Instant, answered: bool, now: Instant) -> bool {
        self.prober.handle_proof(sent);
        self.suspicion.note_proof(sent, answered);
        self.suspected = self.suspected.filter(|since| sent < *since);
        // The peer's word that it hears us says nothing of a direction in which nothing comes in.
        let is_deaf =
            self.life.phase == Phase::Down && self.life.last_received < Some(self.life.since);
        let has_stalled = self.life.phase == Phase::Down
            && self.life.cause.is_noticed()
            && now < self.life.since + STALLED
            && self.quality.capacity.is_used_up(now);
        let revived = (answered || !is_deaf) && self.life.prove(sent, now);
        if revived {
            if has_stalled {
                self.life.punishment.take_back_failure();
            }
            self.prober.handle_up();
            self.quality.capacity.note_revived(now);
            self.quality.set_up(true, now);
            self.detection = 0;
        }
        revived
    }

    /// A probe was answered. True if the path is up again.
    pub(crate) fn handle_answer(&mut self, reply: Reply, is_stock: bool, now: Instant) -> bool {
        let sent = reply.sent;
        self.handle_lost(reply.lost, is_stock, now);
        self.life.note_answer(sent);
        let round_trip = now.duration_since(sent);
        // What left while the path was down may have waited in a queue of the system, for the next hop's address to be resolved.
        let is_usual = self.life.phase == Phase::Up && sent >= self.life.since;
        if is_usual || self.answers.mean().is_none() {
            self.answers.add(round_trip);
            self.quality.add_round_trip(round_trip, now);
        } else if self.life.phase == Phase::Down && self.life.cause == Cause::Late {
            // So long answers take.
            self.answers.add(round_trip);
        }
        self.quality.add_probes(1, 0, now);
        self.prove(sent, true, now)
    }

    /// Probes were lost. What is lost of those that left before the path failed says no more than that it failed.
    fn handle_lost(&mut self, lost: u64, is_stock: bool, now: Instant) {
        // A stock peer passes over probes that a queue pushed together, and those are no loss.
        let is_pushed = is_stock && self.quality.capacity.was_full(now);
        if lost > 0 && self.life.phase == Phase::Up && !is_pushed {
            self.quality.add_probes(0, lost, now);
            self.life.punishment.add_losses(lost);
        }
    }

    /// A report of the peer's on what it received. True if the path is up again, or down.
    pub(crate) fn handle_report(&mut self, report: &DeliveryReport, now: Instant) -> bool {
        let mut changed = false;
        if let Some(sent) = report.latest_sent {
            self.last_report = Some(now);
            let lag = now.duration_since(sent).saturating_sub(report.silence);
            self.lag = micros(lag);
            changed = self.prove(sent, false, now);
        }
        changed | self.handle_unreported(report, now)
    }

    /// The peer may report that it did not get our latest packets. True if the path is down by that.
    fn handle_unreported(&mut self, report: &DeliveryReport, now: Instant) -> bool {
        let Some(oldest) = report.oldest_unreported else {
            return false;
        };
        let is_refuted = self.life.last_proof.is_some_and(|proof| proof >= oldest);
        let is_silent = report.packets == 0 || report.silence >= UNREPORTED_FOR;
        if !is_silent || is_refuted || self.life.phase != Phase::Up {
            return false;
        }
        if report.unreported < 3 || now < oldest + UNREPORTED_FOR {
            // Too few to say more, and of a thin flow no more may come soon.
            if self.beside.has_alternative && self.prober.unanswered().is_none() {
                self.prober.hurry(1);
            }
            return false;
        }
        self.suspicion.doubt(Reason::Unreported, now);
        let is_certain = report.unreported >= packets_to_miss(self.loss(now));
        // The last packets of a burst that a full link had no room for, and senders that wait after that, look the same.
        let may_be_full = self.quality.may_queue() || self.quality.capacity.was_full(now);
        let may_fail = self.beside.has_alternative && self.rule.down_delay.is_zero();
        if may_fail && is_certain && !may_be_full {
            return self.fail(Cause::OneWay, now);
        }
        self.prober.hurry(2);
        false
    }

    /// The path is down. True if it was not.
    pub(crate) fn fail(&mut self, cause: Cause, now: Instant) -> bool {
        self.detection = self
            .prober
            .unanswered()
            .or(self.suspicion.since())
            .map_or(0, |since| micros(now.duration_since(since)));
        let failed = self.life.fail(cause, now);
        if failed {
            if cause.is_noticed() {
                self.quality.capacity.doubt(now);
            }
            self.prober.handle_down();
            self.suspicion.clear();
            self.suspected = None;
            self.quality.set_up(false, now);
        }
        failed
    }

    /// It failed in an outage in which another port of its wire is down already, and which counts once. Of those that fail at the
    /// same moment the last one of which this is asked has it counted.
    pub(crate) fn shares_outage(&self, other: &Self) -> bool {
        let is_down = other.life.phase == Phase::Down && other.life.cause.is_noticed();
        let (since, own_since) = (other.life.since, self.life.since);
        let is_counted =
            since < own_since || since == own_since && other.life.punishment.counts_failure();
        is_down && is_counted && self.shares_wire(other) && !self.worked_since(since)
    }

    /// Another path failed at `now`. If it is a port of the same wire, this one has failed with it unless it worked while answers
    /// were missing there. What a full link stalled is no failure.
    pub(crate) fn share_failure(&mut self, other: &Self, now: Instant) {
        let missing = Duration::from_micros(other.detection.into());
        let may_have_stalled = other.quality.capacity.is_used_up(now);
        if self.shares_wire(other) && !self.worked_since(now - missing) && !may_have_stalled {
            self.life.punishment.share(&other.life.punishment);
        }
    }

    /// Something that left then or later arrived, and something came in.
    fn worked_since(&self, at: Instant) -> bool {
        self.life.last_proof.min(self.life.last_received) >= Some(at)
    }

    /// A path of the same link failed at `now`: what is true of that may be true of this one.
    pub(crate) fn suspect(&mut self, now: Instant) {
        if self.life.phase == Phase::Up {
            self.suspected = Some(now);
            if self
                .life
                .last_proof
                .is_none_or(|at| at + PROVEN_WITHIN < now)
            {
                self.quality.capacity.doubt(now);
            }
            self.suspicion.doubt(Reason::Untried, now);
            self.prober.hurry(2);
        }
    }

    /// The path is put to use. Unless it has just proven that it works it is asked for that meanwhile.
    pub(crate) fn engage(&mut self, now: Instant) {
        let fresh = self.life.last_proof.is_some_and(|at| now < at + FRESH);
        if self.life.phase == Phase::Up && !fresh {
            self.suspicion.doubt(Reason::Untried, now);
            self.prober.hurry(2);
        }
    }

    /// Part of what we send that has to be expected to be lost, as far as that can be told.
    fn loss(&self, now: Instant) -> f64 {
        let missing = self.prober.given_up() as u64;
        self.quality.losses.expected(missing, now)
    }

    fn watch(&self, around: &Surroundings, now: Instant) -> Watch {
        Watch {
            strategy: around.strategy,
            failover_interval: self.rule.failover_interval,
            is_stock: around.is_stock,
            is_down: self.life.phase == Phase::Down,
            is_trial: self.life.phase == Phase::Trial
                || (self.judgement.avoided.is_some() || self.judgement.is_punished)
                    && around.has_traffic,
            reason: self.suspicion.reason(),
            has_alternative: self.beside.has_alternative,
            has_traffic: around.has_traffic,
            idle_for: around.idle_for,
            is_busy: around.is_busy && self.standby.is_none(),
            is_covered: self
                .last_report
                .is_some_and(|at| now < at + REPORTS_COUNT_FOR),
            sent_rate: self.sent_rate.at(now),
            loss: self.loss(now),
            standby: self.standby,
            answers: self.answers,
        }
    }

    /// When both directions were last known to work. Of a port that another one stands for, hearing the peer's questions is
    /// enough: one of both ends asks.
    fn proven(&self) -> Option<Instant> {
        let heard = self.life.last_received;
        if self.standby == Some(Standby::Port) && self.life.phase == Phase::Up {
            heard
        } else {
            self.life.last_proof.min(heard)
        }
    }

    fn question_at(&self) -> Option<Instant> {
        let heard = self.life.last_received.filter(|_| self.can_fail())?;
        self.suspicion.question_at(heard, self.answers.mean())
    }

    fn doubt_at(&self) -> Option<Instant> {
        let heard = self.life.last_received.filter(|_| self.can_fail())?;
        self.suspicion.doubt_at(heard, self.answers.mean())
    }

    fn can_fail(&self) -> bool {
        self.life.phase == Phase::Up && self.beside.has_alternative
    }

    /// When missing answers become a failure.
    fn failure_at(&self, watch: &Watch, around: &Surroundings) -> Option<Instant> {
        if self.life.phase != Phase::Up {
            return None;
        }
        if watch.strategy == MonitorStrategy::Passive {
            let heard = self.life.last_received.max(Some(self.life.since))?;
            let waited = self.rule.failover_interval + self.rule.down_delay;
            // Traffic went out long after the last came in.
            return (self.last_sent? > heard).then_some(heard + waited);
        }
        let witness = around.witness(self.info.id);
        let at = self
            .prober
            .failure_at(watch, self.life.last_received, witness)?;
        let at = self.late_answers_until().map_or(at, |late| late.max(at));
        Some(at + self.rule.down_delay)
    }

    /// Packets still arrive, by reports, but take so long that what was asked may be answered until then: a link that has
    /// become slow first delivers what queued before, and takes in little else meanwhile.
    fn late_answers_until(&self) -> Option<Instant> {
        let first = self.prober.unanswered()?;
        let reported = self.last_report.unwrap_or_default();
        let lag = Duration::from_micros(self.lag.into());
        let is_slow = self.answers.overdue().is_some_and(|limit| lag > limit);
        let is_recent = first < reported + REPORTS_COUNT_FOR;
        Some(if is_slow && is_recent {
            (first + lag * 2 + 2 * UNREPORTED_FOR).min(reported + REPORTS_COUNT_FOR)
        } else {
            first
        })
    }

    /// Does what is due. What is of note to the operator goes into `events`.
    pub(crate) fn advance(
        &mut self,
        around: &Surroundings,
        settings: &PolicySettings,
        events: &mut Vec<EventKind>,
        now: Instant,
    ) -> News {
        let mut news = News::default();
        self.expire_attributes(events, now);
        self.life
            .punishment
            .advance(self.life.phase == Phase::Up, now);
        if !around.is_excused(now) && around.strategy != MonitorStrategy::Passive {
            self.listen(around, &mut news, now);
        }
        let watch = self.watch(around, now);
        let lost = self.prober.expire(&watch, now);
        self.handle_lost(lost, around.is_stock, now);
        let failure = self.failure_at(&watch, around);
        if !around.is_excused(now) && failure.is_some_and(|at| at <= now) {
            let asked = self.prober.unanswered().unwrap_or(now);
            let hears = self.life.last_received.is_some_and(|heard| heard > asked);
            if hears {
                events.push(EventKind::OneWayFailure { path: self.label() });
            }
            self.fail(if hears { Cause::OneWay } else { Cause::Silent }, now);
            news.failed = true;
        } else if self.life.phase == Phase::Trial && self.life.since + TRIAL <= now {
            events.push(EventKind::TrialEnded {
                path: self.label(),
                proven: false,
            });
            self.fail(Cause::Unproven, now);
        }
        news.wants_witness |= self.life.phase == Phase::Up
            && self.beside.has_alternative
            && self.prober.is_overdue(&watch, now);
        self.judge(settings, events, now);
        news
    }

    /// Notices silence where packets flowed.
    fn listen(&mut self, around: &Surroundings, news: &mut News, now: Instant) {
        let needed = self.watch(around, now).needed();
        let needed = u8::try_from(needed).unwrap_or(u8::MAX);
        if self.question_at().is_some_and(|at| at <= now) {
            self.suspicion.note_asked();
            // Where answers take long there is no time for one question after the other.
            let is_far = self.answers.overdue() > Some(Duration::from_millis(30));
            self.prober.hurry(if is_far { needed.min(2) } else { 1 });
            news.wants_witness = true;
        }
        if self.doubt_at().is_some_and(|at| at <= now) {
            self.suspicion.doubt(Reason::Silent, now);
            let asked = u8::try_from(self.prober.missing()).unwrap_or(u8::MAX);
            self.prober.hurry(needed.saturating_sub(asked));
            news.fell_silent = true;
            news.wants_witness = true;
        }
    }

    /// True if a probe is to be sent now.
    pub(crate) fn ask(&mut self, around: &Surroundings, now: Instant) -> bool {
        let watch = self.watch(around, now);
        let due = self.next_probe(&watch).is_some_and(|due| due <= now);
        if due {
            self.prober.handle_asked(&watch, now);
        }
        due
    }

    fn next_probe(&self, watch: &Watch) -> Option<Instant> {
        let may_ask = self.life.link_up && self.rule.refused.is_none();
        may_ask
            .then(|| self.prober.next(watch, self.proven()))
            .flatten()
    }

    /// When something becomes due without anything happening.
    pub(crate) fn next(&self, around: &Surroundings, now: Instant) -> Instant {
        let watch = self.watch(around, now);
        let remaining = self.life.punishment.remaining();
        let judgement = [
            self.failure_at(&watch, around),
            self.question_at(),
            self.doubt_at(),
        ];
        let excused = around.excused_until.unwrap_or_default();
        let judgement = judgement.into_iter().flatten().min();
        [
            judgement.map(|at| at.max(excused)),
            self.next_probe(&watch),
            (self.life.phase == Phase::Trial).then_some(self.life.since + TRIAL),
            self.life.up_delay_end(self.rule.up_delay, now),
            (self.life.phase == Phase::Up && !remaining.is_zero()).then_some(now + remaining),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(now + Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests;
