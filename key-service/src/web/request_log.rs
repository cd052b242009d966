//! Wraps every request: an id, the client's address, one log line, metrics, and a time limit.

use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use leases::LeaseConfig;
use tracing::Instrument;

use super::client_address::{ClientAddress, TrustedProxies};
use super::error::ApiError;
use crate::random;
use crate::telemetry::{METRICS, Route};
use crate::time::monotonic_now;

/// The response header with the request's id in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The time limit of a request, for example of a client that never ends its body. Waits for leases are added to it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Replaces the path of a request that matches no route, because such a path could contain a secret.
const NO_ROUTE: &str = "(none)";

/// A request's id in the log. The service creates it and ignores an id in the request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// How a listener's requests are logged and limited.
#[derive(Clone, Debug)]
pub(crate) struct RequestLog {
    /// The listener's name in the metrics.
    pub(crate) listener: &'static str,
    /// Routes whose requests are too frequent for the log.
    pub(crate) at_debug: &'static [&'static str],
    /// The proxies whose `X-Forwarded-For` counts.
    pub(crate) proxies: TrustedProxies,
    /// Requests may wait for leases of this configuration.
    pub(crate) lease_config: LeaseConfig,
}

/// Logs a request's method, route, the id in its path, status and duration. It logs nothing else, because paths, headers,
/// queries and bodies can contain secrets. Adds [`RequestId`] and [`ClientAddress`] for the handlers.
pub(crate) async fn log_requests(State(log): State<RequestLog>, request: Request, next: Next) -> Response {
    let begun = monotonic_now();
    let id = random::ordered_uuid().to_string();
    let (mut parts, body) = request.into_parts();
    let route = Route {
        listener: log.listener,
        method: method(&parts.method),
        route: template(parts.extensions.get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str)),
    };
    let resource_id = resource_id(&RawPathParams::from_request_parts(&mut parts, &()).await.ok());
    let span = tracing::info_span!("request", id, method = route.method, route = route.route, resource_id);
    if let Some(client) = ClientAddress::of(&log.proxies, &parts.extensions, &parts.headers) {
        parts.extensions.insert(client);
    }
    parts.extensions.insert(RequestId(id.clone()));

    let timeout = REQUEST_TIMEOUT.saturating_add(Duration::from_millis(log.lease_config.lasts_ms()));
    let request = Request::from_parts(parts, body);
    let answered = tokio::time::timeout(timeout, next.run(request)).instrument(span.clone());
    let mut response =
        answered.await.unwrap_or_else(|_| ApiError::from(StatusCode::REQUEST_TIMEOUT).into_response());

    let (status, took) = (response.status().as_u16(), monotonic_now() - begun);
    let duration_ms = took.as_secs_f64() * 1000.0;
    // The fields of the span, so that no reader has to look for them in a list.
    let Route { method, route: template, .. } = &route;
    match log.at_debug.contains(&template.as_str()) {
        true => {
            tracing::debug!(parent: None, id, method, route = template, resource_id, status, duration_ms, "answered");
        }
        false => {
            tracing::info!(parent: None, id, method, route = template, resource_id, status, duration_ms, "answered");
        }
    }
    METRICS.answered(route, status, took);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The method's name, if it is a standard one. A client can send any word.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A route's template without the optional last slash.
fn template(route: &str) -> String {
    let trimmed = route.trim_end_matches('/');
    if trimmed.is_empty() { route.to_owned() } else { trimmed.to_owned() }
}

/// The `{id}` in a path, if it has the form of an id. Other texts may be keys that a client sent by mistake.
fn resource_id(params: &Option<RawPathParams>) -> Option<String> {
    let (_, id) = params.as_ref()?.iter().find(|(name, _)| *name == "id")?;
    uuid::Uuid::try_parse(id).ok().map(|id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_one_name_with_and_without_the_last_slash() {
        assert_eq!(template("/api/users/{id}/"), "/api/users/{id}");
        assert_eq!(template("/api/users/{id}"), "/api/users/{id}");
        assert_eq!(template("/"), "/");
    }

    #[test]
    fn an_invented_method_is_not_repeated() {
        let invented = Method::from_bytes(b"phx_secret").unwrap();
        assert_eq!(method(&invented), "other");
    }
}
