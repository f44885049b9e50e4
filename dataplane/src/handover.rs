//! What workers leave to the control thread, and the bounded ring that carries it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use node::Input;
use node::io::{LaneArrivals, PathKey, Sample};
use protocol::{Address, NetworkId};
use rtrb::{Consumer, Producer, RingBuffer};

/// Handovers that may wait per worker. With the longest packets some 5 MB; the usual ones are small.
pub(crate) const RING_CAPACITY: usize = 512;

/// Something that a worker could not finish. See [`Input`] for the meaning of each.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "fields as in node::Input")]
pub enum Handover {
    /// A datagram, nothing checked.
    Datagram { path: PathKey, bytes: Vec<u8> },
    /// A packet joined from fragments but not opened.
    Assembled { path: PathKey, packet: Vec<u8> },
    /// An authenticated, decrypted packet.
    Opened { path: PathKey, packet: Vec<u8> },
    /// A frame from a device.
    Frame { network: NetworkId, bytes: Vec<u8> },
    /// A frame was delivered that came by a path which the snapshot does not list.
    UnknownPath { peer: Address, path: PathKey },
    /// A packet was relayed.
    Relayed {
        source: Address,
        destination: Address,
    },
    /// Lanes of peers of our kind.
    Lanes {
        arrivals: Vec<LaneArrivals>,
        sent: Vec<Address>,
    },
    /// Packets of measured peers.
    Samples(Vec<Sample>),
    /// Bytes sent by slot of a hashed plan.
    SlotBytes {
        peer: Address,
        slots: Vec<(u16, u64)>,
    },
    /// A datagram that the kernel refused.
    SendFailed { path: PathKey, errno: i32 },
}

impl Handover {
    /// The same as an input of the node.
    pub fn as_input(&self) -> Input<'_> {
        match self {
            Self::Datagram { path, bytes } => Input::Datagram { path: *path, bytes },
            Self::Assembled { path, packet } => Input::Assembled {
                path: *path,
                packet,
            },
            Self::Opened { path, packet } => Input::Opened {
                path: *path,
                packet,
            },
            Self::Frame { network, bytes } => Input::Frame {
                network: *network,
                bytes,
            },
            Self::UnknownPath { peer, path } => Input::UnknownPath {
                peer: *peer,
                path: *path,
            },
            Self::Relayed {
                source,
                destination,
            } => Input::Relayed {
                source: *source,
                destination: *destination,
            },
            Self::Lanes { arrivals, sent } => Input::Lanes { arrivals, sent },
            Self::Samples(samples) => Input::Samples(samples),
            Self::SlotBytes { peer, slots } => Input::SlotBytes { peer: *peer, slots },
            Self::SendFailed { path, errno } => Input::SendFailed {
                path: *path,
                errno: *errno,
            },
        }
    }
}

/// Wakes the control thread once until it has drained.
#[derive(Clone)]
pub(crate) struct Bell {
    rung: Arc<AtomicBool>,
    notify: Arc<dyn Fn() + Send + Sync>,
}

impl Bell {
    pub(crate) fn new(notify: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            rung: Arc::default(),
            notify,
        }
    }

    /// Something waits.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            (self.notify)();
        }
    }

    /// To be called *before* looking into the rings, so that whatever comes later rings again.
    pub(crate) fn silence(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}

/// A worker's end of its ring.
pub(crate) struct HandoverSender {
    producer: Producer<Handover>,
    bell: Bell,
}

impl HandoverSender {
    /// A ring of `capacity` handovers.
    pub(crate) fn new(capacity: usize, bell: Bell) -> (Self, Consumer<Handover>) {
        let (producer, consumer) = RingBuffer::new(capacity);
        (Self { producer, bell }, consumer)
    }

    /// The next push would be refused.
    pub(crate) fn is_full(&self) -> bool {
        self.producer.is_full()
    }

    /// Queues what `make` returns, which is not called if the ring is full: then false.
    #[must_use]
    pub(crate) fn push(&mut self, make: impl FnOnce() -> Handover) -> bool {
        if self.producer.is_full() {
            return false;
        }
        let pushed = self.producer.push(make()).is_ok();
        self.bell.ring();
        pushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn the_bell_rings_once_until_silenced() {
        let rings = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&rings);
        let bell = Bell::new(Arc::new(move || {
            seen.fetch_add(1, Ordering::Relaxed);
        }));
        let (mut sender, mut receiver) = HandoverSender::new(2, bell.clone());
        let handover = || Handover::Relayed {
            source: Address::from_u64(1),
            destination: Address::from_u64(2),
        };
        assert!(sender.push(handover));
        assert!(sender.push(handover));
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        assert!(!sender.push(|| unreachable!("the ring is full")));
        bell.silence();
        assert_eq!(receiver.pop(), Ok(handover()));
        assert!(sender.push(handover));
        assert_eq!(rings.load(Ordering::Relaxed), 2);
    }
}
