//! Users: oneself, and for admins everybody.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::ScopeSet;
use serde_json::json;
use tower_sessions::Session;

use super::bodies::{Link, NewUser as NewUserBody, PasswordChange, UserChanges};
use crate::accounts::management_tokens::Verb;
use crate::accounts::{self, ChangedUser, NewUser, User, UserPatch, links};
use crate::keys::rules;
use crate::time::Timestamp;
use crate::validation::FieldError;
use crate::web::caller::{Admin, AsTheBodySays, Create, Read, SignedIn};
use crate::web::error::{ApiError, Body};
use crate::web::fields::Fields;
use crate::web::params::{PageView, Paging, Params};
use crate::web::session;
use crate::web::state::AppState;

/// `GET /api/users/@me/`: the signed-in user.
#[utoipa::path(
    get,
    path = "/api/users/@me/",
    tag = "Users",
    responses((status = 200, description = "The signed-in user.", body = User)),
    security(("session" = [])),
)]
pub(super) async fn me(SignedIn { user, .. }: SignedIn) -> Json<User> {
    Json(user)
}

/// `PATCH /api/users/@me/`: another password. All other sessions of the user end.
#[utoipa::path(
    patch,
    path = "/api/users/@me/",
    tag = "Users",
    request_body = PasswordChange,
    responses((status = 200, description = "The password is changed, and every other session of the user has ended.", body = User), (status = 429, description = "Too many tries. Retry-After says how many seconds to wait.", body = Body)),
    security(("session" = [])),
)]
pub(super) async fn change_me(
    SignedIn { user, by }: SignedIn,
    State(state): State<AppState>,
    session: Session,
    fields: Fields,
) -> Result<Json<User>, ApiError> {
    let current = fields.filled("current_password")?.to_owned();
    let new = fields.filled("password")?.to_owned();
    state.limits.admit_user(&by, &user)?;
    let user = accounts::change_password(&state.store, &by, &state.passwords, &user, current, new).await?;
    session::begin(&session, &user, Timestamp::now()).await?;
    Ok(Json(user))
}

/// `GET /api/users/`: all users, by address.
#[utoipa::path(
    get,
    path = "/api/users/",
    tag = "Users",
    params(Paging, ("search" = Option<String>, Query, description = "Only those with this in their address.")),
    responses((status = 200, description = "Users, by address.", body = PageView<User>)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn list(
    _: Admin<Read>,
    State(state): State<AppState>,
    params: Params,
) -> Result<Response, ApiError> {
    let page = params.page()?;
    let found = accounts::search(&state.store, params.text("search"), page).await?;
    Ok(Json(params.view(page, found)).into_response())
}

/// `GET /api/users/{id}/`.
#[utoipa::path(
    get,
    path = "/api/users/{id}/",
    tag = "Users",
    params(("id" = String, Path, description = "The user's id.")),
    responses((status = 200, description = "The user.", body = User)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn show(
    _: Admin<Read>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<User>, ApiError> {
    let user = accounts::find(&state.store, &id).await?;
    user.map(Json).ok_or_else(ApiError::not_found)
}

/// `POST /api/users/`: a new user, who needs a link if there is no password.
#[utoipa::path(
    post,
    path = "/api/users/",
    tag = "Users",
    request_body = NewUserBody,
    responses((status = 201, description = "The new user.", body = User), (status = 429, description = "Too many changes. Retry-After says how many seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn create(
    admin: Admin<Create>,
    State(state): State<AppState>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let new = NewUser {
        email: fields.filled("email")?.to_owned(),
        password: fields.text("password")?.map(str::to_owned),
        permissions: permissions(&fields)?.ok_or_else(|| FieldError::required("permissions"))?,
        is_admin: fields.truth("is_admin")?.unwrap_or(false),
    };
    // Before the password is hashed: that takes a CPU for a while.
    state.changes.admit(admin.by())?;
    let user = accounts::add(&state.store, admin.by(), &state.passwords, new, Timestamp::now()).await?;
    Ok((StatusCode::CREATED, Json(user)).into_response())
}

/// `PATCH /api/users/{id}/`: permissions, and whether the user is let in. It is so at every edge.
#[utoipa::path(
    patch,
    path = "/api/users/{id}/",
    tag = "Users",
    params(("id" = String, Path, description = "The user's id.")),
    request_body = UserChanges,
    responses((status = 200, description = "The user as changed, at every edge. Of a management token, disabling needs revoke, and every other change create.", body = ChangedUser), (status = 429, description = "Too many changes. Retry-After says how many seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create", "revoke"])),
)]
pub(super) async fn update(
    admin: Admin<AsTheBodySays>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let patch = UserPatch {
        permissions: permissions(&fields)?,
        is_active: fields.truth("is_active")?,
        is_admin: fields.truth("is_admin")?,
    };
    let disables = patch.is_active == Some(false);
    if disables {
        admin.require(&state, Verb::Revoke).await?;
    }
    let changes_more = !disables || patch.permissions.is_some() || patch.is_admin.is_some();
    if changes_more {
        admin.require(&state, Verb::Create).await?;
    }
    if disables && admin.is_user(&id) {
        return Err(FieldError::input("is_active", "You cannot disable yourself.").into());
    }
    // A disabling alone is never refused. With other fields it counts, so that they cannot be changed without limit.
    if changes_more {
        state.changes.admit(admin.by())?;
    }
    let updated = accounts::update(&state.store, admin.by(), &id, &patch).await?;
    Ok(Json(updated.wait().await?).into_response())
}

/// `POST /api/users/{id}/link/`: a one-time link by which the user chooses a password.
#[utoipa::path(
    post,
    path = "/api/users/{id}/link/",
    tag = "Users",
    params(("id" = String, Path, description = "The user's id.")),
    responses((status = 201, description = "The link. Earlier ones of the user work no more.", body = Link), (status = 429, description = "Too many changes. Retry-After says how many seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn link(
    admin: Admin<Create>,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    state.changes.admit(admin.by())?;
    let secret = links::create(&state.store, admin.by(), &id).await?;
    let answer = json!({ "path": secret.path(), "expires_in_s": links::LIFETIME_S });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

fn permissions(fields: &Fields) -> Result<Option<ScopeSet>, FieldError> {
    fields.texts("permissions")?.map(rules::permissions).transpose()
}
