//! A key as it is kept, and what new ones and changed ones are made of.

use protocol::{ApiKey, KeyDigest, ScopeSet};

use crate::accounts::authority::AuthorityError;
use crate::time::Timestamp;
use crate::validation::FieldError;

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
    /// When the last old value that still works ends; `None` if none works.
    pub old_value_expires_at: Option<Timestamp>,
}

/// What a new key is made of; [`super::rules`] checks the parts.
#[derive(Debug)]
pub struct NewKey {
    /// See [`super::rules::label`].
    pub label: String,
    /// See [`super::rules::scopes`].
    pub scopes: ScopeSet,
    /// See [`super::rules::expires_at`].
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
    Invalid(#[from] FieldError),
    /// The caller has lost its rights since the request began.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The user whose key it was to be does not exist.
    #[error("user_id: there is no user with this id")]
    NoSuchUser,
    /// The user has no such key.
    #[error("there is no such key")]
    NotFound,
    /// The value that was to be adopted is some key's already.
    #[error("the value belongs to a key already")]
    ValueTaken,
    /// The value that was to be adopted was a key's, and was revoked.
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
pub(crate) struct Generated(pub(super) ApiKey);

impl Generated {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy)?;
        Ok(Generated(ApiKey::from_entropy(entropy)))
    }

    pub(crate) fn digest(&self) -> KeyDigest {
        self.0.digest()
    }
}
