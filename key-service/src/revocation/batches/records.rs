//! Records leases in batches, and passes their acknowledgements to the changes of this process that wait for them.

use std::sync::Arc;

use ::leases::{Acknowledgement, LeaseRenewal, Position};
use sqlx::{AnyConnection, Connection};
use tokio::sync::broadcast;

use crate::db::batch::BatchOp;
use crate::db::transaction::{Turns, Writer};
use crate::revocation::lease_limit::Announced;
use crate::revocation::{leases, revision};

/// How many batches of acknowledgements are kept for receivers that lag behind.
const HEARD_BATCHES: usize = 64;

/// Sends the acknowledgements of each batch.
pub(in crate::revocation) type Heard = broadcast::Sender<Arc<[Acknowledgement]>>;

/// Leases to record.
#[derive(Debug)]
pub(in crate::revocation) struct Records {
    turns: Turns,
    writer: Writer,
    announced: Arc<Announced>,
    heard: Heard,
}

impl Records {
    /// Which take these turns with others that write. How long they last is announced through the writer.
    pub(in crate::revocation) fn new(turns: Turns, writer: Writer, announced: Arc<Announced>) -> Self {
        Records { turns, writer, announced, heard: broadcast::Sender::new(HEARD_BATCHES) }
    }

    /// Where the acknowledgements are heard that come with them.
    pub(in crate::revocation) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// Records leases, unless one is longer than leases may be.
    async fn write(&self, connection: &mut AnyConnection, renewals: &[LeaseRenewal]) -> sqlx::Result<bool> {
        let turn = self.turns.take().await;
        let written = write(connection, renewals).await;
        turn.note(written.is_ok());
        written
    }
}

impl BatchOp for Records {
    type Input = LeaseRenewal;
    type Output = ();
    const NAME: &'static str = "leases";
    const MAX_INPUTS: usize = 1_000;

    async fn run(&self, connection: &mut AnyConnection, renewals: &[LeaseRenewal]) -> sqlx::Result<Vec<()>> {
        if !self.write(connection, renewals).await? {
            // What this process had announced was lowered, or lost with a server. Once it is announced again, the same
            // leases are recorded.
            let lasts_ms = renewals.iter().map(|renewal| renewal.lasts_ms).max();
            self.announced.announce(&self.writer, lasts_ms.unwrap_or_default()).await?;
            if !self.write(connection, renewals).await? {
                return Err(sqlx::Error::Protocol("the longest lease was lowered meanwhile".to_owned()));
            }
        }
        if self.heard.receiver_count() > 0 {
            let present = revision::history(connection, None).await?.position;
            // They may have gone meanwhile.
            let _ = self.heard.send(acknowledgements(renewals, &present));
        }
        Ok(vec![(); renewals.len()])
    }
}

/// What edges acknowledge of the present epoch: nothing that is still to come.
fn acknowledgements(renewals: &[LeaseRenewal], present: &Position) -> Arc<[Acknowledgement]> {
    let of_present = |place: &&Position| place.epoch == present.epoch && place.revision <= present.revision;
    let acknowledged = renewals.iter().filter_map(|renewal| {
        let position = renewal.acknowledged.as_ref().filter(of_present)?.clone();
        Some(Acknowledgement { edge: renewal.edge.clone(), position })
    });
    acknowledged.collect()
}

async fn write(connection: &mut AnyConnection, renewals: &[LeaseRenewal]) -> sqlx::Result<bool> {
    let mut transaction = connection.begin().await?;
    if !leases::record(&mut transaction, renewals).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    transaction.commit().await?;
    Ok(true)
}
