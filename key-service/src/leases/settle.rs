//! Waits until a change is in force at every edge.

use std::collections::HashMap;
use std::time::Duration;

use protocol::rules::{Rule, holds};

use super::{Lease, Ledger, Position, Progress, Revocation, Waiting};

/// How long acknowledgements that another process received can go unnoticed.
const POLL: Duration = Duration::from_millis(20);

/// Waits until every edge that held a lease at this moment has acknowledged the place, or has lost that lease. Leases
/// granted from now on know of the change already, so the wait always ends: after one lease and its margin. Tells
/// `watcher` how far it has come, each time that it has to wait.
///
/// # Errors
/// The database failed; the change itself is committed.
pub async fn settle<L: Ledger>(
    ledger: &L,
    position: &Position,
    mut watcher: impl FnMut(&Progress) + Send,
) -> Result<Revocation, L::Error> {
    let began_ms = ledger.monotonic_ms();
    let mut reading = ledger.leases().await?;
    let still_runs = |lease: &Lease, now_ms| lease.ends_at_ms > now_ms;
    let now_ms = reading.now_ms;
    let forgotten_until_ms = reading.forgotten_until_ms;
    let mut waits_for: Vec<Lease> =
        reading.leases.iter().filter(|lease| still_runs(lease, now_ms)).cloned().collect();
    let mut revocation = Revocation {
        revision: position.revision,
        edges: waits_for.len(),
        acknowledged: 0,
        expired: 0,
        elapsed_ms: 0,
        forgotten: false,
    };
    loop {
        let now_ms = reading.now_ms;
        if !holds(Rule::FrozenWaitSet) {
            waits_for = reading.leases.iter().filter(|lease| still_runs(lease, now_ms)).cloned().collect();
        }
        let acknowledged: HashMap<&str, u64> =
            reading.leases.iter().map(|lease| (lease.edge.as_str(), lease.acknowledged)).collect();
        waits_for.retain(|lease| {
            if acknowledged.get(lease.edge.as_str()).is_some_and(|revision| *revision >= position.revision) {
                revocation.acknowledged += 1;
                return false;
            }
            let runs = still_runs(lease, now_ms);
            revocation.expired += usize::from(!runs);
            runs
        });
        let first_end = waits_for.iter().map(|lease| lease.ends_at_ms).min();
        let forgotten = (forgotten_until_ms > now_ms).then_some(forgotten_until_ms);
        revocation.forgotten |= forgotten.is_some();
        let Some(next_end) = first_end.into_iter().chain(forgotten).min() else { break };
        let until = |end_ms: i64| u64::try_from(end_ms - now_ms).unwrap_or_default();
        watcher(&Progress {
            edges: revocation.edges,
            acknowledged: revocation.acknowledged,
            expired: revocation.expired,
            waits_for: waits_for
                .iter()
                .map(|lease| Waiting { edge: lease.edge.clone(), ends_in_ms: until(lease.ends_at_ms) })
                .collect(),
            forgotten_for_ms: forgotten.map(until),
        });
        let left = Duration::from_millis(until(next_end));
        ledger.acknowledgements(left.min(POLL)).await;
        reading = ledger.leases().await?;
    }
    revocation.elapsed_ms = ledger.monotonic_ms().saturating_sub(began_ms);
    Ok(revocation)
}
