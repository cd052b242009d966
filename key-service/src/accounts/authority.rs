//! Whether a caller still has the rights with which its request began.
//!
//! A request is authenticated before its body is read, and a client can hold the body back. The session or the token may end
//! meanwhile, or the admin may be demoted. So each change compares again, inside its transaction.

use sqlx::AnyConnection;

use super::access::Role;
use super::sql::{sessions, tokens, users};
use super::token::{self, Refusal};
use crate::audit::{Actor, ActorKind};
use crate::db;
use crate::time::Timestamp;

/// Why a caller has lost the rights that it had when its request began.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The session has ended: by signing out, by a new password, or because the user was disabled or became an admin.
    #[error("Your session has ended. Sign in again.")]
    SessionEnded,
    /// The user is no longer an admin.
    #[error("You do not have permission to perform this action.")]
    NotAdmin,
    /// The management token was revoked, has expired or has ended.
    #[error(transparent)]
    Token(Refusal),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

/// Checks the caller's rights again. `connection` is in a transaction that holds the write lock, so nothing can end the
/// rights before it commits. The verbs of a token never change, and it gets no further users.
///
/// # Errors
/// The caller has lost its rights, or the database failed.
pub(crate) async fn recheck(
    connection: &mut AnyConnection,
    by: &Actor,
    role: Role,
) -> Result<(), AuthorityError> {
    let id = by.id.as_deref().unwrap_or_default();
    match by.kind {
        ActorKind::CommandLine | ActorKind::Service => Ok(()),
        ActorKind::Visitor | ActorKind::LeakReporter => Err(AuthorityError::SessionEnded),
        ActorKind::ManagementToken => {
            let token = tokens::find(connection, id).await?;
            let working = token::check(token, Timestamp::now());
            working.map(|_| ()).map_err(AuthorityError::Token)
        }
        ActorKind::User => {
            let session = by.session.as_ref().ok_or(AuthorityError::SessionEnded)?;
            if !sessions::is_stored(&mut *connection, session.id_digest, Timestamp::now()).await? {
                return Err(AuthorityError::SessionEnded);
            }
            let user = users::find(connection, id).await?;
            let user = user.filter(|user| user.is_active && user.session_version == session.version);
            let user = user.ok_or(AuthorityError::SessionEnded)?;
            if role == Role::Admin && !user.is_admin { Err(AuthorityError::NotAdmin) } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::access::KeyAccess;
    use crate::accounts::management_tokens::{self, NewToken, TokenError, Verbs};
    use crate::accounts::passwords::Passwords;
    use crate::accounts::{self, NewUser};
    use crate::keys::{self, KeyError, NewKey};
    use crate::testing;

    /// A request without a body cannot be held back, but its caller's rights can still end between two statements.
    #[tokio::test]
    async fn a_caller_who_has_lost_its_rights_ends_neither_keys_nor_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let (service, now) = (Actor::service(), Timestamp::now());
        let new = NewUser {
            email: "admin@example.com".parse().unwrap(),
            password: None,
            permissions: protocol::ScopeSet::all(),
            is_admin: true,
        };
        let user = accounts::add(&store, &service, &Passwords::default(), new, now).await.unwrap();
        let new = NewKey {
            label: "CI".parse().unwrap(),
            scopes: protocol::ScopeSet::all(),
            restrictions: protocol::Restrictions::default(),
            expires_at: None,
        };
        let (key, _) = keys::create(&store, &service, KeyAccess::Anyone, &user.id, new, now).await.unwrap();
        let new = NewToken {
            label: "CI".parse().unwrap(),
            user_ids: None,
            can: Verbs::default(),
            expires_at: None,
        };
        let (token, _) = management_tokens::create(&store, &service, new, now).await.unwrap();

        let signed_out = user.acting(Actor::service());
        let revoked =
            Actor { kind: ActorKind::ManagementToken, id: Some("revoked".to_owned()), ..Actor::service() };
        for by in [signed_out, revoked] {
            let deleted = keys::delete(&store, &by, KeyAccess::Anyone, &key.id).await;
            assert!(matches!(deleted, Err(KeyError::Authority(_))), "{by:?}");
            let ended = management_tokens::revoke(&store, &by, &token.id).await;
            assert!(matches!(ended, Err(TokenError::Authority(_))), "{by:?}");
        }
        assert!(management_tokens::revoke(&store, &service, &token.id).await.is_ok());
        assert!(keys::delete(&store, &service, KeyAccess::Anyone, &key.id).await.is_ok());
    }
}
