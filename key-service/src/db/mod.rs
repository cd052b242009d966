//! The database: opening it, transactions, and reading rows. Only the health check names tables of the service; each module
//! has its own SQL.
//!
//! The SQL is written once for every database through sqlx's `Any` driver. It keeps to what SQLite and PostgreSQL both
//! accept, and to BIGINT and TEXT columns, which `Any` reads alike from both. Their differences are in [`dialect`].
//! Queries name each column that they read: a statement that a running process has prepared must return the same columns
//! after a newer process has added some.

use std::time::Duration;

use const_format::formatcp;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyExecutor, AnyPool};

use crate::time::Timestamp;

pub(crate) mod batch;
pub(crate) mod dialect;
pub(crate) mod error;
pub(crate) mod filter;
mod health;
pub(crate) mod open;
pub(crate) mod postgres;
pub(crate) mod rows;
mod sqlite;
pub(crate) mod transaction;

use dialect::Kind;
pub(crate) use error::{Error, Result};
use transaction::{Turns, Write, Writer};

/// A background transaction that takes longer has lost its server.
pub(crate) const WRITE_AT_MOST: Duration = Duration::from_secs(60);

/// The database's clock, in milliseconds since 1970-01-01 UTC. It is read when the expression is evaluated: after the
/// statement began, and possibly again for each row. SQLite has the function; a migration adds it to PostgreSQL.
pub(crate) const NOW_MS: &str = "CAST(unixepoch('subsec') * 1000 AS BIGINT)";

/// The database's clock.
pub(crate) async fn now(connection: impl AnyExecutor<'_>) -> Result<Timestamp> {
    Ok(sqlx::query_scalar(formatcp!("SELECT {NOW_MS}")).fetch_one(connection).await?)
}

/// A database, and the connections to it.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) kind: Kind,
    read_pool: AnyPool,
    pub(crate) writer: Writer,
    /// For commits that a crash may undo: one connection records leases, one checks whether writing works.
    pub(crate) record_pool: AnyPool,
    /// For batches of reads, so that edges do not wait behind users of the page.
    pub(crate) batch_pool: AnyPool,
    /// For commits that may wait for a standby without delaying others.
    pub(crate) flush_pool: AnyPool,
    /// The turns of `record_pool`; on SQLite those of the writer.
    pub(crate) record_turns: Turns,
}

impl Database {
    /// The connections for reading.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.read_pool
    }

    /// A connection for several reads.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Any>> {
        Ok(self.read_pool.acquire().await?)
    }

    /// Begins a transaction that may write, and at once makes it the only one. It must not alter a verdict: that takes a
    /// change of the lease store.
    pub(crate) async fn begin_write(&self) -> Result<Write> {
        self.writer.begin().await
    }

    /// Waits until all connections are closed.
    pub async fn close(&self) {
        for pool in
            [&self.record_pool, &self.batch_pool, &self.flush_pool, &self.writer.pool, &self.read_pool]
        {
            pool.close().await;
        }
    }
}
