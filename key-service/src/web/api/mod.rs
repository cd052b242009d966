//! The API for accounts and their personal API keys, in the shapes of PostHog's API.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use axum::{Json, Router};
use tower_http::csrf::{CsrfLayer, ProtectionError};
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

use super::caller;
use super::error::{ApiError, complete_errors};
use super::state::AppState;

mod audit_log;
mod edges;
mod leaked_keys;
mod leaked_values;
mod login;
mod management_tokens;
mod openapi;
mod personal_api_keys;
mod scopes;
mod users;

/// The routes of the API. The public listener adds its layers around them. `same_origin` refuses requests from other sites.
pub(super) fn router(state: AppState, same_origin: CsrfLayer) -> Router {
    let same_origin = same_origin.with_rejection_response(|_: ProtectionError| {
        ApiError::permission_denied("Requests from other origins are not allowed.").into_response()
    });
    let not_found = || async { StatusCode::NOT_FOUND };

    let mut document = openapi::begin();
    let mut router = Router::new();
    let leaked_values = state.leak_reports.as_ref().map(|_| routes!(leaked_values::report));
    for (schemas, paths, methods) in operations().into_iter().chain(leaked_values) {
        document.components.get_or_insert_default().schemas.extend(schemas);
        for path in paths.paths.keys() {
            // With and without the last slash.
            let bare = path.trim_end_matches('/');
            router = router.route(path, methods.clone()).route(bare, methods.clone());
        }
        document.paths.merge(paths);
    }
    openapi::complete(&mut document, &state.catalogue);
    let document = Arc::new(document);
    router
        .route("/api/openapi.json", get(async move || Json(document).into_response()))
        .route("/api/", any(not_found))
        .route("/api/{*rest}", any(not_found))
        .layer(from_fn_with_state(state.clone(), caller::record_refusals))
        .layer(same_origin)
        .layer(from_fn(complete_errors))
        .with_state(state)
}

/// Every operation of the API that no setting turns off, with its documentation and its handler.
fn operations() -> [UtoipaMethodRouter<AppState>; 18] {
    [
        routes!(login::log_in),
        routes!(login::log_out),
        routes!(users::me, users::change_me),
        routes!(users::list, users::create),
        routes!(users::show, users::update, users::delete),
        routes!(users::link),
        routes!(users::unlink),
        routes!(users::create_service_account),
        routes!(personal_api_keys::list, personal_api_keys::create),
        routes!(personal_api_keys::show, personal_api_keys::update, personal_api_keys::delete),
        routes!(personal_api_keys::roll),
        routes!(personal_api_keys::search),
        routes!(scopes::list),
        routes!(management_tokens::list, management_tokens::create),
        routes!(management_tokens::revoke),
        routes!(leaked_keys::report),
        routes!(audit_log::audit_log),
        routes!(edges::edges),
    ]
}
