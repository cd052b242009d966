//! The service's address in browsers: the origin that it trusts, and whether its cookies may be sent without TLS.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, Uri, header};
use tower_http::csrf::CsrfLayer;

use crate::network::is_loopback;

/// The address under which browsers reach the public listener, such as `https://keys.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    /// The form that browsers send in `Origin` (RFC 6454, section 6.2): lower case, no default port.
    origin: String,
    host: String,
    pub(super) is_https: bool,
}

/// The text is not a site's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http:// or https:// with a host and an optional port, such as https://keys.example.com")]
pub(crate) struct InvalidPublicUrl;

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
        // The layer decides which texts are origins.
        if CsrfLayer::new().add_trusted_origin(&origin).is_err() {
            return Err(InvalidPublicUrl);
        }
        Ok(PublicUrl { origin, host, is_https })
    }
}

impl PublicUrl {
    /// Accepts write requests from this origin, with any `Host`.
    pub(super) fn trust(&self, layer: CsrfLayer) -> CsrfLayer {
        // `parse` has checked that the layer accepts it.
        layer.clone().add_trusted_origin(&self.origin).unwrap_or(layer)
    }
}

/// Whether a request came over plain HTTP from a browser on the service's own machine, where some browsers drop `Secure`
/// cookies. All of this must hold: the `Host` is a loopback name; the connection comes from loopback, or `PUBLIC_URL` is a
/// loopback address (for example the published port of a container); and no proxy has forwarded the request, because a proxy
/// could have received it over HTTPS.
pub(super) fn is_plain_loopback(public_url: Option<&PublicUrl>, request: &Request) -> bool {
    let headers = request.headers();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let is_from_loopback = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    let is_plain = match public_url {
        Some(url) => !url.is_https && (is_from_loopback || is_loopback(&url.host)),
        None => is_from_loopback,
    };
    is_plain
        && requested_host(request.uri(), headers).is_some_and(is_loopback)
        && !headers.keys().any(is_written_by_proxies)
}

fn is_written_by_proxies(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-")
}

/// The service's address, as the browser of a request uses it.
pub(crate) fn base(public_url: Option<&PublicUrl>, headers: &HeaderMap) -> String {
    if let Some(url) = public_url {
        return url.to_string();
    }
    let authority = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let is_plain = requested_host(&Uri::default(), headers).is_some_and(is_loopback);
    format!("{}://{authority}", if is_plain { "http" } else { "https" })
}

/// The host of a request, without the port.
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::body::Body;
    use axum::http::HeaderValue;

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
    fn a_text_that_is_not_a_site_address_is_refused() {
        for text in ["", "keys.example.com", "ftp://a.example", "https://a.example/x", "https://a.example?x"]
        {
            assert_eq!(origin(text), Err(InvalidPublicUrl), "{text:?}");
        }
        assert_eq!(origin("https://user@a.example"), Err(InvalidPublicUrl));
    }

    #[test]
    fn without_a_setting_the_address_is_the_host_of_the_request() {
        let of_host = |host: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            base(None, &headers)
        };
        assert_eq!(of_host("127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(of_host("keys.example.com"), "https://keys.example.com");
        let url = "https://keys.example.com".parse().ok();
        assert_eq!(base(url.as_ref(), &HeaderMap::new()), "https://keys.example.com");
    }

    #[test]
    fn plain_http_is_from_this_machine_to_this_machine_through_no_proxy() {
        let is_plain = |public_url: &str, peer: &str, host: &str, forwarding: &[&'static str]| {
            let mut request = Request::builder().header(header::HOST, host).body(Body::empty()).unwrap();
            let peer: IpAddr = peer.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 1))));
            for name in forwarding {
                request.headers_mut().insert(*name, HeaderValue::from_static("x"));
            }
            is_plain_loopback(public_url.parse().ok().as_ref(), &request)
        };
        assert!(is_plain("", "127.0.0.1", "127.0.0.1:8080", &[]));
        assert!(is_plain("", "::ffff:127.0.0.1", "localhost:8080", &["accept"]));
        assert!(is_plain("http://127.0.0.1:8080", "172.18.0.1", "127.0.0.1:8080", &[]), "a container");
        assert!(!is_plain("", "172.18.0.1", "127.0.0.1:8080", &[]), "the client chooses the Host header");
        assert!(!is_plain("", "127.0.0.1", "keys.example.com", &[]));
        assert!(!is_plain("https://keys.example.com", "127.0.0.1", "127.0.0.1", &[]));
        assert!(!is_plain("http://127.0.0.1:8080", "172.18.0.1", "keys.example.com", &[]));
        for name in ["forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-proto"] {
            assert!(!is_plain("", "127.0.0.1", "127.0.0.1", &[name]), "{name}");
            assert!(!is_plain("http://127.0.0.1", "127.0.0.1", "127.0.0.1", &[name]), "{name}");
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
