//! Limits attempts to sign in.
//!
//! An attempt counts for its network, and for its account from that network. It also counts for its account from all networks
//! together. This last limit does not apply to networks from which the user has signed in before, so a stranger cannot lock
//! the user out. See `docs/adr/0010-sign-in-limits.md`.

use std::net::IpAddr;

use governor::Quota;
use governor::clock::{Clock, DefaultClock};
use protocol::KeyDigest;

use super::rate_limit::{RateLimit, Wait, address, count};
use crate::accounts::{self, User};
use crate::audit::Actor;
use crate::db;
use crate::network::Network;
use crate::revocation::Store;
use crate::telemetry::{METRICS, SignIn};

/// Recent attempts.
#[derive(Debug)]
pub(crate) struct SignInLimits<C: Clock = DefaultClock> {
    networks: NetworkLimits<C>,
    sites: NetworkLimits<C>,
    strangers: RateLimit<Account, C>,
}

/// A limit by the origin of attempts.
#[derive(Debug)]
struct NetworkLimits<C: Clock> {
    attempts: RateLimit<Network, C>,
    attempts_for_account: RateLimit<(Account, Network), C>,
}

/// The digest of the email address of an attempt. The address need not belong to an account.
type Account = KeyDigest;

/// Allows `a_minute` attempts at once and then in each minute; after `in_a_row` attempts without a pause, `an_hour` in each
/// hour.
const fn quotas(a_minute: u32, in_a_row: u32, an_hour: u32) -> [Quota; 2] {
    [Quota::per_minute(count(a_minute)), Quota::per_hour(count(an_hour)).allow_burst(count(in_a_row))]
}

/// All users of an office behind one address may sign in within minutes.
const FROM_NETWORK: [Quota; 2] = quotas(60, 300, 120);
const FROM_NETWORK_FOR_ACCOUNT: [Quota; 2] = quotas(10, 50, 20);

/// An IPv6 /48 contains 65,536 networks, and counts as a few.
const FROM_SITE: [Quota; 2] = quotas(240, 1200, 480);
const FROM_SITE_FOR_ACCOUNT: [Quota; 2] = quotas(20, 80, 40);

/// Larger than the limit of one network or site, so that one of them cannot exhaust it.
const FROM_STRANGERS_FOR_ACCOUNT: [Quota; 1] = [Quota::per_hour(count(60)).allow_burst(count(100))];

impl Default for SignInLimits {
    fn default() -> Self {
        Self::with_clock(&DefaultClock::default())
    }
}

impl<C: Clock + Clone> NetworkLimits<C> {
    fn new(attempts: &[Quota], attempts_for_account: &[Quota], clock: &C) -> Self {
        NetworkLimits {
            attempts: RateLimit::with_clock(attempts, clock),
            attempts_for_account: RateLimit::with_clock(attempts_for_account, clock),
        }
    }
}

impl<C: Clock + Clone> SignInLimits<C> {
    fn with_clock(clock: &C) -> Self {
        SignInLimits {
            networks: NetworkLimits::new(&FROM_NETWORK, &FROM_NETWORK_FOR_ACCOUNT, clock),
            sites: NetworkLimits::new(&FROM_SITE, &FROM_SITE_FOR_ACCOUNT, clock),
            strangers: RateLimit::with_clock(&FROM_STRANGERS_FOR_ACCOUNT, clock),
        }
    }

    /// Counts an attempt to sign in as `email`, which need not exist.
    ///
    /// # Errors
    /// The database failed. The inner error: `by` must wait.
    pub(crate) async fn admit(&self, store: &Store, by: &Actor, email: &str) -> db::Result<Result<(), Wait>> {
        let address = address(by);
        let is_known = async || accounts::has_signed_in_from(store, email, Network::of(address)).await;
        let admitted = self.admit_from(address, email, is_known).await?;
        Ok(admitted.inspect_err(|_| METRICS.sign_in(SignIn::Throttled)))
    }

    /// Counts an attempt of a signed-in user to enter the current password.
    ///
    /// # Errors
    /// The user must wait.
    pub(crate) fn admit_user(&self, by: &Actor, user: &User) -> Result<(), Wait> {
        self.admit_network(address(by), account(&user.email))
    }

    /// Counts a step of a sign-in with a provider, before the account is known.
    ///
    /// # Errors
    /// The visitor must wait.
    pub(crate) fn admit_visitor(&self, by: &Actor) -> Result<(), Wait> {
        let address = address(by);
        if let Some(site) = Network::site_of(address) {
            self.sites.attempts.admit(&site)?;
        }
        self.networks.attempts.admit(&Network::of(address))
    }

    /// `is_known` returns whether the user has signed in from the network before. It is called only if this matters.
    async fn admit_from(
        &self,
        address: IpAddr,
        email: &str,
        is_known: impl AsyncFnOnce() -> db::Result<bool>,
    ) -> db::Result<Result<(), Wait>> {
        let account = account(email);
        if let Err(wait) = self.admit_network(address, account) {
            return Ok(Err(wait));
        }
        match self.strangers.admit(&account) {
            Err(wait) if !is_known().await? => Ok(Err(wait)),
            _ => Ok(Ok(())),
        }
    }

    /// Checks the site first, so that a refused site adds no entry for another of its networks.
    fn admit_network(&self, address: IpAddr, account: Account) -> Result<(), Wait> {
        let (site, network) = (Network::site_of(address), Network::of(address));
        if let Some(site) = site {
            self.sites.attempts.admit(&site)?;
        }
        self.networks.attempts.admit(&network)?;
        if let Some(site) = site {
            self.sites.attempts_for_account.admit(&(account, site))?;
        }
        self.networks.attempts_for_account.admit(&(account, network))
    }
}

fn account(email: &str) -> Account {
    KeyDigest::of_value(&email.trim().to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    type Limits = SignInLimits<FakeRelativeClock>;

    fn limits() -> Limits {
        Limits::with_clock(&FakeRelativeClock::default())
    }

    const EMAIL: &str = "demo@example.com";

    fn ipv4(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// An address of a /64 of a /48.
    fn ipv6(site: u16, network: u16) -> IpAddr {
        [0x2001, 0xdb8, site, network, 0, 0, 0, 1].into()
    }

    async fn admit(limits: &Limits, address: IpAddr, email: &str) -> Result<(), Wait> {
        limits.admit_from(address, email, async || Ok(false)).await.unwrap()
    }

    /// Attempts until one is refused. Returns the number of admitted attempts.
    async fn exhaust(limits: &Limits, address: IpAddr, email: &str) -> usize {
        let mut attempts = 0;
        while admit(limits, address, email).await.is_ok() {
            attempts += 1;
        }
        attempts
    }

    #[tokio::test]
    async fn an_account_has_ten_attempts_from_a_network_in_any_spelling() {
        let limits = limits();
        assert_eq!(exhaust(&limits, ipv4(1), EMAIL).await, 10);
        let wait = admit(&limits, ipv4(1), " Demo@EXAMPLE.com").await.unwrap_err();
        assert!((1..=7).contains(&wait.seconds), "{wait:?}");
        assert_eq!(admit(&limits, ipv4(1), "other@example.com").await, Ok(()));
        assert_eq!(admit(&limits, ipv4(2), EMAIL).await, Ok(()), "no stranger locks the account");
    }

    #[tokio::test]
    async fn sustained_attempts_reach_the_hourly_quota() {
        let clock = FakeRelativeClock::default();
        let limits = Limits::with_clock(&clock);
        let mut attempts = 0;
        for _ in 0..60 {
            attempts += exhaust(&limits, ipv4(1), EMAIL).await;
            clock.advance(Duration::from_secs(60));
        }
        assert_eq!(attempts, 69, "50 without a pause, and one each three minutes");
    }

    #[tokio::test]
    async fn a_network_has_sixty_attempts_for_all_accounts() {
        let limits = limits();
        for n in 0..60 {
            assert_eq!(admit(&limits, ipv4(1), &format!("user{n}@example.com")).await, Ok(()));
        }
        assert!(admit(&limits, ipv4(1), "another@example.com").await.is_err());
        assert_eq!(admit(&limits, ipv4(2), "another@example.com").await, Ok(()));
    }

    #[tokio::test]
    async fn the_networks_of_one_site_share_what_a_few_networks_have() {
        let limits = limits();
        // The eleventh attempt of the first network is refused, and counts for the site.
        for (network, attempts) in [(1, 10), (2, 9), (3, 0)] {
            assert_eq!(exhaust(&limits, ipv6(1, network), EMAIL).await, attempts);
        }
        assert_eq!(admit(&limits, ipv6(2, 1), EMAIL).await, Ok(()), "another site");
        let mut attempts = 0;
        while admit(&limits, ipv6(3, attempts), &format!("user{attempts}@example.com")).await.is_ok() {
            attempts += 1;
        }
        assert_eq!(attempts, 240, "for all accounts together");
    }

    #[tokio::test]
    async fn many_networks_together_use_an_account_up_but_not_for_those_that_are_known() {
        let limits = limits();
        for stranger in 0..10 {
            assert_eq!(exhaust(&limits, ipv4(stranger), EMAIL).await, 10);
        }
        let own = ipv4(200);
        assert!(admit(&limits, own, EMAIL).await.is_err());
        assert_eq!(admit(&limits, own, "other@example.com").await, Ok(()));
        let mut attempts = 0;
        while limits.admit_from(own, EMAIL, async || Ok(true)).await.unwrap().is_ok() {
            attempts += 1;
        }
        assert_eq!(attempts, 9, "ten from one's own network, of which one was refused above");
    }
}
