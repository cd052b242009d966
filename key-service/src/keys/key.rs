//! The model of a key, and the input of creating and changing one.

use protocol::{ApiKey, KeyDigest, ResourceId, Restrictions, ScopeSet};
use serde_json::{Value, json};

use crate::accounts::UserKind;
use crate::accounts::authority::AuthorityError;
use crate::db;
use crate::idempotency::RepetitionError;
use crate::label::Label;
use crate::random::{self, RandomError};
use crate::time::Timestamp;
use crate::validation::FieldError;

/// The most keys that one person can have.
pub const MAX_KEYS_PER_USER: usize = 10;

/// The most keys that one service account can have. One change can affect all of them.
pub const MAX_KEYS_PER_SERVICE_ACCOUNT: usize = 10_000;

/// The most keys that a user of this kind can have.
pub(crate) fn most_keys(kind: UserKind) -> usize {
    match kind {
        UserKind::Person => MAX_KEYS_PER_USER,
        UserKind::Service => MAX_KEYS_PER_SERVICE_ACCOUNT,
    }
}

/// The most old values of one key that can work at the same time, after rolls with a grace period.
pub const MAX_OLD_VALUES: usize = 5;

/// A stored key: everything but its value.
#[derive(Clone, Debug)]
pub struct Key {
    /// Opaque and never reused.
    pub id: String,
    /// The id of the user who owns the key.
    pub user_id: String,
    /// The owner's name for it.
    pub label: String,
    /// The mask of the current value: [`ApiKey::mask`].
    pub mask_value: String,
    /// The scopes that the owner gave it. The owner's permissions limit them further.
    pub scopes: ScopeSet,
    /// The projects and organizations that it is restricted to.
    pub restrictions: Restrictions,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last used, as reported by edges.
    pub last_used_at: Option<Timestamp>,
    /// When it was last rolled.
    pub last_rolled_at: Option<Timestamp>,
    /// When it expires; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When the last old value stops working; `None` if none works.
    pub old_value_expires_at: Option<Timestamp>,
}

impl Key {
    /// What the audit log says about a new key: its scopes, and its restrictions if it has any.
    pub(crate) fn granted(&self) -> Value {
        let mut granted = json!({ "scopes": self.scopes });
        if let Some(projects) = &self.restrictions.projects {
            granted["scoped_teams"] = json!(projects);
        }
        if let Some(organizations) = &self.restrictions.organizations {
            granted["scoped_organizations"] = json!(organizations);
        }
        granted
    }
}

/// The input of a new key.
#[derive(Debug)]
pub struct NewKey {
    /// The owner's own words for it.
    pub label: Label,
    /// See [`super::rules::Scopes`].
    pub scopes: ScopeSet,
    /// See [`super::ResourceIds`].
    pub restrictions: Restrictions,
    /// See [`super::rules::Expiry`].
    pub expires_at: Option<Timestamp>,
}

/// The changes to a key; `None` leaves a field unchanged.
#[derive(Debug, Default)]
pub struct KeyPatch {
    /// A new label.
    pub label: Option<Label>,
    /// New scopes, which replace all old ones.
    pub scopes: Option<ScopeSet>,
    /// The projects that the key is restricted to from now on; `Some(None)` for all.
    pub projects: Option<Option<Vec<ResourceId>>>,
    /// The organizations that the key is restricted to from now on; `Some(None)` for all.
    pub organizations: Option<Option<Vec<ResourceId>>>,
    /// A new expiry; `Some(None)` removes it.
    pub expires_at: Option<Option<Timestamp>>,
    /// The key that these changes were made for. They are refused if one of its fields has changed since.
    pub expected: Option<Key>,
}

impl KeyPatch {
    /// Whether it changes nothing that edges know.
    pub(super) fn is_only_label(&self) -> bool {
        let KeyPatch { label: _, scopes, projects, organizations, expires_at, expected: _ } = self;
        scopes.is_none() && projects.is_none() && organizations.is_none() && expires_at.is_none()
    }

    /// Checks in the transaction that the key is still the expected one.
    pub(super) fn check_expected(&self, key: &Key) -> Result<(), KeyError> {
        let fields =
            |key: &Key| (key.label.clone(), key.scopes.clone(), key.restrictions.clone(), key.expires_at);
        match &self.expected {
            Some(expected) if fields(expected) != fields(key) => Err(KeyError::ChangedMeanwhile),
            _ => Ok(()),
        }
    }
}

/// Why a key could not be created or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The user has this many keys, the most of its kind.
    #[error("You can only have {0} personal API keys. Remove an existing key before creating a new one.")]
    TooMany(usize),
    /// A field is invalid.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// The caller lost its rights after the request began.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The user does not exist.
    #[error("user_id: there is no user with this id")]
    NoSuchUser,
    /// The key does not exist, or the caller may not see it.
    #[error("there is no such key")]
    NotFound,
    /// A field of the key is no longer as [`KeyPatch::expected`].
    #[error("The key was changed meanwhile.")]
    ChangedMeanwhile,
    /// The value to adopt already belongs to a key.
    #[error("the value belongs to a key already")]
    ValueTaken,
    /// The value to adopt was revoked.
    #[error("this value was revoked; a revoked value never works again")]
    ValueRevoked,
    /// The key has expired, so a new value would not work either.
    #[error("This key has expired. Change its expiry first.")]
    Expired,
    /// The key has [`MAX_OLD_VALUES`] old values that still work.
    #[error(
        "{MAX_OLD_VALUES} old values of this key still work. Roll it without a grace period, which ends them, or wait."
    )]
    TooManyOldValues,
    /// The request repeats an earlier one with other content.
    #[error(transparent)]
    Repetition(#[from] RepetitionError),
    /// The operating system provided no randomness.
    #[error("cannot get random numbers from the system for a new key: {0}")]
    Randomness(#[from] RandomError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

/// A new value of 256 random bits. No edge can have looked it up before.
pub(crate) struct Generated(pub(super) ApiKey);

impl Generated {
    pub(super) fn new() -> Result<Self, RandomError> {
        Ok(Generated(ApiKey::from_entropy(random::bytes()?)))
    }

    pub(crate) fn digest(&self) -> KeyDigest {
        self.0.digest()
    }
}
