//! Reads the keys that a caller may see.

use protocol::{KeyDigest, ScopeSet};
use serde_json::Value;
use sqlx::{AnyConnection, AnyExecutor};

use super::key::{Key, KeyError};
use super::sql;
use crate::accounts::User;
use crate::accounts::access::KeyAccess;
use crate::accounts::sql::users;
use crate::audit::{self, Action, Actor, Event};
use crate::db;
use crate::db::Database;

/// The user with this id. A user outside `access` is treated as missing.
pub(super) async fn user_within(
    connection: impl AnyExecutor<'_>,
    access: KeyAccess<'_>,
    user_id: &str,
) -> Result<User, KeyError> {
    let user = users::find(connection, user_id).await?;
    user.filter(|user| access.includes(user)).ok_or(KeyError::NoSuchUser)
}

/// Whether a key is within `access`.
pub(super) async fn is_within(
    connection: impl AnyExecutor<'_>,
    access: KeyAccess<'_>,
    key: &Key,
) -> Result<bool, KeyError> {
    match user_within(connection, access, &key.user_id).await {
        Err(KeyError::NoSuchUser) => Ok(false),
        user => user.map(|_| true),
    }
}

/// The key with this id. A key outside `access` is treated as missing.
pub(super) async fn key_within(
    connection: &mut AnyConnection,
    access: KeyAccess<'_>,
    id: &str,
) -> Result<Key, KeyError> {
    let key = sql::find(&mut *connection, id).await?.ok_or(KeyError::NotFound)?;
    if is_within(connection, access, &key).await? { Ok(key) } else { Err(KeyError::NotFound) }
}

/// Writes an entry about a key to the audit log.
pub(super) async fn log(
    connection: &mut AnyConnection,
    by: &Actor,
    action: Action,
    key: &Key,
    detail: Value,
) -> db::Result<()> {
    let subject = Some((key.id.as_str(), key.label.as_str()));
    audit::record(connection, by, Event { action, user_id: Some(&key.user_id), subject, detail: &detail })
        .await
}

/// A user's keys, newest first.
///
/// # Errors
/// The user does not exist, or the database failed.
pub async fn list(database: &Database, access: KeyAccess<'_>, user_id: &str) -> Result<Vec<Key>, KeyError> {
    user_within(database.pool(), access, user_id).await?;
    Ok(sql::list(database.pool(), user_id).await?)
}

/// The scopes of the key with this id; none if there is no such key within `access`.
///
/// # Errors
/// The database failed.
pub async fn scopes(database: &Database, access: KeyAccess<'_>, id: &str) -> Result<ScopeSet, KeyError> {
    match get(database, access, id).await {
        Err(KeyError::NotFound) => Ok(ScopeSet::default()),
        key => Ok(key?.scopes),
    }
}

/// The key with this id, of any user.
///
/// # Errors
/// The key does not exist, or the database failed.
pub async fn find(database: &Database, id: &str) -> Result<Key, KeyError> {
    sql::find(database.pool(), id).await?.ok_or(KeyError::NotFound)
}

/// The key whose value has this digest, if any.
///
/// # Errors
/// The database failed.
pub async fn find_by_digest(database: &Database, digest: KeyDigest) -> Result<Option<Key>, KeyError> {
    Ok(sql::find_by_digest(database.pool(), digest).await?)
}

/// Whether a value was revoked. A revoked value never works again.
///
/// # Errors
/// The database failed.
pub async fn is_revoked(database: &Database, digest: KeyDigest) -> Result<bool, KeyError> {
    Ok(sql::is_revoked(database.pool(), digest).await?)
}

/// A key within `access`.
///
/// # Errors
/// The key does not exist, or the database failed.
pub async fn get(database: &Database, access: KeyAccess<'_>, id: &str) -> Result<Key, KeyError> {
    let mut connection = database.connection().await?;
    key_within(&mut connection, access, id).await
}
