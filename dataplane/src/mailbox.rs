//! What the control thread tells a worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};

use mio::Waker;
use node::io::LinkId;
use protocol::NetworkId;

use crate::counters::NetworkCells;
use crate::tap::LinuxTap;
use crate::udp::LinuxUdp;

/// An order to one worker. They are few: one per change of links or devices.
pub(crate) enum WorkerCommand {
    AddLink {
        link: LinkId,
        socket: Arc<LinuxUdp>,
    },
    /// Answers on `done` once the socket is let go.
    RemoveLink {
        link: LinkId,
        done: SyncSender<()>,
    },
    AddTap {
        network: NetworkId,
        queue: Arc<LinuxTap>,
        counters: Arc<NetworkCells>,
    },
    /// Answers on `done` once the queue is let go.
    RemoveTap {
        network: NetworkId,
        done: SyncSender<()>,
    },
    /// A datagram with another time to live: only the thread that sends on a socket may change that.
    SendWithTtl {
        link: LinkId,
        to: SocketAddr,
        bytes: Vec<u8>,
        ttl: u8,
    },
    Stop,
}

/// The control thread's end.
pub(crate) struct Mailbox {
    sender: Sender<WorkerCommand>,
    waker: Arc<Waker>,
}

impl Mailbox {
    pub(crate) fn new(waker: Arc<Waker>) -> (Self, Receiver<WorkerCommand>) {
        let (sender, receiver) = channel();
        (Self { sender, waker }, receiver)
    }

    /// Queues a command and wakes the worker. False if the worker is gone.
    pub(crate) fn send(&self, command: WorkerCommand) -> bool {
        self.sender.send(command).is_ok() && self.waker.wake().is_ok()
    }
}
