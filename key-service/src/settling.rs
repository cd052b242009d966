//! A change on its way into force: committed, and waiting for the edges.

use crate::leases::settle::settle;
use crate::leases::{Position, Progress, Revocation};
use crate::metrics::METRICS;
use crate::store::Database;

/// A change that is committed. It is in force everywhere when [`Settling::settled`] returns, and not before.
#[derive(Debug)]
#[must_use = "a change is in force only when it has settled"]
pub struct Settling {
    database: Database,
    position: Position,
}

/// The database failed while edges were still to hear of a change. The change itself is made.
#[derive(Debug, thiserror::Error)]
#[error("the change is made, but not known to be in force everywhere: the database failed: {0}")]
pub struct Unsettled(#[from] sqlx::Error);

impl Settling {
    pub(crate) fn new(database: &Database, position: Position) -> Self {
        Settling { database: database.clone(), position }
    }

    /// Waits until no edge answers from what it knew before: one lease and its margin at most.
    ///
    /// # Errors
    /// See [`Unsettled`].
    pub async fn settled(self) -> Result<Revocation, Unsettled> {
        self.watched(|_| {}).await
    }

    /// The same, and tells how far it has come each time that it has to wait: up to fifty times a second.
    ///
    /// # Errors
    /// As [`Settling::settled`].
    pub async fn watched(self, watcher: impl FnMut(&Progress) + Send) -> Result<Revocation, Unsettled> {
        let revocation = settle(&self.database.ledger(), &self.position, watcher).await?;
        METRICS.revoked(&revocation);
        Ok(revocation)
    }
}
