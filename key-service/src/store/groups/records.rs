//! Records leases in groups, and tells who in this process waits for acknowledgements what they bring.

use std::sync::Arc;

use sqlx::{AnyConnection, Connection};
use tokio::sync::broadcast;

use super::Topic;
use crate::leases::{Acknowledgement, Position, Registration};
use crate::store::write::Turns;
use crate::store::{leases, revision};

/// How many groups of acknowledgements are kept for who has not taken them yet.
const HEARD_GROUPS: usize = 64;

/// Where acknowledgements are heard, in groups.
pub(in crate::store) type Heard = broadcast::Sender<Arc<[Acknowledgement]>>;

/// Leases to record.
#[derive(Debug)]
pub(in crate::store) struct Records {
    turns: Turns,
    heard: Heard,
}

impl Records {
    /// Which take these turns with others that write.
    pub(in crate::store) fn new(turns: Turns) -> Self {
        Records { turns, heard: broadcast::Sender::new(HEARD_GROUPS) }
    }

    /// Where the acknowledgements are heard that come with them.
    pub(in crate::store) fn heard(&self) -> Heard {
        self.heard.clone()
    }
}

impl Topic for Records {
    type Question = Registration;
    type Answer = ();
    const NAME: &'static str = "leases";
    const MOST: usize = 1_000;

    async fn ask(
        &self,
        connection: &mut AnyConnection,
        registrations: &[Registration],
    ) -> sqlx::Result<Vec<()>> {
        let turn = self.turns.take().await;
        let written = write(connection, registrations).await;
        turn.note(written.is_ok());
        drop(turn);
        written?;
        if self.heard.receiver_count() > 0 {
            let present = revision::history(connection, None).await?.position;
            // They may have gone meanwhile.
            let _ = self.heard.send(acknowledgements(registrations, &present));
        }
        Ok(vec![(); registrations.len()])
    }
}

/// What edges acknowledge of the present log: nothing that is still to come.
fn acknowledgements(registrations: &[Registration], present: &Position) -> Arc<[Acknowledgement]> {
    let of_present = |place: &&Position| place.log == present.log && place.revision <= present.revision;
    let acknowledged = registrations.iter().filter_map(|registration| {
        let position = registration.acknowledged.as_ref().filter(of_present)?.clone();
        Some(Acknowledgement { edge: registration.edge.clone(), position })
    });
    acknowledged.collect()
}

async fn write(connection: &mut AnyConnection, registrations: &[Registration]) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    leases::record(&mut transaction, registrations).await?;
    transaction.commit().await
}
