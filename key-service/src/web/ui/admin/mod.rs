//! The pages for admins.

use axum::Router;
use axum::routing::get;

use super::addresses;
use crate::web::state::AppState;

mod audit;
mod edges;
mod keys;
mod listing;
mod token_new;
mod tokens;
mod user;
mod user_new;
mod users;

/// The admins' pages.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route(addresses::USERS, get(users::show))
        .route("/admin/users/new", get(user_new::show).post(user_new::submit))
        .route("/admin/users/{id}", get(user::show).post(user::submit))
        .route(addresses::ALL_KEYS, get(keys::show))
        .route("/admin/keys/{id}/delete", get(keys::confirm_delete).post(keys::delete))
        .route(addresses::TOKENS, get(tokens::show))
        .route("/admin/tokens/new", get(token_new::show).post(token_new::submit))
        .route("/admin/tokens/{id}/revoke", get(tokens::confirm_revoke).post(tokens::revoke))
        .route(addresses::AUDIT, get(audit::show))
        .route(addresses::AUDIT_DOWNLOAD, get(audit::download))
        .route(addresses::EDGES, get(edges::show))
}
