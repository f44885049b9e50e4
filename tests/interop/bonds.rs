//! Bonds with an unmodified node over two links: they must stay up beyond the reference's trial of 15 s, after which a bond
//! whose peer does not report measurements falls apart (bonding specification, finding 9). `HAWSER_BOND_SECONDS` says for how
//! long they are watched; with `--test-threads 10` all are watched at the same time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cli::lab::daemon::Daemon;
use cli::lab::links;
use cli::lab::topology::{Lab, LabConfig, interface_name};
use cli::lab::traffic;
use serde_json::{Map, Value, json};
use tests::assertions::{assert_direct, assert_pings};
use tests::runner::{Place, Scenario};

use super::{PATIENCE, existing};

const LINKS: u8 = 2;
/// Well past the trial, and past several of the reference's QoS intervals.
const STANDING: Duration = Duration::from_secs(45);
/// After this long every link of a bond must be there, and stay.
const TRIAL: Duration = Duration::from_secs(20);
/// Pings of one burst, of which one may stay without an answer,
const BURST: u32 = 10;
/// and of all pings one in this many.
const ONE_IN: usize = 100;
/// Each link of a bond that uses all of them has at least this share of the bytes.
const CARRIES: f64 = 0.2;

/// How long bonds are watched.
fn standing() -> Duration {
    let seconds = std::env::var("HAWSER_BOND_SECONDS").ok();
    seconds
        .and_then(|seconds| seconds.parse().ok())
        .map_or(STANDING, Duration::from_secs)
}

pub(crate) fn scenarios(reference: Option<&Path>) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for policy in [
        "active-backup",
        "broadcast",
        "balance-rr",
        "balance-xor",
        "balance-aware",
    ] {
        for (name, ours) in [("alone", None), ("with_ours", Some(policy))] {
            let reference = reference.map(PathBuf::from);
            let name = format!(
                "bond_{}_of_the_reference_{name}_stays_up",
                policy.replace('-', "_")
            );
            let scenario = Scenario::new(name, move |place: &Place| {
                stays_up(place, existing(reference.as_deref())?, policy, ours)
            });
            scenarios.push(scenario.longer_by(standing()));
        }
    }
    scenarios
}

/// What the reference understands: no second port, or every link counts twice.
fn settings(policy: Option<&str>) -> Map<String, Value> {
    let mut settings = Map::new();
    settings.insert("allowSecondaryPort".into(), json!(false));
    if let Some(policy) = policy {
        settings.insert("defaultBondingPolicy".into(), json!(policy));
    }
    settings
}

fn stays_up(
    place: &Place,
    reference: &Path,
    policy: &str,
    ours: Option<&str>,
) -> anyhow::Result<()> {
    let hawserd = || place.hawserd.clone();
    let mut lab = Lab::build(&LabConfig {
        links: LINKS,
        root: hawserd(),
        controller: hawserd(),
        members: vec![hawserd(), reference.to_owned()],
        folder: place.folder.clone(),
    })?;
    lab.members[0].renew(&place.hawserd, &settings(ours))?;
    lab.members[1].renew(reference, &settings(Some(policy)))?;
    for daemon in lab.daemons() {
        daemon.start()?;
    }
    lab.create_network()?;
    let [first, second] = [lab.admit(0, PATIENCE)?, lab.admit(1, PATIENCE)?];
    assert_pings(&lab, 0, second)?;
    assert_pings(&lab, 1, first)?;
    assert_direct(&lab)?;
    let start = Instant::now();
    let before = sent_bytes(&lab.members[1])?;
    let (mut looks, mut pings, mut missing) = (0, 0, 0);
    while start.elapsed() < standing() {
        for (from, to) in [(0, second), (1, first)] {
            let host = lab.members[from].host();
            let burst = host.run(move || traffic::ping(to, BURST, Duration::from_secs(2)))??;
            let answered = burst.round_trips.len();
            let unanswered = BURST as usize - answered;
            ensure!(
                unanswered <= 1,
                "{answered} of {BURST} pings from {} to {to} were answered after {} s",
                host.name(),
                start.elapsed().as_secs()
            );
            pings += BURST as usize;
            missing += unanswered;
        }
        if start.elapsed() > TRIAL {
            let after = start.elapsed().as_secs();
            let theirs = links_of(&lab.members[1], &lab.members[0])?;
            theirs.all_alive("the reference's", after)?;
            if ours.is_some() {
                let ours = links_of(&lab.members[0], &lab.members[1])?;
                ours.all_alive("our", after)?;
                theirs.same_as(&ours)?;
            }
            looks += 1;
        }
    }
    ensure!(looks > 0, "watched too short to see anything");
    println!(
        "{} s: all {LINKS} links alive at each of {looks} looks, {missing} of {pings} pings unanswered",
        start.elapsed().as_secs()
    );
    ensure!(
        missing * ONE_IN <= pings,
        "{missing} of {pings} pings were not answered"
    );
    if policy != "active-backup" {
        let after = sent_bytes(&lab.members[1])?;
        all_carry(&before, &after)?;
    }
    let theirs = tool_of(place, reference)?;
    listed(&lab.members[1], &theirs, &lab.members[0], policy)?;
    if let Some(policy) = ours {
        listed(&lab.members[0], &place.hawser, &lab.members[1], policy)?;
    }
    assert_pings(&lab, 0, second)?;
    lab.stop()?;
    Ok(())
}

/// Bytes that a member has sent by each link so far.
fn sent_bytes(member: &Daemon) -> anyhow::Result<Vec<u64>> {
    let sent = member.host().run(|| {
        (0..LINKS)
            .map(|link| links::sent_bytes(&interface_name(link)))
            .collect::<std::io::Result<Vec<u64>>>()
    })??;
    Ok(sent)
}

/// Each link had its part of what was sent meanwhile.
fn all_carry(before: &[u64], after: &[u64]) -> anyhow::Result<()> {
    let grown: Vec<u64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
    let all: u64 = grown.iter().sum();
    ensure!(
        grown
            .iter()
            .all(|bytes| *bytes as f64 >= CARRIES * all as f64),
        "the reference sent so many bytes by each link: {grown:?}"
    );
    Ok(())
}

/// The reference as the operator's tool, which it is by that name.
fn tool_of(place: &Place, reference: &Path) -> anyhow::Result<PathBuf> {
    let tool = place.folder.join("zerotier-cli");
    std::os::unix::fs::symlink(std::fs::canonicalize(reference)?, &tool)?;
    Ok(tool)
}

/// `listbonds` of that tool has a row for the peer, with its policy and every link alive.
fn listed(member: &Daemon, tool: &Path, peer: &Daemon, policy: &str) -> anyhow::Result<()> {
    let table = member.cli(tool, &["listbonds"])?;
    let peer = peer.address().to_string();
    let row = table.lines().find(|line| line.contains(&peer));
    let row = row.with_context(|| format!("no row of {peer}: {table}"))?;
    let cells: Vec<&str> = row.split_ascii_whitespace().collect();
    let all = format!("{LINKS}/{LINKS}");
    ensure!(
        cells.first() == Some(&peer.as_str())
            && cells.get(1) == Some(&policy)
            && cells.last() == Some(&all.as_str()),
        "{} {row:?}",
        tool.display()
    );
    Ok(())
}

/// What one side's bond says of its links.
struct Links {
    alive: u64,
    total: u64,
    /// The interface of each path with the remote address.
    paths: BTreeSet<(String, String)>,
}

impl Links {
    fn all_alive(&self, whose: &str, after: u64) -> anyhow::Result<()> {
        ensure!(
            (self.alive, self.total) == (u64::from(LINKS), u64::from(LINKS)),
            "{whose} bond has {}/{} links after {after} s",
            self.alive,
            self.total
        );
        Ok(())
    }

    /// Both sides name the same links: interfaces are called alike on both hosts.
    fn same_as(&self, other: &Self) -> anyhow::Result<()> {
        let names = |links: &Self| -> BTreeSet<String> {
            links.paths.iter().map(|(name, _)| name.clone()).collect()
        };
        ensure!(
            names(self) == names(other),
            "the sides disagree on the links: {:?}, {:?}",
            self.paths,
            other.paths
        );
        Ok(())
    }
}

/// The links of the bond that `daemon` has to `peer`.
fn links_of(daemon: &Daemon, peer: &Daemon) -> anyhow::Result<Links> {
    let (status, bond) = daemon.get(&format!("/bond/show/{}", peer.address()))?;
    ensure!(
        status == 200,
        "{} shows no bond: {status} {bond}",
        daemon.host().name()
    );
    let count = |key: &str| {
        bond[key]
            .as_u64()
            .with_context(|| format!("no {key} in {bond}"))
    };
    let paths = bond["paths"].as_array().context("no paths")?;
    let word = |path: &Value, key: &str| path[key].as_str().unwrap_or_default().to_owned();
    Ok(Links {
        alive: count("numAliveLinks")?,
        total: count("numTotalLinks")?,
        paths: paths
            .iter()
            .map(|path| (word(path, "ifname"), word(path, "address")))
            .collect(),
    })
}
