//! What SQLite and PostgreSQL each need of their own, side by side.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::migrate::Migrator;

use super::{postgres, sqlite};

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

    /// What every connection is set up with.
    pub(crate) fn set_up(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::SET_UP,
            Kind::Postgres { .. } => postgres::SET_UP,
        }
    }

    /// And what is set besides for what a crash may undo.
    pub(crate) fn set_up_recorder(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::SET_UP_RECORDER,
            Kind::Postgres { .. } => postgres::SET_UP_RECORDER,
        }
    }

    /// Begins a transaction that reads and then writes.
    pub(crate) fn begin_write(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::BEGIN_WRITE,
            Kind::Postgres { .. } => postgres::BEGIN_WRITE,
        }
    }

    /// Begins a transaction that only writes.
    pub(crate) fn begin_record(&self) -> &'static str {
        match self {
            Kind::Sqlite => sqlite::BEGIN_WRITE,
            Kind::Postgres { .. } => "BEGIN",
        }
    }

    /// Names this run of the machine, which SQLite's commits that did not wait for the disk may not outlive; `None` where
    /// the system does not tell, or commits do not depend on it.
    pub(crate) fn boot_id(&self) -> Option<String> {
        match self {
            Kind::Sqlite => sqlite::boot_id(),
            Kind::Postgres { .. } => None,
        }
    }

    /// How long a change that another process made can go unnoticed. PostgreSQL tells of it as well.
    pub(crate) fn polls_every(&self) -> Duration {
        Duration::from_millis(match self {
            Kind::Sqlite => 50,
            Kind::Postgres { .. } => 250,
        })
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
