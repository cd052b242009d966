//! Creates keys.

use leases::{AffectedKeys, change};
use protocol::{ApiKey, ScopeSet};
use sqlx::AnyConnection;

use super::key::{Generated, Key, KeyError, NewKey, most_keys};
use super::read::{key_within, log, user_within};
use super::{rules, sql};
use crate::accounts::access::KeyAccess;
use crate::accounts::authority;
use crate::audit::{Action, Actor};
use crate::idempotency::RepeatableRequest;
use crate::random;
use crate::revocation::Store;
use crate::revocation::propagation::Propagation;
use crate::time::Timestamp;

/// Creates a key with a new value, and returns both.
///
/// # Errors
/// The user has too many keys or lacks one of the scopes, randomness is missing, or the database failed.
pub async fn create(
    store: &Store,
    by: &Actor,
    access: KeyAccess<'_>,
    user_id: &str,
    new: NewKey,
    now: Timestamp,
) -> Result<(Key, ApiKey), KeyError> {
    let mut write = store.begin_write().await?;
    authority::recheck(write.connection(), by, access.role()).await?;
    let made = insert_new(write.connection(), by, access, user_id, new, now).await?;
    write.commit().await?;
    Ok(made)
}

/// Like [`create`], but a repetition of `request` returns the key without its value.
///
/// # Errors
/// Those of [`create`], and the request repeats an earlier one with other content, or its key was deleted.
pub async fn create_once(
    store: &Store,
    by: &Actor,
    access: KeyAccess<'_>,
    user_id: &str,
    new: NewKey,
    now: Timestamp,
    request: Option<&RepeatableRequest>,
) -> Result<(Key, Option<ApiKey>), KeyError> {
    let mut write = store.begin_write().await?;
    authority::recheck(write.connection(), by, access.role()).await?;
    if let Some(request) = request
        && let Some(id) = request.made(write.connection()).await?
    {
        let key = key_within(write.connection(), access, &id).await?;
        write.rollback().await?;
        return Ok((key, None));
    }
    let (key, value) = insert_new(write.connection(), by, access, user_id, new, now).await?;
    if let Some(request) = request {
        request.record(write.connection(), &key.id).await?;
    }
    write.commit().await?;
    Ok((key, Some(value)))
}

async fn insert_new(
    connection: &mut AnyConnection,
    by: &Actor,
    access: KeyAccess<'_>,
    user_id: &str,
    new: NewKey,
    now: Timestamp,
) -> Result<(Key, ApiKey), KeyError> {
    let value = Generated::new()?;
    let key = new_key(user_id, new, &value.0, now);
    insert(&mut *connection, access, &key).await?;
    sql::add_generated(&mut *connection, &key.id, &value).await?;
    log(connection, by, Action::KeyCreated, &key, key.granted()).await?;
    Ok((key, value.0))
}

/// Creates a key with an existing value from another system. Edges may have cached a refusal of the value, so the change
/// waits for them.
///
/// # Errors
/// The user has too many keys or lacks one of the scopes, the value belongs to a key or was revoked, or the database failed.
pub async fn adopt_value(
    store: &Store,
    by: &Actor,
    user_id: &str,
    new: NewKey,
    value: &ApiKey,
    now: Timestamp,
) -> Result<(Key, Propagation), KeyError> {
    let key = new_key(user_id, new, value, now);
    let lease_store = store.lease_store();
    let mut pending = change::begin(&lease_store, &AffectedKeys::Value(value.digest())).await?;
    let connection = pending.change().connection();
    if sql::is_revoked(&mut *connection, value.digest()).await? {
        return Err(KeyError::ValueRevoked);
    }
    insert(&mut *connection, KeyAccess::Anyone, &key).await?;
    log(connection, by, Action::KeyAdopted, &key, key.granted()).await?;
    if !sql::adopt_value(pending.change(), &key.id, value.digest()).await? {
        return Err(KeyError::ValueTaken);
    }
    Ok((key, Propagation::new(store, pending.commit().await?)))
}

fn new_key(user_id: &str, new: NewKey, value: &ApiKey, now: Timestamp) -> Key {
    Key {
        id: random::ordered_uuid().to_string(),
        user_id: user_id.to_owned(),
        label: new.label.into(),
        mask_value: value.mask(),
        scopes: new.scopes,
        restrictions: new.restrictions,
        created_at: now,
        last_used_at: None,
        last_rolled_at: None,
        expires_at: new.expires_at,
        old_value_expires_at: None,
    }
}

/// Adds a key, unless its user has too many, lacks one of its scopes, or is not within `access`.
async fn insert(connection: &mut AnyConnection, access: KeyAccess<'_>, key: &Key) -> Result<(), KeyError> {
    let user = user_within(&mut *connection, access, &key.user_id).await?;
    rules::within_permissions(&key.scopes, &user.permissions, &ScopeSet::default())
        .map_err(|violation| violation.of("scopes"))?;
    let most = most_keys(user.kind);
    if sql::count(&mut *connection, &key.user_id).await? >= most {
        return Err(KeyError::TooMany(most));
    }
    Ok(sql::insert(connection, &[key]).await?)
}
