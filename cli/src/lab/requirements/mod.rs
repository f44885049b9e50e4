//! `hawser lab requirements`: what bonding must achieve, measured with real daemons and real traffic.
//!
//! The numbers of the rows are those of the requirements on bonding. Each row is a [`Row`] in the list of the file that
//! measures it: its number, the quantity, what is required between two hawserd and towards a zerotier-one, the policies
//! that it concerns, and a function that measures. That function gets a [`Case`] (one row, one kind of peer, one policy),
//! asks it for a [`Bed`] (root, controller, and two bonded members in namespaces of their own), does what the row says,
//! and returns a [`Measurement`]. What it cannot measure is an error, which the report shows as such and counts as not held.
//!
//! To add a row: write the function and a `Row` beside it, and put the file's list into [`all_rows`]. Rows that need the
//! machine for themselves (throughput, CPU) are [`Load::Heavy`]; the others run side by side, a bed for each policy.
//! Requirements stand in the row and are compared in its function, from one constant each. Settings are the daemons' own
//! defaults unless the row says otherwise. The near member (number 0) is always hawserd, with the bond; the far one is
//! what the column is about.

mod allocation;
mod baseline;
mod bed;
mod broadcast;
mod carrying;
mod convergence;
mod creation;
mod failback;
mod flapping;
mod goodput;
mod idle;
mod local_loss;
mod loss;
mod mixed;
mod outage;
mod overhead;
mod pair;
mod parts;
mod placement;
mod replug;
mod report;
mod row;
mod sample;
mod schedule;
mod trial;

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;

use super::policy::Policy;
use super::sandbox::{self, Entered};
use super::software::{OURS, REFERENCE, no_reference, reference_program};
use super::{check_tap_device, daemon_program, failures, say, watch_signals};
use row::{Peer, Programs, Row};
use schedule::{Job, Schedule};

/// Every row that can be measured.
fn all_rows() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        outage::rows(),
        idle::rows(),
        local_loss::rows(),
        broadcast::rows(),
        loss::rows(),
        failback::rows(),
        replug::rows(),
        creation::rows(),
        flapping::rows(),
        mixed::rows(),
        allocation::rows(),
        convergence::rows(),
        goodput::rows(),
        overhead::rows(),
    ]
    .concat();
    rows.sort_by_key(|row| row.number);
    rows
}

/// Measures the requirements on bonding, row by row, between two hawserd and towards a zerotier-one (whose path is in the
/// environment variable ZEROTIER_ONE), and tells which of them hold.
#[derive(Parser, Clone, Debug)]
#[command(name = "hawser lab requirements", bin_name = "hawser lab requirements")]
pub(super) struct Arguments {
    /// Rows to measure, such as 1,5-8; all by default.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Numbers>,
    /// Kinds of far member: hawser, zerotier-one; by default the first, and the second where ZEROTIER_ONE is set.
    #[arg(long, value_delimiter = ',', value_parser = [OURS, REFERENCE])]
    peer: Vec<String>,
    /// Policies, separated by commas; by default all that a row concerns.
    #[arg(long, value_delimiter = ',')]
    policies: Vec<Policy>,
    /// Repetitions of what is measured many times. A proof of a 99th percentile takes at least 100.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    trials: u32,
    /// Seconds of what is observed for a time; by default what the row needs.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// Beds that may run side by side, for rows with hardly any traffic.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// How much is measured: the same for all rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Repetitions.
    pub(super) trials: u32,
    seconds: Option<u64>,
}

impl Options {
    /// How long to observe, where `usual` is what the row needs.
    pub(super) fn observation(&self, usual: Duration) -> Duration {
        self.seconds.map_or(usual, Duration::from_secs)
    }
}

/// A number or a range of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Numbers {
    first: u8,
    last: u8,
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self { first, last }),
            _ => Err("a row is a number, or a range such as 5-8".to_owned()),
        }
    }
}

impl Arguments {
    fn rows(&self) -> io::Result<Vec<Row>> {
        let mut rows = all_rows();
        for wanted in &self.rows {
            let known = |row: &Row| wanted.first <= row.number && row.number <= wanted.last;
            if !rows.iter().any(known) {
                let known: Vec<String> = rows.iter().map(|row| row.number.to_string()).collect();
                return Err(io::Error::other(format!(
                    "--rows {}-{}: there are rows {}",
                    wanted.first,
                    wanted.last,
                    known.join(", ")
                )));
            }
        }
        if !self.rows.is_empty() {
            rows.retain(|row| {
                let among = |wanted: &Numbers| (wanted.first..=wanted.last).contains(&row.number);
                self.rows.iter().any(among)
            });
        }
        Ok(rows)
    }

    /// The kinds of peers that were asked for and can be had. May build the daemon.
    fn programs(&self) -> io::Result<Programs> {
        Ok(Programs {
            hawserd: daemon_program()?,
            zerotier_one: reference_program()?,
        })
    }

    fn peers(&self, programs: &Programs) -> io::Result<Vec<Peer>> {
        if self.peer.is_empty() {
            let there = |peer: &Peer| *peer == Peer::Hawser || programs.zerotier_one.is_some();
            return Ok(Peer::ALL.into_iter().filter(there).collect());
        }
        let wanted = |peer: &Peer| self.peer.iter().any(|name| name == peer.name());
        let peers: Vec<Peer> = Peer::ALL.into_iter().filter(wanted).collect();
        if peers.contains(&Peer::ZerotierOne) && programs.zerotier_one.is_none() {
            return Err(no_reference());
        }
        Ok(peers)
    }

    /// Which row, peer and policy to measure, in this order.
    fn jobs(&self, rows: Vec<Row>, peers: &[Peer]) -> Vec<Job> {
        let mut jobs = Vec::new();
        for row in rows {
            for peer in peers.iter().copied() {
                if row.requirement(peer).is_none() {
                    continue;
                }
                for policy in row.policies.iter().copied() {
                    if self.policies.is_empty() || self.policies.contains(&policy) {
                        let row = row.clone();
                        jobs.push(Job { row, peer, policy });
                    }
                }
            }
        }
        jobs
    }
}

/// Runs it; `arguments` follow the words `lab requirements`. Returns the exit code: 0 if all that was measured holds.
pub(super) fn run(arguments: &[String]) -> i32 {
    let words = std::iter::once("requirements").chain(arguments.iter().map(String::as_str));
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed = error.print().is_ok();
            return if printed { error.exit_code() } else { 2 };
        }
    };
    match enter_and_measure(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hawser lab requirements: {error}");
            1
        }
    }
}

fn enter_and_measure(arguments: &Arguments) -> io::Result<i32> {
    check_tap_device()?;
    failures::check_tool()?;
    let rows = arguments.rows()?;
    let programs = arguments.programs()?;
    let peers = arguments.peers(&programs)?;
    let jobs = arguments.jobs(rows, &peers);
    if jobs.is_empty() {
        return Err(io::Error::other("no row concerns these policies and peers"));
    }
    match sandbox::enter().map_err(io::Error::other)? {
        Entered::Ended(status) => Ok(status.code().unwrap_or(1)),
        Entered::Inside(folder) => {
            watch_signals()?;
            measure(arguments, jobs, programs, folder)
        }
    }
}

fn measure(
    arguments: &Arguments,
    jobs: Vec<Job>,
    programs: Programs,
    folder: PathBuf,
) -> io::Result<i32> {
    let schedule = Schedule {
        programs,
        folder,
        options: Options {
            trials: arguments.trials,
            seconds: arguments.seconds,
        },
        parallel: arguments.parallel.into(),
    };
    if !arguments.json {
        say(&format!("{}\n", report::heading()));
    }
    let findings = schedule.run(jobs, |finding| {
        if !arguments.json {
            say(&format!("{}\n", report::line(finding)));
        }
    })?;
    if arguments.json {
        let json = report::to_json(&findings, &schedule.options);
        say(&format!("{json}\n"));
    } else {
        say(&format!("{}\n", report::summary(&findings)));
    }
    Ok(i32::from(!findings.iter().all(report::Finding::holds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(["requirements"].iter().chain(words))
    }

    fn programs(zerotier_one: Option<&str>) -> Programs {
        Programs {
            hawserd: "hawserd".into(),
            zerotier_one: zerotier_one.map(PathBuf::from),
        }
    }

    #[test]
    fn rows_are_numbers_and_ranges() {
        let arguments = parse(&["--rows", "1,5-8"]).expect("rows");
        let wanted = [Numbers { first: 1, last: 1 }, Numbers { first: 5, last: 8 }];
        assert_eq!(arguments.rows, wanted);
        assert!(parse(&["--rows", "8-5"]).is_err());
        assert!(parse(&["--rows", "one"]).is_err());
        let unknown = parse(&["--rows", "200"]).expect("a number");
        assert!(unknown.rows().is_err());
    }

    #[test]
    fn the_reference_is_measured_where_it_is_known() {
        let by_default = parse(&[]).expect("defaults");
        assert_eq!(by_default.peers(&programs(None)).unwrap(), [Peer::Hawser]);
        assert_eq!(by_default.peers(&programs(Some("z"))).unwrap(), Peer::ALL);
        let asked = parse(&["--peer", REFERENCE]).expect("a peer");
        assert!(asked.peers(&programs(None)).is_err());
        assert_eq!(
            asked.peers(&programs(Some("z"))).unwrap(),
            [Peer::ZerotierOne]
        );
    }

    #[test]
    fn every_row_stands_once_and_says_what_it_requires() {
        let rows = all_rows();
        for (position, row) in rows.iter().enumerate() {
            let again = rows[..position].iter().any(|r| r.number == row.number);
            assert!(!again, "row {} stands twice", row.number);
            assert!(
                row.requirement(Peer::Hawser).is_some(),
                "row {}",
                row.number
            );
            assert!(!row.policies.is_empty(), "row {}", row.number);
        }
    }

    #[test]
    fn policies_narrow_the_jobs() {
        let arguments = parse(&["--rows", "1", "--policies", "balance-rr"]).expect("a policy");
        let jobs = arguments.jobs(arguments.rows().unwrap(), &Peer::ALL);
        assert_eq!(jobs.len(), 2);
        assert!(jobs.iter().all(|job| job.policy == Policy::BalanceRr));
    }
}
