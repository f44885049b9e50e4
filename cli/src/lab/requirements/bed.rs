//! What rows are measured on: root, controller, and two members with a bond between them over a few links.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use serde_json::{Map, Value, json};

use super::row::{Case, Peer};
use crate::lab::bonds::{bond_links, bytes_by_link, forgive, unused_paths};
use crate::lab::daemon::Daemon;
use crate::lab::policy::Policy;
use crate::lab::stream::{Pace, Stream};
use crate::lab::topology::{Lab, LabConfig, until};
use crate::lab::{PATIENCE, failures, links, traffic};

/// Numbers of the two members.
pub(in crate::lab) const NEAR: u8 = 0;
pub(in crate::lab) const FAR: u8 = 1;

/// Time between a bond's appearance and the first measurement. A zerotier-one's bond does not fail over while its links are
/// on trial, for 15 s (multipath specification J.4).
const SETTLE_OURS: Duration = Duration::from_secs(3);
const SETTLE_STOCK: Duration = Duration::from_secs(16);

/// Settings of a member in local.conf.
pub(in crate::lab) type Settings = Map<String, Value>;

/// How to make a bed.
#[derive(Clone, Debug)]
pub(in crate::lab) struct BedPlan {
    pub(in crate::lab) links: u8,
    pub(in crate::lab) near: Settings,
    pub(in crate::lab) far: Settings,
}

impl BedPlan {
    /// Both members use the policy, with all defaults.
    pub(in crate::lab) fn new(links: u8, policy: Policy) -> Self {
        Self {
            links,
            near: policy_settings(policy),
            far: policy_settings(policy),
        }
    }
}

/// Settings that ask for a policy and nothing else.
pub(in crate::lab) fn policy_settings(policy: Policy) -> Settings {
    let mut settings = Settings::new();
    if policy != Policy::None {
        settings.insert("defaultBondingPolicy".into(), json!(policy.name()));
    }
    settings
}

fn is_bonded(settings: &Settings) -> bool {
    settings.contains_key("defaultBondingPolicy")
}

/// How a link fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::lab) enum Failure {
    /// Nothing passes, silently.
    BlackHole,
    /// What the near member sends does not arrive, silently.
    NearToFar,
    /// What the far member sends does not arrive, silently.
    FarToNear,
    /// The near member's interface loses its carrier.
    Carrier,
    /// The near member's interface loses its address.
    Address,
    /// The near member loses its route to the link's network.
    Route,
    /// The near member's interface vanishes.
    Unplugged,
}

/// Daemons that run, and a network between the members. A thread has one bed at a time. It is taken down when dropped.
pub(in crate::lab) struct Bed {
    pub(in crate::lab) lab: Lab,
    pub(in crate::lab) links: u8,
    /// Addresses of the near and the far member in the network.
    pub(in crate::lab) addresses: [IpAddr; 2],
    peer: Peer,
    /// Which members have a bond.
    bonded: [bool; 2],
}

impl Bed {
    /// Makes everything anew, in a new network namespace of the calling thread, and waits until the bonds are complete.
    pub(super) fn start(case: &Case, plan: &BedPlan) -> io::Result<Self> {
        let bed = Self::join(case, plan)?;
        bed.wait_for_pings()?;
        bed.wait_for_bonds()?;
        if bed.bonded != [false; 2] {
            thread::sleep(case.by_peer(SETTLE_OURS, SETTLE_STOCK));
        }
        Ok(bed)
    }

    /// The same until both members have joined: they have nothing to do with each other yet.
    pub(super) fn join(case: &Case, plan: &BedPlan) -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let folder = case.folder.join("bed");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let hawserd = &case.programs.hawserd;
        let far_program = case.programs.of(case.peer)?;
        let lab = Lab::build(&LabConfig {
            links: plan.links,
            root: hawserd.clone(),
            controller: hawserd.clone(),
            members: vec![hawserd.clone(), far_program.to_owned()],
            folder,
        })?;
        let mut bed = Self {
            lab,
            links: plan.links,
            addresses: [IpAddr::from([0, 0, 0, 0]); 2],
            peer: case.peer,
            bonded: [is_bonded(&plan.near), is_bonded(&plan.far)],
        };
        let mut far = plan.far.clone();
        if case.peer == Peer::ZerotierOne {
            // With further ports, every link would count several times there (multipath specification B.1).
            far.insert("allowSecondaryPort".into(), json!(false));
        }
        bed.lab.members[0].renew(hawserd, &plan.near)?;
        bed.lab.members[1].renew(far_program, &far)?;
        for daemon in bed.lab.daemons() {
            daemon.start()?;
        }
        bed.lab.create_network()?;
        for member in [NEAR, FAR].map(usize::from) {
            bed.addresses[member] = IpAddr::V4(bed.lab.admit(member, PATIENCE)?);
        }
        Ok(bed)
    }

    fn far_address(&self) -> io::Result<Ipv4Addr> {
        match self.addresses[1] {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(_) => Err(io::Error::other("the network has IPv4 addresses")),
        }
    }

    /// The near member's system does not ask for the far one's hardware address any more. Otherwise an answer that is lost on the
    /// way back stops what leaves, too.
    pub(super) fn keep_resolved(&self) -> io::Result<()> {
        let target = self.far_address()?;
        self.near()
            .host()
            .run(move || links::keep_neighbour(target))?
    }

    fn wait_for_pings(&self) -> io::Result<()> {
        let target = self.far_address()?;
        let host = self.near().host();
        let answered = until(PATIENCE, || {
            let result = host.run(move || traffic::ping(target, 1, Duration::from_secs(1)))??;
            Ok((!result.round_trips.is_empty()).then_some(()))
        })?;
        answered.ok_or_else(|| io::Error::other(format!("{target} does not answer pings")))
    }

    /// The hawserd that has the bond.
    pub(in crate::lab) fn near(&self) -> &Daemon {
        &self.lab.members[0]
    }

    /// The member that the column is about.
    pub(in crate::lab) fn far(&self) -> &Daemon {
        &self.lab.members[1]
    }

    /// Links in use and known of the near and of the far member's bond; `None` where there is no bond.
    pub(in crate::lab) fn bond_links(&self) -> io::Result<[Option<(u64, u64)>; 2]> {
        let (near, far) = (self.near(), self.far());
        Ok([bond_links(near, far)?, bond_links(far, near)?])
    }

    /// Waits until every bond there is uses all links.
    pub(in crate::lab) fn wait_for_bonds(&self) -> io::Result<()> {
        let mut last = [None; 2];
        let complete = until(PATIENCE, || {
            last = self.bond_links()?;
            let complete = last.iter().zip(self.bonded).all(|(bond, bonded)| {
                !bonded || bond.is_some_and(|(alive, _)| alive >= self.links.into())
            });
            Ok(complete.then_some(()))
        })?;
        if complete.is_some() {
            return Ok(());
        }
        let side = |links: Option<(u64, u64)>, [member, peer]: [&Daemon; 2]| {
            Ok::<_, io::Error>(match links {
                Some((used, known)) => {
                    format!("{used} of {known} links, {}", unused_paths(member, peer)?)
                }
                None => "no bond".to_owned(),
            })
        };
        let [near, far] = last;
        Err(io::Error::other(format!(
            "no complete bond within {PATIENCE:?}: near {}; far {}",
            side(near, [self.near(), self.far()])?,
            side(far, [self.far(), self.near()])?
        )))
    }

    /// A stream from the near member to the far one, and back if the pace says so.
    pub(in crate::lab) fn stream(&self, pace: Pace) -> io::Result<Stream> {
        let [near, far] = self.addresses;
        Stream::start(pace, [(self.near().host(), near), (self.far().host(), far)])
    }

    /// What the two members have sent by each link so far: of the far one only if our software runs there, since what a
    /// zerotier-one sends where is its own affair.
    pub(in crate::lab) fn sent_by_link(&self) -> io::Result<Vec<u64>> {
        let near = bytes_by_link(self.near().host(), self.links)?;
        if self.peer == Peer::ZerotierOne {
            return Ok(near);
        }
        let far = bytes_by_link(self.far().host(), self.links)?;
        Ok(near.iter().zip(far).map(|(near, far)| near + far).collect())
    }

    /// Makes a link fail.
    pub(in crate::lab) fn fail(&self, link: u8, failure: Failure) -> io::Result<()> {
        match failure {
            Failure::BlackHole => self.lab.blackhole(NEAR, link),
            Failure::NearToFar => failures::drop_arriving(self.far().host(), link, failures::ALL),
            Failure::FarToNear => failures::drop_arriving(self.near().host(), link, failures::ALL),
            Failure::Carrier => self.lab.set_carrier(NEAR, link, false),
            Failure::Address => self.lab.remove_address(NEAR, link),
            Failure::Route => self.lab.remove_route(NEAR, link),
            Failure::Unplugged => self.lab.unplug(NEAR, link),
        }
    }

    /// Undoes [`Bed::fail`].
    pub(in crate::lab) fn heal(&self, link: u8, failure: Failure) -> io::Result<()> {
        match failure {
            Failure::BlackHole => self.lab.restore(NEAR, link),
            Failure::NearToFar => failures::drop_arriving(self.far().host(), link, 0),
            Failure::FarToNear => failures::drop_arriving(self.near().host(), link, 0),
            Failure::Carrier => self.lab.set_carrier(NEAR, link, true),
            Failure::Address => self.lab.add_address(NEAR, link),
            Failure::Route => self.lab.add_route(NEAR, link),
            Failure::Unplugged => self.lab.plug_in(NEAR, link),
        }
    }

    /// After a failure has been undone: makes our bonds forget it and waits until they are complete, so that the next trial
    /// knows nothing of this one.
    pub(in crate::lab) fn recover(&self, link: u8) -> io::Result<()> {
        self.wait_for_bonds()?;
        if self.bonded[0] {
            forgive(self.near(), self.far(), link)?;
        }
        if self.bonded[1] && self.peer == Peer::Hawser {
            forgive(self.far(), self.near(), link)?;
        }
        self.wait_for_bonds()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        match self.lab.stop() {
            Ok(complaints) => {
                // How a zerotier-one ends is its own affair.
                let stock = self.far().host().name().to_owned();
                let is_ours = |complaint: &&String| {
                    self.peer == Peer::Hawser || !complaint.starts_with(&stock)
                };
                for complaint in complaints.iter().filter(is_ours) {
                    eprintln!("hawser lab requirements: {complaint}");
                }
            }
            Err(error) => eprintln!("hawser lab requirements: cannot stop a daemon: {error}"),
        }
    }
}
