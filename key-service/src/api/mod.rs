//! The public listener: accounts' sessions, and their personal API keys, in the shapes of PostHog's API. Beside it is
//! the page.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use leases::Terms;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

use crate::audit::refusals::Refusals;
use crate::http::client_address::TrustedProxies;
use crate::http::error::{ApiError, complete_errors};
use crate::http::request_log::{RequestLog, log_requests};
use crate::page::{self, PageState};
use crate::passwords::Passwords;
use crate::store::Database;

mod bodies;
pub(crate) mod caller;
pub(crate) mod change_limit;
mod leaked_keys;
mod login;
pub(crate) mod login_limits;
mod management_tokens;
mod openapi;
mod oversight;
mod personal_api_keys;
pub(crate) mod public_url;
pub(crate) mod session;
mod users;

use change_limit::ChangeLimit;
use login_limits::LoginLimits;
pub use public_url::{InvalidPublicUrl, PublicUrl};
use session::SessionCookies;

/// The most bytes of a request's body.
const MAX_BODY_BYTES: usize = 64 * 1024;

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// What the handlers share.
#[derive(Clone)]
struct ApiState {
    database: Database,
    passwords: Passwords,
    limits: Arc<LoginLimits>,
    changes: Arc<ChangeLimit>,
    refusals: Arc<Refusals>,
}

/// The routes of the public listener.
pub fn router(
    database: Database,
    terms: Terms,
    public_url: Option<PublicUrl>,
    api_url: Option<PublicUrl>,
    proxies: TrustedProxies,
    changes_per_minute: NonZeroU32,
) -> Router {
    let log = RequestLog { listener: "public", at_debug: &[], proxies, terms };
    let cookies = Arc::new(SessionCookies::new(&database, public_url.clone()));
    let is_https = public_url.as_ref().is_some_and(|url| url.is_https);
    let mut same_origin = CsrfLayer::new();
    if let Some(url) = &public_url {
        same_origin = url.trust(same_origin);
    }
    let (passwords, limits) = (Passwords::default(), Arc::new(LoginLimits::default()));
    let changes = Arc::new(ChangeLimit::new(changes_per_minute));
    let refusals = Arc::new(Refusals::default());
    let page = page::router(
        PageState {
            database: database.clone(),
            passwords: passwords.clone(),
            limits: limits.clone(),
            changes: changes.clone(),
            refusals: refusals.clone(),
            public_url,
            api_url,
        },
        same_origin.clone(),
    );
    let same_origin = same_origin.with_rejection_response(|_: ProtectionError| {
        ApiError::permission_denied("Requests from other origins are not allowed.").into_response()
    });
    let not_found = || async { StatusCode::NOT_FOUND };

    let mut document = openapi::begin();
    let mut router = Router::new();
    for (schemas, paths, methods) in operations() {
        document.components.get_or_insert_default().schemas.extend(schemas);
        for path in paths.paths.keys() {
            // With and without the last slash.
            let bare = path.trim_end_matches('/');
            router = router.route(path, methods.clone()).route(bare, methods.clone());
        }
        document.paths.merge(paths);
    }
    openapi::complete(&mut document);
    let document = Arc::new(document);
    router = router.route("/api/openapi.json", get(async move || Json(document).into_response()));
    let state = ApiState { database, passwords, limits, changes, refusals };
    router
        .route("/api/", any(not_found))
        .route("/api/{*rest}", any(not_found))
        .layer(from_fn_with_state(state.clone(), caller::record_refusals))
        .layer(same_origin)
        .layer(from_fn(complete_errors))
        .with_state(state)
        .merge(page)
        .layer(from_fn_with_state(cookies, session::find))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(log, log_requests))
        .layer(map_response(move |response| add_headers(response, is_https)))
        .layer(map_response(isolate))
}

/// Every operation of the API: what it is documented as, and its handler.
fn operations() -> [UtoipaMethodRouter<ApiState>; 15] {
    [
        routes!(login::log_in),
        routes!(login::log_out),
        routes!(users::me, users::change_me),
        routes!(users::list, users::create),
        routes!(users::show, users::update),
        routes!(users::link),
        routes!(personal_api_keys::list, personal_api_keys::create),
        routes!(personal_api_keys::show, personal_api_keys::update, personal_api_keys::delete),
        routes!(personal_api_keys::roll),
        routes!(personal_api_keys::search),
        routes!(management_tokens::list, management_tokens::create),
        routes!(management_tokens::revoke),
        routes!(leaked_keys::report),
        routes!(oversight::audit_log),
        routes!(oversight::edges),
    ]
}

/// Browsers take the address for that of an HTTPS site alone for so long: a year.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Says of every answer that it is in no cache unless it says otherwise, since it can hold a key's value and depends on who is logged in. Where browsers use HTTPS they shall
/// go on to.
async fn add_headers(mut response: Response, is_https: bool) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if is_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    response
}

/// Says of an answer, on both listeners, that its type is what it says, and that no window of another site can reach its own.
pub(crate) async fn isolate(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
