//! Makes a change that can alter a verdict: under the revision lock, and written into the history.

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

/// Takes the revision lock, then reads what the change affects: so nothing can be added to it in between. Rule `LockFirst`.
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
    /// Where the change's own statements run.
    pub fn change(&mut self) -> &mut L::Change<'l> {
        &mut self.change
    }

    /// Commits, and returns the place that this made. The change is in force everywhere when [`await_acknowledgements`] of that place
    /// returns.
    ///
    /// # Errors
    /// The database failed. Whether the change is made is then unknown; making it again tells.
    pub async fn commit(self) -> Result<Position, L::Error> {
        self.change.commit(&self.affected).await
    }

    /// Ends without a trace, and returns the place there was before. What made things as they are survives what a change
    /// survives, and is in force everywhere when [`await_acknowledgements`] of that place returns.
    ///
    /// # Errors
    /// The database failed.
    pub async fn abandon(self) -> Result<Position, L::Error> {
        let position = self.change.abandon().await?;
        // It can be read before a standby has it: where its client gave up while it waited for that.
        self.store.secure().await?;
        Ok(position)
    }

    /// Ends without a trace because what was to be changed is so already, and waits until whatever made it so is in
    /// force everywhere, as if it had just been done.
    ///
    /// # Errors
    /// The database failed.
    pub async fn already_so(self) -> Result<(), L::Error> {
        let store = self.store;
        let position = self.abandon().await?;
        await_found(store, &position).await
    }
}

/// Waits until what was found at a place, in one snapshot with it, survives what a change survives and is in force
/// everywhere, as if it had just been done. It takes no lock: finding nothing holds nobody up.
///
/// # Errors
/// The database failed.
pub async fn already_so<L: LeaseStore>(store: &L, position: &Position) -> Result<(), L::Error> {
    store.secure().await?;
    await_found(store, position).await
}

/// Rule `RepeatedDeleteWaits`.
async fn await_found<L: LeaseStore>(store: &L, position: &Position) -> Result<(), L::Error> {
    await_acknowledgements(store, position, |_| {}).await?;
    Ok(())
}
