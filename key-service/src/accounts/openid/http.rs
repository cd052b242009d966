//! Requests to a provider, with limits on time and size.

use std::time::Duration;

use axum::body::{self, Body};
use axum::http::{StatusCode, Uri};
use hyper_util::client::legacy;
use openidconnect::{HttpRequest, HttpResponse};
use tokio::time::error::Elapsed;

use crate::outbound::HttpClient;

/// How long the provider has to answer a request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 512 * 1024;

/// Why a provider did not answer a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("it did not answer within {} s", TIMEOUT.as_secs())]
    Timeout(#[from] Elapsed),
    #[error("its address is neither https:// nor a loopback address")]
    Insecure,
    #[error("the connection failed: {0}")]
    Connection(#[from] legacy::Error),
    #[error("it answers {0}")]
    Failed(StatusCode),
    #[error("its answer cannot be read, or has more than {MAX_ANSWER_BYTES} bytes: {0}")]
    Answer(#[from] axum::Error),
}

/// Whether tokens and secrets may travel to an address: over TLS, or not beyond this machine.
pub(super) fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => uri.host().is_some_and(crate::network::is_loopback),
        _ => false,
    }
}

/// Sends a request once. Redirects are not followed.
///
/// # Errors
/// The provider did not answer in time, or with a status of 500 or more, or its answer is too long.
pub(super) async fn send(client: HttpClient, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    if !is_safe(&request.uri().to_string()) {
        return Err(HttpError::Insecure);
    }
    let answer = async {
        let (parts, body) = client.request(request.map(Body::from)).await?.into_parts();
        if parts.status.is_server_error() {
            return Err(HttpError::Failed(parts.status));
        }
        let body = body::to_bytes(Body::new(body), MAX_ANSWER_BYTES).await?;
        Ok(HttpResponse::from_parts(parts, body.to_vec()))
    };
    tokio::time::timeout(TIMEOUT, answer).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_travel_over_tls_or_within_the_machine() {
        for safe in
            ["https://sso.example.com/x", "http://127.0.0.1:8080/x", "http://localhost", "http://[::1]:1"]
        {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_url in [
            "http://sso.example.com",
            "ftp://127.0.0.1",
            "sso.example.com",
            "",
            "http://127.0.0.1@evil.example",
        ] {
            assert!(!is_safe(unsafe_url), "{unsafe_url}");
        }
    }
}
