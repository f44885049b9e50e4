//! Numbers that each worker keeps for itself and others may read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::NetworkId;

use crate::DropReason;

/// A number with one writer: a relaxed load and store, no locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. To be called by the owning thread only.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The cells behind [`WorkerCounters`], alone in their cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CounterCells {
    pub(crate) frames_read: Counter,
    pub(crate) frame_bytes_read: Counter,
    pub(crate) frames_written: Counter,
    pub(crate) frame_bytes_written: Counter,
    pub(crate) datagrams_received: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) datagrams_sent: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) sends: Counter,
    pub(crate) receives: Counter,
    pub(crate) relayed: Counter,
    pub(crate) handovers: Counter,
    pub(crate) packets_received: Counter,
    pub(crate) packets_sent: Counter,
    drops: [Counter; DropReason::COUNT],
}

impl CounterCells {
    /// Counts one loss.
    pub(crate) fn lost(&self, reason: DropReason) {
        self.lost_many(reason, 1);
    }

    pub(crate) fn lost_many(&self, reason: DropReason, count: u64) {
        self.drops[reason as usize].add(count);
    }

    /// Counts a handover, which fails only if the ring is full.
    pub(crate) fn count_handover(&self, pushed: bool) {
        if pushed {
            self.handovers.add(1);
        } else {
            self.lost(DropReason::HandoverFull);
        }
    }

    pub(crate) fn read(&self, networks: &[(NetworkId, Arc<NetworkCells>)]) -> WorkerCounters {
        WorkerCounters {
            frames_read: self.frames_read.get(),
            frame_bytes_read: self.frame_bytes_read.get(),
            frames_written: self.frames_written.get(),
            frame_bytes_written: self.frame_bytes_written.get(),
            datagrams_received: self.datagrams_received.get(),
            bytes_received: self.bytes_received.get(),
            datagrams_sent: self.datagrams_sent.get(),
            bytes_sent: self.bytes_sent.get(),
            sends: self.sends.get(),
            receives: self.receives.get(),
            relayed: self.relayed.get(),
            handovers: self.handovers.get(),
            packets_received: self.packets_received.get(),
            packets_sent: self.packets_sent.get(),
            drops: DropReason::ALL
                .iter()
                .map(|reason| (*reason, self.drops[*reason as usize].get()))
                .collect(),
            networks: networks
                .iter()
                .map(|(network, cells)| (*network, cells.read()))
                .collect(),
        }
    }
}

/// The cells behind [`NetworkCounters`].
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct NetworkCells {
    pub(crate) sent: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) send_dropped: Counter,
    pub(crate) received: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) receive_dropped: Counter,
}

impl NetworkCells {
    fn read(&self) -> NetworkCounters {
        NetworkCounters {
            sent: self.sent.get(),
            sent_bytes: self.sent_bytes.get(),
            send_dropped: self.send_dropped.get(),
            received: self.received.get(),
            received_bytes: self.received_bytes.get(),
            receive_dropped: self.receive_dropped.get(),
        }
    }
}

/// What one worker did since it started. Numbers are read one by one: they may be a frame apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WorkerCounters {
    /// Frames read from devices.
    pub frames_read: u64,
    /// Their bytes, Ethernet headers included.
    pub frame_bytes_read: u64,
    /// Frames written to devices.
    pub frames_written: u64,
    /// Their bytes, Ethernet headers included.
    pub frame_bytes_written: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Their UDP payload.
    pub bytes_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Their UDP payload.
    pub bytes_sent: u64,
    /// System calls that sent `datagrams_sent`: the ratio is the mean train length.
    pub sends: u64,
    /// Buffers filled with `datagrams_received`: the ratio is the mean train length.
    pub receives: u64,
    /// Datagrams relayed for others.
    pub relayed: u64,
    /// Handovers that the control thread got (losses: [`DropReason::HandoverFull`]).
    pub handovers: u64,
    /// FRAME packets for us that the node will not see; whether their frames were let in does not matter.
    pub packets_received: u64,
    /// FRAME packets sealed.
    pub packets_sent: u64,
    /// Losses by reason, every reason once.
    pub drops: Vec<(DropReason, u64)>,
    /// By network with a device.
    pub networks: Vec<(NetworkId, NetworkCounters)>,
}

impl WorkerCounters {
    /// Losses for one reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops
            .iter()
            .find_map(|(r, count)| (*r == reason).then_some(*count))
            .unwrap_or(0)
    }
}

/// Unicast frames of one network that a worker finished by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetworkCounters {
    /// Frames that the rules let out.
    pub sent: u64,
    /// Their bytes without Ethernet header.
    pub sent_bytes: u64,
    /// Frames that the rules kept in.
    pub send_dropped: u64,
    /// Frames that the rules let in.
    pub received: u64,
    /// Their bytes without Ethernet header.
    pub received_bytes: u64,
    /// Frames that the rules kept out.
    pub receive_dropped: u64,
}
