//! The pages for admins.

use axum::Router;
use axum::routing::get;

use super::{addresses, receipt};
use crate::web::state::AppState;

mod audit;
mod edges;
mod keys;
mod listing;
mod service_new;
mod token_new;
mod tokens;
mod user;
mod user_confirm;
mod user_delete;
mod user_new;
mod users;

/// The admins' pages.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route(addresses::USERS, get(users::show))
        .route("/admin/users/new", get(user_new::show).post(user_new::submit))
        .route("/admin/users/new-service", get(service_new::show).post(service_new::submit))
        .route("/admin/users/{id}", get(user::show).post(user::submit))
        .route("/admin/users/{id}/confirm/{action}", get(user_confirm::show))
        .route("/admin/users/{id}/link", get(user::show_link))
        .route("/admin/users/{id}/changed", get(receipt::show))
        .route("/admin/users/{id}/delete", get(user_delete::show).post(user_delete::submit))
        .route("/admin/users/{id}/deleted", get(receipt::show))
        .route(addresses::ALL_KEYS, get(keys::show))
        .route("/admin/keys/{id}/delete", get(keys::confirm_delete).post(keys::delete))
        .route("/admin/keys/{id}/deleted", get(receipt::show))
        .route(addresses::TOKENS, get(tokens::show))
        .route("/admin/tokens/new", get(token_new::show).post(token_new::submit))
        .route("/admin/tokens/{id}/revoke", get(tokens::confirm_revoke).post(tokens::revoke))
        .route("/admin/tokens/{id}/value", get(token_new::show_value))
        .route("/admin/tokens/{id}/revoked", get(receipt::show))
        .route(addresses::AUDIT, get(audit::show))
        .route(addresses::AUDIT_DOWNLOAD, get(audit::download))
        .route(addresses::EDGES, get(edges::show))
}
