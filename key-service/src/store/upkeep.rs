//! What is done now and then while the service runs: old changes, audit entries, ended leases and links are forgotten.

use std::time::Duration;

use super::write::within;
use super::{Database, WRITE_AT_MOST, audit, lease_limit, leases, links, revision, webhooks};
use crate::metrics::METRICS;

/// How often.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long messages to the webhook are kept that nobody tries to deliver: those that are tried are given up before.
const DELIVERABLE_FOR: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Does it at once, and then again and again. Audit entries are kept for `audit_kept`; without it for good.
pub(crate) async fn run(database: Database, audit_kept: Option<Duration>) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = within(WRITE_AT_MOST, forget_the_old(&database, audit_kept)).await {
            METRICS.database_failed();
            tracing::warn!(%error, "what is out of date could not be removed");
        }
    }
}

async fn forget_the_old(database: &Database, audit_kept: Option<Duration>) -> sqlx::Result<()> {
    let mut write = database.begin_write().await?;
    revision::prune(write.connection()).await?;
    leases::remove_ended(write.connection()).await?;
    if let Some(lasts_ms) = database.announced.lasts_ms() {
        lease_limit::lower(write.connection(), lasts_ms).await?;
    }
    links::remove_ended(write.connection()).await?;
    if let Some(kept) = audit_kept {
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX / 2);
        audit::prune(write.connection(), kept_ms).await?;
    }
    let forgotten = webhooks::remove_older(write.connection(), DELIVERABLE_FOR).await?;
    write.commit().await?;
    if forgotten > 0 {
        tracing::warn!(forgotten, "messages for the webhook were never delivered and are forgotten");
    }
    Ok(())
}
