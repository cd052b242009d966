//! Statistics of measured times.

use std::time::Duration;

use serde::Serialize;

/// The first, the median and the last of some times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) first_ms: f64,
    pub(crate) median_ms: f64,
    pub(crate) last_ms: f64,
}

impl Spread {
    /// Of these times, in any order; `None` without any.
    pub(crate) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let at = |share| quantile(&times, share).map(ms);
        Some(Spread { first_ms: at(0.0)?, median_ms: at(0.5)?, last_ms: at(1.0)? })
    }
}

/// Percentiles of some times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latency {
    /// Of these times, in microseconds and any order; `None` without any.
    pub(crate) fn of(mut times: Vec<u32>) -> Option<Self> {
        times.sort_unstable();
        let at = |share| quantile(&times, share).map(|us| f64::from(us) / 1_000.0);
        Some(Latency { p50_ms: at(0.5)?, p99_ms: at(0.99)?, max_ms: at(1.0)? })
    }
}

/// The smallest of the sorted values that is not below this share of them.
fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Converts microseconds into milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_first_the_middle_and_the_last() {
        let spread = |ms: &[u64]| Spread::of(ms.iter().copied().map(Duration::from_millis).collect());
        let of = |first_ms, median_ms, last_ms| Some(Spread { first_ms, median_ms, last_ms });
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[7]), of(7.0, 7.0, 7.0));
        assert_eq!(spread(&[30, 10]), of(10.0, 10.0, 30.0));
        assert_eq!(spread(&[9, 1, 5, 7, 3]), of(1.0, 5.0, 9.0));
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<u32> = (1..=200).rev().map(|n| n * 1_000).collect();
        assert_eq!(Latency::of(times), Some(Latency { p50_ms: 100.0, p99_ms: 198.0, max_ms: 200.0 }));
        assert_eq!(Latency::of(vec![1_500]), Some(Latency { p50_ms: 1.5, p99_ms: 1.5, max_ms: 1.5 }));
        assert_eq!(Latency::of(Vec::new()), None);
    }
}
