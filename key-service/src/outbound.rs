//! The HTTP client for calls to other services: the operator's webhook and OpenID providers. It follows no redirect.

use axum::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// A client for HTTP/1.1, over TLS or without.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Body>;

/// A client. With `is_https`, it trusts the system's certificate authorities. Without, it needs none, so plain HTTP works on a
/// system without certificates.
///
/// # Errors
/// The system's certificate authorities cannot be read.
pub(crate) fn client(is_https: bool) -> std::io::Result<HttpClient> {
    let connector = HttpsConnectorBuilder::new();
    let connector = match is_https {
        true => connector.with_provider_and_native_roots(ring::default_provider())?,
        false => connector.with_tls_config(trusting_nobody()?),
    };
    let connector = connector.https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

fn trusting_nobody() -> std::io::Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions().map_err(std::io::Error::other)?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}
