//! Searches the keys of many users.

use deserr::Deserr;
use protocol::Scope;
use strum::VariantNames;
use utoipa::ToSchema;

use super::key::{Key, KeyError};
use super::sql;
use crate::accounts::access::KeyAccess;
use crate::paging::{Page, PageRequest};
use crate::revocation::Store;
use crate::time::Timestamp;
use crate::validation::Violation;

/// After this many days a key is old, or unused.
pub const OLD_AFTER_DAYS: i64 = 90;

/// [`OLD_AFTER_DAYS`] in milliseconds.
pub(crate) const OLD_AFTER_MS: i64 = OLD_AFTER_DAYS * 24 * 60 * 60 * 1000;

/// A state of a key that may need attention.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Deserr,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[deserr(try_from(String) = KeyState::try_from -> Violation)]
#[schema(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum KeyState {
    /// Its value was created at least [`OLD_AFTER_DAYS`] days ago, and it has not expired.
    Old,
    /// It was created at least [`OLD_AFTER_DAYS`] days ago, and not used since.
    Unused,
    /// It was never used.
    NeverUsed,
    /// It has expired.
    Expired,
    /// Its user is disabled.
    Disabled,
}

impl KeyState {
    /// The name in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl TryFrom<String> for KeyState {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        text.parse().map_err(|_| Violation::none_of(KeyState::VARIANTS))
    }
}

/// The criteria of a search.
#[derive(Clone, Debug)]
pub struct KeySearch<'a> {
    /// The users whose keys the caller may see.
    pub access: KeyAccess<'a>,
    /// Only keys of the user with this id.
    pub user_id: Option<String>,
    /// Only keys with this text in their label, their masked value, or their user's address.
    pub text: Option<String>,
    /// Only keys that have exactly this scope.
    pub scope: Option<Scope>,
    /// Only keys in this state.
    pub state: Option<KeyState>,
    /// The time at which states are determined.
    pub now: Timestamp,
    /// The requested page.
    pub page: PageRequest,
}

impl<'a> KeySearch<'a> {
    /// All keys within `access`.
    pub fn all(access: KeyAccess<'a>, now: Timestamp) -> Self {
        let page = PageRequest::default();
        KeySearch { access, user_id: None, text: None, scope: None, state: None, now, page }
    }
}

/// A key and its user.
#[derive(Clone, Debug)]
pub struct OwnedKey {
    /// The key.
    pub key: Key,
    /// Its user's address.
    pub user_email: String,
    /// Whether its user is active.
    pub user_is_active: bool,
}

/// Keys, newest first.
///
/// # Errors
/// The database failed.
pub async fn search(store: &Store, search: &KeySearch<'_>) -> Result<Page<OwnedKey>, KeyError> {
    Ok(sql::search(store.pool(), search).await?)
}
