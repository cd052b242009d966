//! What admins see and do.

use axum::Router;
use axum::routing::get;

use super::PageState;

mod audit;
mod edges;
mod keys;
mod listing;
mod token_new;
mod tokens;
mod user;
mod user_new;
mod users;

/// All users.
pub(super) const USERS: &str = "/admin/users";

/// The keys of all users.
pub(super) const KEYS: &str = "/admin/keys";

/// The management tokens.
pub(super) const TOKENS: &str = "/admin/tokens";

/// The audit log.
pub(super) const AUDIT: &str = "/admin/audit";

/// The edges.
pub(super) const EDGES: &str = "/admin/edges";

/// The admins' pages.
pub(super) fn routes() -> Router<PageState> {
    Router::new()
        .route(USERS, get(users::show))
        .route("/admin/users/new", get(user_new::show).post(user_new::submit))
        .route("/admin/users/{id}", get(user::show).post(user::submit))
        .route(KEYS, get(keys::show))
        .route("/admin/keys/{id}/delete", get(keys::confirm_delete).post(keys::delete))
        .route(TOKENS, get(tokens::show))
        .route("/admin/tokens/new", get(token_new::show).post(token_new::submit))
        .route("/admin/tokens/{id}/revoke", get(tokens::confirm_revoke).post(tokens::revoke))
        .route(AUDIT, get(audit::show))
        .route(EDGES, get(edges::show))
}
