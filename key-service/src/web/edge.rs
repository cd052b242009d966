//! The edge listener: verdicts and leases for edges; health and metrics for operators.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use leases::LeaseConfig;
use protocol::{
    MAX_DIGESTS_PER_VERIFY, MAX_USED_PER_SYNC, SYNC_PATH, SyncRequest, SyncResponse, VERIFY_PATH,
    VerifyRequest, VerifyResponse, is_object,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::bearer::{BearerKind, bearer};
use super::caller::Visitor;
use super::client_address::TrustedProxies;
use super::edge_tokens::EdgeTokens;
use super::error::{ApiError, complete_errors};
use super::headers::isolate;
use super::readiness::{Readiness, ReadinessReport};
use super::request_log::{RequestLog, log_requests};
use crate::accounts::management_tokens;
use crate::audit::refusals::Refusals;
use crate::revocation::Store;
use crate::revocation::state;
use crate::telemetry::{self, METRICS};

/// The longest id that an edge may send, in characters.
const MAX_ID_CHARS: usize = 64;

/// The paths of health and metrics, which need no token.
const HEALTH_PATH: &str = "/healthz";
const READINESS_PATH: &str = "/readyz";
const METRICS_PATH: &str = "/metrics";

/// The state that the handlers share.
struct Service {
    store: Store,
    lease_config: LeaseConfig,
    tokens: EdgeTokens,
    readiness: Readiness,
    refusals: Refusals,
}

/// The routes of the edge listener.
pub(crate) fn router(
    store: Store,
    lease_config: LeaseConfig,
    tokens: EdgeTokens,
    readiness: Readiness,
) -> Router {
    let log = RequestLog {
        listener: "edge",
        at_debug: &[VERIFY_PATH, SYNC_PATH, HEALTH_PATH, READINESS_PATH, METRICS_PATH],
        // No handler here uses the client's address.
        proxies: TrustedProxies::default(),
        lease_config,
    };
    Router::new()
        .route(VERIFY_PATH, post(verify).fallback(wrong_method))
        .route(SYNC_PATH, post(sync).fallback(wrong_method))
        .route(HEALTH_PATH, get(healthz))
        .route(READINESS_PATH, get(readyz))
        .route(METRICS_PATH, get(show_metrics))
        .layer(from_fn(complete_errors))
        .layer(from_fn_with_state(log, log_requests))
        .layer(map_response(isolate))
        .with_state(Arc::new(Service {
            store,
            lease_config,
            tokens,
            readiness,
            refusals: Refusals::default(),
        }))
}

/// The request carries an edge token (RFC 6750, section 2.1). This extractor comes before the one that reads the body.
struct AuthenticatedEdge;

impl FromRequestParts<Arc<Service>> for AuthenticatedEdge {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Response> {
        let sent = parts.headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let kind = match sent {
            Some(token) if service.tokens.accept(token) => return Ok(AuthenticatedEdge),
            sent => sent.map(BearerKind::of),
        };
        let error = match kind {
            None => ApiError::not_authenticated(),
            Some(kind) => match record_refusal(parts, service).await {
                Ok(()) => ApiError::authentication_failed(why_wrong(kind)),
                Err(error) => error,
            },
        };
        let mut response = error.into_response();
        let challenge = HeaderValue::from_static(r#"Bearer realm="edge""#);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        Err(response)
    }
}

/// Why a token is not an edge token.
fn why_wrong(kind: BearerKind) -> &'static str {
    match kind {
        BearerKind::PersonalApiKey => "This is a personal API key. The edge API accepts only the edge token.",
        BearerKind::ManagementToken => {
            "This is a management token. The edge API accepts only the edge token."
        }
        BearerKind::Other => "The edge token is wrong.",
    }
}

/// Records in the audit log that a request had a wrong edge token.
async fn record_refusal(parts: &mut Parts, service: &Arc<Service>) -> Result<(), ApiError> {
    let Visitor(by) = Visitor::from_request_parts(parts, service).await?;
    let Service { store, refusals, .. } = &**service;
    Ok(management_tokens::record_refusal(store, refusals, &by, "edge_token", "unknown", None).await?)
}

async fn verify(
    _: AuthenticatedEdge,
    State(service): State<Arc<Service>>,
    body: Bytes,
) -> Result<Json<VerifyResponse>, ApiError> {
    let request: VerifyRequest = parse(&body)?;
    check_id("edge", &request.edge)?;
    if request.digests.len() > MAX_DIGESTS_PER_VERIFY {
        let detail = format!("digests: at most {MAX_DIGESTS_PER_VERIFY} at once.");
        return Err(ApiError::invalid_input(detail));
    }
    let answer = leases::verify::answer(&service.store.lease_store(), &request).await?;
    METRICS.count_verdicts(&answer.verdicts);
    Ok(Json(answer))
}

async fn sync(
    _: AuthenticatedEdge,
    State(service): State<Arc<Service>>,
    body: Bytes,
) -> Result<Json<SyncResponse>, ApiError> {
    let request: SyncRequest = parse(&body)?;
    check_id("edge", &request.edge)?;
    if let Some(epoch) = &request.epoch {
        check_id("epoch", epoch)?;
    }
    if request.used.len() > MAX_USED_PER_SYNC {
        return Err(ApiError::invalid_input(format!("used: at most {MAX_USED_PER_SYNC} at once.")));
    }
    request.used.keys().try_for_each(|key_id| check_id("used", key_id))?;
    let answer = leases::sync::answer(&service.store.lease_store(), service.lease_config, &request).await?;
    METRICS.synced(&answer.invalidation);
    Ok(Json(answer))
}

/// Unauthenticated callers get 401 for every path, so they cannot probe for routes.
async fn wrong_method(_: AuthenticatedEdge) -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if !is_object(body) {
        return Err(ApiError::parse_error("The body must be a JSON object."));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::parse_error(error.to_string()))
}

/// Programs create ids. An id of another form is a mistake, and some databases cannot store it.
fn check_id(field: &str, id: &str) -> Result<(), ApiError> {
    if (1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(ApiError::invalid_input(format!("{field}: an id is 1 to {MAX_ID_CHARS} visible ASCII characters.")))
}

/// Whether the process responds.
async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Whether the process can serve requests.
async fn readyz(State(service): State<Arc<Service>>) -> ReadinessReport {
    service.readiness.report().await
}

/// Metrics for Prometheus. If the database fails, the metrics that need it are missing.
async fn show_metrics(State(service): State<Arc<Service>>) -> Response {
    let state = state::read(service.store.pool()).await.inspect_err(|error| {
        METRICS.database_failed();
        tracing::warn!(%error, "metrics of the database are left out");
    });
    match METRICS.encode(state.as_ref().ok()) {
        Ok(text) => ([(header::CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
