//! The caller's personal API keys, and those of other people that the caller manages or oversees.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::ScopeSet;
use serde_json::{Value, json};

use super::bodies::{DeletedKey, KeyChanges, NewKey as NewKeyBody, Roll, ScopeName};
use crate::keys::{
    self, ChangedKey, KeyPatch, KeySearch, KeyState, KeyView, NewKey, OwnedKey, OwnedKeyView, rules,
};
use crate::paging::Page;
use crate::time::Timestamp;
use crate::validation::FieldError;
use crate::web::caller::{Caller, Create, Read, Revoke};
use crate::web::error::{ApiError, Body};
use crate::web::fields::Fields;
use crate::web::params::{PageView, Paging, Params};
use crate::web::state::AppState;

/// `GET /api/personal_api_keys/`: a user's keys, newest first.
#[utoipa::path(
    get,
    path = "/api/personal_api_keys/",
    tag = "Personal API keys",
    params(("user_id" = Option<String>, Query, description = "Whose keys: to be named with a management token, oneself in a session.")),
    responses((status = 200, description = "The keys, newest first.", body = Vec<KeyView>)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn list(
    caller: Caller<Read>,
    State(state): State<AppState>,
    params: Params,
) -> Result<Response, ApiError> {
    let user_id = caller.user_id(params.text("user_id"))?;
    let keys = keys::list(&state.store, caller.manages(), user_id).await?;
    let views: Vec<_> = keys.iter().map(|key| key.view(None)).collect();
    Ok(Json(views).into_response())
}

/// `GET /api/keys/`: all keys that the caller may see, newest first.
#[utoipa::path(
    get,
    path = "/api/keys/",
    tag = "Personal API keys",
    params(Paging, ("search" = Option<String>, Query, description = "Only those with this in their label, their masked value or their owner's address."), ("user_id" = Option<String>, Query, description = "Only those of this user."), ("scope" = inline(Option<ScopeName>), Query, description = "Only those with exactly this scope."), ("state" = inline(Option<KeyState>), Query, description = "Only those in this state.")),
    responses((status = 200, description = "All keys that the caller may see, newest first.", body = PageView<OwnedKeyView>)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn search(
    caller: Caller<Read>,
    State(state): State<AppState>,
    params: Params,
) -> Result<Response, ApiError> {
    let owned = |name| params.text(name).map(str::to_owned);
    let search = KeySearch {
        access: caller.oversees(),
        user_id: owned("user_id"),
        text: owned("search"),
        scope: params.text("scope").map(|text| rules::scope("scope", text)).transpose()?,
        state: params.one_of("state", &KeyState::ALL)?,
        now: Timestamp::now(),
        page: params.page()?,
    };
    let found = keys::search(&state.store, &search).await?;
    let views = Page { count: found.count, rows: found.rows.iter().map(OwnedKey::view).collect() };
    Ok(Json(params.view(search.page, views)).into_response())
}

/// `POST /api/personal_api_keys/`: a new key; the only answer, but for a roll's, that shows a value.
#[utoipa::path(
    post,
    path = "/api/personal_api_keys/",
    tag = "Personal API keys",
    request_body = NewKeyBody,
    responses((status = 201, description = "The new key, with its value.", body = KeyView), (status = 429, description = "Too many changes. Retry-After says how many seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn create(
    caller: Caller<Create>,
    State(state): State<AppState>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let new = NewKey {
        label: label(&fields)?.ok_or_else(|| FieldError::required("label"))?,
        scopes: scopes(&fields)?.ok_or_else(|| FieldError::required("scopes"))?,
        expires_at: fields.future("expires_at", now)?.flatten(),
    };
    let user_id = caller.user_id(fields.text("user_id")?)?;
    state.changes.admit(&caller.by)?;
    let (key, value) = keys::create(&state.store, &caller.by, caller.manages(), user_id, new, now).await?;
    Ok((StatusCode::CREATED, Json(key.view(Some(&value)))).into_response())
}

/// `GET /api/personal_api_keys/{id}/`.
#[utoipa::path(
    get,
    path = "/api/personal_api_keys/{id}/",
    tag = "Personal API keys",
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "The key.", body = KeyView)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn show(
    caller: Caller<Read>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let key = keys::get(&state.store, caller.oversees(), &id).await?;
    Ok(Json(key.view(None)).into_response())
}

/// `PATCH /api/personal_api_keys/{id}/`: label, scopes, expiry.
#[utoipa::path(
    patch,
    path = "/api/personal_api_keys/{id}/",
    tag = "Personal API keys",
    params(("id" = String, Path, description = "The key's id.")),
    request_body = KeyChanges,
    responses((status = 200, description = "The key as changed, at every edge.", body = ChangedKey), (status = 429, description = "Too many changes. Retry-After says how many seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn update(
    caller: Caller<Create>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let patch = KeyPatch {
        label: label(&fields)?,
        scopes: scopes(&fields)?,
        expires_at: fields.future("expires_at", Timestamp::now())?,
    };
    state.changes.admit(&caller.by)?;
    let (key, propagation) = keys::update(&state.store, &caller.by, caller.manages(), &id, patch).await?;
    let revocation = match propagation {
        Some(propagation) => Some(propagation.wait().await?),
        None => None,
    };
    Ok(Json(key.changed(None, revocation)).into_response())
}

/// `DELETE /api/personal_api_keys/{id}/`: the key has stopped working everywhere, for good.
#[utoipa::path(
    delete,
    path = "/api/personal_api_keys/{id}/",
    tag = "Personal API keys",
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "The key is gone: no edge accepts it any more.", body = DeletedKey)),
    security(("session" = []), ("management_token" = ["revoke"])),
)]
pub(super) async fn delete(
    caller: Caller<Revoke>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (key, propagation) = keys::delete(&state.store, &caller.by, caller.oversees(), &id).await?;
    Ok(Json(json!({ "id": key.id, "revocation": propagation.wait().await? })))
}

/// `POST /api/personal_api_keys/{id}/roll/`: a new value for the key.
#[utoipa::path(
    post,
    path = "/api/personal_api_keys/{id}/roll/",
    tag = "Personal API keys",
    params(("id" = String, Path, description = "The key's id.")),
    request_body = Roll,
    responses((status = 200, description = "The key with its new value. Without a grace period no edge accepts an old one any more.", body = ChangedKey), (status = 429, description = "Too many changes. Retry-After says how many seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn roll(
    caller: Caller<Create>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let grace_s = fields.integer("grace_s")?.map_or(Ok(0), rules::grace_s)?;
    state.changes.admit(&caller.by)?;
    let (key, value, propagation) =
        keys::roll(&state.store, &caller.by, caller.manages(), &id, grace_s).await?;
    let revocation = propagation.wait().await?;
    Ok(Json(key.changed(Some(&value), Some(revocation))).into_response())
}

fn label(fields: &Fields) -> Result<Option<String>, FieldError> {
    fields.text("label")?.map(rules::label).transpose()
}

fn scopes(fields: &Fields) -> Result<Option<ScopeSet>, FieldError> {
    fields.texts("scopes")?.map(|texts| rules::scopes("scopes", texts)).transpose()
}
