//! Rate limits by key, in bounded memory.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use lru::LruCache;

use crate::audit::Actor;

/// The most keys that a quota keeps. Beyond it, the least recently used key is dropped.
const MAX_KEYS: usize = 16_384;

/// One or more quotas, all of which must admit a key. A second quota with a larger burst and a longer period acts as a
/// back-off: the first uses are quick, further ones are rarer.
#[derive(Debug)]
pub(crate) struct RateLimit<K: Clone + Eq + Hash, C: Clock = DefaultClock> {
    quotas: Vec<Limiter<K, C>>,
    clock: C,
}

type Limiter<K, C> = RateLimiter<K, RecentKeys<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// A key has used up a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Seconds until the next use is admitted, at least 1.
    pub(crate) seconds: u64,
}

/// A number of uses, for a quota.
pub(super) const fn count(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => NonZeroU32::MIN,
    }
}

/// The address that a caller's uses count for. Requests without a connection share one that no client can have.
pub(super) fn address(by: &Actor) -> IpAddr {
    by.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

impl<K: Clone + Eq + Hash> RateLimit<K> {
    /// A limit of these quotas, the shortest period first.
    pub(crate) fn new(quotas: &[Quota]) -> Self {
        Self::with_clock(quotas, &DefaultClock::default())
    }
}

impl<K: Clone + Eq + Hash, C: Clock + Clone> RateLimit<K, C> {
    /// The same with another clock.
    pub(crate) fn with_clock(quotas: &[Quota], clock: &C) -> Self {
        let limiter = |quota: &Quota| RateLimiter::new(*quota, RecentKeys::default(), clock.clone());
        RateLimit { quotas: quotas.iter().map(limiter).collect(), clock: clock.clone() }
    }

    /// Counts one use of a key, unless the key must wait. A use that one quota refuses does not count in the next.
    ///
    /// # Errors
    /// The key must wait.
    pub(crate) fn admit(&self, key: &K) -> Result<(), Wait> {
        for quota in &self.quotas {
            quota.check_key(key).map_err(|refused| {
                let wait = refused.wait_time_from(self.clock.now());
                Wait { seconds: wait.as_secs() + 1 }
            })?;
        }
        Ok(())
    }
}

/// The state of each key of a quota.
#[derive(Debug)]
struct RecentKeys<K: Eq + Hash>(Mutex<LruCache<K, Nanos>>);

impl<K: Eq + Hash> Default for RecentKeys<K> {
    fn default() -> Self {
        // Unbounded, because a bounded cache allocates the memory of all its keys immediately.
        RecentKeys(Mutex::new(LruCache::unbounded()))
    }
}

impl<K: Clone + Eq + Hash> StateStore for RecentKeys<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, state) = measure(keys.get(key).copied())?;
        keys.put(key.clone(), state);
        if keys.len() > MAX_KEYS {
            keys.pop_lru();
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();
    const FIVE: NonZeroU32 = NonZeroU32::new(5).unwrap();
    const SIXTY: NonZeroU32 = NonZeroU32::new(60).unwrap();

    /// Uses a key until it is refused. Returns the number of admitted uses and the seconds to wait.
    fn exhaust(limit: &RateLimit<u32, FakeRelativeClock>, key: u32) -> (usize, u64) {
        (0..).find_map(|n| limit.admit(&key).err().map(|wait| (n, wait.seconds))).unwrap()
    }

    #[test]
    fn a_key_that_goes_on_is_admitted_more_and_more_rarely() {
        let clock = FakeRelativeClock::default();
        let quotas = [Quota::per_minute(THREE), Quota::per_hour(SIXTY).allow_burst(FIVE)];
        let limit = RateLimit::with_clock(&quotas, &clock);
        assert_eq!(exhaust(&limit, 1), (3, 21), "three at once, then one each 20 s");
        assert_eq!(exhaust(&limit, 2), (3, 21), "another key has its own");
        clock.advance(Duration::from_secs(50));
        assert_eq!(exhaust(&limit, 1).0, 2);
        clock.advance(Duration::from_secs(40));
        // The second quota has counted five uses, and has restored one a minute since.
        assert_eq!(exhaust(&limit, 1), (1, 31));
        clock.advance(Duration::from_secs(30));
        assert_eq!(exhaust(&limit, 1).0, 1, "one a minute from now on");
        clock.advance(Duration::from_secs(3600));
        assert_eq!(exhaust(&limit, 1).0, 3, "after a quiet hour as at first");
    }

    #[test]
    fn memory_is_bounded_and_keys_in_use_are_kept() {
        let limit = RateLimit::with_clock(&[Quota::per_hour(THREE)], &FakeRelativeClock::default());
        let used = u32::MAX;
        assert_eq!(exhaust(&limit, used).0, 3);
        for key in 0..3 * MAX_KEYS as u32 {
            assert_eq!(limit.admit(&key), Ok(()));
            if key % 1_000 == 0 {
                assert!(limit.admit(&used).is_err(), "forgotten after {key} others");
            }
        }
        let states = limit.quotas.into_iter().next().unwrap().into_state_store();
        assert_eq!(states.0.into_inner().unwrap().len(), MAX_KEYS);
    }
}
