//! How long edges take to get a lease again after they lose their connections or the service.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::connection::Failure;
use crate::statistics::{Spread, ms};

/// A recovery is over when every edge has an answer again and none has failed for this long.
const CALM: Duration = Duration::from_secs(1);

/// A recovery: from the first edge without an answer until the last edge has a lease again.
#[derive(Debug)]
pub(crate) struct Recovery {
    cause: &'static str,
    began: Instant,
    edges: Vec<Return>,
    out: usize,
    last_event: Instant,
    failures: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
struct Return {
    is_out: bool,
    was_out: bool,
    /// The number of syncs that it sent while it was out.
    syncs: u32,
    sent_after: Option<Duration>,
    granted_after: Option<Duration>,
}

/// The result of a recovery.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RecoveryReport {
    /// `start`, `herd` (the fleet dropped all connections), or `failures` (the service's or the network's).
    pub(crate) cause: &'static str,
    /// When it began, in seconds since the start.
    pub(crate) at_s: f64,
    /// The number of edges that were out.
    pub(crate) edges: usize,
    /// The number of edges that were still out at the time of the report.
    pub(crate) still_out: usize,
    /// The times until each edge sent, over a new connection, the sync that was answered. The service may hold the sync of an edge
    /// that still has a lease and has missed nothing.
    pub(crate) sent: Option<Spread>,
    /// The times until each edge got a lease. If an edge failed again, its last time counts.
    pub(crate) granted: Option<Spread>,
    /// The number of syncs: the average of all edges, and the most of one edge.
    pub(crate) syncs_per_edge: f64,
    pub(crate) most_syncs: u32,
    /// The failed syncs, by reason.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Recovery {
    /// This number of edges, none of which is out.
    pub(crate) fn new(cause: &'static str, edges: usize, now: Instant) -> Self {
        Recovery {
            cause,
            began: now,
            edges: vec![Return::default(); edges],
            out: 0,
            last_event: now,
            failures: BTreeMap::new(),
        }
    }

    /// Counts all edges as out.
    pub(crate) fn of_all(cause: &'static str, edges: usize, now: Instant) -> Self {
        let mut recovery = Recovery::new(cause, edges, now);
        (0..edges).for_each(|edge| recovery.goes_out(edge));
        recovery
    }

    fn goes_out(&mut self, edge: usize) {
        let edge = &mut self.edges[edge];
        self.out += usize::from(!edge.is_out);
        (edge.is_out, edge.was_out) = (true, true);
    }

    /// An edge's sync failed.
    pub(crate) fn failed(&mut self, edge: usize, failure: &Failure, now: Instant) {
        self.goes_out(edge);
        *self.failures.entry(failure.to_string()).or_default() += 1;
        self.last_event = now;
    }

    /// An edge begins another sync.
    pub(crate) fn sync_begins(&mut self, edge: usize) {
        let edge = &mut self.edges[edge];
        edge.syncs += u32::from(edge.is_out);
    }

    /// An edge's sync goes over a connection.
    pub(crate) fn sync_sent(&mut self, edge: usize, now: Instant) {
        let edge = &mut self.edges[edge];
        if edge.is_out {
            edge.sent_after = Some(now.duration_since(self.began));
        }
    }

    /// An edge was granted a lease.
    pub(crate) fn granted(&mut self, edge: usize, now: Instant) {
        let edge = &mut self.edges[edge];
        if std::mem::take(&mut edge.is_out) {
            edge.granted_after = Some(now.duration_since(self.began));
            self.out -= 1;
            self.last_event = now;
        }
    }

    /// Whether all edges are back and calm.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.out == 0 && now.duration_since(self.last_event) >= CALM
    }

    /// The number of edges that are out.
    pub(crate) fn out(&self) -> usize {
        self.out
    }

    /// The result. The recovery began this many seconds after the start of the run.
    pub(crate) fn report(self, start: Instant) -> RecoveryReport {
        let edges: Vec<Return> = self.edges.into_iter().filter(|edge| edge.was_out).collect();
        let spread = |of: fn(&Return) -> Option<Duration>| {
            let granted = edges.iter().filter(|edge| edge.granted_after.is_some());
            Spread::of(granted.filter_map(of).collect())
        };
        let syncs: u64 = edges.iter().map(|edge| u64::from(edge.syncs)).sum();
        RecoveryReport {
            cause: self.cause,
            at_s: ms(self.began.duration_since(start)) / 1_000.0,
            edges: edges.len(),
            still_out: self.out,
            sent: spread(|edge| edge.sent_after),
            granted: spread(|edge| edge.granted_after),
            syncs_per_edge: syncs as f64 / edges.len().max(1) as f64,
            most_syncs: edges.iter().map(|edge| edge.syncs).max().unwrap_or_default(),
            failures: self.failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn edges_that_were_out_are_counted_with_their_syncs_and_their_last_return() {
        let start = Instant::now();
        let mut recovery = Recovery::new("failures", 3, start);
        recovery.failed(0, &Failure::Lost, start);
        recovery.sync_begins(0);
        recovery.failed(0, &Failure::Refused, after(start, 10));
        recovery.failed(2, &Failure::Lost, after(start, 20));
        recovery.sync_begins(0);
        recovery.sync_begins(1);
        recovery.sync_begins(2);
        (0..3).for_each(|edge| recovery.sync_sent(edge, after(start, 25)));
        recovery.granted(0, after(start, 30));
        recovery.granted(1, after(start, 35));
        assert_eq!(recovery.out(), 1);
        recovery.granted(2, after(start, 40));
        recovery.sync_begins(2);
        recovery.sync_sent(2, after(start, 45));

        let report = recovery.report(start);
        assert_eq!((report.edges, report.still_out, report.most_syncs), (2, 0, 2));
        assert_eq!(report.syncs_per_edge, 1.5);
        assert_eq!(report.sent, Some(Spread { first_ms: 25.0, median_ms: 25.0, last_ms: 25.0 }));
        assert_eq!(report.granted, Some(Spread { first_ms: 30.0, median_ms: 30.0, last_ms: 40.0 }));
        let failures: Vec<_> = report.failures.into_iter().collect();
        assert_eq!(failures, [("connection lost".to_owned(), 2), ("connection refused".to_owned(), 1)]);
    }

    #[test]
    fn it_is_over_when_all_are_back_and_calm() {
        let start = Instant::now();
        let mut recovery = Recovery::of_all("herd", 2, start);
        recovery.granted(0, after(start, 10));
        assert!(!recovery.is_over(after(start, 5_000)));
        recovery.granted(1, after(start, 20));
        assert!(!recovery.is_over(after(start, 1_000)));
        recovery.failed(0, &Failure::Lost, after(start, 1_010));
        assert!(!recovery.is_over(after(start, 3_000)));
        recovery.granted(0, after(start, 1_500));
        assert!(recovery.is_over(after(start, 2_500)));
    }
}
