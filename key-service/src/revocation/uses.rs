//! The last uses of keys, as edges report them. They are written about once a second, so that no lease waits for them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, PoisonError};

use super::leases;
use crate::db;
use crate::db::transaction::within;
use crate::db::{Database, WRITE_AT_MOST};
use crate::telemetry::METRICS;

/// The most uses in one write, because other writes wait for it.
const MAX_WRITTEN_AT_ONCE: usize = 1_000;

/// The most uses that wait to be written. Further ones are dropped; edges report a key that is in use again within about an hour.
const MAX_PENDING: usize = 200_000;

/// The uses that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// The latest use of each key, by its id, in milliseconds since 1970-01-01 UTC.
    latest: Mutex<BTreeMap<String, i64>>,
}

impl Uses {
    /// Adds uses: by key id, in seconds since 1970-01-01 UTC.
    pub(super) fn add(&self, used: BTreeMap<String, u64>) {
        if used.is_empty() {
            return;
        }
        self.merge(
            used.into_iter()
                .map(|(key_id, at_s)| (key_id, i64::try_from(at_s).unwrap_or(i64::MAX).saturating_mul(1000))),
        );
    }

    fn merge(&self, used: impl Iterator<Item = (String, i64)>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        for (key_id, at_ms) in used {
            let has_room = latest.len() < MAX_PENDING;
            match latest.entry(key_id) {
                Entry::Occupied(mut known) => *known.get_mut() = at_ms.max(*known.get()),
                Entry::Vacant(place) if has_room => drop(place.insert(at_ms)),
                Entry::Vacant(_) => {}
            }
        }
    }

    /// Removes and returns up to [`MAX_WRITTEN_AT_ONCE`] uses.
    fn take_some(&self) -> Vec<(String, i64)> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| latest.pop_first()).take(MAX_WRITTEN_AT_ONCE).collect()
    }

    /// Writes all uses. If a write fails, its uses are kept for the next call.
    pub(super) async fn write(&self, database: &Database) {
        loop {
            let used = self.take_some();
            if used.is_empty() {
                return;
            }
            if let Err(error) = within(WRITE_AT_MOST, write_some(database, &used)).await {
                METRICS.database_failed();
                tracing::warn!(%error, "cannot write the last uses of keys");
                self.merge(used.into_iter());
                return;
            }
        }
    }
}

async fn write_some(database: &Database, used: &[(String, i64)]) -> db::Result<()> {
    let mut write = database.begin_write().await?;
    leases::write_uses(write.connection(), used).await?;
    write.commit().await
}
