//! How long datagrams may be on a path: what its link's settings say, else what an operator ordered, else `physical`.

use std::net::IpAddr;

use protocol::Address;

use super::Transport;
use crate::io::PathKey;
use crate::limits::{MAX_MTU_ORDERS, MIN_PATH_MTU};

impl Transport {
    /// Largest UDP payload, in bytes, on a path to `peer`.
    pub(in crate::transport) fn path_mtu(&self, peer: Address, path: PathKey) -> u16 {
        let declared = self.bonds.bonded(peer).and_then(|bonded| {
            let id = bonded.paths.get(&path)?.id;
            bonded.bond.as_ref()?.declared_mtu(id)
        });
        declared
            .or_else(|| self.ordered_mtu(path))
            .unwrap_or_else(|| self.settings.mtu(path.remote.ip()))
            .max(MIN_PATH_MTU)
    }

    fn ordered_mtu(&self, path: PathKey) -> Option<u16> {
        if self.bonds.mtu_orders.is_empty() {
            return None;
        }
        let link = self.links.iter().find(|link| link.id == path.link)?;
        let orders = self.bonds.mtu_orders.iter();
        orders
            .filter(|((interface, remote), _)| {
                *interface == link.interface && *remote == path.remote.ip()
            })
            .map(|(_, mtu)| *mtu)
            .next()
    }

    /// An operator limits packets on paths from an interface to an address. One order too many is dropped.
    pub(crate) fn set_path_mtu(&mut self, interface: String, remote: IpAddr, mtu: u16) {
        let orders = &mut self.bonds.mtu_orders;
        let key = (interface, remote);
        if orders.len() >= MAX_MTU_ORDERS && !orders.contains_key(&key) {
            tracing::warn!("too many packet sizes ordered, this one is without effect");
            return;
        }
        orders.insert(key, mtu);
        let peers: Vec<Address> = self.bonds.peers.keys().copied().collect();
        for peer in peers {
            self.show_peer(peer);
        }
    }
}
