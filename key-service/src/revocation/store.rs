//! The database as the service uses it, with what this process knows of leases.

use std::ops::Deref;
use std::sync::Arc;

use sqlx::AnyConnection;

use super::batches::flush::Flush;
use super::batches::histories::Histories;
use super::batches::holders::Holders;
use super::batches::records::{Heard, Records};
use super::batches::verdicts::Verdicts;
use super::lease_limit::Announced;
use super::lease_store::SqlLeaseStore;
use super::notifications::Notifications;
use super::uses::Uses;
use super::{failover, lease_limit, leases, revision};
use crate::db::Database;
use crate::db::batch::Batcher;
use crate::db::dialect::Kind;
use crate::db::error::OpenError;
use crate::db::open::{Done, Hooks};

/// The database, and what this process knows of leases and of changes. What alters a verdict needs a `Store`; for the rest
/// its [`Database`] is enough.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
    pub(super) announced: Arc<Announced>,
    pub(super) lease_path: Arc<LeasePath>,
    pub(super) uses: Arc<Uses>,
    pub(super) notifications: Arc<Notifications>,
}

impl Deref for Store {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

/// What edges ask all the time, and changes that wait for them.
#[derive(Debug)]
pub(super) struct LeasePath {
    pub(super) records: Batcher<Records>,
    pub(super) heard: Heard,
    pub(super) histories: Batcher<Histories>,
    pub(super) holders: Batcher<Holders>,
    pub(super) flush: Batcher<Flush>,
    pub(super) verdicts: Batcher<Verdicts>,
}

impl Hooks for Announced {
    fn migrated<'c>(&'c self, kind: &'c Kind, connection: &'c mut AnyConnection) -> Done<'c> {
        Box::pin(async move {
            revision::start_epoch(&mut *connection).await?;
            match kind {
                Kind::Sqlite => leases::notice_boot(connection, kind.boot_id().as_deref()).await,
                Kind::Postgres { .. } => Ok(()),
            }
        })
    }

    fn connected<'c>(&'c self, kind: &'c Kind, connection: &'c mut AnyConnection) -> Done<'c> {
        Box::pin(async move {
            match kind {
                Kind::Sqlite => Ok(()),
                Kind::Postgres { .. } => failover::notice_loss(connection, self).await,
            }
        })
    }
}

impl Store {
    /// Opens the database of a `sqlite:` or `postgres:` URL, and brings its tables up to date. A SQLite file is made if
    /// there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let announced = Arc::<Announced>::default();
        Ok(Self::new(Database::open(url, announced.clone()).await?, announced))
    }

    /// The same, but nothing is made: without a file or a table there is no database.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_existing(url: &str) -> Result<Self, OpenError> {
        let announced = Arc::<Announced>::default();
        Ok(Self::new(Database::open_existing(url, announced.clone()).await?, announced))
    }

    fn new(database: Database, announced: Arc<Announced>) -> Self {
        let (turns, writer) = (database.record_turns.clone(), database.writer.clone());
        let records = Records::new(turns, writer, Arc::clone(&announced));
        let lease_path = Arc::new(LeasePath {
            heard: records.heard(),
            records: Batcher::start(records, database.record_pool.clone()),
            histories: Batcher::start(Histories, database.batch_pool.clone()),
            holders: Batcher::start(Holders, database.batch_pool.clone()),
            flush: Batcher::start(Flush, database.flush_pool.clone()),
            verdicts: Batcher::start(Verdicts, database.batch_pool.clone()),
        });
        let (uses, notifications) = Default::default();
        Store { database, announced, lease_path, uses, notifications }
    }

    /// The database as the lease protocol uses it.
    pub fn lease_store(&self) -> SqlLeaseStore {
        SqlLeaseStore::new(self.clone())
    }

    /// Remembers for how long, margin included, this process is going to grant leases. To be called before the first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn announce_leases(&self, lasts_ms: u64) -> sqlx::Result<()> {
        self.announced.announce(&self.writer, lasts_ms).await
    }

    /// Lowers how long leases may be, and how long they are waited for after a loss, one step towards what this process
    /// grants; and ends in time what a clock that was set back would keep for too long. The service does so each minute.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lower_lease_bounds(&self) -> sqlx::Result<()> {
        let mut write = self.begin_write().await?;
        leases::bring_loss_forward(write.connection()).await?;
        if let Some(lasts_ms) = self.announced.lasts_ms() {
            lease_limit::lower(write.connection(), lasts_ms).await?;
        }
        write.commit().await
    }

    /// Writes when keys were last used, as far as edges have reported it.
    pub(crate) async fn write_uses(&self) {
        self.uses.write(&self.database).await;
    }

    /// Has every held sync answered now, and holds none any more.
    pub fn stop_holding(&self) {
        self.notifications.close();
    }
}
