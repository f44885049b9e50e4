//! The JSON files of 1.14.1 beside another store (service specification F.1), so that a home directory can be taken
//! over from `zerotier-one` and given back to it, or be moved by copying files.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use protocol::{Address, NetworkId};

use super::{Record, Store, StoredNetwork, revision, text};
use crate::StoreError;

/// A store whose records are also kept as JSON files.
///
/// At load, files are taken over that the store lacks, or that have a higher revision, or the same revision and another
/// content: those were edited by hand, the documented way to set what the HTTP interface cannot. So are files that were
/// created later, whatever their revision: the record was deleted and made again. A record whose file is older gets it
/// rewritten. When a file cannot be written there is a warning and the store counts.
///
/// [`MARKER`] says that every record had its file. While it is there, a record whose file is missing was deleted by
/// another program, and the store forgets it too; otherwise the file is written again.
#[derive(Debug)]
pub struct MirroredStore<S> {
    store: S,
    directory: PathBuf,
}

/// File in the directory; see [`MirroredStore`].
pub const MARKER: &str = "hawser.mirror";
const MARKER_TEXT: &str = "Every record of controller.sqlite has its JSON file below network/.\n\
    Records whose file is missing at the next start were deleted by another program, and will be deleted there too.\n\
    Remove this file to have missing JSON files written again instead.\n";

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

    fn marker(&self) -> PathBuf {
        self.directory.join(MARKER)
    }

    /// Drops what was deleted since every record had its file. Where a whole directory is gone it was rather lost than
    /// emptied.
    fn forget_deleted(
        &mut self,
        networks: &mut BTreeMap<NetworkId, Stored>,
    ) -> Result<(), StoreError> {
        if !self.directory.join("network").is_dir() {
            return Ok(());
        }
        let known: Vec<NetworkId> = networks.keys().copied().collect();
        for id in known {
            if is_missing(&self.network_file(id)) {
                tracing::warn!(network = %id, "network deleted: another program removed its JSON file");
                self.store.delete_network(id)?;
                networks.remove(&id);
                continue;
            }
            let Some(network) = networks.get_mut(&id) else {
                continue;
            };
            if !self.member_directory(id).is_dir() {
                continue;
            }
            let members: Vec<Address> = network.members.keys().copied().collect();
            for address in members {
                if is_missing(&self.member_file(id, address)) {
                    tracing::warn!(network = %id, member = %address,
                        "member deleted: another program removed its JSON file");
                    self.store.delete_member(id, address)?;
                    network.members.remove(&address);
                }
            }
        }
        Ok(())
    }

    fn import(&mut self, networks: &mut BTreeMap<NetworkId, Stored>) -> Result<(), StoreError> {
        let directory = self.directory.join("network");
        for (id, path) in named_files::<NetworkId>(&directory) {
            let known = networks.get(&id).map(|network| &network.record);
            let Some(record) = read_record(&path) else {
                continue;
            };
            match known.map_or(Compared::Newer, |known| compare(&record, known)) {
                Compared::Older => continue,
                Compared::Newer => {}
                Compared::MadeAgain => {
                    // Its old members are none of the new one.
                    self.store.delete_network(id)?;
                    networks.remove(&id);
                }
            }
            tracing::info!(file = %path.display(), "network taken over");
            self.store.put_network(id, &record)?;
            networks.entry(id).or_default().record = record;
        }
        for (id, network) in networks {
            for (address, path) in named_files::<Address>(&self.member_directory(*id)) {
                let Some(record) = read_record(&path) else {
                    continue;
                };
                let known = network.members.get(&address);
                if known.is_some_and(|known| compare(&record, known) == Compared::Older) {
                    continue;
                }
                self.store.put_member(*id, address, &record)?;
                network.members.insert(address, record);
            }
        }
        Ok(())
    }

    /// Writes the files that are missing or older, and then the marker. Files that cannot be read are left as they are.
    fn complete(&self, networks: &BTreeMap<NetworkId, Stored>) {
        let mut complete = true;
        let stale = |path: &Path, record: &Record| match fs::symlink_metadata(path) {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(_) => read_record(path).is_some_and(|file| file != *record),
        };
        for (id, network) in networks {
            let path = self.network_file(*id);
            if stale(&path, &network.record) {
                complete &= self.write(&path, &network.record);
            }
            for (address, record) in &network.members {
                let path = self.member_file(*id, *address);
                if stale(&path, record) {
                    complete &= self.write(&path, record);
                }
            }
        }
        let marker = self.marker();
        if complete && is_missing(&marker) {
            // There has to be something that can be found empty.
            let network = self.directory.join("network");
            let written = fs::create_dir_all(&network)
                .and_then(|()| replace(&marker, MARKER_TEXT.as_bytes()));
            if let Err(error) = written {
                tracing::warn!(file = %marker.display(), %error, "not written");
            }
        }
    }

    /// Writes a record's file; false, with a warning, if that fails.
    fn write(&self, path: &Path, record: &Record) -> bool {
        let written = replace(path, text(record).as_bytes());
        if let Err(error) = &written {
            tracing::warn!(file = %path.display(), %error, "JSON copy of a record not written");
        }
        written.is_ok()
    }

    /// Puts a record into file and store. A new file comes first: a crash in between must not look like a deletion.
    fn put(
        &mut self,
        path: &Path,
        record: &Record,
        put: impl FnOnce(&mut S) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if !is_missing(path) {
            put(&mut self.store)?;
            self.write(path, record);
            return Ok(());
        }
        if !self.write(path, record) {
            let marker = self.marker();
            removed(&marker, fs::remove_file(&marker))?;
        }
        let result = put(&mut self.store);
        if result.is_err()
            && let Err(error) = removed(path, fs::remove_file(path))
        {
            tracing::warn!(%error, "a record that was not saved keeps its JSON file");
        }
        result
    }

    /// Gives files and directories with upper-case hexadecimal names the names that they are looked for by.
    fn rename_to_lower_case(&self) {
        let networks = self.directory.join("network");
        rename_entries::<NetworkId>(&networks);
        for (name, path) in entries(&networks) {
            if name.parse::<NetworkId>().is_ok() {
                rename_entries::<Address>(&path.join("member"));
            }
        }
    }
}

/// How a record in a file relates to the one in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compared {
    Older,
    Newer,
    /// The record was deleted and made again.
    MadeAgain,
}

fn compare(file: &Record, known: &Record) -> Compared {
    let created = |record: &Record| crate::lenient::unsigned(record.get("creationTime"), 0);
    if created(file) > created(known) {
        Compared::MadeAgain
    } else if revision(file) >= revision(known) && file != known {
        Compared::Newer
    } else {
        Compared::Older
    }
}

fn is_missing(path: &Path) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    fs::symlink_metadata(path).is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
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
        self.rename_to_lower_case();
        if !is_missing(&self.marker()) {
            self.forget_deleted(&mut networks)?;
        }
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
        let file = self.network_file(id);
        self.put(&file, record, |store| store.put_network(id, record))
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
        let file = self.member_file(network, member);
        self.put(&file, record, |store| {
            store.put_member(network, member, record)
        })
    }

    fn delete_member(&mut self, network: NetworkId, member: Address) -> Result<(), StoreError> {
        let file = self.member_file(network, member);
        removed(&file, fs::remove_file(&file))?;
        self.store.delete_member(network, member)
    }
}

/// Names and paths of a directory's entries, as far as they are text.
fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(directory = %directory.display(), %error, "directory not read");
            }
            return Vec::new();
        }
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect()
}

/// Files named `<id>.json` in a directory, where the id is spelled in full and in lower case.
fn named_files<Id: FromStr + Display + Ord>(directory: &Path) -> BTreeMap<Id, PathBuf> {
    let files = entries(directory).into_iter().filter_map(|(name, path)| {
        let stem = name.strip_suffix(".json")?;
        let id: Id = stem.parse().ok()?;
        (id.to_string() == stem).then_some((id, path))
    });
    files.collect()
}

/// Renames `<ID>` and `<ID>.json` to lower case, unless there is such an entry already: that one counts then.
fn rename_entries<Id: FromStr + Display>(directory: &Path) {
    for (name, path) in entries(directory) {
        let (stem, suffix) = match name.strip_suffix(".json") {
            Some(stem) => (stem, ".json"),
            None => (name.as_str(), ""),
        };
        let Ok(id) = stem.parse::<Id>() else {
            continue;
        };
        let wanted = format!("{id}{suffix}");
        if wanted == name {
            continue;
        }
        let target = directory.join(wanted);
        let result = if is_missing(&target) {
            fs::rename(&path, &target)
        } else {
            Err(io::ErrorKind::AlreadyExists.into())
        };
        if let Err(error) = result {
            tracing::warn!(file = %path.display(), %error, "not renamed to lower case, ignored");
        }
    }
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

/// Replaces a file as a whole. Symbolic links are followed: people link such files to other places. A new file is on disk,
/// with the directories made for it, when this returns.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let creates = is_missing(path);
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let directory = target.parent().unwrap_or(Path::new("."));
    let changed_directories: Vec<&Path> = {
        let missing = directory.ancestors().take_while(|parent| !parent.is_dir());
        directory.ancestors().take(missing.count() + 1).collect()
    };
    fs::create_dir_all(directory)?;
    let mut temporary = target.clone().into_os_string();
    temporary.push(".new");
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(content)?;
        if creates {
            file.sync_all()?;
        }
        fs::rename(&temporary, &target)
    };
    let result = write();
    if result.is_err() {
        // What is left of it is of no use; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    result?;
    if creates {
        for directory in changed_directories {
            fs::File::open(directory)?.sync_all()?;
        }
    }
    Ok(())
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
