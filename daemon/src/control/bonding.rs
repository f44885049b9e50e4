//! Bonding on the control thread: settings, orders, what the operating system says of links, events.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use bond::{BondEvent, BondStatus, EventKind, LinkEvent, Severity};
use node::io::Command;
use node::status::PeerStatus;
use protocol::Address;
use serde_json::{Value, json};

use super::Control;
use crate::bonding::presence::Present;
use crate::bonding::{Bonding, Change, Loaded, problem_json, unbonded};
use crate::local_conf;
use crate::os::interfaces::Survey;
use crate::os::reachability;

/// Packet sizes that operators may order for a link, bytes.
const REASONABLE_MTU: std::ops::RangeInclusive<u32> = 68..=65535;

impl Control {
    /// The settings of bonds.
    pub const fn bonding(&self) -> &Bonding {
        &self.bonding
    }

    /// All bonds, by peer.
    pub fn bonds(&self) -> Vec<BondStatus> {
        self.node.bonds(self.now())
    }

    /// Takes the bonding settings of local.conf: errors keep the last good ones in force.
    pub(super) async fn load_bonding(&mut self) {
        let was_in_use = self.bonding.settings().is_in_use();
        let loaded = self.bonding.load(self.conf.settings_object());
        for problem in self.bonding.problems() {
            match problem.severity {
                Severity::Warning => tracing::warn!("{}: {problem}", local_conf::FILE),
                Severity::Error => tracing::error!("{}: {problem}", local_conf::FILE),
            }
        }
        let wall = self.wall_now();
        match loaded {
            Loaded::Unchanged => {}
            Loaded::Changed => {
                self.bonding_changed().await;
                if !was_in_use && !self.bonding.settings().is_in_use() {
                    return;
                }
                let policy = &self.bonding.settings().default_policy.name;
                let changes = self.bonding.changes();
                let mut text = format!("Bonding settings applied, the default policy is {policy}");
                if !changes.is_empty() {
                    text = format!("{text} ({})", changes.join("; "));
                }
                tracing::info!("{text}");
                let event = json!({"event": "config-applied", "policy": policy, "text": text, "changes": changes});
                self.events.add(wall, event);
            }
            Loaded::Refused => {
                let in_force = if self.bonding.settings().is_in_use() {
                    "the last good bonding settings stay in force"
                } else {
                    "there is no bonding"
                };
                tracing::error!("{}: because of these errors {in_force}", local_conf::FILE);
                let problems = self.bonding.problems().iter();
                let errors = problems.filter(|problem| problem.severity == Severity::Error);
                for problem in errors {
                    let text = format!("{problem}; {in_force}");
                    let mut event = json!({"event": "config-error", "text": text});
                    event["problem"] = problem_json(problem);
                    self.events.add(wall, event);
                }
            }
        }
    }

    /// local.conf cannot be read: all settings, those of bonds included, are the last good ones.
    pub(super) fn note_unreadable_conf(&mut self, reason: String) {
        if self.conf_problem.as_ref() == Some(&reason) {
            return;
        }
        let text = format!("{}: {reason}", local_conf::FILE);
        let problem = json!({"path": local_conf::FILE, "reason": reason, "severity": "error"});
        let event = json!({"event": "config-error", "problem": problem, "text": text});
        self.events.add(self.wall_now(), event);
        self.conf_problem = Some(reason);
    }

    async fn bonding_changed(&mut self) {
        let settings = self.bonding.settings().clone();
        self.command(Command::SetBonding(settings)).await;
        // Links may be named that nobody has asked about before.
        self.observe_links().await;
    }

    /// Carries out an order about whether and how a peer is bonded.
    ///
    /// # Errors
    ///
    /// Why nothing changed.
    pub async fn change_bond(&mut self, peer: Address, change: &Change) -> Result<String, String> {
        let text = self.bonding.change(peer, change)?;
        self.bonding_changed().await;
        self.tell_order(peer, &text);
        Ok(text)
    }

    /// Writes the orders for a peer into local.conf; in words, what came of it.
    ///
    /// # Errors
    ///
    /// Why the file is as it was.
    pub async fn save_bond(&mut self, peer: Address) -> Result<&'static str> {
        let Some(entry) = self.bonding.to_save(peer) else {
            return Ok("local.conf says so already");
        };
        // Somebody may have edited it a moment ago.
        self.reload_conf().await;
        if let Some(reason) = &self.conf_problem {
            bail!("{}: {reason}", local_conf::FILE);
        }
        let mut problems = self.bonding.problems().iter();
        if let Some(problem) = problems.find(|problem| problem.severity == Severity::Error) {
            bail!("{} has errors: {problem}", local_conf::FILE);
        }
        let text = self.home.read(local_conf::FILE)?.unwrap_or_default();
        let content = local_conf::with_peer_bond(&text, peer, &entry)
            .context("settings.peerSpecificBonds cannot be changed")?;
        self.home.write(local_conf::FILE, &content)?;
        self.bonding.forget_orders(peer);
        self.reload_conf().await;
        Ok("saved in local.conf")
    }

    /// Is there a link that this name means?
    pub fn has_link(&self, name: &str) -> bool {
        self.links
            .all()
            .iter()
            .any(|link| bond::link_name::means(name, &link.interface, link.hardware_address))
    }

    /// Peers without a bond, each with the reason, by address.
    pub fn unbonded(&self) -> Vec<(PeerStatus, String)> {
        let bonds = self.bonds();
        let mut peers = self.node.peers(self.now());
        peers.retain(|peer| !bonds.iter().any(|bond| bond.peer == peer.address));
        peers.sort_by_key(|peer| peer.address);
        let settings = self.bonding.settings();
        let reasoned = peers.into_iter().map(|peer| {
            let reason = unbonded::reason(settings, &peer);
            (peer, reason)
        });
        reasoned.collect()
    }

    /// Carries out an order about a running bond.
    ///
    /// # Errors
    ///
    /// Why nothing changed.
    pub async fn order(&mut self, peer: Address, order: bond::Command) -> Result<String, String> {
        let now = self.now();
        let result = self.node.bond_command(now, peer, order);
        self.settle().await;
        result
    }

    /// Sets the packet size towards a peer's address, on paths of that interface; gone after a restart.
    ///
    /// # Errors
    ///
    /// Why nothing changed, in the words of 1.14.1.
    pub async fn set_path_mtu(
        &mut self,
        mtu: u32,
        interface: &str,
        remote: IpAddr,
    ) -> Result<(), &'static str> {
        if !self.bonding.settings().is_in_use() {
            return Err("Bonding layer isn't active yet");
        }
        let Some(size) = u16::try_from(mtu)
            .ok()
            .filter(|_| REASONABLE_MTU.contains(&mtu))
        else {
            return Err("Specified MTU is not reasonable");
        };
        let bonds = self.bonds();
        let mut paths = bonds.iter().flat_map(|bond| &bond.paths);
        let known = paths.any(|path| path.interface == interface && path.remote.ip() == remote);
        if !known {
            return Err("Unable to find specified link");
        }
        let interface = interface.to_owned();
        self.command(Command::SetPathMtu {
            interface,
            remote,
            mtu: size,
        })
        .await;
        Ok(())
    }

    /// An event of a bond: for the log and for whoever asks.
    pub(super) fn note_bond_event(&mut self, event: &BondEvent) {
        let wall = self.wall_at(event.at);
        if let EventKind::Status(_) = event.kind {
            // Of these only the latest of each bond is of interest.
            tracing::debug!("{event}");
            let key = event.peer.to_string();
            self.events.replace(wall, event.to_json(), &key);
            return;
        }
        tracing::info!("{event}");
        self.events.add(wall, event.to_json());
    }

    fn tell_order(&self, peer: Address, text: &str) {
        tracing::info!("bond with {peer}: {text}");
        let event = json!({"event": "command", "peer": peer.to_string(), "text": text});
        self.events.add(self.wall_now(), event);
    }

    /// Looks at carrier, addresses and routes of the interfaces that have links, and tells the node what is new.
    pub(super) async fn observe_links(&mut self) {
        if !self.bonding.settings().is_in_use() {
            self.told_links.clear();
            return;
        }
        let survey = match self.netlink.survey().await {
            Ok(survey) => survey,
            Err(error) => {
                tracing::warn!("interfaces not readable: {error:#}");
                return;
            }
        };
        let states = self.link_states(&survey);
        self.told_links.retain(|name, _| states.contains_key(name));
        for (interface, up) in states {
            if self.told_links.insert(interface.clone(), up) == Some(up) {
                continue;
            }
            let event = if up { LinkEvent::Up } else { LinkEvent::Down };
            self.command(Command::LinkState { interface, event }).await;
        }
        self.look_for_named_links(&survey);
    }

    /// Each interface that has a link: does it have carrier, the address of a link, and a way to some remote address?
    fn link_states(&self, survey: &Survey) -> BTreeMap<String, bool> {
        let mut remotes: BTreeMap<SocketAddr, BTreeSet<SocketAddr>> = BTreeMap::new();
        for path in self.bonds().into_iter().flat_map(|bond| bond.paths) {
            remotes.entry(path.local).or_default().insert(path.remote);
        }
        let mut states = BTreeMap::new();
        for link in self.links.all() {
            if link.interface.is_empty() {
                continue;
            }
            let carrier = survey
                .interfaces
                .iter()
                .any(|interface| interface.name == link.interface && interface.carrier);
            let address = survey.addresses.iter().any(|address| {
                address.interface == link.interface && address.address.ip == link.local.ip()
            });
            // Without any path there is nothing to be reached, and nothing to complain about.
            let route = remotes.get(&link.local).is_none_or(|remotes| {
                remotes.iter().any(|remote| {
                    reachability::has_route(&link.interface, link.local.ip(), *remote)
                })
            });
            *states.entry(link.interface).or_insert(false) |= carrier && address && route;
        }
        states
    }

    fn look_for_named_links(&mut self, survey: &Survey) {
        let present: Vec<Present> = survey
            .interfaces
            .iter()
            .map(|interface| Present {
                name: interface.name.clone(),
                hardware_address: interface.hardware_address,
            })
            .collect();
        let news = self.presence.update(self.bonding.settings(), &present);
        let wall = self.wall_now();
        for (link, policy) in news.missing {
            let text = format!(
                "Link {link} of policy {policy} is not there yet, it is used as soon as it comes"
            );
            tracing::warn!("({policy}) {text}");
            let event =
                json!({"event": "link-missing", "policy": policy, "interface": link, "text": text});
            self.events.add(wall, event);
        }
        for (link, policy) in news.found {
            let text = format!("Link {link} of policy {policy} is there now");
            tracing::info!("({policy}) {text}");
            let event =
                json!({"event": "link-found", "policy": policy, "interface": link, "text": text});
            self.events.add(wall, event);
        }
    }

    /// What bonding has to say for itself: settings, problems, links that are missing.
    pub fn bonding_json(&self) -> Value {
        let mut object = self.bonding.to_json();
        if let (Some(reason), Some(problems)) =
            (&self.conf_problem, object["problems"].as_array_mut())
        {
            problems.insert(
                0,
                json!({"path": local_conf::FILE, "reason": reason, "severity": "error"}),
            );
        }
        object["usage"] = self.usage_json();
        object["missingLinks"] = self.presence.missing().iter().map(String::as_str).collect();
        object
    }
}
