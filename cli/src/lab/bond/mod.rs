//! `hawser lab bond`: every bonding policy over a few slow links, one connection and several, and a link that fails.

mod column;
mod failover;
mod side_by_side;
mod table;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;

use super::policy::{BondSettings, Policy};
use super::sandbox::{self, Entered};
use super::software::{OURS, REFERENCE, no_reference, reference_program};
use super::topology::{Lab, LabConfig, interface_name};
use super::{Story, check_tap_device, daemon_program, say, shaping, watch_signals};
use column::{Column, Plan, Software, measure_links};
use table::Table;

/// Compares bonding policies: throughput over several links, and what a failing link costs. With the environment variable
/// ZEROTIER_ONE naming a zerotier-one, it is measured too.
#[derive(Parser, Clone, Debug)]
#[command(name = "hawser lab bond", bin_name = "hawser lab bond")]
struct Arguments {
    /// Links between the two members (and to root and controller): each is a switch of its own.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=8))]
    links: u8,
    /// Mbit/s of each link; 0: as fast as the machine is.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    rate: u32,
    /// Policies, separated by commas; all by default.
    #[arg(long, value_delimiter = ',')]
    policies: Vec<Policy>,
    /// Simultaneous TCP connections, a run for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4],
          value_parser = clap::value_parser!(u32).range(1..=128))]
    connections: Vec<u32>,
    /// Seconds per run.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Failing links per policy; the table shows the worst.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1000))]
    trials: u32,
    /// Columns whose links fail at the same time, each in a lab of its own, after all throughput was measured; 1: in the one
    /// lab, one after the other.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    parallel: u8,
    /// The bonds' failover interval, ms.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(50..=65_535))]
    failover_interval: u32,
    /// Seconds between a bond's appearance and the first measurement. The reference's bonds are on trial for 15 s.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(0..=600))]
    settle: u64,
    /// Declare the links and their capacities in local.conf instead of letting the nodes find out.
    #[arg(long)]
    declare_capacities: bool,
    /// What to measure, separated by commas: hawser, zerotier-one; all there is by default.
    #[arg(long, value_delimiter = ',', value_parser = [OURS, REFERENCE])]
    software: Vec<String>,
    /// Print one JSON object instead of the story and the table.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn plan(&self) -> Plan {
        let declared = self.declare_capacities.then_some((self.links, self.rate));
        let mut connections = self.connections.clone();
        connections.sort_unstable();
        connections.dedup();
        Plan {
            links: self.links,
            settings: BondSettings {
                failover_interval: self.failover_interval,
                declared,
            },
            connections,
            seconds: self.seconds,
            trials: self.trials,
            settle: Duration::from_secs(self.settle),
        }
    }

    fn policies(&self) -> Vec<Policy> {
        let wanted = |policy: &Policy| self.policies.is_empty() || self.policies.contains(policy);
        Policy::ALL.into_iter().filter(wanted).collect()
    }

    /// What to measure, or a sentence about what is missing for it. May build the daemon.
    fn software(&self) -> io::Result<Vec<Software>> {
        let wanted = |name: &str| {
            self.software.is_empty() || self.software.iter().any(|wanted| wanted == name)
        };
        let reference = if wanted(REFERENCE) {
            reference_program()?
        } else {
            None
        };
        let mut found = Vec::new();
        if wanted(OURS) {
            found.push(Software {
                name: OURS.into(),
                program: daemon_program()?,
            });
        }
        match reference {
            Some(program) => found.push(Software {
                name: REFERENCE.into(),
                program,
            }),
            None if !self.software.is_empty() && wanted(REFERENCE) => return Err(no_reference()),
            None => {}
        }
        Ok(found)
    }
}

/// Runs it; `arguments` follow the words `lab bond`. Returns the exit code.
pub(super) fn run(arguments: &[String]) -> i32 {
    let words = std::iter::once("bond").chain(arguments.iter().map(String::as_str));
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed = error.print().is_ok();
            return if printed { error.exit_code() } else { 2 };
        }
    };
    match enter_and_compare(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hawser lab bond: {error}");
            1
        }
    }
}

fn enter_and_compare(arguments: &Arguments) -> io::Result<i32> {
    check_tap_device()?;
    if arguments.rate > 0 {
        shaping::check_tool()
            .map_err(|error| io::Error::new(error.kind(), format!("{error} (--rate 0)")))?;
    }
    if arguments.declare_capacities && arguments.rate == 0 {
        return Err(io::Error::other(
            "--declare-capacities needs a --rate to declare",
        ));
    }
    let software = arguments.software()?;
    match sandbox::enter().map_err(io::Error::other)? {
        Entered::Ended(status) => Ok(status.code().unwrap_or(1)),
        Entered::Inside(folder) => {
            watch_signals()?;
            let table = compare(arguments, &software, folder)?;
            if arguments.json {
                say(&format!("{}\n", table.to_json()));
            } else {
                say(&format!("\n{table}"));
            }
            // How the reference ends is not ours to judge; the table tells it.
            Ok(i32::from(!table.is_complete(OURS)))
        }
    }
}

fn compare(arguments: &Arguments, software: &[Software], folder: PathBuf) -> io::Result<Table> {
    let story = Story {
        quiet: arguments.json,
        start: Instant::now(),
    };
    let plan = arguments.plan();
    let first = software
        .first()
        .ok_or_else(|| io::Error::other("nothing to measure"))?;
    let mut lab = story.step("making hosts and links", || {
        let lab = build_lab(arguments, first, folder.clone())?;
        Ok((lab, format!("{} links between the members", plan.links)))
    })?;
    let seconds = plan.seconds.min(3);
    let links = story.step("plain TCP on each link alone", || {
        let links = measure_links(&lab, plan.links, seconds)?;
        let sum: f64 = links.iter().sum();
        Ok((links, format!("{sum:.1} Mbit/s in all")))
    })?;
    let congestion_control = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")
        .unwrap_or_else(|_| "unknown".into());
    let in_turn = Plan {
        trials: if arguments.parallel > 1 {
            0
        } else {
            plan.trials
        },
        ..plan.clone()
    };
    let mut columns = Vec::new();
    for policy in arguments.policies() {
        // In turn, so that a machine that is busy for a while is so for both.
        for software in software {
            columns.push(Column::measure(
                &in_turn, &story, &mut lab, software, policy,
            )?);
        }
    }
    if in_turn.trials < plan.trials {
        side_by_side::add_trials(arguments, &plan, &story, software, &folder, &mut columns)?;
    }
    Ok(Table {
        plan,
        rate: arguments.rate,
        congestion_control: congestion_control.trim().to_owned(),
        links,
        columns,
    })
}

/// Hosts and links, with this program as root, controller and members until a column says otherwise.
fn build_lab(arguments: &Arguments, software: &Software, folder: PathBuf) -> io::Result<Lab> {
    let lab = Lab::build(&LabConfig {
        links: arguments.links,
        root: software.program.clone(),
        controller: software.program.clone(),
        members: vec![software.program.clone(); 2],
        folder,
    })?;
    if arguments.rate > 0 {
        limit_links(&lab, arguments.links, arguments.rate)?;
    }
    Ok(lab)
}

/// Limits what the members send on each link, and so each link in both directions.
fn limit_links(lab: &Lab, links: u8, rate: u32) -> io::Result<()> {
    for member in &lab.members {
        member.host().run(move || {
            (0..links).try_for_each(|link| shaping::limit_rate(&interface_name(link), rate))
        })??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(["bond"].iter().chain(words))
    }

    #[test]
    fn the_defaults_are_the_well_known_benchmark() {
        let arguments = parse(&[]).expect("defaults");
        let plan = arguments.plan();
        assert_eq!((plan.links, arguments.rate), (4, 100));
        assert_eq!(plan.connections, [1, 4]);
        assert_eq!(arguments.policies(), Policy::ALL);
        assert!(plan.settings.declared.is_none());
        assert_eq!(arguments.parallel, 1);
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let words = ["--policies", "balance-xor,none", "--connections", "12,1"];
        let arguments = parse(&words).expect("lists");
        assert_eq!(arguments.policies(), [Policy::None, Policy::BalanceXor]);
        assert_eq!(arguments.plan().connections, [1, 12]);
        assert!(parse(&["--policies", "balance-alb"]).is_err());
        assert!(parse(&["--software", "other"]).is_err());
        assert!(parse(&["--links", "1"]).is_err());
        assert!(parse(&["--parallel", "0"]).is_err());
    }
}
