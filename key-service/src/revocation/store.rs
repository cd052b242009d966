//! The database, with this process's state of the lease protocol.

use std::ops::Deref;
use std::sync::Arc;

use sqlx::AnyConnection;

use super::batches::flush::Flush;
use super::batches::held_leases::HeldLeases;
use super::batches::histories::Histories;
use super::batches::records::{AcknowledgementSender, Records};
use super::batches::verdicts::Verdicts;
use super::lease_limit::Announced;
use super::lease_store::SqlLeaseStore;
use super::notifications::Notifications;
use super::uses::Uses;
use super::{failover, lease_limit, leases, revision};
use crate::db;
use crate::db::Database;
use crate::db::batch::Batcher;
use crate::db::dialect::Kind;
use crate::db::error::OpenError;
use crate::db::open::{Done, Hooks};

/// The database, with this process's state of the lease protocol. Changes of verdicts need a `Store`; for everything else its
/// [`Database`] suffices.
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

/// The batched operations of edges, and of changes that wait for edges.
#[derive(Debug)]
pub(super) struct LeasePath {
    pub(super) records: Batcher<Records>,
    pub(super) acknowledgements: AcknowledgementSender,
    pub(super) histories: Batcher<Histories>,
    pub(super) leases: Batcher<HeldLeases>,
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
    /// Opens the database of a `sqlite:` or `postgres:` URL, and migrates its tables. Creates a missing SQLite file.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let announced = Arc::<Announced>::default();
        Ok(Self::new(Database::open(url, announced.clone()).await?, announced))
    }

    /// Like [`Store::open`], but fails if there is no file or no table.
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
            acknowledgements: records.acknowledgements(),
            records: Batcher::start(records, database.record_pool.clone()),
            histories: Batcher::start(Histories, database.batch_pool.clone()),
            leases: Batcher::start(HeldLeases, database.batch_pool.clone()),
            flush: Batcher::start(Flush, database.flush_pool.clone()),
            verdicts: Batcher::start(Verdicts, database.batch_pool.clone()),
        });
        let (uses, notifications) = Default::default();
        Store { database, announced, lease_path, uses, notifications }
    }

    /// The database for one operation of the lease protocol.
    pub fn lease_store(&self) -> SqlLeaseStore {
        SqlLeaseStore::new(self.clone())
    }

    /// Announces the length of this process's leases, margin included. Call it before the first lease.
    ///
    /// # Errors
    /// The database failed.
    pub async fn announce_leases(&self, lasts_ms: u64) -> db::Result<()> {
        self.announced.announce(&self.writer, lasts_ms).await
    }

    /// Lowers the limits of the lease length by one step towards this process's leases, and shortens a wait for lost leases that
    /// a clock set back has made too long. The service calls it once a minute.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lower_lease_bounds(&self) -> db::Result<()> {
        let mut write = self.begin_write().await?;
        leases::shorten_loss_wait(write.connection()).await?;
        if let Some(lasts_ms) = self.announced.lasts_ms() {
            lease_limit::lower(write.connection(), lasts_ms).await?;
        }
        write.commit().await
    }

    /// Writes the reported last uses of keys.
    pub(crate) async fn write_uses(&self) {
        self.uses.write(&self.database).await;
    }

    /// Answers every held sync now, and holds no more syncs.
    pub fn stop_holding(&self) {
        self.notifications.close();
    }
}
