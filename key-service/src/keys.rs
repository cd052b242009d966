//! Personal API keys: made, shown, changed, rolled and deleted.
//!
//! A key's value is returned once, by [`create`] or [`roll`]; only its digest and its mask are kept.

use protocol::{ApiKey, KeyDigest, ScopeSet};
use serde::Serialize;
use uuid::Uuid;

use crate::changes::{Change, Committed};
use crate::clock::Timestamp;
use crate::store::{Database, keys as store};

/// The most keys that one user can have.
pub const MAX_KEYS_PER_USER: usize = 10;

/// A key as it is kept: everything but its value.
#[derive(Clone, Debug)]
pub struct Key {
    /// Opaque and never reused.
    pub id: String,
    /// Whose key it is.
    pub user_id: String,
    /// The owner's own words for it.
    pub label: String,
    /// What the current value is recognised by: [`ApiKey::mask`].
    pub mask_value: String,
    /// What the owner lets it do, before the limit of the owner's own permissions.
    pub scopes: ScopeSet,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, as far as edges have told.
    pub last_used_at: Option<Timestamp>,
    /// When it last got a new value.
    pub last_rolled_at: Option<Timestamp>,
    /// From when on it is refused; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// The JSON form of a key.
#[derive(Debug, Serialize)]
pub struct KeyView<'a> {
    id: &'a str,
    label: &'a str,
    value: Option<&'a str>,
    mask_value: &'a str,
    scopes: &'a ScopeSet,
    created_at: Timestamp,
    last_used_at: Option<Timestamp>,
    last_rolled_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    user_id: &'a str,
}

impl Key {
    /// The key's JSON form, with its value if it was given one just now.
    pub fn view<'a>(&'a self, value: Option<&'a ApiKey>) -> KeyView<'a> {
        KeyView {
            id: &self.id,
            label: &self.label,
            value: value.map(ApiKey::reveal),
            mask_value: &self.mask_value,
            scopes: &self.scopes,
            created_at: self.created_at,
            last_used_at: self.last_used_at,
            last_rolled_at: self.last_rolled_at,
            expires_at: self.expires_at,
            user_id: &self.user_id,
        }
    }
}

/// What a new key is made of; [`crate::key_fields`] checks the parts.
#[derive(Debug)]
pub struct NewKey {
    /// See [`crate::key_fields::label`].
    pub label: String,
    /// See [`crate::key_fields::scopes`].
    pub scopes: ScopeSet,
    /// See [`crate::key_fields::expires_at`].
    pub expires_at: Option<Timestamp>,
}

/// What to change of a key; `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct KeyPatch {
    /// A new label.
    pub label: Option<String>,
    /// New scopes in place of all old ones.
    pub scopes: Option<ScopeSet>,
    /// A new expiry; `Some(None)` takes it away.
    pub expires_at: Option<Option<Timestamp>>,
}

/// Why a key could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The user has [`MAX_KEYS_PER_USER`] keys.
    #[error(
        "You can only have {MAX_KEYS_PER_USER} personal API keys. Remove an existing key before creating a new one."
    )]
    TooMany,
    /// The user has no such key.
    #[error("there is no such key")]
    NotFound,
    /// The value that was to be taken over is some key's already.
    #[error("the value belongs to a key already")]
    ValueTaken,
    /// The system gave no randomness.
    #[error("no randomness for a new key: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// A new value of 256 random bits.
fn new_value() -> Result<ApiKey, getrandom::Error> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    Ok(ApiKey::from_entropy(entropy))
}

/// Makes a key with a new value, or with one taken over from elsewhere, and returns both.
///
/// # Errors
/// The user has too many keys, the value is taken, or a failure.
pub async fn create(
    database: &Database,
    user_id: &str,
    new: NewKey,
    value: Option<ApiKey>,
    now: Timestamp,
) -> Result<(Key, ApiKey), KeyError> {
    let value = value.map_or_else(new_value, Ok)?;
    let key = Key {
        id: Uuid::now_v7().to_string(),
        user_id: user_id.to_owned(),
        label: new.label,
        mask_value: value.mask(),
        scopes: new.scopes,
        created_at: now,
        last_used_at: None,
        last_rolled_at: None,
        expires_at: new.expires_at,
    };
    let mut change = Change::begin(database).await?;
    if store::list(change.connection(), user_id).await?.len() >= MAX_KEYS_PER_USER {
        return Err(KeyError::TooMany);
    }
    store::insert(&mut change, &key).await?;
    if !store::add_digest(&mut change, &key.id, value.digest()).await? {
        return Err(KeyError::ValueTaken);
    }
    change.commit().await?;
    Ok((key, value))
}

/// A user's keys, newest first.
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database, user_id: &str) -> Result<Vec<Key>, KeyError> {
    Ok(store::list(database.pool(), user_id).await?)
}

/// Every user's keys, newest first.
///
/// # Errors
/// The database failed.
pub async fn list_all(database: &Database) -> Result<Vec<Key>, KeyError> {
    Ok(store::list_all(database.pool()).await?)
}

/// The key with that id, whoever's it is.
///
/// # Errors
/// There is none, or the database failed.
pub async fn find(database: &Database, id: &str) -> Result<Key, KeyError> {
    store::find(database.pool(), id).await?.ok_or(KeyError::NotFound)
}

/// The key that has the value with that digest, if there is one.
///
/// # Errors
/// The database failed.
pub async fn find_by_digest(database: &Database, digest: KeyDigest) -> Result<Option<Key>, KeyError> {
    Ok(store::find_by_digest(database.pool(), digest).await?)
}

/// A user's key.
///
/// # Errors
/// The user has no such key, or the database failed.
pub async fn get(database: &Database, user_id: &str, id: &str) -> Result<Key, KeyError> {
    owned(store::find(database.pool(), id).await?, user_id)
}

/// Another user's key is as good as none.
fn owned(key: Option<Key>, user_id: &str) -> Result<Key, KeyError> {
    key.filter(|key| key.user_id == user_id).ok_or(KeyError::NotFound)
}

/// Changes fields of a user's key.
///
/// # Errors
/// The user has no such key, or the database failed.
pub async fn update(database: &Database, user_id: &str, id: &str, patch: KeyPatch) -> Result<Key, KeyError> {
    let mut change = Change::begin(database).await?;
    let mut key = owned(store::find(change.connection(), id).await?, user_id)?;
    key.label = patch.label.unwrap_or(key.label);
    key.scopes = patch.scopes.unwrap_or(key.scopes);
    key.expires_at = patch.expires_at.unwrap_or(key.expires_at);
    store::update(&mut change, &key).await?;
    change.commit().await?;
    Ok(key)
}

/// Gives a user's key a new value. The old one works `grace_s` seconds longer; without a grace it and every
/// older one stop at once.
///
/// # Errors
/// The user has no such key, or a failure.
pub async fn roll(
    database: &Database,
    user_id: &str,
    id: &str,
    grace_s: u32,
    now: Timestamp,
) -> Result<(Key, ApiKey), KeyError> {
    let value = new_value()?;
    let mut change = Change::begin(database).await?;
    let mut key = owned(store::find(change.connection(), id).await?, user_id)?;
    if grace_s == 0 {
        store::remove_digests(&mut change, id).await?;
    } else {
        store::retire_current_digest(&mut change, id, now.plus_seconds(grace_s), now).await?;
    }
    key.mask_value = value.mask();
    key.last_rolled_at = Some(now);
    store::update(&mut change, &key).await?;
    if !store::add_digest(&mut change, id, value.digest()).await? {
        return Err(KeyError::ValueTaken);
    }
    change.commit().await?;
    Ok((key, value))
}

/// Deletes a user's key with every value of it, for good.
///
/// # Errors
/// The user has no such key, or the database failed.
pub async fn delete(database: &Database, user_id: &str, id: &str) -> Result<Committed, KeyError> {
    let mut change = Change::begin(database).await?;
    owned(store::find(change.connection(), id).await?, user_id)?;
    store::delete(&mut change, id).await?;
    Ok(change.commit().await?)
}
