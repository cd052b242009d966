//! Copies a SQLite database in use and prepares the copy for a restore. PostgreSQL has its own tools.

use std::path::Path;

use ::leases::LeaseConfig;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::db;
use crate::db::dialect::Kind;
use crate::revocation::Store;

/// Removes the rows that only the running service needs. Without an epoch, each service that opens the copy begins a new one.
/// The boot id is removed because leases may exist that the copy does not have.
const STRIP: &str = "
    DELETE FROM sessions;
    DELETE FROM one_time_links;
    DELETE FROM webhook_deliveries;
    DELETE FROM edge_leases;
    DELETE FROM changes;
    UPDATE revision_log SET epoch = '', boot_id = NULL, pruned_to = revision;
    VACUUM;";

/// Whether the database is SQLite, the only kind that this module copies.
pub(crate) fn is_possible(store: &Store) -> bool {
    matches!(store.kind, Kind::Sqlite)
}

/// Copies a snapshot into an empty file, without blocking other users of the database.
pub(crate) async fn copy(store: &Store, file: &Path) -> db::Result<SqliteConnection> {
    sqlx::query("VACUUM INTO $1").bind(file.display().to_string()).execute(store.pool()).await?;
    // The file must be complete without SQLite's other files.
    let options = SqliteConnectOptions::new().filename(file).journal_mode(SqliteJournalMode::Delete);
    let mut copy = options.connect().await?;
    sqlx::raw_sql(STRIP).execute(&mut copy).await?;
    // If the service has never run, the longest lease is unknown. The service may still run before the restore.
    let usual_ms = i64::try_from(LeaseConfig::default().lasts_ms()).unwrap_or(i64::MAX);
    let update = "UPDATE revision_log SET longest_lease_ms = MAX(longest_lease_ms, $1)";
    sqlx::query(update).bind(usual_ms).execute(&mut copy).await?;
    Ok(copy)
}

/// The faults of a copy as SQLite reports them, and its numbers of users and keys. Closes the copy.
pub(crate) async fn check(mut copy: SqliteConnection) -> db::Result<(Vec<String>, u64, u64)> {
    let mut faults: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut copy).await?;
    faults.retain(|fault| fault != "ok");
    let strays = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut copy).await?.len();
    if strays > 0 {
        faults.push(format!("{strays} rows refer to rows that do not exist"));
    }
    let count = "SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM api_keys)";
    let (users, keys): (i64, i64) = sqlx::query_as(count).fetch_one(&mut copy).await?;
    copy.close().await?;
    Ok((faults, users.unsigned_abs(), keys.unsigned_abs()))
}
