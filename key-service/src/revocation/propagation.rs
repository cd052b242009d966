//! The wait until every edge has a committed change.

use std::time::Duration;

use leases::propagation::await_acknowledgements;
use leases::{Position, Progress};
use serde::Serialize;
use utoipa::ToSchema;

use super::store::Store;
use crate::db;
use crate::telemetry::METRICS;

/// How a change propagated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Revocation {
    /// The revision that the change made.
    pub revision: u64,
    /// The number of edges that held a lease when it was committed.
    pub edges: usize,
    /// The number of these edges that acknowledged it.
    pub acknowledged: usize,
    /// The number of these edges that lost their lease without an acknowledgement.
    pub expired: usize,
    /// The time from the commit until the last of them, in milliseconds.
    pub elapsed_ms: u64,
    /// Whether it also waited for leases that the database had lost.
    #[serde(skip)]
    pub lost_leases: bool,
}

impl From<leases::Revocation> for Revocation {
    fn from(revocation: leases::Revocation) -> Self {
        let leases::Revocation { revision, edges, acknowledged, expired, elapsed_ms, lost_leases } =
            revocation;
        Revocation { revision, edges, acknowledged, expired, elapsed_ms, lost_leases }
    }
}

/// A committed change on its way to the edges. Every edge has it when [`Propagation::wait`] returns, and not before.
#[derive(Debug)]
#[must_use = "edges have a change only after the wait"]
pub struct Propagation {
    store: Store,
    position: Position,
    /// Whether a change was made, which the metrics count.
    is_counted: bool,
}

/// The database failed during the wait. The change itself is committed.
#[derive(Debug, thiserror::Error)]
#[error("the change is saved, but the database failed before every edge confirmed it: {0}")]
pub struct PropagationError(#[from] db::Error);

impl Propagation {
    pub(crate) fn new(store: &Store, position: Position) -> Self {
        Propagation { store: store.clone(), position, is_counted: true }
    }

    /// The changes up to a position, of which the caller has made none. The metrics do not count it.
    pub(crate) fn of_earlier_changes(store: &Store, position: Position) -> Self {
        Propagation { is_counted: false, ..Propagation::new(store, position) }
    }

    /// The position that the change made.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Waits until every edge has acknowledged the change or lost its lease: one lease and its margin at most.
    ///
    /// # Errors
    /// See [`PropagationError`].
    pub async fn wait(self) -> Result<Revocation, PropagationError> {
        self.wait_with_progress(|_| {}).await
    }

    /// Like [`Propagation::wait`], and reports the progress before each step of the wait: up to fifty times a second.
    ///
    /// # Errors
    /// See [`PropagationError`].
    pub async fn wait_with_progress(
        self,
        on_progress: impl FnMut(&Progress) + Send,
    ) -> Result<Revocation, PropagationError> {
        let outcome = await_acknowledgements(&self.store.lease_store(), &self.position, on_progress).await?;
        let revocation = Revocation::from(outcome);
        let after = Duration::from_millis(revocation.elapsed_ms);
        if self.is_counted {
            METRICS.revoked(after, revocation.acknowledged, revocation.expired);
        }
        Ok(revocation)
    }
}

/// How a change propagated, as a sentence. `state` is what is true after it, such as "Refused" or "in effect".
pub(crate) fn in_words(revocation: &Revocation, state: &str) -> String {
    sentence(revocation, state, &format!(" after {}", time(revocation.elapsed_ms)))
}

/// The same without the time, for a wait that began later than the change.
pub(crate) fn without_time(revocation: &Revocation, state: &str) -> String {
    sentence(revocation, state, "")
}

fn sentence(revocation: &Revocation, state: &str, after: &str) -> String {
    let outcome = match (revocation.edges, revocation.expired) {
        (0, _) if revocation.lost_leases => format!("{state} everywhere{after}"),
        (0, _) => format!("{state} everywhere{after}: no edge was using its cache"),
        (1, 0) => format!("{state} on the only edge{after}"),
        (edges, 0) => format!("{state} on all {edges} edges{after}"),
        (_, 1) => {
            format!("{state} everywhere{after}: 1 edge did not respond, and its cache has expired")
        }
        (_, expired) => {
            format!(
                "{state} everywhere{after}: {expired} edges did not respond, and their caches have expired"
            )
        }
    };
    let why = if revocation.lost_leases { "; caches from before a restart had to expire first" } else { "" };
    format!("{outcome}{why}")
}

fn time(ms: u64) -> String {
    let time = Duration::from_millis(ms);
    if ms < 1_000 { format!("{ms} ms") } else { format!("{:.1} s", time.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_in_words() {
        let words = |edges, expired, elapsed_ms| {
            let acknowledged = edges - expired;
            let lost_leases = elapsed_ms == 6_900;
            let revocation =
                Revocation { revision: 7, edges, acknowledged, expired, elapsed_ms, lost_leases };
            in_words(&revocation, "Refused")
        };
        let restart = "; caches from before a restart had to expire first";
        assert_eq!(words(0, 0, 6_900), format!("Refused everywhere after 6.9 s{restart}"));
        assert_eq!(words(2, 0, 6_900), format!("Refused on all 2 edges after 6.9 s{restart}"));
        assert_eq!(words(6, 0, 12), "Refused on all 6 edges after 12 ms");
        assert_eq!(words(1, 0, 1_250), "Refused on the only edge after 1.2 s");
        assert_eq!(words(0, 0, 0), "Refused everywhere after 0 ms: no edge was using its cache");
        let (one, two) = ("1 edge did not respond, and its cache has expired", "2 edges did not respond");
        assert_eq!(words(1, 1, 7_000), format!("Refused everywhere after 7.0 s: {one}"));
        assert_eq!(
            words(6, 2, 7_000),
            format!("Refused everywhere after 7.0 s: {two}, and their caches have expired")
        );
    }
}
