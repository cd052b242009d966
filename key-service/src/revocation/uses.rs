//! The last uses of keys, as edges report them. They are written about once a second, so that no lease waits for them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, PoisonError};

use super::leases;
use crate::db;
use crate::db::transaction::within;
use crate::db::{Database, WRITE_AT_MOST};
use crate::telemetry::METRICS;

/// The most uses in one write. Other writes wait meanwhile.
const AT_ONCE: usize = 1_000;

/// The most uses that wait to be written. Others are dropped; edges report each key again within about an hour.
const MOST: usize = 200_000;

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
            let has_room = latest.len() < MOST;
            match latest.entry(key_id) {
                Entry::Occupied(mut known) => *known.get_mut() = at_ms.max(*known.get()),
                Entry::Vacant(place) if has_room => drop(place.insert(at_ms)),
                Entry::Vacant(_) => {}
            }
        }
    }

    /// Removes and returns some of them.
    fn take_some(&self) -> Vec<(String, i64)> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| latest.pop_first()).take(AT_ONCE).collect()
    }

    /// Writes all uses. What cannot be written is kept for the next time.
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
