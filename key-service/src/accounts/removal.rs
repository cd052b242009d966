//! Removes a user's account. [`crate::keys::delete_user`] removes the keys in the same transaction.

use serde_json::json;
use sqlx::AnyConnection;

use super::access::Role;
use super::authority;
use super::error::AccountError;
use super::management_tokens::{self, End, EndedToken};
use super::sql::{links, users};
use super::update::require_another_admin;
use super::user::{User, log};
use crate::audit::{Action, Actor, ActorKind};
use crate::db;
use crate::revocation::lease_store::Change;

/// The user with this id, if the caller may delete that user.
///
/// # Errors
/// No such user, the caller may not delete this user, no admin would be left, or a failure.
pub(crate) async fn removable(
    connection: &mut AnyConnection,
    by: &Actor,
    user_id: &str,
) -> Result<User, AccountError> {
    authority::recheck(&mut *connection, by, Role::Admin).await?;
    let user = users::find(&mut *connection, user_id).await?.ok_or(AccountError::NotFound)?;
    if by.is_token() && user.is_admin {
        return Err(AccountError::InPerson);
    }
    if by.kind == ActorKind::User && by.id.as_ref() == Some(&user.id) {
        return Err(AccountError::DeletesSelf);
    }
    if user.is_admin && user.is_active {
        require_another_admin(connection, by).await?;
    }
    Ok(user)
}

/// Removes a user whose keys are removed, and the user's links. The management tokens that the user created end, and so do
/// those that name no other user; the one-time links that the user or these tokens created are removed. Returns the tokens.
pub(crate) async fn remove(
    change: &mut Change,
    by: &Actor,
    user: &User,
    keys: usize,
) -> db::Result<Vec<EndedToken>> {
    let mut ended = Vec::new();
    for reason in [End::CreatorDeleted, End::NamedDeleted] {
        ended.extend(management_tokens::end(change.connection(), by, user, reason).await?);
    }
    links::remove_made_by(change.connection(), &user.id).await?;
    // While the user exists, because an entry gets the address from there.
    let detail = json!({ "keys": keys });
    log(change.connection(), by, Action::UserDeleted, &user.id, &detail).await?;
    users::delete(change, &user.id).await?;
    Ok(ended)
}
