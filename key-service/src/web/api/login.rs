//! Sign-in and sign-out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use deserr::Deserr;
use tower_sessions::Session;
use utoipa::ToSchema;

use crate::accounts::passwords::Password;
use crate::accounts::{self, User};
use crate::time::Timestamp;
use crate::validation::{FieldErrors, NonEmpty};
use crate::web::caller::Visitor;
use crate::web::error::{ApiError, Body};
use crate::web::request::{Fields, NoParams, Params};
use crate::web::session::{self, PASSWORDS_ARE_OFF};
use crate::web::state::AppState;

/// The credentials of a user.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
pub(super) struct Credentials {
    email: NonEmpty,
    password: Password,
}

/// `POST /api/login/`: starts a session and returns the user.
#[utoipa::path(
    post,
    path = "/api/login/",
    tag = "Sessions",
    request_body = Credentials,
    responses((status = 200, description = "The session has begun; its cookie is set.", body = User), (status = 401, description = "The address or the password is wrong, or the user is disabled.", body = Body), (status = 429, description = "Too many attempts. Retry-After is the number of seconds to wait.", body = Body)),
)]
pub(super) async fn log_in(
    State(state): State<AppState>,
    Visitor(by): Visitor,
    session: Session,
    Fields(Credentials { email, password }): Fields<Credentials>,
) -> Result<Json<User>, ApiError> {
    if !state.has_passwords {
        return Err(ApiError::permission_denied(PASSWORDS_ARE_OFF));
    }
    let email = email.as_ref();
    if let Err(wait) = state.limits.admit(&state.store, &by, email).await? {
        accounts::sign_in_throttled(&state.store, &state.refusals, &by, email).await?;
        return Err(wait.into());
    }

    let user = accounts::authenticate(&state.store, &by, &state.passwords, &state.providers, email, password)
        .await?;
    let user = user.ok_or_else(|| ApiError::authentication_failed("Invalid email or password."))?;
    session::begin(&session, &user, Timestamp::now()).await?;
    Ok(Json(user))
}

/// `POST /api/logout/`: ends the session, if any.
#[utoipa::path(
    post,
    path = "/api/logout/",
    tag = "Sessions",
    responses((status = 204, description = "The session has ended.")),
)]
pub(super) async fn log_out(
    State(state): State<AppState>,
    Visitor(by): Visitor,
    session: Session,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    session::end(&session, &state.store, by).await?;
    Ok(StatusCode::NO_CONTENT)
}
