//! The periodic task: it removes old changes, audit entries and idempotency keys, and ended leases and links.

use std::time::{Duration, Instant};

use crate::accounts::sql::links;
use crate::audit::sql as audit;
use crate::db;
use crate::db::WRITE_AT_MOST;
use crate::db::transaction::within;
use crate::idempotency;
use crate::revocation::Store;
use crate::revocation::{leases, revision};
use crate::telemetry::METRICS;
use crate::time::monotonic_now;
use crate::webhooks::sql as webhooks;

/// How often the task runs.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long undelivered webhook messages are kept if no process delivers them. A delivery gives up sooner.
const DELIVERABLE_FOR: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The most rows that one transaction removes. Lease records wait meanwhile.
const AT_ONCE: i64 = 1_000;

/// The shortest pause between two such transactions, for other writes.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// Outdated rows, of which there may be many.
#[derive(Clone, Copy)]
enum Outdated {
    Changes,
    Leases { ended_by_ms: i64 },
    LeasesOfAClockSetBack,
    AuditEntries { kept_ms: i64 },
    IdempotencyKeys,
}

/// Finds the time by which no change waits for an ended lease any more, even if the database's clock was set meanwhile. One case
/// is excepted: that clock was ahead when it was read, was set back, and leases were recorded by the earlier time.
///
/// A change waits for a lease by the monotonic clock of its process, for the longest lease at most. So once twice that time has
/// passed by this process's monotonic clock, no change waits for a lease that had ended by the database's clock. The factor
/// allows for clocks that run at different speeds.
#[derive(Debug, Default)]
struct SurelyEnded {
    /// A reading of both clocks: this process's, and the database's in milliseconds since 1970-01-01 UTC.
    reading: Option<(Instant, i64)>,
}

impl SurelyEnded {
    /// Takes a reading of both clocks. Returns the time by which leases have surely ended, if there is a new one.
    fn read(&mut self, at: Instant, now_ms: i64, longest_ms: u64) -> Option<i64> {
        let lasts = Duration::from_millis(longest_ms.saturating_mul(2));
        let is_over = |reading: &(Instant, i64)| at.saturating_duration_since(reading.0) >= lasts;
        let surely_ended = self.reading.filter(is_over).map(|(_, ended_by_ms)| ended_by_ms);
        if surely_ended.is_some() || self.reading.is_none() {
            self.reading = Some((at, now_ms));
        }
        surely_ended
    }
}

/// Runs the task at once and then periodically. Audit entries are kept for `audit_kept`; if it is `None`, permanently.
pub(crate) async fn run(store: Store, audit_kept: Option<Duration>) {
    let mut interval = tokio::time::interval(INTERVAL);
    let mut surely_ended = SurelyEnded::default();
    loop {
        interval.tick().await;
        if let Err(error) = remove_outdated(&store, audit_kept, &mut surely_ended).await {
            METRICS.database_failed();
            tracing::warn!(%error, "cannot remove outdated rows");
        }
    }
}

/// Removes outdated rows. After a failure, what was removed stays removed.
async fn remove_outdated(
    store: &Store,
    audit_kept: Option<Duration>,
    surely_ended: &mut SurelyEnded,
) -> db::Result<()> {
    let (now_ms, longest_ms) = within(WRITE_AT_MOST, leases::clock(store.pool())).await?;
    // Read this clock second, so that the time since is never overestimated.
    let ended_by_ms = surely_ended.read(monotonic_now(), now_ms, longest_ms);
    within(WRITE_AT_MOST, store.lower_lease_bounds()).await?;
    prune_changes(store).await?;
    let removed = within(WRITE_AT_MOST, remove_few(store)).await?;
    if removed > 0 {
        tracing::warn!(removed, "removed webhook messages that were never delivered");
    }
    let kept_ms = audit_kept.map(|kept| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX / 2));
    let audit = kept_ms.map(|kept_ms| Outdated::AuditEntries { kept_ms });
    let leases = ended_by_ms.map(|ended_by_ms| Outdated::Leases { ended_by_ms });
    for outdated in
        [Outdated::LeasesOfAClockSetBack, Outdated::IdempotencyKeys].into_iter().chain(leases).chain(audit)
    {
        remove(store, outdated, tokio::time::sleep).await?;
    }
    Ok(())
}

/// Prunes old changes: marks them as pruned, and only then removes them. The task calls it each time that it runs.
///
/// # Errors
/// The database failed.
pub async fn prune_changes(store: &Store) -> db::Result<()> {
    let old_changes = within(WRITE_AT_MOST, revision::out_of_date(store.pool())).await?;
    let mark = async {
        let mut write = store.begin_write().await?;
        revision::mark_pruned(write.connection(), &old_changes).await?;
        write.commit().await
    };
    within(WRITE_AT_MOST, mark).await?;
    remove(store, Outdated::Changes, tokio::time::sleep).await
}

/// Removes rows until none is left. Between two transactions it awaits `pause`, so that others can write. SQLite has no queue for
/// other processes; they try again up to a tenth of a second later.
async fn remove(store: &Store, outdated: Outdated, mut pause: impl AsyncFnMut(Duration)) -> db::Result<()> {
    loop {
        let began = monotonic_now();
        if !within(WRITE_AT_MOST, remove_some(store, outdated)).await? {
            return Ok(());
        }
        pause(((monotonic_now() - began) / 2).max(LEAST_PAUSE)).await;
    }
}

/// Removes what is always little, in one transaction. Returns the number of removed webhook messages.
async fn remove_few(store: &Store) -> db::Result<u64> {
    let mut write = store.begin_write().await?;
    links::remove_ended(write.connection()).await?;
    let removed = webhooks::remove_older(write.connection(), DELIVERABLE_FOR).await?;
    write.commit().await?;
    Ok(removed)
}

/// Removes some rows in a transaction of its own. Returns whether there may be more.
async fn remove_some(store: &Store, outdated: Outdated) -> db::Result<bool> {
    let mut write = store.begin_write().await?;
    let connection = write.connection();
    let removed = match outdated {
        Outdated::Changes => revision::remove_pruned(connection, AT_ONCE).await?,
        Outdated::Leases { ended_by_ms } => leases::remove_ended(connection, ended_by_ms, AT_ONCE).await?,
        Outdated::LeasesOfAClockSetBack => leases::shorten_leases(connection, AT_ONCE).await?,
        Outdated::IdempotencyKeys => idempotency::prune(connection, AT_ONCE).await?,
        Outdated::AuditEntries { kept_ms } => audit::prune(connection, kept_ms, AT_ONCE).await?,
    };
    write.commit().await?;
    Ok(removed >= AT_ONCE.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use sqlx::{AnyConnection, Connection};

    use super::*;
    use crate::testing;
    use ::leases::propagation::await_acknowledgements;
    use ::leases::{LeaseRenewal, LeaseStore, Position};

    const LASTS_MS: u64 = 4_000;

    async fn store(folder: &tempfile::TempDir) -> Store {
        let store = testing::store(folder).await;
        store.announce_leases(LASTS_MS).await.unwrap();
        store
    }

    fn lease(edge: &str) -> LeaseRenewal {
        LeaseRenewal {
            edge: edge.to_owned(),
            acknowledged: None,
            lasts_ms: LASTS_MS,
            used: Default::default(),
            node: Default::default(),
        }
    }

    async fn alter(store: &Store, update: &'static str) {
        sqlx::query(update).execute(store.pool()).await.unwrap();
    }

    /// As the database's clock sees it, everything ends earlier when it is set forward.
    #[tokio::test]
    async fn a_lease_that_a_clock_set_forward_has_ended_is_still_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let mut surely_ended = SurelyEnded::default();
        let begun = monotonic_now();
        store.lease_store().record(lease("cut off")).await.unwrap();
        remove_outdated(&store, None, &mut surely_ended).await.unwrap();
        let position = revision::current(store.pool()).await.unwrap();
        let place = Position { revision: position.revision + 1, ..position };
        alter(&store, "UPDATE revision_log SET revision = revision + 1").await;
        let lease_store = store.lease_store();
        let (begins, waits) = tokio::sync::oneshot::channel();
        let mut begins = Some(begins);
        let waiting = await_acknowledgements(&lease_store, &place, |_| {
            let _ = begins.take().map(|begins| begins.send(()));
        });
        let step = async {
            waits.await.unwrap();
            alter(&store, "UPDATE edge_leases SET ends_at = ends_at - 3600000").await;
            remove_outdated(&store, None, &mut surely_ended).await.unwrap();
        };
        let (revocation, ()) = tokio::join!(waiting, step);
        let revocation = revocation.unwrap();
        assert_eq!((revocation.acknowledged, revocation.expired), (0, 1), "{revocation:?}");
        let took = monotonic_now() - begun;
        assert!(took >= Duration::from_millis(LASTS_MS), "{took:?}");
    }

    #[test]
    fn a_lease_has_surely_ended_when_twice_the_longest_lease_has_passed() {
        let mut surely_ended = SurelyEnded::default();
        let (began, after) = (monotonic_now(), Duration::from_millis);
        assert_eq!(surely_ended.read(began, 1_000, 7_000), None);
        assert_eq!(surely_ended.read(began + after(13_999), 900_000, 7_000), None, "that clock was set");
        assert_eq!(surely_ended.read(began + after(14_000), 901_000, 7_000), Some(1_000));
        assert_eq!(surely_ended.read(began + after(27_999), 2_000, 7_000), None);
        assert_eq!(surely_ended.read(began + after(28_000), 3_000, 7_000), Some(901_000));
    }

    #[tokio::test]
    async fn ended_leases_are_removed_and_those_of_a_clock_that_was_set_back_end_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        for edge in ["ended", "ended just now", "of a clock set back", "held"] {
            store.lease_store().record(lease(edge)).await.unwrap();
        }
        alter(&store, "UPDATE edge_leases SET ends_at = ends_at - 70000 WHERE edge = 'ended'").await;
        alter(&store, "UPDATE edge_leases SET ends_at = ends_at - 10000 WHERE edge = 'ended just now'").await;
        alter(&store, "UPDATE edge_leases SET ends_at = ends_at + 3600000 WHERE edge LIKE 'of a clock%'")
            .await;
        let edges = async || -> Vec<String> {
            let select = "SELECT edge FROM edge_leases ORDER BY edge";
            sqlx::query_scalar(select).fetch_all(store.pool()).await.unwrap()
        };
        let mut surely_ended = SurelyEnded::default();
        remove_outdated(&store, None, &mut surely_ended).await.unwrap();
        assert_eq!(edges().await.len(), 4, "a change may wait for it");
        let longest = "SELECT CAST(MAX(ends_at) - unixepoch('subsec') * 1000 AS INTEGER) FROM edge_leases";
        let longest_ms: i64 = sqlx::query_scalar(longest).fetch_one(store.pool()).await.unwrap();
        assert!(longest_ms <= 4_000, "{longest_ms} ms are longer than a lease");

        surely_ended.reading = surely_ended.reading.map(|(at, now_ms)| (at - Duration::from_secs(8), now_ms));
        remove_outdated(&store, None, &mut surely_ended).await.unwrap();
        assert_eq!(edges().await, ["ended just now", "held", "of a clock set back"]);
    }

    /// What the limits are lowered to is this process's: another one, which granted longer leases, is gone.
    #[tokio::test]
    async fn the_lease_limit_and_the_wait_for_lost_leases_are_lowered() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        testing::store(&folder).await.announce_leases(20_000).await.unwrap();
        let in_an_hour = "UPDATE revision_log
            SET lost_leases_until = CAST(unixepoch('subsec') * 1000 AS INTEGER) + 3600000";
        alter(&store, in_an_hour).await;
        remove_outdated(&store, None, &mut SurelyEnded::default()).await.unwrap();
        let select = "SELECT lease_limit_ms, CAST(lost_leases_until - unixepoch('subsec') * 1000 AS INTEGER)
            FROM revision_log";
        let (limit_ms, left_ms): (i64, i64) = sqlx::query_as(select).fetch_one(store.pool()).await.unwrap();
        assert_eq!(limit_ms, i64::try_from(LASTS_MS).unwrap());
        assert!((1..=20_000).contains(&left_ms), "{left_ms} ms: the database's clock was set back");
    }

    #[tokio::test]
    async fn other_processes_get_to_write_between_two_slices() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let old = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $1)
            INSERT INTO audit_log SELECT CAST(n AS TEXT), 0, 'a', 'service', NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, 'null'
            FROM n";
        sqlx::query(old).bind(2 * AT_ONCE + 1).execute(store.pool()).await.unwrap();

        // This connection, like another process, gets the lock at once or fails.
        let mut other = AnyConnection::connect(&testing::url(&folder)).await.unwrap();
        sqlx::raw_sql("PRAGMA busy_timeout = 0").execute(&mut other).await.unwrap();
        let mut left = Vec::new();
        let pause = async |pause: Duration| {
            assert!(pause >= LEAST_PAUSE, "{pause:?}");
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
            let count = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM audit_log");
            left.push(count.fetch_one(&mut other).await.unwrap());
            sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        };
        remove(&store, Outdated::AuditEntries { kept_ms: 60_000 }, pause).await.unwrap();
        assert_eq!(left, [AT_ONCE + 1, 1], "a pause after each full slice");
        let count = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM audit_log");
        assert_eq!(count.fetch_one(store.pool()).await.unwrap(), 0);
    }
}
