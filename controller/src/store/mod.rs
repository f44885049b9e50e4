//! Where records are kept.

pub mod memory;
pub mod mirror;
pub mod sqlite;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use protocol::{Address, NetworkId};
use serde_json::{Map, Value};

use crate::StoreError;
use mirror::MirroredStore;
use sqlite::SqliteStore;

/// A network or member as the HTTP interface shows it (service specification F.4, F.6).
pub type Record = Map<String, Value>;

/// Name of the database in a controller directory. Not `controller.db`, which was a format of 2015 (F.12).
pub const DATABASE: &str = "controller.sqlite";

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

/// Opens the store of a controller directory (`controller.d`, mode 0700, created if missing): [`DATABASE`], with the
/// JSON files of 1.14.1 kept beside it and taken over from there at load.
pub fn open_directory(directory: &Path) -> Result<Box<dyn Store>, StoreError> {
    let file = |source| StoreError::File {
        path: directory.to_path_buf(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(file)?;
    // Join tokens are in there.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(file)?;
    let store = SqliteStore::open(&directory.join(DATABASE))?;
    Ok(Box::new(MirroredStore::new(store, directory.to_path_buf())))
}

fn revision(record: &Record) -> u64 {
    crate::lenient::unsigned(record.get("revision"), 0)
}

/// Compact, keys in byte order.
fn text(record: &Record) -> String {
    // Maps of strings and values always have a text form.
    serde_json::to_string(record).unwrap_or_default()
}

/// A fresh directory for a test.
#[cfg(test)]
fn scratch_directory(name: &str) -> std::path::PathBuf {
    let name = format!("hawser-controller-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

#[cfg(test)]
mod tests;
