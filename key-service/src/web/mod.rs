//! HTTP: the public listener with the [`api`] and the page ([`ui`]), and the listener for edges ([`edge`]).
//!
//! The API and the page do not import each other. Both use the modules here: the [`session`], the [`caller`] of the API, rate
//! limits ([`throttle`]), errors, the input of a [`request`], the log of requests.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use leases::LeaseConfig;
use tower_http::csrf::CsrfLayer;

use crate::accounts::openid::Providers;
use crate::accounts::passwords::Passwords;
use crate::audit::refusals::Refusals;
use crate::catalogue::Catalogue;
use crate::revocation::Store;

mod api;
mod audit_query;
mod bearer;
mod caller;
pub(crate) mod client_address;
pub(crate) mod edge;
pub(crate) mod edge_tokens;
pub(crate) mod error;
mod headers;
mod idempotent;
mod page_view;
pub(crate) mod public_url;
pub(crate) mod readiness;
mod request;
mod request_log;
mod session;
mod state;
mod throttle;
mod ui;

use client_address::TrustedProxies;
use headers::{add_headers, isolate};
use public_url::PublicUrl;
use request_log::{RequestLog, log_requests};
use session::SessionCookies;
use state::AppState;
use throttle::changes::ChangeLimit;
use throttle::sign_ins::SignInLimits;

/// The most bytes of a request's body.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The settings of the public listener.
pub(crate) struct PublicSettings {
    /// The objects that scopes can name.
    pub(crate) catalogue: Arc<Catalogue>,
    /// The listener's address in browsers, if set.
    pub(crate) public_url: Option<PublicUrl>,
    /// The address of the API that the keys are for, if set.
    pub(crate) api_url: Option<PublicUrl>,
    /// The proxies whose `X-Forwarded-For` counts.
    pub(crate) trusted_proxies: TrustedProxies,
    /// The limit of changes for one caller.
    pub(crate) changes_per_minute: NonZeroU32,
    /// Whether anyone who holds a leaked value can end it.
    pub(crate) public_leak_reports: bool,
    /// Whether users can sign in with passwords.
    pub(crate) local_passwords: bool,
    /// The OpenID providers that users can sign in with.
    pub(crate) providers: Arc<Providers>,
}

/// The routes of the public listener.
pub(crate) fn public_router(store: Store, lease_config: LeaseConfig, settings: PublicSettings) -> Router {
    let PublicSettings {
        catalogue,
        public_url,
        api_url,
        trusted_proxies: proxies,
        changes_per_minute,
        public_leak_reports,
        local_passwords,
        providers,
    } = settings;
    let log = RequestLog { listener: "public", at_debug: &[], proxies, lease_config };
    let cookies = Arc::new(SessionCookies::new(&store, public_url.clone()));
    let is_https = public_url.as_ref().is_some_and(|url| url.is_https);
    let mut same_origin = CsrfLayer::new();
    if let Some(url) = &public_url {
        same_origin = url.trust(same_origin);
    }
    let state = AppState {
        store,
        passwords: Passwords::default(),
        has_passwords: local_passwords,
        providers,
        limits: Arc::new(SignInLimits::default()),
        changes: Arc::new(ChangeLimit::new(changes_per_minute)),
        leak_reports: public_leak_reports.then(Arc::default),
        refusals: Arc::new(Refusals::default()),
        catalogue,
        public_url,
        api_url,
    };
    api::router(state.clone(), same_origin.clone())
        .merge(ui::router(state, same_origin))
        .layer(from_fn_with_state(cookies, session::find))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(log, log_requests))
        .layer(map_response(move |response| add_headers(response, is_https)))
        .layer(map_response(isolate))
}
