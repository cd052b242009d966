//! What is done now and then while the service runs: old changes and ended leases are forgotten.

use std::time::Duration;

use super::{Database, leases, revision};

/// How often.
const INTERVAL: Duration = Duration::from_secs(60);

/// Does it at once, and then again and again.
pub(crate) async fn run(database: Database) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = forget_the_old(&database).await {
            tracing::warn!(%error, "old changes and ended leases could not be removed");
        }
    }
}

async fn forget_the_old(database: &Database) -> sqlx::Result<()> {
    let mut write = database.begin_write().await?;
    revision::prune(write.connection()).await?;
    leases::remove_ended(write.connection()).await?;
    write.commit().await
}
