//! The operator's endpoint, and sending a message to it.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use hyper_util::client::legacy;
use sha2::Sha256;
use tokio::time::error::Elapsed;

use crate::outbound::{self, HttpClient};
use crate::time::Timestamp;

/// The environment variable of the address. An address can contain a secret, so its text is never shown.
pub(crate) const URL_VARIABLE: &str = "LEAK_WEBHOOK_URL";

/// The environment variable of the secret that messages are signed with.
pub(crate) const SECRET_VARIABLE: &str = "LEAK_WEBHOOK_SECRET";

/// The prefix of a secret's text.
const SECRET_PREFIX: &str = "whsec_";

/// The number of bytes of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// How long the receiver has to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The operator's webhook.
#[derive(Clone)]
pub(crate) struct Endpoint {
    client: HttpClient,
    url: Uri,
    secret: Vec<u8>,
}

/// Why the settings of the webhook cannot be used. The texts contain no value of a setting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The address is not a URL that the service can use.
    #[error("{URL_VARIABLE}: must be an https:// or http:// URL without a user and a password")]
    Url,
    /// Only one of the two variables is set.
    #[error("{0} is not set; the webhook needs both {URL_VARIABLE} and {SECRET_VARIABLE}")]
    Missing(&'static str),
    /// The secret has another form.
    #[error(
        "{SECRET_VARIABLE}: write {SECRET_PREFIX} and the Base64 of {} to {} random bytes",
        SECRET_BYTES.start(),
        SECRET_BYTES.end()
    )]
    Secret,
    /// The system's certificate authorities cannot be read.
    #[error("{URL_VARIABLE}: cannot read the system's certificate authorities: {0}")]
    Authorities(#[from] std::io::Error),
}

/// Why the receiver did not accept a message. The texts do not show the address.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("it answered {0}")]
    Answer(StatusCode),
    #[error("it did not answer within {} s", TIMEOUT.as_secs())]
    Timeout(#[from] Elapsed),
    #[error("the connection failed")]
    Connection(#[from] legacy::Error),
    #[error("the request cannot be built")]
    Request(#[from] axum::http::Error),
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Reads the two settings; `None` if neither is set. An empty value counts as unset.
    ///
    /// # Errors
    /// Each invalid setting.
    pub(crate) fn new(url: Option<&str>, secret: Option<&str>) -> Result<Option<Self>, Vec<EndpointError>> {
        let filled = |text: Option<_>| text.filter(|text: &&str| !text.is_empty());
        let (url, secret) = (filled(url), filled(secret));
        if url.is_none() && secret.is_none() {
            return Ok(None);
        }
        let url = url.ok_or(EndpointError::Missing(URL_VARIABLE)).and_then(read_url);
        let secret = secret.ok_or(EndpointError::Missing(SECRET_VARIABLE)).and_then(read_secret);
        match (url, secret) {
            (Ok((client, url)), Ok(secret)) => Ok(Some(Endpoint { client, url, secret })),
            (url, secret) => Err(url.err().into_iter().chain(secret.err()).collect()),
        }
    }

    /// Sends a message once. Every status other than 2xx is a failure, including redirects.
    ///
    /// # Errors
    /// The receiver did not accept the message.
    pub(super) async fn send(&self, id: &str, body: String, now: Timestamp) -> Result<(), SendError> {
        let at_s = now.unix_ms() / 1_000;
        let request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("key-service/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", at_s)
            .header("webhook-signature", signature(&self.secret, id, at_s, &body))
            .body(Body::from(body))?;
        let status = tokio::time::timeout(TIMEOUT, self.client.request(request)).await??.status();
        if status.is_success() { Ok(()) } else { Err(SendError::Answer(status)) }
    }
}

/// The address, and a client that can reach it.
fn read_url(text: &str) -> Result<(HttpClient, Uri), EndpointError> {
    let url: Uri = text.parse().map_err(|_| EndpointError::Url)?;
    let has_user = url.authority().is_none_or(|authority| authority.as_str().contains('@'));
    let is_https = match url.scheme_str() {
        Some("https") if !has_user => true,
        Some("http") if !has_user => false,
        _ => return Err(EndpointError::Url),
    };
    Ok((outbound::client(is_https)?, url))
}

/// The bytes of a secret.
fn read_secret(text: &str) -> Result<Vec<u8>, EndpointError> {
    let secret = text.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    secret.filter(|secret| SECRET_BYTES.contains(&secret.len())).ok_or(EndpointError::Secret)
}

/// The signature of a message at one attempt, as <https://www.standardwebhooks.com> specifies it.
fn signature(secret: &[u8], id: &str, at_s: i64, body: &str) -> String {
    // Never an error: HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(format!("{id}.{at_s}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The example of the specification's reference libraries.
    #[test]
    fn the_signature_equals_that_of_the_reference_libraries() {
        let secret = STANDARD.decode(&SECRET[6..]).unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = signature(&secret, id, 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_by_name_and_not_shown() {
        let refused = |url, secret| Endpoint::new(url, secret).unwrap_err()[0].to_string();
        let url = Some("https://hooks.example.com/hidden");
        for (said, named) in [
            (refused(url, None), SECRET_VARIABLE),
            (refused(None, Some(SECRET)), URL_VARIABLE),
            (refused(Some("hooks.example.com/hidden"), Some(SECRET)), URL_VARIABLE),
            (refused(Some("file:///hidden"), Some(SECRET)), URL_VARIABLE),
            (refused(url, Some("hidden")), SECRET_VARIABLE),
            (refused(url, Some("whsec_aGlkZGVu")), SECRET_VARIABLE),
            (refused(url, Some("whsec_hidden!")), SECRET_VARIABLE),
        ] {
            assert!(said.contains(named) && !said.contains("hidden"), "{said}");
        }
        assert!(Endpoint::new(None, Some("")).unwrap().is_none());
    }

    #[test]
    fn debug_output_hides_the_endpoint() {
        let endpoint = Endpoint::new(Some("http://127.0.0.1/hidden"), Some(SECRET)).unwrap().unwrap();
        assert_eq!(format!("{endpoint:?}"), "Endpoint { .. }");
    }
}
