//! Throughput of two members side by side with a peer, in one run: `cargo run --release -p bench --bin throughput`.
//!
//! With `ZEROTIER_ONE=/path/to/zerotier-one` set, rounds of hawserd and of the reference take turns, so that a busy machine
//! hurts both alike; the ratios are what counts. Root and controller are always ours and idle.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cli::lab::sandbox::{self, Entered};
use cli::lab::topology::{Lab, LabConfig};
use cli::lab::traffic;

const PATIENCE: Duration = Duration::from_secs(60);
/// Names the peer to the process that measures it.
const PEER: &str = "HAWSER_BENCH_PEER";

/// What one round found for one peer and one number of streams.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    megabits_per_second: f64,
    cpu_seconds_per_gigabyte: f64,
}

struct Settings {
    rounds: u32,
    seconds: u32,
    streams: Vec<u32>,
}

fn main() -> ExitCode {
    match parse().and_then(|settings| run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughput: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> anyhow::Result<Settings> {
    let mut settings = Settings {
        rounds: 3,
        seconds: 4,
        streams: vec![1, 4],
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "--rounds" => settings.rounds = value()?.parse().context("--rounds")?,
            "--seconds" => settings.seconds = value()?.parse().context("--seconds")?,
            "--streams" => {
                settings.streams = value()?
                    .split(',')
                    .map(|n| n.parse().context("--streams takes numbers like 1,4"))
                    .collect::<anyhow::Result<_>>()?;
            }
            _ => bail!("usage: throughput [--rounds N] [--seconds S] [--streams 1,4]"),
        }
    }
    Ok(settings)
}

fn run(settings: &Settings) -> anyhow::Result<()> {
    if let Some(peer) = std::env::var_os(PEER) {
        return measure_inside(settings, PathBuf::from(peer));
    }
    build_daemon()?;
    let mut peers = vec![("hawserd", sibling("hawserd")?)];
    match std::env::var_os("ZEROTIER_ONE") {
        Some(path) => peers.push(("zerotier-one", PathBuf::from(path))),
        None => println!("ZEROTIER_ONE is not set: no peer to compare with"),
    }
    let mut samples = vec![vec![Vec::new(); settings.streams.len()]; peers.len()];
    for round in 1..=settings.rounds {
        for (peer, (name, program)) in peers.iter().enumerate() {
            let output = Command::new(std::env::current_exe()?)
                .args(std::env::args().skip(1))
                .env(PEER, program)
                .output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            ensure!(
                output.status.success(),
                "{name}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            );
            for (index, line) in text.lines().enumerate().take(settings.streams.len()) {
                let sample = parse_sample(line).with_context(|| format!("odd line {line:?}"))?;
                println!(
                    "round {round}  {name:<13} {:>2} stream(s)  {:>6.0} Mbit/s  {:>5.2} CPU s/GB",
                    settings.streams[index],
                    sample.megabits_per_second,
                    sample.cpu_seconds_per_gigabyte
                );
                samples[peer][index].push(sample);
            }
        }
    }
    print_table(settings, &peers, &samples);
    Ok(())
}

fn print_table(settings: &Settings, peers: &[(&str, PathBuf)], samples: &[Vec<Vec<Sample>>]) {
    println!("\nmedians of {} rounds", settings.rounds);
    println!(
        "{:<16} {:>8} {:>10} {:>10}",
        "peer", "streams", "Mbit/s", "CPU s/GB"
    );
    for ((name, _), by_streams) in peers.iter().zip(samples) {
        for (streams, samples) in settings.streams.iter().zip(by_streams) {
            println!(
                "{name:<16} {streams:>8} {:>10.0} {:>10.2}",
                median(samples, |s| s.megabits_per_second),
                median(samples, |s| s.cpu_seconds_per_gigabyte)
            );
        }
    }
    let [ours, theirs] = samples else { return };
    println!("\nratios, {} to {}", peers[0].0, peers[1].0);
    for ((streams, ours), theirs) in settings.streams.iter().zip(ours).zip(theirs) {
        let ratio = |what: fn(&Sample) -> f64| median(ours, what) / median(theirs, what);
        println!(
            "{streams} stream(s): throughput {:.2}x, CPU per byte {:.2}x",
            ratio(|s| s.megabits_per_second),
            ratio(|s| s.cpu_seconds_per_gigabyte)
        );
    }
}

fn median(samples: &[Sample], what: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(what).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn parse_sample(line: &str) -> Option<Sample> {
    let (rate, cpu) = line.split_once(' ')?;
    Some(Sample {
        megabits_per_second: rate.parse().ok()?,
        cpu_seconds_per_gigabyte: cpu.parse().ok()?,
    })
}

/// One round of one peer: prints a line per number of streams.
fn measure_inside(settings: &Settings, peer: PathBuf) -> anyhow::Result<()> {
    let folder = match sandbox::enter()? {
        Entered::Ended(status) => std::process::exit(status.code().unwrap_or(1)),
        Entered::Inside(folder) => folder,
    };
    let hawserd = sibling("hawserd")?;
    let mut lab = Lab::build(&LabConfig {
        links: 1,
        root: hawserd.clone(),
        controller: hawserd,
        members: vec![peer; 2],
        folder,
    })?;
    for daemon in lab.daemons() {
        daemon.start()?;
    }
    lab.create_network()?;
    lab.admit(0, PATIENCE)?;
    let target = lab.admit(1, PATIENCE)?;
    let (sender, receiver) = (&lab.members[0], &lab.members[1]);
    sender
        .host()
        .run(move || traffic::ping(target, 20, Duration::from_secs(1)))??;
    ensure!(
        lab.wait_for_direct_path(sender, receiver.address(), PATIENCE)?
            && lab.wait_for_direct_path(receiver, sender.address(), PATIENCE)?,
        "no direct path"
    );
    // Warm-up: paths settle, caches fill.
    traffic::measure(sender.host(), receiver.host(), IpAddr::V4(target), 1, 1)?;
    for &streams in &settings.streams {
        let cpu = || Some(sender.cpu_seconds()? + receiver.cpu_seconds()?);
        let before = cpu().context("no CPU times in /proc")?;
        let result = traffic::measure(
            sender.host(),
            receiver.host(),
            IpAddr::V4(target),
            streams,
            settings.seconds,
        )?;
        let used = cpu().context("no CPU times in /proc")? - before;
        println!(
            "{} {}",
            result.megabits_per_second(),
            used / (result.bytes as f64 / 1e9)
        );
    }
    lab.stop()?;
    Ok(())
}

fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.is_file(), "{} is missing", path.display());
    Ok(path)
}

fn build_daemon() -> anyhow::Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "daemon",
            "--bin",
            "hawserd",
        ])
        .status()?;
    ensure!(status.success(), "hawserd does not build");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_survives_the_pipe() {
        let sample = Sample {
            megabits_per_second: 1234.5,
            cpu_seconds_per_gigabyte: 0.25,
        };
        let line = format!(
            "{} {}",
            sample.megabits_per_second, sample.cpu_seconds_per_gigabyte
        );
        assert_eq!(parse_sample(&line), Some(sample));
        assert_eq!(parse_sample("no numbers"), None);
    }

    #[test]
    fn the_median_ignores_an_outlier() {
        let samples = [1.0, 900.0, 2.0].map(|x| Sample {
            megabits_per_second: x,
            cpu_seconds_per_gigabyte: 0.0,
        });
        assert_eq!(median(&samples, |s| s.megabits_per_second), 2.0);
    }
}
