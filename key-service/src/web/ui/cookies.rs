//! The cookies of the pages. The session has its own, in `web/session.rs`.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::AppendHeaders;
use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use protocol::KeyDigest;

use super::error::PageError;
use crate::web::headers::{cookie, cookies};

/// The header of a response that sets or removes a cookie.
pub(super) type SetCookie = AppendHeaders<[(HeaderName, HeaderValue); 1]>;

/// The most seals that a browser keeps. Every request has them, and proxies limit the headers of a request, to 8 KB for example.
const MAX_SEALS: usize = 16;

/// The names of seals begin with it, after the prefix for browsers.
const SEAL: &str = "seal-";

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
    seal_named(hex.get(..16).unwrap_or_default())
}

fn seal_named(of_path: &str) -> PageCookie {
    PageCookie {
        name: format!("__Host-{SEAL}{of_path}").into(),
        loopback_name: format!("{SEAL}{of_path}").into(),
        same_site: SameSite::Strict,
    }
}

/// The oldest seals of a request that must go, so that the browser can keep one more.
pub(super) fn surplus_seals(headers: &HeaderMap, is_plain: bool) -> Vec<PageCookie> {
    let prefix = if is_plain { SEAL.to_owned() } else { format!("__Host-{SEAL}") };
    let seals: Vec<PageCookie> = cookies(headers)
        .filter_map(|cookie| {
            let of_path = cookie.name().strip_prefix(&prefix)?;
            of_path.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| seal_named(of_path))
        })
        .collect();
    let surplus = (seals.len() + 1).saturating_sub(MAX_SEALS);
    seals.into_iter().take(surplus).collect()
}

/// A form that arrived without a session. There is one in a browser at most.
pub(super) const UNSENT_FORM: PageCookie = PageCookie {
    name: Cow::Borrowed("__Host-unsent"),
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

    /// The header that sets the cookie, for all paths: browsers accept `__Host-` with no other. The value consists of characters
    /// that a cookie may have (RFC 6265, section 4.1.1).
    pub(super) fn set(&self, value: &str, lifetime_s: u32, is_plain: bool) -> Result<SetCookie, PageError> {
        let cookie = Cookie::build((self.name(is_plain), value))
            .path("/")
            .max_age(Duration::seconds(lifetime_s.into()))
            .http_only(true)
            .same_site(self.same_site)
            .secure(!is_plain);
        let value = HeaderValue::try_from(cookie.to_string());
        Ok(AppendHeaders([(header::SET_COOKIE, value.map_err(|error| PageError::internal(&error))?)]))
    }

    /// The header that removes the cookie.
    pub(super) fn remove(&self, is_plain: bool) -> Result<SetCookie, PageError> {
        self.set("", 0, is_plain)
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
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-unsent=d"));
        assert_eq!(UNSENT_FORM.read(&headers, false), Some("d".to_owned()));
    }

    #[test]
    fn only_this_host_can_set_a_cookie_and_no_script_can_read_it() {
        let text = |AppendHeaders([(_, value)]): SetCookie| value.to_str().unwrap().to_owned();
        let over_https = UNSENT_FORM.set("b", 60, false).unwrap();
        assert_eq!(
            text(over_https),
            "__Host-unsent=b; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=60"
        );
        let removed = OPENID.remove(true).unwrap();
        assert_eq!(text(removed), "openid=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
    }

    #[test]
    fn each_path_has_a_seal_of_its_own() {
        let name = |path: &str| seal(path).name(false).to_owned();
        assert_ne!(name("/a"), name("/b"));
        assert!(name("/a").starts_with("__Host-seal-"));
    }

    #[test]
    fn a_browser_keeps_sixteen_seals_and_the_oldest_go_first() {
        let surplus = |seals: usize| {
            let names = (0..seals).map(|n| format!("__Host-seal-{n:016x}=k"));
            let cookies: Vec<String> =
                ["session=a".to_owned(), "__Host-seal-<x>=k".to_owned()].into_iter().chain(names).collect();
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::try_from(cookies.join("; ")).unwrap());
            assert!(surplus_seals(&headers, true).is_empty());
            let names = surplus_seals(&headers, false).into_iter().map(|seal| seal.name(false).to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(surplus(15), [""; 0]);
        assert_eq!(surplus(17), ["__Host-seal-0000000000000000", "__Host-seal-0000000000000001"]);
    }
}
