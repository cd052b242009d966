//! How often somebody may try to log in: to one account, and from one address.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::Quota;
use protocol::KeyDigest;

use crate::metrics::{METRICS, SignIn};
use crate::rate_limit::{RateLimit, Wait};

/// Tries for one account, at once and then a minute, whoever makes them.
const TRIES_PER_ACCOUNT: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Tries from one address, at once and then a minute, for whatever accounts.
const TRIES_PER_ADDRESS: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// The tries made lately.
#[derive(Debug)]
pub(crate) struct LoginLimits {
    accounts: RateLimit<KeyDigest>,
    addresses: RateLimit<IpAddr>,
}

impl Default for LoginLimits {
    fn default() -> Self {
        LoginLimits {
            accounts: RateLimit::new(&[Quota::per_minute(TRIES_PER_ACCOUNT)]),
            addresses: RateLimit::new(&[Quota::per_minute(TRIES_PER_ADDRESS)]),
        }
    }
}

impl LoginLimits {
    /// Counts a try from `address` to log in as `email`, which need not exist.
    pub(crate) fn admit(&self, address: Option<IpAddr>, email: &str) -> Result<(), Wait> {
        let by_address = address.map_or(Ok(()), |address| self.addresses.admit(&network(address)));
        let admitted = by_address.and_then(|()| self.admit_account(email));
        admitted.inspect_err(|_| METRICS.sign_in(SignIn::Throttled))
    }

    /// Counts a try for one account alone.
    pub(crate) fn admit_account(&self, email: &str) -> Result<(), Wait> {
        self.accounts.admit(&KeyDigest::of_value(&email.trim().to_lowercase()))
    }
}

/// Who has one IPv6 address has the whole /64 (RFC 4291, section 2.5.4).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    #[test]
    fn an_account_has_ten_tries_whoever_makes_them_and_however_it_is_written() {
        let limits = LoginLimits::default();
        for n in 0..10 {
            assert_eq!(limits.admit(address(n), "demo@example.com"), Ok(()));
        }
        let wait = limits.admit(address(10), " Demo@EXAMPLE.com").unwrap_err();
        assert!((1..=7).contains(&wait.seconds), "{wait:?}");
        assert_eq!(limits.admit(address(10), "other@example.com"), Ok(()));
    }

    #[test]
    fn an_address_has_sixty_tries_for_whatever_accounts() {
        let limits = LoginLimits::default();
        for n in 0..60 {
            assert_eq!(limits.admit(address(1), &format!("user{n}@example.com")), Ok(()));
        }
        assert!(limits.admit(address(1), "another@example.com").is_err());
        assert_eq!(limits.admit(address(2), "another@example.com"), Ok(()));
    }

    #[test]
    fn ipv6_addresses_of_one_network_count_as_one() {
        let ip = |text: &str| network(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
    }
}
