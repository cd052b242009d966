//! Reads the held leases in batches: once for all changes that wait.

use ::leases::{Leases, Position};
use sqlx::AnyConnection;

use crate::db;
use crate::db::batch::BatchOp;
use crate::revocation::leases;

/// Reads the leases of edges that have not acknowledged a position. `None` if the position belongs to an earlier epoch.
#[derive(Debug)]
pub(in crate::revocation) struct HeldLeases;

impl BatchOp for HeldLeases {
    type Input = Position;
    type Output = Option<Leases>;
    const NAME: &'static str = "leases";
    // Each output can list every edge.
    const MAX_INPUTS: usize = 32;

    async fn run(
        &self,
        connection: &mut AnyConnection,
        positions: &[Position],
    ) -> db::Result<Vec<Option<Leases>>> {
        leases::read(connection, positions).await
    }
}
