//! The database: opening it, and all SQL, written once for every database through sqlx's `Any` driver.
//!
//! The SQL keeps to what SQLite and PostgreSQL both accept, and to BIGINT and TEXT columns, which `Any` reads
//! alike from both. What each has of its own is in `sqlite` and `postgres`. What is read is named column by column: a
//! statement that a running process has prepared must give the same ones after a newer one has added some.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use protocol::{KeyDigest, ScopeSet};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection, Row};

pub(crate) mod audit;
pub(crate) mod backup;
mod filter;
mod groups;
mod health;
pub(crate) mod keys;
mod lease_limit;
pub(crate) mod leases;
mod ledger;
pub(crate) mod links;
pub(crate) mod management_tokens;
pub(crate) mod news;
mod postgres;
mod restore;
pub(crate) mod revision;
pub(crate) mod sessions;
mod sqlite;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod transfer;
pub(crate) mod upkeep;
pub(crate) mod users;
pub(crate) mod uses;
pub(crate) mod verdicts;
pub(crate) mod webhooks;
mod write;

use groups::Groups;
use groups::histories::Histories;
use groups::holders::Holders;
use groups::records::{Heard, Records};
use groups::secured::Secured;
use groups::verdicts::Verdicts;
use lease_limit::Announced;
pub(crate) use ledger::Change;
pub use ledger::DatabaseLedger;
use news::News;
use uses::Uses;
pub(crate) use write::Write;
use write::{Turns, Writer, within};

/// How many connections a process keeps for reading at most.
const MAX_READERS: u32 = 8;

/// A request that cannot get a connection in this time fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that has been free for longer than this may be dead, if there is a network between.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// A server that has not answered by then is gone.
const PING_AT_MOST: Duration = Duration::from_secs(2);

/// A transaction in the background that takes longer has lost its server.
const WRITE_AT_MOST: Duration = Duration::from_secs(60);

/// The database's clock, in milliseconds since 1970-01-01 UTC, read when the expression is evaluated: after the
/// statement began, and maybe anew for each row. SQLite has the function, and the migrations give it to PostgreSQL.
const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS BIGINT)";

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The same, and then those that PostgreSQL alone has.
static POSTGRES_MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let own = sqlx::migrate!("migrations/postgresql");
    let mut migrations: Vec<_> = MIGRATIONS.iter().chain(own.iter()).cloned().collect();
    migrations.sort_by_key(|migration| migration.version);
    let migrations = migrations.into();
    // The transaction around them has a lock already.
    Migrator { migrations, locking: false, ..Migrator::DEFAULT }
});

/// What database it is.
#[derive(Clone)]
enum Kind {
    Sqlite,
    Postgres { url: Arc<str> },
}

impl Kind {
    fn migrations(&self) -> &'static Migrator {
        match self {
            Kind::Sqlite => &MIGRATIONS,
            Kind::Postgres { .. } => &POSTGRES_MIGRATIONS,
        }
    }

    /// What every connection is set up with.
    fn set_up(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::SET_UP,
            Kind::Postgres { .. } => postgres::SET_UP,
        }
    }

    /// And what is set besides for what a crash may undo.
    fn set_up_recorder(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::SET_UP_RECORDER,
            Kind::Postgres { .. } => postgres::SET_UP_RECORDER,
        }
    }

    /// Begins a transaction that reads and then writes.
    fn begin_write(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::BEGIN_WRITE,
            Kind::Postgres { .. } => postgres::BEGIN_WRITE,
        }
    }

    /// Begins a transaction that only writes.
    fn begin_record(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::BEGIN_WRITE,
            Kind::Postgres { .. } => "BEGIN",
        }
    }

    /// How long a change that another process made can go unnoticed. PostgreSQL tells of it as well.
    fn polls_every(&self) -> Duration {
        Duration::from_millis(match self {
            Kind::Sqlite => 50,
            Kind::Postgres { .. } => 250,
        })
    }

    /// Notices what may have been lost since the database was last used.
    async fn notice_loss(&self, connection: &mut AnyConnection, announced: &Announced) -> sqlx::Result<()> {
        match self {
            Kind::Sqlite => Ok(()),
            Kind::Postgres { .. } => {
                postgres::require_primary(connection).await?;
                postgres::notice_loss(connection, announced).await
            }
        }
    }
}

impl fmt::Debug for Kind {
    /// Without the URL: a password may be in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Sqlite => "Sqlite",
            Kind::Postgres { .. } => "Postgres",
        })
    }
}

/// The accounts, the keys and the leases in a database.
#[derive(Clone, Debug)]
pub struct Database {
    kind: Kind,
    read_pool: AnyPool,
    writer: Writer,
    record_pool: AnyPool,
    group_pool: AnyPool,
    secure_pool: AnyPool,
    /// Of those who record leases; on SQLite the writer's.
    record_turns: Turns,
    announced: Arc<Announced>,
    lease_path: Arc<LeasePath>,
    uses: Arc<Uses>,
    news: Arc<News>,
}

/// What edges ask all the time, and changes that wait for them.
#[derive(Debug)]
struct LeasePath {
    records: Groups<Records>,
    heard: Heard,
    histories: Groups<Histories>,
    holders: Groups<Holders>,
    secured: Groups<Secured>,
    verdicts: Groups<Verdicts>,
}

/// Why a database could not be opened. The texts name the setting's flag and variable.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is of a database that this service does not know.
    #[error(
        "--database-url (DATABASE_URL): neither a SQLite nor a PostgreSQL URL; write sqlite:path/to/file.db or \
         postgres://user@host/database"
    )]
    Url,
    /// The URL is not what PostgreSQL URLs are.
    #[error("--database-url (DATABASE_URL): not a PostgreSQL URL: {0}")]
    PostgresUrl(String),
    /// A file that the URL names cannot be read.
    #[error("--database-url (DATABASE_URL): {parameter}: cannot read {path}: {source}")]
    Unreadable {
        /// The URL's parameter.
        parameter: String,
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The URL names no file.
    #[error("--database-url (DATABASE_URL): a database in memory would forget its keys; name a file")]
    InMemory,
    /// There is no file, or no table, and this command does not make any.
    #[error("--database-url (DATABASE_URL): there is no database {0}")]
    Missing(String),
    /// The file is missing and cannot be made.
    #[error("--database-url (DATABASE_URL): cannot create {}: {source}", path.display())]
    Create {
        /// The database file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is there and cannot be used, or does not answer.
    #[error("--database-url (DATABASE_URL): cannot use {database}: {source}")]
    Use {
        /// The file, or the server and its database.
        database: String,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The tables are of a release that this one does not know.
    #[error(
        "--database-url (DATABASE_URL): {database} belongs to a newer release of the key service: it has migration {version}"
    )]
    Newer {
        /// The file, or the server and its database.
        database: String,
        /// A migration that is not this release's.
        version: i64,
    },
    /// The tables could not be brought up to date.
    #[error("--database-url (DATABASE_URL): cannot migrate {database}: {source}")]
    Migrate {
        /// The file, or the server and its database.
        database: String,
        /// What the migration said.
        source: MigrateError,
    },
}

impl Database {
    /// Opens the database of a `sqlite:` or `postgres:` URL, and brings its tables up to date. A SQLite file is made if
    /// there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        if is_postgres(url) {
            return Self::open_postgres(url).await;
        }
        let path = sqlite_file(url)?;
        sqlite::create_private(&path).map_err(|source| OpenError::Create { path: path.clone(), source })?;
        Self::connect(Kind::Sqlite, url, path.display().to_string()).await
    }

    /// The same, but nothing is made: without a file or a table there is no database.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_existing(url: &str) -> Result<Self, OpenError> {
        if is_postgres(url) {
            let database = postgres::place_of(url)?;
            return match postgres::is_empty(url).await {
                Ok(false) => Self::open_postgres(url).await,
                Ok(true) => Err(OpenError::Missing(format!("of the key service in {database}"))),
                Err(source) => Err(OpenError::Use { database, source }),
            };
        }
        let path = sqlite_file(url)?;
        let database = path.display().to_string();
        match path.try_exists() {
            Ok(true) => Self::connect(Kind::Sqlite, url, database).await,
            Ok(false) => Err(OpenError::Missing(database)),
            Err(source) => Err(OpenError::Use { database, source: source.into() }),
        }
    }

    async fn open_postgres(url: &str) -> Result<Self, OpenError> {
        let database = postgres::place_of(url)?;
        Self::connect(Kind::Postgres { url: url.into() }, url, database).await
    }

    async fn connect(kind: Kind, url: &str, database: String) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let unusable = |source| OpenError::Use { database: database.clone(), source };
        // On a connection of its own: a pool would try again and again, and then say only that time ran out.
        let mut connection = AnyConnection::connect(url).await.map_err(unusable)?;
        sqlx::raw_sql(kind.set_up()).execute(&mut connection).await.map_err(unusable)?;
        if let Kind::Postgres { .. } = kind {
            sqlx::raw_sql(postgres::SET_UP_MIGRATION).execute(&mut connection).await.map_err(unusable)?;
            postgres::require_primary(&mut connection).await.map_err(unusable)?;
        }
        // One transaction around all migrations: processes that start together take turns.
        let mut transaction = connection.begin_with(kind.begin_write()).await.map_err(unusable)?;
        kind.migrations()
            .run(&mut *transaction)
            .await
            .map_err(|source| unmigrated(database.clone(), source))?;
        revision::start_log(&mut *transaction).await.map_err(unusable)?;
        if let Kind::Sqlite = kind {
            leases::notice_boot(&mut transaction, sqlite::boot_id().as_deref()).await.map_err(unusable)?;
        }
        transaction.commit().await.map_err(unusable)?;
        let announced = Arc::<Announced>::default();
        kind.notice_loss(&mut connection, &announced).await.map_err(unusable)?;
        connection.close().await.map_err(unusable)?;

        let pool =
            |most, more| connections(&kind, &announced, most, more).connect_lazy(url).map_err(unusable);
        let read_pool = pool(MAX_READERS, "")?;
        let writer = Writer { pool: pool(1, "")?, begin: kind.begin_write(), turns: Turns::default() };
        // One to record leases, and one to try whether writing works.
        let record_pool = pool(2, kind.set_up_recorder())?;
        // One for each kind of reading: edges do not wait for those who look at pages.
        let group_pool = pool(3, "")?;
        // Its commits may wait for a standby, and nobody else waits for those.
        let secure_pool = pool(1, "")?;
        // On SQLite whoever writes takes a turn; on PostgreSQL leases are recorded while others write.
        let record_turns = match kind {
            Kind::Sqlite => writer.turns.clone(),
            Kind::Postgres { .. } => Turns::default(),
        };
        let records = Records::new(record_turns.clone(), writer.clone(), Arc::clone(&announced));
        let lease_path = Arc::new(LeasePath {
            heard: records.heard(),
            records: Groups::start(records, record_pool.clone()),
            histories: Groups::start(Histories, group_pool.clone()),
            holders: Groups::start(Holders, group_pool.clone()),
            secured: Groups::start(Secured, secure_pool.clone()),
            verdicts: Groups::start(Verdicts, group_pool.clone()),
        });
        let (uses, news) = Default::default();
        Ok(Database {
            kind,
            read_pool,
            writer,
            record_pool,
            group_pool,
            secure_pool,
            record_turns,
            announced,
            lease_path,
            uses,
            news,
        })
    }

    /// For reading.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.read_pool
    }

    /// The database as the lease protocol uses it.
    pub fn ledger(&self) -> DatabaseLedger {
        DatabaseLedger::new(self.clone())
    }

    /// Begins a transaction that may write, and makes it the only such one at once. It must not alter a verdict: that
    /// takes a change of the ledger.
    pub(crate) async fn begin_write(&self) -> sqlx::Result<Write> {
        self.writer.begin().await
    }

    /// Remembers for how long, margin included, this process is going to grant leases. To be called before the first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn announce_leases(&self, lasts_ms: u64) -> sqlx::Result<()> {
        self.announced.announce(&self.writer, lasts_ms).await
    }

    /// Lowers how long leases may be, and how long they are waited for after a loss, one step towards what this process
    /// grants; and ends in time what a clock that was set back would keep for too long. The service does so each minute.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lower_lease_bounds(&self) -> sqlx::Result<()> {
        let mut write = self.begin_write().await?;
        leases::bring_loss_forward(write.connection()).await?;
        if let Some(lasts_ms) = self.announced.lasts_ms() {
            lease_limit::lower(write.connection(), lasts_ms).await?;
        }
        write.commit().await
    }

    /// Has every held sync answered now, and holds none any more.
    pub fn stop_holding(&self) {
        self.news.close();
    }

    /// Waits until all connections are closed.
    pub async fn close(&self) {
        for pool in
            [&self.record_pool, &self.group_pool, &self.secure_pool, &self.writer.pool, &self.read_pool]
        {
            pool.close().await;
        }
    }
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
fn connections(kind: &Kind, announced: &Arc<Announced>, most: u32, more: &'static str) -> AnyPoolOptions {
    let (new, is_remote) = (kind.clone(), matches!(kind, Kind::Postgres { .. }));
    let announced = Arc::clone(announced);
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
                    Err(sqlx::Error::PoolTimedOut)
                } else {
                    Ok(true)
                }
            })
        })
        .after_connect(move |connection, _| {
            let (kind, announced) = (new.clone(), Arc::clone(&announced));
            Box::pin(async move {
                sqlx::raw_sql(kind.set_up()).execute(&mut *connection).await?;
                // What this writes must survive a crash, so it comes before `more` allows that it does not.
                kind.notice_loss(&mut *connection, &announced).await?;
                sqlx::raw_sql(more).execute(connection).await?;
                Ok(())
            })
        })
}

/// Whether the server answers on a connection, within a while.
async fn answers(connection: &mut AnyConnection) -> bool {
    within(PING_AT_MOST, connection.ping()).await.is_ok()
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
