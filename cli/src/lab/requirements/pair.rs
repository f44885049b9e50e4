//! Two bonded members with the links that a row asks for, and the traffic between them.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Map, Value, json};

use super::bed::{Bed, BedPlan, Settings};
use super::row::Case;
use crate::lab::bonds::bond_of;
use crate::lab::flows::{PacedFlows, TcpFlows};
use crate::lab::host::Host;
use crate::lab::policy::Policy;
use crate::lab::topology::{host_of_member, interface_name, underlay_address};
use crate::lab::{failures, shaping};

/// What a row asks for.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// Mbit/s of each link.
    pub(super) rates: Vec<u32>,
    /// The sender's custom policy (multipath specification A.3); `None`: nobody bonds.
    pub(super) policy: Option<Value>,
    /// The receiver has it too.
    pub(super) both: bool,
}

impl Scenario {
    /// Equal links with a standard policy and its defaults.
    pub(super) fn equal(links: usize, rate: u32, base: Policy) -> Self {
        Self::of(vec![rate; links], base)
    }

    /// A standard policy with its defaults.
    pub(super) fn of(rates: Vec<u32>, base: Policy) -> Self {
        Self {
            rates,
            policy: Some(json!({ "basePolicy": base.name() })),
            both: true,
        }
    }

    /// One link, and nobody bonds: what a row's bond is compared with.
    pub(super) fn alone(rate: u32) -> Self {
        Self {
            rates: vec![rate],
            policy: None,
            both: false,
        }
    }

    /// The receiver does not bond.
    pub(super) fn one_sided(self) -> Self {
        Self {
            both: false,
            ..self
        }
    }

    /// Sets a key of the policy.
    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        if let Some(policy) = &mut self.policy {
            policy[key] = value;
        }
        self
    }

    /// Tells both members what their links can carry.
    pub(super) fn declared(self) -> Self {
        let links: Map<_, _> = (0..)
            .zip(&self.rates)
            .map(|(link, rate)| {
                let attributes = json!({"mode": "primary", "capacity": rate});
                (interface_name(link), attributes)
            })
            .collect();
        self.with("links", Value::Object(links))
    }

    /// What local.conf says beside the defaults.
    fn settings(&self) -> Settings {
        let mut settings = Settings::new();
        if let Some(policy) = &self.policy {
            settings.insert("policies".into(), json!({ "lab": policy }));
            settings.insert("defaultBondingPolicy".into(), json!("lab"));
        }
        settings
    }
}

/// Two members that talk directly, over every link of the scenario.
pub(super) struct Pair {
    bed: Bed,
    /// The receiver's address in the virtual network.
    target: Ipv4Addr,
}

impl Pair {
    /// Makes everything anew and waits until both members use all links.
    pub(super) fn start(case: &Case, scenario: &Scenario) -> io::Result<Self> {
        shaping::check_tool()?;
        let bed = case.bed_of(&BedPlan {
            links: scenario.rates.len() as u8,
            near: scenario.settings(),
            far: if scenario.both {
                scenario.settings()
            } else {
                Settings::new()
            },
        })?;
        let [_, IpAddr::V4(target)] = bed.addresses else {
            return Err(io::Error::other("the network has IPv4 addresses"));
        };
        let pair = Self { bed, target };
        for (link, rate) in (0..).zip(&scenario.rates) {
            pair.set_rate(link, *rate)?;
        }
        Ok(pair)
    }

    /// The sender's bond with the receiver as its API shows it.
    fn bond(&self) -> io::Result<Value> {
        let bond = bond_of(self.bed.near(), self.bed.far())?;
        bond.ok_or_else(|| io::Error::other("the sender has no bond"))
    }

    /// A number that the sender's bond shows for each link; paths of a link are added up.
    fn by_link(&self, key: &str) -> io::Result<Vec<f64>> {
        let bond = self.bond()?;
        let mut sums = vec![0.0; self.bed.links.into()];
        for path in bond["paths"].as_array().into_iter().flatten() {
            let link = (0..self.bed.links).find(|link| path["ifname"] == interface_name(*link));
            if let Some(sum) = link.and_then(|link| sums.get_mut(usize::from(link))) {
                *sum += path[key].as_f64().unwrap_or(0.0);
            }
        }
        Ok(sums)
    }

    /// The sender's target shares, and its parts of all slots, by link.
    pub(super) fn targets_and_slots(&self) -> io::Result<(Vec<f64>, Vec<f64>)> {
        let [targets, slots] = ["allocation", "assignedFlowCount"].map(|key| self.by_link(key));
        let slots = slots?;
        let all = slots.iter().sum::<f64>().max(1.0);
        Ok((targets?, slots.iter().map(|slots| slots / all).collect()))
    }

    /// The sending member's host.
    pub(super) fn sender(&self) -> &Host {
        self.bed.near().host()
    }

    /// The receiving member's host.
    pub(super) fn receiver(&self) -> &Host {
        self.bed.far().host()
    }

    /// The receiver's address at a link.
    pub(super) fn receiver_at(&self, link: u8) -> Ipv4Addr {
        underlay_address(link, host_of_member(1))
    }

    /// Links of the scenario.
    pub(super) fn link_count(&self) -> u8 {
        self.bed.links
    }

    /// Backlogged connections from sender to receiver.
    pub(super) fn connections(&self, count: usize) -> io::Result<TcpFlows> {
        self.connect(count, None)
    }

    /// The same, of senders that share a link fairly: Reno. Twelve of BBR leave the slowest among them a tenth of its fair
    /// share even where they have one link and nothing is to be chosen.
    pub(super) fn fair_connections(&self, count: usize) -> io::Result<TcpFlows> {
        self.connect(count, Some("reno"))
    }

    fn connect(&self, count: usize, congestion: Option<&'static str>) -> io::Result<TcpFlows> {
        let (sender, receiver) = (self.sender(), self.receiver());
        TcpFlows::start(sender, receiver, self.target, count, congestion)
    }

    /// Paced flows from sender to receiver.
    pub(super) fn paced(&self, count: usize, rate: u32) -> io::Result<PacedFlows> {
        PacedFlows::start(self.sender(), self.receiver(), self.target, count, rate)
    }

    /// Changes a link's rate in both directions.
    pub(super) fn set_rate(&self, link: u8, rate: u32) -> io::Result<()> {
        for member in &self.bed.lab.members {
            member
                .host()
                .run(move || shaping::limit_rate(&interface_name(link), rate))??;
        }
        Ok(())
    }

    /// From now on a link loses so many of a thousand packets in each direction.
    pub(super) fn lose(&self, link: u8, per_mille: u16) -> io::Result<()> {
        for member in &self.bed.lab.members {
            failures::drop_arriving(member.host(), link, per_mille)?;
        }
        Ok(())
    }

    /// Events of the sender's bonds after number `since`, and the number of the last.
    pub(super) fn events(&self, since: u64) -> io::Result<(Vec<Value>, u64)> {
        let (_, body) = self
            .bed
            .near()
            .get(&format!("/bond/events?since={since}"))?;
        // One event alone is read as JSON, several are text.
        let lines = match &body {
            Value::String(text) => text.clone(),
            single => single.to_string(),
        };
        let events: Vec<Value> = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(Value::is_object)
            .collect();
        let last = events
            .iter()
            .filter_map(|event| event["seq"].as_u64())
            .max();
        Ok((events, last.unwrap_or(since)))
    }
}
