//! Why the controller could not do something.

use std::path::PathBuf;

/// The controller cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The records could not be loaded.
    #[error("controller records: {0}")]
    Store(#[from] StoreError),
}

/// A store could not read or write records.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused an operation.
    #[error("{}: {source}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The database was written by a newer version of this program.
    #[error("{}: schema version {found} is newer than {known}, the newest that this program knows", path.display())]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// A stored record is damaged.
    #[error("{}: record {record}: {reason}", path.display())]
    Record {
        /// The database file.
        path: PathBuf,
        /// Network id, or network id and member address.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or directory could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}
