//! The length limit of leases, margin included.
//!
//! After a loss of leases, a change waits for `longest_lease_ms`, so no lease that has not ended may be longer.
//! `lease_limit_ms` limits the leases that are recorded now; it is never above `longest_lease_ms`. A process raises both
//! before it records a longer lease. They are lowered in two steps: first the limit, so that longer leases are refused; then
//! `longest_lease_ms`, once every longer lease must have ended.

use std::sync::{Mutex, MutexGuard, PoisonError};

use const_format::formatcp;
use sqlx::{AnyConnection, Row};

use super::{leases, revision};
use crate::db;
use crate::db::NOW_MS;
use crate::db::transaction::Writer;

/// The longest time between the reads of the limit and of the clock in a statement that records leases, in milliseconds. The
/// server ends a statement sooner.
const LONGEST_RECORD_MS: i64 = 60_000;

/// The last announcement of this process: its lease length, and the epoch.
#[derive(Debug, Default)]
pub(super) struct Announced(Mutex<Option<Announcement>>);

#[derive(Clone, Debug)]
pub(super) struct Announcement {
    pub(super) lasts_ms: u64,
    epoch: String,
}

impl Announced {
    fn lock(&self) -> MutexGuard<'_, Option<Announcement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The announced lease length, in milliseconds; `None` before the first announcement.
    pub(super) fn lasts_ms(&self) -> Option<u64> {
        self.lock().as_ref().map(|announcement| announcement.lasts_ms)
    }

    /// Announces in a transaction of its own that this process grants leases of this length.
    pub(super) async fn announce(&self, writer: &Writer, lasts_ms: u64) -> db::Result<()> {
        let mut write = writer.begin().await?;
        let announcement = self.announce_within(write.connection(), lasts_ms).await?;
        write.commit().await?;
        self.remember(announcement);
        Ok(())
    }

    /// Like [`Announced::announce`], inside a transaction. After its commit, call [`Announced::remember`].
    ///
    /// If a new epoch has begun since the last announcement, the process that began it may not have known the length of these
    /// leases. So the loss is recorded again.
    pub(super) async fn announce_within(
        &self,
        connection: &mut AnyConnection,
        lasts_ms: u64,
    ) -> db::Result<Announcement> {
        raise(connection, lasts_ms).await?;
        let epoch = revision::current(&mut *connection).await?.epoch;
        let is_another = self.lock().as_ref().is_some_and(|last| last.epoch != epoch);
        if is_another {
            leases::record_loss(connection).await?;
        }
        Ok(Announcement { lasts_ms, epoch })
    }

    /// Remembers a committed announcement.
    pub(super) fn remember(&self, announcement: Announcement) {
        *self.lock() = Some(announcement);
    }

    /// Remembers that the announcement is known in this epoch.
    pub(super) fn is_known_in(&self, epoch: &str) {
        if let Some(announcement) = self.lock().as_mut() {
            epoch.clone_into(&mut announcement.epoch);
        }
    }
}

/// The stored `longest_lease_ms`, and the epoch.
pub(super) async fn known(connection: &mut AnyConnection) -> db::Result<(i64, String)> {
    let select = "SELECT longest_lease_ms, epoch FROM revision_log";
    let row = sqlx::query(select).fetch_one(connection).await?;
    Ok((row.try_get("longest_lease_ms")?, row.try_get("epoch")?))
}

/// Raises both limits to this length. If the length is new to the database, leases of that length may exist without a record:
/// the server may lack an earlier announcement, or another process granted them before a restore. So every change waits for
/// them. The first announcement to a new database needs no wait.
async fn raise(connection: &mut AnyConnection, lasts_ms: u64) -> db::Result<()> {
    let update = formatcp!(
        "WITH announced (lasts_ms) AS (VALUES (CAST($1 AS BIGINT)))
        UPDATE revision_log SET
            lease_limit_ms = CASE WHEN lease_limit_ms < a.lasts_ms THEN a.lasts_ms ELSE lease_limit_ms END,
            lost_leases_until = CASE WHEN longest_lease_ms > 0 AND longest_lease_ms < a.lasts_ms
                AND lost_leases_until < {NOW_MS} + a.lasts_ms THEN {NOW_MS} + a.lasts_ms ELSE lost_leases_until END,
            longest_lease_ms = CASE WHEN longest_lease_ms < a.lasts_ms THEN a.lasts_ms ELSE longest_lease_ms END
        FROM announced a WHERE lease_limit_ms < a.lasts_ms OR longest_lease_ms < a.lasts_ms"
    );
    sqlx::query(update).bind(as_column(lasts_ms)).execute(connection).await?;
    Ok(())
}

/// Lowers both limits by one step towards the lease length of this process. Nothing is lowered while an edge holds a longer
/// lease, because another process grants those.
pub(super) async fn lower(connection: &mut AnyConnection, lasts_ms: u64) -> db::Result<()> {
    let lower = formatcp!(
        "UPDATE revision_log SET longest_lease_ms = lease_limit_ms
        WHERE lease_limit_ms < longest_lease_ms AND lost_leases_until < {NOW_MS}
            AND limited_at + longest_lease_ms + {LONGEST_RECORD_MS} < {NOW_MS}
            AND NOT EXISTS (SELECT 1 FROM edge_leases WHERE ends_at > {NOW_MS} + lease_limit_ms)"
    );
    sqlx::query(lower).execute(&mut *connection).await?;
    let limit = formatcp!(
        "WITH granted (lasts_ms) AS (VALUES (CAST($1 AS BIGINT)))
        UPDATE revision_log SET lease_limit_ms = g.lasts_ms, limited_at = {NOW_MS}
        FROM granted g WHERE lease_limit_ms > g.lasts_ms
            AND NOT EXISTS (SELECT 1 FROM edge_leases WHERE ends_at > {NOW_MS} + g.lasts_ms)"
    );
    sqlx::query(limit).bind(as_column(lasts_ms)).execute(connection).await?;
    Ok(())
}

/// A lease length as the column stores it.
pub(super) fn as_column(lasts_ms: u64) -> i64 {
    i64::try_from(lasts_ms).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use ::leases::LeaseRenewal;

    /// `lease_limit_ms` and `longest_lease_ms`.
    async fn bounds(connection: &mut AnyConnection) -> (i64, i64) {
        let select = "SELECT lease_limit_ms, longest_lease_ms FROM revision_log";
        sqlx::query_as(select).fetch_one(connection).await.unwrap()
    }

    async fn alter(connection: &mut AnyConnection, update: &'static str) {
        assert_eq!(sqlx::query(update).execute(connection).await.unwrap().rows_affected(), 1, "{update}");
    }

    fn lease(lasts_ms: u64) -> [LeaseRenewal; 1] {
        [LeaseRenewal {
            edge: "e".to_owned(),
            acknowledged: None,
            lasts_ms,
            used: Default::default(),
            node: Default::default(),
        }]
    }

    #[tokio::test]
    async fn the_longest_lease_is_lowered_when_the_last_longer_lease_must_have_ended() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        store.announce_leases(4_200_000).await.unwrap();
        store.announce_leases(7_000).await.unwrap();
        let mut connection = store.pool().acquire().await.unwrap();
        assert_eq!(bounds(&mut connection).await, (4_200_000, 4_200_000));

        assert!(leases::record(&mut connection, &lease(4_200_000)).await.unwrap());
        lower(&mut connection, 7_000).await.unwrap();
        assert_eq!(bounds(&mut connection).await, (4_200_000, 4_200_000), "somebody grants longer ones");

        alter(&mut connection, "UPDATE edge_leases SET ends_at = 0").await;
        lower(&mut connection, 7_000).await.unwrap();
        assert_eq!(bounds(&mut connection).await, (7_000, 4_200_000), "longer ones are refused first");
        assert!(!leases::record(&mut connection, &lease(7_001)).await.unwrap());
        assert!(leases::record(&mut connection, &lease(7_000)).await.unwrap());

        // A record that had read the limit before may have been made 60 s later.
        alter(&mut connection, "UPDATE revision_log SET limited_at = limited_at - 4200000").await;
        lower(&mut connection, 7_000).await.unwrap();
        assert_eq!(bounds(&mut connection).await, (7_000, 4_200_000), "one may still run");
        alter(&mut connection, "UPDATE revision_log SET limited_at = limited_at - 61000").await;
        lower(&mut connection, 7_000).await.unwrap();
        assert_eq!(bounds(&mut connection).await, (7_000, 7_000));
    }

    #[tokio::test]
    async fn longer_leases_are_waited_for_from_when_they_are_known_but_the_first_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let waits_ms = async || -> i64 {
            let select =
                "SELECT CAST(lost_leases_until - unixepoch('subsec') * 1000 AS INTEGER) FROM revision_log";
            sqlx::query_scalar(select).fetch_one(store.pool()).await.unwrap()
        };
        for lasts_ms in [600_000, 600_000, 500_000] {
            store.announce_leases(lasts_ms).await.unwrap();
            assert!(
                waits_ms().await <= 0,
                "a start like the ones before, or the first one, at {lasts_ms} ms"
            );
        }
        store.announce_leases(900_000).await.unwrap();
        assert!((890_000..=900_000).contains(&waits_ms().await), "{}", waits_ms().await);
        let mut connection = store.pool().acquire().await.unwrap();
        alter(&mut connection, "UPDATE revision_log SET lost_leases_until = lost_leases_until + 9000000")
            .await;
        store.announce_leases(901_000).await.unwrap();
        assert!(waits_ms().await > 9_000_000, "what is waited for longer anyway stays so");
    }

    #[tokio::test]
    async fn a_lease_is_announced_before_it_is_recorded_even_where_that_was_lost_or_lowered() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        store.announce_leases(9_000).await.unwrap();
        let mut connection = store.pool().acquire().await.unwrap();
        let lost = "UPDATE revision_log SET lease_limit_ms = 0, longest_lease_ms = 0, lost_leases_until = 0";
        alter(&mut connection, lost).await;
        let [renewal] = lease(9_000);
        ::leases::LeaseStore::record(&store.lease_store(), renewal).await.unwrap();
        assert_eq!(bounds(&mut connection).await, (9_000, 9_000));
        let lost_until = "SELECT lost_leases_until FROM revision_log";
        let until: i64 = sqlx::query_scalar(lost_until).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(until, 0, "in the same epoch, nothing was lost");

        // A server that lacked the announcement has begun another epoch.
        alter(&mut connection, lost).await;
        alter(&mut connection, "UPDATE revision_log SET epoch = 'another'").await;
        let [renewal] = lease(9_000);
        ::leases::LeaseStore::record(&store.lease_store(), renewal).await.unwrap();
        assert_eq!(bounds(&mut connection).await, (9_000, 9_000));
        let until: i64 = sqlx::query_scalar(lost_until).fetch_one(&mut *connection).await.unwrap();
        assert!(until > 0, "leases from before the new epoch may not have ended");
    }
}
