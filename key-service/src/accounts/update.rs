//! Changes of a user that its keys or its rights follow: permissions, whether let in, whether an admin.

use protocol::ScopeSet;
use serde_json::{Value, json};

use super::{AccountError, User, log};
use crate::audit::{Action, Actor, ActorKind};
use crate::leases::{Touched, change};
use crate::settling::Settling;
use crate::store::{Change, Database, links, users};

/// Lets a user and every key of the user in, or shuts them out and ends the user's sessions and one-time links. It is so
/// everywhere once this has settled.
///
/// # Errors
/// No such user, or a failure.
pub async fn set_active(
    database: &Database,
    by: &Actor,
    user_id: &str,
    is_active: bool,
) -> Result<Settling, AccountError> {
    let patch = UserPatch { is_active: Some(is_active), ..UserPatch::default() };
    update(database, by, user_id, &patch).await.map(|(_, settling)| settling)
}

/// Replaces what a user's keys can do at most, everywhere once this has settled.
///
/// # Errors
/// No such user, or a failure.
pub async fn set_permissions(
    database: &Database,
    by: &Actor,
    user_id: &str,
    permissions: &ScopeSet,
) -> Result<Settling, AccountError> {
    let patch = UserPatch { permissions: Some(permissions.clone()), ..UserPatch::default() };
    update(database, by, user_id, &patch).await.map(|(_, settling)| settling)
}

/// What to change of a user; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// The most that any key of the user can do.
    pub permissions: Option<ScopeSet>,
    /// Whether the user, and any key of the user, is let in at all.
    pub is_active: Option<bool>,
    /// Whether the user may manage other users.
    pub is_admin: Option<bool>,
}

/// Changes a user, and what all keys of the user are worth, everywhere once this has settled.
///
/// # Errors
/// No such user, the last admin would be shut out, or a failure.
pub async fn update(
    database: &Database,
    by: &Actor,
    user_id: &str,
    patch: &UserPatch,
) -> Result<(User, Settling), AccountError> {
    let ledger = database.ledger();
    let mut begun = change::begin(&ledger, &Touched::User(user_id.to_owned())).await?;
    let change = begun.change();
    let before = users::find(change.connection(), user_id).await?.ok_or(AccountError::NotFound)?;
    let permissions = patch.permissions.as_ref().filter(|permissions| **permissions != before.permissions);
    let is_active = patch.is_active.filter(|is_active| *is_active != before.is_active);
    let is_admin = patch.is_admin.filter(|is_admin| *is_admin != before.is_admin);
    if permissions.is_none() && is_active.is_none() && is_admin.is_none() {
        // What made it so may still be on its way to some edge.
        return Ok((before, Settling::new(database, begun.abandon().await?)));
    }
    let stays_admin = is_active.unwrap_or(before.is_active) && is_admin.unwrap_or(before.is_admin);
    let loses_admin = before.is_active && before.is_admin && !stays_admin;
    // An operator at the command line may: there, another admin can always be made.
    let may_be_last = by.kind == ActorKind::CommandLine;
    if loses_admin && !may_be_last && users::active_admins(change.connection()).await? <= 1 {
        return Err(AccountError::LastAdmin);
    }
    if let Some(permissions) = permissions {
        set_permissions_within(change, by, &before, permissions).await?;
    }
    if let Some(is_active) = is_active {
        users::set_active(change, user_id, is_active).await?;
        links::remove(change.connection(), user_id).await?;
        let action = if is_active { Action::UserEnabled } else { Action::UserDisabled };
        log(change.connection(), by, action, user_id, &Value::Null).await?;
    }
    if let Some(is_admin) = is_admin {
        users::set_admin(change.connection(), user_id, is_admin).await?;
        let detail = json!({ "is_admin": { "from": before.is_admin, "to": is_admin } });
        log(change.connection(), by, Action::UserAdminChanged, user_id, &detail).await?;
    }
    let after = users::find(change.connection(), user_id).await?.ok_or(AccountError::NotFound)?;
    Ok((after, Settling::new(database, begun.commit().await?)))
}

async fn set_permissions_within(
    change: &mut Change,
    by: &Actor,
    before: &User,
    permissions: &ScopeSet,
) -> sqlx::Result<()> {
    users::set_permissions(change, &before.id, permissions).await?;
    let detail = json!({ "permissions": { "from": before.permissions, "to": permissions } });
    log(change.connection(), by, Action::UserPermissionsChanged, &before.id, &detail).await
}
