//! Headers that every answer has.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Browsers take the address for that of an HTTPS site alone for so long: a year.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Says of every answer that it is in no cache unless it says otherwise, since it can hold a key's value and depends on who is logged in. Where browsers use HTTPS they shall
/// go on to.
pub(super) async fn add_headers(mut response: Response, is_https: bool) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if is_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    response
}

/// Says of an answer, on both listeners, that its type is what it says, and that no window of another site can reach its own.
pub(super) async fn isolate(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
