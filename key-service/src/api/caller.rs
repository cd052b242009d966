//! Who calls the API, and what that lets them do.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use tower_sessions::Session;

use super::{ApiState, session};
use crate::accounts::{AccountError, User};
use crate::audit::{Actor, ActorKind};
use crate::clock::Timestamp;
use crate::http::bearer::bearer;
use crate::http::client_address::ClientAddress;
use crate::http::error::ApiError;
use crate::http::request_log::RequestId;
use crate::invalid::Invalid;
use crate::keys::Owner;
use crate::management_tokens::{self, Reach, TOKEN_PREFIX};

/// Where a request came from, before it is known whose it is.
pub(crate) struct Visitor(pub(crate) Actor);

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let ClientAddress(address) = ClientAddress::from_request_parts(parts, state).await?;
        let RequestId(request_id) = RequestId::from_request_parts(parts, state).await?;
        Ok(Visitor(Actor {
            kind: ActorKind::Visitor,
            address: Some(address),
            request_id: Some(request_id),
            ..Actor::service()
        }))
    }
}

/// Somebody with a session. A personal API key makes none: it could make itself a stronger one.
pub(super) struct SignedIn {
    pub(super) user: User,
    pub(super) by: Actor,
}

impl FromRequestParts<ApiState> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let Visitor(visitor) = Visitor::from_request_parts(parts, state).await?;
        let session = Session::from_request_parts(parts, state).await.map_err(|(status, _)| status)?;
        match session::user(&session, &state.database, Timestamp::now()).await? {
            Some(user) => Ok(SignedIn { by: visitor.as_user(&user), user }),
            None if parts.headers.contains_key(header::AUTHORIZATION) => {
                Err(ApiError::authentication_failed(
                    "Personal API key found in request Authorization header is invalid.",
                ))
            }
            None => Err(ApiError::not_authenticated()),
        }
    }
}

/// A caller that manages keys: somebody with a session, or automation with a management token.
pub(super) struct Caller {
    identity: Identity,
    pub(super) by: Actor,
}

enum Identity {
    User(User),
    Token(Reach),
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let Visitor(visitor) = Visitor::from_request_parts(parts, state).await?;
        let credential = parts.headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let token = credential.and_then(|token| std::str::from_utf8(token).ok());
        if let Some(value) = token.filter(|token| token.starts_with(TOKEN_PREFIX)) {
            let token = management_tokens::authenticate(&state.database, value, Timestamp::now()).await?;
            let token = token.map_err(|refusal| ApiError::authentication_failed(&refusal.to_string()))?;
            return Ok(Caller { by: token.actor(visitor), identity: Identity::Token(token.reach()) });
        }
        let SignedIn { user, by } = SignedIn::from_request_parts(parts, state).await?;
        Ok(Caller { identity: Identity::User(user), by })
    }
}

impl Caller {
    /// The keys that the caller may do anything with, their values included.
    pub(super) fn manages(&self) -> Owner<'_> {
        match &self.identity {
            Identity::User(user) => Owner::User(&user.id),
            Identity::Token(reach) => reach.owner(),
        }
    }

    /// The keys that the caller may see and delete: an admin, everybody's.
    pub(super) fn oversees(&self) -> Owner<'_> {
        match &self.identity {
            Identity::User(user) if user.is_admin => Owner::Anyone,
            _ => self.manages(),
        }
    }

    /// The user with whose keys the caller deals: with a session its own, with a token the one that is named. Whether that
    /// user is within reach is for [`crate::keys`] to find out, together with what it does.
    pub(super) fn user_id<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, ApiError> {
        match (&self.identity, named) {
            (Identity::User(user), None) => Ok(&user.id),
            (Identity::Token(_), None) => Err(Invalid::required("user_id").into()),
            (_, Some(id)) => Ok(id),
        }
    }
}

/// Somebody who may manage accounts: an admin with a session, or automation with a token for all users.
pub(super) struct Admin {
    /// The admin, if it is a person.
    pub(super) user: Option<User>,
    pub(super) by: Actor,
}

impl FromRequestParts<ApiState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, state).await? {
            Caller { identity: Identity::User(user), by } if user.is_admin => {
                Ok(Admin { user: Some(user), by })
            }
            Caller { identity: Identity::Token(Reach::All), by } => Ok(Admin { user: None, by }),
            _ => Err(ApiError::permission_denied("You do not have permission to perform this action.")),
        }
    }
}

impl Admin {
    /// The admin in person: what a token may not do, since it would make more of itself.
    pub(super) fn in_person(&self) -> Result<&User, ApiError> {
        self.user.as_ref().ok_or_else(|| AccountError::InPerson.into())
    }
}
