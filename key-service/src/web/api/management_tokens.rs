//! Management tokens, for admins in person.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::bodies::NewToken as NewTokenBody;
use crate::accounts::management_tokens::{self, ManagementToken, NewToken, NewTokenView, Verbs};
use crate::keys::rules;
use crate::time::Timestamp;
use crate::validation::FieldError;
use crate::web::caller::AdminInPerson;
use crate::web::error::ApiError;
use crate::web::fields::Fields;
use crate::web::state::AppState;

/// `GET /api/management_tokens/`: all tokens, newest first.
#[utoipa::path(
    get,
    path = "/api/management_tokens/",
    tag = "Management tokens",
    responses((status = 200, description = "All tokens, newest first.", body = Vec<ManagementToken>)),
    security(("session" = [])),
)]
pub(super) async fn list(_: AdminInPerson, State(state): State<AppState>) -> Result<Response, ApiError> {
    Ok(Json(management_tokens::list(&state.store).await?).into_response())
}

/// `POST /api/management_tokens/`: a new token; the only answer that shows its value.
#[utoipa::path(
    post,
    path = "/api/management_tokens/",
    tag = "Management tokens",
    request_body = NewTokenBody,
    responses((status = 201, description = "The new token, with its value.", body = NewTokenView)),
    security(("session" = [])),
)]
pub(super) async fn create(
    admin: AdminInPerson,
    State(state): State<AppState>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let new = NewToken {
        label: rules::label(fields.filled("label")?)?,
        user_ids: fields
            .texts_or_null("user_ids")?
            .ok_or_else(|| FieldError::required("user_ids"))?
            .map(|ids| ids.into_iter().map(str::to_owned).collect()),
        can: fields.texts("can")?.map(Verbs::parse).transpose()?.unwrap_or_default(),
        expires_at: fields.future("expires_at", now)?.flatten(),
    };
    let (token, value) = management_tokens::create(&state.store, &admin.by, new, now).await?;
    Ok((StatusCode::CREATED, Json(token.with_value(&value))).into_response())
}

/// `DELETE /api/management_tokens/{id}/`: the token is refused from now on.
#[utoipa::path(
    delete,
    path = "/api/management_tokens/{id}/",
    tag = "Management tokens",
    params(("id" = String, Path, description = "The token's id.")),
    responses((status = 204, description = "The token is refused from now on.")),
    security(("session" = [])),
)]
pub(super) async fn revoke(
    admin: AdminInPerson,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    management_tokens::revoke(&state.store, &admin.by, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
