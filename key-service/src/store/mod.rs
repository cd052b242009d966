//! The database: opening it, and all SQL, written once for every database through sqlx's `Any` driver.
//!
//! The SQL keeps to what SQLite and PostgreSQL both accept, and to BIGINT and TEXT columns, which `Any` reads
//! alike from both.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use protocol::{KeyDigest, ScopeSet};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyConnection, AnyPool, Connection, Row};

pub(crate) mod audit;
pub(crate) mod backup;
mod filter;
mod groups;
mod health;
pub(crate) mod keys;
pub(crate) mod leases;
mod ledger;
pub(crate) mod links;
pub(crate) mod management_tokens;
mod news;
pub(crate) mod revision;
pub(crate) mod sessions;
pub(crate) mod state;
pub(crate) mod transfer;
pub(crate) mod upkeep;
pub(crate) mod users;
pub(crate) mod uses;
pub(crate) mod verdicts;
pub(crate) mod webhooks;
mod write;

use groups::Groups;
use groups::histories::Histories;
use groups::records::{Heard, Records};
use groups::verdicts::Verdicts;
pub(crate) use ledger::{Change, DatabaseLedger};
use news::News;
use uses::Uses;
use write::{BEGIN_WRITE, Turns, Write};

/// How many connections a process keeps for reading at most.
const MAX_READERS: u32 = 8;

/// A request that cannot get a connection in this time fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// WAL lets readers go on while another process writes; FULL makes a commit survive a power cut. A writer waits
/// for another one for `busy_timeout` milliseconds.
const SQLITE_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;";

/// For what a power cut may undo: commits that do not wait for the disk. The end of a process undoes nothing.
const RECORDER_PRAGMAS: &str = "PRAGMA synchronous = NORMAL;";

/// The database's clock, in milliseconds since 1970-01-01 UTC. It stands still within a statement that returns no rows,
/// and is read after the statement has its lock.
const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// Names this run of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// The accounts, the keys and the leases on disk.
#[derive(Clone, Debug)]
pub struct Database {
    read_pool: AnyPool,
    /// Of one connection, as the next: no write waits behind reads.
    write_pool: AnyPool,
    record_pool: AnyPool,
    group_pool: AnyPool,
    turns: Turns,
    lease_path: Arc<LeasePath>,
    uses: Arc<Uses>,
    news: Arc<News>,
}

/// What edges ask all the time.
#[derive(Debug)]
struct LeasePath {
    records: Groups<Records>,
    heard: Heard,
    histories: Groups<Histories>,
    verdicts: Groups<Verdicts>,
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
    /// There is no file, and this command does not make one.
    #[error("--database-url (DATABASE_URL): there is no database {}", .0.display())]
    Missing(PathBuf),
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
        let path = file_of(url)?;
        create_private(&path).map_err(|source| OpenError::Create { path: path.clone(), source })?;
        Self::open_file(url, path).await
    }

    /// The same, but without a file there is no database.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_existing(url: &str) -> Result<Self, OpenError> {
        let path = file_of(url)?;
        match path.try_exists() {
            Ok(true) => Self::open_file(url, path).await,
            Ok(false) => Err(OpenError::Missing(path)),
            Err(source) => Err(OpenError::Use { path, source: source.into() }),
        }
    }

    async fn open_file(url: &str, path: PathBuf) -> Result<Self, OpenError> {
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
        leases::notice_boot(&mut transaction, boot_id().as_deref()).await.map_err(unusable)?;
        transaction.commit().await.map_err(unusable)?;
        connection.close().await.map_err(unusable)?;

        let read_pool = connections(MAX_READERS, "").connect(url).await.map_err(unusable)?;
        let write_pool = connections(1, "").connect_lazy(url).map_err(unusable)?;
        // One to record leases, and one to try whether writing works.
        let record_pool = connections(2, RECORDER_PRAGMAS).connect_lazy(url).map_err(unusable)?;
        // One for each kind of reading: edges do not wait for those who look at pages.
        let group_pool = connections(2, "").connect_lazy(url).map_err(unusable)?;
        let turns = Turns::default();
        let records = Records::new(turns.clone());
        let lease_path = Arc::new(LeasePath {
            heard: records.heard(),
            records: Groups::start(records, record_pool.clone()),
            histories: Groups::start(Histories, group_pool.clone()),
            verdicts: Groups::start(Verdicts, group_pool.clone()),
        });
        let (uses, news) = Default::default();
        Ok(Database { read_pool, write_pool, record_pool, group_pool, turns, lease_path, uses, news })
    }

    /// For reading.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.read_pool
    }

    /// The database as the lease protocol uses it.
    pub(crate) fn ledger(&self) -> DatabaseLedger {
        DatabaseLedger::new(self.clone())
    }

    /// Begins a transaction that may write, and makes it the only such one at once. It must not alter a verdict: that
    /// takes a change of the ledger.
    pub(crate) async fn begin_write(&self) -> sqlx::Result<Write> {
        Write::begin(&self.write_pool, &self.turns).await
    }

    /// Remembers for how long, margin included, this process is going to grant leases. To be called before the first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn announce_leases(&self, lasts_ms: u64) -> sqlx::Result<()> {
        let mut write = self.begin_write().await?;
        leases::announce(write.connection(), lasts_ms).await?;
        write.commit().await
    }

    /// Has every held sync answered now, and holds none any more.
    pub fn stop_holding(&self) {
        self.news.close();
    }

    /// Waits until all connections are closed.
    pub async fn close(&self) {
        for pool in [&self.record_pool, &self.group_pool, &self.write_pool, &self.read_pool] {
            pool.close().await;
        }
    }
}

/// The database file of a URL.
fn file_of(url: &str) -> Result<PathBuf, OpenError> {
    if !url.starts_with("sqlite:") {
        return Err(OpenError::Url);
    }
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
    let path = options.get_filename().to_owned();
    if url.contains(":memory:") || url.contains("mode=memory") || path.as_os_str().is_empty() {
        return Err(OpenError::InMemory);
    }
    Ok(path)
}

/// `None` where the system does not tell.
fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string(BOOT_ID).ok()?.trim().to_owned();
    (!id.is_empty()).then_some(id)
}

async fn set_up(connection: &mut AnyConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(SQLITE_PRAGMAS).execute(connection).await?;
    Ok(())
}

/// A pool of connections that are set up, `more` for some of them.
fn connections(most: u32, more: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Connections to a file do not age. And with neither limit there is no task in sqlx that looks for old ones: it
        // counts idle connections with a number that can be below zero for a moment, and then spins for good.
        .max_lifetime(None)
        .idle_timeout(None)
        // A file does not hang up.
        .test_before_acquire(false)
        // Where a commit fails, for want of space say, SQLite ends the transaction and sqlx does not notice: every
        // later one on that connection would fail.
        .before_acquire(|connection, _| {
            let is_free = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_free) })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                set_up(connection).await?;
                sqlx::raw_sql(more).execute(connection).await?;
                Ok(())
            })
        })
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

/// Reads a column of a number that is never negative.
fn as_u64(row: &AnyRow, column: &str) -> sqlx::Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?)
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}

/// A digest as it is stored.
fn digest(hex: String) -> sqlx::Result<KeyDigest> {
    KeyDigest::try_from(hex)
        .map_err(|error| sqlx::Error::ColumnDecode { index: "digest".to_owned(), source: error.into() })
}

/// How many rows of several columns one statement inserts best: SQLite looks each parameter up by its name among all of
/// the statement, so that many together take longer than few at a time.
const ROWS_AT_ONCE: usize = 40;

/// The rows of a `VALUES` list: `($1, $2), ($3, $4)` for two rows of two columns.
fn rows_of(columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let places: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}
