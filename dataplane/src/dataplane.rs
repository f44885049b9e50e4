//! The control thread's handle: starts and stops the workers, and changes what they work on.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use node::io::{Link, LinkId, PathKey, Transmit};
use node::limits::MAX_NUMBERED_WORKERS;
use node::snapshot::Snapshot;
use protocol::{Address, NetworkId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rtrb::Consumer;

use crate::batch::path_error;
use crate::counters::{CounterCells, NetworkCells, WorkerCounters};
use crate::handover::{Bell, HandoverSender, RING_CAPACITY};
use crate::mailbox::{Mailbox, WorkerCommand};
use crate::reactor::Reactor;
use crate::tap::{Tap, TapDevice};
use crate::udp::{LinuxUdp, Udp, bind};
use crate::worker::{Worker, WorkerParts};
use crate::{Clock, DropReason, Handover, TapInfo, TapSettings};

/// How long a removal waits for the workers; they take no longer than one turn.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(2);

/// What [`Dataplane::start`] needs.
pub struct DataplaneConfig {
    /// Threads, at least 1.
    pub workers: usize,
    /// Pin each to a processor.
    pub pin: bool,
    /// Our address.
    pub address: Address,
    /// From the operating system's random source; packet ids are drawn from it.
    pub seed: [u8; 32],
    /// The clock that the node's instants are read from.
    pub clock: Clock,
    /// Called by workers when handovers wait, at most once until [`Dataplane::drain`]. Must not block.
    pub notify: Arc<dyn Fn() + Send + Sync>,
}

/// Why the data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// No readiness queue.
    #[error("cannot make a worker's epoll: {0}")]
    Reactor(#[source] io::Error),
    /// No thread.
    #[error("cannot start a worker thread: {0}")]
    Thread(#[source] io::Error),
}

/// Why a link could not be added.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Somebody else has the address and port.
    #[error("{0} is in use")]
    AddressInUse(SocketAddr),
    /// The id is already there.
    #[error("link {0:?} exists already")]
    Exists(LinkId),
    /// The kernel refused.
    #[error("cannot {doing} a UDP socket on {local}: {error}")]
    Socket {
        /// Wanted address.
        local: SocketAddr,
        /// What failed.
        doing: &'static str,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
}

/// Why a device could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// No `/dev/net/tun`.
    #[error("/dev/net/tun does not exist: is the tun module loaded?")]
    NotSupported,
    /// Not root, or without CAP_NET_ADMIN.
    #[error("no permission to make network devices (root or CAP_NET_ADMIN is needed)")]
    PermissionDenied,
    /// Not a name for an interface.
    #[error("{0:?} is no valid interface name (1 to 15 bytes)")]
    InvalidName(String),
    /// There is such an interface already.
    #[error("an interface named {0} exists already")]
    NameTaken(String),
    /// The network has a device already.
    #[error("network {0} has a device already")]
    Exists(NetworkId),
    /// The network has no device.
    #[error("network {0} has no device")]
    Missing(NetworkId),
    /// The kernel refused.
    #[error("cannot {doing} device {name}: {error}")]
    Device {
        /// Interface name.
        name: String,
        /// What failed.
        doing: &'static str,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
}

/// Refused paths of the control thread's own datagrams that are remembered until the next drain.
const MAX_FAILURES: usize = 64;

/// The number of workers without lanes.
const NO_LANE: u8 = MAX_NUMBERED_WORKERS as u8;

struct WorkerHandle {
    mailbox: Mailbox,
    handovers: Consumer<Handover>,
    counters: Arc<CounterCells>,
    thread: JoinHandle<()>,
}

struct LinkHandle {
    local: SocketAddr,
    /// The first worker's socket: the control thread sends from it too.
    socket: Arc<LinuxUdp>,
}

struct TapHandle {
    device: TapDevice,
    /// By worker.
    counters: Vec<Arc<NetworkCells>>,
}

/// The running data plane. Belongs to the control thread.
pub struct Dataplane {
    snapshot: Arc<ArcSwap<Snapshot>>,
    bell: Bell,
    workers: Vec<WorkerHandle>,
    links: BTreeMap<LinkId, LinkHandle>,
    taps: BTreeMap<NetworkId, TapHandle>,
    /// What the control thread sent and delivered itself.
    control: CounterCells,
    /// Datagrams of the control thread that the kernel refused since the last drain.
    failures: Mutex<Vec<(PathKey, i32)>>,
}

impl fmt::Debug for Dataplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataplane")
            .field("workers", &self.workers.len())
            .field("links", &self.links.len())
            .field("taps", &self.taps.len())
            .finish_non_exhaustive()
    }
}

impl Dataplane {
    /// Starts the workers. They have nothing to do until links and devices are added, and know nobody until
    /// [`Dataplane::publish`].
    pub fn start(config: DataplaneConfig) -> Result<Self, DataplaneError> {
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::empty(config.address)));
        let bell = Bell::new(config.notify);
        let mut generator = StdRng::from_seed(config.seed);
        let mut dataplane = Self {
            snapshot,
            bell,
            workers: Vec::new(),
            links: BTreeMap::new(),
            taps: BTreeMap::new(),
            control: CounterCells::default(),
            failures: Mutex::default(),
        };
        for index in 0..config.workers.max(1) {
            let (reactor, waker) = Reactor::new().map_err(DataplaneError::Reactor)?;
            let (mailbox, commands) = Mailbox::new(waker);
            let (handover, handovers) = HandoverSender::new(RING_CAPACITY, dataplane.bell.clone());
            let counters = Arc::<CounterCells>::default();
            let mut seed = [0; 32];
            generator.fill_bytes(&mut seed);
            let worker = Worker::new(WorkerParts {
                // Beyond that workers have no lanes.
                number: u8::try_from(index).map_or(NO_LANE, |number| number.min(NO_LANE)),
                reactor,
                commands,
                handover,
                counters: Arc::clone(&counters),
                snapshot: Arc::clone(&dataplane.snapshot),
                clock: config.clock,
                seed,
            });
            let pin = config.pin.then_some(index);
            let spawned = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || worker.run(pin));
            let thread = match spawned {
                Ok(thread) => thread,
                Err(error) => {
                    dataplane.stop();
                    return Err(DataplaneError::Thread(error));
                }
            };
            dataplane.workers.push(WorkerHandle {
                mailbox,
                handovers,
                counters,
                thread,
            });
        }
        Ok(dataplane)
    }

    /// Replaces the world that workers see. They take it up with their next turn.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.store(snapshot);
    }

    /// Binds a link: one socket per worker on `link.local`, restricted to `device` if given. Returns the bound address,
    /// whose port is a fresh one if 0 was asked for.
    pub fn add_link(&mut self, link: &Link, device: Option<&str>) -> Result<SocketAddr, LinkError> {
        if self.links.contains_key(&link.id) {
            return Err(LinkError::Exists(link.id));
        }
        let (sockets, local) = bind(link.local, device, self.workers.len())?;
        let mut first = None;
        for (worker, socket) in self.workers.iter().zip(sockets) {
            let socket = Arc::new(socket);
            first.get_or_insert_with(|| Arc::clone(&socket));
            worker.mailbox.send(WorkerCommand::AddLink {
                link: link.id,
                socket,
            });
        }
        if let Some(socket) = first {
            self.links.insert(link.id, LinkHandle { local, socket });
        }
        Ok(local)
    }

    /// Closes a link; its address is free when this returns. False if there is no such link.
    pub fn remove_link(&mut self, link: LinkId) -> bool {
        let Some(handle) = self.links.remove(&link) else {
            return false;
        };
        drop(handle);
        self.tell_all_and_wait(|done| WorkerCommand::RemoveLink { link, done });
        true
    }

    /// Makes the device of a network: one queue per worker, MAC address and MTU set, up. It disappears with
    /// [`Dataplane::remove_tap`] or with the process.
    pub fn add_tap(
        &mut self,
        network: NetworkId,
        settings: &TapSettings,
    ) -> Result<TapInfo, TapError> {
        if self.taps.contains_key(&network) {
            return Err(TapError::Exists(network));
        }
        let device = TapDevice::create(settings, self.workers.len())?;
        let info = device.info.clone();
        let mut all_counters = Vec::with_capacity(self.workers.len());
        for (worker, queue) in self.workers.iter().zip(&device.queues) {
            let counters = Arc::<NetworkCells>::default();
            all_counters.push(Arc::clone(&counters));
            worker.mailbox.send(WorkerCommand::AddTap {
                network,
                queue: Arc::clone(queue),
                counters,
            });
        }
        self.taps.insert(
            network,
            TapHandle {
                device,
                counters: all_counters,
            },
        );
        Ok(info)
    }

    /// Removes a network's device; its name is free when this returns. False if there is none.
    pub fn remove_tap(&mut self, network: NetworkId) -> bool {
        let Some(handle) = self.taps.remove(&network) else {
            return false;
        };
        drop(handle);
        self.tell_all_and_wait(|done| WorkerCommand::RemoveTap { network, done });
        true
    }

    /// Changes a live device's MTU.
    pub fn set_tap_mtu(&mut self, network: NetworkId, mtu: u16) -> Result<(), TapError> {
        self.taps
            .get(&network)
            .ok_or(TapError::Missing(network))?
            .device
            .set_mtu(mtu)
    }

    /// Sends a datagram now: from the given link, or from every link of the destination's address family. Losses are
    /// counted, not reported, as anywhere on the way.
    pub fn transmit(&self, transmit: &Transmit) {
        let chosen: Vec<_> = match transmit.link {
            Some(link) => self.links.get_key_value(&link).into_iter().collect(),
            None => self
                .links
                .iter()
                .filter(|(_, handle)| handle.local.is_ipv4() == transmit.to.is_ipv4())
                .collect(),
        };
        if chosen.is_empty() {
            self.control.lost(DropReason::NoLink);
        }
        for (link, handle) in chosen {
            let length = transmit.bytes.len();
            let sent = match (transmit.ttl, self.workers.first()) {
                (Some(ttl), Some(worker)) if transmit.to.is_ipv4() => {
                    worker.mailbox.send(WorkerCommand::SendWithTtl {
                        link: *link,
                        to: transmit.to,
                        bytes: transmit.bytes.clone(),
                        ttl,
                    })
                }
                _ => {
                    let result = handle.socket.send(transmit.to, &transmit.bytes, length);
                    if let Err(error) = &result {
                        let path = PathKey {
                            link: *link,
                            remote: transmit.to,
                        };
                        self.note_failure(path, error);
                        tracing::debug!(to = %transmit.to, from = %handle.local, %error, "datagram not sent");
                    }
                    result.is_ok()
                }
            };
            if sent {
                self.control.sends.add(1);
                self.control.datagrams_sent.add(1);
                self.control.bytes_sent.add(length as u64);
            } else {
                self.control.lost(DropReason::SendFailed);
            }
        }
    }

    /// The next drain tells.
    fn note_failure(&self, path: PathKey, error: &io::Error) {
        if let Some(errno) = path_error(error)
            && let Ok(mut failures) = self.failures.lock()
            && failures.len() < MAX_FAILURES
            && !failures.iter().any(|(failed, _)| *failed == path)
        {
            failures.push((path, errno));
            self.bell.ring();
        }
    }

    /// Writes a frame, Ethernet header first, to a network's device. Losses are counted.
    pub fn deliver(&self, network: NetworkId, frame: &[u8]) {
        let Some(queue) = self
            .taps
            .get(&network)
            .and_then(|handle| handle.device.queues.first())
        else {
            self.control.lost(DropReason::NoDevice);
            return;
        };
        match queue.write(frame) {
            Ok(()) => {
                self.control.frames_written.add(1);
                self.control.frame_bytes_written.add(frame.len() as u64);
            }
            Err(_) => self.control.lost(DropReason::DeviceRefused),
        }
    }

    /// Gives `take` what the workers handed over. To be called after each notification.
    pub fn drain(&mut self, mut take: impl FnMut(Handover)) {
        self.bell.silence();
        let failures = self.failures.get_mut().map(std::mem::take);
        for (path, errno) in failures.unwrap_or_default() {
            take(Handover::SendFailed { path, errno });
        }
        for worker in &mut self.workers {
            // Bounded by what a ring holds, so that one busy worker cannot keep the control thread here.
            for _ in 0..RING_CAPACITY {
                let Ok(handover) = worker.handovers.pop() else {
                    break;
                };
                take(handover);
            }
            if !worker.handovers.is_empty() {
                self.bell.ring();
            }
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// What each worker did so far.
    pub fn counters(&self) -> Vec<WorkerCounters> {
        self.workers
            .iter()
            .enumerate()
            .map(|(index, worker)| {
                let networks: Vec<_> = self
                    .taps
                    .iter()
                    .filter_map(|(network, tap)| {
                        Some((*network, Arc::clone(tap.counters.get(index)?)))
                    })
                    .collect();
                worker.counters.read(&networks)
            })
            .collect()
    }

    /// What [`Dataplane::transmit`] and [`Dataplane::deliver`] did so far.
    pub fn control_counters(&self) -> WorkerCounters {
        self.control.read(&[])
    }

    /// Stops the workers and waits for them; links and devices are gone afterwards.
    pub fn stop(mut self) {
        self.stop_workers();
    }

    fn stop_workers(&mut self) {
        for worker in &self.workers {
            worker.mailbox.send(WorkerCommand::Stop);
        }
        for worker in self.workers.drain(..) {
            if worker.thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    }

    fn tell_all_and_wait(
        &self,
        command: impl Fn(std::sync::mpsc::SyncSender<()>) -> WorkerCommand,
    ) {
        let (done, finished) = sync_channel(self.workers.len());
        let told = self
            .workers
            .iter()
            .filter(|worker| worker.mailbox.send(command(done.clone())))
            .count();
        drop(done);
        for _ in 0..told {
            if finished.recv_timeout(REMOVAL_PATIENCE).is_err() {
                tracing::warn!("a worker did not let go in time");
                break;
            }
        }
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        self.stop_workers();
    }
}
