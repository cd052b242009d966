//! The logged-in user's personal API keys.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::ScopeSet;
use serde_json::{Value, json};

use super::ApiState;
use super::session::CurrentUser;
use crate::clock::Timestamp;
use crate::http::error::ApiError;
use crate::http::fields::Fields;
use crate::invalid::Invalid;
use crate::key_fields;
use crate::keys::{self, KeyPatch, NewKey, Owner};

/// `GET /api/personal_api_keys/`: the keys, newest first.
pub(super) async fn list(
    CurrentUser(user): CurrentUser,
    State(state): State<ApiState>,
) -> Result<Response, ApiError> {
    let keys = keys::list(&state.database, &user.id).await?;
    let views: Vec<_> = keys.iter().map(|key| key.view(None)).collect();
    Ok(Json(views).into_response())
}

/// `POST /api/personal_api_keys/`: a new key; the only answer, but for a roll's, that shows a value.
pub(super) async fn create(
    CurrentUser(user): CurrentUser,
    State(state): State<ApiState>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let new = NewKey {
        label: label(&fields)?.ok_or_else(|| Invalid::required("label"))?,
        scopes: scopes(&fields)?.ok_or_else(|| Invalid::required("scopes"))?,
        expires_at: expires_at(&fields, now)?.flatten(),
    };
    let (key, value) = keys::create(&state.database, &user.id, new, now).await?;
    Ok((StatusCode::CREATED, Json(key.view(Some(&value)))).into_response())
}

/// `GET /api/personal_api_keys/{id}/`.
pub(super) async fn show(
    CurrentUser(user): CurrentUser,
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let key = keys::get(&state.database, &user.id, &id).await?;
    Ok(Json(key.view(None)).into_response())
}

/// `PATCH /api/personal_api_keys/{id}/`: label, scopes, expiry.
pub(super) async fn update(
    CurrentUser(user): CurrentUser,
    State(state): State<ApiState>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let patch = KeyPatch {
        label: label(&fields)?,
        scopes: scopes(&fields)?,
        expires_at: expires_at(&fields, Timestamp::now())?,
    };
    let (key, revocation) = keys::update(&state.database, &user.id, &id, patch).await?;
    Ok(Json(key.changed(None, revocation)).into_response())
}

/// `DELETE /api/personal_api_keys/{id}/`: the key has stopped working everywhere, for good.
pub(super) async fn delete(
    CurrentUser(user): CurrentUser,
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (key, revocation) = keys::delete(&state.database, Owner::User(&user.id), &id).await?;
    Ok(Json(json!({ "id": key.id, "revocation": revocation })))
}

/// `POST /api/personal_api_keys/{id}/roll/`: a new value for the key.
pub(super) async fn roll(
    CurrentUser(user): CurrentUser,
    State(state): State<ApiState>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let grace_s = fields.integer("grace_s")?.map_or(Ok(0), key_fields::grace_s)?;
    let (key, value, revocation) = keys::roll(&state.database, Owner::User(&user.id), &id, grace_s).await?;
    Ok(Json(key.changed(Some(&value), Some(revocation))).into_response())
}

fn label(fields: &Fields) -> Result<Option<String>, Invalid> {
    fields.text("label")?.map(key_fields::label).transpose()
}

fn scopes(fields: &Fields) -> Result<Option<ScopeSet>, Invalid> {
    fields.texts("scopes")?.map(|texts| key_fields::scopes("scopes", texts)).transpose()
}

/// Absent, null (never), or a time to come.
fn expires_at(fields: &Fields, now: Timestamp) -> Result<Option<Option<Timestamp>>, Invalid> {
    match fields.moment("expires_at")? {
        Some(Some(moment)) => Ok(Some(Some(key_fields::expires_at(moment, now)?))),
        absent_or_null => Ok(absent_or_null),
    }
}
