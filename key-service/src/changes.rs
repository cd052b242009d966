//! The one way to write what can alter a verdict: under the revision lock, in the order of revisions.

use sqlx::{Any, AnyConnection, Transaction};

use crate::store::{Database, revision};

/// A change that has begun: the revision is raised, and no other change can begin until this one ends. Dropped
/// without [`Change::commit`], it leaves no trace.
///
/// The store's functions that can alter a verdict ask for a `Change`, so none of them can run outside one.
#[derive(Debug)]
pub struct Change {
    transaction: Transaction<'static, Any>,
    revision: i64,
}

/// The evidence that a change is in force at the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision that the change made.
    pub revision: i64,
}

impl Change {
    /// Takes the revision lock, before anything that the change depends on is read.
    ///
    /// # Errors
    /// The database failed, or another change held the lock for too long.
    pub async fn begin(database: &Database) -> sqlx::Result<Self> {
        let mut transaction = database.begin_write().await?;
        let revision = revision::raise(&mut *transaction).await?;
        Ok(Change { transaction, revision })
    }

    /// Puts the change in force: every verdict given from now on contains it.
    ///
    /// # Errors
    /// The database failed; whether the change is in force is then unknown.
    pub async fn commit(self) -> sqlx::Result<Committed> {
        self.transaction.commit().await?;
        Ok(Committed { revision: self.revision })
    }

    /// Where the change's statements run.
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}
