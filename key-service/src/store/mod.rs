//! The database: opening it, and all SQL, written once for every database through sqlx's `Any` driver.
//!
//! The SQL keeps to what SQLite and PostgreSQL both accept, and to BIGINT and TEXT columns, which `Any` reads
//! alike from both.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use protocol::ScopeSet;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Row, Transaction};

pub(crate) mod keys;
pub(crate) mod revision;
pub(crate) mod sessions;
pub(crate) mod users;
pub(crate) mod verdicts;

/// How many connections a process keeps at most; SQLite lets one of them write at a time.
const MAX_CONNECTIONS: u32 = 8;

/// A request that cannot get a connection in this time fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// WAL lets readers go on while another process writes; FULL makes a commit survive a power cut. A writer waits
/// for another one for `busy_timeout` milliseconds.
const SQLITE_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;";

/// On SQLite a transaction that reads first and writes later fails when another one wrote in between.
const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// The accounts and keys on disk.
#[derive(Clone, Debug)]
pub struct Database {
    pool: AnyPool,
}

/// Why a database could not be opened. The texts name the setting's flag and variable.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is of a database that this service does not know.
    #[error("--database-url (DATABASE_URL): not a SQLite URL; write sqlite:path/to/file.db")]
    Url,
    /// The URL names no file.
    #[error("--database-url (DATABASE_URL): a database in memory would forget its keys; name a file")]
    InMemory,
    /// The file is missing and cannot be made.
    #[error("--database-url (DATABASE_URL): cannot create {}: {source}", path.display())]
    Create {
        /// The database file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there and cannot be used.
    #[error("--database-url (DATABASE_URL): cannot use {}: {source}", path.display())]
    Use {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The tables could not be brought up to date.
    #[error("--database-url (DATABASE_URL): cannot migrate {}: {source}", path.display())]
    Migrate {
        /// The database file.
        path: PathBuf,
        /// What the migration said.
        source: sqlx::migrate::MigrateError,
    },
}

impl Database {
    /// Opens the database of a `sqlite:` URL, makes the file if there is none, and brings its tables up to date.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        if !url.starts_with("sqlite:") {
            return Err(OpenError::Url);
        }
        let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
        let path = options.get_filename().to_owned();
        if url.contains(":memory:") || url.contains("mode=memory") || path.as_os_str().is_empty() {
            return Err(OpenError::InMemory);
        }
        create_private(&path).map_err(|source| OpenError::Create { path: path.clone(), source })?;

        sqlx::any::install_default_drivers();
        let unusable = |source| OpenError::Use { path: path.clone(), source };
        // On a connection of its own: a pool would try again and again, and then say only that time ran out.
        let mut connection = AnyConnection::connect(url).await.map_err(unusable)?;
        set_up(&mut connection).await.map_err(unusable)?;
        // One transaction around all migrations: processes that start together take turns.
        let mut transaction = connection.begin_with(BEGIN_WRITE).await.map_err(unusable)?;
        MIGRATIONS
            .run(&mut *transaction)
            .await
            .map_err(|source| OpenError::Migrate { path: path.clone(), source })?;
        revision::start_log(&mut *transaction).await.map_err(unusable)?;
        transaction.commit().await.map_err(unusable)?;
        connection.close().await.map_err(unusable)?;

        let pool = AnyPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| Box::pin(set_up(connection)))
            .connect(url)
            .await
            .map_err(unusable)?;
        Ok(Database { pool })
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    /// What the database said instead.
    pub async fn ping(&self) -> sqlx::Result<()> {
        revision::current(&self.pool).await.map(drop)
    }

    /// For single statements that cannot alter a verdict.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins a transaction that may write, and makes it the only such one at once.
    pub(crate) async fn begin_write(&self) -> sqlx::Result<Transaction<'static, Any>> {
        self.pool.begin_with(BEGIN_WRITE).await
    }

    /// Waits until all connections are closed.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn set_up(connection: &mut AnyConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(SQLITE_PRAGMAS).execute(connection).await?;
    Ok(())
}

/// Makes an empty file that its owner alone can read, unless there is a file already. SQLite gives its own
/// files beside it the same permissions.
fn create_private(path: &std::path::Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Reads a column of scopes separated by spaces.
fn scopes(row: &AnyRow, column: &str) -> sqlx::Result<ScopeSet> {
    let text: String = row.try_get(column)?;
    ScopeSet::parse(text.split_whitespace())
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}

/// Reads a column of 0 and 1.
fn truth(row: &AnyRow, column: &str) -> sqlx::Result<bool> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}
