//! A database for unit tests.

use protocol::ScopeSet;
use tempfile::TempDir;

use crate::accounts::passwords::Passwords;
use crate::accounts::{self, NewUser, User};
use crate::audit::Actor;
use crate::revocation::Store;
use crate::time::Timestamp;

/// The SQLite database `keys.db` of a folder.
pub(crate) async fn store(folder: &TempDir) -> Store {
    Store::open(&url(folder)).await.unwrap()
}

/// The URL of the SQLite database `keys.db` of a folder.
pub(crate) fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("keys.db").display())
}

/// A member with all permissions and without a password.
pub(crate) async fn user(store: &Store) -> User {
    let new = NewUser {
        email: "demo@example.com".parse().unwrap(),
        password: None,
        permissions: ScopeSet::all(),
        is_admin: false,
    };
    accounts::add(store, &Actor::service(), &Passwords::default(), new, Timestamp::now()).await.unwrap()
}
