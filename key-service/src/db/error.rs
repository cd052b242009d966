//! Why a database cannot be opened.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

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
