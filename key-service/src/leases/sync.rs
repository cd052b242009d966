//! Answers an edge's subscription.

use std::time::Duration;

use protocol::rules::{Rule, holds};
use protocol::{MAX_CHANGED_PER_SYNC, News, SyncRequest, SyncResponse};

use super::{History, Ledger, Position, Registration, Terms};

/// Grants a lease, and tells what changed since the edge's cursor; if nothing did, waits for it as long as the edge
/// wants and the terms allow.
///
/// The lease is recorded before anything is read: of a sync and a change that race, one always sees the other.
///
/// # Errors
/// The database failed; the edge gets no lease, though one may be recorded.
pub async fn answer<L: Ledger>(
    ledger: &L,
    terms: Terms,
    request: &SyncRequest,
) -> Result<SyncResponse, L::Error> {
    let cursor = request.log.as_ref().zip(request.cursor);
    let since = cursor.map(|(log, revision)| Position { log: log.clone(), revision });
    let registration = Registration {
        edge: request.edge.clone(),
        acknowledged: since.clone(),
        lasts_ms: if holds(Rule::Margin) { terms.lasts_ms() } else { terms.lease_ms },
        used: request.used.clone(),
    };
    let mut history = if holds(Rule::RecordBeforeRead) {
        ledger.record(registration).await?;
        read(ledger, since.as_ref()).await?
    } else {
        let history = read(ledger, since.as_ref()).await?;
        ledger.record(registration).await?;
        history
    };
    let has_nothing_new = since.as_ref() == Some(&history.position);
    let wait_ms = request.wait_ms.min(terms.hold_ms);
    // Without news, what was read when the lease was recorded is still true: a later change has seen the lease.
    if has_nothing_new && wait_ms > 0 && ledger.news(&history.position, Duration::from_millis(wait_ms)).await
    {
        history = read(ledger, since.as_ref()).await?;
    }
    let news = match history.changed {
        Some(changed) if changed.len() <= MAX_CHANGED_PER_SYNC => News::Changed(changed),
        _ => News::Reset,
    };
    let Position { log, revision } = history.position;
    Ok(SyncResponse { log, revision, lease_ms: terms.lease_ms, news })
}

/// Changes and the place they lead to, from one snapshot.
async fn read<L: Ledger>(ledger: &L, since: Option<&Position>) -> Result<History, L::Error> {
    let mut history = ledger.history(since).await?;
    if !holds(Rule::ChangesWithRevision) {
        history.position = ledger.history(None).await?.position;
    }
    Ok(history)
}
