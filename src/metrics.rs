//! What an edge counts: names and kinds of its metrics, and the numbers until the host is told them.
//!
//! Telling the host costs as much as any host call, so a request only counts here; the numbers are handed over about
//! once a second.

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
    /// Numbers that only grow.
    Counter {
        /// Requests forwarded without a key: public routes and, if so configured, preflights.
        Public = "requests_public",
        /// Requests forwarded with the identity of a key's holder.
        Forwarded = "requests_forwarded",
        /// Requests answered 400.
        Ambiguous = "requests_denied_ambiguous_request",
        /// Requests answered 401 because they have no key.
        Missing = "requests_denied_key_missing",
        /// Requests answered 401 because their key is wrong.
        Invalid = "requests_denied_key_invalid",
        /// Requests answered 403.
        Forbidden = "requests_denied_scope_missing",
        /// Requests answered 503 because nobody could say what their key is worth.
        Unavailable = "requests_denied_key_service_unavailable",
        /// Requests answered 503 because too many waited already.
        Overloaded = "requests_denied_lookups_full",
        /// Keys answered for from memory.
        CacheHits = "cache_hits",
        /// Keys that had to be asked about.
        CacheMisses = "cache_misses",
        /// Verdicts forgotten to make room.
        Evictions = "cache_evictions",
        /// Verdicts used past their lease, as `on_unavailable` allows.
        Stale = "cache_stale_uses",
        /// Questions about one key sent to the key service.
        Lookups = "lookups",
        /// Requests that joined a question somebody else had begun.
        Joined = "lookups_joined",
        /// Callouts of either kind that brought no answer.
        CalloutsFailed = "callouts_failed",
        /// Leases gained after there was none.
        LeasesGained = "leases_gained",
        /// Leases that ran out before the next one came.
        LeasesLost = "leases_lost",
        /// Times everything known had to be forgotten.
        Resets = "resets",
    }
}

metrics! {
    /// Numbers that go up and down. An Envoy adds up what its VMs tell.
    Gauge {
        /// Active verdicts in memory.
        CacheActive = "cache_active",
        /// Inactive verdicts in memory.
        CacheInactive = "cache_inactive",
        /// Requests that wait for an answer.
        Waiting = "lookups_waiting",
        /// VMs that hold a lease.
        Leases = "leases_held",
    }
}

metrics! {
    /// Distributions.
    Histogram {
        /// How long a verify callout took, in milliseconds.
        VerifyMs = "verify_ms",
        /// How old the lease was when a verdict was used from memory, in milliseconds: the oldest of about a second.
        LeaseAgeMs = "lease_age_ms",
        /// How many revisions the edge was behind when an answer came.
        CursorLag = "cursor_lag",
    }
}

/// The numbers since the host was last told.
#[derive(Debug)]
pub struct Metrics {
    counters: [u64; Counter::ALL.len()],
    gauges: [i64; Gauge::ALL.len()],
    told_gauges: [i64; Gauge::ALL.len()],
    samples: Vec<(Histogram, u64)>,
    lease_age_ms: Option<u64>,
}

/// The most samples kept until the host is told; more of them are dropped.
const MAX_SAMPLES: usize = 256;

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            counters: [0; Counter::ALL.len()],
            gauges: [0; Gauge::ALL.len()],
            told_gauges: [0; Gauge::ALL.len()],
            samples: Vec::new(),
            lease_age_ms: None,
        }
    }
}

impl Metrics {
    /// Counts one more.
    pub fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts so many more.
    pub fn add(&mut self, counter: Counter, count: u64) {
        self.counters[counter as usize] += count;
    }

    /// Sets a gauge to what this edge has now.
    pub fn set(&mut self, gauge: Gauge, value: usize) {
        self.gauges[gauge as usize] = value as i64;
    }

    /// Adds a sample to a distribution.
    pub fn sample(&mut self, histogram: Histogram, value: u64) {
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push((histogram, value));
        }
    }

    /// A verdict was used under a lease of this age.
    pub fn lease_used(&mut self, age_ms: u64) {
        self.lease_age_ms = self.lease_age_ms.max(Some(age_ms));
    }

    /// Hands over everything new: increments of counters and gauges, and samples.
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
            let (now, told) = (self.gauges[which as usize], &mut self.told_gauges[which as usize]);
            if now != *told {
                gauge(which, now - *told);
                *told = now;
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
        let told = std::cell::RefCell::new(Vec::new());
        metrics.drain(
            |counter, count| told.borrow_mut().push((counter.name(), count as i64)),
            |gauge, change| told.borrow_mut().push((gauge.name(), change)),
            |histogram, value| told.borrow_mut().push((histogram.name(), value as i64)),
        );
        told.into_inner()
    }

    #[test]
    fn the_host_is_told_each_change_once() {
        let mut metrics = Metrics::default();
        metrics.count(Counter::CacheHits);
        metrics.add(Counter::CacheHits, 2);
        metrics.set(Gauge::Waiting, 5);
        metrics.set(Gauge::Waiting, 4);
        metrics.sample(Histogram::VerifyMs, 7);
        metrics.lease_used(30);
        metrics.lease_used(10);
        let expected = [("cache_hits", 3), ("lookups_waiting", 4), ("lease_age_ms", 30), ("verify_ms", 7)];
        let told = drain(&mut metrics);
        assert_eq!(
            told,
            expected
                .map(|(name, value)| (format!("edge_key_auth_{name}"), value))
                .map(|(n, v)| (n.leak() as &str, v))
        );
        metrics.set(Gauge::Waiting, 1);
        assert_eq!(drain(&mut metrics), [("edge_key_auth_lookups_waiting", -3)]);
        assert_eq!(drain(&mut metrics), []);
    }
}
