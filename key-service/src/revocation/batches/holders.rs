//! Reads the held leases in batches: once for all changes that wait.

use ::leases::{Leases, Position};
use sqlx::AnyConnection;

use crate::db::batch::BatchOp;
use crate::revocation::leases;

/// Who holds a lease, and has not acknowledged a place; `None` if that place is of a history that is no more.
#[derive(Debug)]
pub(in crate::revocation) struct Holders;

impl BatchOp for Holders {
    type Input = Position;
    type Output = Option<Leases>;
    const NAME: &'static str = "holders";
    // Each is told of up to as many edges as there are.
    const MAX_INPUTS: usize = 32;

    async fn run(
        &self,
        connection: &mut AnyConnection,
        positions: &[Position],
    ) -> sqlx::Result<Vec<Option<Leases>>> {
        leases::read(connection, positions).await
    }
}
