//! Notices, where the revision is raised, that the tables were restored from a backup while this process used them.

use sqlx::AnyConnection;
use uuid::Uuid;

use super::write::Write;
use super::{Database, Kind, leases, postgres, revision};
use crate::leases::Position;

impl Database {
    /// Whether a change that has just raised the revision continues the history that this process knows: in the same
    /// tables, and beyond every revision that it has seen of that log.
    pub(super) async fn continues(
        &self,
        connection: &mut AnyConnection,
        position: &Position,
    ) -> sqlx::Result<bool> {
        let is_beyond = self.news.highest_of(&position.log).is_none_or(|highest| position.revision > highest);
        Ok(is_beyond
            && match self.kind {
                Kind::Sqlite => true,
                Kind::Postgres { .. } => postgres::is_in_place(connection).await?,
            })
    }

    /// Begins a new log, so that every edge forgets what it knew; and since the leases were restored too, every change waits
    /// for the longest that may run.
    pub(super) async fn begin_log(&self, mut write: Write) -> sqlx::Result<()> {
        let log = Uuid::new_v4().to_string();
        match self.kind {
            Kind::Sqlite => revision::set_log(write.connection(), &log).await?,
            Kind::Postgres { .. } => postgres::set_log(write.connection(), &log).await?,
        }
        let announcement = match self.announced.lasts_ms() {
            Some(lasts_ms) => Some(self.announced.announce_within(write.connection(), lasts_ms).await?),
            None => None,
        };
        leases::may_be_forgotten(write.connection()).await?;
        write.commit().await?;
        announcement.into_iter().for_each(|announcement| self.announced.remember(announcement));
        tracing::warn!("the database was restored while the service ran: a new log begins");
        Ok(())
    }
}
