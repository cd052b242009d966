//! Headers of every response, and the cookies of a request.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use cookie::Cookie;

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The time for which browsers use only HTTPS for the address: a year.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Forbids caches to store a response, unless the response sets its own policy. A response can contain a key's value and
/// depends on the session. If the address is HTTPS, browsers must keep using HTTPS.
pub(super) async fn add_headers(mut response: Response, is_https: bool) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if is_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    response
}

/// On both listeners: browsers must not guess the content type, and windows of other sites cannot reach this one.
pub(super) async fn isolate(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// The cookies of a request. Browsers send those with the same `Path` from the oldest to the newest (RFC 6265, section 5.4).
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Cookie<'_>> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(Cookie::split_parse).filter_map(Result::ok)
}

/// The value of a cookie in a request.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    cookies(headers).find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}
