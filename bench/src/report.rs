//! The result of a run.

use serde::Serialize;

use crate::machine::Machine;
use crate::statistics::Quartiles;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The program that sent the requests of the slices.
    pub(crate) load: String,
    pub(crate) rounds: u32,
    pub(crate) slice_s: u64,
    pub(crate) connections: u16,
    pub(crate) rows: Vec<Row>,
    pub(crate) vms: Vec<VmMemory>,
    /// What was not measured, and why.
    pub(crate) skipped: Vec<String>,
}

/// One variant. Times are processor time of Envoy's threads for a request, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The whole time.
    pub(crate) us: Quartiles,
    /// More than the variant without a filter in the same round.
    pub(crate) over_none_us: Quartiles,
    /// [`Self::over_none_us`] as a multiple of the empty filter's in the same run, by the medians.
    pub(crate) of_empty: f64,
    /// Answered requests a second of the wall clock; the median.
    pub(crate) requests_per_second: f64,
    /// How much of its processor Envoy used meanwhile; the median.
    pub(crate) busy: f64,
    /// Lookups of the filter for each request; `None` for other filters.
    pub(crate) lookups: Option<f64>,
    /// Envoy's resident memory with the cache filled, and at the end of the run, in bytes.
    pub(crate) memory: u64,
    pub(crate) memory_at_the_end: u64,
    /// How much memory came with the cached keys, for each of them, in bytes; `None` with too few to tell.
    pub(crate) memory_per_key: Option<f64>,
    pub(crate) latency: Option<Latency>,
}

/// Times from when a request was due to its response, in microseconds, over the slices.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    /// The rate: half of the median in the slices that measured CPU.
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: Quartiles,
    pub(crate) p99_us: Quartiles,
}

/// The memory of one VM.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct VmMemory {
    pub(crate) name: &'static str,
    pub(crate) bytes: f64,
}

#[cfg(test)]
impl Row {
    /// A row of which only these times matter.
    pub(crate) fn of(name: &'static str, us: f64, over_none_us: f64) -> Self {
        let exactly = |us| Quartiles { lower: us, median: us, upper: us };
        Row {
            name,
            us: exactly(us),
            over_none_us: exactly(over_none_us),
            of_empty: 1.0,
            requests_per_second: 1.0,
            busy: 1.0,
            lookups: None,
            memory: 1,
            memory_at_the_end: 1,
            memory_per_key: None,
            latency: None,
        }
    }
}
