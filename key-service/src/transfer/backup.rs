//! Backups: copies of the database that a service can be restored from.
//!
//! A copy has no sessions, one-time links, leases or undelivered messages. It has no epoch either: each service that
//! is restored from it begins a history of its own, so that no edge takes what it knew for current, and waits with its
//! changes until leases of before have run out.

use std::path::Path;

use serde_json::json;

use super::backup_sql;
use crate::audit::{self, Action, Actor, Event};
use crate::db;
use crate::revocation::Store;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Backup {
    /// How many users.
    pub users: u64,
    /// How many keys.
    pub keys: u64,
}

/// Why a backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is not SQLite's.
    #[error(
        "--database-url (DATABASE_URL): only SQLite databases are copied; PostgreSQL has pg_dump and pg_basebackup"
    )]
    NotSqlite,
    /// The copy is not sound: the fault is the disk's, or in the database itself.
    #[error("the copy is damaged, and so may the database be: {0}")]
    Damaged(String),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

/// Copies the database of one moment into an empty file, while it is in use, and checks the copy.
///
/// # Errors
/// See [`BackupError`]; the file is of no use then.
pub async fn make(store: &Store, by: &Actor, file: &Path) -> Result<Backup, BackupError> {
    if !backup_sql::is_possible(store) {
        return Err(BackupError::NotSqlite);
    }
    let copy = backup_sql::copy(store, file).await?;
    let (faults, users, keys) = backup_sql::check(copy).await?;
    if !faults.is_empty() {
        return Err(BackupError::Damaged(faults.join("; ")));
    }
    let detail = json!({ "users": users, "keys": keys });
    let event = Event { action: Action::DatabaseBackedUp, user_id: None, subject: None, detail: &detail };
    let mut write = store.begin_write().await?;
    audit::record(write.connection(), by, event).await?;
    write.commit().await?;
    Ok(Backup { users, keys })
}
