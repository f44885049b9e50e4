//! Records in memory only: for tests and simulations.

use std::collections::BTreeMap;

use protocol::{Address, NetworkId};

use super::{Record, Store, StoredNetwork};
use crate::StoreError;

/// A store that forgets everything when it is dropped.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    networks: BTreeMap<NetworkId, (Record, BTreeMap<Address, Record>)>,
}

impl MemoryStore {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            networks: BTreeMap::new(),
        }
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Vec<StoredNetwork>, StoreError> {
        let networks = self.networks.iter().map(|(id, (record, members))| {
            let members = members.iter();
            StoredNetwork {
                id: *id,
                record: record.clone(),
                members: members.map(|(a, record)| (*a, record.clone())).collect(),
            }
        });
        Ok(networks.collect())
    }

    fn put_network(&mut self, id: NetworkId, record: &Record) -> Result<(), StoreError> {
        self.networks.entry(id).or_default().0 = record.clone();
        Ok(())
    }

    fn delete_network(&mut self, id: NetworkId) -> Result<(), StoreError> {
        self.networks.remove(&id);
        Ok(())
    }

    fn put_member(
        &mut self,
        network: NetworkId,
        member: Address,
        record: &Record,
    ) -> Result<(), StoreError> {
        let (_, members) = self.networks.entry(network).or_default();
        members.insert(member, record.clone());
        Ok(())
    }

    fn delete_member(&mut self, network: NetworkId, member: Address) -> Result<(), StoreError> {
        if let Some((_, members)) = self.networks.get_mut(&network) {
            members.remove(&member);
        }
        Ok(())
    }
}
