//! The SQL of verdicts: the keys of digests and the revision, from one snapshot.

use std::collections::HashMap;

use const_format::formatcp;
use protocol::{KeyDigest, Restrictions, ScopeSet};
use sqlx::any::AnyRow;
use sqlx::{AnyExecutor, Row};

use crate::db;
use crate::db::NOW_MS;
use crate::db::rows::{as_u64, digest, restrictions, scopes, truth, with_list};
use crate::time::Timestamp;

/// The stored key of a digest, and its user.
#[derive(Debug)]
pub(crate) struct StoredKey {
    pub(crate) key_id: String,
    pub(crate) user_id: String,
    pub(crate) user_is_active: bool,
    pub(crate) user_permissions: ScopeSet,
    pub(crate) scopes: ScopeSet,
    pub(crate) restrictions: Restrictions,
    pub(crate) key_expires_at: Option<Timestamp>,
    pub(crate) digest_expires_at: Option<Timestamp>,
}

/// Keys and revision from one snapshot.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) now: Timestamp,
    pub(crate) epoch: String,
    pub(crate) revision: u64,
    pub(crate) keys: HashMap<KeyDigest, StoredKey>,
}

/// Reads the keys of `digests` together with the revision. A single statement reads a single snapshot, on both databases and
/// at every isolation level.
pub(crate) async fn snapshot(
    connection: impl AnyExecutor<'_>,
    digests: &[KeyDigest],
) -> db::Result<Snapshot> {
    // The outer join returns the revision even without digests.
    let select = formatcp!(
        "SELECT {NOW_MS} AS now_ms, l.epoch, l.revision, d.digest, d.expires_at AS digest_expires_at,
            k.id AS key_id, k.scopes, k.scoped_teams, k.scoped_organizations, k.expires_at AS key_expires_at,
            u.id AS user_id, u.is_active, u.permissions
        FROM revision_log l
        LEFT JOIN key_digests d ON d.digest IN (:list)
        LEFT JOIN api_keys k ON k.id = d.key_id
        LEFT JOIN users u ON u.id = k.user_id"
    );
    let mut query = sqlx::query(with_list(select, digests.len()));
    for digest in digests {
        query = query.bind(digest.to_hex());
    }
    let rows = query.fetch_all(connection).await?;
    let head = rows.first().ok_or(db::Error::Missing("revision_log"))?;
    let mut snapshot = Snapshot {
        now: head.try_get("now_ms")?,
        epoch: head.try_get("epoch")?,
        revision: as_u64(head, "revision")?,
        keys: HashMap::new(),
    };
    for row in &rows {
        if let Some(hex) = row.try_get::<Option<String>, _>("digest")? {
            snapshot.keys.insert(digest(hex)?, stored_key(row)?);
        }
    }
    Ok(snapshot)
}

fn stored_key(row: &AnyRow) -> db::Result<StoredKey> {
    Ok(StoredKey {
        key_id: row.try_get("key_id")?,
        user_id: row.try_get("user_id")?,
        user_is_active: truth(row, "is_active")?,
        user_permissions: scopes(row, "permissions")?,
        scopes: scopes(row, "scopes")?,
        restrictions: restrictions(row)?,
        key_expires_at: row.try_get("key_expires_at")?,
        digest_expires_at: row.try_get("digest_expires_at")?,
    })
}
