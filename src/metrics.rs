//! The filter's metrics, and their values until they are exported to the host.
//!
//! Each export is a host call, so requests only count here; the values are exported about once a second.

/// Declares an enum whose variants know their metric's name.
macro_rules! metrics {
    ($(#[$doc:meta])* $kind:ident { $($(#[$about:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind { $($(#[$about])* $variant,)* }

        impl $kind {
            /// All of them, in the order of their numbers.
            pub const ALL: &[$kind] = &[$($kind::$variant,)*];

            /// The metric's name at the host.
            pub const fn name(self) -> &'static str {
                match self { $($kind::$variant => concat!("edge_key_auth_", $name),)* }
            }
        }
    };
}

metrics! {
    /// Counters.
    Counter {
        /// Requests forwarded without a key: public routes and, if configured, preflights.
        Public = "requests_public",
        /// Requests forwarded with a bearer token that the upstream judges.
        LeftToUpstream = "requests_left_to_upstream",
        /// Requests forwarded with the identity of a principal.
        Forwarded = "requests_forwarded",
        /// Requests answered 400.
        Ambiguous = "requests_denied_ambiguous_request",
        /// Requests answered 401 because they have no key.
        Missing = "requests_denied_key_missing",
        /// Requests answered 401 because their key is not valid.
        Invalid = "requests_denied_key_invalid",
        /// Requests answered 403 because their key lacks a scope.
        Forbidden = "requests_denied_scope_missing",
        /// Requests answered 403 because their key is restricted to other projects or organizations.
        Restricted = "requests_denied_key_restricted",
        /// Requests answered 503 because the key service did not answer.
        Unavailable = "requests_denied_key_service_unavailable",
        /// Requests answered 503 because too many requests waited.
        Overloaded = "requests_denied_lookups_full",
        /// Requests forwarded in shadow mode because their key was not looked up in time.
        Undecided = "requests_shadowed_undecided",
        /// Requests forwarded in shadow mode. Enforcing would answer 400.
        ShadowedAmbiguous = "requests_shadowed_ambiguous_request",
        /// Requests without a key forwarded in shadow mode. Enforcing would answer 401.
        ShadowedMissing = "requests_shadowed_key_missing",
        /// Requests with an invalid key forwarded in shadow mode. Enforcing would answer 401.
        ShadowedInvalid = "requests_shadowed_key_invalid",
        /// Requests forwarded in shadow mode. Enforcing would answer 403.
        ShadowedForbidden = "requests_shadowed_scope_missing",
        /// Requests with a restricted key forwarded in shadow mode. Enforcing would answer 403.
        ShadowedRestricted = "requests_shadowed_key_restricted",
        /// Requests forwarded in shadow mode without an answer of the key service. Enforcing would answer 503.
        ShadowedUnavailable = "requests_shadowed_key_service_unavailable",
        /// Requests forwarded in shadow mode because too many requests waited. Enforcing would answer 503.
        ShadowedOverloaded = "requests_shadowed_lookups_full",
        /// Requests decided by a cached verdict.
        CacheHits = "cache_hits",
        /// Requests that needed a lookup.
        CacheMisses = "cache_misses",
        /// Verdicts evicted from the cache.
        Evictions = "cache_evictions",
        /// Verdicts used after the end of the lease, as `on_unavailable` allows.
        Stale = "cache_stale_uses",
        /// Lookups sent to the key service.
        Lookups = "lookups",
        /// Requests that joined the lookup of an earlier request.
        Joined = "lookups_joined",
        /// Failed callouts, of lookups and of syncs.
        CalloutsFailed = "callouts_failed",
        /// Leases gained while none was held.
        LeasesGained = "leases_gained",
        /// Leases that ended before the next one was granted.
        LeasesLost = "leases_lost",
        /// Times that the whole cache was cleared.
        Resets = "resets",
    }
}

metrics! {
    /// Gauges. Envoy adds up the values of its VMs.
    Gauge {
        /// Active verdicts in the cache.
        CacheActive = "cache_active",
        /// Inactive verdicts in the cache.
        CacheInactive = "cache_inactive",
        /// Requests that wait for lookups.
        Waiting = "lookups_waiting",
        /// VMs that hold a lease.
        Leases = "leases_held",
        /// VMs that use cached verdicts without a lease.
        SyncOff = "sync_off",
    }
}

metrics! {
    /// Histograms.
    Histogram {
        /// How long a callout of lookups took, in milliseconds.
        VerifyMs = "verify_ms",
        /// The age of the lease when a cached verdict was used, in milliseconds: the largest within about a second.
        LeaseAgeMs = "lease_age_ms",
        /// How many revisions the cursor was behind the answer to a callout of lookups.
        CursorLag = "cursor_lag",
    }
}

/// The values since the last export.
#[derive(Debug)]
pub struct Metrics {
    counters: [u64; Counter::ALL.len()],
    gauges: [i64; Gauge::ALL.len()],
    exported_gauges: [i64; Gauge::ALL.len()],
    samples: Vec<(Histogram, u64)>,
    lease_age_ms: Option<u64>,
}

/// The most samples kept until the next export; further ones are dropped.
const MAX_SAMPLES: usize = 256;

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            counters: [0; Counter::ALL.len()],
            gauges: [0; Gauge::ALL.len()],
            exported_gauges: [0; Gauge::ALL.len()],
            samples: Vec::new(),
            lease_age_ms: None,
        }
    }
}

impl Metrics {
    /// Adds one to a counter.
    pub fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Adds to a counter.
    pub fn add(&mut self, counter: Counter, count: u64) {
        self.counters[counter as usize] += count;
    }

    /// Sets a gauge.
    pub fn set(&mut self, gauge: Gauge, value: usize) {
        self.gauges[gauge as usize] = value as i64;
    }

    /// Adds a sample to a histogram.
    pub fn sample(&mut self, histogram: Histogram, value: u64) {
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push((histogram, value));
        }
    }

    /// A cached verdict was used under a lease of this age.
    pub fn lease_used(&mut self, age_ms: u64) {
        self.lease_age_ms = self.lease_age_ms.max(Some(age_ms));
    }

    /// Passes on everything since the last export: changes of counters and gauges, and samples.
    pub fn drain(
        &mut self,
        mut counter: impl FnMut(Counter, u64),
        mut gauge: impl FnMut(Gauge, i64),
        mut histogram: impl FnMut(Histogram, u64),
    ) {
        for &which in Counter::ALL {
            match std::mem::take(&mut self.counters[which as usize]) {
                0 => {}
                count => counter(which, count),
            }
        }
        for &which in Gauge::ALL {
            let (now, exported) = (self.gauges[which as usize], &mut self.exported_gauges[which as usize]);
            if now != *exported {
                gauge(which, now - *exported);
                *exported = now;
            }
        }
        if let Some(age_ms) = self.lease_age_ms.take() {
            histogram(Histogram::LeaseAgeMs, age_ms);
        }
        self.samples.drain(..).for_each(|(which, value)| histogram(which, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(metrics: &mut Metrics) -> Vec<(&'static str, i64)> {
        let exported = std::cell::RefCell::new(Vec::new());
        metrics.drain(
            |counter, count| exported.borrow_mut().push((counter.name(), count as i64)),
            |gauge, change| exported.borrow_mut().push((gauge.name(), change)),
            |histogram, value| exported.borrow_mut().push((histogram.name(), value as i64)),
        );
        exported.into_inner()
    }

    #[test]
    fn each_change_is_passed_to_the_host_once() {
        let mut metrics = Metrics::default();
        metrics.count(Counter::CacheHits);
        metrics.add(Counter::CacheHits, 2);
        metrics.set(Gauge::Waiting, 5);
        metrics.set(Gauge::Waiting, 4);
        metrics.sample(Histogram::VerifyMs, 7);
        metrics.lease_used(30);
        metrics.lease_used(10);
        let expected = [("cache_hits", 3), ("lookups_waiting", 4), ("lease_age_ms", 30), ("verify_ms", 7)];
        let exported = drain(&mut metrics);
        assert_eq!(
            exported,
            expected
                .map(|(name, value)| (format!("edge_key_auth_{name}"), value))
                .map(|(n, v)| (n.leak() as &str, v))
        );
        metrics.set(Gauge::Waiting, 1);
        assert_eq!(drain(&mut metrics), [("edge_key_auth_lookups_waiting", -3)]);
        assert_eq!(drain(&mut metrics), []);
    }
}
