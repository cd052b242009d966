//! A change on its way into force: committed, and waiting for the edges.

use std::time::Duration;

use leases::settle::settle;
use leases::{Position, Progress};
use serde::Serialize;
use utoipa::ToSchema;

use super::store::Store;
use crate::telemetry::METRICS;

/// How a change came into force, as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Revocation {
    /// The revision that the change made.
    pub revision: u64,
    /// How many edges held a lease when it was committed.
    pub edges: usize,
    /// How many of them have acknowledged it.
    pub acknowledged: usize,
    /// How many lost their lease without having acknowledged it.
    pub expired: usize,
    /// How long that took after the commit, in milliseconds.
    pub elapsed_ms: u64,
    /// Whether it waited for leases from before a start, which nothing is known of.
    #[serde(skip)]
    pub forgotten: bool,
}

impl From<leases::Revocation> for Revocation {
    fn from(revocation: leases::Revocation) -> Self {
        let leases::Revocation { revision, edges, acknowledged, expired, elapsed_ms, forgotten } = revocation;
        Revocation { revision, edges, acknowledged, expired, elapsed_ms, forgotten }
    }
}

/// A change that is committed. It is in force everywhere when [`Settling::settled`] returns, and not before.
#[derive(Debug)]
#[must_use = "a change is active everywhere only when it has settled"]
pub struct Settling {
    store: Store,
    position: Position,
}

/// The database failed while edges were still to hear of a change. The change itself is made.
#[derive(Debug, thiserror::Error)]
#[error("the change is saved, but the database failed before every edge confirmed it: {0}")]
pub struct Unsettled(#[from] sqlx::Error);

impl Settling {
    pub(crate) fn new(store: &Store, position: Position) -> Self {
        Settling { store: store.clone(), position }
    }

    /// The place in the history that the change made.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Waits until no edge answers from what it knew before: one lease and its margin at most.
    ///
    /// # Errors
    /// See [`Unsettled`].
    pub async fn settled(self) -> Result<Revocation, Unsettled> {
        self.watched(|_| {}).await
    }

    /// The same, and tells how far it has come each time that it has to wait: up to fifty times a second.
    ///
    /// # Errors
    /// As [`Settling::settled`].
    pub async fn watched(self, watcher: impl FnMut(&Progress) + Send) -> Result<Revocation, Unsettled> {
        let revocation: Revocation = settle(&self.store.lease_store(), &self.position, watcher).await?.into();
        let after = Duration::from_millis(revocation.elapsed_ms);
        METRICS.revoked(after, revocation.acknowledged, revocation.expired);
        Ok(revocation)
    }
}

/// How a change came into force, in words: `is` is what it is now, such as "Active" or "Refused".
pub(crate) fn in_words(revocation: &Revocation, is: &str) -> String {
    let time = time(revocation.elapsed_ms);
    let told = match (revocation.edges, revocation.expired) {
        (0, _) if revocation.forgotten => format!("{is} everywhere after {time}"),
        (0, _) => format!("{is} everywhere after {time}: no edge was using its cache"),
        (1, 0) => format!("{is} on the only edge after {time}"),
        (edges, 0) => format!("{is} on all {edges} edges after {time}"),
        (_, 1) => format!("{is} everywhere after {time}: 1 edge did not respond, and its cache has expired"),
        (_, expired) => {
            format!(
                "{is} everywhere after {time}: {expired} edges did not respond, and their caches have expired"
            )
        }
    };
    let why = if revocation.forgotten { "; caches from before a restart had to expire first" } else { "" };
    format!("{told}{why}")
}

fn time(ms: u64) -> String {
    let time = Duration::from_millis(ms);
    if ms < 1_000 { format!("{ms} ms") } else { format!("{:.1} s", time.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_told_in_words() {
        let told = |edges, expired, elapsed_ms| {
            let acknowledged = edges - expired;
            let forgotten = elapsed_ms == 6_900;
            let revocation = Revocation { revision: 7, edges, acknowledged, expired, elapsed_ms, forgotten };
            in_words(&revocation, "Refused")
        };
        let forgotten = "; caches from before a restart had to expire first";
        assert_eq!(told(0, 0, 6_900), format!("Refused everywhere after 6.9 s{forgotten}"));
        assert_eq!(told(2, 0, 6_900), format!("Refused on all 2 edges after 6.9 s{forgotten}"));
        assert_eq!(told(6, 0, 12), "Refused on all 6 edges after 12 ms");
        assert_eq!(told(1, 0, 1_250), "Refused on the only edge after 1.2 s");
        assert_eq!(told(0, 0, 0), "Refused everywhere after 0 ms: no edge was using its cache");
        let (one, two) = ("1 edge did not respond, and its cache has expired", "2 edges did not respond");
        assert_eq!(told(1, 1, 7_000), format!("Refused everywhere after 7.0 s: {one}"));
        assert_eq!(
            told(6, 2, 7_000),
            format!("Refused everywhere after 7.0 s: {two}, and their caches have expired")
        );
    }
}
