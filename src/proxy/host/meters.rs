//! The filter's metrics at the host.

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use crate::metrics::{Counter, Gauge, Histogram, Metrics};

/// The metrics' ids at the host.
#[derive(Debug)]
pub(in crate::proxy) struct Meters {
    counters: Vec<u32>,
    gauges: Vec<u32>,
    histograms: Vec<u32>,
}

impl Meters {
    pub(in crate::proxy) fn define() -> Self {
        let define = |kind, name| hostcalls::define_metric(kind, name).unwrap_or_default();
        Meters {
            counters: Counter::ALL.iter().map(|metric| define(MetricType::Counter, metric.name())).collect(),
            gauges: Gauge::ALL.iter().map(|metric| define(MetricType::Gauge, metric.name())).collect(),
            histograms: Histogram::ALL
                .iter()
                .map(|metric| define(MetricType::Histogram, metric.name()))
                .collect(),
        }
    }

    /// Exports everything new. Gauges are exported as changes, because all VMs of an Envoy share them.
    pub(in crate::proxy) fn export(&self, metrics: &mut Metrics) {
        let add = |ids: &[u32], at: usize, change: i64| {
            let result = ids.get(at).map(|&id| hostcalls::increment_metric(id, change));
            debug_assert!(matches!(result, Some(Ok(()))));
        };
        let record = |at: usize, value: u64| {
            let result = self.histograms.get(at).map(|&id| hostcalls::record_metric(id, value));
            debug_assert!(matches!(result, Some(Ok(()))));
        };
        metrics.drain(
            |counter, count| add(&self.counters, counter as usize, count as i64),
            |gauge, change| add(&self.gauges, gauge as usize, change),
            |histogram, value| record(histogram as usize, value),
        );
    }
}
