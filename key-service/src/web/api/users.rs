//! Users: the caller, and all users for admins.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use deserr::Deserr;
use serde::Serialize;
use tower_sessions::Session;
use utoipa::{IntoParams, ToSchema};

use crate::accounts::management_tokens::{EndedToken, Verb};
use crate::accounts::openid::{self, UserWithIdentities};
use crate::accounts::passwords::{NewPassword, Password};
use crate::accounts::{self, AccountError, ChangedUser, Email, NewUser, ServiceName, User, UserPatch, links};
use crate::keys;
use crate::keys::rules::Permissions;
use crate::paging::{Limit, Offset, Page, PageRequest};
use crate::revocation::propagation::Revocation;
use crate::time::Timestamp;
use crate::validation::{FieldError, FieldErrors};
use crate::web::caller::{Admin, AsTheBodySays, Create, Read, Revoke, SignedIn};
use crate::web::error::{ApiError, Body};
use crate::web::page_view::PageView;
use crate::web::request::{Fields, NoParams, Params, ScopedFields};
use crate::web::session::{self, PASSWORDS_ARE_OFF};
use crate::web::state::AppState;

/// A new password of the caller.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
pub(super) struct PasswordChange {
    current_password: Password,
    password: NewPassword,
}

/// Selects users.
#[derive(Deserr, IntoParams)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
#[into_params(parameter_in = Query)]
pub(super) struct UserQuery {
    /// The most users of a page.
    #[deserr(default)]
    #[param(inline)]
    limit: Option<Limit>,
    /// The number of users to skip.
    #[deserr(default)]
    #[param(inline)]
    offset: Option<Offset>,
    /// Only users whose email address contains this text.
    #[deserr(default)]
    search: Option<String>,
}

/// A new user.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
#[schema(as = NewUser)]
pub(super) struct NewUserFields {
    email: Email,
    /// Without a password, the user sets one with a one-time link.
    #[deserr(default, from(NewPassword) = Some)]
    #[schema(nullable = false)]
    password: Option<NewPassword>,
    /// The permissions, which limit every key of the user.
    permissions: Permissions,
    /// Whether the user may manage other users. A management token cannot create admins.
    #[deserr(default)]
    #[schema(required = false)]
    is_admin: bool,
}

/// A new service account.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
#[schema(as = NewServiceAccount)]
pub(super) struct NewServiceAccountFields {
    /// The name. The service account's address is `service:` and the name.
    name: ServiceName,
    /// The permissions, which limit every key of the service account.
    permissions: Permissions,
}

/// Changes of a user. Absent fields do not change.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
pub(super) struct UserChanges {
    /// The new permissions. Permissions of the user whose objects are no longer in the catalogue may stay.
    #[deserr(default, from(Permissions) = Some)]
    #[schema(nullable = false)]
    permissions: Option<Permissions>,
    /// False disables the user and every key of the user.
    #[deserr(default, from(bool) = Some)]
    #[schema(nullable = false)]
    is_active: Option<bool>,
    /// Whether the user may manage other users. A management token cannot change admins or create them.
    #[deserr(default, from(bool) = Some)]
    #[schema(nullable = false)]
    is_admin: Option<bool>,
}

/// A one-time link.
#[derive(Serialize, ToSchema)]
pub(super) struct Link {
    /// The path of the page where the user sets a password. It is a secret, and works once.
    path: String,
    /// The time until it expires, in seconds.
    expires_in_s: u32,
}

/// A deleted user.
#[derive(Serialize, ToSchema)]
#[schema(as = DeletedUser)]
pub(super) struct DeletedUserView {
    id: String,
    /// The user's address, which can be used again.
    email: String,
    /// The number of keys that were deleted with the user.
    keys: usize,
    /// The management tokens that ended: the user created them, or they named no other user.
    ended_tokens: Vec<EndedToken>,
    revocation: Revocation,
}

/// `GET /api/users/@me/`: the signed-in user.
#[utoipa::path(
    get,
    path = "/api/users/@me/",
    tag = "Users",
    responses((status = 200, description = "The signed-in user.", body = User)),
    security(("session" = [])),
)]
pub(super) async fn me(SignedIn { user, .. }: SignedIn, _: Params<NoParams>) -> Json<User> {
    Json(user)
}

/// `PATCH /api/users/@me/`: a new password. All other sessions of the user end.
#[utoipa::path(
    patch,
    path = "/api/users/@me/",
    tag = "Users",
    request_body = PasswordChange,
    responses((status = 200, description = "The password is changed, and every other session of the user has ended.", body = User), (status = 429, description = "Too many attempts. Retry-After is the number of seconds to wait.", body = Body)),
    security(("session" = [])),
)]
pub(super) async fn change_me(
    SignedIn { user, by }: SignedIn,
    State(state): State<AppState>,
    session: Session,
    Fields(PasswordChange { current_password, password }): Fields<PasswordChange>,
) -> Result<Json<User>, ApiError> {
    if !state.has_passwords {
        return Err(ApiError::permission_denied(PASSWORDS_ARE_OFF));
    }
    state.limits.admit_user(&by, &user)?;
    let (store, passwords, providers) = (&state.store, &state.passwords, &state.providers);
    let user = accounts::change_password(store, &by, passwords, providers, &user, current_password, password)
        .await?;
    session::begin(&session, &user, Timestamp::now()).await?;
    Ok(Json(user))
}

/// `GET /api/users/`: all users, by address.
#[utoipa::path(
    get,
    path = "/api/users/",
    tag = "Users",
    params(UserQuery),
    responses((status = 200, description = "Users, by address.", body = PageView<UserWithIdentities>)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn list(
    _: Admin<Read>,
    State(state): State<AppState>,
    Params { sent, address }: Params<UserQuery>,
) -> Result<Json<PageView<UserWithIdentities>>, ApiError> {
    let page = PageRequest::new(sent.limit, sent.offset);
    let Page { count, rows } = accounts::search(&state.store, sent.search.as_deref(), page).await?;
    let found = Page { count, rows: openid::of_users(&state.store, rows).await? };
    Ok(Json(address.view(page, found)))
}

/// `GET /api/users/{id}/`.
#[utoipa::path(
    get,
    path = "/api/users/{id}/",
    tag = "Users",
    params(("id" = String, Path, description = "The user's id.")),
    responses((status = 200, description = "The user.", body = UserWithIdentities)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn show(
    _: Admin<Read>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: Params<NoParams>,
) -> Result<Json<UserWithIdentities>, ApiError> {
    let user = accounts::find(&state.store, &id).await?.ok_or_else(ApiError::not_found)?;
    let identities = openid::of_user(&state.store, &id).await?;
    Ok(Json(UserWithIdentities { user, identities }))
}

/// `POST /api/users/`: a new user. Without a password, the user needs a one-time link.
#[utoipa::path(
    post,
    path = "/api/users/",
    tag = "Users",
    request_body = NewUserFields,
    responses((status = 201, description = "The new user.", body = User), (status = 429, description = "Too many changes. Retry-After is the number of seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn create(
    admin: Admin<Create>,
    State(state): State<AppState>,
    fields: ScopedFields<NewUserFields>,
) -> Result<Response, ApiError> {
    let fields = fields.check("permissions", &state.catalogue)?;
    if fields.password.is_some() && !state.has_passwords {
        return Err(ApiError::permission_denied(PASSWORDS_ARE_OFF));
    }
    let new = NewUser {
        email: fields.email,
        password: fields.password,
        permissions: fields.permissions.into(),
        is_admin: fields.is_admin,
    };
    // Count the change first, because hashing a password is expensive.
    state.changes.admit(admin.by())?;
    let user = accounts::add(&state.store, admin.by(), &state.passwords, new, Timestamp::now()).await?;
    Ok((StatusCode::CREATED, Json(user)).into_response())
}

/// `POST /api/service_accounts/`: a new service account, which owns keys without a person.
#[utoipa::path(
    post,
    path = "/api/service_accounts/",
    tag = "Users",
    request_body = NewServiceAccountFields,
    responses((status = 201, description = "The new service account. It is listed, changed and deleted like a user, and its keys are created with its id as `user_id`.", body = User), (status = 429, description = "Too many changes. Retry-After is the number of seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn create_service_account(
    admin: Admin<Create>,
    State(state): State<AppState>,
    fields: ScopedFields<NewServiceAccountFields>,
) -> Result<Response, ApiError> {
    let NewServiceAccountFields { name, permissions } = fields.check("permissions", &state.catalogue)?;
    state.changes.admit(admin.by())?;
    let now = Timestamp::now();
    let user =
        accounts::add_service_account(&state.store, admin.by(), &name, permissions.into(), now).await?;
    Ok((StatusCode::CREATED, Json(user)).into_response())
}

/// `PATCH /api/users/{id}/`: permissions, and whether the user is active or an admin. Returns when every edge has applied the change.
#[utoipa::path(
    patch,
    path = "/api/users/{id}/",
    tag = "Users",
    params(("id" = String, Path, description = "The user's id.")),
    request_body = UserChanges,
    responses((status = 200, description = "The changed user. Every edge has applied the change. A management token needs revoke to disable a user, and create for other changes.", body = ChangedUser), (status = 429, description = "Too many changes. Retry-After is the number of seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create", "revoke"])),
)]
pub(super) async fn update(
    admin: Admin<AsTheBodySays>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    fields: ScopedFields<UserChanges>,
) -> Result<Response, ApiError> {
    // The verb comes first: a token without it learns nothing of the user.
    let disables = fields.sent("is_active") == Some(&false.into());
    if disables {
        admin.require(&state, Verb::Revoke).await?;
    }
    let changes_more = !disables || fields.sent("permissions").is_some() || fields.sent("is_admin").is_some();
    if changes_more {
        admin.require(&state, Verb::Create).await?;
    }
    let held = async {
        let user = accounts::find(&state.store, &id).await?;
        Ok::<_, AccountError>(user.map(|user| user.permissions).unwrap_or_default())
    };
    let fields = fields.check_change("permissions", &state.catalogue, held).await?;
    let patch = UserPatch {
        permissions: fields.permissions.map(Into::into),
        is_active: fields.is_active,
        is_admin: fields.is_admin,
    };
    if disables && admin.is_user(&id) {
        return Err(FieldError::input("is_active", "You cannot disable yourself.").into());
    }
    // Disabling alone is never limited. With other fields it counts, so that they cannot be changed without limit.
    if changes_more {
        state.changes.admit(admin.by())?;
    }
    let updated = accounts::update(&state.store, admin.by(), &id, &patch).await?;
    Ok(Json(updated.wait().await?).into_response())
}

/// `DELETE /api/users/{id}/`: deletes a user with all keys. Returns when no edge accepts one of them any more.
#[utoipa::path(
    delete,
    path = "/api/users/{id}/",
    tag = "Users",
    params(("id" = String, Path, description = "The user's id.")),
    responses((status = 200, description = "The user is deleted: no edge accepts a key of the user any more. Admins cannot delete themselves, and a management token cannot delete admins.", body = DeletedUserView)),
    security(("session" = []), ("management_token" = ["revoke"])),
)]
pub(super) async fn delete(
    admin: Admin<Revoke>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: Params<NoParams>,
) -> Result<Json<DeletedUserView>, ApiError> {
    let keys::DeletedUser { user, keys, ended_tokens, propagation } =
        keys::delete_user(&state.store, admin.by(), &id).await?;
    let revocation = propagation.wait().await?;
    Ok(Json(DeletedUserView { id: user.id, email: user.email, keys, ended_tokens, revocation }))
}

/// `POST /api/users/{id}/link/`: a one-time link that lets the user set a password.
#[utoipa::path(
    post,
    path = "/api/users/{id}/link/",
    tag = "Users",
    params(("id" = String, Path, description = "The user's id.")),
    responses((status = 201, description = "The link. It replaces the user's earlier link.", body = Link), (status = 429, description = "Too many changes. Retry-After is the number of seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["create"])),
)]
pub(super) async fn link(
    admin: Admin<Create>,
    State(state): State<AppState>,
    Path(id): Path<String>,
    _: Params<NoParams>,
) -> Result<(StatusCode, Json<Link>), ApiError> {
    if !state.has_passwords {
        return Err(ApiError::permission_denied(PASSWORDS_ARE_OFF));
    }
    state.changes.admit(admin.by())?;
    let secret = links::create(&state.store, admin.by(), &state.providers, &id).await?;
    Ok((StatusCode::CREATED, Json(Link { path: secret.path(), expires_in_s: links::LIFETIME_S })))
}

/// `DELETE /api/users/{id}/identities/{identity_id}/`: unlinks an account at an OpenID provider from the user.
#[utoipa::path(
    delete,
    path = "/api/users/{id}/identities/{identity_id}/",
    tag = "Users",
    params(
        ("id" = String, Path, description = "The user's id."),
        ("identity_id" = String, Path, description = "The id of one of the user's `identities`."),
    ),
    responses((status = 204, description = "The account is unlinked, and the user's sessions have ended. Signing in with the account is refused until an operator links it again. The user's keys keep working. Admins cannot unlink their own accounts, and a management token cannot unlink those of admins.")),
    security(("session" = []), ("management_token" = ["revoke"])),
)]
pub(super) async fn unlink(
    admin: Admin<Revoke>,
    State(state): State<AppState>,
    Path((id, identity_id)): Path<(String, String)>,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    openid::unlink(&state.store, admin.by(), &id, &identity_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
