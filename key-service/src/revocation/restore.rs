//! Detects that the tables were restored from a backup while this process used them.

use ::leases::Position;
use sqlx::AnyConnection;

use super::store::Store;
use super::{failover, leases, revision};
use crate::db;
use crate::db::dialect::Kind;
use crate::db::transaction::Write;
use crate::random;

impl Store {
    /// Begins a new epoch if the database's revision is lower than one that this process has seen. If other processes have
    /// made changes since the restore, the revision may have caught up; then this finds nothing.
    ///
    /// `position` was read without the lock. Meanwhile a later one may be known, so the position is read again under the lock.
    pub(super) async fn notice_restore(&self, position: &Position) -> db::Result<()> {
        if !self.notifications.is_behind(position) {
            return Ok(());
        }
        let mut write = self.begin_write().await?;
        let position = revision::current(write.connection()).await?;
        if self.notifications.is_behind(&position) {
            self.begin_epoch(write).await
        } else {
            write.rollback().await
        }
    }

    /// Whether a change that has just incremented the revision continues the known history: it is in the same tables, and
    /// beyond every revision that this process has seen of the epoch.
    pub(super) async fn continues(
        &self,
        connection: &mut AnyConnection,
        position: &Position,
    ) -> db::Result<bool> {
        let is_beyond =
            self.notifications.highest_of(&position.epoch).is_none_or(|highest| position.revision > highest);
        Ok(is_beyond
            && match self.kind {
                Kind::Sqlite => true,
                Kind::Postgres { .. } => failover::is_same_location(connection).await?,
            })
    }

    /// Begins a new epoch, so that every edge empties its cache. The restore replaced the leases too, so every change waits for
    /// the longest lease.
    pub(super) async fn begin_epoch(&self, mut write: Write) -> db::Result<()> {
        let epoch = random::uuid().to_string();
        match self.kind {
            Kind::Sqlite => revision::set_epoch(write.connection(), &epoch).await?,
            Kind::Postgres { .. } => failover::set_epoch(write.connection(), &epoch).await?,
        }
        let announcement = match self.announced.lasts_ms() {
            Some(lasts_ms) => Some(self.announced.announce_within(write.connection(), lasts_ms).await?),
            None => None,
        };
        leases::record_loss(write.connection()).await?;
        write.commit().await?;
        announcement.into_iter().for_each(|announcement| self.announced.remember(announcement));
        tracing::warn!("the database was restored while the service ran: a new epoch begins");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::revocation::background;
    use crate::testing;
    use ::leases::{Change, LeaseStore};

    async fn position_of(store: &Store) -> Position {
        revision::current(store.pool()).await.unwrap()
    }

    #[tokio::test]
    async fn rows_that_are_restored_are_noticed_without_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let (runs, other) = (testing::store(&folder).await, testing::store(&folder).await);
        runs.announce_leases(60_000).await.unwrap();
        for _ in 0..3 {
            other.lease_store().begin().await.unwrap().commit(&[]).await.unwrap();
        }
        let before = position_of(&runs).await;
        let looking = tokio::spawn({
            let runs = runs.clone();
            async move { background::listen(&runs).await }
        });
        let start = Position { revision: before.revision - 1, ..before.clone() };
        assert!(
            runs.lease_store().wait_for_change(&start, Duration::from_secs(20)).await,
            "the third change is known"
        );

        sqlx::query("UPDATE revision_log SET revision = 1").execute(other.pool()).await.unwrap();
        let noticed = runs.lease_store().wait_for_change(&before, Duration::from_secs(20)).await;
        assert!(noticed && position_of(&runs).await.epoch != before.epoch, "{:?}", position_of(&runs).await);
        // Changes of another process do not hide the restore any more.
        let next = position_of(&runs).await;
        other.lease_store().begin().await.unwrap().commit(&[]).await.unwrap();
        assert_eq!(position_of(&runs).await, Position { revision: next.revision + 1, ..next });
        let waits =
            "SELECT CAST(lost_leases_until - unixepoch('subsec') * 1000 AS INTEGER) FROM revision_log";
        let waits_ms: i64 = sqlx::query_scalar(waits).fetch_one(runs.pool()).await.unwrap();
        assert!(waits_ms > 0, "leases from before the restore may not have ended");
        looking.abort();
    }

    /// A read without the lock may be older than the latest known position.
    #[tokio::test]
    async fn an_old_read_is_no_restore() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let old = position_of(&store).await;
        let position = store.lease_store().begin().await.unwrap().commit(&[]).await.unwrap();
        store.notice_restore(&old).await.unwrap();
        assert_eq!(position_of(&store).await, position);
    }
}
