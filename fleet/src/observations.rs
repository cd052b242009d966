//! The measurements of all edges: the figures of each phase, recoveries and acknowledgements.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::Failure;
use crate::recovery::{Recovery, RecoveryReport};

/// A lease was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) edge: usize,
    /// The time from the sync to its answer.
    pub(crate) took: Duration,
    /// Whether the service could hold the sync.
    pub(crate) was_held: bool,
    /// The age of the lease that this one replaces, from when its sync was sent, in milliseconds.
    pub(crate) lease_age_ms: Option<u64>,
    /// The revision of the answer, if it is later than the edge's cursor.
    pub(crate) reached: Option<u64>,
}

/// The measurements of a phase. Times are in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) unheld_us: Vec<u32>,
    pub(crate) held_us: Vec<u32>,
    pub(crate) verifies_us: Vec<u32>,
    pub(crate) sync_failures: BTreeMap<String, u64>,
    pub(crate) verify_failures: BTreeMap<String, u64>,
    pub(crate) leases_lost: u64,
    pub(crate) oldest_lease_ms: u64,
}

/// An edge received or acknowledged a revision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    pub(crate) edge: usize,
    pub(crate) revision: u64,
    pub(crate) at: Instant,
}

/// The revisions that edges received and acknowledged while a delete is measured.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    /// Received.
    pub(crate) received: Vec<Reached>,
    /// Acknowledged.
    pub(crate) acknowledged: Vec<Reached>,
}

#[derive(Debug)]
struct State {
    counts: Counts,
    holding: usize,
    recovery: Option<Recovery>,
    recoveries: Vec<RecoveryReport>,
    revisions: Option<Revisions>,
}

/// The measurements of all edges.
#[derive(Debug)]
pub(crate) struct Observations {
    edges: usize,
    start: Instant,
    state: Mutex<State>,
}

impl Observations {
    /// Measurements of this number of edges, none of which has a lease yet.
    pub(crate) fn new(edges: usize, start: Instant) -> Self {
        let state = State {
            counts: Counts::default(),
            holding: 0,
            recovery: Some(Recovery::of_all("start", edges, start)),
            recoveries: Vec::new(),
            revisions: None,
        };
        Observations { edges, start, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An edge begins a sync.
    pub(crate) fn sync_begins(&self, edge: usize) {
        if let Some(recovery) = &mut self.state().recovery {
            recovery.sync_begins(edge);
        }
    }

    /// An edge's sync, with this cursor, goes over a connection.
    pub(crate) fn cursor_sent(&self, edge: usize, cursor: Option<u64>) {
        let at = Instant::now();
        let mut state = self.state();
        if let Some(recovery) = &mut state.recovery {
            recovery.sync_sent(edge, at);
        }
        if let (Some(revisions), Some(revision)) = (&mut state.revisions, cursor) {
            revisions.acknowledged.push(Reached { edge, revision, at });
        }
    }

    /// An edge's sync was answered.
    pub(crate) fn granted(&self, granted: Granted) {
        let now = Instant::now();
        let mut state = self.state();
        let Counts { unheld_us, held_us, oldest_lease_ms, .. } = &mut state.counts;
        let times = if granted.was_held { held_us } else { unheld_us };
        times.push(us(granted.took));
        *oldest_lease_ms = granted.lease_age_ms.unwrap_or_default().max(*oldest_lease_ms);
        if let Some(recovery) = &mut state.recovery {
            recovery.granted(granted.edge, now);
        }
        if let (Some(revisions), Some(revision)) = (&mut state.revisions, granted.reached) {
            revisions.received.push(Reached { edge: granted.edge, revision, at: now });
        }
    }

    /// An edge's sync failed.
    pub(crate) fn sync_failed(&self, edge: usize, failure: &Failure) {
        let now = Instant::now();
        let mut state = self.state();
        *state.counts.sync_failures.entry(failure.to_string()).or_default() += 1;
        let new = || Recovery::new("failures", self.edges, now);
        state.recovery.get_or_insert_with(new).failed(edge, failure, now);
    }

    /// A verify was answered in this time, or failed.
    pub(crate) fn verified(&self, outcome: Result<Duration, Failure>) {
        let mut state = self.state();
        match outcome {
            Ok(took) => state.counts.verifies_us.push(us(took)),
            Err(failure) => *state.counts.verify_failures.entry(failure.to_string()).or_default() += 1,
        }
    }

    /// An edge without a lease got one.
    pub(crate) fn lease_gained(&self) {
        self.state().holding += 1;
    }

    /// An edge's lease ended before the next was granted.
    pub(crate) fn lease_lost(&self) {
        let mut state = self.state();
        state.holding -= 1;
        state.counts.leases_lost += 1;
    }

    /// The number of edges that hold a lease.
    pub(crate) fn holding(&self) -> usize {
        self.state().holding
    }

    /// The number of answered syncs in this phase.
    pub(crate) fn syncs(&self) -> usize {
        let state = self.state();
        state.counts.unheld_us.len() + state.counts.held_us.len()
    }

    /// Ends a phase and returns its measurements.
    pub(crate) fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.state().counts)
    }

    /// Records that all edges lose their connections now.
    pub(crate) fn all_go_out(&self, cause: &'static str) {
        let mut state = self.state();
        let recovery = Recovery::of_all(cause, self.edges, Instant::now());
        let earlier = state.recovery.replace(recovery);
        state.recoveries.extend(earlier.map(|earlier| earlier.report(self.start)));
    }

    /// The number of edges that are out; `None` if all are back and calm.
    pub(crate) fn out(&self) -> Option<usize> {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(over) = state.recovery.take_if(|recovery| recovery.is_over(now)) {
            state.recoveries.push(over.report(self.start));
        }
        state.recovery.as_ref().map(Recovery::out)
    }

    /// All recoveries, including the unfinished one.
    pub(crate) fn take_recoveries(&self) -> Vec<RecoveryReport> {
        let mut state = self.state();
        let mut recoveries = std::mem::take(&mut state.recoveries);
        recoveries.extend(state.recovery.take().map(|recovery| recovery.report(self.start)));
        recoveries
    }

    /// Starts to keep received and acknowledged revisions.
    pub(crate) fn keep_revisions(&self) {
        self.state().revisions = Some(Revisions::default());
    }

    /// The number of edges that have acknowledged a revision since then.
    pub(crate) fn acknowledged(&self, revision: u64) -> usize {
        let state = self.state();
        state
            .revisions
            .as_ref()
            .map_or(0, |revisions| first_times(&revisions.acknowledged, revision, self.edges).len())
    }

    /// Stops to keep them, and returns them.
    pub(crate) fn take_revisions(&self) -> Revisions {
        self.state().revisions.take().unwrap_or_default()
    }

    /// The number of edges.
    pub(crate) fn edges(&self) -> usize {
        self.edges
    }
}

/// The first time at which each edge reached this revision or a later one.
pub(crate) fn first_times(reached: &[Reached], revision: u64, edges: usize) -> Vec<Instant> {
    let mut first = vec![None; edges];
    for reached in reached.iter().filter(|reached| reached.revision >= revision) {
        first[reached.edge].get_or_insert(reached.at);
    }
    first.into_iter().flatten().collect()
}

fn us(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_acknowledges_once_by_its_first_cursor_at_or_beyond_the_revision() {
        let start = Instant::now();
        let at = |edge, revision, ms| Reached { edge, revision, at: start + Duration::from_millis(ms) };
        let reached = [at(0, 4, 1), at(1, 6, 2), at(0, 5, 3), at(0, 5, 9), at(2, 4, 4)];
        let times: Vec<_> =
            first_times(&reached, 5, 3).iter().map(|at| at.duration_since(start).as_millis()).collect();
        assert_eq!(times, [3, 2]);
    }

    #[test]
    fn a_failure_after_calm_begins_a_recovery_of_its_own() {
        let observations = Observations::new(2, Instant::now());
        let granted = |edge| {
            let took = Duration::from_millis(3);
            observations.granted(Granted {
                edge,
                took,
                was_held: true,
                lease_age_ms: Some(7),
                reached: None,
            });
        };
        granted(0);
        assert_eq!(observations.out(), Some(1));
        observations.all_go_out("herd");
        granted(0);
        granted(1);
        observations.sync_failed(1, &Failure::Lost);
        assert_eq!(observations.out(), Some(1));
        let recoveries = observations.take_recoveries();
        assert_eq!(
            recoveries.iter().map(|one| (one.cause, one.still_out)).collect::<Vec<_>>(),
            [("start", 1), ("herd", 1)]
        );
        observations.sync_failed(0, &Failure::Lost);
        assert_eq!(observations.take_recoveries()[0].cause, "failures");
        let counts = observations.take_counts();
        assert_eq!((counts.held_us, counts.oldest_lease_ms), (vec![3_000; 3], 7));
        assert_eq!(counts.sync_failures["connection lost"], 2);
    }
}
