//! The cookies of the pages. The session has its own, in `web/session.rs`.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::AppendHeaders;
use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use protocol::KeyDigest;

use super::error::PageError;
use crate::web::headers::cookie;

/// The header of a response that sets or removes a cookie.
pub(super) type SetCookie = AppendHeaders<[(HeaderName, HeaderValue); 1]>;

/// A cookie that one page sets for another one. No script can read it.
#[derive(Clone, Debug)]
pub(super) struct PageCookie {
    /// With the prefix that makes browsers accept it only over HTTPS (RFC 6265bis, section 4.1.3).
    name: Cow<'static, str>,
    /// Over plain HTTP on the service's own machine, where browsers refuse the prefixes.
    loopback_name: Cow<'static, str>,
    same_site: SameSite,
}

/// The key of sealed content for a path. Only this host can set it, which a cookie of the path itself would not ensure, so the
/// name has the path.
pub(super) fn seal(path: &str) -> PageCookie {
    let hex = KeyDigest::of_value(path).to_hex();
    let of_path = hex.get(..16).unwrap_or_default();
    PageCookie {
        name: format!("__Host-seal-{of_path}").into(),
        loopback_name: format!("seal-{of_path}").into(),
        same_site: SameSite::Strict,
    }
}

/// A form that arrived without a session, only sent to the path of the form.
pub(super) const UNSENT_FORM: PageCookie = PageCookie {
    name: Cow::Borrowed("__Secure-unsent"),
    loopback_name: Cow::Borrowed("unsent"),
    same_site: SameSite::Strict,
};

/// A sign-in that a provider has not answered yet. The browser must send it when the provider, another site, sends it back.
pub(super) const OPENID: PageCookie = PageCookie {
    name: Cow::Borrowed("__Host-openid"),
    loopback_name: Cow::Borrowed("openid"),
    same_site: SameSite::Lax,
};

impl PageCookie {
    /// The cookie's value in a request.
    pub(super) fn read(&self, headers: &HeaderMap, is_plain: bool) -> Option<String> {
        cookie(headers, self.name(is_plain))
    }

    /// The header that sets the cookie. The value consists of characters that a cookie may have (RFC 6265, section 4.1.1).
    pub(super) fn set(
        &self,
        path: &str,
        value: &str,
        lifetime_s: u32,
        is_plain: bool,
    ) -> Result<SetCookie, PageError> {
        let cookie = Cookie::build((self.name(is_plain), value))
            .path(path)
            .max_age(Duration::seconds(lifetime_s.into()))
            .http_only(true)
            .same_site(self.same_site)
            .secure(!is_plain);
        let value = HeaderValue::try_from(cookie.to_string());
        Ok(AppendHeaders([(header::SET_COOKIE, value.map_err(|error| PageError::internal(&error))?)]))
    }

    /// The header that removes the cookie.
    pub(super) fn remove(&self, path: &str, is_plain: bool) -> Result<SetCookie, PageError> {
        self.set(path, "", 0, is_plain)
    }

    fn name(&self, is_plain: bool) -> &str {
        if is_plain { &self.loopback_name } else { &self.name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("session=a; unsent=b; unsents=c; bad"));
        assert_eq!(UNSENT_FORM.read(&headers, true), Some("b".to_owned()));
        assert_eq!(UNSENT_FORM.read(&headers, false), None);
        headers.append(header::COOKIE, HeaderValue::from_static("__Secure-unsent=d"));
        assert_eq!(UNSENT_FORM.read(&headers, false), Some("d".to_owned()));
    }

    #[test]
    fn a_cookie_is_for_its_path_and_not_for_scripts() {
        let text = |AppendHeaders([(_, value)]): SetCookie| value.to_str().unwrap().to_owned();
        let over_https = UNSENT_FORM.set("/a", "b", 60, false).unwrap();
        assert_eq!(
            text(over_https),
            "__Secure-unsent=b; HttpOnly; SameSite=Strict; Secure; Path=/a; Max-Age=60"
        );
        let removed = OPENID.remove("/", true).unwrap();
        assert_eq!(text(removed), "openid=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
    }

    #[test]
    fn each_path_has_a_seal_of_its_own() {
        let name = |path: &str| seal(path).name(false).to_owned();
        assert_ne!(name("/a"), name("/b"));
        assert!(name("/a").starts_with("__Host-seal-"));
    }
}
