//! Who is there.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use tower_sessions::Session;

use super::PageState;
use super::error::PageError;
use crate::accounts::User;
use crate::api::caller::Visitor;
use crate::api::session;
use crate::audit::Actor;
use crate::clock::Timestamp;
use crate::http::error::ApiError;

/// Somebody who is signed in. Others are sent to sign in first.
pub(super) struct SignedIn {
    pub(super) user: User,
    pub(super) by: Actor,
}

impl FromRequestParts<PageState> for SignedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &PageState) -> Result<Self, PageError> {
        let Visitor(visitor) = Visitor::from_request_parts(parts, state).await?;
        let session = session_of(parts, state).await?;
        match session::user(&session, &state.database, Timestamp::now()).await? {
            Some(user) => Ok(SignedIn { by: session::actor(visitor, &session, &user), user }),
            None => Err(PageError::SignIn(wanted(parts))),
        }
    }
}

/// An admin who is signed in. Other users see that they may not see more.
pub(super) struct Admin {
    pub(super) user: User,
    pub(super) by: Actor,
}

impl FromRequestParts<PageState> for Admin {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &PageState) -> Result<Self, PageError> {
        let SignedIn { user, by } = SignedIn::from_request_parts(parts, state).await?;
        if user.is_admin { Ok(Admin { user, by }) } else { Err(PageError::of_status(StatusCode::FORBIDDEN)) }
    }
}

/// The user who is signed in, if anybody is.
pub(super) struct MaybeSignedIn(pub(super) Option<User>);

impl FromRequestParts<PageState> for MaybeSignedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &PageState) -> Result<Self, PageError> {
        let session = session_of(parts, state).await?;
        Ok(MaybeSignedIn(session::user(&session, &state.database, Timestamp::now()).await?))
    }
}

async fn session_of(parts: &mut Parts, state: &PageState) -> Result<Session, ApiError> {
    Session::from_request_parts(parts, state).await.map_err(|(status, _)| status.into())
}

/// Where to go after signing in: the page that was asked for. What a form sent is gone, but the path of every form shows
/// that form.
fn wanted(parts: &Parts) -> String {
    let whole = parts.uri.path_and_query().map_or("/", |whole| whole.as_str());
    let wanted = if parts.method == Method::GET { whole } else { parts.uri.path() };
    wanted.to_owned()
}
