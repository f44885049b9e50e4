//! What the lab found, as a table and as JSON.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use protocol::NetworkId;
use serde_json::{Value, json};

use super::topology::Lab;
use super::traffic::{self, PingResult, Throughput};

/// All findings of one demonstration.
pub(super) struct Report {
    network: NetworkId,
    pub(super) pings: Vec<Ping>,
    pub(super) direct: bool,
    pub(super) runs: Vec<Run>,
    commands: Vec<(String, String, String)>,
}

/// Pings from member1 to one other member.
pub(super) struct Ping {
    target: String,
    first_answer: Duration,
    sent: u32,
    received: usize,
    median: Option<Duration>,
}

impl Ping {
    pub(super) fn new(target: String, first_answer: Duration, result: &PingResult) -> Self {
        Self {
            target,
            first_answer,
            sent: result.sent,
            received: result.round_trips.len(),
            median: result.median(),
        }
    }
}

impl fmt::Display for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} answered", self.received, self.sent)?;
        match self.median {
            Some(median) => write!(f, ", median {:.2} ms", median.as_secs_f64() * 1e3),
            None => Ok(()),
        }
    }
}

/// One throughput measurement from member1 to member2.
pub(super) struct Run {
    streams: u32,
    pub(super) throughput: Throughput,
    /// CPU seconds of both members' daemons per 10^9 bytes of payload.
    cpu_seconds_per_gigabyte: Option<f64>,
}

impl Run {
    pub(super) fn measure(
        lab: &Lab,
        target: IpAddr,
        streams: u32,
        seconds: u32,
    ) -> io::Result<Self> {
        let (sender, receiver) = (&lab.members[0], &lab.members[1]);
        let cpu = || Some(sender.cpu_seconds()? + receiver.cpu_seconds()?);
        let before = cpu();
        let throughput =
            traffic::measure(sender.host(), receiver.host(), target, streams, seconds)?;
        let used = cpu().zip(before).map(|(after, before)| after - before);
        let cpu_seconds_per_gigabyte = used.map(|used| used / (throughput.bytes as f64 / 1e9));
        Ok(Self {
            streams,
            throughput,
            cpu_seconds_per_gigabyte,
        })
    }
}

impl Report {
    pub(super) fn new(network: NetworkId) -> Self {
        Self {
            network,
            pings: Vec::new(),
            direct: false,
            runs: Vec::new(),
            commands: Vec::new(),
        }
    }

    pub(super) fn add_command_output(&mut self, host: &str, command: &str, output: String) {
        self.commands
            .push((host.to_owned(), command.to_owned(), output));
    }

    pub(super) fn to_json(&self) -> Value {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        json!({
            "network": self.network.to_string(),
            "directPath": self.direct,
            "pings": self.pings.iter().map(|ping| json!({
                "target": ping.target,
                "firstAnswerMs": milliseconds(ping.first_answer),
                "sent": ping.sent,
                "received": ping.received,
                "medianMs": ping.median.map(milliseconds),
            })).collect::<Vec<_>>(),
            "throughput": self.runs.iter().map(|run| json!({
                "streams": run.streams,
                "megabitsPerSecond": run.throughput.megabits_per_second(),
                "seconds": run.throughput.duration.as_secs_f64(),
                "longestStallMs": milliseconds(run.throughput.longest_stall),
                "retransmissions": run.throughput.retransmissions,
                "cpuSecondsPerGigabyte": run.cpu_seconds_per_gigabyte,
            })).collect::<Vec<_>>(),
            "commands": self.commands.iter().map(|(host, command, output)| json!({
                "host": host, "command": command, "output": output,
            })).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (host, command, output) in &self.commands {
            writeln!(f, "{host}$ hawser {command}\n{}\n", output.trim_end())?;
        }
        writeln!(
            f,
            "{:<24} {:>12} {:>10} {:>10} {:>12}",
            "network", "Mbit/s", "stall ms", "resent", "CPU s/GB"
        )?;
        for run in &self.runs {
            writeln!(
                f,
                "{:<24} {:>12.0} {:>10.0} {:>10} {:>12}",
                format!("TCP, {} stream(s)", run.streams),
                run.throughput.megabits_per_second(),
                run.throughput.longest_stall.as_secs_f64() * 1e3,
                run.throughput
                    .retransmissions
                    .map_or("-".into(), |n| n.to_string()),
                run.cpu_seconds_per_gigabyte
                    .map_or("-".into(), |s| format!("{s:.2}")),
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:<24} {:>12} {:>10} {:>12}",
            "ping from member1", "answered", "median ms", "first ms"
        )?;
        for ping in &self.pings {
            writeln!(
                f,
                "{:<24} {:>12} {:>10} {:>12.0}",
                ping.target,
                format!("{}/{}", ping.received, ping.sent),
                ping.median
                    .map_or("-".into(), |m| format!("{:.2}", m.as_secs_f64() * 1e3)),
                ping.first_answer.as_secs_f64() * 1e3,
            )?;
        }
        write!(
            f,
            "\npath from member1 to member2: {}",
            if self.direct { "direct" } else { "relayed" }
        )
    }
}
