//! The header `Idempotency-Key`, as in the draft of the IETF's HTTP API working group.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue};

use utoipa::IntoParams;

use super::error::ApiError;
use crate::audit::Actor;
use crate::idempotency::RepeatableRequest;
use crate::validation::Violation;

/// The header's name, also in errors.
const NAME: &str = "Idempotency-Key";

/// The most characters of a key.
const MAX_CHARS: usize = 255;

/// The header in the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header that `Idempotent` reads")]
pub(crate) struct IdempotencyKey {
    /// A key that the client chooses for the request, such as a UUID, in quotation marks or without. For 24 hours, a repetition of
    /// the request with the same key changes nothing.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 257)]
    key: Option<String>,
}

/// The input of a request that a client may repeat.
pub(crate) struct Idempotent<F> {
    /// The input.
    pub(crate) sent: F,
    /// The key, and the content of the request.
    repeatable: Option<(String, String)>,
}

impl<F> Idempotent<F> {
    /// The input, and the request of this caller if it has a key.
    pub(crate) fn by(self, caller: &Actor) -> (F, Option<RepeatableRequest>) {
        let request = self.repeatable.map(|(key, content)| RepeatableRequest::new(caller, &key, &content));
        (self.sent, request)
    }
}

impl<S: Send + Sync, F: FromRequest<S, Rejection = ApiError>> FromRequest<S> for Idempotent<F> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Some(key) = key(request.headers()).map_err(|violation| violation.of(NAME))? else {
            return Ok(Idempotent { sent: F::from_request(request, state).await?, repeatable: None });
        };
        let (parts, body) = request.into_parts();
        let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
        let body = body.map_err(|rejection| ApiError::from(rejection.status()))?;
        // A body that is not text is refused below, before its content counts.
        let content = format!("{} {}\n{}", parts.method, parts.uri.path(), String::from_utf8_lossy(&body));
        let sent = F::from_request(Request::from_parts(parts, Body::from(body)), state).await?;
        Ok(Idempotent { sent, repeatable: Some((key, content)) })
    }
}

/// The key that a request has: a string of RFC 9651, `"8e03978e-40d5-43e8"`, or the same without the quotation marks.
fn key(headers: &HeaderMap) -> Result<Option<String>, Violation> {
    let mut sent = headers.get_all(NAME).into_iter();
    let (key, others) = (sent.next(), sent.next());
    match (key, others) {
        (None, _) => Ok(None),
        (Some(key), None) => parse(key).map(Some).ok_or_else(|| {
            Violation::input(format!(
                "Send 1 to {MAX_CHARS} visible characters, such as a UUID in quotation marks."
            ))
        }),
        (Some(_), Some(_)) => Err(Violation::input("Send one key.")),
    }
}

fn parse(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?.trim();
    let key = match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => text,
    };
    let is_visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let is_key = (1..=MAX_CHARS).contains(&key.len()) && key.bytes().all(is_visible);
    is_key.then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_string_with_or_without_quotation_marks() {
        let parsed = |text: &str| parse(&HeaderValue::from_str(text).unwrap());
        assert_eq!(parsed("\"8e03978e-40d5\"").as_deref(), Some("8e03978e-40d5"));
        assert_eq!(parsed("8e03978e-40d5").as_deref(), Some("8e03978e-40d5"));
        let (longest, longer) = ("x".repeat(MAX_CHARS), "x".repeat(MAX_CHARS + 1));
        assert_eq!(parsed(&longest).as_ref(), Some(&longest));
        for wrong in ["", "\"\"", "\"", "\"a", "a\"", "a b", "\"a\\\"b\"", "\"a\"; b=1", &longer] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
