//! The differences between SQLite and PostgreSQL, side by side.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::migrate::Migrator;

use super::{postgres, sqlite};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The common migrations and those for PostgreSQL alone.
static POSTGRES_MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let own = sqlx::migrate!("migrations/postgresql");
    let mut migrations: Vec<_> = MIGRATIONS.iter().chain(own.iter()).cloned().collect();
    migrations.sort_by_key(|migration| migration.version);
    let migrations = migrations.into();
    // The transaction around the migrations already has a lock.
    Migrator { migrations, locking: false, ..Migrator::DEFAULT }
});

/// The kind of a database.
#[derive(Clone)]
pub(crate) enum Kind {
    Sqlite,
    Postgres { url: Arc<str> },
}

impl Kind {
    pub(crate) fn migrations(&self) -> &'static Migrator {
        match self {
            Kind::Sqlite => &MIGRATIONS,
            Kind::Postgres { .. } => &POSTGRES_MIGRATIONS,
        }
    }

    /// The statements that set up each connection.
    pub(crate) fn set_up(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::SET_UP,
            Kind::Postgres { .. } => postgres::SET_UP,
        }
    }

    /// More statements for the connections whose commits a crash may undo.
    pub(crate) fn set_up_recorder(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::SET_UP_RECORDER,
            Kind::Postgres { .. } => postgres::SET_UP_RECORDER,
        }
    }

    /// The statement that begins a transaction that reads and then writes.
    pub(crate) fn begin_write(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::BEGIN_WRITE,
            Kind::Postgres { .. } => postgres::BEGIN_WRITE,
        }
    }

    /// The statement that begins a transaction that only writes.
    pub(crate) fn begin_record(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::BEGIN_WRITE,
            Kind::Postgres { .. } => "BEGIN",
        }
    }

    /// The id of this boot of the machine: SQLite's commits that did not wait for the disk may not survive it. `None` if
    /// the system does not report it, or if commits do not depend on it.
    pub(crate) fn boot_id(&self) -> Option<String> {
        match self {
            Kind::Sqlite => sqlite::boot_id(),
            Kind::Postgres { .. } => None,
        }
    }

    /// How often the service looks for changes of other processes. PostgreSQL notifies it as well.
    pub(crate) fn polls_every(&self) -> Duration {
        Duration::from_millis(match self {
            Kind::Sqlite => 50,
            Kind::Postgres { .. } => 250,
        })
    }
}

impl fmt::Debug for Kind {
    /// Without the URL, which may contain a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Sqlite => "Sqlite",
            Kind::Postgres { .. } => "Postgres",
        })
    }
}
