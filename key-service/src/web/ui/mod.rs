//! The pages for browsers, as plain HTML forms. The script only copies values and warns.
//!
//! - [`sign_in`], [`openid`], [`link`], [`leaked`], [`account`], [`keys`] and [`admin`] hold the pages, one file for each;
//! - [`frame`] surrounds every page, [`error`] shows errors;
//! - [`visitor`] finds the signed-in user, [`form`] reads a submitted form, [`cookies`] has the cookies of pages;
//! - after a form comes a redirect to its [`receipt`], whose content crosses it [`sealed`];
//! - a form that arrives after the session ended is shown again after sign-in: [`unsent`], and [`reason`] says why;
//! - [`value`] shows a secret once, [`outcome`] shows the progress of a change; [`picker`], [`chips`], [`expiry`] and [`moment`] are
//!   parts of several pages.
//!
//! The HTML is in `key-service/templates`, style and script in `key-service/assets`.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use tower_http::csrf::CsrfLayer;

use super::state::AppState;

mod account;
mod addresses;
mod admin;
mod assets;
mod chips;
mod cookies;
mod error;
mod expiry;
mod form;
mod frame;
mod keys;
mod leaked;
mod link;
mod moment;
mod openid;
mod outcome;
mod picker;
mod reason;
mod receipt;
mod sealed;
mod sign_in;
mod unsent;
mod value;
mod visitor;

/// The routes of the pages. The public listener adds its layers around them. `same_origin` refuses requests from other
/// sites.
pub(crate) fn router(state: AppState, same_origin: CsrfLayer) -> Router {
    let leaked = match state.leak_reports {
        Some(_) => Router::new()
            .route(addresses::LEAKED, get(leaked::show).post(leaked::submit))
            .route(leaked::REPORTED, get(receipt::show_outside)),
        None => Router::new(),
    };
    Router::new()
        .route("/", get(|| async { Redirect::to(addresses::KEYS) }))
        .route("/assets/{file}", get(assets::serve))
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-in/openid/{provider}", get(openid::begin))
        .route("/sign-in/openid/{provider}/callback", get(openid::finish))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/account", get(account::show).post(account::submit))
        .route(account::CHANGED, get(receipt::show))
        .route("/link/{secret}", get(link::show).post(link::submit))
        .merge(leaked)
        .merge(keys::routes())
        .merge(admin::routes())
        .fallback(without_last_slash)
        .layer(from_fn(unsent::keep))
        .layer(same_origin.with_rejection_response(error::other_origin))
        .layer(from_fn(error::complete_errors))
        .layer(from_fn(protect))
        .with_state(state)
}

/// Redirects an address with a final slash to the page without it. Any other unknown address gets 404.
async fn without_last_slash(uri: Uri) -> Response {
    // Browsers read `//` and `/\` at the beginning as another host.
    let bare = uri.path().trim_matches(['/', '\\']);
    if !uri.path().ends_with('/') || bare.is_empty() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("/{bare}{query}")).into_response()
}

/// Restricts browsers: load only from this site, run no inline script, allow no frame, and send no referrer to other
/// sites, because an address can contain a secret.
async fn protect(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 2] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
