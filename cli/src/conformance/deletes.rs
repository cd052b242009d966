//! The checks of deletes while edges hold leases.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use protocol::KeyDigest;

use super::commands::Keys;
use super::edge::{Edge, ID, Received};
use super::service::{Check, Service};

pub(super) const CHECKS: [Check; 2] = [
    ("when a delete returns, an edge that syncs has removed the key, ten times in a row", reaches_edges),
    (
        "a delete, and a repeated one, wait for an edge that sends nothing until its lease and the margin have ended",
        waits_for_a_silent_edge,
    ),
];

/// The service's clock may differ from this one by as much.
const TOLERANCE: Duration = Duration::from_millis(50);

/// The time between two verifies that wait for a delete to begin.
const PAUSE: Duration = Duration::from_millis(5);

fn reaches_edges(service: &Service, keys: &dyn Keys) -> Result<()> {
    let (stop, received) = (AtomicBool::new(false), Mutex::new(Received::default()));
    let edge = Edge::subscribed(service, ID)?;
    let lease = edge.lease();
    let has = |digest| received.lock().unwrap_or_else(PoisonError::into_inner).has(digest);
    thread::scope(|scope| {
        let running = scope.spawn(|| edge.run(&stop, &received));
        let rounds = (1..=10).try_for_each(|round| {
            let key = keys.create()?;
            ensure!(service.is_active(key.digest())?, "round {round}: the new key is inactive");
            *received.lock().unwrap_or_else(PoisonError::into_inner) = Received::default();
            let took = keys.delete(&key)?;
            ensure!(has(key.digest()), "round {round}: the delete returned, and the edge still had the key");
            ensure!(took < lease, "round {round}: the delete took {took:?}, although the edge synced");
            Ok(())
        });
        stop.store(true, Ordering::Release);
        let edge = running.join().map_err(|_| anyhow!("the edge panicked"))?.context("a sync of the edge")?;
        rounds?;
        let answer = service.verify(&[KeyDigest::of_value("phx_unknown")])?;
        ensure!(edge.has_reached(&answer), "a verify has a later revision than the last sync");
        Ok(())
    })
}

fn waits_for_a_silent_edge(service: &Service, keys: &dyn Keys) -> Result<()> {
    let key = keys.create()?;
    let edge = Edge::subscribed(service, "conformance-silent")?;
    let (end, lease) = (edge.lease_end() + margin(edge.lease()), edge.lease());
    thread::scope(|scope| {
        let first = scope.spawn(|| keys.delete(&key).map(|_| Instant::now()));
        while !first.is_finished() && service.is_active(key.digest())? {
            thread::sleep(PAUSE);
        }
        keys.delete_again(&key)?;
        let repeated_at = Instant::now();
        let returned_at = first.join().map_err(|_| anyhow!("the delete panicked"))??;
        for (which, returned_at) in [("delete", returned_at), ("repeated delete", repeated_at)] {
            let early = end.saturating_duration_since(returned_at);
            ensure!(
                early <= TOLERANCE,
                "the {which} returned {early:?} before the end of the lease and the margin"
            );
            let late = returned_at.saturating_duration_since(end);
            ensure!(late < lease, "the {which} returned {late:?} after the end of the lease and the margin");
        }
        ensure!(!service.is_active(key.digest())?, "the deleted key is active");
        Ok(())
    })
}

/// The shortest margin that the edge API permits.
fn margin(lease: Duration) -> Duration {
    Duration::from_secs(1).max(lease / 6)
}
