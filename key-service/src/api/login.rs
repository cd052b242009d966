//! Logging in and out.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use tower_sessions::Session;

use super::{ApiState, session};
use crate::accounts::{self, User};
use crate::clock::Timestamp;
use crate::http::error::ApiError;
use crate::http::fields::Fields;
use crate::invalid::Invalid;

/// `POST /api/login/`: begins a session and answers with the user.
pub(super) async fn log_in(
    State(state): State<ApiState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    session: Session,
    fields: Fields,
) -> Result<Json<User>, ApiError> {
    let email = filled(&fields, "email")?;
    let password = filled(&fields, "password")?;
    state.limits.admit(peer.ip(), email).map_err(|wait| ApiError::throttled(wait.seconds))?;

    let user = accounts::authenticate(&state.database, &state.passwords, email, password.to_owned()).await?;
    let user = user.ok_or_else(|| ApiError::authentication_failed("Invalid email or password."))?;
    session::begin(&session, &user, Timestamp::now()).await?;
    Ok(Json(user))
}

fn filled<'a>(fields: &'a Fields, field: &'static str) -> Result<&'a str, Invalid> {
    let text = fields.text(field)?.ok_or_else(|| Invalid::required(field))?;
    if text.is_empty() { Err(Invalid::blank(field)) } else { Ok(text) }
}

/// `POST /api/logout/`: ends the session, if there is one.
pub(super) async fn log_out(session: Session) -> Result<StatusCode, ApiError> {
    session::end(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}
