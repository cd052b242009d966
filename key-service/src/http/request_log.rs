//! The request log: one line a request, with an id that the answer carries too, and an end to endless ones.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use protocol::KEY_PREFIX;
use tracing::Instrument;
use uuid::Uuid;

use super::error::ApiError;
use crate::leases::Terms;
use crate::links::PATH_PREFIX as LINK_PREFIX;

/// The answer's header that carries the id under which the request is logged.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that takes longer (a client that never ends its body, say) is given up. Waiting for leases comes on top.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How a listener's requests are logged, and when they are given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLog {
    timeout: Duration,
    at_debug: &'static [&'static str],
}

impl RequestLog {
    /// For requests that may wait for leases under these terms. Those to the paths `at_debug` are too many to be told
    /// of each.
    pub(crate) fn new(terms: Terms, at_debug: &'static [&'static str]) -> Self {
        let waits = Duration::from_millis(terms.lasts_ms());
        RequestLog { timeout: REQUEST_TIMEOUT.saturating_add(waits), at_debug }
    }
}

/// Logs method, path, status and duration of a request. Nothing else of it, since headers, queries and bodies can
/// hold secrets.
pub(crate) async fn log_requests(State(log): State<RequestLog>, request: Request, next: Next) -> Response {
    let at_debug = log.at_debug.contains(&request.uri().path());
    let begun = Instant::now();
    let id = Uuid::now_v7().to_string();
    let span = tracing::info_span!(
        "request",
        id = %id,
        method = %request.method(),
        path = loggable(request.uri().path())
    );
    let answered = tokio::time::timeout(log.timeout, next.run(request)).instrument(span.clone());
    let mut response =
        answered.await.unwrap_or_else(|_| ApiError::from(StatusCode::REQUEST_TIMEOUT).into_response());

    let status = response.status().as_u16();
    let duration_ms = begun.elapsed().as_secs_f64() * 1000.0;
    span.in_scope(|| match at_debug {
        true => tracing::debug!(status, duration_ms, "answered"),
        false => tracing::info!(status, duration_ms, "answered"),
    });
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The path, unless somebody put a key into it, or it is a one-time link.
fn loggable(path: &str) -> &str {
    match path {
        path if path.contains(KEY_PREFIX) => "(hidden: it holds a key)",
        path if path.starts_with(LINK_PREFIX) => "(hidden: a one-time link)",
        path => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_path_is_not_logged() {
        assert_eq!(loggable("/api/personal_api_keys/7/"), "/api/personal_api_keys/7/");
        assert!(!loggable("/api/personal_api_keys/phx_secret/").contains("secret"));
        assert!(!loggable("/link/secret").contains("secret"));
    }
}
