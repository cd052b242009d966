//! Opening a database: its URL, its tables, its connections.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::MigrateError;
use sqlx::{AnyConnection, Connection};

use super::dialect::Kind;
use super::error::{Error, OpenError, Result};
use super::transaction::{ACQUIRE_TIMEOUT, Turns, Writer, within};
use super::{Database, postgres, sqlite};

/// How many connections a process keeps for reading at most.
const MAX_READERS: u32 = 8;

/// A connection that has been free for longer than this may be dead, if there is a network between.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// A server that has not answered by then is gone.
const PING_AT_MOST: Duration = Duration::from_secs(2);

/// What a hook does on a connection.
pub(crate) type Done<'c> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'c>>;

/// What a room above does where a database is opened.
pub(crate) trait Hooks: fmt::Debug + Send + Sync + 'static {
    /// The tables are up to date, inside the transaction that has made them so.
    fn migrated<'c>(&'c self, kind: &'c Kind, connection: &'c mut AnyConnection) -> Done<'c>;

    /// A connection is new, and nothing was read on it yet. What this writes survives a crash.
    fn connected<'c>(&'c self, kind: &'c Kind, connection: &'c mut AnyConnection) -> Done<'c>;
}

impl Database {
    /// Opens the database of a `sqlite:` or `postgres:` URL, and brings its tables up to date. A SQLite file is made if
    /// there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) async fn open(url: &str, hooks: Arc<dyn Hooks>) -> Result<Self, OpenError> {
        if is_postgres(url) {
            return Self::open_postgres(url, hooks).await;
        }
        let path = sqlite_file(url)?;
        sqlite::create_private(&path).map_err(|source| OpenError::Create { path: path.clone(), source })?;
        Self::connect(Kind::Sqlite, url, path.display().to_string(), hooks).await
    }

    /// The same, but nothing is made: without a file or a table there is no database.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) async fn open_existing(url: &str, hooks: Arc<dyn Hooks>) -> Result<Self, OpenError> {
        if is_postgres(url) {
            let database = postgres::place_of(url)?;
            return match postgres::is_empty(url).await {
                Ok(false) => Self::open_postgres(url, hooks).await,
                Ok(true) => Err(OpenError::Missing(format!("of the key service in {database}"))),
                Err(source) => Err(OpenError::Use { database, source }),
            };
        }
        let path = sqlite_file(url)?;
        let database = path.display().to_string();
        match path.try_exists() {
            Ok(true) => Self::connect(Kind::Sqlite, url, database, hooks).await,
            Ok(false) => Err(OpenError::Missing(database)),
            Err(source) => Err(OpenError::Access { path, source }),
        }
    }

    async fn open_postgres(url: &str, hooks: Arc<dyn Hooks>) -> Result<Self, OpenError> {
        let database = postgres::place_of(url)?;
        Self::connect(Kind::Postgres { url: url.into() }, url, database, hooks).await
    }

    async fn connect(
        kind: Kind,
        url: &str,
        database: String,
        hooks: Arc<dyn Hooks>,
    ) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        // On a connection of its own: a pool would try again and again, and then say only that time ran out.
        let mut connection = AnyConnection::connect(url).await.map_err(unusable(&database))?;
        sqlx::raw_sql(kind.set_up()).execute(&mut connection).await.map_err(unusable(&database))?;
        if let Kind::Postgres { .. } = kind {
            sqlx::raw_sql(postgres::SET_UP_MIGRATION)
                .execute(&mut connection)
                .await
                .map_err(unusable(&database))?;
            postgres::require_primary(&mut connection).await.map_err(unusable(&database))?;
        }
        // One transaction around all migrations: processes that start together take turns.
        let mut transaction = connection.begin_with(kind.begin_write()).await.map_err(unusable(&database))?;
        kind.migrations()
            .run(&mut *transaction)
            .await
            .map_err(|source| unmigrated(database.clone(), source))?;
        hooks.migrated(&kind, &mut transaction).await.map_err(unusable(&database))?;
        transaction.commit().await.map_err(unusable(&database))?;
        hooks.connected(&kind, &mut connection).await.map_err(unusable(&database))?;
        connection.close().await.map_err(unusable(&database))?;

        let pool = |most, more| {
            connections(&kind, &hooks, most, more).connect_lazy(url).map_err(unusable(&database))
        };
        let read_pool = pool(MAX_READERS, "")?;
        let writer = Writer { pool: pool(1, "")?, begin: kind.begin_write(), turns: Turns::default() };
        let record_pool = pool(2, kind.set_up_recorder())?;
        // One for each kind of reading.
        let batch_pool = pool(3, "")?;
        let flush_pool = pool(1, "")?;
        // On SQLite all writers take turns; on PostgreSQL leases are recorded beside other writes.
        let record_turns = match kind {
            Kind::Sqlite => writer.turns.clone(),
            Kind::Postgres { .. } => Turns::default(),
        };
        Ok(Database { kind, read_pool, writer, record_pool, batch_pool, flush_pool, record_turns })
    }
}

/// Whether a URL can be that of a database, and its files can be read, without connecting to it.
///
/// # Errors
/// See [`OpenError`].
pub(crate) fn check_url(url: &str) -> Result<(), OpenError> {
    if is_postgres(url) { postgres::place_of(url).map(drop) } else { sqlite_file(url).map(drop) }
}

/// The error of a step of opening a database.
fn unusable<E: Into<Error>>(database: &str) -> impl Fn(E) -> OpenError + use<'_, E> {
    move |source| OpenError::Use { database: database.to_owned(), source: source.into() }
}

fn unmigrated(database: String, source: MigrateError) -> OpenError {
    match source {
        MigrateError::VersionMissing(version) => OpenError::Newer { database, version },
        source => OpenError::Migrate { database, source },
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

fn sqlite_file(url: &str) -> Result<PathBuf, OpenError> {
    if url.starts_with("sqlite:") { sqlite::file_of(url) } else { Err(OpenError::Url) }
}

/// A pool of connections that are set up, `more` for some of them.
fn connections(kind: &Kind, hooks: &Arc<dyn Hooks>, most: u32, more: &'static str) -> AnyPoolOptions {
    let (new, is_remote) = (kind.clone(), matches!(kind, Kind::Postgres { .. }));
    let hooks = Arc::clone(hooks);
    AnyPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Connections do not age. And with neither limit there is no task in sqlx that looks for old ones: it counts idle
        // connections with a number that can be below zero for a moment, and then spins for good.
        .max_lifetime(None)
        .idle_timeout(None)
        // What follows does it when there is reason to.
        .test_before_acquire(false)
        .before_acquire(move |connection, connected| {
            // Where a commit fails, for want of space say, SQLite ends the transaction and sqlx does not notice: every
            // later one on that connection would fail.
            let is_free = !connection.is_in_transaction();
            let may_be_dead = is_remote && connected.idle_for > TRUSTED_FOR;
            Box::pin(async move { Ok(is_free && (!may_be_dead || answers(connection).await)) })
        })
        // A server that is gone without a word would have the place for as long as sqlx asks it for a last one.
        .after_release(move |connection, _| {
            Box::pin(async move {
                if is_remote && !answers(connection).await {
                    Err(Error::TimedOut.for_pool())
                } else {
                    Ok(true)
                }
            })
        })
        .after_connect(move |connection, _| {
            let (kind, hooks) = (new.clone(), Arc::clone(&hooks));
            Box::pin(async move {
                sqlx::raw_sql(kind.set_up()).execute(&mut *connection).await?;
                if let Kind::Postgres { .. } = kind {
                    postgres::require_primary(&mut *connection).await.map_err(Error::for_pool)?;
                }
                // What this writes must survive a crash, so it comes before `more` allows that it does not.
                hooks.connected(&kind, &mut *connection).await.map_err(Error::for_pool)?;
                sqlx::raw_sql(more).execute(connection).await?;
                Ok(())
            })
        })
}

/// Whether the server answers on a connection, within a while.
async fn answers(connection: &mut AnyConnection) -> bool {
    within(PING_AT_MOST, connection.ping()).await.is_ok()
}
