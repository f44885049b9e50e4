//! `hawser lab`: the whole system on one machine, with no account and no internet.

mod bond;
mod bonds;
pub mod census;
pub mod daemon;
pub mod delivery;
pub mod failures;
pub mod flows;
pub mod host;
pub mod links;
mod policy;
mod report;
mod requirements;
pub mod sandbox;
pub mod shaping;
mod software;
pub mod stream;
pub mod topology;
pub mod traffic;

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

use report::{Ping, Report, Run};
use sandbox::Entered;
use topology::{Lab, LabConfig};

/// Runs root, controller and members in namespaces of their own, joins them, pings, measures, and removes everything.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "hawser lab",
    bin_name = "hawser lab",
    after_help = "`hawser lab bond` compares the bonding policies instead, `hawser lab requirements` measures what bonding \
                  must achieve; each lists its options with --help."
)]
pub struct Arguments {
    /// Physical links of every host: each is a switch of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    links: u8,
    /// Members of the network.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=50))]
    members: u8,
    /// Seconds per throughput measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Print one JSON object instead of the story and the table.
    #[arg(long)]
    json: bool,
    /// Leave everything running after the measurements, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// How long a node may take to join, and a pair to find a direct path.
const PATIENCE: Duration = Duration::from_secs(40);

/// Everything is done and keeps running until Ctrl-C, which is then the orderly end.
static KEEPING: AtomicBool = AtomicBool::new(false);
/// Ctrl-C or SIGTERM came while keeping.
static ENOUGH: AtomicBool = AtomicBool::new(false);

/// Runs the lab; `arguments` follow the word `lab`. Returns the exit code.
pub fn run(arguments: &[String]) -> i32 {
    match arguments.split_first() {
        Some((word, rest)) if word == "bond" => return bond::run(rest),
        Some((word, rest)) if word == "requirements" => return requirements::run(rest),
        _ => {}
    }
    let words = std::iter::once("lab").chain(arguments.iter().map(String::as_str));
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed = error.print().is_ok();
            return if printed { error.exit_code() } else { 2 };
        }
    };
    match enter_and_show(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hawser lab: {error}");
            1
        }
    }
}

fn enter_and_show(arguments: &Arguments) -> io::Result<i32> {
    check_tap_device()?;
    // Before the namespaces: a build may want to fetch, and inside there is no route out.
    let daemon = daemon_program()?;
    match sandbox::enter().map_err(io::Error::other)? {
        Entered::Ended(status) => Ok(status.code().unwrap_or(1)),
        Entered::Inside(folder) => {
            watch_signals()?;
            show(arguments, &daemon, folder).map(|()| 0)
        }
    }
}

/// The daemon beside this program. Under `cargo lab` it is built first, so that one command does everything.
fn daemon_program() -> io::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let daemon = this.with_file_name("hawserd");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--package", "daemon", "--bin", "hawserd"]);
        if this
            .parent()
            .is_some_and(|folder| folder.ends_with("release"))
        {
            build.arg("--release");
        }
        if std::env::var_os("HAWSER_LAB_INSIDE").is_none() && !build.status()?.success() {
            return Err(io::Error::other("hawserd does not build"));
        }
    }
    if daemon.is_file() {
        Ok(daemon)
    } else {
        Err(io::Error::other(format!(
            "hawserd is missing beside this program: {}",
            daemon.display()
        )))
    }
}

/// Ctrl-C and SIGTERM end the lab at once: with process 1 of the namespace all else goes. (As process 1 it would otherwise
/// not even notice them.)
fn watch_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                use tokio::signal::unix::{SignalKind, signal};
                let (Ok(mut interrupt), Ok(mut terminate)) = (
                    signal(SignalKind::interrupt()),
                    signal(SignalKind::terminate()),
                ) else {
                    return;
                };
                loop {
                    tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
                    if !KEEPING.load(Ordering::Relaxed) || ENOUGH.swap(true, Ordering::Relaxed) {
                        eprintln!("\nhawser lab: interrupted; everything is removed");
                        std::process::exit(130);
                    }
                }
            });
        })?;
    Ok(())
}

/// Daemons need a TAP device, and whether we may open it depends on the machine alone.
fn check_tap_device() -> io::Result<()> {
    const DEVICE: &str = "/dev/net/tun";
    match std::fs::File::options().read(true).write(true).open(DEVICE) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(io::Error::other(format!(
                "no right to open {DEVICE} ({error}): run this as root, or let everyone open it, as most systems do: \
             chmod 666 {DEVICE}"
            )))
        }
        Err(error) => Err(io::Error::other(format!(
            "{DEVICE} cannot be opened ({error}): load the kernel module with `modprobe tun`"
        ))),
    }
}

/// Prints at once. A reader who has gone (`| head`) is no reason to stop the lab.
fn say(text: &str) {
    let mut output = io::stdout().lock();
    let _nobody_reads = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}

/// Prints steps as they begin and end, unless JSON was asked for.
struct Story {
    quiet: bool,
    start: Instant,
}

impl Story {
    fn step<T>(&self, what: &str, work: impl FnOnce() -> io::Result<(T, String)>) -> io::Result<T> {
        if !self.quiet {
            say(&format!(
                "{:6.1} s  {what} … ",
                self.start.elapsed().as_secs_f64()
            ));
        }
        let result = work();
        if !self.quiet {
            match &result {
                Ok((_, outcome)) => say(&format!("{outcome}\n")),
                Err(_) => say("failed\n"),
            }
        }
        result.map(|(value, _)| value)
    }
}

fn show(arguments: &Arguments, daemon: &Path, folder: PathBuf) -> io::Result<()> {
    let story = Story {
        quiet: arguments.json,
        start: Instant::now(),
    };
    let config = LabConfig {
        links: arguments.links,
        root: daemon.to_owned(),
        controller: daemon.to_owned(),
        members: vec![daemon.to_owned(); arguments.members.into()],
        folder,
    };
    let mut lab = story.step("making hosts and links", || {
        let lab = Lab::build(&config)?;
        Ok((
            lab,
            format!(
                "{} hosts, {} link(s) each",
                arguments.members + 2,
                arguments.links
            ),
        ))
    })?;
    let result = demonstrate(arguments, &story, &mut lab);
    if result.is_ok() && arguments.keep {
        keep(&lab)?;
    }
    let stopped = story.step("stopping all daemons", || {
        let complaints = lab.stop()?;
        let outcome = if complaints.is_empty() {
            "all ended in order".into()
        } else {
            complaints.join("; ")
        };
        Ok((complaints, outcome))
    });
    let report = result?;
    if arguments.json {
        say(&format!("{}\n", report.to_json()));
    } else {
        say(&format!("\n{report}\n"));
    }
    match stopped?.first() {
        None => Ok(()),
        Some(complaint) => Err(io::Error::other(complaint.clone())),
    }
}

fn demonstrate(arguments: &Arguments, story: &Story, lab: &mut Lab) -> io::Result<Report> {
    for daemon in lab.daemons() {
        let what = format!("starting {}", daemon.host().name());
        story.step(&what, || {
            daemon.start()?;
            Ok(((), daemon.address().to_string()))
        })?;
    }
    let network = story.step("creating a network at the controller", || {
        let network = lab.create_network()?;
        Ok((network, network.to_string()))
    })?;
    let mut addresses = Vec::new();
    for member in 0..lab.members.len() {
        let what = format!("member{} joins and is authorised", member + 1);
        addresses.push(story.step(&what, || {
            let address = lab.admit(member, PATIENCE)?;
            Ok((address, address.to_string()))
        })?);
    }
    let mut report = Report::new(network);
    for (member, address) in addresses.iter().enumerate().skip(1) {
        let what = format!("member1 pings member{}", member + 1);
        report
            .pings
            .push(story.step(&what, || ping_until_answered(lab, member, *address))?);
    }
    let direct = story.step("waiting for a direct path from member1 to member2", || {
        let direct =
            lab.wait_for_direct_path(&lab.members[0], lab.members[1].address(), PATIENCE)?;
        Ok((
            direct,
            if direct {
                "direct"
            } else {
                "still relayed through the root"
            }
            .to_owned(),
        ))
    })?;
    report.direct = direct;
    for streams in [1, 4] {
        let what = format!("TCP, {streams} stream(s), {} s", arguments.seconds);
        let target = IpAddr::V4(addresses[1]);
        report.runs.push(story.step(&what, || {
            let run = Run::measure(lab, target, streams, arguments.seconds)?;
            let outcome = format!("{:.0} Mbit/s", run.throughput.megabits_per_second());
            Ok((run, outcome))
        })?);
    }
    let tool = std::env::current_exe()?;
    for daemon in lab.daemons() {
        for command in ["info", "peers"] {
            report.add_command_output(
                daemon.host().name(),
                command,
                daemon.cli(&tool, &[command])?,
            );
        }
    }
    Ok(report)
}

/// The first packets may go while the pair still looks for each other: a few series, the last one counts.
fn ping_until_answered(
    lab: &Lab,
    member: usize,
    address: std::net::Ipv4Addr,
) -> io::Result<(Ping, String)> {
    let host = lab.members[0].host();
    let start = Instant::now();
    loop {
        let first = host.run(move || traffic::ping(address, 1, Duration::from_secs(1)))??;
        if !first.round_trips.is_empty() {
            break;
        }
        if start.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{address} does not answer pings")));
        }
    }
    let first_answer = start.elapsed();
    let result = host.run(move || traffic::ping(address, 20, Duration::from_secs(1)))??;
    let ping = Ping::new(format!("member{}", member + 1), first_answer, &result);
    let outcome = ping.to_string();
    Ok((ping, outcome))
}

fn keep(lab: &Lab) -> io::Result<()> {
    say(
        "\nEverything keeps running until Ctrl-C. To look around as root, from another terminal:\n  \
         pgrep -x hawserd          # then, for the one of interest:\n  \
         nsenter --all --target PID sh\n",
    );
    for daemon in [&lab.root, &lab.controller].into_iter().chain(&lab.members) {
        let (name, home) = (daemon.host().name(), daemon.home().display());
        say(&format!("  {name:<12} home {home}\n"));
    }
    KEEPING.store(true, Ordering::Relaxed);
    while !ENOUGH.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
