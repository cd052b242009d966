//! What PostgreSQL alone needs.

use std::fs::File;
use std::str::FromStr;
use std::time::Duration;

use const_format::formatcp;
use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{AnyConnection, Connection, PgConnection};
use tokio::sync::Notify;

use super::error::{Error, OpenError, Result};
use super::rows::truth;

/// A transaction that waits for a lock, or for its client, holds up others: both have an end. So has one whose client is
/// gone without a word. What a transaction reads after it got the lock has to be what is there then. A commit that is told waits for the disk, and for standbys if the server is told so.
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

/// Migrations take their time, and whoever starts meanwhile waits for them.
pub(super) const SET_UP_MIGRATION: &str = "SET lock_timeout = '60s'; SET statement_timeout = 0;";

/// Leases live in a table that is not logged; what is logged beside them is read back after a crash or not.
pub(super) const SET_UP_RECORDER: &str = "SET synchronous_commit = off;";

/// Of all processes, one writes at a time, as SQLite has it: so nothing changes between what a transaction reads and
/// what it writes. The statements after it see what was committed before it got the lock. The number is the service's
/// own choice.
pub(crate) const BEGIN_WRITE: &str = "BEGIN; SELECT pg_advisory_xact_lock(7310579463551)";

/// Who made a change tells the others here; that is all there is to say.
const CHANNEL: &str = "edge_key_auth_changes";

/// The parameters of a URL that name a file, or are what would be in it.
const FILE_PARAMETERS: [&str; 7] =
    ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];

/// How long until another connection is tried, to listen on.
const RECONNECT: Duration = Duration::from_secs(1);

/// The server and the database of a URL, as they may be shown.
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

/// What is wrong, without what the layers around it say of themselves.
fn innermost(mut error: &dyn std::error::Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Names a file of the URL's that cannot be read, which a failing connection would not.
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

/// Refuses a server that only follows another: what it says may be old.
pub(super) async fn require_primary(connection: &mut AnyConnection) -> Result<()> {
    let select = "SELECT CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END AS is_standby";
    let row = sqlx::query(select).fetch_one(connection).await?;
    if truth(&row, "is_standby")? {
        return Err(Error::Standby);
    }
    Ok(())
}

/// Commits a transaction that changes nothing and is in the write-ahead log all the same. Like every commit it waits for the
/// disk, and for standbys if the server is told so; those then have all that was committed before.
pub(crate) async fn commit_nothing(connection: &mut AnyConnection) -> Result<()> {
    let emit = "SELECT CAST(pg_logical_emit_message(true, 'edge-key-auth', '') AS TEXT)";
    sqlx::raw_sql(emit).execute(connection).await?;
    Ok(())
}

/// Tells the other processes, when this transaction is committed, that there is a change.
pub(crate) async fn notify(connection: &mut AnyConnection) -> Result<()> {
    sqlx::query(formatcp!("NOTIFY {CHANNEL}")).execute(connection).await?;
    Ok(())
}

/// Hears for good what others tell with [`notify`], and passes it on.
pub(crate) async fn listen(url: &str, told: &Notify) {
    loop {
        let Err(error) = hear(url, told).await;
        // Until it works again, changes are noticed by asking now and then.
        tracing::warn!(%error, "cannot listen for changes");
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn hear(url: &str, told: &Notify) -> Result<std::convert::Infallible> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Without a notification, the connection was lost and made again: there may have been some.
        listener.try_recv().await?;
        told.notify_one();
    }
}
