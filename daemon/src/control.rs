//! The control thread: it owns the node, the data plane's handle, the controller and all that the operating system was
//! asked for, waits for whatever happens next, and does what the node says.

mod bonding;
mod operator;
mod periodic;
mod sleep_watch;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use arc_swap::ArcSwap;
use controller::Controller;
use dataplane::{Clock, Dataplane};
use node::io::{Command, Config, Event, Link, PortChange, StateObject};
use node::{Input, Node, Output};
use protocol::{Instant, NetworkId, SecretIdentity, WallClock};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant as TokioInstant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::api::access::Access;
use crate::api::router;
use crate::api::server::Question;
use crate::bonding::Bonding;
use crate::bonding::events::EventLog;
use crate::bonding::presence::Presence;
use crate::bonding::usage::Usage;
use crate::home::{Home, Permissions};
use crate::local_conf::LocalConf;
use crate::os::interfaces::{Changes, Netlink};
use crate::os::links::Links;
use crate::os::ports::Ports;

pub use periodic::RANDOM_PORTS;
use sleep_watch::{SleepWatch, since_boot};

/// The shortest wait of the loop, so that a node with a deadline in the past cannot starve the API.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// The node is ticked at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long changes of addresses may gather before links are looked at again.
const SETTLE: Duration = Duration::from_millis(100);

/// Interfaces are looked at no more often than this, however much happens to them and to routes.
const OBSERVE_PAUSE: Duration = Duration::from_millis(20);

/// How the process shall go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Exit.
    Stop,
    /// Start again, with a new identity.
    Restart,
}

/// What [`Control::new`] needs.
#[allow(missing_docs, reason = "named by their type")]
pub struct Parts {
    pub home: Home,
    pub identity: SecretIdentity,
    pub node: Node,
    pub dataplane: Dataplane,
    pub controller: Controller,
    pub netlink: Netlink,
    pub clock: Clock,
    pub wall: WallClock,
    pub conf: LocalConf,
    /// Tokens and networks, as the API's server sees them.
    pub access: Arc<ArcSwap<Access>>,
    /// What happens to bonds, as the API's server sees it.
    pub events: Arc<EventLog>,
    pub primary_port: u16,
    pub secondary_port: Option<u16>,
    pub tertiary_port: Option<u16>,
}

/// The state of the control thread.
pub struct Control {
    home: Home,
    identity: SecretIdentity,
    node: Node,
    dataplane: Dataplane,
    controller: Controller,
    netlink: Netlink,
    clock: Clock,
    wall: WallClock,
    conf: LocalConf,
    conf_seen: Option<periodic::FileStamp>,
    /// Why local.conf, as it is now, could not be read.
    conf_problem: Option<String>,
    access: Arc<ArcSwap<Access>>,
    primary_port: u16,
    secondary_port: Option<u16>,
    tertiary_port: Option<u16>,
    links: Links,
    ports: Ports,
    permissions: BTreeMap<NetworkId, Permissions>,
    default_permissions: Permissions,
    bonding: Bonding,
    presence: Presence,
    events: Arc<EventLog>,
    /// What links with a data cap carried.
    usage: Usage,
    /// What the node was last told of interfaces: usable or not.
    told_links: BTreeMap<String, bool>,
    /// Networks whose devices have to be looked at.
    dirty_ports: BTreeSet<NetworkId>,
    /// When the node wants to be ticked.
    deadline: Instant,
    online: bool,
    offline_since: Instant,
    collided: bool,
}

impl Control {
    /// Puts the control thread's state together. Nothing happens before [`Control::start`].
    pub fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        Self {
            conf_seen: periodic::FileStamp::of(&parts.home.path(crate::local_conf::FILE)),
            home: parts.home,
            identity: parts.identity,
            node: parts.node,
            dataplane: parts.dataplane,
            controller: parts.controller,
            netlink: parts.netlink,
            clock: parts.clock,
            wall: parts.wall,
            conf: parts.conf,
            conf_problem: None,
            access: parts.access,
            primary_port: parts.primary_port,
            secondary_port: parts.secondary_port,
            tertiary_port: parts.tertiary_port,
            links: Links::default(),
            ports: Ports::default(),
            permissions: BTreeMap::new(),
            default_permissions: Permissions::default(),
            bonding: Bonding::default(),
            presence: Presence::default(),
            events: parts.events,
            usage: Usage::default(),
            told_links: BTreeMap::new(),
            dirty_ports: BTreeSet::new(),
            deadline: now,
            online: false,
            offline_since: now,
            collided: false,
        }
    }

    /// Opens the links, then joins, orbits and loads what the home remembers.
    pub async fn start(&mut self) -> Result<()> {
        let config = self.core_config();
        self.command(Command::Configure(Box::new(config))).await;
        self.load_usage();
        self.load_bonding().await;
        self.rescan_links().await;
        for peer in self.home.cached_peers() {
            self.command(Command::LoadPeer {
                identity: peer.identity,
                endpoints: peer.endpoints,
            })
            .await;
        }
        for moon in self.home.moons()? {
            self.command(Command::LoadMoon(Box::new(moon))).await;
        }
        for saved in self.home.saved_networks()? {
            self.permissions.insert(saved.id, saved.permissions);
            self.command(Command::Join {
                network: saved.id,
                cached: saved.cached,
            })
            .await;
        }
        Ok(())
    }

    /// Runs until `stop` is notified, or the identity has to be replaced.
    pub async fn run(
        &mut self,
        questions: &mut mpsc::Receiver<Question>,
        changes: &mut Changes,
        handovers: &Notify,
        stop: &Notify,
    ) -> Result<Outcome> {
        let mut every_5s = ticker(Duration::from_secs(5));
        let mut every_10s = ticker(Duration::from_secs(10));
        let mut every_30s = ticker(Duration::from_secs(30));
        let mut every_7_5s = ticker(Duration::from_millis(7500));
        let (mut watching, mut watching_routes) = (true, true);
        let mut changed_at = None;
        let (mut observe_at, mut observed_at) = (None, None);
        let mut sleep_watch = SleepWatch::new(since_boot());
        while !self.collided {
            if sleep_watch.has_slept(since_boot()) {
                self.wake_up().await;
            }
            let until_deadline = self.deadline.duration_since(self.clock.now());
            let wait = until_deadline.clamp(SHORTEST_WAIT, LONGEST_WAIT);
            tokio::select! {
                () = stop.notified() => return Ok(Outcome::Stop),
                () = handovers.notified() => self.take_handovers().await,
                Some((call, answer)) = questions.recv() => {
                    let reply = router::answer(self, &call).await;
                    let gone = answer.send(reply);
                    drop(gone); // the asker has hung up
                }
                change = changes.interfaces.recv(), if watching => match change {
                    Some(()) => {
                        changed_at.get_or_insert_with(TokioInstant::now);
                        // Bonds cannot wait until everything has settled.
                        observe_at.get_or_insert_with(|| earliest(observed_at));
                    }
                    None => watching = false,
                },
                change = changes.routes.recv(), if watching_routes => match change {
                    Some(()) => {
                        observe_at.get_or_insert_with(|| earliest(observed_at));
                    }
                    None => watching_routes = false,
                },
                () = reached(observe_at), if observe_at.is_some() => {
                    observe_at = None;
                    observed_at = Some(TokioInstant::now());
                    self.observe_links().await;
                }
                () = settled(changed_at), if changed_at.is_some() => {
                    changed_at = None;
                    self.rescan_links().await;
                    self.scan_ports().await;
                    self.observe_links().await;
                }
                _ = every_5s.tick() => self.each_5_seconds().await,
                _ = every_7_5s.tick(), if self.bonding.settings().is_in_use() => {
                    self.rescan_links().await;
                    self.observe_links().await;
                }
                _ = every_10s.tick() => self.each_10_seconds().await,
                _ = every_30s.tick() => self.each_30_seconds().await,
                () = sleep(wait) => self.handle(Input::Tick).await,
            }
        }
        self.home.retire_identity()?;
        Ok(Outcome::Restart)
    }

    /// Writes what shall be remembered and stops the workers.
    pub fn stop(mut self) {
        self.controller.save_all();
        self.count_usage();
        self.write_usage();
        self.write_metrics();
        for (address, content) in self.node.peer_cache() {
            let object = StateObject::Peer(address);
            if let Err(error) = self.home.persist(object, Some(&content)) {
                tracing::warn!("{error:#}");
            }
        }
        self.dataplane.stop();
        self.home.remove_pid();
    }

    /// The monotonic time.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Milliseconds since the Unix epoch at `time`.
    pub fn wall_at(&self, time: Instant) -> u64 {
        self.wall.at(time)
    }

    /// Milliseconds since the Unix epoch.
    pub fn wall_now(&self) -> u64 {
        self.wall.at(self.now())
    }

    /// The core.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The devices.
    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// All open sockets.
    pub fn open_links(&self) -> Vec<Link> {
        self.links.all()
    }

    /// local.conf.
    pub const fn conf(&self) -> &LocalConf {
        &self.conf
    }

    /// Permissions of a network; the defaults if it is not joined.
    pub fn permissions(&self, network: NetworkId) -> &Permissions {
        self.permissions
            .get(&network)
            .unwrap_or(&self.default_permissions)
    }

    async fn command(&mut self, command: Command) {
        self.handle(Input::Command(command)).await;
    }

    /// Gives the node an input and does all that follows from it.
    async fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.clock.now(), input);
        self.settle().await;
    }

    async fn take_handovers(&mut self) {
        let (node, clock) = (&mut self.node, self.clock);
        let mut outputs = Vec::new();
        let mut deadline = self.deadline;
        self.dataplane.drain(|handover| {
            node.handle(clock.now(), handover.as_input());
            deadline = collect(node, &mut outputs);
        });
        self.deadline = deadline;
        for output in outputs {
            self.perform(output);
        }
        self.settle().await;
    }

    /// Performs outputs until the node has nothing more to do, devices included.
    async fn settle(&mut self) {
        loop {
            let mut outputs = Vec::new();
            self.deadline = collect(&mut self.node, &mut outputs);
            let quiet = outputs.is_empty();
            for output in outputs {
                self.perform(output);
            }
            if let Some(network) = self.dirty_ports.pop_first() {
                self.apply_port(network).await;
            } else if quiet {
                return;
            }
        }
    }

    /// Makes a device look as wished, and tells the node what came of it.
    async fn apply_port(&mut self, network: NetworkId) {
        let devicemap = self
            .home
            .read("devicemap")
            .ok()
            .flatten()
            .unwrap_or_default();
        let devicemap = String::from_utf8_lossy(&devicemap);
        let (netlink, dataplane) = (&self.netlink, &mut self.dataplane);
        let news = self
            .ports
            .apply(network, self.online, &devicemap, netlink, dataplane)
            .await;
        let now = self.clock.now();
        for command in news {
            self.node.handle(now, Input::Command(command));
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Transmit(transmit) => self.dataplane.transmit(&transmit),
            Output::Deliver { network, frame } => self.dataplane.deliver(network, &frame),
            Output::Publish(snapshot) => self.dataplane.publish(snapshot),
            Output::Port(PortChange::Up(wish)) => {
                let network = wish.network;
                let permissions = self.permissions(network).clone();
                self.ports.set_wish(*wish, permissions);
                self.dirty_ports.insert(network);
            }
            Output::Port(PortChange::Down(network)) => {
                self.ports.remove(network, &mut self.dataplane);
                self.dirty_ports.remove(&network);
            }
            Output::ControllerRequest(request) => {
                let now = self.wall_now();
                self.controller.handle_request(now, request);
                self.take_effects();
            }
            Output::Persist { object, content } => {
                if let Err(error) = self.home.persist(object, content.as_deref()) {
                    tracing::warn!("{error:#}");
                }
            }
            Output::Event(event) => self.note(event),
            Output::Timeout(deadline) => self.deadline = deadline,
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Online(online) => {
                tracing::info!(online, "connection to upstreams");
                self.online = online;
                self.offline_since = self.clock.now();
                // Default routes wait for this.
                self.dirty_ports.extend(self.ports.networks());
            }
            Event::PathLearned { peer, path } => {
                tracing::debug!(%peer, remote = %path.remote, link = path.link.0, "path learned");
            }
            Event::PathLost { peer, path } => {
                tracing::debug!(%peer, remote = %path.remote, link = path.link.0, "path lost");
            }
            Event::NetworkStatus { network, status } => {
                tracing::info!(%network, status = status.as_str(), "network");
            }
            Event::IdentityCollision => {
                tracing::error!(address = %self.identity.address(), "another node has this address");
                self.collided = true;
            }
            Event::Bond { event, .. } => self.note_bond_event(&event),
        }
    }

    /// Hands what the controller wants done to the node; [`Control::settle`] does the rest.
    fn take_effects(&mut self) {
        let now = self.clock.now();
        while let Some(effect) = self.controller.poll() {
            let command = Command::Controller(effect);
            self.node.handle(now, Input::Command(command));
        }
    }

    /// The core's settings: those of local.conf, that we have a controller, and how many workers.
    fn core_config(&self) -> Config {
        let mut config = self.conf.core.clone();
        config.has_controller = true;
        config.workers = self.dataplane.workers();
        config
    }

    /// All addresses that sockets are bound to.
    fn listening_on(&self) -> Vec<SocketAddr> {
        self.links.all().iter().map(|link| link.local).collect()
    }
}

/// Takes all outputs up to the deadline that ends them.
fn collect(node: &mut Node, outputs: &mut Vec<Output>) -> Instant {
    loop {
        match node.poll() {
            Output::Timeout(deadline) => return deadline,
            output => outputs.push(output),
        }
    }
}

/// When changes have gathered for long enough.
async fn settled(since: Option<TokioInstant>) {
    reached(since.map(|since| since + SETTLE)).await;
}

async fn reached(time: Option<TokioInstant>) {
    if let Some(time) = time {
        sleep_until(time).await;
    }
}

/// When interfaces may be looked at again.
fn earliest(last: Option<TokioInstant>) -> TokioInstant {
    let now = TokioInstant::now();
    last.map_or(now, |last| now.max(last + OBSERVE_PAUSE))
}

fn ticker(period: Duration) -> tokio::time::Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

/// Milliseconds since the Unix epoch, from the system.
#[allow(
    clippy::disallowed_methods,
    reason = "with the start of the process the one reader of the system's clock"
)]
pub fn system_millis() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}
