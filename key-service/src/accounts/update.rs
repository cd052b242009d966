//! Changes of a user that affect the user's keys or rights: permissions, enabled or disabled, admin or member.

use leases::{AffectedKeys, change};
use protocol::ScopeSet;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::AnyConnection;
use utoipa::ToSchema;

use super::access::Role;
use super::authority;
use super::error::AccountError;
use super::management_tokens::{self, End, EndedToken};
use super::sql::{links, users};
use super::user::{User, log};
use crate::audit::{Action, Actor, ActorKind};
use crate::db;
use crate::revocation::Store;
use crate::revocation::lease_store::Change;
use crate::revocation::propagation::{Propagation, PropagationError, Revocation};

/// Enables a user and the user's keys, or disables them and ends the user's sessions and one-time links. Every edge applies
/// the change when its propagation has ended.
///
/// # Errors
/// No such user, or a failure.
pub async fn set_active(
    store: &Store,
    by: &Actor,
    user_id: &str,
    is_active: bool,
) -> Result<Updated, AccountError> {
    let patch = UserPatch { is_active: Some(is_active), ..UserPatch::default() };
    update(store, by, user_id, &patch).await
}

/// Replaces the permissions that limit a user's keys. Every edge applies the change when its propagation has ended.
///
/// # Errors
/// No such user, or a failure.
pub async fn set_permissions(
    store: &Store,
    by: &Actor,
    user_id: &str,
    permissions: &ScopeSet,
) -> Result<Updated, AccountError> {
    let patch = UserPatch { permissions: Some(permissions.clone()), ..UserPatch::default() };
    update(store, by, user_id, &patch).await
}

/// A change of a user; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// The most that any key of the user can do.
    pub permissions: Option<ScopeSet>,
    /// Whether the user can sign in and the user's keys work.
    pub is_active: Option<bool>,
    /// Whether the user may manage other users.
    pub is_admin: Option<bool>,
}

/// The result of a change of a user.
#[derive(Debug)]
pub struct Updated {
    /// The changed user.
    pub user: User,
    /// The propagation of the change.
    pub propagation: Propagation,
    /// Whether the user lost a password that the holder of a management token may have known.
    pub is_password_removed: bool,
    /// The management tokens that ended: their creator is this user, who was disabled or demoted, or they name this user,
    /// who was promoted to admin.
    pub ended_tokens: Vec<EndedToken>,
}

/// The message about a removed password.
const PASSWORD_REMOVED: &str = "The password was set with a management token, so it was removed. The user \
    needs a link to set a new one.";

/// The JSON form of a user that was changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedUser {
    #[serde(flatten)]
    user: User,
    /// Whether the user lost a password that the holder of a management token may have known.
    is_password_removed: bool,
    /// The management tokens that ended: their creator is this user, who was disabled or demoted, or they name this user,
    /// who was promoted to admin.
    ended_tokens: Vec<EndedToken>,
    /// How the change propagated.
    revocation: Revocation,
}

impl Updated {
    /// Waits until every edge has the change, and returns the user's JSON form.
    ///
    /// # Errors
    /// See [`PropagationError`].
    pub async fn wait(self) -> Result<ChangedUser, PropagationError> {
        let Updated { user, propagation, is_password_removed, ended_tokens } = self;
        let revocation = propagation.wait().await?;
        Ok(ChangedUser { user, is_password_removed, ended_tokens, revocation })
    }

    /// The side effects of the change, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_password_removed {
            notes.push(PASSWORD_REMOVED.to_owned());
        }
        notes.extend(management_tokens::ended_note(&self.ended_tokens));
        notes
    }
}

/// Changes a user, and with it the verdicts of the user's keys. Every edge applies the change when its propagation has
/// ended.
///
/// A user who is promoted to admin keeps no credential that someone with fewer rights may know: the user's sessions and
/// one-time links end, and so do the management tokens that name the user. A password that a management token set, or set by
/// its link, is removed. If an admin is disabled or demoted, the admin's management tokens and one-time links end, with the
/// links of those tokens.
///
/// # Errors
/// No such user, no admin would be left, a token would change or create an admin, or a failure.
pub async fn update(
    store: &Store,
    by: &Actor,
    user_id: &str,
    patch: &UserPatch,
) -> Result<Updated, AccountError> {
    let lease_store = store.lease_store();
    let mut pending = change::begin(&lease_store, &AffectedKeys::User(user_id.to_owned())).await?;
    let change = pending.change();
    authority::recheck(change.connection(), by, Role::Admin).await?;
    let Some(before) = users::find(change.connection(), user_id).await? else {
        // Some edges may not have applied the deletion yet.
        pending.await_earlier_change().await?;
        return Err(AccountError::NotFound);
    };
    if by.is_token() && (before.is_admin || patch.is_admin.is_some()) {
        return Err(AccountError::InPerson);
    }
    if before.kind.is_service() && patch.is_admin == Some(true) {
        return Err(AccountError::ServiceAccount);
    }
    let permissions = patch.permissions.as_ref().filter(|permissions| **permissions != before.permissions);
    let is_active = patch.is_active.filter(|is_active| *is_active != before.is_active);
    let is_admin = patch.is_admin.filter(|is_admin| *is_admin != before.is_admin);
    if permissions.is_none() && is_active.is_none() && is_admin.is_none() {
        // The change that made it so may still be propagating.
        let propagation = Propagation::new(store, pending.abandon().await?);
        return Ok(Updated {
            user: before,
            propagation,
            is_password_removed: false,
            ended_tokens: Vec::new(),
        });
    }
    let stays_admin = is_active.unwrap_or(before.is_active) && is_admin.unwrap_or(before.is_admin);
    let loses_admin = before.is_active && before.is_admin && !stays_admin;
    if loses_admin {
        require_another_admin(change.connection(), by).await?;
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
        set_admin_within(change.connection(), by, &before, is_admin).await?;
    }
    let reason = match (loses_admin, is_admin) {
        (true, _) if is_active == Some(false) => Some(End::CreatorDisabled),
        (true, _) => Some(End::CreatorDemoted),
        (false, Some(true)) => Some(End::NamedPromoted),
        (false, _) => None,
    };
    if loses_admin {
        links::remove_made_by(change.connection(), user_id).await?;
    }
    let ended_tokens = match reason {
        Some(reason) => management_tokens::end(change.connection(), by, &before, reason).await?,
        None => Vec::new(),
    };
    let user = users::find(change.connection(), user_id).await?.ok_or(AccountError::NotFound)?;
    Ok(Updated {
        is_password_removed: before.has_password && !user.has_password,
        user,
        propagation: Propagation::new(store, pending.commit().await?),
        ended_tokens,
    })
}

/// Refuses to take an admin away if no other is active. At the command line an operator may, because an operator can always
/// create another admin.
pub(super) async fn require_another_admin(
    connection: &mut AnyConnection,
    by: &Actor,
) -> Result<(), AccountError> {
    if by.kind != ActorKind::CommandLine && users::active_admins(connection).await? <= 1 {
        return Err(AccountError::LastAdmin);
    }
    Ok(())
}

async fn set_admin_within(
    connection: &mut AnyConnection,
    by: &Actor,
    before: &User,
    is_admin: bool,
) -> db::Result<()> {
    let mut detail = json!({ "is_admin": { "from": before.is_admin, "to": is_admin } });
    if is_admin {
        users::make_admin(&mut *connection, &before.id).await?;
        links::remove(&mut *connection, &before.id).await?;
        if before.has_password && before.is_password_from_token {
            detail["is_password_removed"] = true.into();
        }
    } else {
        users::make_member(&mut *connection, &before.id).await?;
    }
    log(connection, by, Action::UserAdminChanged, &before.id, &detail).await
}

async fn set_permissions_within(
    change: &mut Change,
    by: &Actor,
    before: &User,
    permissions: &ScopeSet,
) -> db::Result<()> {
    users::set_permissions(change, &before.id, permissions).await?;
    let detail = json!({ "permissions": { "from": before.permissions, "to": permissions } });
    log(change.connection(), by, Action::UserPermissionsChanged, &before.id, &detail).await
}
