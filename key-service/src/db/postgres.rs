//! PostgreSQL alone.

use std::fs::File;
use std::str::FromStr;
use std::time::Duration;

use const_format::formatcp;
use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{AnyConnection, Connection, PgConnection};
use tokio::sync::Notify;

use super::error::{Error, OpenError, Result};
use super::rows::truth;

/// A transaction that waits for a lock or for its client blocks others, so both waits have a timeout. TCP keepalives end
/// the transaction of a client that is gone. READ COMMITTED: statements after the lock must see the latest commits. A
/// commit waits for the disk, and for standbys if the server is configured so.
pub(super) const SET_UP: &str = "
    SET application_name = 'key-service';
    SET default_transaction_isolation = 'read committed';
    SET lock_timeout = '5s';
    SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '10s';
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 2;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 10000;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';";

/// Migrations may take long, and processes that start meanwhile wait for them.
pub(super) const SET_UP_MIGRATION: &str = "SET lock_timeout = '60s'; SET statement_timeout = 0;";

/// Leases are in an unlogged table. The logged rows beside them may be lost in a crash too.
pub(super) const SET_UP_RECORDER: &str = "SET synchronous_commit = off;";

/// Rule `OneWriter`: one process writes at a time, as with SQLite, so nothing changes between a transaction's reads and its
/// writes. Statements after the lock see everything that was committed before. The number of the lock is arbitrary.
pub(crate) const BEGIN_WRITE: &str = "BEGIN; SELECT pg_advisory_xact_lock(7310579463551)";

/// The channel on which processes notify each other of a change. Notifications have no payload.
const CHANNEL: &str = "edge_key_auth_changes";

/// The parameters of a URL that name a file or contain its text.
const FILE_PARAMETERS: [&str; 7] =
    ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];

/// The wait before a listener reconnects.
const RECONNECT: Duration = Duration::from_secs(1);

/// The server and the database of a URL, without its secrets.
pub(super) fn place_of(url: &str) -> Result<String, OpenError> {
    let options =
        PgConnectOptions::from_str(url).map_err(|error| OpenError::PostgresUrl(innermost(&error)))?;
    require_files(url)?;
    let database = options.get_database().unwrap_or(options.get_username());
    Ok(match options.get_socket() {
        Some(folder) => format!("{}/{database}", folder.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    })
}

/// The text of the innermost error.
fn innermost(mut error: &dyn std::error::Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Checks that the files of a URL can be read. The error names the file, unlike that of a failed connection.
fn require_files(url: &str) -> Result<(), OpenError> {
    let (_, query) = url.split_once('?').unwrap_or_default();
    for (parameter, value) in form_urlencoded::parse(query.as_bytes()) {
        let is_file = FILE_PARAMETERS.contains(&&*parameter) && !value.starts_with("-----BEGIN");
        if is_file && let Err(source) = File::open(&*value) {
            return Err(OpenError::Unreadable {
                parameter: parameter.into_owned(),
                path: value.into_owned(),
                source,
            });
        }
    }
    Ok(())
}

/// Whether a database has none of the service's tables.
pub(super) async fn is_empty(url: &str) -> Result<bool> {
    let mut connection = PgConnection::connect(url).await?;
    let select = "SELECT to_regclass('revision_log') IS NULL";
    let is_empty = sqlx::query_scalar(select).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(is_empty)
}

/// Refuses a standby, which may lag behind its primary.
pub(super) async fn require_primary(connection: &mut AnyConnection) -> Result<()> {
    let select = "SELECT CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END AS is_standby";
    let row = sqlx::query(select).fetch_one(connection).await?;
    if truth(&row, "is_standby")? {
        return Err(Error::Standby);
    }
    Ok(())
}

/// Commits a transaction that changes nothing but is in the write-ahead log. Like every commit it waits for the disk, and
/// for standbys if the server is configured so. After that, they have everything that was committed before.
pub(crate) async fn commit_nothing(connection: &mut AnyConnection) -> Result<()> {
    let emit = "SELECT CAST(pg_logical_emit_message(true, 'edge-key-auth', '') AS TEXT)";
    sqlx::raw_sql(emit).execute(connection).await?;
    Ok(())
}

/// Notifies the other processes of a change when this transaction commits.
pub(crate) async fn notify(connection: &mut AnyConnection) -> Result<()> {
    sqlx::query(formatcp!("NOTIFY {CHANNEL}")).execute(connection).await?;
    Ok(())
}

/// Passes the notifications of [`notify`] on to `changed` until the task is dropped.
pub(crate) async fn listen(url: &str, changed: &Notify) {
    loop {
        let Err(error) = receive(url, changed).await;
        // Until the listener is back, polling notices changes.
        tracing::warn!(%error, "cannot listen for changes");
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn receive(url: &str, changed: &Notify) -> Result<std::convert::Infallible> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // `None` means that the connection was lost and opened again. Notifications may have been missed.
        listener.try_recv().await?;
        changed.notify_one();
    }
}
