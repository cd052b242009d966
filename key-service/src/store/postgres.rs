//! What PostgreSQL alone needs.

use std::error::Error;
use std::fs::File;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Notify;
use uuid::Uuid;

use super::lease_limit::{self, Announced};
use super::{OpenError, leases, truth};

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
pub(super) const BEGIN_WRITE: &str = "BEGIN; SELECT pg_advisory_xact_lock(7310579463551)";

/// Who made a change tells the others here; that is all there is to say.
const CHANNEL: &str = "edge_key_auth_changes";

/// The parameters of a URL that name a file, or are what would be in it.
const FILE_PARAMETERS: [&str; 7] =
    ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];

/// How long until another connection is tried, to listen on.
const RECONNECT: Duration = Duration::from_secs(1);

/// Names the place where the history is written: the cluster, its timeline, which promotion and recovery from an archive
/// begin anew, the database and the table, which a restore from a dump makes anew.
const PLACE: &str = "(SELECT CONCAT_WS('/', (SELECT system_identifier FROM pg_control_system()),
    SUBSTR(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()), CAST('revision_log'::regclass AS OID)))";

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
fn innermost(mut error: &dyn Error) -> String {
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
pub(super) async fn is_empty(url: &str) -> sqlx::Result<bool> {
    let mut connection = PgConnection::connect(url).await?;
    let select = "SELECT to_regclass('revision_log') IS NULL";
    let is_empty = sqlx::query_scalar(select).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(is_empty)
}

/// Refuses a server that only follows another: what it says may be old.
pub(super) async fn require_primary(connection: &mut AnyConnection) -> sqlx::Result<()> {
    let select = "SELECT CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END AS is_standby";
    let row = sqlx::query(select).fetch_one(connection).await?;
    if truth(&row, "is_standby")? {
        return Err(sqlx::Error::Configuration("the server is a standby; name the primary".into()));
    }
    Ok(())
}

/// Notices, before anything is read on a new connection, that leases may have been forgotten since they were recorded, or
/// that this is not where the history was written last. Neither can happen while a connection to a primary lasts: a server
/// that crashes closes all it has, and one that is promoted had none of ours. Then changes may be lost too, of a copy that
/// was made before them say, and only a new log makes every edge forget what it knew of them.
///
/// The server may also lack what this process has announced of its leases, or another process may have noticed the loss
/// that knew of shorter ones only.
pub(super) async fn notice_loss(connection: &mut AnyConnection, announced: &Announced) -> sqlx::Result<()> {
    let lasts_ms = announced.lasts_ms();
    if is_as_it_was(connection).await? {
        let (longest_ms, log) = lease_limit::known(connection).await?;
        if lasts_ms.is_none_or(|lasts_ms| longest_ms >= lease_limit::as_column(lasts_ms)) {
            announced.is_known_in(&log);
            return Ok(());
        }
    }
    let mut transaction = connection.begin_with(BEGIN_WRITE).await?;
    // Another process may have been here first.
    let is_lost = !is_as_it_was(&mut transaction).await?;
    if is_lost {
        set_log(&mut transaction, &Uuid::new_v4().to_string()).await?;
        tracing::warn!("the server was started anew, crashed or was replaced: a new log begins");
    }
    let announcement = match lasts_ms {
        Some(lasts_ms) => Some(announced.announce_within(&mut transaction, lasts_ms).await?),
        None => None,
    };
    if is_lost {
        leases::may_be_forgotten(&mut *transaction).await?;
    }
    transaction.commit().await?;
    announcement.into_iter().for_each(|announcement| announced.remember(announcement));
    Ok(())
}

/// Gives the history another log id, and remembers where it is written from now on.
pub(super) async fn set_log(connection: &mut AnyConnection, log: &str) -> sqlx::Result<()> {
    // Safe: the text is always the same.
    let update = format!("UPDATE revision_log SET log_id = $1, place = {PLACE}");
    sqlx::query(AssertSqlSafe(update)).bind(log).execute(&mut *connection).await?;
    let insert = "INSERT INTO lease_witness (only_row) VALUES (1) ON CONFLICT (only_row) DO NOTHING";
    sqlx::query(insert).execute(connection).await?;
    Ok(())
}

/// Whether the tables are the ones that the history was last written to: a restore may have made others, which no open
/// connection notices.
pub(super) async fn is_in_place(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    let select = format!("SELECT CASE WHEN place = {PLACE} THEN 1 ELSE 0 END AS is_so FROM revision_log");
    // Safe: the text is always the same.
    let row = sqlx::query(AssertSqlSafe(select)).fetch_one(connection).await?;
    truth(&row, "is_so")
}

async fn is_as_it_was(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    let select = format!(
        "SELECT CASE WHEN place = {PLACE} AND EXISTS (SELECT 1 FROM lease_witness) THEN 1 ELSE 0 END AS is_so
        FROM revision_log"
    );
    // Safe: the text is always the same.
    let row = sqlx::query(AssertSqlSafe(select)).fetch_one(connection).await?;
    truth(&row, "is_so")
}

/// Commits a transaction that changes nothing and is in the write-ahead log all the same. Like every commit it waits for the
/// disk, and for standbys if the server is told so; those then have all that was committed before.
pub(super) async fn commit_nothing(connection: &mut AnyConnection) -> sqlx::Result<()> {
    let emit = "SELECT CAST(pg_logical_emit_message(true, 'edge-key-auth', '') AS TEXT)";
    sqlx::raw_sql(emit).execute(connection).await?;
    Ok(())
}

/// Tells the other processes, when this transaction is committed, that there is a change.
pub(super) async fn notify(connection: &mut AnyConnection) -> sqlx::Result<()> {
    // Safe: the text is always the same.
    sqlx::query(AssertSqlSafe(format!("NOTIFY {CHANNEL}"))).execute(connection).await?;
    Ok(())
}

/// Hears for good what others tell with [`notify`], and passes it on.
pub(super) async fn listen(url: &str, told: &Notify) {
    loop {
        let Err(error) = hear(url, told).await;
        // Until it works again, changes are noticed by asking now and then.
        tracing::warn!(%error, "cannot listen for changes");
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn hear(url: &str, told: &Notify) -> sqlx::Result<std::convert::Infallible> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Without a notification, the connection was lost and made again: there may have been some.
        listener.try_recv().await?;
        told.notify_one();
    }
}
