//! Records leases in batches, and passes their acknowledgements to the changes of this process that wait for them.

use std::sync::Arc;

use ::leases::{Acknowledgement, LeaseRenewal, Position};
use sqlx::{AnyConnection, Connection};
use tokio::sync::broadcast;

use crate::db;
use crate::db::batch::BatchOp;
use crate::db::transaction::{Turns, Writer};
use crate::revocation::lease_limit::Announced;
use crate::revocation::{leases, revision};

/// The number of batches that are kept for slow receivers.
const KEPT_BATCHES: usize = 64;

/// Sends the acknowledgements of each batch.
pub(in crate::revocation) type AcknowledgementSender = broadcast::Sender<Arc<[Acknowledgement]>>;

/// Records leases.
#[derive(Debug)]
pub(in crate::revocation) struct Records {
    turns: Turns,
    writer: Writer,
    announced: Arc<Announced>,
    acknowledgements: AcknowledgementSender,
}

impl Records {
    /// `turns` orders the records among other writes. `writer` writes announcements of the lease length.
    pub(in crate::revocation) fn new(turns: Turns, writer: Writer, announced: Arc<Announced>) -> Self {
        Records { turns, writer, announced, acknowledgements: broadcast::Sender::new(KEPT_BATCHES) }
    }

    /// The sender of the acknowledgements that come with the leases.
    pub(in crate::revocation) fn acknowledgements(&self) -> AcknowledgementSender {
        self.acknowledgements.clone()
    }

    /// Records leases. Returns `false`, and records none, if one is longer than the limit.
    async fn write(&self, connection: &mut AnyConnection, renewals: &[LeaseRenewal]) -> db::Result<bool> {
        let turn = self.turns.take().await;
        let written = write(connection, renewals).await;
        turn.note(written.is_ok());
        written
    }
}

impl BatchOp for Records {
    type Input = LeaseRenewal;
    type Output = ();
    const NAME: &'static str = "lease_records";
    const MAX_INPUTS: usize = 1_000;

    async fn run(&self, connection: &mut AnyConnection, renewals: &[LeaseRenewal]) -> db::Result<Vec<()>> {
        if !self.write(connection, renewals).await? {
            // The announced lease length was lowered, or lost with a server: announce it again.
            let lasts_ms = renewals.iter().map(|renewal| renewal.lasts_ms).max();
            self.announced.announce(&self.writer, lasts_ms.unwrap_or_default()).await?;
            if !self.write(connection, renewals).await? {
                return Err(db::Error::LeaseLimitLowered);
            }
        }
        if self.acknowledgements.receiver_count() > 0 {
            let current = revision::history(connection, None).await?.position;
            // The receivers may be gone by now.
            let _ = self.acknowledgements.send(acknowledgements(renewals, &current));
        }
        Ok(vec![(); renewals.len()])
    }
}

/// The acknowledgements of the current epoch. One of a revision that does not exist yet does not count.
fn acknowledgements(renewals: &[LeaseRenewal], current: &Position) -> Arc<[Acknowledgement]> {
    let is_current =
        |position: &&Position| position.epoch == current.epoch && position.revision <= current.revision;
    let acknowledged = renewals.iter().filter_map(|renewal| {
        let position = renewal.acknowledged.as_ref().filter(is_current)?.clone();
        Some(Acknowledgement { edge: renewal.edge.clone(), position })
    });
    acknowledged.collect()
}

async fn write(connection: &mut AnyConnection, renewals: &[LeaseRenewal]) -> db::Result<bool> {
    let mut transaction = connection.begin().await?;
    if !leases::record(&mut transaction, renewals).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    transaction.commit().await?;
    Ok(true)
}
