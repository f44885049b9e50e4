//! What bonds' plans mean for the control plane's own packets, and for the snapshot.

use std::collections::BTreeMap;

use bond::{BasePolicy, PathId, PathIndex, Pick, Plan};
use protocol::packet::PacketView;
use protocol::verb::Verb;
use protocol::{Address, MacAddress, NetworkId};

use super::Transport;
use crate::frame::ETHERNET_HEADER_LENGTH;
use crate::io::PathKey;

/// Length of the network id in front of a frame (protocol specification 7.7, 7.8).
const NETWORK_ID_LENGTH: usize = 8;

impl Transport {
    /// The path that a bond wants for this packet, which is not sealed yet, if it has a plan.
    pub(in crate::transport) fn bonded_route(
        &mut self,
        peer: Address,
        packet: &[u8],
    ) -> Option<PathKey> {
        let me = self.address;
        let bonded = self.bonds.peers.get_mut(&peer)?;
        let plan = bonded.bond.as_ref()?.plan();
        let flow = match plan {
            Plan::Slots { .. } => flow_of(plan, me, packet).unwrap_or(0),
            _ => 0,
        };
        let id: PathId = match plan.pick(flow, &mut bonded.cursor) {
            Pick::None => return None,
            Pick::One(id) => id,
            Pick::All(ids) => *ids.first()?,
        };
        bonded.key_of(id)
    }

    /// Where frames go besides `route`: every other path of a bond that broadcasts.
    pub(in crate::transport) fn bonded_copies(
        &self,
        peer: Address,
        route: PathKey,
        verb: Verb,
    ) -> Vec<PathKey> {
        let Some((bonded, bond)) = self.bonds.bond_with(peer) else {
            return Vec::new();
        };
        // An idle bond's first packet is often a question of ARP. Peers that get copies by the policy may not drop them.
        let is_copied = match verb {
            Verb::Frame | Verb::ExtFrame => true,
            Verb::MulticastFrame => bond.settings().base != BasePolicy::Broadcast,
            _ => false,
        };
        match bond.plan() {
            Plan::Every(ids) if is_copied => ids
                .iter()
                .filter_map(|id| bonded.key_of(*id))
                .filter(|key| *key != route)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The bond's plan in terms of `paths`, if it has one that works.
    pub(in crate::transport) fn bonded_plan(
        &self,
        peer: Address,
        paths: &[PathKey],
    ) -> Option<Plan> {
        let (bonded, bond) = self.bonds.bond_with(peer)?;
        let index: BTreeMap<PathId, PathIndex> = (0..)
            .zip(paths)
            .filter_map(|(index, key)| Some((bonded.paths.get(key)?.id, index)))
            .collect();
        let plan = bond.plan().map(|id| index.get(&id).copied());
        (plan != Plan::Unreachable).then_some(plan)
    }

    /// The operator's settings keep a path of the peer's from carrying anything, even where no other works.
    pub(in crate::transport) fn is_forbidden(&self, peer: Address, path: PathKey) -> bool {
        let bond = self.bonds.bond_with(peer);
        bond.is_some_and(|(bonded, bond)| {
            let path = bonded.paths.get(&path);
            path.is_some_and(|path| bond.forbids(path.id))
        })
    }

    /// A bond decides over the peer's paths now.
    pub(in crate::transport) fn has_bonded_plan(&self, peer: Address) -> bool {
        let bond = self.bonds.bond_with(peer);
        bond.is_some_and(|(_, bond)| *bond.plan() != Plan::Unreachable)
    }
}

/// The flow of the frame in a packet, as workers would tell it, so that a flow whose first frames the node sends stays on
/// its path. None for what is no frame.
fn flow_of(plan: &Plan<PathId>, me: Address, packet: &[u8]) -> Option<u32> {
    let view = PacketView::new(packet).filter(|view| !view.is_compressed())?;
    let (network, rest) = view.payload().split_first_chunk::<NETWORK_ID_LENGTH>()?;
    match view.verb()? {
        Verb::Frame => {
            let network = NetworkId(u64::from_be_bytes(*network));
            let (ethertype, payload) = rest.split_first_chunk::<2>()?;
            let to = MacAddress::of(view.destination(), network);
            let from = MacAddress::of(me, network);
            let header = [&to.0[..], &from.0, ethertype].concat();
            Some(plan.flow_of(&header, payload))
        }
        // Flags, none set, then the header as in Ethernet.
        Verb::ExtFrame if rest.first() == Some(&0) => {
            let (header, payload) = rest[1..].split_at_checked(ETHERNET_HEADER_LENGTH)?;
            Some(plan.flow_of(header, payload))
        }
        _ => None,
    }
}
