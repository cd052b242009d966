//! Opening a database: its URL, migrations and connections.

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

/// The most connections of a process for reading.
const MAX_READERS: u32 = 8;

/// A connection over a network that has been idle for longer may be dead.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// A server that takes longer to answer a ping is gone.
const PING_AT_MOST: Duration = Duration::from_secs(2);

/// The work of a hook on a connection.
pub(crate) type Done<'c> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'c>>;

/// What other modules do when a database is opened.
pub(crate) trait Hooks: fmt::Debug + Send + Sync + 'static {
    /// Runs after the migrations, inside their transaction.
    fn migrated<'c>(&'c self, kind: &'c Kind, connection: &'c mut AnyConnection) -> Done<'c>;

    /// Runs on a new connection before anything is read on it. Its writes survive a crash.
    fn connected<'c>(&'c self, kind: &'c Kind, connection: &'c mut AnyConnection) -> Done<'c>;
}

impl Database {
    /// Opens the database of a `sqlite:` or `postgres:` URL, and migrates it. A missing SQLite file is created.
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

    /// Opens a database that exists. Without a file or a table it fails, and creates nothing.
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
        // On a connection of its own: a pool would retry, and then report only a timeout.
        let mut connection = AnyConnection::connect(url).await.map_err(unusable(&database))?;
        sqlx::raw_sql(kind.set_up()).execute(&mut connection).await.map_err(unusable(&database))?;
        if let Kind::Postgres { .. } = kind {
            sqlx::raw_sql(postgres::SET_UP_MIGRATION)
                .execute(&mut connection)
                .await
                .map_err(unusable(&database))?;
            postgres::require_primary(&mut connection).await.map_err(unusable(&database))?;
        }
        // One transaction around all migrations, so that processes that start together take turns.
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
        // One for each kind of batch that reads.
        let batch_pool = pool(3, "")?;
        let flush_pool = pool(1, "")?;
        // On SQLite all writers take turns; PostgreSQL records leases concurrently with other writes.
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

/// A pool whose connections are set up, with the additional statements of `more`.
fn connections(kind: &Kind, hooks: &Arc<dyn Hooks>, most: u32, more: &'static str) -> AnyPoolOptions {
    let (new, is_remote) = (kind.clone(), matches!(kind, Kind::Postgres { .. }));
    let hooks = Arc::clone(hooks);
    AnyPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Connections do not age. With either limit, sqlx would run a task that looks for old ones; its count of idle
        // connections can be negative for a moment, and then the task spins forever.
        .max_lifetime(None)
        .idle_timeout(None)
        // The next hook tests connections when there is a reason to.
        .test_before_acquire(false)
        .before_acquire(move |connection, connected| {
            // If a commit fails, for example on a full disk, SQLite ends the transaction and sqlx does not notice. Then
            // every later transaction on the connection would fail.
            let is_free = !connection.is_in_transaction();
            let may_be_dead = is_remote && connected.idle_for > TRUSTED_FOR;
            Box::pin(async move { Ok(is_free && (!may_be_dead || answers(connection).await)) })
        })
        // If the server is gone without closing the connection, sqlx's proper close would occupy the place until it times
        // out.
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
                // The hook's writes must survive a crash, so it runs before `more` turns that off.
                hooks.connected(&kind, &mut *connection).await.map_err(Error::for_pool)?;
                sqlx::raw_sql(more).execute(connection).await?;
                Ok(())
            })
        })
}

/// Whether the server answers a ping in time.
async fn answers(connection: &mut AnyConnection) -> bool {
    within(PING_AT_MOST, connection.ping()).await.is_ok()
}
