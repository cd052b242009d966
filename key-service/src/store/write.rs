//! Transactions that may write: one at a time, first come, first served.

use std::sync::Arc;

use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// On SQLite a transaction that reads first and writes later fails when another one wrote in between.
pub(super) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// The right to write, of which a process has one. Whoever finds SQLite's own lock taken sleeps, up to a tenth of a
/// second at a time, and has no place in a queue; so only other processes shall meet there.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<()>>);

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    pub(super) async fn take(&self) -> Turn {
        Turn { _guard: self.0.clone().lock_owned().await }
    }
}

/// A transaction that may write. Dropped before [`Write::commit`], it leaves no trace.
#[derive(Debug)]
pub(crate) struct Write {
    // In this order: the transaction ends before the turn does.
    transaction: Transaction<'static, Any>,
    _turn: Turn,
}

impl Write {
    /// Begins one, and makes it the only such one at once.
    pub(super) async fn begin(pool: &AnyPool, turns: &Turns) -> sqlx::Result<Self> {
        let turn = turns.take().await;
        Ok(Write { transaction: pool.begin_with(BEGIN_WRITE).await?, _turn: turn })
    }

    /// Where its statements run.
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        self.transaction.commit().await
    }

    pub(crate) async fn rollback(self) -> sqlx::Result<()> {
        self.transaction.rollback().await
    }
}
