//! A link: its queue, what it loses, and what the receiver reports of it.

use std::collections::VecDeque;
use std::time::Duration;

use bond::{DeliveryReport, PathId};
use protocol::{Instant, PacketId};

use super::stock::Stock;
use super::{PACKET, REPORT_INTERVAL, STEP};

/// What a packet is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    Data { flow: usize, number: u64 },
    Probe(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) load: Load,
    pub(super) path: PathId,
    pub(super) bytes: u64,
    pub(super) sent: Instant,
    pub(super) sequence: u64,
    /// On the wire, where that counts.
    pub(super) id: Option<PacketId>,
}

/// What the receiver has to report.
#[derive(Clone, Copy, Default, Debug)]
struct Unreported {
    bytes: u64,
    packets: u32,
    /// Highest sequence number of the last report, or that left before the link worked again, and now.
    reported: u64,
    highest: u64,
    latest_sent: Option<Instant>,
}

/// A link, as it is at present.
#[derive(Clone, Debug)]
pub struct Link {
    /// Bit/s.
    pub rate: f64,
    /// One way.
    pub delay: Duration,
    /// How long the queue may be, in time.
    pub buffer: Duration,
    /// Of each packet to be lost, besides those that find the queue full.
    pub loss: f64,
    /// Bytes that may leave at once.
    credit: f64,
    queue: VecDeque<Packet>,
    /// Bytes in the queue.
    queued: u64,
    sequence: u64,
    unreported: Unreported,
    works_since: Option<Instant>,
    pub(super) last_echo: Option<Instant>,
    pub(super) stock: Option<Stock>,
    /// Packets and bytes that the bond is to be told of.
    pub(super) sent: (u64, u64),
    pub(super) received: (u64, u64),
    /// Bytes that left, in all.
    pub bytes: u64,
    /// Packets that found the queue full.
    pub dropped: u64,
}

impl Link {
    /// 5 ms away, with a queue of 40 ms.
    pub fn new(megabits: f64) -> Self {
        Self {
            rate: megabits * 1e6,
            delay: Duration::from_millis(5),
            buffer: Duration::from_millis(40),
            loss: 0.0,
            credit: 0.0,
            queue: VecDeque::new(),
            queued: 0,
            sequence: 0,
            unreported: Unreported::default(),
            works_since: None,
            last_echo: None,
            stock: None,
            sent: (0, 0),
            received: (0, 0),
            bytes: 0,
            dropped: 0,
        }
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// A packet enters the queue, if there is room. It is lost if `chance`, from 0 to 1, is less than what is lost.
    pub(super) fn take_in(&mut self, packet: Packet, chance: f64) {
        let room = self.rate / 8.0 * self.buffer.as_secs_f64();
        if self.queued as f64 + packet.bytes as f64 > room.max(3.0 * PACKET as f64) {
            self.dropped += 1;
            return;
        }
        if chance < self.loss {
            return;
        }
        self.queued += packet.bytes;
        self.queue.push_back(packet);
    }

    /// What leaves the queue within a step.
    pub(super) fn serve(&mut self) -> Vec<Packet> {
        let per_step = self.rate / 8.0 * STEP.as_secs_f64();
        self.credit = (self.credit + per_step).min(per_step.max(2.0 * PACKET as f64));
        let mut leaving = Vec::new();
        while let Some(packet) = self
            .queue
            .pop_front_if(|packet| self.credit >= packet.bytes as f64)
        {
            self.credit -= packet.bytes as f64;
            self.queued -= packet.bytes;
            leaving.push(packet);
        }
        leaving
    }

    /// The bond knows since when the link works: what left before that, arrived or not, is not reported.
    pub(super) fn note_working(&mut self, since: Option<Instant>) {
        if since.is_some() && self.works_since != since {
            self.works_since = since;
            self.unreported = Unreported {
                reported: self.sequence,
                highest: self.sequence,
                ..Unreported::default()
            };
        }
    }

    /// A packet is there.
    pub(super) fn note_arrival(&mut self, packet: &Packet) {
        let unreported = &mut self.unreported;
        if packet.sequence <= unreported.reported {
            return;
        }
        unreported.bytes += packet.bytes;
        unreported.packets += 1;
        unreported.highest = unreported.highest.max(packet.sequence);
        unreported.latest_sent = unreported.latest_sent.max(Some(packet.sent));
    }

    /// What the receiver reports of the last interval, if anything arrived in it.
    pub(super) fn report(&mut self) -> Option<DeliveryReport> {
        let Unreported {
            bytes,
            packets,
            reported,
            highest,
            latest_sent,
        } = self.unreported;
        if packets == 0 {
            return None;
        }
        self.unreported = Unreported {
            reported: highest,
            highest,
            ..Unreported::default()
        };
        Some(DeliveryReport {
            bytes,
            packets,
            lost: (highest - reported).saturating_sub(u64::from(packets)) as u32,
            interval: REPORT_INTERVAL,
            latest_sent,
            unreported: 0,
            oldest_unreported: None,
            silence: Duration::ZERO,
        })
    }
}
