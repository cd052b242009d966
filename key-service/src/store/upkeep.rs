//! What is done now and then while the service runs: old changes, audit entries, ended leases and links are forgotten.

use std::time::{Duration, Instant};

use super::write::within;
use super::{Database, WRITE_AT_MOST, audit, lease_limit, leases, links, revision, webhooks};
use crate::leases::Position;
use crate::management_tokens;
use crate::metrics::METRICS;

/// How often.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long messages to the webhook are kept that nobody tries to deliver: those that are tried are given up before.
const DELIVERABLE_FOR: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// How many rows one transaction removes at most: nobody who records leases waits for more of them.
const AT_ONCE: i64 = 1_000;

/// How long others get to write after each such transaction at least.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// What gets out of date by the row, and may be much.
#[derive(Clone, Copy)]
enum Outdated {
    Changes,
    Leases,
    AuditEntries { kept_ms: i64 },
}

/// Does it at once, and then again and again. Audit entries are kept for `audit_kept`; without it for good.
pub(crate) async fn run(database: Database, audit_kept: Option<Duration>) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = forget_the_old(&database, audit_kept).await {
            METRICS.database_failed();
            tracing::warn!(%error, "what is out of date could not be removed");
        }
    }
}

/// What is removed stays removed, even if the rest of it fails.
async fn forget_the_old(database: &Database, audit_kept: Option<Duration>) -> sqlx::Result<()> {
    let old_changes = within(WRITE_AT_MOST, revision::out_of_date(database.pool())).await?;
    let forgotten = within(WRITE_AT_MOST, remove_few(database, &old_changes)).await?;
    if forgotten > 0 {
        tracing::warn!(forgotten, "messages for the webhook were never delivered and are forgotten");
    }
    let kept_ms = audit_kept.map(|kept| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX / 2));
    let audit = kept_ms.map(|kept_ms| Outdated::AuditEntries { kept_ms });
    for outdated in [Outdated::Changes, Outdated::Leases].into_iter().chain(audit) {
        loop {
            let began = Instant::now();
            if !within(WRITE_AT_MOST, remove_some(database, outdated)).await? {
                break;
            }
            // SQLite has no queue for other processes: they look again, up to a tenth of a second later.
            tokio::time::sleep((began.elapsed() / 2).max(LEAST_PAUSE)).await;
        }
    }
    Ok(())
}

/// Does all that is little at any time; how many messages for the webhook were removed.
async fn remove_few(database: &Database, old_changes: &Position) -> sqlx::Result<u64> {
    let mut write = database.begin_write().await?;
    revision::mark_pruned(write.connection(), old_changes).await?;
    if let Some(lasts_ms) = database.announced.lasts_ms() {
        lease_limit::lower(write.connection(), lasts_ms).await?;
    }
    management_tokens::end_those_left(write.connection()).await?;
    links::attribute(write.connection()).await?;
    links::remove_ended(write.connection()).await?;
    let forgotten = webhooks::remove_older(write.connection(), DELIVERABLE_FOR).await?;
    write.commit().await?;
    Ok(forgotten)
}

/// Removes some rows in a transaction of its own, so that others can write between two; whether there may be more.
async fn remove_some(database: &Database, outdated: Outdated) -> sqlx::Result<bool> {
    let mut write = database.begin_write().await?;
    let connection = write.connection();
    let removed = match outdated {
        Outdated::Changes => revision::remove_pruned(connection, AT_ONCE).await?,
        Outdated::Leases => leases::remove_ended(connection, AT_ONCE).await?,
        Outdated::AuditEntries { kept_ms } => audit::prune(connection, kept_ms, AT_ONCE).await?,
    };
    write.commit().await?;
    Ok(removed >= AT_ONCE.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_processes_get_to_write_between_two_slices() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("keys.db").display());
        let database = Database::open(&url).await.unwrap();
        let slices = 30;
        let old = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1)
            INSERT INTO audit_log SELECT CAST(n AS TEXT), 0, 'a', 'service', NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, 'null'
            FROM n";
        sqlx::query(old).bind(slices * AT_ONCE).execute(database.pool()).await.unwrap();
        let began = Instant::now();
        forget_the_old(&database, Some(Duration::from_secs(60))).await.unwrap();
        let took = began.elapsed();
        let pauses = LEAST_PAUSE * u32::try_from(slices).unwrap();
        assert!(took >= pauses, "{took:?} for {slices} slices");
        let left: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM audit_log").fetch_one(database.pool()).await.unwrap();
        assert_eq!(left, 0);
    }
}
