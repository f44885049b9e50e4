//! Changes of records: counted, saved, and told to those whom they concern (service specification F.1, F.10).

use protocol::{Address, NetworkId};
use rand::Rng;
use serde_json::Value;

use super::push::receivers;
use super::{Controller, DeletedNetwork};
use crate::StoreError;
use crate::member::{self, Presence};
use crate::network::{self, Network};
use crate::store::Record;

/// Time between attempts to save what could not be saved, ms.
const SAVE_RETRY_INTERVAL: u64 = 5000;
/// Attempts to find a free network id.
const ID_ATTEMPTS: usize = 1000;

impl Controller {
    /// A free network id, or none.
    pub(crate) fn free_network_id(&mut self) -> Option<NetworkId> {
        let address = self.identity.address().to_u64();
        (0..ID_ATTEMPTS)
            .map(|_| NetworkId(address << 24 | u64::from(self.random.next_u32() >> 8)))
            .find(|id| id.0 & 0xff_ffff != 0 && !self.networks.contains_key(id))
    }

    /// Creates or changes a network as a client asks. A body that is no object changes nothing.
    pub(crate) fn update_network(&mut self, id: NetworkId, body: &Value) -> Result<(), StoreError> {
        let old = self.networks.get(&id).map(Network::record);
        let mut record = match old {
            Some(old) => old.clone(),
            None => network::new_record(id, self.now_ms),
        };
        if let Some(body) = body.as_object() {
            network::apply(&mut record, body);
        }
        if old == Some(&record) {
            return Ok(());
        }
        count_revision(&mut record);
        self.store.put_network(id, &record)?;
        self.metrics.network_change_count += 1;
        self.metrics.db_network_change += 1;
        match self.networks.get_mut(&id) {
            Some(network) => network.set_record(record),
            None => {
                self.networks.insert(id, Network::new(record));
            }
        }
        self.push_all(id);
        Ok(())
    }

    /// Deletes a network with its members; the record that it had, or none if it is unknown.
    pub(crate) fn delete_network(&mut self, id: NetworkId) -> Result<Option<Record>, StoreError> {
        if !self.networks.contains_key(&id) {
            return Ok(None);
        }
        self.store.delete_network(id)?;
        self.metrics.network_change_count += 1;
        self.metrics.db_network_change += 1;
        let Some(network) = self.networks.remove(&id) else {
            return Ok(None);
        };
        self.unsaved.retain(|(network, _)| *network != id);
        let receivers = receivers(&network, self.now_ms);
        let authorised = network.members().iter().rev();
        let members: Vec<Address> = authorised
            .filter(|(_, member)| member.settings().authorised)
            .map(|(address, _)| *address)
            .collect();
        self.metrics.member_deauth_count += members.len() as u64;
        if !receivers.is_empty() {
            self.deleted.push_back(DeletedNetwork {
                id,
                at: self.now_ms,
                members,
                receivers,
            });
        }
        Ok(Some(network.record().clone()))
    }

    /// Creates or changes a member of an existing network as a client asks.
    pub(crate) fn update_member(
        &mut self,
        id: NetworkId,
        address: Address,
        body: &Value,
    ) -> Result<(), StoreError> {
        let Some(network) = self.networks.get(&id) else {
            return Ok(());
        };
        let old = network.members().get(&address);
        let was_authorised = old.is_some_and(|member| member.settings().authorised);
        let mut record = match old {
            Some(old) => old.record().clone(),
            None => member::new_record(id, address, self.now_ms),
        };
        if let Some(body) = body.as_object() {
            member::apply(&mut record, body, self.now_ms);
        }
        if old.is_some_and(|old| *old.record() == record) {
            return Ok(());
        }
        count_revision(&mut record);
        self.store.put_member(id, address, &record)?;
        self.unsaved.remove(&(id, address));
        self.set_member(id, address, record);
        let is_authorised = self
            .networks
            .get(&id)
            .and_then(|network| network.members().get(&address))
            .is_some_and(|member| member.settings().authorised);
        if was_authorised && !is_authorised {
            self.revoke(id, address);
        }
        self.pushes.insert((id, address));
        Ok(())
    }

    /// Deletes a member; the record that it had, or none if it is unknown.
    pub(crate) fn delete_member(
        &mut self,
        id: NetworkId,
        address: Address,
    ) -> Result<Option<Record>, StoreError> {
        let member = self
            .networks
            .get(&id)
            .and_then(|network| network.members().get(&address));
        let Some(member) = member else {
            return Ok(None);
        };
        let (record, authorised) = (member.record().clone(), member.settings().authorised);
        self.store.delete_member(id, address)?;
        self.unsaved.remove(&(id, address));
        self.metrics.member_change_count += 1;
        self.metrics.db_member_change += 1;
        if authorised {
            self.revoke(id, address);
        }
        if let Some(network) = self.networks.get_mut(&id) {
            network.remove_member(address);
        }
        Ok(Some(record))
    }

    /// Takes over what a request changed in a member's record. If the store fails, members are served all the same and
    /// saving is tried again later.
    pub(super) fn keep_member(
        &mut self,
        id: NetworkId,
        address: Address,
        mut record: Record,
        presence: Option<Presence>,
    ) {
        let Some(network) = self.networks.get(&id) else {
            return;
        };
        let old = network.members().get(&address);
        if old.is_none_or(|old| *old.record() != record) {
            count_revision(&mut record);
            if let Err(error) = self.store.put_member(id, address, &record) {
                tracing::warn!(network = %id, member = %address, %error, "member not saved");
                self.unsaved.insert((id, address));
                self.next_save_retry = self.now_ms + SAVE_RETRY_INTERVAL;
            }
            self.set_member(id, address, record);
        }
        if let Some(member) = self
            .networks
            .get_mut(&id)
            .and_then(|network| network.member_mut(address))
        {
            member.presence = presence;
        }
    }

    fn set_member(&mut self, id: NetworkId, address: Address, record: Record) {
        self.metrics.member_change_count += 1;
        self.metrics.db_member_change += 1;
        if let Some(network) = self.networks.get_mut(&id) {
            network.set_member(address, record);
            if network.members()[&address].settings().authorised {
                self.metrics.member_auth_count += 1;
            }
        }
    }

    pub(super) fn save_again(&mut self) {
        self.next_save_retry = self.now_ms + SAVE_RETRY_INTERVAL;
        while let Some((id, address)) = self.unsaved.first().copied() {
            let member = self
                .networks
                .get(&id)
                .and_then(|network| network.members().get(&address));
            if let Some(member) = member
                && let Err(error) = self.store.put_member(id, address, member.record())
            {
                tracing::warn!(waiting = self.unsaved.len(), %error, "members still not saved");
                return;
            }
            self.unsaved.remove(&(id, address));
        }
    }
}

fn count_revision(record: &mut Record) {
    let revision = crate::lenient::unsigned(record.get("revision"), 0);
    record.insert("revision".into(), revision.saturating_add(1).into());
}
