//! Records in an SQLite database.
//!
//! The journal is a rollback journal, so the database is always one file that the `sqlite3` tool can read, dump and
//! back up while the controller runs. Every change is one short transaction, on disk before it is acknowledged.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::{Address, NetworkId};
use rusqlite::{Connection, Row, params};

use super::{Record, Store, StoredNetwork};
use crate::StoreError;

/// Steps from an empty database to the current schema; step n leads to version n + 1.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];
/// How long to wait for another program that reads the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A store in one SQLite database.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
}

impl SqliteStore {
    /// Opens the database at `path`, which is created or brought up to date as needed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = |source| StoreError::Database {
            path: path.to_path_buf(),
            source,
        };
        let mut connection = Connection::open(path).map_err(database)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(database)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            )
            .map_err(database)?;
        let found = migrate(&mut connection).map_err(database)?;
        let known = MIGRATIONS.len() as i64;
        if found > known {
            return Err(StoreError::TooNew {
                path: path.to_path_buf(),
                found,
                known,
            });
        }
        Ok(Self {
            connection,
            path: path.to_path_buf(),
        })
    }

    fn database<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|source| StoreError::Database {
            path: self.path.clone(),
            source,
        })
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), StoreError> {
        let result = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values));
        self.database(result).map(|_| ())
    }

    fn rows<T>(
        &self,
        sql: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let result = self
            .connection
            .prepare(sql)
            .and_then(|mut statement| statement.query_map([], read)?.collect());
        self.database(result)
    }

    fn damaged(&self, record: &str, reason: impl ToString) -> StoreError {
        StoreError::Record {
            path: self.path.clone(),
            record: record.to_owned(),
            reason: reason.to_string(),
        }
    }

    fn parse(&self, id: &str, text: &str) -> Result<Record, StoreError> {
        serde_json::from_str(text).map_err(|error| self.damaged(id, error))
    }
}

/// Applies the steps that are missing; returns the version that the database has then.
fn migrate(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (
            version INTEGER NOT NULL PRIMARY KEY,
            applied TEXT NOT NULL DEFAULT (datetime('now'))
        ) STRICT",
    )?;
    let mut version: i64 = transaction.query_row(
        "SELECT coalesce(max(version), 0) FROM migration",
        [],
        |row| row.get(0),
    )?;
    for step in MIGRATIONS
        .iter()
        .skip(usize::try_from(version).unwrap_or(0))
    {
        transaction.execute_batch(step)?;
        version += 1;
        transaction.execute("INSERT INTO migration (version) VALUES (?1)", [version])?;
    }
    transaction.commit()?;
    Ok(version)
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Vec<StoredNetwork>, StoreError> {
        let mut networks: Vec<StoredNetwork> = Vec::new();
        let rows = self.rows("SELECT id, record FROM network ORDER BY id", |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        for (id, text) in rows {
            networks.push(StoredNetwork {
                record: self.parse(&id, &text)?,
                id: id.parse().map_err(|error| self.damaged(&id, error))?,
                members: Vec::new(),
            });
        }
        let rows = self.rows(
            "SELECT network, address, record FROM member ORDER BY network, address",
            |row| {
                let network: String = row.get(0)?;
                let address: String = row.get(1)?;
                Ok((network, address, row.get::<_, String>(2)?))
            },
        )?;
        for (network, address, text) in rows {
            let name = format!("{network}/{address}");
            let id: NetworkId = network
                .parse()
                .map_err(|error| self.damaged(&name, error))?;
            let address: Address = address
                .parse()
                .map_err(|error| self.damaged(&name, error))?;
            let record = self.parse(&name, &text)?;
            let place = networks
                .binary_search_by_key(&id, |network| network.id)
                .map_err(|_| self.damaged(&name, "no such network"))?;
            networks[place].members.push((address, record));
        }
        Ok(networks)
    }

    fn put_network(&mut self, id: NetworkId, record: &Record) -> Result<(), StoreError> {
        // Not REPLACE, which would delete the row and, with it, the members.
        self.execute(
            "INSERT INTO network (id, revision, record) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, record = excluded.record",
            params![id.to_string(), revision(record), text(record)],
        )
    }

    fn delete_network(&mut self, id: NetworkId) -> Result<(), StoreError> {
        self.execute("DELETE FROM network WHERE id = ?1", [id.to_string()])
    }

    fn put_member(
        &mut self,
        network: NetworkId,
        member: Address,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO member (network, address, revision, record) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (network, address)
             DO UPDATE SET revision = excluded.revision, record = excluded.record",
            params![
                network.to_string(),
                member.to_string(),
                revision(record),
                text(record)
            ],
        )
    }

    fn delete_member(&mut self, network: NetworkId, member: Address) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM member WHERE network = ?1 AND address = ?2",
            [network.to_string(), member.to_string()],
        )
    }
}

fn revision(record: &Record) -> i64 {
    i64::try_from(super::revision(record)).unwrap_or(i64::MAX)
}

fn text(record: &Record) -> String {
    super::text(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let directory = super::super::scratch_directory("newer-schema");
        let path = directory.join("controller.sqlite");
        let store = SqliteStore::open(&path).unwrap();
        store
            .execute("INSERT INTO migration (version) VALUES (99)", [])
            .unwrap();
        drop(store);
        let before = std::fs::read(&path).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::TooNew { found: 99, .. }));
        assert!(error.to_string().contains("controller.sqlite"));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_file_that_is_no_database_is_named_and_left_alone() {
        let directory = super::super::scratch_directory("no-database");
        let path = directory.join("controller.sqlite");
        let garbage = vec![b'x'; 4096];
        std::fs::write(&path, &garbage).unwrap();
        let error = SqliteStore::open(&path).unwrap_err().to_string();
        assert!(error.contains("controller.sqlite"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), garbage);
    }

    #[test]
    fn another_program_reads_while_the_store_is_open() {
        let directory = super::super::scratch_directory("reader");
        let path = directory.join("controller.sqlite");
        let mut store = SqliteStore::open(&path).unwrap();
        let record = Record::from_iter([("revision".into(), 3.into())]);
        store.put_network(NetworkId(7), &record).unwrap();
        let reader = Connection::open(&path).unwrap();
        let (revision, journal): (i64, String) = reader
            .query_row(
                "SELECT revision, (SELECT journal_mode FROM pragma_journal_mode) FROM network",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!((revision, journal.as_str()), (3, "delete"));
        store.put_network(NetworkId(8), &record).unwrap();
    }
}
