//! Keys of many users, found by what they are.

use protocol::Scope;
use utoipa::ToSchema;

use super::key::{Key, KeyError};
use super::sql;
use crate::accounts::access::KeyAccess;
use crate::paging::{Page, PageRequest};
use crate::revocation::Store;
use crate::time::Timestamp;

/// After this many days a key is old, or unused.
pub const STALE_AFTER_DAYS: i64 = 90;

/// The same in milliseconds.
pub(crate) const STALE_AFTER_MS: i64 = STALE_AFTER_DAYS * 24 * 60 * 60 * 1000;

/// What a key can need attention for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum KeyState {
    /// Its value was made [`STALE_AFTER_DAYS`] ago or earlier, and its time has not run out.
    Old,
    /// It was made [`STALE_AFTER_DAYS`] ago or earlier, and not used since.
    Unused,
    /// It was never used.
    NeverUsed,
    /// Its time has run out.
    Expired,
    /// Its user is shut out.
    Disabled,
}

impl KeyState {
    /// All of them, under the names that the API and the command line have for them.
    pub const ALL: [(&'static str, KeyState); 5] = [
        ("old", KeyState::Old),
        ("unused", KeyState::Unused),
        ("never_used", KeyState::NeverUsed),
        ("expired", KeyState::Expired),
        ("disabled", KeyState::Disabled),
    ];
}

/// Which keys are wanted.
#[derive(Clone, Debug)]
pub struct KeySearch<'a> {
    /// Whose keys may be found at all.
    pub access: KeyAccess<'a>,
    /// Only those of the user with this id.
    pub user_id: Option<String>,
    /// Only those with this in their label, their masked value, or their user's address.
    pub text: Option<String>,
    /// Only those that have exactly this scope.
    pub scope: Option<Scope>,
    /// Only those in this state.
    pub state: Option<KeyState>,
    /// The time that states are reckoned from.
    pub now: Timestamp,
    /// Which part of them.
    pub page: PageRequest,
}

impl<'a> KeySearch<'a> {
    /// All that are within reach.
    pub fn all(access: KeyAccess<'a>, now: Timestamp) -> Self {
        let page = PageRequest::default();
        KeySearch { access, user_id: None, text: None, scope: None, state: None, now, page }
    }
}

/// A key, and whose it is.
#[derive(Clone, Debug)]
pub struct OwnedKey {
    /// The key.
    pub key: Key,
    /// Its user's address.
    pub user_email: String,
    /// Whether its user is let in at all.
    pub user_is_active: bool,
}

/// Keys, newest first.
///
/// # Errors
/// The database failed.
pub async fn search(store: &Store, search: &KeySearch<'_>) -> Result<Page<OwnedKey>, KeyError> {
    Ok(sql::search(store.pool(), search).await?)
}
