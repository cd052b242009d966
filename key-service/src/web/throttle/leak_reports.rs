//! Limits reports of leaked values without a sign-in.

use governor::Quota;
use governor::clock::{Clock, DefaultClock};

use super::rate_limit::{RateLimit, Wait, address, count};
use crate::audit::Actor;
use crate::network::Network;

/// Reports from one network, at once and then each minute. With 100 values in each, a dump of 20,000 values takes 20 minutes.
const FROM_NETWORK: u32 = 10;

/// An IPv6 /48 contains 65,536 networks, and counts as a few.
const FROM_SITE: u32 = 40;

/// Recent reports. Each one counts, because each one reads the database.
#[derive(Debug)]
pub(crate) struct LeakReportLimit<C: Clock = DefaultClock> {
    networks: RateLimit<Network, C>,
    sites: RateLimit<Network, C>,
}

impl Default for LeakReportLimit {
    fn default() -> Self {
        Self::with_clock(&DefaultClock::default())
    }
}

impl<C: Clock + Clone> LeakReportLimit<C> {
    fn with_clock(clock: &C) -> Self {
        let limit = |reports| RateLimit::with_clock(&[Quota::per_minute(count(reports))], clock);
        LeakReportLimit { networks: limit(FROM_NETWORK), sites: limit(FROM_SITE) }
    }

    /// Counts a report.
    ///
    /// # Errors
    /// The network must wait.
    pub(crate) fn admit(&self, by: &Actor) -> Result<(), Wait> {
        let address = address(by);
        // The network first: the reports that it refuses must not use up the quota of the site's other networks.
        self.networks.admit(&Network::of(address))?;
        Network::site_of(address).map_or(Ok(()), |site| self.sites.admit(&site))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    /// Reports until one is refused. Returns the number of admitted reports.
    fn exhaust(limit: &LeakReportLimit<FakeRelativeClock>, address: &str) -> usize {
        let address: IpAddr = address.parse().unwrap();
        let by = Actor { address: Some(address), ..Actor::service() };
        (0..).find(|_| limit.admit(&by).is_err()).unwrap()
    }

    #[test]
    fn a_network_and_a_site_have_so_many_reports_a_minute() {
        let clock = FakeRelativeClock::default();
        let limit = LeakReportLimit::with_clock(&clock);
        assert_eq!(exhaust(&limit, "192.0.2.1"), 10);
        assert_eq!(exhaust(&limit, "192.0.2.2"), 10, "another network has its own");
        let networks = ["2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:1:4::1"];
        let refused = (0..1_000).filter(|_| exhaust(&limit, networks[0]) == 0).count();
        assert_eq!(refused, 999, "a network that goes on uses up nothing of the others");
        assert_eq!([1, 2, 3].map(|at| exhaust(&limit, networks[at])), [10, 10, 10]);
        assert_eq!(exhaust(&limit, "2001:db8:1:5::1"), 0);
        assert_eq!(exhaust(&limit, "2001:db8:2:1::1"), 10, "another site has its own");
        clock.advance(Duration::from_secs(30));
        assert_eq!(exhaust(&limit, "192.0.2.1"), 5);
    }
}
