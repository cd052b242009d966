//! Management tokens. Only admins with a session may manage them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use deserr::Deserr;
use utoipa::ToSchema;

use crate::accounts::management_tokens::{self, ManagementToken, NewToken, NewTokenView, Verbs};
use crate::keys::rules::Expiry;
use crate::label::Label;
use crate::time::Timestamp;
use crate::validation::FieldErrors;
use crate::web::caller::AdminInPerson;
use crate::web::error::{ApiError, Body};
use crate::web::idempotent::{IdempotencyKey, Idempotent};
use crate::web::request::{Fields, NoParams, Params};
use crate::web::state::AppState;

/// A new management token.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
#[schema(as = NewToken)]
pub(super) struct NewTokenFields {
    label: Label,
    /// The ids of the users whose keys it manages; null for all users except admins, whose accounts it then manages too.
    #[schema(required)]
    user_ids: Option<Vec<String>>,
    /// The allowed operations; only `read` if absent.
    #[deserr(default)]
    #[schema(required = false)]
    can: Verbs,
    /// When it expires; null or absent for never.
    #[deserr(default)]
    expires_at: Option<Expiry>,
}

/// `GET /api/management_tokens/`: all tokens, newest first.
#[utoipa::path(
    get,
    path = "/api/management_tokens/",
    tag = "Management tokens",
    responses((status = 200, description = "All tokens, newest first.", body = Vec<ManagementToken>)),
    security(("session" = [])),
)]
pub(super) async fn list(
    _: AdminInPerson,
    State(state): State<AppState>,
    _: Params<NoParams>,
) -> Result<Response, ApiError> {
    Ok(Json(management_tokens::list(&state.store).await?).into_response())
}

/// `POST /api/management_tokens/`: creates a token. Only this answer contains its value.
#[utoipa::path(
    post,
    path = "/api/management_tokens/",
    tag = "Management tokens",
    params(IdempotencyKey),
    request_body = NewTokenFields,
    responses((status = 201, description = "The new token, with its value. A repetition of the request with the same Idempotency-Key creates no token: it gets the token with `value: null`.", body = NewTokenView), (status = 422, description = "The Idempotency-Key was used for another request.", body = Body)),
    security(("session" = [])),
)]
pub(super) async fn create(
    admin: AdminInPerson,
    State(state): State<AppState>,
    fields: Idempotent<Fields<NewTokenFields>>,
) -> Result<Response, ApiError> {
    let (Fields(fields), request) = fields.by(&admin.by);
    let new = NewToken {
        label: fields.label,
        user_ids: fields.user_ids,
        can: fields.can,
        expires_at: fields.expires_at.map(Into::into),
    };
    let (store, now) = (&state.store, Timestamp::now());
    let (token, value) = management_tokens::create_once(store, &admin.by, new, now, request.as_ref()).await?;
    Ok((StatusCode::CREATED, Json(token.with_value(value.as_ref()))).into_response())
}

/// `DELETE /api/management_tokens/{id}/`: revokes the token.
#[utoipa::path(
    delete,
    path = "/api/management_tokens/{id}/",
    tag = "Management tokens",
    params(("id" = String, Path, description = "The token's id.")),
    responses((status = 204, description = "The token no longer works.")),
    security(("session" = [])),
)]
pub(super) async fn revoke(
    admin: AdminInPerson,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    management_tokens::revoke(&state.store, &admin.by, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
