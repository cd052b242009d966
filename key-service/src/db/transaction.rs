//! Transactions that may write: one at a time, in the order of their requests.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::error::{Error, Result};
use crate::time::monotonic_now;

/// A request that cannot get a connection in this time fails.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the outcome of the last write shows whether writing works.
const TELLS_FOR: Duration = Duration::from_secs(1);

/// The right to write, of which a process has one. SQLite's own lock has no queue: a writer that finds it taken sleeps up
/// to a tenth of a second at a time. Waiting for PostgreSQL's lock occupies a connection. So within a process, writers wait
/// here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    right: Arc<Mutex<()>>,
    /// The time of the last write, and whether it succeeded.
    last: Arc<std::sync::Mutex<Option<(Instant, bool)>>>,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    pub(crate) async fn take(&self) -> Turn {
        Turn { turns: self.clone(), _guard: self.right.clone().lock_owned().await }
    }

    /// Whether writing works, if a recent write shows it.
    pub(crate) fn work(&self) -> Option<bool> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(at, _)| monotonic_now() - *at < TELLS_FOR).map(|(_, worked)| worked)
    }

    /// Remembers whether a write worked.
    pub(crate) fn note(&self, worked: bool) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((monotonic_now(), worked));
    }
}

impl Turn {
    /// Remembers whether the write of this turn worked.
    pub(crate) fn note(&self, worked: bool) {
        self.turns.note(worked);
    }
}

/// A transaction; dropping it rolls it back. Its connection returns to the pool only if the transaction has ended properly.
/// If its start was cancelled or failed half-way, the server may still be inside it without sqlx noticing, and later writes
/// on the connection would never be committed. Nor would sqlx notice that the server no longer answers.
#[derive(Debug)]
pub(crate) struct Transaction {
    connection: PoolConnection<Any>,
    has_ended: bool,
}

impl Transaction {
    pub(crate) async fn begin(pool: &AnyPool, begin: &'static str) -> Result<Self> {
        let mut transaction = Transaction { connection: pool.acquire().await?, has_ended: false };
        within(BEGIN_AT_MOST, sqlx::raw_sql(begin).execute(transaction.connection())).await?;
        Ok(transaction)
    }

    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }

    pub(crate) async fn commit(self) -> Result<()> {
        self.end("COMMIT").await
    }

    pub(crate) async fn rollback(self) -> Result<()> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<()> {
        within(END_AT_MOST, sqlx::raw_sql(statement).execute(self.connection())).await?;
        self.has_ended = true;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.has_ended {
            self.connection.close_on_drop();
        }
    }
}

/// A start that takes longer has lost its server: the server's own timeout for locks is shorter.
const BEGIN_AT_MOST: Duration = Duration::from_secs(10);

/// A commit may wait for a standby.
pub(crate) const END_AT_MOST: Duration = Duration::from_secs(35);

/// Runs work with a timeout.
pub(crate) async fn within<T, E>(at_most: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T>
where
    Error: From<E>,
{
    Ok(tokio::time::timeout(at_most, work).await.map_err(|_| Error::TimedOut)??)
}

/// Begins transactions that may write, on a connection of their own, so that no write waits behind reads.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) pool: AnyPool,
    pub(crate) begin: &'static str,
    pub(crate) turns: Turns,
}

impl Writer {
    /// Begins a transaction, and at once makes it the only one that may write.
    pub(crate) async fn begin(&self) -> Result<Write> {
        let turn = within(ACQUIRE_TIMEOUT, async { Ok::<_, Error>(self.turns.take().await) }).await?;
        let begun = Transaction::begin(&self.pool, self.begin).await;
        let transaction = begun.inspect_err(|_| turn.note(false))?;
        Ok(Write { transaction, turn })
    }
}

/// A transaction that may write, the only one of the process. Dropping it before [`Write::commit`] rolls it back.
#[derive(Debug)]
pub(crate) struct Write {
    // In this order: the transaction ends before the turn does.
    transaction: Transaction,
    turn: Turn,
}

impl Write {
    /// The connection for the transaction's statements.
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        self.transaction.connection()
    }

    pub(crate) async fn commit(self) -> Result<()> {
        let done = self.transaction.commit().await;
        self.turn.note(done.is_ok());
        done
    }

    pub(crate) async fn rollback(self) -> Result<()> {
        self.transaction.rollback().await
    }
}
