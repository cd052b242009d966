//! Client addresses, as the units that share the lookups.

use std::net::{IpAddr, SocketAddr};

/// An IPv4 address, or the /64 network of an IPv6 address, because one client usually has a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// Not an IP address, such as that of a Unix socket. All of these count as one.
    Other,
    /// An IPv4 address, also if it is mapped into IPv6.
    V4(u32),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
}

impl Address {
    /// Parses an address with a port, in Envoy's format: `192.0.2.1:443` or `[2001:db8::1]:443`.
    pub fn read(text: &[u8]) -> Self {
        let socket = std::str::from_utf8(text).ok().and_then(|text| text.parse::<SocketAddr>().ok());
        match socket.map(|socket| socket.ip().to_canonical()) {
            None => Address::Other,
            Some(IpAddr::V4(ip)) => Address::V4(ip.to_bits()),
            Some(IpAddr::V6(ip)) => Address::V6((ip.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        Address::read(text.as_bytes())
    }

    #[test]
    fn an_ipv4_address_counts_as_a_whole_and_without_its_port() {
        assert_eq!(read("192.0.2.1:80"), Address::V4(0xc000_0201));
        assert_eq!(read("192.0.2.1:0"), read("192.0.2.1:65535"));
        assert_eq!(read("[::ffff:192.0.2.1]:80"), read("192.0.2.1:80"));
        assert_ne!(read("192.0.2.2:80"), read("192.0.2.1:80"));
    }

    #[test]
    fn an_ipv6_address_counts_by_its_network_of_64_bits() {
        assert_eq!(read("[2001:db8:1:2::3]:80"), Address::V6(0x2001_0db8_0001_0002));
        assert_eq!(read("[2001:db8:1:2::3]:80"), read("[2001:db8:1:2:ffff::4]:443"));
        assert_ne!(read("[2001:db8:1:2::3]:80"), read("[2001:db8:1:3::3]:80"));
        assert_ne!(read("[::1]:80"), read("0.0.0.0:80"));
    }

    #[test]
    fn anything_else_counts_as_one() {
        for text in ["", "/run/envoy.sock", "192.0.2.1", "2001:db8::1", "envoy://internal/", "256.0.0.1:80"] {
            assert_eq!(read(text), Address::Other, "{text}");
        }
        assert_eq!(Address::read(b"\xff"), Address::Other);
    }
}
