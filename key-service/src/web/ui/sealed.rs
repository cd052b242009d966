//! Content that crosses a redirect: the address has it sealed, and only a short-lived cookie has the key that opens it.
//!
//! The service stores neither of them, so each replica can open what another one sealed. An address alone, in a log or in the
//! browser's history, reveals nothing.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::PageError;
use super::form::Form;
use crate::random;
use crate::web::session::IsPlainLoopback;

/// The cookie's name. With this prefix, browsers accept the cookie only over HTTPS (RFC 6265bis, section 4.1.3.1).
const COOKIE: &str = "__Secure-seal";

/// The cookie's name over plain HTTP on the service's own machine, where browsers refuse the prefix.
const LOOPBACK_COOKIE: &str = "seal";

/// The parameter of an address with sealed content.
const PARAMETER: &str = "sealed";

/// A key that seals one content.
type SealKey = [u8; 32];

/// Each key seals one content, so one nonce suffices.
const NONCE: [u8; 12] = [0; 12];

/// The sealed content of the requested address, and the key from its cookie; and where to send the next.
pub(super) struct Seals {
    path: String,
    sealed: Option<Vec<u8>>,
    key: Option<SealKey>,
    is_plain: bool,
}

impl<S: Sync> FromRequestParts<S> for Seals {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let IsPlainLoopback(is_plain) =
            parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let key = cookie(&parts.headers, cookie_name(is_plain));
        Ok(Seals {
            path: parts.uri.path().to_owned(),
            sealed: query.get(PARAMETER).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()),
            key: key.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()),
            is_plain,
        })
    }
}

impl Seals {
    /// Redirects to a path of this site, where the user can open the content for so many seconds. The cookie is only sent to
    /// this path, so several redirects at the same time do not disturb each other.
    pub(super) fn redirect(
        &self,
        path: &str,
        user_id: &str,
        content: &impl Serialize,
        lifetime_s: u32,
    ) -> Result<Response, PageError> {
        let content = serde_json::to_vec(content).map_err(|error| PageError::internal(&error))?;
        let key: SealKey = random::bytes().map_err(|error| PageError::internal(&error))?;
        let sealed =
            seal(&key, &bound_to(path, user_id), content).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let address = format!("{path}?{PARAMETER}={}", URL_SAFE_NO_PAD.encode(sealed));
        let cookie = self.cookie(path, &URL_SAFE_NO_PAD.encode(key), lifetime_s);
        Ok(([cookie], Redirect::to(&address)).into_response())
    }

    /// The content that was sealed for this path and user; `None` if the address has none, or its cookie has ended.
    pub(super) fn open<T: DeserializeOwned>(&self, user_id: &str) -> Option<T> {
        let content = open(&self.key?, &bound_to(&self.path, user_id), self.sealed.clone()?)?;
        serde_json::from_slice(&content).ok()
    }

    /// The header that ends the cookie of the requested path, so that its content cannot be opened again.
    pub(super) fn end(&self) -> (HeaderName, HeaderValue) {
        self.cookie(&self.path, "", 0)
    }

    fn cookie(&self, path: &str, key: &str, max_age_s: u32) -> (HeaderName, HeaderValue) {
        let (name, secure) = (cookie_name(self.is_plain), if self.is_plain { "" } else { "; Secure" });
        let cookie =
            format!("{name}={key}; Path={path}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}");
        // A path of this site, as an address has it, is valid in a header.
        (header::SET_COOKIE, HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static("")))
    }
}

fn cookie_name(is_plain: bool) -> &'static str {
    if is_plain { LOOPBACK_COOKIE } else { COOKIE }
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut cookies =
        lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(sent, _)| *sent == name).map(|(_, value)| value)
}

/// What a seal is bound to: it opens only on this path, for this user.
fn bound_to(path: &str, user_id: &str) -> String {
    format!("{path}\n{user_id}")
}

fn seal(key: &SealKey, bound_to: &str, mut content: Vec<u8>) -> Option<Vec<u8>> {
    let nonce = Nonce::assume_unique_for_key(NONCE);
    cipher(key)?.seal_in_place_append_tag(nonce, Aad::from(bound_to), &mut content).ok()?;
    Some(content)
}

fn open(key: &SealKey, bound_to: &str, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let nonce = Nonce::assume_unique_for_key(NONCE);
    let content = cipher(key)?.open_in_place(nonce, Aad::from(bound_to), &mut sealed).ok()?;
    Some(content.to_vec())
}

fn cipher(key: &SealKey) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_opens_only_with_its_key_on_its_path_for_its_user() {
        let (key, bound) = ([7; 32], bound_to("/account/keys/1/value", "ada"));
        let sealed = seal(&key, &bound, b"phx_secret".to_vec()).unwrap();
        assert!(!sealed.windows(4).any(|part| part == b"phx_"));
        assert_eq!(open(&key, &bound, sealed.clone()).as_deref(), Some(&b"phx_secret"[..]));
        assert_eq!(open(&[8; 32], &bound, sealed.clone()), None);
        assert_eq!(open(&key, &bound_to("/account/keys/2/value", "ada"), sealed.clone()), None);
        assert_eq!(open(&key, &bound_to("/account/keys/1/value", "eve"), sealed.clone()), None);
        let mut altered = sealed;
        altered[0] ^= 1;
        assert_eq!(open(&key, &bound, altered), None);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("session=a; seal=b; seals=c"));
        assert_eq!(cookie(&headers, "seal"), Some("b"));
        assert_eq!(cookie(&headers, "sea"), None);
        headers.append(header::COOKIE, HeaderValue::from_static("other=d"));
        assert_eq!(cookie(&headers, "other"), Some("d"));
    }
}
