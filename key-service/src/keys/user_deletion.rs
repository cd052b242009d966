//! Deletes a user with all keys. `accounts` may not use keys, so the deletion begins here.

use leases::{AffectedKeys, change};
use serde_json::json;

use super::sql;
use crate::accounts::management_tokens::{self, EndedToken};
use crate::accounts::sql::users;
use crate::accounts::{AccountError, User, removal};
use crate::audit::{self, Action, Actor, Event};
use crate::db;
use crate::revocation::propagation::Propagation;
use crate::revocation::{Store, revision};

/// A deleted user.
#[derive(Debug)]
pub struct DeletedUser {
    /// The user, as it was.
    pub user: User,
    /// The number of keys that were deleted with the user.
    pub keys: usize,
    /// The management tokens that ended: the user created them, or they named no other user.
    pub ended_tokens: Vec<EndedToken>,
    /// The propagation of the deletion.
    pub propagation: Propagation,
}

impl DeletedUser {
    /// The side effects of the deletion, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        management_tokens::ended_note(&self.ended_tokens).into_iter().collect()
    }
}

/// Deletes a user, the user's keys with all their values, and everything that belongs to the account. None of the values works
/// on any edge once the returned wait ends. The email address can be used again, but the id cannot.
///
/// # Errors
/// The user does not exist, the caller may not delete this user, no admin would be left, or the database failed.
pub async fn delete_user(store: &Store, by: &Actor, user_id: &str) -> Result<DeletedUser, AccountError> {
    // Look without the lock first, so that requests for unknown users do not delay changes.
    if users::find(store.pool(), user_id).await?.is_none() {
        await_earlier_deletion(store).await?;
        return Err(AccountError::NotFound);
    }
    let lease_store = store.lease_store();
    let mut pending = change::begin(&lease_store, &AffectedKeys::User(user_id.to_owned())).await?;
    let user = match removal::removable(pending.change().connection(), by, user_id).await {
        Err(AccountError::NotFound) => {
            pending.await_earlier_change().await?;
            return Err(AccountError::NotFound);
        }
        user => user?,
    };
    let keys = sql::list(pending.change().connection(), user_id).await?;
    let detail = json!({ "because": "the user was deleted" });
    let events: Vec<_> = keys
        .iter()
        .map(|key| Event {
            action: Action::KeyDeleted,
            user_id: Some(user_id),
            subject: Some((key.id.as_str(), key.label.as_str())),
            detail: &detail,
        })
        .collect();
    audit::record_all(pending.change().connection(), by, &events).await?;
    sql::delete_all_of(pending.change(), user_id).await?;
    let ended_tokens = removal::remove(pending.change(), by, &user, keys.len()).await?;
    let propagation = Propagation::new(store, pending.commit().await?);
    Ok(DeletedUser { user, keys: keys.len(), ended_tokens, propagation })
}

/// Waits until every edge has all changes so far. A user that was not found may have been deleted, and some edges may not have
/// applied the deletion yet.
///
/// # Errors
/// The database failed.
pub(crate) async fn await_earlier_deletion(store: &Store) -> db::Result<()> {
    let position = revision::current(store.pool()).await?;
    change::await_earlier_change(&store.lease_store(), &position).await
}
