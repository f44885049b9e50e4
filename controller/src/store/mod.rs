//! Where records are kept.

use protocol::{Address, NetworkId};
use serde_json::{Map, Value};

use crate::StoreError;

/// A network or member as the HTTP interface shows it (service specification F.4, F.6).
pub type Record = Map<String, Value>;

/// A network with its members, as loaded.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredNetwork {
    /// The network id.
    pub id: NetworkId,
    /// The network's record.
    pub record: Record,
    /// Members by ascending address.
    pub members: Vec<(Address, Record)>,
}

/// Keeps records. What a `put` or `delete` that returned `Ok` did survives a crash, unless the store says otherwise.
pub trait Store: Send {
    /// Everything, by ascending network id.
    fn load(&mut self) -> Result<Vec<StoredNetwork>, StoreError>;
    /// Adds or replaces a network's record; its members stay.
    fn put_network(&mut self, id: NetworkId, record: &Record) -> Result<(), StoreError>;
    /// Removes a network and its members. Not an error if there is none.
    fn delete_network(&mut self, id: NetworkId) -> Result<(), StoreError>;
    /// Adds or replaces a member of a stored network.
    fn put_member(
        &mut self,
        network: NetworkId,
        member: Address,
        record: &Record,
    ) -> Result<(), StoreError>;
    /// Removes a member. Not an error if there is none.
    fn delete_member(&mut self, network: NetworkId, member: Address) -> Result<(), StoreError>;
}

/// Opens the store of a controller directory (`controller.d`, mode 0700, created if missing): `controller.sqlite`, with
/// the JSON files of 1.14.1 kept beside it and taken over from there at load.
pub fn open_directory(_directory: &std::path::Path) -> Result<Box<dyn Store>, StoreError> {
    todo!()
}
