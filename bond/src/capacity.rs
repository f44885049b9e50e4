//! How much fits on a path. Only a full path tells: while packets queue, what arrives (by the receiver's reports) or what
//! leaves (for a peer that does not report) is what fits. A path that was never full is known to carry no less than it did.

use std::time::Duration;

use protocol::Instant;

use crate::departures::Departures;
use crate::doubt::Doubt;
use crate::felt_queue::FeltQueue;
use crate::overload::{CleanRate, LossCause, OVERLOAD};
use crate::packed::{pack_nearest, unpack};
use crate::quality::Rate;
use crate::windows::Windows;

/// Fewer packets than this say nothing of overload.
const ENOUGH_PACKETS: u64 = 20;
/// Length of our own windows, and of the longest report that counts.
const WINDOW: Duration = Duration::from_millis(200);
pub(crate) const LONGEST_WINDOW: Duration = Duration::from_secs(1);
/// A path that carries this part of what fits is used up.
const USED_UP: f64 = 0.7;
/// Windows of this time together make a measurement, and of half of it a first one.
const MEASUREMENT: Duration = Duration::from_millis(600);
/// Bytes per second below which nothing is measured.
const LEAST: f64 = 5_000.0;
/// A measurement that differs by more takes the place of the old one; others change it by a tenth.
const SURPRISE: f64 = 0.2;
/// Less that arrives shows that less fits only while more is sent than arrives, by this factor, or much is lost: a queue is
/// felt for a while after senders have paused, or moved to another path. This is how long it shows so if the queue stands.
const PRESSURE: f32 = 1.3;
/// Seconds after which the comparison has forgotten most.
const PRESSURE_TIME: f32 = 0.5;
/// Bits of fraction of what is compared.
const FRACTION: u32 = 11;
const PRESSED: Duration = Duration::from_millis(1500);
/// Without that, less that arrives by up to [`SURPRISE`] changes the estimate by this part.
const PATIENT: f64 = 0.02;
/// While it is known how much fits on another path, one that was never full may carry this much more than it does.
const RAISE: f64 = 1.5;
/// A path that is doubted may carry this much more than it does.
pub(crate) const GROWTH: f64 = 1.25;
/// A report that spans the beginning of a doubt tells of the time before if it tells of more than is expected, by this factor.
const PAST: f64 = 1.5;
/// A smoothed rate has caught up with what is sent after so long.
const CAUGHT_UP: Duration = Duration::from_millis(1500);
/// What was measured so long ago is not known any more.
const MEMORY: Duration = Duration::from_secs(600);
/// Losses are remembered so long.
const LOSS_MEMORY: Duration = Duration::from_secs(5);
/// A path of which no peer reports what arrives, and on which no queue was felt for so long, is not full, whatever it loses.
const QUEUE_MEMORY: Duration = Duration::from_secs(60);
/// Reports this recent make our own windows needless: where enough is sent, 1.14.1 sends them two and a half seconds apart.
const REPORTED: Duration = Duration::from_secs(4);
/// Packets that queue while less than this part of what fits is sent show that less fits. A peer that reports seldom, as
/// 1.14.1 does, would say so only after seconds.
const GIVEN_WAY: f64 = 0.75;
const SELDOM: Duration = Duration::from_millis(250);
const AWAITED: Duration = Duration::from_millis(3500);

/// What a number of bit/s means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Kind {
    /// Nothing.
    #[default]
    Unknown,
    /// No less than this fits.
    Bound,
    /// So much left while the path was full.
    Estimated,
    /// So much arrived while the path was full.
    Measured,
}

/// How often the peer says what arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Reports {
    #[default]
    Often,
    Seldom,
}

/// What is known of one path's capacity in our direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capacity {
    /// What was carried of late; while the path is full, since then.
    windows: Windows,
    /// Bit/s.
    bits: f32,
    kind: Kind,
    confirmed: Instant,
    full_since: Option<Instant>,
    last_full: Option<Instant>,
    queue: FeltQueue,
    last_report: Option<Instant>,
    reports: Reports,
    /// Bytes per second that left and that arrived, smoothed; see [`pack_nearest`].
    lately: (u16, u16),
    clean_rate: CleanRate,
    departures: Departures,
    doubt: Doubt,
    /// A doubt has begun since the last report: the next one, if they are seldom, tells of the time before, too.
    is_next_mixed: bool,
    /// When more was sent than fits.
    pressed: Instant,
    /// What left since then.
    sent: u64,
    sent_since: Option<Instant>,
}

impl Capacity {
    /// A round trip took so many microseconds.
    pub(crate) fn add_round_trip(&mut self, micros: f64, now: Instant) {
        self.queue.add_round_trip(micros, now);
    }

    /// Packets were queued lately.
    pub(crate) fn note_queue(&mut self, now: Instant) {
        self.last_full = Some(now);
    }

    /// Nothing was sent for so long. If a smoothed rate is now as low as if senders had given way, the path has to be full anew
    /// for that to count.
    pub(crate) fn note_silence(&mut self, silence: Duration) {
        if Rate::kept(silence) <= GIVEN_WAY {
            self.full_since = None;
        }
    }

    /// Flows that sent so many bit/s were moved off the path.
    pub(crate) fn note_departure(&mut self, bits: f64) {
        self.departures.add(bits);
    }

    /// The receiver got so much, of so much that left, within `interval` of its clock, and missed `lost` of `packets + lost`.
    /// What left is counted here if that is not given. `least`: the least round trip in microseconds; `ours`: a queue would be
    /// of our making.
    pub(crate) fn add_delivery(
        &mut self,
        (bytes, left): (u64, Option<u64>),
        (packets, lost): (u64, u64),
        interval: Duration,
        (least, ours): (f64, bool),
        now: Instant,
    ) {
        // What left since the report before, as if that had taken as long as what arrived.
        let before = self.last_report.replace(now);
        self.departures.note_report();
        self.reports = match left {
            Some(_) => Reports::Seldom,
            None => Reports::Often,
        };
        let is_mixed = std::mem::take(&mut self.is_next_mixed) && left.is_some();
        let since = self.sent_since.take().or(before);
        let elapsed = now.duration_since(since.unwrap_or(now));
        let part = (interval.as_secs_f64() / elapsed.as_secs_f64().max(1e-3)).min(1.0);
        let all_sent = std::mem::take(&mut self.sent) as f64;
        let counted = (all_sent * part) as u64;
        let all = packets.saturating_add(lost);
        let loss = lost as f64 / all.max(1) as f64;
        // What is reported that seldom may have been lost before the path failed.
        let is_old = left.is_some() && self.doubt.is_recent(AWAITED, now);
        let are_few = all < ENOUGH_PACKETS;
        let is_told = !are_few && !is_old;
        // Of samples the part that is lost tells more exactly than their number what arrives.
        let is_sampled = left.is_some() && !elapsed.is_zero();
        let (arrived, time) = if is_sampled {
            ((all_sent * (1.0 - loss)) as u64, elapsed)
        } else {
            (bytes, interval)
        };
        let cause = match self.cause_of_loss(arrived, loss, time) {
            LossCause::Overload | LossCause::Unclear if are_few => LossCause::Unknown,
            LossCause::Overload if is_old => LossCause::Unclear,
            cause => cause,
        };
        if is_told && loss > OVERLOAD && self.queue.is_standing(now) {
            self.pressed = now;
        }
        if is_mixed && self.is_past(bytes, interval) {
            return;
        }
        self.add(
            (bytes, left.unwrap_or(counted)),
            interval,
            cause,
            (least, ours),
            Kind::Measured,
            now,
        );
    }

    /// So much more arrived within that time than is expected from now on that it tells of the time before.
    fn is_past(&self, bytes: u64, interval: Duration) -> bool {
        let bits = bytes as f64 * 8.0 / interval.as_secs_f64().max(1e-3);
        self.doubt.is_open() && bits > PAST * self.doubt.expected(self.bits.into())
    }

    /// So much left, at so many bit/s of late; `loss` of it does not arrive.
    pub(crate) fn add_sent(
        &mut self,
        (bytes, rate): (u64, f64),
        loss: f64,
        (least, ours): (f64, bool),
        now: Instant,
    ) {
        if ours && self.have_senders_given_way(rate, least, now) {
            self.is_next_mixed |= !self.doubt.is_open();
            self.doubt.begin_briefly(self.bits.into(), now);
        }
        if self.last_report.is_some_and(|last| now < last + REPORTED) {
            self.sent += bytes;
            return;
        }
        if self.sent_since.is_none() {
            self.sent = 0;
        }
        let since = *self.sent_since.get_or_insert(now);
        let elapsed = now.duration_since(since);
        if elapsed >= WINDOW {
            let delivered = (self.sent as f64 * (1.0 - loss)) as u64;
            let cause = match self.cause_of_loss(delivered, loss, elapsed) {
                // Of a path that failed nobody says when that was lost.
                LossCause::Overload if self.doubt.is_open() => LossCause::Unclear,
                // What arrives is reckoned from the loss.
                LossCause::Chance => LossCause::Unclear,
                cause => cause,
            };
            self.add(
                (delivered, self.sent),
                elapsed,
                cause,
                (least, ours),
                Kind::Estimated,
                now,
            );
            self.sent = 0;
            self.sent_since = Some(now);
        }
        self.sent += bytes;
    }

    /// Packets queue although far less is sent, so many bit/s, than was known to fit.
    fn have_senders_given_way(&mut self, rate: f64, least: f64, now: Instant) -> bool {
        let least_rate = GIVEN_WAY * f64::from(self.bits);
        let is_awaited = self
            .last_report
            .is_some_and(|last| last + SELDOM <= now && now <= last + AWAITED);
        // By the last report, or the one before if that tells of the fall, as much was sent as fits, and the path has been full for a
        // while: the rate has not just begun to grow.
        let is_caught_up = self
            .full_since
            .is_some_and(|since| since + CAUGHT_UP <= now);
        is_awaited
            && is_caught_up
            && self.get().is_some()
            && rate + self.departures.rate() < least_rate
            && self.windows.rate_before(LONGEST_WINDOW, least_rate).0 >= least_rate
            && self.queue.is_standing(now)
            && self.queue.is_felt(least, self.full_since.is_some(), now)
    }

    /// So much arrived within that time, and this part of what was sent did not. Why?
    fn cause_of_loss(&mut self, bytes: u64, loss: f64, interval: Duration) -> LossCause {
        let arrived = bytes as f64 / interval.as_secs_f64().max(1e-3);
        self.clean_rate.add(arrived, loss, interval)
    }

    fn add(
        &mut self,
        (bytes, sent): (u64, u64),
        interval: Duration,
        cause: LossCause,
        (least, ours): (f64, bool),
        kind: Kind,
        now: Instant,
    ) {
        if interval.is_zero() {
            return;
        }
        let rate = bytes as f64 / interval.as_secs_f64();
        let queues = self.queue.is_felt(least, self.full_since.is_some(), now);
        let overloaded = cause == LossCause::Overload;
        let is_full = ours && interval <= LONGEST_WINDOW && rate > LEAST && (overloaded || queues);
        if is_full && self.full_since.is_none() {
            self.full_since = Some(now);
            // What came before the queue says nothing.
            self.windows = Default::default();
        } else if !is_full {
            self.full_since = None;
        }
        if is_full && queues {
            self.last_full = Some(now);
        }
        if self.kind == Kind::Bound {
            self.confirmed = now;
        }
        self.windows.add(rate, interval);
        let (bits, time) = self.windows.rate(MEASUREMENT);
        let keep = (-interval.as_secs_f32() / PRESSURE_TIME).exp();
        let smooth = |before: u16, bytes: u64| {
            let rate = bytes as f32 / interval.as_secs_f32();
            unpack(before, FRACTION) * keep + rate * (1.0 - keep)
        };
        let (left, arrived) = (smooth(self.lately.0, sent), smooth(self.lately.1, bytes));
        self.lately = (
            pack_nearest(left, FRACTION),
            pack_nearest(arrived, FRACTION),
        );
        if is_full {
            self.clean_rate.note_full();
        } else {
            self.clean_rate.note_room((left, arrived), cause, interval);
        }
        if overloaded || left > PRESSURE * arrived {
            self.pressed = now;
        }
        let known = f64::from(self.bits);
        // What arrives counts more than what left ever did: some senders begin with far more than fits.
        let is_known = match self.kind {
            Kind::Measured => true,
            Kind::Estimated => kind != Kind::Measured,
            Kind::Unknown | Kind::Bound => false,
        };
        // Of what is sent to a peer that does not report, nobody knows what arrives.
        let is_proof = kind != Kind::Measured
            || bits >= known
            || now == self.pressed
            || (now <= self.pressed + PRESSED || self.doubt.is_open())
                && self.queue.is_standing(now);
        let differs = (bits - known).abs() > SURPRISE * known;
        if is_full && is_known && !is_proof {
            if !differs {
                self.bits = (known + (bits - known) * PATIENT) as f32;
                self.confirmed = now;
            }
        } else if is_full && time >= MEASUREMENT / 2 {
            let measured = match (is_known, differs) {
                (true, false) => known + (bits - known) / 10.0,
                // Half of the windows may be from before the change.
                (true, true) if time < MEASUREMENT && !self.doubt.is_open() => (known + bits) / 2.0,
                _ => bits,
            };
            self.bits = measured as f32;
            self.kind = kind;
            self.confirmed = now;
            self.doubt.end();
        } else if !is_full && interval <= LONGEST_WINDOW {
            // It has become wider, or nobody knew how wide it is. What leaves proves that only if it goes on without a queue.
            let is_reported = kind == Kind::Measured && self.kind != Kind::Unknown;
            let is_certain = is_reported && time >= MEASUREMENT / 2
                || time >= MEASUREMENT && !self.queue.may_be_felt();
            if is_certain && bits > LEAST * 8.0 {
                self.doubt.note_arriving(bits, known);
                self.bits = self.bits.max(bits as f32);
                if self.kind == Kind::Unknown {
                    self.kind = Kind::Bound;
                }
            }
        }
    }

    /// It is known how much fits on another path, and this one, which was never full, may have room: let it have more, until
    /// it is full or traffic fits.
    pub(crate) fn raise(&mut self, now: Instant) {
        let is_known = matches!(self.kind, Kind::Estimated | Kind::Measured);
        if is_known || self.full_since.is_some() || !self.is_counted(now) {
            return;
        }
        let (bits, time) = self.windows.rate(MEASUREMENT);
        let raised = bits * RAISE;
        if time >= MEASUREMENT && bits > LEAST * 8.0 && raised > self.bits.into() {
            self.bits = raised as f32;
            self.confirmed = now;
            if self.kind == Kind::Unknown {
                self.kind = Kind::Bound;
            }
        }
    }

    /// The path has failed, or fell silent as another one of its link did.
    pub(crate) fn doubt(&mut self, now: Instant) {
        if self.was_used_up(now) {
            self.is_next_mixed |= !self.doubt.is_open();
            self.doubt.begin(self.bits.into(), self.is_exact(), now);
        }
        // What arrived until then says nothing of what will; that nothing arrives meanwhile does: the first packets that do come
        // all at once.
        self.windows = Windows::default();
        self.full_since = None;
    }

    /// The path works again.
    pub(crate) fn note_revived(&mut self, now: Instant) {
        self.doubt.note_revived(self.is_exact(), now);
    }

    /// What fits was measured, and would soon be so again.
    fn is_exact(&self) -> bool {
        self.kind == Kind::Measured && self.reports == Reports::Often
    }

    /// Until it fell silent as much was carried as fits, or packets queued.
    fn was_used_up(&self, now: Instant) -> bool {
        let least = USED_UP * f64::from(self.bits);
        let (bits, time) = self.windows.rate_before(MEASUREMENT, least);
        let carried = time >= MEASUREMENT / 2 && bits >= least;
        self.is_counted(now) && self.may_be_full(now) && (carried || self.was_full(now))
    }

    /// Something was carried of late.
    fn is_counted(&self, now: Instant) -> bool {
        let patience = match self.reports {
            Reports::Often => LONGEST_WINDOW,
            Reports::Seldom => AWAITED,
        };
        let is_recent = |last: Option<Instant>, time| last.is_some_and(|last| now <= last + time);
        is_recent(self.sent_since, LONGEST_WINDOW) || is_recent(self.last_report, patience)
    }

    /// Lets go of what is too old; call now and then.
    pub(crate) fn expire(&mut self, now: Instant) {
        if !self.is_counted(now) {
            self.full_since = None;
        }
        self.doubt.expire(self.bits.into(), self.is_exact(), now);
        if self.kind != Kind::Unknown && self.confirmed + MEMORY < now {
            self.kind = Kind::Unknown;
            self.bits = 0.0;
        }
    }

    /// In bit/s, and whether the receiver told it; `None` while it has never been full.
    pub(crate) fn get(&self) -> Option<(u64, bool)> {
        match self.kind {
            Kind::Measured => Some((self.bits as u64, true)),
            Kind::Estimated => Some((self.bits as u64, false)),
            Kind::Unknown | Kind::Bound => None,
        }
    }

    /// In bit/s; to place flows by (`for_flows`) less while it is doubted. Whoever spreads packets would leave the path out for
    /// that, and it could never show what fits.
    pub(crate) fn known(&self, for_flows: bool) -> Option<u64> {
        let (measured, _) = self.get()?;
        Some(match for_flows {
            true => self.doubt.expected(self.bits.into()) as u64,
            false => measured,
        })
    }

    /// When it was last measured; `None` if nothing is known.
    pub(crate) fn confirmed(&self) -> Option<Instant> {
        (self.kind != Kind::Unknown).then_some(self.confirmed)
    }

    /// No less than this fits, in bit/s.
    pub(crate) fn bound(&self) -> u64 {
        self.bits as u64
    }

    /// Packets queued lately: losses were of our making.
    pub(crate) fn was_full(&self, now: Instant) -> bool {
        self.last_full.is_some_and(|last| now <= last + LOSS_MEMORY)
    }

    /// Losses are of our making: packets queued lately, or about as much arrives as fits, unless as much as leaves arrived whole
    /// since the path was last full, or what is lost is lost by chance: then a queue was felt that others made, or a machine that
    /// was busy.
    pub(crate) fn is_used_up(&self, now: Instant) -> bool {
        let (bits, time) = self.windows.rate(MEASUREMENT);
        let is_carried = if time >= MEASUREMENT / 2 {
            bits >= USED_UP * f64::from(self.bits)
        } else {
            self.full_since.is_some()
        };
        // It was when it failed, and what counts is counted anew since then.
        let was_until_doubted = self.doubt.is_recent(LOSS_MEMORY, now);
        let is_too_much = !self.clean_rate.is_not_exceeded();
        let is_full = self.may_be_full(now) && is_carried && is_too_much;
        self.was_full(now) || was_until_doubted || is_full
    }

    /// What fits is known, and if only what leaves tells of that, a queue was felt.
    fn may_be_full(&self, now: Instant) -> bool {
        match self.kind {
            Kind::Measured => true,
            Kind::Estimated => self
                .last_full
                .is_some_and(|last| now <= last + QUEUE_MEMORY),
            Kind::Unknown | Kind::Bound => false,
        }
    }

    /// It is full, or may be at this moment. `least`: the least round trip in microseconds.
    pub(crate) fn may_queue(&self, least: f64, now: Instant) -> bool {
        self.full_since.is_some() || self.queue.may_stand(least, now)
    }

    /// Since when it is full.
    pub(crate) fn full_since(&self) -> Option<Instant> {
        self.full_since
    }
}

#[cfg(test)]
mod tests;
