//! The user of a page.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use tower_sessions::Session;

use super::error::{PageError, SignInFirst};
use super::reason::Reason;
use crate::accounts::User;
use crate::audit::Actor;
use crate::time::Timestamp;
use crate::web::caller::Visitor;
use crate::web::error::ApiError;
use crate::web::session;
use crate::web::state::AppState;

/// A signed-in user. Other visitors are redirected to sign in first.
pub(super) struct PageUser {
    pub(super) user: User,
    pub(super) by: Actor,
}

impl FromRequestParts<AppState> for PageUser {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, PageError> {
        let Visitor(visitor) = Visitor::from_request_parts(parts, state).await?;
        let session = session_of(parts, state).await?;
        match session::user(&session, &state.store, Timestamp::now()).await? {
            Some(user) => Ok(PageUser { by: session::actor(visitor, &session, &user), user }),
            None => Err(PageError::SignIn(sign_in_first(parts))),
        }
    }
}

/// A signed-in admin. Other users get 403.
pub(super) struct PageAdmin {
    pub(super) user: User,
    pub(super) by: Actor,
}

impl FromRequestParts<AppState> for PageAdmin {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, PageError> {
        let PageUser { user, by } = PageUser::from_request_parts(parts, state).await?;
        if user.is_admin {
            Ok(PageAdmin { user, by })
        } else {
            Err(PageError::of_status(StatusCode::FORBIDDEN))
        }
    }
}

/// The signed-in user, if any.
pub(super) struct MaybeSignedIn(pub(super) Option<User>);

impl FromRequestParts<AppState> for MaybeSignedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, PageError> {
        let session = session_of(parts, state).await?;
        Ok(MaybeSignedIn(session::user(&session, &state.store, Timestamp::now()).await?))
    }
}

async fn session_of(parts: &mut Parts, state: &AppState) -> Result<Session, ApiError> {
    Session::from_request_parts(parts, state).await.map_err(|(status, _)| status.into())
}

/// The requested page comes after sign-in. A browser that sends a session's cookie was signed in.
fn sign_in_first(parts: &Parts) -> SignInFirst {
    let next = parts.uri.path_and_query().map_or("/", |whole| whole.as_str()).to_owned();
    let had_session = session::has_cookie(parts);
    SignInFirst { next, reason: had_session.then_some(Reason::SessionEnded) }
}
