//! Personal API keys: made, shown, changed, rolled and deleted.
//!
//! A key's value is returned once, by [`create`] or [`roll`]; only its digest and its mask are kept.

use leases::{Touched, change};
use protocol::{ApiKey, KeyDigest, ScopeSet};
use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, AnyExecutor};
use uuid::Uuid;

use crate::accounts::User;
use crate::audit::{self, Action, Actor, Event};
use crate::authority::{self, AuthorityError, Role};
use crate::clock::Timestamp;
use crate::invalid::Invalid;
use crate::key_fields;
use crate::settling::Settling;
use crate::store::{Database, DatabaseLedger, keys as store, users};

mod search;
mod view;

pub(crate) use search::LONG_MS;
pub use search::{KeySearch, KeyState, LONG_DAYS, OwnedKey, search};
pub use view::{ChangedKey, KeyView, OwnedKeyView};

/// The most keys that one user can have.
pub const MAX_KEYS_PER_USER: usize = 10;

/// The most old values of one key that rolls can leave working at a time.
pub const MAX_OLD_VALUES: usize = 5;

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
    /// Until when values of before the last rolls work, the last of them; `None` if none does.
    pub old_value_expires_at: Option<Timestamp>,
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
    /// A field holds what it may not hold.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The caller has lost its rights since the request began.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The user whose key it was to be does not exist.
    #[error("user_id: there is no user with this id")]
    NoSuchUser,
    /// The user has no such key.
    #[error("there is no such key")]
    NotFound,
    /// The value that was to be taken over is some key's already.
    #[error("the value belongs to a key already")]
    ValueTaken,
    /// The value that was to be taken over was a key's, and was revoked.
    #[error("the value was revoked here; a revoked value never works again")]
    ValueRevoked,
    /// The key's time has run out, so a new value would not work either.
    #[error("This key has expired. Change its expiry first.")]
    Expired,
    /// The key has [`MAX_OLD_VALUES`] old values that still work.
    #[error(
        "{MAX_OLD_VALUES} old values of this key still work. Roll it without a grace period, which ends them, or wait."
    )]
    TooManyOldValues,
    /// The system gave no randomness.
    #[error("no randomness for a new key: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// A new value of 256 random bits: nobody has ever asked what it is worth.
pub(crate) struct Generated(ApiKey);

impl Generated {
    fn new() -> Result<Self, getrandom::Error> {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy)?;
        Ok(Generated(ApiKey::from_entropy(entropy)))
    }

    pub(crate) fn digest(&self) -> KeyDigest {
        self.0.digest()
    }
}

/// Whose keys somebody may see or change.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The user's with that id.
    User(&'a str),
    /// Those of the users with these ids.
    Users(&'a [String]),
    /// Those of every user who is no admin.
    Members,
    /// Everybody's: an operator's right.
    Anyone,
}

impl Owner<'_> {
    /// What a user has to be to have such a reach.
    fn role(self) -> Role {
        if matches!(self, Owner::Anyone) { Role::Admin } else { Role::Member }
    }

    /// Whether a user's keys are among them.
    fn reaches(self, user: &User) -> bool {
        match self {
            Owner::User(id) => user.id == id,
            Owner::Users(ids) => ids.contains(&user.id),
            Owner::Members => !user.is_admin,
            Owner::Anyone => true,
        }
    }
}

/// The user with that id. One out of reach is as good as none.
async fn user_within(
    connection: impl AnyExecutor<'_>,
    owner: Owner<'_>,
    user_id: &str,
) -> Result<User, KeyError> {
    let user = users::find(connection, user_id).await?;
    user.filter(|user| owner.reaches(user)).ok_or(KeyError::NoSuchUser)
}

/// Whether a key is within reach.
async fn is_within(connection: impl AnyExecutor<'_>, owner: Owner<'_>, key: &Key) -> Result<bool, KeyError> {
    match user_within(connection, owner, &key.user_id).await {
        Err(KeyError::NoSuchUser) => Ok(false),
        user => user.map(|_| true),
    }
}

/// The key with that id. One out of reach is as good as none.
async fn key_within(connection: &mut AnyConnection, owner: Owner<'_>, id: &str) -> Result<Key, KeyError> {
    let key = store::find(&mut *connection, id).await?.ok_or(KeyError::NotFound)?;
    if is_within(connection, owner, &key).await? { Ok(key) } else { Err(KeyError::NotFound) }
}

/// Writes into the audit log what was done to a key.
async fn log(
    connection: &mut AnyConnection,
    by: &Actor,
    action: Action,
    key: &Key,
    detail: Value,
) -> sqlx::Result<()> {
    let subject = Some((key.id.as_str(), key.label.as_str()));
    audit::record(connection, by, Event { action, user_id: Some(&key.user_id), subject, detail: &detail })
        .await
}

/// Makes a key with a new value, and returns both.
///
/// # Errors
/// The user has too many keys or lacks one of the scopes, or a failure.
pub async fn create(
    database: &Database,
    by: &Actor,
    owner: Owner<'_>,
    user_id: &str,
    new: NewKey,
    now: Timestamp,
) -> Result<(Key, ApiKey), KeyError> {
    let value = Generated::new()?;
    let key = new_key(user_id, new, &value.0, now);
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, owner.role()).await?;
    insert(write.connection(), owner, &key).await?;
    store::add_generated(write.connection(), &key.id, &value).await?;
    log(write.connection(), by, Action::KeyCreated, &key, json!({ "scopes": key.scopes })).await?;
    write.commit().await?;
    Ok((key, value.0))
}

/// Makes a key with a value from elsewhere. It may have been tried before, so edges are told.
///
/// # Errors
/// The user has too many keys or lacks one of the scopes, the value is taken or was revoked, or a failure.
pub async fn take_over(
    database: &Database,
    by: &Actor,
    user_id: &str,
    new: NewKey,
    value: &ApiKey,
    now: Timestamp,
) -> Result<(Key, Settling), KeyError> {
    let key = new_key(user_id, new, value, now);
    let ledger = database.ledger();
    let mut begun = change::begin(&ledger, &Touched::Value(value.digest())).await?;
    let connection = begun.change().connection();
    if store::is_revoked(&mut *connection, value.digest()).await? {
        return Err(KeyError::ValueRevoked);
    }
    insert(&mut *connection, Owner::Anyone, &key).await?;
    log(connection, by, Action::KeyTakenOver, &key, json!({ "scopes": key.scopes })).await?;
    if !store::take_over(begun.change(), &key.id, value.digest()).await? {
        return Err(KeyError::ValueTaken);
    }
    Ok((key, Settling::new(database, begun.commit().await?)))
}

fn new_key(user_id: &str, new: NewKey, value: &ApiKey, now: Timestamp) -> Key {
    Key {
        id: Uuid::now_v7().to_string(),
        user_id: user_id.to_owned(),
        label: new.label,
        mask_value: value.mask(),
        scopes: new.scopes,
        created_at: now,
        last_used_at: None,
        last_rolled_at: None,
        expires_at: new.expires_at,
        old_value_expires_at: None,
    }
}

/// Adds a key unless its user has enough, lacks one of its scopes, or is out of reach.
async fn insert(connection: &mut AnyConnection, owner: Owner<'_>, key: &Key) -> Result<(), KeyError> {
    let user = user_within(&mut *connection, owner, &key.user_id).await?;
    key_fields::within_permissions(&key.scopes, &user.permissions, &ScopeSet::default())?;
    if store::list(&mut *connection, &key.user_id).await?.len() >= MAX_KEYS_PER_USER {
        return Err(KeyError::TooMany);
    }
    Ok(store::insert(connection, &[key]).await?)
}

/// A user's keys, newest first.
///
/// # Errors
/// There is no such user, or the database failed.
pub async fn list(database: &Database, owner: Owner<'_>, user_id: &str) -> Result<Vec<Key>, KeyError> {
    user_within(database.pool(), owner, user_id).await?;
    Ok(store::list(database.pool(), user_id).await?)
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

/// Whether a value was a key's and was revoked: it never works again.
///
/// # Errors
/// The database failed.
pub async fn is_revoked(database: &Database, digest: KeyDigest) -> Result<bool, KeyError> {
    Ok(store::is_revoked(database.pool(), digest).await?)
}

/// A key within reach.
///
/// # Errors
/// There is no such key, or the database failed.
pub async fn get(database: &Database, owner: Owner<'_>, id: &str) -> Result<Key, KeyError> {
    let mut connection = database.pool().acquire().await?;
    key_within(&mut connection, owner, id).await
}

/// A change of one key that has begun.
type Begun<'l> = change::Begun<'l, DatabaseLedger>;

/// Begins a change of a key. Where there is no such key, a change that may still be on its way to some edge has taken
/// it away: the error comes when that is in force.
async fn begin<'l>(
    database: &Database,
    ledger: &'l DatabaseLedger,
    by: &Actor,
    owner: Owner<'_>,
    id: &str,
) -> Result<(Begun<'l>, Key), KeyError> {
    // Without the lock first: asking for keys that are not there holds up nobody who changes some.
    let (key, position) = store::find_at(database.pool(), id).await?;
    let is_within = match key {
        Some(key) => is_within(database.pool(), owner, &key).await?,
        None => false,
    };
    if !is_within {
        change::already_so(ledger, &position).await?;
        return Err(KeyError::NotFound);
    }
    let mut begun = change::begin(ledger, &Touched::Key(id.to_owned())).await?;
    authority::recheck(begun.change().connection(), by, owner.role()).await?;
    match key_within(begun.change().connection(), owner, id).await {
        Err(KeyError::NotFound) => {
            begun.already_so().await?;
            Err(KeyError::NotFound)
        }
        key => Ok((begun, key?)),
    }
}

/// Changes fields of a key. New scopes or another expiry count everywhere once this has settled; a label alone concerns
/// no edge, and so there is nothing to settle.
///
/// # Errors
/// There is no such key, its user lacks a scope that it is to get, or the database failed.
pub async fn update(
    database: &Database,
    by: &Actor,
    owner: Owner<'_>,
    id: &str,
    patch: KeyPatch,
) -> Result<(Key, Option<Settling>), KeyError> {
    if patch.scopes.is_none() && patch.expires_at.is_none() {
        match relabel(database, by, owner, id, patch.label.as_deref()).await {
            // What has taken it away may still be on its way to some edge.
            Err(KeyError::NotFound) => {}
            relabelled => return Ok((relabelled?, None)),
        }
    }
    let ledger = database.ledger();
    let (mut begun, mut key) = begin(database, &ledger, by, owner, id).await?;
    if let Some(scopes) = &patch.scopes {
        let user = user_within(begun.change().connection(), owner, &key.user_id).await?;
        key_fields::within_permissions(scopes, &user.permissions, &key.scopes)?;
    }
    let changes = changes(&key, &patch);
    if changes.is_empty() {
        // What made it so may still be on its way to some edge.
        return Ok((key, Some(Settling::new(database, begun.abandon().await?))));
    }
    key.label = patch.label.unwrap_or(key.label);
    key.scopes = patch.scopes.unwrap_or(key.scopes);
    key.expires_at = patch.expires_at.unwrap_or(key.expires_at);
    store::update(begun.change(), &key).await?;
    log(begun.change().connection(), by, Action::KeyUpdated, &key, changes.into()).await?;
    Ok((key, Some(Settling::new(database, begun.commit().await?))))
}

async fn relabel(
    database: &Database,
    by: &Actor,
    owner: Owner<'_>,
    id: &str,
    label: Option<&str>,
) -> Result<Key, KeyError> {
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, owner.role()).await?;
    let mut key = key_within(write.connection(), owner, id).await?;
    if let Some(label) = label.filter(|label| *label != key.label) {
        let detail = json!({ "label": { "from": key.label, "to": label } });
        key.label = label.to_owned();
        store::set_label(write.connection(), id, label).await?;
        log(write.connection(), by, Action::KeyUpdated, &key, detail).await?;
    }
    write.commit().await?;
    Ok(key)
}

/// What a patch changes, from what to what.
fn changes(key: &Key, patch: &KeyPatch) -> Map<String, Value> {
    let mut changes = Map::new();
    if let Some(label) = patch.label.as_ref().filter(|label| **label != key.label) {
        changes.insert("label".to_owned(), json!({ "from": key.label, "to": label }));
    }
    if let Some(scopes) = patch.scopes.as_ref().filter(|scopes| **scopes != key.scopes) {
        changes.insert("scopes".to_owned(), json!({ "from": key.scopes, "to": scopes }));
    }
    if let Some(expires_at) = patch.expires_at.filter(|expires_at| *expires_at != key.expires_at) {
        changes.insert("expires_at".to_owned(), json!({ "from": key.expires_at, "to": expires_at }));
    }
    changes
}

/// Gives a key a new value. The old one works `grace_s` seconds longer; without a grace it and every older one work
/// nowhere once this has settled.
///
/// # Errors
/// There is no such key, too many of its old values still work, or a failure.
pub async fn roll(
    database: &Database,
    by: &Actor,
    owner: Owner<'_>,
    id: &str,
    grace_s: u32,
) -> Result<(Key, ApiKey, Settling), KeyError> {
    let value = Generated::new()?;
    let ledger = database.ledger();
    let (mut begun, mut key) = begin(database, &ledger, by, owner, id).await?;
    let now = store::now(begun.change().connection()).await?;
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(KeyError::Expired);
    }
    if grace_s == 0 {
        store::remove_digests(begun.change(), id).await?;
    } else {
        let old = store::retire_current_digest(begun.change(), id, now.plus_seconds(grace_s), now).await?;
        if old > MAX_OLD_VALUES {
            return Err(KeyError::TooManyOldValues);
        }
    }
    key.mask_value = value.0.mask();
    key.last_rolled_at = Some(now);
    store::update(begun.change(), &key).await?;
    let connection = begun.change().connection();
    store::add_generated(&mut *connection, id, &value).await?;
    key = store::find(&mut *connection, id).await?.ok_or(KeyError::NotFound)?;
    log(connection, by, Action::KeyRolled, &key, json!({ "grace_s": grace_s })).await?;
    Ok((key, value.0, Settling::new(database, begun.commit().await?)))
}

/// Deletes a key with every value of it, for good: none works anywhere once this has settled.
///
/// # Errors
/// There is no such key, or the database failed.
pub async fn delete(
    database: &Database,
    by: &Actor,
    owner: Owner<'_>,
    id: &str,
) -> Result<(Key, Settling), KeyError> {
    let ledger = database.ledger();
    let (mut begun, key) = begin(database, &ledger, by, owner, id).await?;
    store::delete(begun.change(), id).await?;
    log(begun.change().connection(), by, Action::KeyDeleted, &key, Value::Null).await?;
    Ok((key, Settling::new(database, begun.commit().await?)))
}
