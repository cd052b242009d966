//! The report of a run, as JSON has it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::deletes::DeleteReport;
use crate::observations::Counts;
use crate::process::Sample;
use crate::recovery::RecoveryReport;
use crate::statistics::Latency;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) edges: usize,
    /// `HTTP/2` or `HTTP/1.1`.
    pub(crate) protocol: &'static str,
    /// The addresses of the edge API.
    pub(crate) services: Vec<String>,
    pub(crate) wait_ms: u64,
    pub(crate) verifies_per_second: u32,
    /// Whether the run was ended before its time.
    pub(crate) interrupted: bool,
    /// In their order; the last one may have been cut short.
    pub(crate) phases: Vec<Phase>,
    /// How the edges came to their leases: at the start, and whenever connections had gone.
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
    /// How many edges held a lease at its end.
    pub(crate) holding: usize,
    /// How many times an edge's lease ran out before the next was granted.
    pub(crate) leases_lost: u64,
    /// How old a lease was at most when the next was granted, from when it was asked for, in milliseconds.
    pub(crate) oldest_lease_ms: u64,
    pub(crate) syncs_per_second: f64,
    /// Syncs of edges without a lease, which are to be answered at once.
    pub(crate) unheld: Option<Latency>,
    /// Syncs that are held while there is nothing new.
    pub(crate) held: Option<Latency>,
    /// Syncs that brought nothing, by kind.
    pub(crate) sync_failures: BTreeMap<String, u64>,
    pub(crate) verifies_per_second: f64,
    pub(crate) verifies: Option<Latency>,
    pub(crate) verify_failures: BTreeMap<String, u64>,
    /// Of the processes that were named; without them, or when one of them ended, nothing.
    pub(crate) service: Option<Usage>,
    /// How much of all cores' time nobody used; on Linux alone. Next to none means that whatever is slow waited for a CPU,
    /// which others may have had.
    pub(crate) machine_idle_percent: Option<f64>,
    /// Of the fleet itself; on Linux alone.
    pub(crate) fleet: Option<Usage>,
}

/// What processes used in a phase, and have at its end.
#[derive(Debug, Serialize)]
pub(crate) struct Usage {
    /// Of one core.
    pub(crate) cpu_percent: f64,
    /// How often a second their threads were woken.
    pub(crate) wake_ups_per_second: f64,
    /// Resident memory.
    pub(crate) memory_bytes: u64,
    /// What of that was added since before the edges came, for each of them.
    pub(crate) memory_bytes_per_edge: f64,
    /// Open sockets.
    pub(crate) sockets: u64,
}

impl Usage {
    /// From the beginning to the end of a phase, against what there was before the edges came.
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
    /// What was counted in so many seconds.
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
