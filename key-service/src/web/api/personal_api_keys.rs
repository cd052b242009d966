//! Personal API keys of the caller, and of other users that the caller manages or oversees.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use deserr::Deserr;
use protocol::Restrictions;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::keys::rules::{AnyScope, Expiry, GraceSeconds, Scopes};
use crate::keys::{
    self, AnyResourceId, ChangedKey, KeyPatch, KeySearch, KeyState, KeyView, NewKey, OwnedKey, OwnedKeyView,
    ResourceIds,
};
use crate::label::Label;
use crate::paging::{Limit, Offset, Page, PageRequest};
use crate::revocation::propagation::Revocation;
use crate::time::Timestamp;
use crate::validation::FieldErrors;
use crate::web::caller::{Caller, Create, Read, Revoke};
use crate::web::error::{ApiError, Body};
use crate::web::idempotent::{IdempotencyKey, Idempotent};
use crate::web::page_view::PageView;
use crate::web::request::{Fields, NoParams, Params, ScopedFields};
use crate::web::state::AppState;

/// Selects the owner of keys.
#[derive(Deserr, IntoParams)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
#[into_params(parameter_in = Query)]
pub(super) struct OwnerQuery {
    /// The owner of the keys: required with a management token; in a session, the caller by default.
    #[deserr(default)]
    user_id: Option<String>,
}

/// Selects keys.
#[derive(Deserr, IntoParams)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyQuery {
    /// The most keys of a page.
    #[deserr(default)]
    #[param(inline)]
    limit: Option<Limit>,
    /// The number of keys to skip.
    #[deserr(default)]
    #[param(inline)]
    offset: Option<Offset>,
    /// Only keys whose label, masked value or owner's address contains this text.
    #[deserr(default)]
    search: Option<String>,
    /// Only keys of this user.
    #[deserr(default)]
    user_id: Option<String>,
    /// Only keys with exactly this scope.
    #[deserr(default)]
    #[param(inline)]
    scope: Option<AnyScope>,
    /// Only keys in this state.
    #[deserr(default)]
    #[param(inline)]
    state: Option<KeyState>,
}

/// A new key.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
#[schema(as = NewKey)]
pub(super) struct NewKeyFields {
    /// The owner's name for the key.
    label: Label,
    /// `*`, or `object:read` and `object:write`; write includes read.
    scopes: Scopes,
    /// The ids of the only projects that the key may use; null, empty or absent for all.
    #[deserr(default)]
    #[schema(value_type = Option<Vec<AnyResourceId>>, max_items = 100)]
    scoped_teams: ResourceIds,
    /// The ids of the only organizations that the key may use; null, empty or absent for all.
    #[deserr(default)]
    #[schema(value_type = Option<Vec<AnyResourceId>>, max_items = 100)]
    scoped_organizations: ResourceIds,
    /// The time from which the key is refused; null or absent for never.
    #[deserr(default)]
    expires_at: Option<Expiry>,
    /// The owner of the key: required with a management token; in a session, the caller by default.
    #[deserr(default, from(String) = Some)]
    #[schema(nullable = false)]
    user_id: Option<String>,
}

/// Changes of a key. Absent fields do not change.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
pub(super) struct KeyChanges {
    #[deserr(default, from(Label) = Some)]
    #[schema(nullable = false)]
    label: Option<Label>,
    /// The new scopes. Scopes of the key whose objects are no longer in the catalogue may stay.
    #[deserr(default, from(Scopes) = Some)]
    #[schema(nullable = false)]
    scopes: Option<Scopes>,
    /// The ids of the only projects that the key may use; null or empty for all.
    #[deserr(default, from(ResourceIds) = Some)]
    #[schema(value_type = Option<Vec<AnyResourceId>>, max_items = 100)]
    scoped_teams: Option<ResourceIds>,
    /// The ids of the only organizations that the key may use; null or empty for all.
    #[deserr(default, from(ResourceIds) = Some)]
    #[schema(value_type = Option<Vec<AnyResourceId>>, max_items = 100)]
    scoped_organizations: Option<ResourceIds>,
    /// Null removes the expiry.
    #[deserr(default, from(Option<Expiry>) = Some)]
    #[schema(value_type = Option<Expiry>)]
    expires_at: Option<Option<Expiry>>,
}

/// Settings of a roll.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
pub(super) struct Roll {
    /// The time for which the old value still works, in seconds; 0 or absent ends every old value at once.
    #[deserr(default)]
    #[schema(required = false)]
    grace_s: GraceSeconds,
}

/// A deleted key.
#[derive(Serialize, ToSchema)]
pub(super) struct DeletedKey {
    id: String,
    revocation: Revocation,
}

/// `GET /api/personal_api_keys/`: a user's keys, newest first.
#[utoipa::path(
    get,
    path = "/api/personal_api_keys/",
    tag = "Personal API keys",
    params(OwnerQuery),
    responses((status = 200, description = "The keys, newest first.", body = Vec<KeyView>)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn list(
    caller: Caller<Read>,
    State(state): State<AppState>,
    Params { sent, .. }: Params<OwnerQuery>,
) -> Result<Response, ApiError> {
    let user_id = caller.user_id(sent.user_id.as_deref())?;
    let keys = keys::list(&state.store, caller.manages(), user_id).await?;
    let views: Vec<_> = keys.iter().map(|key| key.view(None)).collect();
    Ok(Json(views).into_response())
}

/// `GET /api/keys/`: all keys that the caller may see, newest first.
#[utoipa::path(
    get,
    path = "/api/keys/",
    tag = "Personal API keys",
    params(KeyQuery),
    responses((status = 200, description = "All keys that the caller may see, newest first.", body = PageView<OwnedKeyView>)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn search(
    caller: Caller<Read>,
    State(state): State<AppState>,
    Params { sent, address }: Params<KeyQuery>,
) -> Result<Response, ApiError> {
    let search = KeySearch {
        access: caller.oversees(),
        user_id: sent.user_id,
        text: sent.search,
        scope: sent.scope.map(Into::into),
        state: sent.state,
        now: Timestamp::now(),
        page: PageRequest::new(sent.limit, sent.offset),
    };
    let found = keys::search(&state.store, &search).await?;
    let views = Page { count: found.count, rows: found.rows.iter().map(OwnedKey::view).collect() };
    Ok(Json(address.view(search.page, views)).into_response())
}

/// `POST /api/personal_api_keys/`: a new key. Only this answer and that of a roll contain a value.
#[utoipa::path(
    post,
    path = "/api/personal_api_keys/",
    tag = "Personal API keys",
    params(IdempotencyKey),
    request_body = NewKeyFields,
    responses((status = 201, description = "The new key, with its value. A repetition of the request with the same Idempotency-Key creates no key: it gets the key with `value: null`.", body = KeyView), (status = 422, description = "The Idempotency-Key was used for another request.", body = Body), (status = 429, description = "Too many changes. Retry-After is the number of seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn create(
    caller: Caller<Create>,
    State(state): State<AppState>,
    fields: Idempotent<ScopedFields<NewKeyFields>>,
) -> Result<Response, ApiError> {
    let (fields, request) = fields.by(&caller.by);
    let fields = caller.naming_owner(fields).check("scopes", &state.catalogue)?;
    let new = NewKey {
        label: fields.label,
        scopes: fields.scopes.into(),
        restrictions: Restrictions {
            projects: fields.scoped_teams.into(),
            organizations: fields.scoped_organizations.into(),
        },
        expires_at: fields.expires_at.map(Into::into),
    };
    let user_id = caller.user_id(fields.user_id.as_deref())?;
    state.changes.admit(&caller.by)?;
    let (store, access, now) = (&state.store, caller.manages(), Timestamp::now());
    let (key, value) =
        keys::create_once(store, &caller.by, access, user_id, new, now, request.as_ref()).await?;
    Ok((StatusCode::CREATED, Json(key.view(value.as_ref()))).into_response())
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
    _: Params<NoParams>,
) -> Result<Response, ApiError> {
    let key = keys::get(&state.store, caller.oversees(), &id).await?;
    Ok(Json(key.view(None)).into_response())
}

/// `PATCH /api/personal_api_keys/{id}/`: label, scopes, restrictions, expiry.
#[utoipa::path(
    patch,
    path = "/api/personal_api_keys/{id}/",
    tag = "Personal API keys",
    params(("id" = String, Path, description = "The key's id.")),
    request_body = KeyChanges,
    responses((status = 200, description = "The changed key. Every edge has applied the change.", body = ChangedKey), (status = 429, description = "Too many changes. Retry-After is the number of seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn update(
    caller: Caller<Create>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    fields: ScopedFields<KeyChanges>,
) -> Result<Response, ApiError> {
    let held = keys::scopes(&state.store, caller.manages(), &id);
    let fields = fields.check_change("scopes", &state.catalogue, held).await?;
    let patch = KeyPatch {
        label: fields.label,
        scopes: fields.scopes.map(Into::into),
        projects: fields.scoped_teams.map(Into::into),
        organizations: fields.scoped_organizations.map(Into::into),
        expires_at: fields.expires_at.map(|expiry| expiry.map(Into::into)),
        expected: None,
    };
    state.changes.admit(&caller.by)?;
    let (key, propagation) = keys::update(&state.store, &caller.by, caller.manages(), &id, patch).await?;
    let revocation = match propagation {
        Some(propagation) => Some(propagation.wait().await?),
        None => None,
    };
    Ok(Json(key.changed(None, revocation)).into_response())
}

/// `DELETE /api/personal_api_keys/{id}/`: deletes a key. Returns when no edge accepts it any more.
#[utoipa::path(
    delete,
    path = "/api/personal_api_keys/{id}/",
    tag = "Personal API keys",
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "The key is deleted: no edge accepts it any more.", body = DeletedKey)),
    security(("session" = []), ("management_token" = ["revoke"])),
)]
pub(super) async fn delete(
    caller: Caller<Revoke>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: Params<NoParams>,
) -> Result<Json<DeletedKey>, ApiError> {
    let (key, propagation) = keys::delete(&state.store, &caller.by, caller.oversees(), &id).await?;
    Ok(Json(DeletedKey { id: key.id, revocation: propagation.wait().await? }))
}

/// `POST /api/personal_api_keys/{id}/roll/`: a new value for the key.
#[utoipa::path(
    post,
    path = "/api/personal_api_keys/{id}/roll/",
    tag = "Personal API keys",
    params(("id" = String, Path, description = "The key's id."), IdempotencyKey),
    request_body = Roll,
    responses((status = 200, description = "The key with its new value. Without a grace period, no edge accepts an old value any more. A repetition of the request with the same Idempotency-Key does not roll the key again: it waits for the same edges, and gets the key with `value: null`.", body = ChangedKey), (status = 503, description = "The database failed. If the key was rolled nevertheless, the answer has its new `value`.", body = Body), (status = 422, description = "The Idempotency-Key was used for another request.", body = Body), (status = 429, description = "Too many changes. Retry-After is the number of seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn roll(
    caller: Caller<Create>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    fields: Idempotent<Fields<Roll>>,
) -> Result<Response, ApiError> {
    let (Fields(Roll { grace_s }), request) = fields.by(&caller.by);
    state.changes.admit(&caller.by)?;
    let (store, access) = (&state.store, caller.manages());
    let rolled = keys::roll_once(store, &caller.by, access, &id, grace_s.into(), request.as_ref()).await;
    let (key, value, propagation) = rolled?;
    match propagation.wait().await {
        Ok(revocation) => Ok(Json(key.changed(value.as_ref(), Some(revocation))).into_response()),
        Err(error) => Err(ApiError::rolled(error, value)),
    }
}
