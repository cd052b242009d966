//! Reads in groups who holds a lease: once for all changes that wait meanwhile.

use ::leases::{Leases, Position};
use sqlx::AnyConnection;

use crate::db::batch::Topic;
use crate::revocation::leases;

/// Who holds a lease, and has not acknowledged a place; `None` if that place is of a history that is no more.
#[derive(Debug)]
pub(in crate::revocation) struct Holders;

impl Topic for Holders {
    type Question = Position;
    type Answer = Option<Leases>;
    const NAME: &'static str = "holders";
    // Each is told of up to as many edges as there are.
    const MOST: usize = 32;

    async fn ask(
        &self,
        connection: &mut AnyConnection,
        positions: &[Position],
    ) -> sqlx::Result<Vec<Option<Leases>>> {
        leases::read(connection, positions).await
    }
}
