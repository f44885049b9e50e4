//! What members get without having asked: configurations after changes, and revocations (service specification F.10).

use protocol::controller::Effect;
use protocol::credential::{CredentialKind, REVOCATION_FAST_PROPAGATE, Revocation};
use protocol::{Address, NetworkId};
use rand::Rng;

use super::Controller;
use crate::member::{KnownIdentity, Presence};
use crate::network::Network;

impl Controller {
    /// A configuration that was not asked for, if the member is there to take it.
    pub(super) fn push(&mut self, id: NetworkId, address: Address) -> Option<Vec<u8>> {
        let member = self.networks.get(&id)?.members().get(&address)?;
        let presence = member.presence.filter(|p| p.is_online(self.now_ms))?;
        let KnownIdentity::Known(identity) = &member.settings().identity else {
            return None;
        };
        if !member.settings().authorised {
            return None;
        }
        let (identity, record) = (identity.clone(), member.record().clone());
        let presence = Presence {
            authorised: true,
            ..presence
        };
        self.configure(id, &identity, record, presence)
    }

    /// Every member of a network that is online gets a new configuration.
    pub(super) fn push_all(&mut self, id: NetworkId) {
        if let Some(network) = self.networks.get(&id) {
            let online = online(network, self.now_ms).map(|(address, _)| (id, address));
            self.pushes.extend(online);
        }
    }

    pub(super) fn next_revocation(&mut self) -> Option<Effect> {
        loop {
            let deleted = self.deleted.front_mut()?;
            let Some(target) = deleted.members.pop() else {
                self.deleted.pop_front();
                continue;
            };
            let (id, at, to) = (deleted.id, deleted.at, deleted.receivers.clone());
            let revocation = Box::new(self.revocation(id, target, at));
            return Some(Effect::Revoke { to, revocation });
        }
    }

    pub(super) fn revocation(
        &mut self,
        id: NetworkId,
        target: Address,
        threshold: u64,
    ) -> Revocation {
        let number = self.random.next_u32();
        Revocation::issue(
            &self.identity,
            id,
            target,
            CredentialKind::Membership,
            number,
            0,
            threshold,
            REVOCATION_FAST_PROPAGATE,
        )
    }

    /// Tells the members that are online to refuse frames of a member that was authorised until now.
    pub(super) fn revoke(&mut self, id: NetworkId, target: Address) {
        self.metrics.member_deauth_count += 1;
        let Some(network) = self.networks.get(&id) else {
            return;
        };
        let to = receivers(network, self.now_ms);
        if !to.is_empty() {
            let revocation = Box::new(self.revocation(id, target, self.now_ms));
            self.effects.push_back(Effect::Revoke { to, revocation });
        }
    }
}

fn online(network: &Network, now_ms: u64) -> impl Iterator<Item = (Address, Presence)> {
    network
        .members()
        .iter()
        .filter_map(move |(address, member)| {
            let presence = member.presence.filter(|p| p.is_online(now_ms))?;
            Some((*address, presence))
        })
}

/// Members that were authorised when they were last seen, and that may still hold a certificate. That is longer ago than
/// for pushes: a member asks only when its configuration has become old, so changes that keep coming keep it from asking,
/// and it would miss a revocation while it is online all the same.
pub(super) fn receivers(network: &Network, now_ms: u64) -> Vec<Address> {
    let window = network.settings().window;
    let members = network.members().iter();
    members
        .filter(|(_, member)| {
            let presence = member.presence.filter(|presence| presence.authorised);
            presence.is_some_and(|presence| now_ms.saturating_sub(presence.at) < window)
        })
        .map(|(address, _)| *address)
        .collect()
}
