//! What can go wrong with a database.

use std::path::PathBuf;
use std::sync::Arc;

use sqlx::error::BoxDynError;
use sqlx::migrate::MigrateError;

/// What a function of the database returns.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There was no answer in time, or no connection was free.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The connections are closed, because the service stops.
    #[error("the database is closed")]
    Closed,
    /// The server is a standby, which may lag behind its primary.
    #[error("the server is a standby; name the primary")]
    Standby,
    /// A text has U+0000, which PostgreSQL cannot store.
    #[error("a text has the character U+0000")]
    Nul,
    /// A failover or a restore has begun another epoch.
    #[error("the database has begun another epoch")]
    EpochReplaced,
    /// Another process has announced shorter leases than the one to record.
    #[error("another process has lowered the lease limit")]
    LeaseLimitLowered,
    /// A row is missing that every database has.
    #[error("the table {0} lacks its row")]
    Missing(&'static str),
    /// A new key has the digest of a key that is stored already.
    #[error("the digest of a new key is already stored")]
    DigestTaken,
    /// A stored value does not have the form that the service writes.
    #[error("cannot read the column {column}: {source}")]
    Unreadable {
        /// The column.
        column: String,
        /// Why the value cannot be read.
        source: BoxDynError,
    },
    /// A value has no JSON form to store.
    #[error("cannot store a value: {0}")]
    Unstorable(#[from] serde_json::Error),
    /// The batch of the operation failed; its operations share the error.
    #[error(transparent)]
    Batch(Arc<Error>),
    /// Anything else, as the driver reports it.
    #[error(transparent)]
    Driver(sqlx::Error),
}

/// PostgreSQL's code for a text with U+0000: `character_not_in_repertoire`.
const NO_SUCH_CHARACTER: &str = "22021";

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Error::TimedOut,
            sqlx::Error::PoolClosed => Error::Closed,
            sqlx::Error::ColumnDecode { index, source } => Error::Unreadable { column: index, source },
            sqlx::Error::Database(error) if error.code().as_deref() == Some(NO_SUCH_CHARACTER) => Error::Nul,
            // What a hook of the pool has returned.
            sqlx::Error::Configuration(source) => match source.downcast::<Error>() {
                Ok(error) => *error,
                Err(source) => Error::Driver(sqlx::Error::Configuration(source)),
            },
            error => Error::Driver(error),
        }
    }
}

impl Error {
    /// The form in which hooks of the pool return errors.
    pub(super) fn for_pool(self) -> sqlx::Error {
        match self {
            Error::Driver(error) => error,
            error => sqlx::Error::Configuration(error.into()),
        }
    }
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
    /// There is no file or no table, and this command creates none.
    #[error("--database-url (DATABASE_URL): there is no database {0}")]
    Missing(String),
    /// The file is missing and cannot be created.
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
        source: Error,
    },
    /// The system does not say whether the file exists.
    #[error("--database-url (DATABASE_URL): cannot use {}: {source}", path.display())]
    Access {
        /// The database file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_hook_comes_back_through_the_pool() {
        assert!(matches!(Error::from(Error::Standby.for_pool()), Error::Standby));
        assert!(matches!(Error::from(Error::TimedOut.for_pool()), Error::TimedOut));
        let other = Error::from(Error::Driver(sqlx::Error::RowNotFound).for_pool());
        assert!(matches!(other, Error::Driver(sqlx::Error::RowNotFound)));
        let configuration = sqlx::Error::Configuration("a text".into());
        assert!(matches!(Error::from(configuration), Error::Driver(sqlx::Error::Configuration(_))));
    }

    #[test]
    fn an_unreadable_value_is_named_by_its_column() {
        let error = sqlx::Error::ColumnDecode { index: "scopes".to_owned(), source: "no scope".into() };
        assert_eq!(Error::from(error).to_string(), "cannot read the column scopes: no scope");
    }
}
