//! Transactions that may write: one at a time, first come, first served.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// For how long the outcome of a write tells whether writing works.
const TELLS_FOR: Duration = Duration::from_secs(1);

/// The right to write, of which a process has one. Whoever finds SQLite's own lock taken sleeps, up to a tenth of a
/// second at a time, and has no place in a queue; and whoever waits for PostgreSQL's has a connection meanwhile. So only
/// other processes shall meet there.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    right: Arc<Mutex<()>>,
    /// When somebody last wrote, or could not.
    last: Arc<std::sync::Mutex<Option<(Instant, bool)>>>,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    pub(super) async fn take(&self) -> Turn {
        Turn { turns: self.clone(), _guard: self.right.clone().lock_owned().await }
    }

    /// Whether writing works, if that was seen just now.
    pub(super) fn work(&self) -> Option<bool> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(at, _)| at.elapsed() < TELLS_FOR).map(|(_, worked)| worked)
    }

    /// Remembers whether a write worked.
    pub(super) fn note(&self, worked: bool) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), worked));
    }
}

impl Turn {
    /// Remembers whether the write of this turn worked.
    pub(super) fn note(&self, worked: bool) {
        self.turns.note(worked);
    }
}

/// Begins a transaction, also if nobody waits for that any more, and then rolls it back. Otherwise sqlx would take a
/// connection back whose server has begun a transaction that sqlx knows nothing of, and nothing that is written there
/// later would ever be committed.
pub(super) async fn begin_whole(
    pool: &AnyPool,
    begin: &'static str,
) -> sqlx::Result<Transaction<'static, Any>> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(begin).await });
    // Nobody aborts the task.
    begun.await.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?
}

/// A transaction that may write. Dropped before [`Write::commit`], it leaves no trace.
#[derive(Debug)]
pub(crate) struct Write {
    // In this order: the transaction ends before the turn does.
    transaction: Transaction<'static, Any>,
    turn: Turn,
}

impl Write {
    /// Begins one, and makes it the only such one at once.
    pub(super) async fn begin(pool: &AnyPool, begin: &'static str, turns: &Turns) -> sqlx::Result<Self> {
        let turn = turns.take().await;
        let begun = begin_whole(pool, begin).await;
        let transaction = begun.inspect_err(|_| turn.note(false))?;
        Ok(Write { transaction, turn })
    }

    /// Where its statements run.
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        let done = self.transaction.commit().await;
        self.turn.note(done.is_ok());
        done
    }

    pub(crate) async fn rollback(self) -> sqlx::Result<()> {
        self.transaction.rollback().await
    }
}
