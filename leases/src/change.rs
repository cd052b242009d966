//! Makes a change that can alter a verdict: under the revision lock, and recorded in the history.

use protocol::KeyDigest;

use super::propagation::await_acknowledgements;
use super::{AffectedKeys, Change, LeaseStore, Position};

/// A change that has begun, and the keys that it affects.
#[derive(Debug)]
pub struct PendingChange<'l, L: LeaseStore> {
    store: &'l L,
    change: L::Change<'l>,
    affected: Vec<KeyDigest>,
}

/// Takes the revision lock, then reads which digests the change affects, so that no digest is added in between. Rule
/// `LockFirst`.
///
/// # Errors
/// The database failed.
pub async fn begin<'l, L: LeaseStore>(
    store: &'l L,
    affected: &AffectedKeys,
) -> Result<PendingChange<'l, L>, L::Error> {
    let mut change = store.begin().await?;
    let digests = change.digests(affected).await?;
    Ok(PendingChange { store, change, affected: digests })
}

impl<'l, L: LeaseStore> PendingChange<'l, L> {
    /// The change, for its own statements.
    pub fn change(&mut self) -> &mut L::Change<'l> {
        &mut self.change
    }

    /// Commits, and returns the position that the change made. Every edge has the change when [`await_acknowledgements`] of
    /// that position returns.
    ///
    /// # Errors
    /// The database failed. The change may be committed or not; repeat it to find out.
    pub async fn commit(self) -> Result<Position, L::Error> {
        self.change.commit(&self.affected).await
    }

    /// Rolls back, and returns the position before the change. Everything up to that position is as durable as a committed
    /// change. Every edge has it when [`await_acknowledgements`] of that position returns.
    ///
    /// # Errors
    /// The database failed.
    pub async fn abandon(self) -> Result<Position, L::Error> {
        let position = self.change.abandon().await?;
        // A change can be read before a standby has it, if its client gave up waiting for the standby.
        self.store.flush().await?;
        Ok(position)
    }

    /// Rolls back because an earlier change had the same effect. Then waits for that change, see [`await_earlier_change`].
    ///
    /// # Errors
    /// The database failed.
    pub async fn await_earlier_change(self) -> Result<(), L::Error> {
        let position = self.change.abandon().await?;
        await_earlier_change(self.store, &position).await
    }
}

/// Waits until everything up to a position is durable and every edge has it, so that a repeated change gives the same promise
/// as the first. It takes no lock.
///
/// # Errors
/// The database failed.
pub async fn await_earlier_change<L: LeaseStore>(store: &L, position: &Position) -> Result<(), L::Error> {
    store.flush().await?;
    // Rule `RepeatedDeleteWaits`.
    await_acknowledgements(store, position, |_| {}).await?;
    Ok(())
}
