//! Keys as JSON shows them.

use protocol::{ApiKey, ScopeSet};
use serde::Serialize;

use super::{Key, OwnedKey};
use crate::clock::Timestamp;
use crate::leases::Revocation;

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

    /// The same, with how the change came into force, unless it concerned no edge.
    pub fn changed<'a>(
        &'a self,
        value: Option<&'a ApiKey>,
        revocation: Option<Revocation>,
    ) -> ChangedKey<'a> {
        ChangedKey { key: self.view(value), revocation }
    }
}

/// The JSON form of a key that was changed.
#[derive(Debug, Serialize)]
pub struct ChangedKey<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    revocation: Option<Revocation>,
}

/// The JSON form of a key among those of many users.
#[derive(Debug, Serialize)]
pub struct OwnedKeyView<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    user_email: &'a str,
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
