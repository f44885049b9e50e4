//! Peers with several paths: their bonds, and the measurements that peers with bonds of their own ask of us (protocol
//! specification 15).

use std::collections::BTreeMap;
use std::sync::Arc;

use bond::{Bond, BondSettings, BondStatus, LinkEvent};
use protocol::{Address, Instant};

use super::Transport;

/// Everything about bonds.
#[derive(Default)]
pub(super) struct Bonds {
    settings: Arc<BondSettings>,
    bonds: BTreeMap<Address, Bond>,
}

impl Transport {
    /// Which peers are bonded from now on, and how.
    pub(crate) fn set_bonding(&mut self, _now: Instant, settings: Arc<BondSettings>) {
        self.bonds.settings = settings;
    }

    /// An interface lost its carrier, or has it again.
    pub(crate) fn note_link_state(&mut self, _now: Instant, _interface: &str, _event: LinkEvent) {}

    /// An operator's order for one bond.
    pub(crate) fn bond_command(
        &mut self,
        now: Instant,
        peer: Address,
        command: bond::Command,
    ) -> Result<String, String> {
        match self.bonds.bonds.get_mut(&peer) {
            Some(bond) => bond.command(command, now),
            None => Err(format!("{peer} has no bond")),
        }
    }

    /// All bonds, by peer.
    pub(crate) fn bond_status(&self, now: Instant) -> Vec<BondStatus> {
        self.bonds.bonds.values().map(|b| b.status(now)).collect()
    }
}
