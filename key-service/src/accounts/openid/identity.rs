//! Identities: the accounts at providers with which users sign in. Admins see and unlink them, operators link them.

use openidconnect::IssuerUrl;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::claims::is_storable_subject;
use crate::accounts::access::Role;
use crate::accounts::authority;
use crate::accounts::error::AccountError;
use crate::accounts::sql::identities::{self, StoredIdentity};
use crate::accounts::sql::users;
use crate::accounts::user::{User, log};
use crate::audit::{Action, Actor, ActorKind};
use crate::db::Database;
use crate::time::Timestamp;
use crate::validation::{FieldError, Violation};

/// The number of users whose identities one statement reads.
const USERS_AT_ONCE: usize = 500;

/// An account at an OpenID provider with which a user signs in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LinkedIdentity {
    /// Names the account in paths. It stays the same as long as issuer and subject do.
    pub(crate) id: String,
    /// The provider.
    pub(crate) issuer: String,
    /// The provider's name for the account.
    pub(crate) subject: String,
    /// When the account was linked to the user.
    pub(crate) linked_at: Timestamp,
}

impl From<StoredIdentity> for LinkedIdentity {
    fn from(stored: StoredIdentity) -> Self {
        let StoredIdentity { issuer, subject, created_at, .. } = stored;
        // An issuer is a URL, which has no control characters.
        let digest = Sha256::digest(format!("{issuer}\n{subject}"));
        let id = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        LinkedIdentity { id, issuer, subject, linked_at: created_at }
    }
}

/// A user with the user's identities.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct UserWithIdentities {
    #[serde(flatten)]
    pub(crate) user: User,
    /// The accounts at OpenID providers with which the user signs in.
    pub(crate) identities: Vec<LinkedIdentity>,
}

/// The identities of a user, the first one first.
///
/// # Errors
/// The database failed.
pub(crate) async fn of_user(database: &Database, user_id: &str) -> Result<Vec<LinkedIdentity>, AccountError> {
    let stored = identities::of_users(database.pool(), &[user_id]).await?;
    Ok(stored.into_iter().map(LinkedIdentity::from).collect())
}

/// Adds the identities to users.
///
/// # Errors
/// The database failed.
pub(crate) async fn of_users(
    database: &Database,
    users: Vec<User>,
) -> Result<Vec<UserWithIdentities>, AccountError> {
    let mut all: Vec<_> =
        users.into_iter().map(|user| UserWithIdentities { user, identities: Vec::new() }).collect();
    for part in all.chunks_mut(USERS_AT_ONCE) {
        let ids: Vec<_> = part.iter().map(|one| one.user.id.as_str()).collect();
        for stored in identities::of_users(database.pool(), &ids).await? {
            if let Some(one) = part.iter_mut().find(|one| stored.user_id.as_deref() == Some(&*one.user.id)) {
                one.identities.push(stored.into());
            }
        }
    }
    Ok(all)
}

/// Links a provider's account to a user, and ends the user's sessions. Nobody checks that the account is the user's.
///
/// # Errors
/// No such user, a service account, an invalid issuer or subject, an account that has a user, a user who has another account at
/// this provider, or a failure.
pub(crate) async fn link(
    database: &Database,
    by: &Actor,
    user_id: &str,
    issuer: &str,
    subject: &str,
) -> Result<(), AccountError> {
    if IssuerUrl::new(issuer.to_owned()).is_err() {
        return Err(
            FieldError::input("issuer", "Enter the issuer as the file of the providers has it.").into()
        );
    }
    if !is_storable_subject(subject) {
        return Err(Violation::input("Enter the subject as ID tokens have it.").of("subject").into());
    }
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await?;
    let user = users::find(write.connection(), user_id).await?.ok_or(AccountError::NotFound)?;
    if user.kind.is_service() {
        return Err(AccountError::ServiceAccount);
    }
    let stored = identities::find(write.connection(), issuer, subject).await?;
    if stored.is_some_and(|identity| identity.user_id.is_some()) {
        return Err(AccountError::IdentityTaken);
    }
    let of_user = identities::of_users(write.connection(), &[user_id]).await?;
    if of_user.iter().any(|identity| identity.issuer == issuer) {
        return Err(AccountError::IssuerTaken(user.email));
    }
    identities::link(write.connection(), issuer, subject, user_id).await?;
    users::end_sessions(write.connection(), user_id).await?;
    let detail = json!({ "issuer": issuer, "subject": subject });
    log(write.connection(), by, Action::UserIdentityLinked, user_id, &detail).await?;
    Ok(write.commit().await?)
}

/// Unlinks a provider's account from a user, and ends the user's sessions. A sign-in with the account is refused until an operator
/// links it again.
///
/// # Errors
/// No such user or identity, the caller's own user, a token that would change an admin, or a failure.
pub(crate) async fn unlink(
    database: &Database,
    by: &Actor,
    user_id: &str,
    identity_id: &str,
) -> Result<LinkedIdentity, AccountError> {
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await?;
    let user = users::find(write.connection(), user_id).await?.ok_or(AccountError::NotFound)?;
    if by.is_token() && user.is_admin {
        return Err(AccountError::InPerson);
    }
    if by.kind == ActorKind::User && by.id.as_ref() == Some(&user.id) {
        return Err(AccountError::UnlinksSelf);
    }
    let of_user = identities::of_users(write.connection(), &[user_id]).await?;
    let identity = of_user.into_iter().map(LinkedIdentity::from).find(|identity| identity.id == identity_id);
    let identity = identity.ok_or(AccountError::NoSuchIdentity)?;
    identities::unlink(write.connection(), &identity.issuer, &identity.subject).await?;
    users::end_sessions(write.connection(), user_id).await?;
    let detail = json!({ "issuer": identity.issuer, "subject": identity.subject });
    log(write.connection(), by, Action::UserIdentityUnlinked, user_id, &detail).await?;
    write.commit().await?;
    Ok(identity)
}
