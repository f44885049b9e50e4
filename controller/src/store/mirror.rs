//! The JSON files of 1.14.1 beside another store (service specification F.1), so that a home directory can be taken
//! over from `zerotier-one` and given back to it, or be moved by copying files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use protocol::{Address, NetworkId};

use super::{Record, Store, StoredNetwork, revision, text};
use crate::StoreError;

/// A store whose records are also kept as JSON files.
///
/// At load, files are taken over that the store lacks, or that have a higher revision, or the same revision and another
/// content: those were edited by hand, the documented way to set what the HTTP interface cannot. A record whose file is
/// missing or older keeps and gets its file. When a file cannot be written there is a warning and the store counts.
#[derive(Debug)]
pub struct MirroredStore<S> {
    store: S,
    directory: PathBuf,
}

impl<S: Store> MirroredStore<S> {
    /// Keeps the files below `directory`, which is the `controller.d` of 1.14.1.
    pub const fn new(store: S, directory: PathBuf) -> Self {
        Self { store, directory }
    }

    fn network_file(&self, id: NetworkId) -> PathBuf {
        self.directory.join("network").join(format!("{id}.json"))
    }

    fn member_directory(&self, network: NetworkId) -> PathBuf {
        let mut path = self.directory.join("network");
        path.push(network.to_string());
        path.push("member");
        path
    }

    fn member_file(&self, network: NetworkId, member: Address) -> PathBuf {
        self.member_directory(network)
            .join(format!("{member}.json"))
    }

    /// Takes over one kind of file: `known` is what the store has. Returns what it should have instead.
    fn newer(&self, path: &Path, known: Option<&Record>) -> Option<Record> {
        let record = read_record(path)?;
        let newer = match known {
            None => true,
            Some(known) => revision(&record) >= revision(known) && record != *known,
        };
        newer.then_some(record)
    }

    fn import(&mut self, networks: &mut BTreeMap<NetworkId, Stored>) -> Result<(), StoreError> {
        let directory = self.directory.join("network");
        for (id, path) in named_files::<NetworkId>(&directory) {
            let known = networks.get(&id).map(|network| &network.record);
            if let Some(record) = self.newer(&path, known) {
                tracing::info!(file = %path.display(), "network taken over");
                self.store.put_network(id, &record)?;
                networks.entry(id).or_default().record = record;
            }
        }
        for (id, network) in networks {
            for (address, path) in named_files::<Address>(&self.member_directory(*id)) {
                if let Some(record) = self.newer(&path, network.members.get(&address)) {
                    self.store.put_member(*id, address, &record)?;
                    network.members.insert(address, record);
                }
            }
        }
        Ok(())
    }

    /// Writes the files that are missing or older. Files that cannot be read are left as they are.
    fn complete(&self, networks: &BTreeMap<NetworkId, Stored>) {
        let stale = |path: &Path, record: &Record| match fs::symlink_metadata(path) {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(_) => read_record(path).is_some_and(|file| file != *record),
        };
        for (id, network) in networks {
            let path = self.network_file(*id);
            if stale(&path, &network.record) {
                write(&path, &network.record);
            }
            for (address, record) in &network.members {
                let path = self.member_file(*id, *address);
                if stale(&path, record) {
                    write(&path, record);
                }
            }
        }
    }
}

#[derive(Default)]
struct Stored {
    record: Record,
    members: BTreeMap<Address, Record>,
}

impl<S: Store> Store for MirroredStore<S> {
    fn load(&mut self) -> Result<Vec<StoredNetwork>, StoreError> {
        let mut networks: BTreeMap<NetworkId, Stored> = self
            .store
            .load()?
            .into_iter()
            .map(|network| {
                let stored = Stored {
                    record: network.record,
                    members: network.members.into_iter().collect(),
                };
                (network.id, stored)
            })
            .collect();
        self.import(&mut networks)?;
        self.complete(&networks);
        let networks = networks.into_iter().map(|(id, stored)| StoredNetwork {
            id,
            record: stored.record,
            members: stored.members.into_iter().collect(),
        });
        Ok(networks.collect())
    }

    fn put_network(&mut self, id: NetworkId, record: &Record) -> Result<(), StoreError> {
        self.store.put_network(id, record)?;
        write(&self.network_file(id), record);
        Ok(())
    }

    fn delete_network(&mut self, id: NetworkId) -> Result<(), StoreError> {
        // The files first: if they stay behind, the network would come back at the next start.
        let directory = self.directory.join("network").join(id.to_string());
        removed(&directory, fs::remove_dir_all(&directory))?;
        let file = self.network_file(id);
        removed(&file, fs::remove_file(&file))?;
        self.store.delete_network(id)
    }

    fn put_member(
        &mut self,
        network: NetworkId,
        member: Address,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.store.put_member(network, member, record)?;
        write(&self.member_file(network, member), record);
        Ok(())
    }

    fn delete_member(&mut self, network: NetworkId, member: Address) -> Result<(), StoreError> {
        let file = self.member_file(network, member);
        removed(&file, fs::remove_file(&file))?;
        self.store.delete_member(network, member)
    }
}

/// Files named `<id>.json` in a directory, where the id is spelled in full.
fn named_files<Id: std::str::FromStr + Ord>(directory: &Path) -> BTreeMap<Id, PathBuf> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(directory = %directory.display(), %error, "directory not read");
            }
            return BTreeMap::new();
        }
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name();
            let id = name.to_str()?.strip_suffix(".json")?.parse().ok()?;
            Some((id, entry.path()))
        })
        .collect()
}

/// A record, or none with a warning that names the file.
fn read_record(path: &Path) -> Option<Record> {
    let result = fs::read(path)
        .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).map_err(io::Error::from));
    match result {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "record skipped");
            None
        }
    }
}

fn write(path: &Path, record: &Record) {
    if let Err(error) = replace(path, text(record).as_bytes()) {
        tracing::warn!(file = %path.display(), %error, "JSON copy of a record not written");
    }
}

/// Replaces a file as a whole. Symbolic links are followed: people link such files to other places.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let directory = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut temporary = target.clone().into_os_string();
    temporary.push(".new");
    let result = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, &target));
    if result.is_err() {
        // What is left of it is of no use; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// What was not there counts as removed.
fn removed(path: &Path, result: io::Result<()>) -> Result<(), StoreError> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::File {
            path: path.to_path_buf(),
            source,
        }),
        _ => Ok(()),
    }
}
