//! The [`LeaseStore`] in SQL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::leases::{Acknowledgement, AffectedKeys, History, LeaseRenewal, LeaseStore, Leases, Position};
use protocol::{KeyDigest, VerifyResponse};
use sqlx::AnyConnection;
use tokio::sync::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::revision;
use super::store::Store;
use crate::db;
use crate::db::dialect::Kind;
use crate::db::postgres;
use crate::db::rows::digest;
use crate::db::transaction::Write;
use crate::telemetry::METRICS;
use crate::time::monotonic_now;

/// The database for one sync, one verify or one change.
#[derive(Debug)]
pub struct SqlLeaseStore {
    store: Store,
    /// The acknowledgements since the first read of the leases.
    acknowledgements: Mutex<Option<Receiver<Arc<[Acknowledgement]>>>>,
    began: Instant,
}

impl SqlLeaseStore {
    pub(super) fn new(store: Store) -> Self {
        SqlLeaseStore { store, acknowledgements: Mutex::default(), began: monotonic_now() }
    }

    /// Takes the revision lock and increments the revision.
    async fn increment(&self) -> db::Result<Change> {
        let mut write = self.store.begin_write().await?;
        let position = revision::increment(write.connection()).await?;
        Ok(Change { store: self.store.clone(), write, position })
    }
}

impl LeaseStore for SqlLeaseStore {
    type Error = db::Error;
    type Change<'l> = Change;

    async fn begin(&self) -> db::Result<Change> {
        let mut change = self.increment().await?;
        let position = change.position.clone();
        if !self.store.continues(change.connection(), &position).await? {
            self.store.begin_epoch(change.write).await?;
            change = self.increment().await?;
        }
        Ok(change)
    }

    async fn record(&self, mut renewal: LeaseRenewal) -> db::Result<()> {
        self.store.uses.add(std::mem::take(&mut renewal.used));
        self.store.lease_path.records.run(renewal).await
    }

    async fn history(&self, since: Option<&Position>) -> db::Result<History> {
        let history = self.store.lease_path.histories.run(since.cloned()).await?;
        self.store.notifications.publish(&history.position);
        Ok(Arc::unwrap_or_clone(history))
    }

    async fn leases(&self, position: &Position) -> db::Result<Leases> {
        self.acknowledgements
            .lock()
            .await
            .get_or_insert_with(|| self.store.lease_path.acknowledgements.subscribe());
        let leases = self.store.lease_path.leases.run(position.clone()).await?;
        leases.ok_or(db::Error::EpochReplaced)
    }

    async fn verdicts(&self, digests: &[KeyDigest]) -> db::Result<VerifyResponse> {
        self.store.lease_path.verdicts.run(digests.to_vec()).await
    }

    async fn flush(&self) -> db::Result<()> {
        match self.store.kind {
            // Everything that can be read is on the disk.
            Kind::Sqlite => Ok(()),
            Kind::Postgres { .. } => self.store.lease_path.flush.run(()).await,
        }
    }

    async fn wait_for_change(&self, beyond: &Position, at_most: Duration) -> bool {
        let _holding = METRICS.holding();
        self.store.notifications.wait_for_change(beyond, at_most).await
    }

    async fn acknowledgements(&self, at_most: Duration) -> Vec<Acknowledgement> {
        let mut receiver = self.acknowledgements.lock().await;
        let receiver = receiver.get_or_insert_with(|| self.store.lease_path.acknowledgements.subscribe());
        match tokio::time::timeout(at_most, receiver.recv()).await {
            Ok(Ok(batch)) => batch.to_vec(),
            // The next read of the leases finds what was dropped.
            Ok(Err(RecvError::Lagged(_))) | Err(_) => Vec::new(),
            // Nothing records leases any more.
            Ok(Err(RecvError::Closed)) => {
                tokio::time::sleep(at_most).await;
                Vec::new()
            }
        }
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from((monotonic_now() - self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

/// A change that has begun: it has incremented the revision, and no other change can begin until this one ends. Dropping it
/// before the commit rolls it back.
///
/// Functions that can alter a verdict take a `Change`, so that they cannot run outside one.
#[derive(Debug)]
pub struct Change {
    store: Store,
    write: Write,
    position: Position,
}

impl Change {
    /// The connection for the change's statements.
    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        self.write.connection()
    }
}

impl ::leases::Change for Change {
    type Error = db::Error;

    async fn digests(&mut self, affected: &AffectedKeys) -> db::Result<Vec<KeyDigest>> {
        let (select, id) = match affected {
            AffectedKeys::Value(digest) => return Ok(vec![*digest]),
            AffectedKeys::Key(id) => ("SELECT digest FROM key_digests WHERE key_id = $1", id),
            AffectedKeys::User(id) => (
                "SELECT d.digest FROM api_keys k JOIN key_digests d ON d.key_id = k.id WHERE k.user_id = $1",
                id,
            ),
            AffectedKeys::KeysWith(values) => return all_digests(self.connection(), values).await,
        };
        let found: Vec<String> = sqlx::query_scalar(select).bind(id).fetch_all(self.connection()).await?;
        found.into_iter().map(digest).collect()
    }

    async fn commit(mut self, changed: &[KeyDigest]) -> db::Result<Position> {
        revision::insert_changes(self.connection(), changed).await?;
        if let Kind::Postgres { .. } = self.store.kind {
            postgres::notify(self.connection()).await?;
        }
        self.write.commit().await?;
        self.store.notifications.publish(&self.position);
        Ok(self.position)
    }

    async fn abandon(self) -> db::Result<Position> {
        self.write.rollback().await?;
        Ok(Position { revision: self.position.revision.saturating_sub(1), ..self.position })
    }
}

/// All digests of each key that has one of these.
async fn all_digests(connection: &mut AnyConnection, digests: &[KeyDigest]) -> db::Result<Vec<KeyDigest>> {
    let mut all = Vec::new();
    for known in digests {
        let select = "SELECT d.digest FROM key_digests k JOIN key_digests d ON d.key_id = k.key_id
            WHERE k.digest = $1";
        let found: Vec<String> =
            sqlx::query_scalar(select).bind(known.to_hex()).fetch_all(&mut *connection).await?;
        all.extend(found.into_iter().map(digest).collect::<db::Result<Vec<_>>>()?);
    }
    Ok(all)
}
