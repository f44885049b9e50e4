//! From the command line to a running control thread, in the order of the service specification A.3.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use arc_swap::ArcSwap;
use controller::Controller;
use dataplane::{Clock, Dataplane, DataplaneConfig};
use node::Node;
use protocol::WallClock;
use rand::{Rng, RngExt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use crate::api::access::Access;
use crate::api::listener::{ApiThread, Limits};
use crate::api::server::Server;
use crate::arguments::Options;
use crate::bonding::events::EventLog;
use crate::control::{Control, Outcome, Parts, RANDOM_PORTS, system_millis};
use crate::home::{DEFAULT_HOME, HOME_VARIABLE, Home};
use crate::local_conf::{self, LocalConf};
use crate::os::interfaces::{Netlink, watch_changes};
use crate::privileges;

/// Primary port unless told otherwise.
const DEFAULT_PORT: u16 = 9993;
/// How often a random port is tried.
const PORT_TRIES: u32 = 256;
/// More threads than this are not started unless local.conf says so.
const MOST_WORKERS: usize = 64;
/// Waiting API calls.
const QUESTIONS: usize = 64;
/// An orderly stop that takes longer than this is cut short.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Runs the daemon until it is told to stop.
pub fn run(options: &Options) -> Result<()> {
    let path = options
        .home
        .clone()
        .or_else(|| std::env::var_os(HOME_VARIABLE).map(PathBuf::from));
    let home_path = path.unwrap_or_else(|| PathBuf::from(DEFAULT_HOME));
    let home = Home::open(&home_path)?;
    home.protect_secrets();
    home.check_legacy()?;
    home.lock()?;
    if !options.skip_root_check {
        privileges::drop_to_service_user(home.root())?;
    }
    // Locks belong to the open file: the home is opened once and handed through restarts.
    let mut home = Some(home);
    loop {
        let this = match home.take() {
            Some(home) => home,
            None => {
                let home = Home::open(&home_path)?;
                home.lock()?;
                home
            }
        };
        if run_once(options, this)? == Outcome::Stop {
            return Ok(());
        }
    }
}

fn run_once(options: &Options, home: Home) -> Result<Outcome> {
    let mut rng = rand::rng();
    let access = Access {
        token: home.auth_token(&mut rng)?,
        metrics_token: home.metrics_token(&mut rng)?,
        management: Vec::new(),
    };
    let identity = home.identity(&mut rng)?;
    let planet = home.planet()?;
    let conf = read_conf(&home)?;
    // Read before anything is started, so that a damaged file is reported at once.
    home.moons()?;
    home.saved_networks()?;
    let wanted = conf
        .settings
        .primary_port
        .or(options.port)
        .unwrap_or(DEFAULT_PORT);
    let (listeners, primary_port) = claim_port(wanted)?;
    home.write_pid()?;
    home.write_port(primary_port)?;
    let settings = conf.settings.clone();
    let mut chosen = |port: u16| {
        if port == 0 {
            rng.random_range(RANDOM_PORTS)
        } else {
            port
        }
    };
    let secondary_port = settings
        .allow_secondary_port
        .then(|| chosen(settings.secondary_port));
    // A third port serves port mapping only, so without a configured one there is none.
    let tertiary_port = (settings.port_mapping_enabled && settings.tertiary_port != 0)
        .then_some(settings.tertiary_port);

    let store_path = settings
        .controller_db_path
        .clone()
        .unwrap_or_else(|| home.path("controller.d"));
    let store = controller::store::open_directory(&store_path).context("controller records")?;
    let controller = Controller::open(store, identity.clone(), seed())?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread's runtime")?;
    runtime.block_on(async {
        let signals = handle_signals()?;
        let clock = Clock::start();
        let now = clock.now();
        let wall = WallClock::new(now, system_millis());
        let handovers = Arc::new(Notify::new());
        let bell = Arc::clone(&handovers);
        let dataplane = Dataplane::start(DataplaneConfig {
            workers: workers(settings.workers),
            pin: settings.cpu_pinning_enabled,
            address: identity.address(),
            seed: seed(),
            clock,
            notify: Arc::new(move || bell.notify_one()),
        })?;
        tracing::info!(address = %identity.address(), port = primary_port, home = %home.root().display(), "started");
        let access = Arc::new(ArcSwap::from_pointee(Access {
            management: settings.allow_management_from,
            ..access
        }));
        let events = Arc::new(EventLog::default());
        let (questions_in, mut questions) = mpsc::channel(QUESTIONS);
        let mut control = Control::new(Parts {
            node: Node::new(identity.clone(), planet, seed(), now, wall),
            netlink: Netlink::connect()?,
            home,
            identity,
            dataplane,
            controller,
            clock,
            wall,
            conf,
            access: Arc::clone(&access),
            events: Arc::clone(&events),
            primary_port,
            secondary_port,
            tertiary_port,
        });
        control.start().await?;
        let server = Server {
            access,
            control: questions_in,
            events,
        };
        let api = ApiThread::start(server, listeners, Limits::default())?;
        let mut changes = watch_changes()?;
        let outcome = control.run(&mut questions, &mut changes, &handovers, &signals).await;
        // First, so that the port is free again and nobody gets half an answer from what comes down below it.
        drop(api);
        control.stop();
        outcome
    })
}

fn read_conf(home: &Home) -> Result<LocalConf> {
    let conf = LocalConf::load(home)?;
    for warning in &conf.warnings {
        tracing::warn!("{}: {warning}", local_conf::FILE);
    }
    Ok(conf)
}

/// Listeners of the local API on a port that is free for UDP too. 0: any port.
fn claim_port(wanted: u16) -> Result<(Vec<TcpListener>, u16)> {
    if wanted != 0 {
        let listeners = listen(wanted).map_err(|error| {
            anyhow!("cannot bind to local control interface port {wanted}: {error}")
        })?;
        return Ok((listeners, wanted));
    }
    for _ in 0..PORT_TRIES {
        let port = rand::rng().random_range(RANDOM_PORTS);
        if let Ok(listeners) = listen(port) {
            return Ok((listeners, port));
        }
    }
    bail!("cannot bind to local control interface port: no free port found")
}

/// IPv4 and IPv6 as far as there are; an error if neither works, or if somebody has the port.
fn listen(port: u16) -> std::io::Result<Vec<TcpListener>> {
    let places: [SocketAddr; 2] = [
        (Ipv4Addr::UNSPECIFIED, port).into(),
        (Ipv6Addr::UNSPECIFIED, port).into(),
    ];
    let mut listeners = Vec::new();
    let mut problem = None;
    for place in places {
        let listener = listen_on(place).and_then(|listener| {
            probe_udp(place)?;
            Ok(listener)
        });
        match listener {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                problem.get_or_insert(error);
            }
        }
    }
    match problem {
        // One family may be missing, but not taken: requests would go to somebody else.
        Some(error) if listeners.is_empty() || error.kind() == ErrorKind::AddrInUse => Err(error),
        _ => Ok(listeners),
    }
}

fn listen_on(place: SocketAddr) -> std::io::Result<TcpListener> {
    // Who finds it full asks again after a second: strangers must not fill it while nothing is accepted for a moment.
    const BACKLOG: i32 = 1024;
    let socket = Socket::new(
        Domain::for_address(place),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if place.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A predecessor's connections may still be closing.
    socket.set_reuse_address(true)?;
    socket.bind(&place.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// An error if somebody has the UDP port.
fn probe_udp(place: SocketAddr) -> std::io::Result<()> {
    let socket = Socket::new(Domain::for_address(place), Type::DGRAM, Some(Protocol::UDP))?;
    if place.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&place.into())?;
    drop(UdpSocket::from(socket));
    Ok(())
}

/// Data-plane threads: one per processor, unless local.conf says how many.
fn workers(configured: Option<usize>) -> usize {
    const LIMIT: usize = 256;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    configured.map_or(processors.min(MOST_WORKERS), |workers| workers.min(LIMIT))
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    seed
}

/// A bell that rings when the process shall stop. Other signals of old habits are taken and ignored.
fn handle_signals() -> Result<Arc<Notify>> {
    let stop = Arc::new(Notify::new());
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::quit(),
    ] {
        let mut stream = signal(kind).context("cannot handle signals")?;
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                limit_stop();
                stop.notify_one();
            }
        });
    }
    for kind in [
        SignalKind::hangup(),
        SignalKind::pipe(),
        SignalKind::io(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ] {
        let mut stream = signal(kind).context("cannot handle signals")?;
        tokio::spawn(async move { while stream.recv().await.is_some() {} });
    }
    let mut alarm = signal(SignalKind::alarm()).context("cannot handle signals")?;
    tokio::spawn(async move {
        if alarm.recv().await.is_some() {
            std::process::exit(0);
        }
    });
    Ok(stop)
}

/// Ends the process if an orderly stop takes too long.
fn limit_stop() {
    static STARTED: std::sync::Once = std::sync::Once::new();
    STARTED.call_once(|| {
        std::thread::spawn(|| {
            std::thread::sleep(STOP_LIMIT);
            std::process::exit(0);
        });
    });
}

/// Starts this program again without `-d`, and lets it run on its own.
pub fn go_to_background(program: &str, arguments: &[String]) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let remaining = arguments.iter().filter(|argument| *argument != "-d");
    std::process::Command::new(Path::new("/proc/self/exe"))
        .arg0(program)
        .args(remaining)
        .spawn()
        .context("cannot go to the background")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_reported_with_its_number() {
        let (_held, port) = claim_port(0).unwrap();
        let error = claim_port(port).unwrap_err().to_string();
        let expected = format!("cannot bind to local control interface port {port}: ");
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn somebody_elses_udp_port_counts_as_in_use() {
        let (held, port) = claim_port(0).unwrap();
        drop(held);
        let _udp4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        assert!(listen(port).is_err());
    }

    #[test]
    fn workers_follow_processors_unless_configured() {
        assert!(workers(None) >= 1);
        assert_eq!(workers(Some(3)), 3);
        assert_eq!(workers(Some(100_000)), 256);
    }
}
