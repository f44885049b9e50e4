//! One column of the table: a policy of one software, measured from start to stop.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::failover::{self, Trial};
use crate::lab::bonds::{bond_links, bytes_by_link};
use crate::lab::host::Host;
use crate::lab::policy::{BondSettings, Policy};
use crate::lab::topology::{Lab, host_of_member, underlay_address, until};
use crate::lab::traffic::{self, Throughput};
use crate::lab::{PATIENCE, Story};

/// A program to measure.
#[derive(Clone, Debug)]
pub(super) struct Software {
    pub(super) name: String,
    pub(super) program: PathBuf,
}

/// How to measure.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) links: u8,
    pub(super) settings: BondSettings,
    /// Numbers of simultaneous connections, a run each.
    pub(super) connections: Vec<u32>,
    /// Seconds of a run.
    pub(super) seconds: u32,
    /// Failovers.
    pub(super) trials: u32,
    /// Time between the bond's appearance and the first measurement.
    pub(super) settle: Duration,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) software: String,
    pub(super) policy: Policy,
    /// Links in use and known, as the sender's bond reports them; `None` without a bond.
    pub(super) bonded: Option<(u64, u64)>,
    pub(super) runs: Vec<Run>,
    pub(super) trials: Vec<Trial>,
    /// Why something is missing.
    pub(super) problem: Option<String>,
    /// Daemons that did not end in order afterwards.
    pub(super) complaints: Vec<String>,
}

/// One throughput run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) connections: u32,
    pub(super) throughput: Throughput,
    /// What the sending member put on each link meanwhile.
    pub(super) bytes_by_link: Vec<u64>,
    /// What the root sent meanwhile: hardly anything, unless it relayed.
    pub(super) relayed_bytes: u64,
    /// CPU seconds of both members' daemons per 10^9 bytes of payload.
    pub(super) cpu_seconds_per_gigabyte: Option<f64>,
}

impl Column {
    /// Starts everything anew with this policy, measures, and stops it. What goes wrong is noted in the column.
    pub(super) fn measure(
        plan: &Plan,
        story: &Story,
        lab: &mut Lab,
        software: &Software,
        policy: Policy,
    ) -> io::Result<Self> {
        let mut column = Self {
            software: software.name.clone(),
            policy,
            bonded: None,
            runs: Vec::new(),
            trials: Vec::new(),
            problem: None,
            complaints: Vec::new(),
        };
        let what = |step: &str| format!("{} {policy}: {step}", software.name);
        if let Err(error) = column.fill(plan, story, lab, software, &what) {
            column.problem = Some(error.to_string());
        }
        for link in 0..plan.links {
            // A trial that failed may have left a black hole behind.
            lab.restore(failover::SENDER, link)?;
        }
        column.complaints = lab.stop()?;
        Ok(column)
    }

    /// Takes over what another measurement of the same column found besides.
    pub(super) fn add(&mut self, other: Self) {
        self.trials.extend(other.trials);
        self.runs.extend(other.runs);
        self.problem = self.problem.take().or(other.problem);
        self.complaints.extend(other.complaints);
    }

    fn fill(
        &mut self,
        plan: &Plan,
        story: &Story,
        lab: &mut Lab,
        software: &Software,
        what: &dyn Fn(&str) -> String,
    ) -> io::Result<()> {
        let settings = plan.settings.local_conf(self.policy);
        let target = story.step(&what("starting, joining"), || {
            for daemon in lab.daemons() {
                daemon.renew(&software.program, &settings)?;
                daemon.start()?;
            }
            lab.create_network()?;
            lab.admit(0, PATIENCE)?;
            let target = lab.admit(1, PATIENCE)?;
            let host = lab.members[0].host();
            let answered = until(PATIENCE, || {
                let result =
                    host.run(move || traffic::ping(target, 1, Duration::from_secs(1)))??;
                Ok((!result.round_trips.is_empty()).then_some(()))
            })?;
            answered.ok_or_else(|| io::Error::other(format!("{target} does not answer pings")))?;
            if !lab.wait_for_direct_path(&lab.members[0], lab.members[1].address(), PATIENCE)? {
                return Err(io::Error::other("no direct path between the members"));
            }
            Ok((target, format!("{target} answers")))
        })?;
        if self.policy != Policy::None {
            self.bonded = story.step(&what("waiting for the bond"), || {
                wait_for_bond(plan, lab).map(|bonded| (bonded, describe(bonded)))
            })?;
            if self.bonded.is_none() {
                return Err(io::Error::other("there is no bond"));
            }
            // A bond does not fail over while its links are on trial (multipath specification J.4).
            thread::sleep(plan.settle);
        }
        let address = IpAddr::V4(target);
        for connections in plan.connections.iter().copied() {
            let step = what(&format!("TCP, {connections} connection(s)"));
            self.runs.push(story.step(&step, || {
                let run = Run::measure(plan, lab, address, connections)?;
                let outcome = format!("{:.1} Mbit/s", run.throughput.megabits_per_second());
                Ok((run, outcome))
            })?);
        }
        for number in 1..=plan.trials {
            let step = what(&format!("failover {number} of {}", plan.trials));
            self.trials.push(story.step(&step, || {
                if number > 1 {
                    self.recover(plan, lab)?;
                }
                let trial = failover::measure(lab, plan.links, address)?;
                let outcome = format!("{:.0} ms", trial.gap().as_secs_f64() * 1e3);
                Ok((trial, outcome))
            })?);
        }
        Ok(())
    }

    /// After a failover: waits until all links are in use again as before.
    fn recover(&self, plan: &Plan, lab: &Lab) -> io::Result<()> {
        if self.policy != Policy::None {
            wait_for_bond(plan, lab)?;
        }
        // Whatever is measured over a few failover intervals shall have forgotten the last failure.
        thread::sleep(Duration::from_secs(3));
        Ok(())
    }
}

fn describe(bonded: Option<(u64, u64)>) -> String {
    bonded.map_or_else(
        || "no bond".to_owned(),
        |(alive, total)| format!("{alive} of {total} links"),
    )
}

/// Waits until both members use all links. Returns what the first one's bond shows in the end.
fn wait_for_bond(plan: &Plan, lab: &Lab) -> io::Result<Option<(u64, u64)>> {
    let (near, far) = (&lab.members[0], &lab.members[1]);
    let mut last = None;
    until(PATIENCE, || {
        let (here, there) = (bond_links(near, far)?, bond_links(far, near)?);
        last = here;
        let complete = |bond: Option<(u64, u64)>| {
            bond.is_some_and(|(alive, _)| alive >= u64::from(plan.links))
        };
        Ok((complete(here) && complete(there)).then_some(()))
    })?;
    Ok(last)
}

impl Run {
    fn measure(plan: &Plan, lab: &Lab, target: IpAddr, connections: u32) -> io::Result<Self> {
        let (sender, receiver) = (&lab.members[0], &lab.members[1]);
        let cpu = || Some(sender.cpu_seconds()? + receiver.cpu_seconds()?);
        let of_root =
            || -> io::Result<u64> { Ok(bytes_by_link(lab.root.host(), plan.links)?.iter().sum()) };
        let (cpu_before, root_before) = (cpu(), of_root()?);
        let bytes_before = bytes_by_link(sender.host(), plan.links)?;
        let throughput = measure_tcp(
            sender.host(),
            receiver.host(),
            target,
            connections,
            plan.seconds,
        )?;
        let bytes_after = bytes_by_link(sender.host(), plan.links)?;
        let used = cpu().zip(cpu_before).map(|(after, before)| after - before);
        Ok(Self {
            connections,
            throughput,
            bytes_by_link: bytes_after
                .iter()
                .zip(bytes_before)
                .map(|(after, before)| after.saturating_sub(before))
                .collect(),
            relayed_bytes: of_root()?.saturating_sub(root_before),
            cpu_seconds_per_gigabyte: used.map(|used| used / (throughput.bytes as f64 / 1e9)),
        })
    }
}

/// Throughput with retransmissions: the kernel's count where the generator does not know them.
fn measure_tcp(
    sender: &Host,
    receiver: &Host,
    target: IpAddr,
    connections: u32,
    seconds: u32,
) -> io::Result<Throughput> {
    let before = sender.run(traffic::retransmitted_segments)??;
    let mut throughput = traffic::measure(sender, receiver, target, connections, seconds)?;
    let after = sender.run(traffic::retransmitted_segments)??;
    throughput
        .retransmissions
        .get_or_insert(after.saturating_sub(before));
    Ok(throughput)
}

/// Mbit/s of plain TCP on each link alone, without any overlay.
pub(super) fn measure_links(lab: &Lab, links: u8, seconds: u32) -> io::Result<Vec<f64>> {
    let (sender, receiver) = (lab.members[0].host(), lab.members[1].host());
    let target = |link| IpAddr::V4(underlay_address(link, host_of_member(1)));
    (0..links)
        .map(|link| {
            traffic::measure(sender, receiver, target(link), 1, seconds)
                .map(|throughput| throughput.megabits_per_second())
        })
        .collect()
}
