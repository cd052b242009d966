//! The report of a run, with its JSON form.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::deletes::DeleteReport;
use crate::observations::Counts;
use crate::process::Sample;
use crate::recovery::RecoveryReport;
use crate::statistics::Latency;

/// The report of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) edges: usize,
    /// `HTTP/2` or `HTTP/1.1`.
    pub(crate) protocol: &'static str,
    /// The addresses of the edge API.
    pub(crate) services: Vec<String>,
    pub(crate) wait_ms: u64,
    pub(crate) verifies_per_second: u32,
    /// Whether the run was interrupted.
    pub(crate) interrupted: bool,
    /// The phases, in order. The last one may be incomplete.
    pub(crate) phases: Vec<Phase>,
    /// How the edges got their leases at the start and after each loss of connections.
    pub(crate) recoveries: Vec<RecoveryReport>,
    pub(crate) deletes: Vec<DeleteReport>,
    /// The deletes that failed, by reason.
    pub(crate) failed_deletes: BTreeMap<String, u64>,
}

/// The figures of one phase.
#[derive(Debug, Serialize)]
pub(crate) struct Phase {
    /// `acquisition`, `idle`, `deletes` or `herd`.
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
    /// The number of edges that held a lease at its end.
    pub(crate) holding: usize,
    /// The number of leases that ended before the next was granted.
    pub(crate) leases_lost: u64,
    /// The greatest age of a lease when the next was granted, from when its sync was sent, in milliseconds.
    pub(crate) oldest_lease_ms: u64,
    pub(crate) syncs_per_second: f64,
    /// Syncs that the service answers at once.
    pub(crate) unheld: Option<Latency>,
    /// Syncs that the service holds while nothing changes.
    pub(crate) held: Option<Latency>,
    /// Failed syncs, by reason.
    pub(crate) sync_failures: BTreeMap<String, u64>,
    pub(crate) verifies_per_second: f64,
    pub(crate) verifies: Option<Latency>,
    pub(crate) verify_failures: BTreeMap<String, u64>,
    /// The usage of the named processes; `None` without names, or if one has ended.
    pub(crate) service: Option<Usage>,
    /// The idle time of all cores, in percent; on Linux only. If it is near zero, slow figures may only show a lack of CPU.
    pub(crate) machine_idle_percent: Option<f64>,
    /// The usage of the fleet itself; on Linux only.
    pub(crate) fleet: Option<Usage>,
}

/// The usage of processes: CPU during a phase, memory and sockets at its end.
#[derive(Debug, Serialize)]
pub(crate) struct Usage {
    /// In percent of one core.
    pub(crate) cpu_percent: f64,
    /// Wakeups of their threads in a second.
    pub(crate) wake_ups_per_second: f64,
    /// Resident memory.
    pub(crate) memory_bytes: u64,
    /// The memory per edge that was added since before the first edge connected.
    pub(crate) memory_bytes_per_edge: f64,
    /// Open sockets.
    pub(crate) sockets: u64,
}

impl Usage {
    /// From samples at the start and the end of a phase, and from before the first edge connected.
    pub(crate) fn between(first: Sample, last: Sample, before: Sample, edges: usize) -> Self {
        Usage {
            cpu_percent: last.cpu_percent_since(&first),
            wake_ups_per_second: last.wake_ups_per_second_since(&first),
            memory_bytes: last.memory,
            memory_bytes_per_edge: (last.memory as f64 - before.memory as f64) / edges as f64,
            sockets: last.sockets,
        }
    }
}

impl Phase {
    /// The figures of a phase of this many seconds.
    pub(crate) fn new(name: &'static str, seconds: f64, holding: usize, counts: Counts) -> Self {
        let per_second = |count: usize| count as f64 / seconds.max(f64::MIN_POSITIVE);
        Phase {
            name,
            seconds,
            holding,
            leases_lost: counts.leases_lost,
            oldest_lease_ms: counts.oldest_lease_ms,
            syncs_per_second: per_second(counts.unheld_us.len() + counts.held_us.len()),
            unheld: Latency::of(counts.unheld_us),
            held: Latency::of(counts.held_us),
            sync_failures: counts.sync_failures,
            verifies_per_second: per_second(counts.verifies_us.len()),
            verifies: Latency::of(counts.verifies_us),
            verify_failures: counts.verify_failures,
            service: None,
            machine_idle_percent: None,
            fleet: None,
        }
    }
}
