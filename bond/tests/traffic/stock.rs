//! How a zerotier-one 1.14.1 reports what it received on a path, and what is noted for that on our side.

use std::collections::BTreeMap;
use std::time::Duration;

use bond::qos::MAX_RECORDS;
use bond::{QosLedger, Sampling};
use protocol::verb::{MAX_QOS_RECORDS, QosRecord};
use protocol::{Instant, PacketId};

/// The peer looks after its bond so often, sends no more than a report a second, and reports what is there, however little,
/// after twice its failover interval.
pub(super) const TICK: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(2);
/// Reports wait so long before they are compared with what was sent.
pub(super) const SETTLE: Duration = Duration::from_millis(200);

/// One path.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    ledger: QosLedger,
    sampling: Sampling,
    /// Packets that left, which workers have not told yet.
    untold: Vec<(PacketId, u16, Instant)>,
    /// What the peer has noted, in the order of ids.
    pending: BTreeMap<PacketId, Instant>,
    reported: Instant,
}

impl Stock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ledger: QosLedger::new(INTERVAL),
            sampling: Sampling::default(),
            untold: Vec::new(),
            pending: BTreeMap::new(),
            reported: now,
        }
    }

    /// A packet leaves; its id. `random`: two numbers of 64 bits.
    pub(super) fn send(&mut self, random: [u64; 2], now: Instant) -> PacketId {
        let one_in = self.sampling.one_in();
        let odd = self.sampling.next_id_is_odd(|| random[1] as u32);
        let id = odd.map_or(random[0], |odd| random[0] & !1 | u64::from(odd));
        self.sampling.note_sent(1);
        self.untold.push((PacketId(id), one_in, now));
        PacketId(id)
    }

    /// Workers tell what left.
    pub(super) fn tell(&mut self, loss: f64, now: Instant) {
        for (id, one_in, at) in self.untold.drain(..) {
            self.ledger.handle_sent(id, one_in, at);
        }
        self.sampling.update(loss, self.ledger.is_behind(), now);
        self.ledger.expire(now);
    }

    /// It is there.
    pub(super) fn receive(&mut self, id: PacketId, now: Instant) {
        if id.0 % 2 == 1 && self.pending.len() < MAX_RECORDS {
            self.pending.insert(id, now);
        }
    }

    /// The report that the peer sends at a tick, if any.
    pub(super) fn report(&mut self, now: Instant) -> Option<Vec<QosRecord>> {
        self.pending.retain(|_, at| *at + 3 * INTERVAL > now);
        let is_due = now > self.reported + INTERVAL && !self.pending.is_empty();
        let is_full = now >= self.reported + PAUSE && self.pending.len() >= MAX_QOS_RECORDS;
        if !is_due && !is_full {
            return None;
        }
        self.reported = now;
        let mut records = Vec::new();
        while records.len() < MAX_QOS_RECORDS
            && let Some((packet, at)) = self.pending.pop_first()
        {
            records.push(QosRecord {
                packet,
                holding_time_ms: now.duration_since(at).as_millis() as u16,
            });
        }
        Some(records)
    }

    /// It came back at that time, on a path that works since another.
    pub(super) fn samples(
        &mut self,
        records: &[QosRecord],
        at: Instant,
        since: Option<Instant>,
    ) -> bond::qos::QosSamples {
        self.ledger.note_working(since);
        self.ledger.handle_report(records, at)
    }
}
