//! The JSON form of keys.

use protocol::{ApiKey, ResourceId, ScopeSet};
use serde::Serialize;
use utoipa::ToSchema;

use super::key::Key;
use super::resource_ids::AnyResourceId;
use super::search::OwnedKey;
use crate::revocation::propagation::Revocation;
use crate::time::Timestamp;

/// The JSON form of a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PersonalApiKey)]
pub struct KeyView<'a> {
    /// Opaque and never reused.
    id: &'a str,
    /// The owner's name for it, 1 to 40 characters.
    label: &'a str,
    /// The key itself: present in the answer that created or rolled it, null in all others.
    #[schema(required)]
    value: Option<&'a str>,
    /// The value's first and last four characters.
    mask_value: &'a str,
    /// The scopes that the owner gave it. The owner's permissions limit them further.
    #[schema(value_type = Vec<String>)]
    scopes: &'a ScopeSet,
    /// The ids of the projects that it is restricted to; null for all projects.
    #[schema(required, value_type = Option<Vec<AnyResourceId>>)]
    scoped_teams: Option<&'a [ResourceId]>,
    /// The ids of the organizations that it is restricted to; null for all organizations.
    #[schema(required, value_type = Option<Vec<AnyResourceId>>)]
    scoped_organizations: Option<&'a [ResourceId]>,
    /// When it was created.
    created_at: Timestamp,
    /// When it was last used, to the hour, as reported by edges.
    #[schema(required)]
    last_used_at: Option<Timestamp>,
    /// When it was last rolled.
    #[schema(required)]
    last_rolled_at: Option<Timestamp>,
    /// When it expires; null for never.
    #[schema(required)]
    expires_at: Option<Timestamp>,
    /// When the last old value stops working; null if none works.
    #[schema(required)]
    old_value_expires_at: Option<Timestamp>,
    /// The id of the user who owns the key.
    user_id: &'a str,
}

impl Key {
    /// The key's JSON form, with its value if it was just created or rolled.
    pub fn view<'a>(&'a self, value: Option<&'a ApiKey>) -> KeyView<'a> {
        KeyView {
            id: &self.id,
            label: &self.label,
            value: value.map(ApiKey::reveal),
            mask_value: &self.mask_value,
            scopes: &self.scopes,
            scoped_teams: self.restrictions.projects.as_deref(),
            scoped_organizations: self.restrictions.organizations.as_deref(),
            created_at: self.created_at,
            last_used_at: self.last_used_at,
            last_rolled_at: self.last_rolled_at,
            expires_at: self.expires_at,
            old_value_expires_at: self.old_value_expires_at,
            user_id: &self.user_id,
        }
    }

    /// The same, with how the change reached every edge, if edges had to apply it.
    pub fn changed<'a>(
        &'a self,
        value: Option<&'a ApiKey>,
        revocation: Option<Revocation>,
    ) -> ChangedKey<'a> {
        ChangedKey { key: self.view(value), revocation }
    }
}

/// The JSON form of a changed key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedPersonalApiKey)]
pub struct ChangedKey<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    /// How the change reached every edge; null if edges had nothing to apply.
    #[schema(required)]
    revocation: Option<Revocation>,
}

/// The JSON form of a key in a list of many users' keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnedPersonalApiKey)]
pub struct OwnedKeyView<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    /// The owner's address.
    user_email: &'a str,
    /// Whether the owner is active.
    user_is_active: bool,
}

impl OwnedKey {
    /// The key's JSON form, with its owner.
    pub fn view(&self) -> OwnedKeyView<'_> {
        OwnedKeyView {
            key: self.key.view(None),
            user_email: &self.user_email,
            user_is_active: self.user_is_active,
        }
    }
}
