//! One change, made as the service makes it.

use leases::settle::settle;
use leases::{Position, Revocation, Touched, change};

use crate::database::{Broken, Effect};
use crate::kernel::Shared;
use crate::ledger::SimulatedLedger;

/// A change that somebody wants.
#[derive(Clone, Debug)]
pub struct Intent {
    pub(super) touched: Touched,
    pub(super) effect: Effect,
}

/// A change that was answered.
pub(super) struct Settled {
    /// The place that it made, or that the history was at when it was found to be made.
    pub(super) position: Position,
    /// When the last change was committed that is in force with this one.
    pub(super) covers: u64,
    /// When the leases were read last.
    pub(super) read_at: u64,
    /// How it came into force, if it was not found to be so already.
    pub(super) revocation: Option<Revocation>,
}

/// Makes a change, as the service does.
pub(super) async fn make<W: Send + 'static>(shared: Shared<W>, intent: Intent) -> Result<Settled, Broken> {
    let ledger = SimulatedLedger::new(&shared);
    let key = intent.effect.key();
    if let Some(id) = key {
        let (is_there, position) = ledger.find_key(id).await?;
        if !is_there {
            // Another change may be committed at the same moment, after this reading.
            let covers = shared.lock().database.committed_at(&position);
            change::already_so(&ledger, &position).await?;
            return Ok(Settled { position, covers, read_at: ledger.read_at(), revocation: None });
        }
    }
    let mut begun = change::begin(&ledger, &intent.touched).await?;
    if key.is_none_or(|id| begun.change().has_key(id)) {
        begun.change().effect = Some(intent.effect);
        let position = begun.commit().await?;
        let covers = shared.lock().database.committed_at(&position);
        let revocation = Some(settle(&ledger, &position, |_| {}).await?);
        return Ok(Settled { position, covers, read_at: ledger.read_at(), revocation });
    }
    // It has the lock, so whatever made it so was committed before.
    let (covers, position) = {
        let kernel = shared.lock();
        (kernel.now, kernel.database.data.position.clone())
    };
    begun.already_so().await?;
    Ok(Settled { position, covers, read_at: ledger.read_at(), revocation: None })
}
