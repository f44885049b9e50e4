//! What a row is, and what measuring it gives.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Options;
use super::bed::{Bed, BedPlan};
use crate::lab::policy::Policy;
use crate::lab::software::{OURS, REFERENCE};

/// What the far member is: the columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::lab) enum Peer {
    Hawser,
    ZerotierOne,
}

impl Peer {
    /// In the order of reports.
    pub(in crate::lab) const ALL: [Self; 2] = [Self::Hawser, Self::ZerotierOne];

    /// Its name in options and reports.
    pub(in crate::lab) fn name(self) -> &'static str {
        match self {
            Self::Hawser => OURS,
            Self::ZerotierOne => REFERENCE,
        }
    }
}

/// The programs to measure.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Programs {
    pub(in crate::lab) hawserd: PathBuf,
    pub(in crate::lab) zerotier_one: Option<PathBuf>,
}

impl Programs {
    /// What the far member runs.
    pub(in crate::lab) fn of(&self, peer: Peer) -> io::Result<&Path> {
        match peer {
            Peer::Hawser => Ok(&self.hawserd),
            Peer::ZerotierOne => self
                .zerotier_one
                .as_deref()
                .ok_or_else(crate::lab::software::no_reference),
        }
    }
}

/// How much of the machine a row takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::lab) enum Load {
    /// Hardly anything: several may be measured at a time.
    Light,
    /// All: measured alone.
    Heavy,
}

/// A requirement.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Row {
    pub(in crate::lab) number: u8,
    /// What is measured.
    pub(in crate::lab) quantity: &'static str,
    /// What is required between two hawserd.
    pub(in crate::lab) ours: &'static str,
    /// What is required towards a zerotier-one; `None` where nothing is.
    pub(in crate::lab) towards_stock: Option<&'static str>,
    /// The policies that it concerns, each measured by itself; [`Policy::None`] alone if it is not about a policy.
    pub(in crate::lab) policies: &'static [Policy],
    pub(in crate::lab) load: Load,
    pub(in crate::lab) measure: fn(&Case) -> io::Result<Measurement>,
}

impl Row {
    /// What is required of this column, if anything.
    pub(in crate::lab) fn requirement(&self, peer: Peer) -> Option<&'static str> {
        match peer {
            Peer::Hawser => Some(self.ours),
            Peer::ZerotierOne => self.towards_stock,
        }
    }
}

/// One row, one kind of peer, one policy: what a row's function is called with.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Case {
    pub(in crate::lab) peer: Peer,
    pub(in crate::lab) policy: Policy,
    pub(in crate::lab) options: Options,
    pub(in crate::lab) programs: Programs,
    /// An empty folder for the beds' files.
    pub(in crate::lab) folder: PathBuf,
}

impl Case {
    /// A bed with so many links whose members both use the case's policy with all defaults; the bond is complete.
    pub(in crate::lab) fn bed(&self, links: u8) -> io::Result<Bed> {
        self.bed_of(&BedPlan::new(links, self.policy))
    }

    /// A bed of one's own making, its bond complete where there is one.
    pub(in crate::lab) fn bed_of(&self, plan: &BedPlan) -> io::Result<Bed> {
        Bed::start(self, plan)
    }

    /// `ours` between two hawserd, `stock` towards a zerotier-one.
    pub(in crate::lab) fn by_peer<T>(&self, ours: T, stock: T) -> T {
        match self.peer {
            Peer::Hawser => ours,
            Peer::ZerotierOne => stock,
        }
    }

    /// The directions (0: from the near member, 1: to it) that our software answers for: what a zerotier-one sends is its
    /// own affair.
    pub(in crate::lab) fn judged_directions(&self) -> &'static [usize] {
        self.by_peer(&[0, 1], &[0])
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Measurement {
    /// All numbers, for machines.
    pub(in crate::lab) values: Value,
    /// The ones that matter, with units.
    pub(in crate::lab) text: String,
    /// True if the requirement holds.
    pub(in crate::lab) holds: bool,
}
