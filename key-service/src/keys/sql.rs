//! The SQL of personal API keys and of the digests of their values.

use ::leases::Position;
use const_format::formatcp;
use protocol::KeyDigest;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, AnyPool, FromRow, Row};

use super::key::{Generated, Key};
use super::search::{KeySearch, KeyState, OLD_AFTER_MS, OwnedKey};
use crate::accounts::access::KeyAccess;
use crate::db;
use crate::db::NOW_MS;
use crate::db::filter::{Filter, like_escaped};
use crate::db::rows::{RowResult, as_u64, restrictions, scopes, stored_ids, truth, with_rows};
use crate::paging::Page;
use crate::revocation::lease_store::Change;
use crate::time::Timestamp;

impl<'r> FromRow<'r, AnyRow> for OwnedKey {
    fn from_row(row: &'r AnyRow) -> RowResult<Self> {
        let (user_email, user_is_active) = (row.try_get("email")?, truth(row, "is_active")?);
        Ok(OwnedKey { key: Key::from_row(row)?, user_email, user_is_active })
    }
}

impl<'r> FromRow<'r, AnyRow> for Key {
    fn from_row(row: &'r AnyRow) -> RowResult<Self> {
        Ok(Key {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            label: row.try_get("label")?,
            mask_value: row.try_get("mask_value")?,
            scopes: scopes(row, "scopes")?,
            restrictions: restrictions(row)?,
            created_at: row.try_get("created_at")?,
            last_used_at: row.try_get("last_used_at")?,
            last_rolled_at: row.try_get("last_rolled_at")?,
            expires_at: row.try_get("expires_at")?,
            old_value_expires_at: row.try_get("old_value_expires_at")?,
        })
    }
}

/// The columns of a key, of `api_keys k`.
pub(crate) const KEY_COLUMNS: &str = formatcp!(
    "k.id, k.user_id, k.label, k.mask_value, k.scopes, k.scoped_teams, k.scoped_organizations,
        k.created_at, k.last_used_at, k.last_rolled_at, k.expires_at,
        (SELECT MAX(o.expires_at) FROM key_digests o WHERE o.key_id = k.id AND o.expires_at > {NOW_MS})
        AS old_value_expires_at"
);

/// A user's keys, newest first.
pub(crate) async fn list(connection: impl AnyExecutor<'_>, user_id: &str) -> db::Result<Vec<Key>> {
    let select = formatcp!(
        "SELECT {KEY_COLUMNS} FROM api_keys k WHERE k.user_id = $1 ORDER BY k.created_at DESC, k.id DESC"
    );
    Ok(sqlx::query_as(select).bind(user_id).fetch_all(connection).await?)
}

/// The number of a user's keys.
pub(crate) async fn count(connection: impl AnyExecutor<'_>, user_id: &str) -> db::Result<usize> {
    let select = "SELECT COUNT(*) FROM api_keys WHERE user_id = $1";
    let count: i64 = sqlx::query_scalar(select).bind(user_id).fetch_one(connection).await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// The key with that id.
pub(crate) async fn find(connection: impl AnyExecutor<'_>, id: &str) -> db::Result<Option<Key>> {
    let select = formatcp!("SELECT {KEY_COLUMNS} FROM api_keys k WHERE k.id = $1");
    Ok(sqlx::query_as(select).bind(id).fetch_optional(connection).await?)
}

/// The key with this id and the current position of the history, in one statement.
pub(crate) async fn find_at(
    connection: impl AnyExecutor<'_>,
    id: &str,
) -> db::Result<(Option<Key>, Position)> {
    let select = formatcp!(
        "SELECT l.epoch, l.revision, {KEY_COLUMNS} FROM revision_log l LEFT JOIN api_keys k ON k.id = $1"
    );
    let row = sqlx::query(select).bind(id).fetch_one(connection).await?;
    let position = Position { epoch: row.try_get("epoch")?, revision: as_u64(&row, "revision")? };
    let is_there = row.try_get::<Option<String>, _>("id")?.is_some();
    Ok((is_there.then(|| Key::from_row(&row)).transpose()?, position))
}

/// The key whose value has this digest, expired or not.
pub(crate) async fn find_by_digest(
    connection: impl AnyExecutor<'_>,
    digest: KeyDigest,
) -> db::Result<Option<Key>> {
    let select = formatcp!(
        "SELECT {KEY_COLUMNS} FROM key_digests d JOIN api_keys k ON k.id = d.key_id WHERE d.digest = $1"
    );
    Ok(sqlx::query_as(select).bind(digest.to_hex()).fetch_optional(connection).await?)
}

/// Adds keys. A key without a value alters no verdict.
pub(crate) async fn insert(connection: impl AnyExecutor<'_>, keys: &[&Key]) -> db::Result<()> {
    let insert = "INSERT INTO api_keys
        (id, user_id, label, mask_value, scopes, scoped_teams, scoped_organizations,
        created_at, last_used_at, last_rolled_at, expires_at) VALUES :rows";
    let mut query = sqlx::query(with_rows(insert, 11, keys.len()));
    for key in keys {
        query = query
            .bind(&key.id)
            .bind(&key.user_id)
            .bind(&key.label)
            .bind(&key.mask_value)
            .bind(key.scopes.to_string())
            .bind(stored_ids(key.restrictions.projects.as_ref()))
            .bind(stored_ids(key.restrictions.organizations.as_ref()))
            .bind(key.created_at)
            .bind(key.last_used_at)
            .bind(key.last_rolled_at)
            .bind(key.expires_at);
    }
    query.execute(connection).await?;
    Ok(())
}

/// Gives a key another label.
pub(crate) async fn set_label(connection: impl AnyExecutor<'_>, id: &str, label: &str) -> db::Result<()> {
    sqlx::query("UPDATE api_keys SET label = $1 WHERE id = $2")
        .bind(label)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Updates the fields of a key that can change.
pub(crate) async fn update(change: &mut Change, key: &Key) -> db::Result<()> {
    let update = "UPDATE api_keys
        SET label = $1, mask_value = $2, scopes = $3, scoped_teams = $4, scoped_organizations = $5, last_rolled_at = $6,
            expires_at = $7
        WHERE id = $8";
    sqlx::query(update)
        .bind(&key.label)
        .bind(&key.mask_value)
        .bind(key.scopes.to_string())
        .bind(stored_ids(key.restrictions.projects.as_ref()))
        .bind(stored_ids(key.restrictions.organizations.as_ref()))
        .bind(key.last_rolled_at)
        .bind(key.expires_at)
        .bind(&key.id)
        .execute(change.connection())
        .await?;
    Ok(())
}

/// The statements of [`remove_digests_where`] for a condition.
macro_rules! digests_where {
    ($condition:literal) => {
        [
            formatcp!(
                "INSERT INTO revoked_digests (digest, revoked_at)
                SELECT digest, {NOW_MS} FROM key_digests WHERE {} ON CONFLICT (digest) DO NOTHING",
                $condition
            ),
            concat!("DELETE FROM key_digests WHERE ", $condition),
        ]
    };
}

/// Removes a key and all its values.
pub(crate) async fn delete(change: &mut Change, id: &str) -> db::Result<()> {
    remove_digests(change, id).await?;
    sqlx::query("DELETE FROM api_keys WHERE id = $1").bind(id).execute(change.connection()).await?;
    Ok(())
}

/// Removes all keys of a user and all their values.
pub(crate) async fn delete_all_of(change: &mut Change, user_id: &str) -> db::Result<()> {
    let statements = digests_where!("key_id IN (SELECT id FROM api_keys WHERE user_id = $1)");
    remove_digests_where(change.connection(), statements, user_id, None).await?;
    let delete = "DELETE FROM api_keys WHERE user_id = $1";
    sqlx::query(delete).bind(user_id).execute(change.connection()).await?;
    Ok(())
}

/// Makes a new value the current one. No edge can have looked it up before, so this alters no verdict.
pub(crate) async fn add_generated(
    connection: &mut AnyConnection,
    key_id: &str,
    value: &Generated,
) -> db::Result<()> {
    if add_digest(connection, key_id, value.digest()).await? { Ok(()) } else { Err(db::Error::DigestTaken) }
}

/// Makes an existing value from another system the current one; `false` if it already belongs to a key.
pub(crate) async fn adopt_value(change: &mut Change, key_id: &str, digest: KeyDigest) -> db::Result<bool> {
    add_digest(change.connection(), key_id, digest).await
}

async fn add_digest(connection: &mut AnyConnection, key_id: &str, digest: KeyDigest) -> db::Result<bool> {
    let insert = "INSERT INTO key_digests (digest, key_id, expires_at) VALUES ($1, $2, NULL)
        ON CONFLICT (digest) DO NOTHING";
    let done = sqlx::query(insert).bind(digest.to_hex()).bind(key_id).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Revokes all values of a key permanently.
pub(crate) async fn remove_digests(change: &mut Change, key_id: &str) -> db::Result<()> {
    remove_digests_where(change.connection(), digests_where!("key_id = $1"), key_id, None).await
}

/// Revokes one value permanently.
pub(crate) async fn remove_digest(change: &mut Change, digest: KeyDigest) -> db::Result<()> {
    remove_digests_where(change.connection(), digests_where!("digest = $1"), &digest.to_hex(), None).await
}

/// Lets the current value work until `end`, and removes the values that expired before `now`. Older values keep their own
/// ends. Returns how many old values work now.
pub(crate) async fn retire_current_digest(
    change: &mut Change,
    key_id: &str,
    end: Timestamp,
    now: Timestamp,
) -> db::Result<usize> {
    let connection = change.connection();
    remove_digests_where(
        &mut *connection,
        digests_where!("key_id = $1 AND expires_at <= $2"),
        key_id,
        Some(now),
    )
    .await?;
    let update = "UPDATE key_digests SET expires_at = $1 WHERE key_id = $2 AND expires_at IS NULL";
    sqlx::query(update).bind(end).bind(key_id).execute(&mut *connection).await?;
    let old: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM key_digests WHERE key_id = $1")
        .bind(key_id)
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(old).unwrap_or_default())
}

/// Removes digests and records them as revoked, so that these values never work again.
async fn remove_digests_where(
    connection: &mut AnyConnection,
    statements: [&'static str; 2],
    text: &str,
    time: Option<Timestamp>,
) -> db::Result<()> {
    for statement in statements {
        let mut query = sqlx::query(statement).bind(text);
        if let Some(time) = time {
            query = query.bind(time);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The key whose value has this digest, and whether the value is the current one.
pub(crate) async fn find_value(
    connection: &mut AnyConnection,
    digest: KeyDigest,
) -> db::Result<Option<(Key, bool)>> {
    let select = formatcp!(
        "SELECT {KEY_COLUMNS}, CASE WHEN d.expires_at IS NULL THEN 1 ELSE 0 END AS is_current
        FROM key_digests d JOIN api_keys k ON k.id = d.key_id WHERE d.digest = $1"
    );
    let row = sqlx::query(select).bind(digest.to_hex()).fetch_optional(connection).await?;
    row.map(|row| Ok((Key::from_row(&row)?, truth(&row, "is_current")?))).transpose()
}

/// Records values that belong to no key as revoked, so that they can never become a key's value.
pub(crate) async fn revoke_unknown(change: &mut Change, digests: &[KeyDigest]) -> db::Result<()> {
    let insert = formatcp!(
        "INSERT INTO revoked_digests (digest, revoked_at) VALUES ($1, {NOW_MS}) ON CONFLICT (digest) DO NOTHING"
    );
    for digest in digests {
        let query = sqlx::query(insert).bind(digest.to_hex());
        query.execute(change.connection()).await?;
    }
    Ok(())
}

/// Whether the value with this digest was revoked.
pub(crate) async fn is_revoked(connection: impl AnyExecutor<'_>, digest: KeyDigest) -> db::Result<bool> {
    let select = "SELECT digest FROM revoked_digests WHERE digest = $1";
    Ok(sqlx::query(select).bind(digest.to_hex()).fetch_optional(connection).await?.is_some())
}

/// Keys with their owners, newest first.
pub(crate) async fn search(pool: &AnyPool, search: &KeySearch<'_>) -> db::Result<Page<OwnedKey>> {
    let mut filter = Filter::default();
    match search.access {
        KeyAccess::User(id) => filter.and("k.user_id = ?", [id.into()]),
        KeyAccess::Users(ids) => filter.and_one_of("k.user_id", ids),
        KeyAccess::AdminAndServices(id) => {
            // The addresses of service accounts.
            let access = "k.user_id = ? OR (u.email LIKE 'service:%' AND u.email NOT LIKE '%@%')";
            filter.and(access, [id.into()]);
        }
        KeyAccess::Members => filter.and("u.is_admin = 0", []),
        KeyAccess::Anyone => {}
    }
    if let Some(user_id) = &search.user_id {
        filter.and("k.user_id = ?", [user_id.as_str().into()]);
    }
    if let Some(text) = &search.text {
        filter.and_contains(&["k.label", "u.email", "k.mask_value"], text);
    }
    if let Some(scope) = &search.scope {
        let padded = format!("% {} %", like_escaped(&scope.to_string()));
        filter.and(r"' ' || k.scopes || ' ' LIKE ? ESCAPE '\'", [padded.as_str().into()]);
    }
    let long_ago = search.now.unix_ms().saturating_sub(OLD_AFTER_MS);
    match search.state {
        None => {}
        Some(KeyState::Old) => {
            let old = "COALESCE(k.last_rolled_at, k.created_at) <= ? AND (k.expires_at IS NULL OR k.expires_at > ?)";
            filter.and(old, [long_ago.into(), search.now.unix_ms().into()]);
        }
        Some(KeyState::Unused) => {
            filter.and("COALESCE(k.last_used_at, k.created_at) <= ?", [long_ago.into()]);
        }
        Some(KeyState::NeverUsed) => filter.and("k.last_used_at IS NULL", []),
        Some(KeyState::Expired) => filter.and("k.expires_at <= ?", [search.now.unix_ms().into()]),
        Some(KeyState::Disabled) => filter.and("u.is_active = 0", []),
    }
    let from = "api_keys k JOIN users u ON u.id = k.user_id";
    filter
        .find(
            pool,
            formatcp!("{KEY_COLUMNS}, u.email, u.is_active"),
            from,
            "k.created_at DESC, k.id DESC",
            search.page,
        )
        .await
}

#[cfg(test)]
mod tests {
    use protocol::{Restrictions, ScopeSet};

    use super::*;
    use crate::audit::Actor;
    use crate::keys::{NewKey, create, roll};
    use crate::testing;
    use ::leases::{AffectedKeys, Change as _, LeaseStore};

    #[tokio::test]
    async fn a_leaked_value_affects_every_value_of_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let (by, now) = (Actor::service(), Timestamp::now());
        let user = testing::user(&store).await;
        let mut values = Vec::new();
        for label in ["leaked", "another"] {
            let (label, scopes) = (label.parse().unwrap(), ScopeSet::all());
            let new = NewKey { label, scopes, restrictions: Restrictions::default(), expires_at: None };
            let (key, old) = create(&store, &by, KeyAccess::Anyone, &user.id, new, now).await.unwrap();
            let (_, value, _) = roll(&store, &by, KeyAccess::Anyone, &key.id, 60).await.unwrap();
            values.push([old.digest(), value.digest()]);
        }
        let affected = AffectedKeys::KeysWith(vec![values[0][0], KeyDigest::of_value("phx_of_nobody")]);
        let mut change = store.lease_store().begin().await.unwrap();
        let mut digests = change.digests(&affected).await.unwrap();
        digests.sort_unstable();
        values[0].sort_unstable();
        assert_eq!(digests, values[0]);
    }
}
