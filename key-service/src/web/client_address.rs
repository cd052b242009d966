//! The client's address: the peer, or the address that a trusted proxy reports.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, StatusCode};
use ipnet::IpNet;

/// Each proxy appends the address of its peer to this header. The client controls the left part.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose `X-Forwarded-For` counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

/// An entry is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address nor a network; separate entries with commas, such as 192.0.2.7,10.0.0.0/8"
)]
pub(crate) struct InvalidTrustedProxies(String);

impl FromStr for TrustedProxies {
    type Err = InvalidTrustedProxies;

    /// Parses addresses and networks separated by commas. An empty text means no proxies.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let read = |entry: &str| {
            let network = entry.parse::<IpNet>();
            network.or_else(|_| entry.parse().map(|address: IpAddr| address.to_canonical().into()))
        };
        entries
            .map(|entry| read(entry).map_err(|_| InvalidTrustedProxies(entry.to_owned())))
            .collect::<Result<_, _>>()
            .map(TrustedProxies)
    }
}

impl TrustedProxies {
    /// Whether the address is a trusted proxy's.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The right-most address that is not a trusted proxy, which the last trusted proxy has seen. If all are trusted, the
    /// left-most. If the peer is not trusted or an entry on the way is not an address, the peer.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        let mut client = peer;
        // Header fields with the same name form one list, in order (RFC 9110, section 5.3).
        for field in headers.get_all(FORWARDED_FOR).iter().rev() {
            for entry in field.as_bytes().rsplit(|byte| *byte == b',') {
                if !self.trust(client) {
                    return client;
                }
                let Some(address) = address(entry) else { return peer };
                client = address;
            }
        }
        client
    }
}

/// The address of one entry. Some proxies also write the port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let address = entry.parse().or_else(|_| entry.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// The client's address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// Determines the address; `None` only for a request without a connection.
    pub(crate) fn of(proxies: &TrustedProxies, extensions: &Extensions, headers: &HeaderMap) -> Option<Self> {
        let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(ClientAddress(proxies.client(peer.ip(), headers)))
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = StatusCode;

    /// The address that [`super::request_log`] has determined.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &str, peer: &str, fields: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(FORWARDED_FOR, field.parse().unwrap());
        }
        proxies.parse::<TrustedProxies>().unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(client("", "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_not_trusted() {
        let trusted = "10.0.0.0/8, 2001:db8::/32,192.0.2.5";
        assert_eq!(client(trusted, "10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(trusted, "10.0.0.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(trusted, "10.0.0.1", &["203.0.113.9,198.51.100.7 , 10.9.9.9"]), "198.51.100.7");
        assert_eq!(
            client(trusted, "10.0.0.1", &["203.0.113.9", "198.51.100.7", "192.0.2.5"]),
            "198.51.100.7"
        );
        assert_eq!(client(trusted, "2001:db8::1", &["2001:db9::7"]), "2001:db9::7");
        assert_eq!(client(trusted, "::ffff:10.0.0.1", &["[2001:db9::7]:443"]), "2001:db9::7");
        assert_eq!(client(trusted, "10.0.0.1", &["198.51.100.7:5555"]), "198.51.100.7");
    }

    #[test]
    fn where_all_are_trusted_the_first_of_them_is_the_client() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_malformed_entry_makes_the_peer_the_client() {
        for field in ["unknown", "", "198.51.100.7, nonsense", "198.51.100.7,", "_hidden, 10.0.0.2"] {
            assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[field]), "10.0.0.1", "{field}");
        }
    }

    #[test]
    fn addresses_that_the_client_wrote_are_ignored() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["nonsense, 198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn an_entry_that_is_neither_address_nor_network_is_refused_by_name() {
        for (text, named) in [("proxy.example", "proxy.example"), ("10.0.0.1,10.0.0.0/33", "10.0.0.0/33")] {
            let error = text.parse::<TrustedProxies>().unwrap_err();
            assert_eq!(error, InvalidTrustedProxies(named.to_owned()));
        }
    }
}
