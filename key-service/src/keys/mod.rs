//! Personal API keys: create, list, change, roll and delete them, and end leaked ones.
//!
//! [`create()`] and [`roll`] return a key's value once. Only its digest and its mask are stored.

mod change;
mod create;
pub(crate) mod excess;
pub(crate) mod holder_reports;
mod key;
pub mod leaks;
mod read;
mod resource_ids;
pub mod rules;
pub mod scan;
mod search;
pub(crate) mod sql;
mod user_deletion;
mod view;

pub use change::{delete, roll, roll_once, update};
pub use create::{adopt_value, create, create_once};
pub(crate) use key::most_keys;
pub use key::{
    Key, KeyError, KeyPatch, MAX_KEYS_PER_SERVICE_ACCOUNT, MAX_KEYS_PER_USER, MAX_OLD_VALUES, NewKey,
};
pub use read::{find, find_by_digest, get, is_revoked, list, scopes};
pub use resource_ids::{AnyResourceId, MAX_RESOURCE_IDS, ResourceIds};
pub(crate) use search::OLD_AFTER_MS;
pub use search::{KeySearch, KeyState, OLD_AFTER_DAYS, OwnedKey, search};
pub(crate) use user_deletion::await_earlier_deletion;
pub use user_deletion::{DeletedUser, delete_user};
pub use view::{ChangedKey, KeyView, OwnedKeyView};
