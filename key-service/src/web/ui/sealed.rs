//! Content that crosses a redirect: the address has it sealed, and only a short-lived cookie has the key that opens it.
//!
//! The service stores neither of them, so each replica can open what another one sealed. An address alone, in a log or in the
//! browser's history, reveals nothing.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cookies::{PageCookie, SetCookie, seal as seal_cookie, surplus_seals};
use super::error::PageError;
use super::form::Form;
use crate::random;
use crate::web::session::IsPlainLoopback;

/// The parameter of an address with sealed content.
const PARAMETER: &str = "sealed";

/// The parameter of an address to which a repeated form leads. Only the answer to the first one has sealed content.
const REPETITION: &str = "again";

/// The redirect after a form that did something before.
pub(super) fn redirect_again(path: &str) -> Redirect {
    Redirect::to(&format!("{path}?{REPETITION}"))
}

/// A key that seals one content.
type SealKey = [u8; 32];

/// Each key seals one content, so one nonce suffices.
const NONCE: [u8; 12] = [0; 12];

/// The sealed content of the requested address, and the key from its cookie; and where to send the next.
pub(super) struct Seals {
    path: String,
    sealed: Option<Vec<u8>>,
    /// Whether the address follows a form that was sent before.
    pub(super) is_repetition: bool,
    key: Option<SealKey>,
    /// The cookies that must go before the browser gets another one.
    surplus: Vec<PageCookie>,
    is_plain: bool,
}

impl<S: Sync> FromRequestParts<S> for Seals {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let IsPlainLoopback(is_plain) =
            parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let key = seal_cookie(parts.uri.path()).read(&parts.headers, is_plain);
        Ok(Seals {
            path: parts.uri.path().to_owned(),
            sealed: query.get(PARAMETER).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()),
            is_repetition: query.get(REPETITION).is_some(),
            key: key.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()),
            surplus: surplus_seals(&parts.headers, is_plain),
            is_plain,
        })
    }
}

impl Seals {
    /// Redirects to a path of this site, where the user can open the content for so many seconds. Each path has a cookie of its
    /// own, so several redirects at the same time do not disturb each other.
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
        let cookie = seal_cookie(path).set(&URL_SAFE_NO_PAD.encode(key), lifetime_s, self.is_plain)?;
        let mut response = Redirect::to(&address).into_response();
        for seal in &self.surplus {
            response = (seal.remove(self.is_plain)?, response).into_response();
        }
        // Last, because it can have the name of one that is removed.
        Ok((cookie, response).into_response())
    }

    /// The content that was sealed for this path and user; `None` if the address has none, or its cookie has ended.
    pub(super) fn open<T: DeserializeOwned>(&self, user_id: &str) -> Option<T> {
        let content = open(&self.key?, &bound_to(&self.path, user_id), self.sealed.clone()?)?;
        serde_json::from_slice(&content).ok()
    }

    /// The header that ends the cookie of the requested path, so that its content cannot be opened again.
    pub(super) fn end(&self) -> Result<SetCookie, PageError> {
        seal_cookie(&self.path).remove(self.is_plain)
    }
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
}
