//! A worker: the loop that blocks, and one bounded turn of it.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use arc_swap::ArcSwap;
use bond::plan::Cursor;
use node::io::{LinkId, PathKey};
use node::snapshot::Snapshot;
use protocol::{Address, Instant, NetworkId};

use crate::affinity::pin_current_thread;
use crate::batch::{Egress, Flush};
use crate::counters::{CounterCells, NetworkCells};
use crate::flow_cache::FlowCache;
use crate::handover::HandoverSender;
use crate::lane_notes::LaneNotes;
use crate::mailbox::WorkerCommand;
use crate::measurements::Measurements;
use crate::outbound::Progress;
use crate::packet_ids::PacketIds;
use crate::peer_tallies::PeerTallies;
use crate::reactor::{Reactor, Registration, Wake};
use crate::reassembly::Reassembly;
use crate::tap::{LinuxTap, Tap};
use crate::throttle::Throttle;
use crate::udp::{LinuxUdp, RECEIVE_BUFFERS, ReceiveBuffers, Udp};
use crate::{Clock, DropReason, Handover, inbound, outbound};

/// Frames read from one device before the sockets get their turn again.
const FRAMES_PER_TURN: usize = 64;
/// Receive calls per socket before the devices get their turn again.
const RECEIVES_PER_TURN: usize = 1;
/// How long a full socket may hold up everything else of its worker.
const BLOCKED_PATIENCE: Duration = Duration::from_millis(100);
/// Slots of the tables that limit handovers, and the interval they enforce.
const THROTTLE_SLOTS: usize = 1024;
const THROTTLE_INTERVAL: Duration = Duration::from_secs(1);

/// One worker's queue of a device.
pub(crate) struct TapPort<T> {
    pub(crate) network: NetworkId,
    pub(crate) queue: Arc<T>,
    pub(crate) counters: Arc<NetworkCells>,
    registration: Option<Registration>,
    readable: bool,
}

impl<T> TapPort<T> {
    pub(crate) fn new(
        network: NetworkId,
        queue: Arc<T>,
        counters: Arc<NetworkCells>,
        registration: Option<Registration>,
    ) -> Self {
        Self {
            network,
            queue,
            counters,
            registration,
            readable: true,
        }
    }
}

/// One worker's socket of a link.
pub(crate) struct LinkPort<U> {
    pub(crate) link: LinkId,
    pub(crate) socket: Arc<U>,
    registration: Option<Registration>,
    readable: bool,
}

impl<U> LinkPort<U> {
    pub(crate) fn new(link: LinkId, socket: Arc<U>, registration: Option<Registration>) -> Self {
        Self {
            link,
            socket,
            registration,
            readable: true,
        }
    }
}

/// Everything that the way of a frame needs; no system call but those behind `T` and `U`.
pub(crate) struct Core<T, U> {
    pub(crate) address: Address,
    /// Which worker this is.
    pub(crate) number: u8,
    pub(crate) taps: Vec<TapPort<T>>,
    pub(crate) links: Vec<LinkPort<U>>,
    pub(crate) egress: Egress,
    pub(crate) ids: PacketIds,
    pub(crate) cursor: Cursor,
    pub(crate) outbound_flows: FlowCache,
    pub(crate) inbound_flows: FlowCache,
    pub(crate) reassembly: Reassembly,
    pub(crate) unknown_paths: Throttle<(Address, PathKey)>,
    pub(crate) relayed_pairs: Throttle<(Address, Address)>,
    pub(crate) handover: HandoverSender,
    pub(crate) counters: Arc<CounterCells>,
    pub(crate) tallies: PeerTallies,
    pub(crate) measurements: Measurements,
    pub(crate) lanes: LaneNotes,
    failed_paths: Throttle<PathKey>,
    /// The link whose socket is full, and since when.
    blocked: Option<(LinkId, Instant)>,
}

impl<T: Tap, U: Udp> Core<T, U> {
    pub(crate) fn new(
        address: Address,
        number: u8,
        seed: [u8; 32],
        handover: HandoverSender,
        counters: Arc<CounterCells>,
    ) -> Self {
        Self {
            address,
            number,
            taps: Vec::new(),
            links: Vec::new(),
            egress: Egress::new(),
            ids: PacketIds::new(seed),
            cursor: Cursor::default(),
            outbound_flows: FlowCache::new(),
            inbound_flows: FlowCache::new(),
            reassembly: Reassembly::new(),
            unknown_paths: Throttle::new(THROTTLE_SLOTS, THROTTLE_INTERVAL),
            relayed_pairs: Throttle::new(THROTTLE_SLOTS, THROTTLE_INTERVAL),
            handover,
            counters,
            tallies: PeerTallies::default(),
            measurements: Measurements::default(),
            lanes: LaneNotes::default(),
            failed_paths: Throttle::new(THROTTLE_SLOTS, THROTTLE_INTERVAL),
            blocked: None,
        }
    }

    /// One bounded round over all sockets and devices. True if there may be more to do at once.
    pub(crate) fn turn(
        &mut self,
        buffers: &mut ReceiveBuffers,
        snapshot: &Snapshot,
        now: Instant,
    ) -> bool {
        let mut more = false;
        for index in 0..self.links.len() {
            if self.links[index].readable {
                more |= self.receive(index, buffers, snapshot, now);
            }
        }
        self.flush(now);
        for index in 0..self.taps.len() {
            if self.blocked.is_some() {
                break;
            }
            if self.taps[index].readable {
                let progress = outbound::turn(self, index, snapshot, now, FRAMES_PER_TURN);
                self.taps[index].readable = progress != Progress::Drained;
                more |= progress == Progress::More;
                self.flush(now);
            }
        }
        self.tallies.flush();
        self.tell(now);
        more
    }

    /// How long to sleep before something has to be handed over; none: for ever.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let waits = [self.measurements.patience(), self.lanes.patience(now)];
        waits.into_iter().flatten().min()
    }

    /// Hands over what bonds want to know.
    fn tell(&mut self, now: Instant) {
        let (handover, counters) = (&mut self.handover, &self.counters);
        self.measurements.flush(
            now,
            |told| handover.push(|| told),
            |pushed| counters.count_handover(pushed),
        );
        // What finds no room waits, as it is sums.
        if self.lanes.is_due(now) && !handover.is_full() {
            let (arrivals, sent) = self.lanes.take();
            let pushed = handover.push(|| Handover::Lanes { arrivals, sent });
            counters.count_handover(pushed);
        }
        for (path, errno) in self.egress.take_failures() {
            if self.failed_paths.allows(path, now) {
                let pushed = handover.push(|| Handover::SendFailed { path, errno });
                counters.count_handover(pushed);
            }
        }
    }

    /// Reads one socket. True if it may hold more.
    fn receive(
        &mut self,
        index: usize,
        buffers: &mut ReceiveBuffers,
        snapshot: &Snapshot,
        now: Instant,
    ) -> bool {
        for _ in 0..RECEIVES_PER_TURN {
            let port = &mut self.links[index];
            let link = port.link;
            match port.socket.receive(buffers) {
                Ok(count) => {
                    // A call that leaves buffers empty has seen the end of the queue.
                    port.readable = count == RECEIVE_BUFFERS;
                    inbound::turn(self, buffers, count, link, snapshot, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => port.readable = false,
                // An error that the kernel remembered for this socket; what is behind it comes with the next call.
                Err(_) => return true,
            }
            if !self.links[index].readable {
                return false;
            }
        }
        true
    }

    /// Sends the batch. If a socket is full, devices are not read until it takes more.
    fn flush(&mut self, now: Instant) {
        loop {
            match self.egress.flush(&self.links, &self.counters) {
                Flush::Done => self.blocked = None,
                Flush::Blocked(link) => match self.blocked {
                    Some((held, since)) if held == link => {
                        if now.duration_since(since) >= BLOCKED_PATIENCE {
                            self.egress.discard(link, &self.counters);
                            self.blocked = None;
                            continue;
                        }
                    }
                    _ => self.blocked = Some((link, now)),
                },
            }
            return;
        }
    }

    /// True while a socket is full.
    #[cfg(test)]
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// There may be something to read again everywhere.
    #[cfg(test)]
    pub(crate) fn mark_all_readable(&mut self) {
        self.links.iter_mut().for_each(|port| port.readable = true);
        self.taps.iter_mut().for_each(|port| port.readable = true);
    }
}

/// What a worker is made of.
pub(crate) struct WorkerParts {
    pub(crate) number: u8,
    pub(crate) reactor: Reactor,
    pub(crate) commands: Receiver<WorkerCommand>,
    pub(crate) handover: HandoverSender,
    pub(crate) counters: Arc<CounterCells>,
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) clock: Clock,
    pub(crate) seed: [u8; 32],
}

/// A worker on real devices and sockets.
pub(crate) struct Worker {
    core: Core<LinuxTap, LinuxUdp>,
    buffers: ReceiveBuffers,
    reactor: Reactor,
    commands: Receiver<WorkerCommand>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    clock: Clock,
    /// The link whose socket is watched for room.
    watched: Option<LinkId>,
}

impl Worker {
    pub(crate) fn new(parts: WorkerParts) -> Self {
        let address = parts.snapshot.load().address;
        Self {
            core: Core::new(
                address,
                parts.number,
                parts.seed,
                parts.handover,
                parts.counters,
            ),
            buffers: ReceiveBuffers::new(),
            reactor: parts.reactor,
            commands: parts.commands,
            snapshot: parts.snapshot,
            clock: parts.clock,
            watched: None,
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self, pin: Option<usize>) {
        if let Some(index) = pin {
            pin_current_thread(index);
        }
        let mut more = false;
        let mut now = self.clock.now();
        loop {
            let timeout = match (more, self.core.blocked) {
                (true, _) => Some(Duration::ZERO),
                (false, Some(_)) => Some(BLOCKED_PATIENCE),
                (false, None) => self.core.patience(now),
            };
            let Some(mailbox) = self.wait(timeout) else {
                return;
            };
            if mailbox && !self.obey() {
                return;
            }
            let snapshot = self.snapshot.load();
            now = self.clock.now();
            more = self.core.turn(&mut self.buffers, &snapshot, now);
            drop(snapshot);
            self.watch_blocked();
        }
    }

    /// Sleeps and notes what became ready. True if commands wait; none if the readiness queue itself fails.
    fn wait(&mut self, timeout: Option<Duration>) -> Option<bool> {
        let mut mailbox = false;
        let Core { taps, links, .. } = &mut self.core;
        let waited = self.reactor.wait(timeout, |wake| match wake {
            Wake::Mailbox => mailbox = true,
            Wake::Ready {
                registration,
                readable,
            } => {
                let this = Some(registration);
                for port in taps.iter_mut().filter(|port| port.registration == this) {
                    port.readable |= readable;
                }
                for port in links.iter_mut().filter(|port| port.registration == this) {
                    port.readable |= readable;
                }
            }
        });
        match waited {
            Ok(()) => Some(mailbox),
            Err(error) => {
                tracing::error!(%error, "a worker's epoll failed, the worker ends");
                None
            }
        }
    }

    /// Watches the socket that is full for room, and no other.
    fn watch_blocked(&mut self) {
        let blocked = self.core.blocked.map(|(link, _)| link);
        if blocked == self.watched {
            return;
        }
        for (link, watch) in [(self.watched, false), (blocked, true)] {
            let port = self.core.links.iter().find(|port| Some(port.link) == link);
            if let Some((port, registration)) = port.and_then(|p| Some((p, p.registration?))) {
                let fd = port.socket.as_raw_fd();
                if let Err(error) = self.reactor.watch_writable(fd, registration, watch) {
                    tracing::warn!(%error, "socket not watched");
                }
            }
        }
        self.watched = blocked;
    }

    /// Carries out what waits in the mailbox. False if it says to stop.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                WorkerCommand::AddLink { link, socket } => {
                    let registration = self.register(socket.as_raw_fd());
                    self.core
                        .links
                        .push(LinkPort::new(link, socket, registration));
                }
                WorkerCommand::RemoveLink { link, done } => {
                    for port in self.core.links.extract_if(.., |port| port.link == link) {
                        self.reactor.remove(port.socket.as_raw_fd());
                    }
                    // Fails only if nobody waits any more.
                    let _ = done.send(());
                }
                WorkerCommand::AddTap {
                    network,
                    queue,
                    counters,
                } => {
                    let registration = self.register(queue.as_raw_fd());
                    self.core
                        .taps
                        .push(TapPort::new(network, queue, counters, registration));
                }
                WorkerCommand::RemoveTap { network, done } => {
                    for port in self
                        .core
                        .taps
                        .extract_if(.., |port| port.network == network)
                    {
                        self.reactor.remove(port.queue.as_raw_fd());
                    }
                    let _ = done.send(());
                }
                WorkerCommand::SendWithTtl {
                    link,
                    to,
                    bytes,
                    ttl,
                } => {
                    let port = self.core.links.iter().find(|port| port.link == link);
                    let sent =
                        port.is_some_and(|p| p.socket.send_with_ttl(to, &bytes, ttl).is_ok());
                    if !sent {
                        self.core.counters.lost(DropReason::SendFailed);
                    }
                }
                WorkerCommand::Stop => return false,
            }
        }
        true
    }

    fn register(&mut self, fd: std::os::fd::RawFd) -> Option<Registration> {
        self.reactor
            .add(fd)
            .inspect_err(|error| tracing::error!(%error, "descriptor not watched"))
            .ok()
    }
}
