//! One change, made as the service makes it.

use leases::propagation::await_acknowledgements;
use leases::{AffectedKeys, Position, Revocation, change};

use crate::database::{Broken, Effect};
use crate::kernel::Shared;
use crate::lease_store::SimulatedLeaseStore;

/// A change that an owner wants.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(super) affected: AffectedKeys,
    pub(super) effect: Effect,
}

/// A change that has returned.
pub(super) struct Propagated {
    /// The position that it made, or the position at which its effect was already there.
    pub(super) position: Position,
    /// When the latest change that has returned with it was committed.
    pub(super) covers: u64,
    /// When the leases were last read.
    pub(super) read_at: u64,
    /// How it propagated; `None` if its effect was already there.
    pub(super) revocation: Option<Revocation>,
}

/// Makes a change as the service does.
pub(super) async fn make<W: Send + 'static>(shared: Shared<W>, intent: Intent) -> Result<Propagated, Broken> {
    let lease_store = SimulatedLeaseStore::new(&shared);
    let key = intent.effect.key();
    if let Some(id) = key {
        let (is_there, position) = lease_store.find_key(id).await?;
        if !is_there {
            // Take the time of the commit now: another change may commit before the next step.
            let covers = shared.lock().database.committed_at(&position);
            change::await_earlier_change(&lease_store, &position).await?;
            return Ok(Propagated { position, covers, read_at: lease_store.read_at(), revocation: None });
        }
    }
    let mut pending = change::begin(&lease_store, &intent.affected).await?;
    if key.is_none_or(|id| pending.change().has_key(id)) {
        pending.change().effect = Some(intent.effect);
        let position = pending.commit().await?;
        let covers = shared.lock().database.committed_at(&position);
        let revocation = Some(await_acknowledgements(&lease_store, &position, |_| {}).await?);
        return Ok(Propagated { position, covers, read_at: lease_store.read_at(), revocation });
    }
    // This change holds the lock, so whatever removed the key was committed before.
    let (covers, position) = {
        let kernel = shared.lock();
        (kernel.now, kernel.database.data.position.clone())
    };
    pending.await_earlier_change().await?;
    Ok(Propagated { position, covers, read_at: lease_store.read_at(), revocation: None })
}
