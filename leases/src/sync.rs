//! Answers an edge's subscription.

use std::time::Duration;

use protocol::{Invalidation, MAX_CHANGED_PER_SYNC, SyncRequest, SyncResponse};

use super::{LeaseConfig, LeaseRenewal, LeaseStore, Position};

/// Grants a lease, and returns what has changed since the edge's cursor. If nothing has, waits for a change: for the edge's
/// `wait_ms`, but no longer than the configured hold.
///
/// The lease is recorded before the changes are read: when a sync and a change race, one always sees the other. Rule
/// `RecordBeforeRead`.
///
/// # Errors
/// The database failed. The edge gets no lease, but one may be recorded.
pub async fn answer<L: LeaseStore>(
    store: &L,
    config: LeaseConfig,
    request: &SyncRequest,
) -> Result<SyncResponse, L::Error> {
    let cursor = request.epoch.as_ref().zip(request.cursor);
    let since = cursor.map(|(epoch, revision)| Position { epoch: epoch.clone(), revision });
    let renewal = LeaseRenewal {
        edge: request.edge.clone(),
        acknowledged: since.clone(),
        lasts_ms: config.lasts_ms(), // rule `Margin`
        used: request.used.clone(),
        node: request.node.clone(),
    };
    store.record(renewal).await?;
    let mut history = store.history(since.as_ref()).await?;
    let has_nothing_new = since.as_ref() == Some(&history.position);
    let wait_ms = request.wait_ms.min(config.hold_ms);
    // Without a change, the first read is still current: a later change has seen the lease.
    if has_nothing_new
        && wait_ms > 0
        && store.wait_for_change(&history.position, Duration::from_millis(wait_ms)).await
    {
        history = store.history(since.as_ref()).await?;
    }
    let invalidation = match history.changed {
        Some(changed) if changed.len() <= MAX_CHANGED_PER_SYNC => Invalidation::Changed(changed),
        _ => Invalidation::Reset,
    };
    // Rule `ChangesWithRevision`: changes and position come from one snapshot.
    let Position { epoch, revision } = history.position;
    Ok(SyncResponse { epoch, revision, lease_ms: config.lease_ms, invalidation })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use protocol::{KeyDigest, VerifyResponse};

    use super::*;
    use crate::History;
    use crate::{Acknowledgement, AffectedKeys, Change, Leases};

    /// A database in which this number of values has changed since any position, and nothing else happens.
    struct Changed(usize);

    enum NoChange {}

    impl LeaseStore for Changed {
        type Error = Infallible;
        type Change<'l> = NoChange;

        async fn begin(&self) -> Result<NoChange, Infallible> {
            unreachable!()
        }

        async fn record(&self, _: LeaseRenewal) -> Result<(), Infallible> {
            Ok(())
        }

        async fn history(&self, _: Option<&Position>) -> Result<History, Infallible> {
            let changed = (0..self.0).map(|n| KeyDigest::of_value(&n.to_string())).collect();
            Ok(History { position: Position { epoch: "e1".to_owned(), revision: 7 }, changed: Some(changed) })
        }

        async fn leases(&self, _: &Position) -> Result<Leases, Infallible> {
            unreachable!()
        }

        async fn verdicts(&self, _: &[KeyDigest]) -> Result<VerifyResponse, Infallible> {
            unreachable!()
        }

        async fn flush(&self) -> Result<(), Infallible> {
            unreachable!()
        }

        async fn wait_for_change(&self, _: &Position, at_most: Duration) -> bool {
            assert!(at_most > Duration::ZERO, "no time to wait");
            false
        }

        async fn acknowledgements(&self, _: Duration) -> Vec<Acknowledgement> {
            unreachable!()
        }

        fn monotonic_ms(&self) -> u64 {
            0
        }
    }

    impl Change for NoChange {
        type Error = Infallible;

        async fn digests(&mut self, _: &AffectedKeys) -> Result<Vec<KeyDigest>, Infallible> {
            match *self {}
        }

        async fn commit(self, _: &[KeyDigest]) -> Result<Position, Infallible> {
            match self {}
        }

        async fn abandon(self) -> Result<Position, Infallible> {
            match self {}
        }
    }

    #[tokio::test]
    async fn too_many_changes_for_one_answer_become_a_reset() {
        for changed in [0, 1, MAX_CHANGED_PER_SYNC, MAX_CHANGED_PER_SYNC + 1] {
            let request = SyncRequest {
                edge: "e".to_owned(),
                epoch: Some("e1".to_owned()),
                cursor: Some(7),
                wait_ms: 0,
                used: Default::default(),
                node: Default::default(),
            };
            let Ok(response) = answer(&Changed(changed), LeaseConfig::default(), &request).await;
            match response.invalidation {
                Invalidation::Changed(digests) => assert_eq!(digests.len(), changed),
                Invalidation::Reset => {
                    assert!(changed > MAX_CHANGED_PER_SYNC, "{changed} fit into one answer")
                }
            }
            assert_eq!((response.revision, response.lease_ms), (7, 6_000));
        }
    }
}
