//! Flows, and what makes them send.

use std::time::Duration;

use bond::PathId;
use protocol::Instant;

use super::bbr::Bbr;
use super::tcp::Tcp;

/// What sends.
pub(super) enum Sender {
    Tcp(Tcp),
    Bbr(Bbr),
    /// Packets a fixed time apart.
    Paced {
        interval: Duration,
        next: Instant,
    },
}

impl Sender {
    /// The number of a packet that may leave now.
    pub(super) fn next(&mut self, now: Instant) -> Option<u64> {
        match self {
            Self::Tcp(tcp) => tcp.next(now),
            Self::Bbr(bbr) => bbr.next(now),
            Self::Paced { interval, next } => {
                let is_due = *next <= now;
                if is_due {
                    *next = *next + *interval;
                }
                is_due.then_some(0)
            }
        }
    }

    /// That packet arrived; false if it was given up or sent again.
    pub(super) fn acknowledge(&mut self, number: u64, now: Instant) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.acknowledge(number, now),
            Self::Bbr(bbr) => bbr.acknowledge(number, now),
            Self::Paced { .. } => true,
        }
    }
}

/// A flow.
pub struct Flow {
    pub(super) sender: Sender,
    pub(super) hash: u32,
    /// Bytes that arrived for the first time.
    pub arrived: u64,
    pub is_over: bool,
    /// Path of its last packet, and when that last changed.
    pub path: Option<PathId>,
    pub moves: Vec<Instant>,
}

impl Flow {
    pub(super) fn new(sender: Sender, hash: u32) -> Self {
        Self {
            sender,
            hash,
            arrived: 0,
            is_over: false,
            path: None,
            moves: Vec::new(),
        }
    }
}
