//! Networks: the addresses among which one host or one site can choose.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or a network of IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    base: IpAddr,
    prefix: u32,
}

impl Network {
    /// The addresses among which the host with this address can choose: for IPv6 the /64 (RFC 4291, section 2.5.4).
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Network { base: address.into(), prefix: 32 },
            IpAddr::V6(address) => Self::ipv6(address, 64),
        }
    }

    /// The largest network of a site (RFC 6177): for IPv6 the /48, which has 65,536 networks of [`Network::of`]. `None` for
    /// IPv4, where a site counts as one address.
    pub(crate) fn site_of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Self::ipv6(address, 48)),
        }
    }

    fn ipv6(address: Ipv6Addr, prefix: u32) -> Self {
        let host_bits = 128 - prefix;
        let base = Ipv6Addr::from_bits(address.to_bits() >> host_bits << host_bits);
        Network { base: base.into(), prefix }
    }
}

/// Whether a host, a name or an address, is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_of_one_network_or_site_count_as_one() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));

        let site = |text: &str| Network::site_of(text.parse().unwrap());
        assert_eq!(site("2001:db8::1"), site("2001:db8:0:ffff::1"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:1::1"));
        assert_ne!(site("2001:db8::1"), Some(network("2001:db8::1")));
        assert_eq!(site("192.0.2.1"), None);
    }

    #[test]
    fn loopback_is_recognised_by_name_and_address() {
        for host in ["localhost", "LOCALHOST", "keys.localhost", "127.0.0.1", "127.8.9.1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.com", "128.0.0.1", "[::2]", "example.com", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
