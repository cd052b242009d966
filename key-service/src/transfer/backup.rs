//! Backups: copies of the database from which a service can be restored.
//!
//! A copy has no sessions, one-time links, leases or undelivered messages. It has no epoch either: each service that is
//! restored from it begins a new epoch. So edges drop what they have cached, and changes wait until earlier leases have
//! ended.

use std::path::Path;

use serde_json::json;

use super::backup_sql;
use crate::audit::{self, Action, Actor, Event};
use crate::db;
use crate::revocation::Store;

/// The contents of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Backup {
    /// The number of users.
    pub users: u64,
    /// The number of keys.
    pub keys: u64,
}

/// Why a backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is not SQLite.
    #[error(
        "--database-url (DATABASE_URL): only SQLite databases are copied; PostgreSQL has pg_dump and pg_basebackup"
    )]
    NotSqlite,
    /// The copy is damaged: the disk or the database itself is at fault.
    #[error("the copy is damaged; the database may be damaged too: {0}")]
    Damaged(String),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

/// Copies a snapshot of the database into an empty file while it is in use, and checks the copy.
///
/// # Errors
/// See [`BackupError`]. The file is unusable then.
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
