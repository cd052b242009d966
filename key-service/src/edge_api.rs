//! The edge listener: verdicts and leases for edges, and the service's health for whoever runs it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::{
    MAX_DIGESTS_PER_VERIFY, MAX_USED_PER_SYNC, SYNC_PATH, SyncRequest, SyncResponse, VERIFY_PATH,
    VerifyRequest, VerifyResponse,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::edge_tokens::EdgeTokens;
use crate::http::bearer::bearer;
use crate::http::client_address::TrustedProxies;
use crate::http::error::{ApiError, complete_errors};
use crate::http::request_log::{RequestLog, log_requests};
use crate::leases::{self, Terms};
use crate::metrics::{self, METRICS};
use crate::readiness::{Readiness, Report};
use crate::store::{Database, state};

/// The most characters of an id that an edge sends.
const MAX_ID_CHARS: usize = 64;

/// Where the service tells how it does, to anybody who reaches the listener.
const HEALTH_PATH: &str = "/healthz";
const READINESS_PATH: &str = "/readyz";
const METRICS_PATH: &str = "/metrics";

/// What the handlers share.
#[derive(Clone)]
struct Service {
    database: Database,
    terms: Terms,
    readiness: Readiness,
}

/// The routes of the edge listener.
pub(crate) fn router(database: Database, terms: Terms, tokens: EdgeTokens, readiness: Readiness) -> Router {
    let log = RequestLog {
        listener: "edge",
        at_debug: &[VERIFY_PATH, SYNC_PATH, HEALTH_PATH, READINESS_PATH, METRICS_PATH],
        // Nothing here depends on where a request came from.
        proxies: TrustedProxies::default(),
        terms,
    };
    Router::new()
        .route(VERIFY_PATH, post(verify))
        .route(SYNC_PATH, post(sync))
        .route_layer(from_fn_with_state(Arc::new(tokens), require_token))
        .route(HEALTH_PATH, get(healthz))
        .route(READINESS_PATH, get(readyz))
        .route(METRICS_PATH, get(show_metrics))
        .layer(from_fn(complete_errors))
        .layer(from_fn_with_state(log, log_requests))
        .with_state(Service { database, terms, readiness })
}

/// Lets a request in that carries an edge token (RFC 6750, section 2.1), before its body is read.
async fn require_token(State(tokens): State<Arc<EdgeTokens>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    if sent.is_some_and(|token| tokens.accept(token)) {
        return next.run(request).await;
    }
    let mut response = match sent {
        None => ApiError::not_authenticated(),
        Some(_) => ApiError::authentication_failed("The edge token is wrong."),
    }
    .into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="edge""#));
    response
}

async fn verify(State(service): State<Service>, body: Bytes) -> Result<Json<VerifyResponse>, ApiError> {
    let request: VerifyRequest = parse(&body)?;
    check_id("edge", &request.edge)?;
    if request.digests.len() > MAX_DIGESTS_PER_VERIFY {
        let detail = format!("digests: at most {MAX_DIGESTS_PER_VERIFY} at once.");
        return Err(ApiError::invalid_input(detail));
    }
    let answer = leases::verify::answer(&service.database.ledger(), &request).await?;
    METRICS.told_verdicts(&answer.verdicts);
    Ok(Json(answer))
}

async fn sync(State(service): State<Service>, body: Bytes) -> Result<Json<SyncResponse>, ApiError> {
    let request: SyncRequest = parse(&body)?;
    check_id("edge", &request.edge)?;
    if let Some(log) = &request.log {
        check_id("log", log)?;
    }
    if request.used.len() > MAX_USED_PER_SYNC {
        return Err(ApiError::invalid_input(format!("used: at most {MAX_USED_PER_SYNC} at once.")));
    }
    request.used.keys().try_for_each(|key_id| check_id("used", key_id))?;
    let answer = leases::sync::answer(&service.database.ledger(), service.terms, &request).await?;
    METRICS.synced(&answer.news);
    Ok(Json(answer))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::parse_error(error.to_string()))
}

/// Ids come from programs; one of another form is a mistake, and could not be stored by every database.
fn check_id(field: &str, id: &str) -> Result<(), ApiError> {
    if (1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(ApiError::invalid_input(format!("{field}: an id is 1 to {MAX_ID_CHARS} visible ASCII characters.")))
}

/// Whether the process answers.
async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Whether the process can do its work.
async fn readyz(State(service): State<Service>) -> Report {
    service.readiness.report().await
}

/// Metrics for Prometheus. Where the database fails, those that it would tell are left out.
async fn show_metrics(State(service): State<Service>) -> Response {
    let state = state::read(service.database.pool()).await.inspect_err(|error| {
        METRICS.database_failed();
        tracing::warn!(%error, "metrics of the database are left out");
    });
    match METRICS.encode(state.as_ref().ok()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
