//! The checks of sync without changes.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use protocol::{Invalidation, SYNC_PATH, SyncRequest};

use super::commands::Keys;
use super::edge::{Edge, ID, WAIT_MS};
use super::service::{Check, Service};

pub(super) const CHECKS: [Check; 6] = [
    ("a sync without the token is refused", refuses_no_token),
    ("the first sync is answered at once, and grants a lease", answers_the_first),
    ("a sync with nothing new is held, and answers an empty list of changes", holds),
    ("the lease is at least twice the hold plus 2 s", lease_outlasts_the_hold),
    ("a cursor of another epoch is answered at once, with a reset", resets_another_epoch),
    ("a usage report for an unknown key is accepted", accepts_usage),
];

/// How long an answer that must not wait may take, for the network.
const AT_ONCE: Duration = Duration::from_millis(500);

fn refuses_no_token(service: &Service, _: &dyn Keys) -> Result<()> {
    let body = serde_json::to_string(&Edge::first_request(ID))?;
    service.expect_status(SYNC_PATH, None, &body, &[401, 403])
}

fn answers_the_first(service: &Service, _: &dyn Keys) -> Result<()> {
    let request = SyncRequest { wait_ms: 5_000, ..Edge::first_request(ID) };
    let (answer, took) = service.sync(&request)?;
    ensure!(answer.lease_ms > 0, "the lease is empty");
    ensure!(took < AT_ONCE, "the answer took {} ms", took.as_millis());
    Ok(())
}

fn holds(service: &Service, _: &dyn Keys) -> Result<()> {
    let mut edge = Edge::subscribed(service, ID)?;
    // A change by others answers a sync early.
    for _ in 0..5 {
        match edge.sync(WAIT_MS)? {
            (Invalidation::Changed(digests), took) if digests.is_empty() => {
                let held_ms = took.as_millis();
                ensure!(held_ms >= u128::from(WAIT_MS) / 2, "the answer came after {held_ms} ms");
                ensure!(held_ms < u128::from(WAIT_MS) + AT_ONCE.as_millis(), "the answer took {held_ms} ms");
                return Ok(());
            }
            (Invalidation::Changed(_), _) => {}
            (Invalidation::Reset, _) => bail!("the service reset an edge that had missed nothing"),
        }
    }
    bail!("keys changed during each of five syncs; try a service without traffic");
}

fn lease_outlasts_the_hold(service: &Service, _: &dyn Keys) -> Result<()> {
    let mut edge = Edge::subscribed(service, ID)?;
    let (_, held) = edge.sync(5_000)?;
    // The measured hold includes the network.
    let least = 2 * held.saturating_sub(AT_ONCE) + Duration::from_secs(2);
    let lease = edge.lease();
    ensure!(lease >= least, "the lease is {lease:?}, and a sync was held {held:?}");
    Ok(())
}

fn resets_another_epoch(service: &Service, _: &dyn Keys) -> Result<()> {
    let edge = Edge::subscribed(service, ID)?;
    let request =
        SyncRequest { epoch: Some("another-epoch".to_owned()), wait_ms: 5_000, ..edge.request().clone() };
    let (answer, took) = service.sync(&request)?;
    ensure!(took < AT_ONCE, "the answer took {} ms", took.as_millis());
    ensure!(answer.invalidation == Invalidation::Reset, "the answer lists changes");
    Ok(())
}

fn accepts_usage(service: &Service, _: &dyn Keys) -> Result<()> {
    let edge = Edge::subscribed(service, ID)?;
    let used = [("unknown-key".to_owned(), 1_764_547_200)].into();
    service.sync(&SyncRequest { used, ..edge.request().clone() })?;
    Ok(())
}
