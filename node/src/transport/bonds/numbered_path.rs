//! A path of a peer of our kind: what left on its lanes, and what the peer's reports mean for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bond::DeliveryReport;
use protocol::Instant;
use protocol::packet::Lane;
use protocol::verb::LaneReport;

use super::sent_lane::{Known, SentLane};
use crate::io::PathKey;
use crate::lanes::PathLanes;
use crate::timers;

/// Shorter times tell no rate; what arrived in them counts with the next report.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(80);
/// Packets that arrived after they were counted as lost; more is a defect.
const MOST_LATE: i64 = 4096;

/// What is new on the lanes of a path.
#[derive(Clone, Copy, Default)]
pub(super) struct New {
    packets: u64,
    bytes: u64,
    /// Numbers between the highest ones.
    expected: u64,
    latest_sent: Option<Instant>,
    /// Since the latest of the path's packets arrived, by the peer's clock, if that was lately.
    age: Option<Duration>,
}

/// A number for a path, with all that belongs to it. Its lanes go on counting if another path takes it over.
#[derive(Debug)]
pub(super) struct NumberedPath {
    pub(super) key: Option<PathKey>,
    pub(super) lanes: Arc<PathLanes>,
    pub(super) sent: Vec<SentLane>,
    /// Packets that arrived late, as negative losses.
    late: i64,
    /// What was reported in too short times.
    pending: Pending,
    /// The reporter's clock at the last whole report, µs.
    since: Option<u64>,
    /// Since when the path works; only what left later counts.
    works_since: Option<Instant>,
}

/// What is to be told with the next whole report.
#[derive(Clone, Copy, Default, Debug)]
struct Pending {
    bytes: u64,
    packets: u64,
    lost: u64,
}

impl NumberedPath {
    /// Nothing has left yet.
    pub(super) fn new(key: PathKey, lanes: PathLanes) -> Self {
        Self {
            key: Some(key),
            lanes: Arc::new(lanes),
            sent: Vec::new(),
            late: 0,
            pending: Pending::default(),
            since: None,
            works_since: None,
        }
    }

    /// `is_counted`: the peer counts already, so that of new lanes it sees every packet.
    pub(super) fn read(&mut self, is_counted: bool, now: Instant) {
        for worker in self.lanes.workers() {
            let count = self.lanes.count(worker).unwrap_or(0);
            let found = self.sent.iter_mut().find(|lane| lane.worker == worker);
            match found {
                Some(lane) => lane.mark(count, now),
                None if count > 0 => {
                    let mut lane = SentLane {
                        worker,
                        marks: VecDeque::new(),
                        known: is_counted.then_some(Known {
                            next: 0,
                            counts: Some((0, 0)),
                        }),
                    };
                    lane.mark(count, now);
                    self.sent.push(lane);
                }
                None => {}
            }
        }
    }

    /// The path works since then. What left before it failed, or while it did not work, says nothing of it: each thread that
    /// sends shows what it lost only when it sends there again, and that may be long after.
    pub(super) fn note_working(&mut self, since: Option<Instant>) {
        if since.is_some() && self.works_since != since {
            self.works_since = since;
            self.forget();
        }
    }

    /// Whatever left until now tells nothing.
    pub(super) fn forget(&mut self) {
        for lane in &mut self.sent {
            let count = self.lanes.count(lane.worker).unwrap_or(0);
            lane.known = lane.known.map(|_| Known {
                next: count,
                counts: None,
            });
        }
        (self.late, self.pending, self.since) = (0, Pending::default(), None);
    }

    /// What lanes that the peer reports tell beyond what they told before.
    pub(super) fn compare(&mut self, lanes: &[LaneReport]) -> New {
        let mut new = New::default();
        for sent in &mut self.sent {
            let count = self.lanes.count(sent.worker).unwrap_or(0);
            let Some(told) = lanes.iter().find(|lane| lane.lane.worker == sent.worker) else {
                // Whatever left before it began to count, it cannot know.
                sent.known.get_or_insert(Known {
                    next: count,
                    counts: None,
                });
                continue;
            };
            let next = Lane::extended(told.highest, count) + 1;
            if next > count {
                continue;
            }
            let age = Duration::from_micros(told.age_us.into());
            new.age = Some(new.age.map_or(age, |least| least.min(age)));
            // Of what is to be forgotten some may still arrive.
            let is_forgotten = |known: Known| known.counts.is_none() && next < known.next;
            if sent.known.is_some_and(is_forgotten) {
                continue;
            }
            let before = sent.known.replace(Known {
                next,
                counts: Some((told.packets, told.bytes)),
            });
            let Some(before) = before else {
                continue;
            };
            match before.counts {
                Some((packets, bytes)) if packets <= told.packets && before.next <= next => {
                    new.packets += told.packets - packets;
                    new.bytes += told.bytes.saturating_sub(bytes);
                    new.expected += next - before.next;
                }
                // The lane's first report, or the reporter lost its memory: only the numbers can be compared.
                _ => {
                    let packets = next.saturating_sub(before.next);
                    new.packets += packets;
                    new.expected += packets;
                }
            }
            if next > before.next {
                new.latest_sent = new.latest_sent.max(sent.not_before(next - 1));
            }
        }
        new
    }

    /// Puts together what is to be told. Packets that left before `cut` should have arrived.
    pub(super) fn conclude(
        &mut self,
        new: New,
        clock: u64,
        cut: Instant,
    ) -> Option<DeliveryReport> {
        let lost = new.expected as i64 - new.packets as i64 + self.late;
        self.late = lost.clamp(-MOST_LATE, 0);
        self.pending.bytes += new.bytes;
        self.pending.packets += new.packets;
        self.pending.lost += u64::try_from(lost).unwrap_or(0);
        let since = *self.since.get_or_insert(clock);
        let interval = Duration::from_micros(clock.saturating_sub(since));
        let (mut unreported, mut oldest) = (0, None::<Instant>);
        for lane in &self.sent {
            let Some(known) = lane.known else {
                continue;
            };
            let missing = lane.left_by(cut).saturating_sub(known.next);
            if missing > 0 {
                unreported += missing;
                let left = lane.not_after(known.next);
                oldest = [oldest, left].into_iter().flatten().min();
            }
        }
        let is_whole = interval >= SHORTEST_INTERVAL;
        let told = if is_whole {
            self.since = Some(clock);
            std::mem::take(&mut self.pending)
        } else {
            // Proof that something arrives must not wait, the numbers may.
            Pending {
                packets: new.packets,
                ..Pending::default()
            }
        };
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        (told.packets > 0 || told.lost > 0 || unreported > 0).then(|| DeliveryReport {
            bytes: told.bytes,
            packets: small(told.packets),
            lost: small(told.lost),
            interval: if is_whole { interval } else { Duration::ZERO },
            latest_sent: new.latest_sent,
            unreported: small(unreported),
            oldest_unreported: oldest,
            silence: new.age.unwrap_or(timers::SILENT_LANE),
        })
    }
}
