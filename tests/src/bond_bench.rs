//! What the tests of bonds share: two members over some links, both bonded, and a numbered stream between them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use crate::runner::Place;
use anyhow::{Context, ensure};
use cli::lab::delivery::Delivery;
use cli::lab::links;
use cli::lab::stream::{Pace, Stream};
use cli::lab::topology::{Lab, LabConfig, interface_name, until};
use cli::lab::traffic;
use serde_json::{Map, Value, json};

/// How long anything may take that is not measured.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// A link carries traffic if it has at least this share of the bytes,
const CARRIES: f64 = 0.2;
/// and none if it has at most this: probes and heartbeats remain.
const IDLE: f64 = 0.05;

/// What a run of the operator's tool said.
#[derive(Debug)]
pub struct Said {
    /// On standard output.
    pub stdout: String,
    /// On standard error.
    pub stderr: String,
    /// Exit code.
    pub code: i32,
}

/// Settings for tests of orders, which shall not depend on how busy the machine is: a path must be silent for long to count
/// as failed, and no loss makes it avoided.
pub fn patient(policy: &str) -> Value {
    let parameters = json!({"downDelay": 3000, "linkQuality": {"plr_max": 1.0}});
    json!({"defaultBondingPolicy": policy, "balance-rr": parameters, policy: parameters})
}

/// Two bonded members.
pub struct Bench<'a> {
    /// Where it runs.
    pub place: &'a Place,
    /// The world around the two.
    pub lab: Lab,
    /// Links between them.
    pub links: u8,
    /// Overlay addresses of the two.
    pub overlay: [Ipv4Addr; 2],
    /// Node address of the second.
    pub peer: String,
}

/// `settings` of local.conf beside what every lab needs.
pub fn settings(value: &Value) -> Map<String, Value> {
    let mut settings = value.as_object().cloned().unwrap_or_default();
    settings.insert("allowSecondaryPort".to_owned(), json!(false));
    settings
}

impl<'a> Bench<'a> {
    /// Starts everything with these settings at both members and waits until each bond has all links.
    pub fn start(place: &'a Place, links: u8, value: &Value) -> anyhow::Result<Self> {
        Self::start_with(place, [&place.hawserd, &place.hawserd], links, value)
    }

    /// The same with these two programs as members.
    pub fn start_with(
        place: &'a Place,
        programs: [&Path; 2],
        links: u8,
        value: &Value,
    ) -> anyhow::Result<Self> {
        let mut lab = Lab::build(&LabConfig {
            links,
            root: place.hawserd.clone(),
            controller: place.hawserd.clone(),
            members: programs.map(Path::to_owned).into(),
            folder: place.folder.clone(),
        })?;
        for (member, program) in lab.members.iter_mut().zip(programs) {
            member.renew(program, &settings(value))?;
        }
        for daemon in lab.daemons() {
            daemon.start()?;
        }
        lab.create_network()?;
        let overlay = [lab.admit(0, PATIENCE)?, lab.admit(1, PATIENCE)?];
        let to = overlay[1];
        let host = lab.members[0].host();
        let first = host.run(move || traffic::ping(to, 20, Duration::from_secs(1)))??;
        ensure!(!first.round_trips.is_empty(), "no answer at all");
        let peer = lab.members[1].address().to_string();
        let bench = Self {
            place,
            lab,
            links,
            overlay,
            peer,
        };
        if value.get("defaultBondingPolicy").is_some() {
            bench.wait_for_links(links.into())?;
        }
        Ok(bench)
    }

    /// Waits until both bonds have so many working links.
    pub fn wait_for_links(&self, links: u64) -> anyhow::Result<()> {
        let mut last = [Value::Null, Value::Null];
        let done = until(PATIENCE, || {
            for (from, to) in [(0, 1), (1, 0)] {
                let peer = self.lab.members[to].address();
                last[from] = self.lab.members[from].get(&format!("/bond/show/{peer}"))?.1;
            }
            let complete = last.iter().all(|bond| bond["numAliveLinks"] == links);
            Ok(complete.then_some(()))
        })?;
        done.with_context(|| format!("the bonds never have {links} links: {last:?}"))
    }

    /// Runs the tool at the first member.
    pub fn tool(&self, words: &[&str]) -> anyhow::Result<Said> {
        let output = self.lab.members[0].tool(&self.place.hawser, words)?;
        Ok(Said {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        })
    }

    /// Runs the tool, which must succeed; what it prints.
    pub fn ok(&self, words: &[&str]) -> anyhow::Result<String> {
        let said = self.tool(words)?;
        ensure!(said.code == 0, "{words:?}: {said:?}");
        Ok(said.stdout)
    }

    /// Runs the tool again and again until its outputs contain `part`.
    pub fn wait_for(&self, words: &[&str], part: &str) -> anyhow::Result<String> {
        let mut last = String::new();
        until(PATIENCE, || {
            last = self.lab.members[0].cli(&self.place.hawser, words)?;
            Ok(last.contains(part).then_some(()))
        })?
        .with_context(|| format!("{words:?} never says {part:?} but {last}"))?;
        Ok(last)
    }

    /// The bond of the first member, as the API shows it.
    pub fn bond(&self) -> anyhow::Result<Value> {
        let (status, bond) = self.lab.members[0].get(&format!("/bond/show/{}", self.peer))?;
        ensure!(status == 200, "no bond: {status} {bond}");
        Ok(bond)
    }

    /// Waits until the first member's bond is as wished.
    pub fn wait_for_bond(
        &self,
        what: &str,
        mut wish: impl FnMut(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let mut last = Value::Null;
        until(PATIENCE, || {
            last = self.lab.members[0]
                .get(&format!("/bond/show/{}", self.peer))?
                .1;
            Ok(wish(&last).then_some(()))
        })?
        .with_context(|| format!("never {what}: {last}"))
    }

    /// Interface of the active path.
    pub fn active(&self) -> anyhow::Result<String> {
        let bond = self.bond()?;
        let paths = bond["paths"].as_array().context("no paths")?;
        let active = paths.iter().find(|path| path["isActive"] == true);
        let active = active.and_then(|path| path["ifname"].as_str());
        Ok(active.context("no active path")?.to_owned())
    }

    /// Replaces the settings of both members; they notice within some seconds.
    pub fn edit(&self, value: &Value) -> anyhow::Result<()> {
        (0..self.lab.members.len()).try_for_each(|member| self.edit_member(member, value))
    }

    /// The same of one member.
    pub fn edit_member(&self, member: usize, value: &Value) -> anyhow::Result<()> {
        let mut all = settings(value);
        for (key, value) in [
            ("portMappingEnabled", false),
            ("allowTcpFallbackRelay", false),
        ] {
            all.insert(key.to_owned(), json!(value));
        }
        let path = self.lab.members[member].home().join("local.conf");
        std::fs::write(path, json!({ "settings": all }).to_string())?;
        Ok(())
    }

    /// A stream in both directions, 1000 datagrams a second together.
    pub fn stream(&self) -> anyhow::Result<Stream> {
        let [near, far] = [&self.lab.members[0], &self.lab.members[1]].map(|m| m.host());
        let [here, there] = self.overlay.map(IpAddr::V4);
        Ok(Stream::start(
            Pace::default(),
            [(near, here), (far, there)],
        )?)
    }

    /// What the first member sends by each link for a while, as shares of all.
    pub fn shares(&self) -> anyhow::Result<Vec<f64>> {
        let before = self.sent()?;
        std::thread::sleep(Duration::from_millis(1500));
        let after = self.sent()?;
        let grown = after.iter().zip(before).map(|(a, b)| (a - b) as f64);
        let grown: Vec<f64> = grown.collect();
        let sum: f64 = grown.iter().sum();
        Ok(grown
            .into_iter()
            .map(|bytes| bytes / sum.max(1.0))
            .collect())
    }

    /// While a stream flows: just these links of the first member carry it. They get some time for that.
    pub fn carry(&self, links: &[u8]) -> anyhow::Result<()> {
        let mut shares = Vec::new();
        for _ in 0..8 {
            shares = self.shares()?;
            let right = (0_u8..).zip(&shares).all(|(link, share)| {
                if links.contains(&link) {
                    *share >= CARRIES
                } else {
                    *share <= IDLE
                }
            });
            if right {
                return Ok(());
            }
        }
        let bond = self.bond().unwrap_or_default();
        anyhow::bail!(
            "shares of the links are {shares:.2?}, but just {links:?} should carry: {bond:#}"
        )
    }

    /// Bytes that the first member has sent by each link so far.
    pub fn sent(&self) -> anyhow::Result<Vec<u64>> {
        let links = self.links;
        let host = self.lab.members[0].host();
        let sent = host.run(move || {
            (0..links)
                .map(|link| links::sent_bytes(&interface_name(link)))
                .collect::<std::io::Result<Vec<u64>>>()
        })??;
        Ok(sent)
    }

    /// Stops everything, in order.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let complaints = self.lab.stop()?;
        ensure!(complaints.is_empty(), "{complaints:?}");
        Ok(())
    }
}

/// Ends a stream of which nothing may be lost.
pub fn nothing_lost(stream: Stream) -> anyhow::Result<()> {
    for (direction, delivery) in stream.finish(Duration::ZERO)?.into_iter().enumerate() {
        ensure!(delivery.lost == 0, "direction {direction}: {delivery:?}");
    }
    Ok(())
}

/// Ends a stream that was disturbed at `disturbed`: whatever it lost it lost within `gap`.
pub fn recovered(
    stream: Stream,
    disturbed: Duration,
    gap: Duration,
) -> anyhow::Result<[Delivery; 2]> {
    let directions = stream.finish(disturbed)?;
    for (direction, delivery) in directions.iter().enumerate() {
        // What the machine itself paused is no fault of the bond.
        let longest = delivery.longest_gap.saturating_sub(delivery.longest_pause);
        ensure!(
            longest <= gap && delivery.losses_lasted <= gap,
            "direction {direction}: more than {gap:?}: {delivery:?}"
        );
    }
    Ok(directions)
}
