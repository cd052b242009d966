//! Who is there.

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use tower_sessions::Session;

use super::PageState;
use super::error::PageError;
use crate::accounts::User;
use crate::api::session;
use crate::clock::Timestamp;
use crate::http::error::ApiError;

/// The user who is signed in. Nobody else sees the page: they are sent to sign in first.
pub(super) struct Visitor(pub(super) User);

impl FromRequestParts<PageState> for Visitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &PageState) -> Result<Self, PageError> {
        match signed_in(parts, state).await? {
            Some(user) => Ok(Visitor(user)),
            None => Err(PageError::SignIn(wanted(parts))),
        }
    }
}

/// The user who is signed in, if anybody is.
pub(super) struct MaybeVisitor(pub(super) Option<User>);

impl FromRequestParts<PageState> for MaybeVisitor {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &PageState) -> Result<Self, PageError> {
        signed_in(parts, state).await.map(MaybeVisitor)
    }
}

async fn signed_in(parts: &mut Parts, state: &PageState) -> Result<Option<User>, PageError> {
    let session =
        Session::from_request_parts(parts, state).await.map_err(|(status, _)| ApiError::from(status))?;
    Ok(session::user(&session, &state.database, Timestamp::now()).await?)
}

/// Where to go after signing in: the page that was asked for. What a form sent is gone, but every form's path shows
/// that form.
fn wanted(parts: &Parts) -> String {
    let whole = parts.uri.path_and_query().map_or("/", |whole| whole.as_str());
    let wanted = if parts.method == Method::GET { whole } else { parts.uri.path() };
    wanted.to_owned()
}
