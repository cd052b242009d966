//! Where browsers reach the service: the origin it trusts, and whether its cookies may travel unencrypted.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::csrf::CsrfLayer;

/// The address under which browsers reach the public listener, such as `https://keys.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// As a browser writes it in `Origin` (RFC 6454, section 6.2): lower case, no default port.
    origin: String,
    host: String,
    is_https: bool,
}

/// The text is not the address of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write http:// or https://, a host and if need be a port, nothing else")]
pub struct InvalidPublicUrl;

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| InvalidPublicUrl)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(InvalidPublicUrl),
        };
        let authority = uri.authority().ok_or(InvalidPublicUrl)?;
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() || authority.as_str().contains('@') || uri.path() != "/" || uri.query().is_some() {
            return Err(InvalidPublicUrl);
        }
        let scheme = if is_https { "https" } else { "http" };
        let default_port = if is_https { 443 } else { 80 };
        let origin = match authority.port_u16().filter(|&port| port != default_port) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        // The layer has the last word on what can be an origin.
        if CsrfLayer::new().add_trusted_origin(&origin).is_err() {
            return Err(InvalidPublicUrl);
        }
        Ok(PublicUrl { origin, host, is_https })
    }
}

impl PublicUrl {
    /// Lets write requests from this origin through, whatever the `Host` they carry.
    pub(super) fn trust(&self, layer: CsrfLayer) -> CsrfLayer {
        // Parsing has shown already that the layer takes it.
        layer.clone().add_trusted_origin(&self.origin).unwrap_or(layer)
    }
}

/// Takes `Secure` off the session cookie where browsers talk plain HTTP to their own machine: some of them drop
/// a `Secure` cookie there.
pub(super) async fn relax_cookies_on_loopback(
    State(public_url): State<Option<Arc<PublicUrl>>>,
    request: Request,
    next: Next,
) -> Response {
    let relax = match public_url {
        Some(url) => !url.is_https && is_loopback(&url.host),
        None => requested_host(request.uri(), request.headers()).is_some_and(is_loopback),
    };
    let mut response = next.run(request).await;
    if relax {
        let headers = response.headers_mut().iter_mut();
        for (_, cookie) in headers.filter(|(name, _)| *name == header::SET_COOKIE) {
            let relaxed = cookie.to_str().unwrap_or_default().replace("; Secure", "");
            if let Ok(relaxed) = HeaderValue::from_str(&relaxed) {
                *cookie = relaxed;
            }
        }
    }
    response
}

/// The service's address as the browser that sent a request knows it.
pub(crate) fn base(public_url: Option<&PublicUrl>, headers: &HeaderMap) -> String {
    if let Some(url) = public_url {
        return url.to_string();
    }
    let authority = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let is_plain = requested_host(&Uri::default(), headers).is_some_and(is_loopback);
    format!("{}://{authority}", if is_plain { "http" } else { "https" })
}

/// The host that a request was sent to, without the port.
fn requested_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(host) = uri.host() {
        return Some(host);
    }
    let host = headers.get(header::HOST)?.to_str().ok()?;
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => Some(name),
        _ => Some(host),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<String, InvalidPublicUrl> {
        text.parse::<PublicUrl>().map(|url| url.origin)
    }

    #[test]
    fn an_address_becomes_the_origin_that_browsers_send() {
        assert_eq!(origin("https://Keys.Example.com/"), Ok("https://keys.example.com".into()));
        assert_eq!(origin("https://keys.example.com:443"), Ok("https://keys.example.com".into()));
        assert_eq!(origin("http://127.0.0.1:8080"), Ok("http://127.0.0.1:8080".into()));
        assert_eq!(origin("http://[::1]:8080"), Ok("http://[::1]:8080".into()));
    }

    #[test]
    fn what_is_not_the_address_of_a_site_is_refused() {
        for text in ["", "keys.example.com", "ftp://a.example", "https://a.example/x", "https://a.example?x"]
        {
            assert_eq!(origin(text), Err(InvalidPublicUrl), "{text:?}");
        }
        assert_eq!(origin("https://user@a.example"), Err(InvalidPublicUrl));
    }

    #[test]
    fn without_a_setting_the_address_is_where_the_request_went() {
        let told = |host: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            base(None, &headers)
        };
        assert_eq!(told("127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(told("keys.example.com"), "https://keys.example.com");
        let url = "https://keys.example.com".parse().ok();
        assert_eq!(base(url.as_ref(), &HeaderMap::new()), "https://keys.example.com");
    }

    #[test]
    fn loopback_is_told_by_name_and_by_address() {
        for host in ["localhost", "LOCALHOST", "keys.localhost", "127.0.0.1", "127.8.9.1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.com", "128.0.0.1", "[::2]", "example.com", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn the_requested_host_has_no_port() {
        let host = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(value))]);
            requested_host(&Uri::from_static("/x"), &headers).unwrap().to_owned()
        };
        assert_eq!(host("127.0.0.1:8080"), "127.0.0.1");
        assert_eq!(host("[::1]:8080"), "[::1]");
        assert_eq!(host("keys.example.com"), "keys.example.com");
        assert_eq!(
            requested_host(&Uri::from_static("http://a.example:1/x"), &HeaderMap::new()),
            Some("a.example")
        );
    }
}
