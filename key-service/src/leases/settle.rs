//! Waits until a change is in force at every edge.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use protocol::rules::{Rule, holds};

use super::{Leases, Ledger, Position, Progress, Revocation};

/// How long acknowledgements that another process received can go unnoticed, at least.
const POLL_MS: u64 = 20;

/// And at most.
const SLOWEST_POLL_MS: u64 = 250;

/// A reading of many leases takes its time. The next one begins after this many times as long.
const PAUSES: u64 = 4;

/// How many of those that are waited for are told by name.
const NAMED: usize = 3;

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
    let mut reading = ledger.leases(position).await?;
    let mut poll_ms = pause_after(ledger.monotonic_ms().saturating_sub(began_ms));
    let mut waiting = Waiting::new(&reading);
    loop {
        waiting.take_in(&reading);
        let forgotten_for_ms = until(reading.forgotten_until_ms, reading.now_ms);
        waiting.forgotten |= forgotten_for_ms.is_some();
        // Acknowledgements heard here need no reading; those that another process hears, and ends of leases, do.
        let first_end = waiting.leases.values().min().and_then(|end_ms| until(*end_ms, reading.now_ms));
        let next_ms = [first_end, forgotten_for_ms].into_iter().flatten().fold(poll_ms, u64::min);
        let read_at_ms = ledger.monotonic_ms().saturating_add(next_ms);
        loop {
            if waiting.leases.is_empty() && forgotten_for_ms.is_none() {
                let elapsed_ms = ledger.monotonic_ms().saturating_sub(began_ms);
                return Ok(waiting.ended(position.revision, elapsed_ms));
            }
            watcher(&waiting.progress(reading.now_ms, forgotten_for_ms));
            let left_ms = read_at_ms.saturating_sub(ledger.monotonic_ms());
            if left_ms == 0 {
                break;
            }
            for heard in ledger.acknowledgements(Duration::from_millis(left_ms)).await {
                if heard.position.log == position.log && heard.position.revision >= position.revision {
                    waiting.acknowledge(&heard.edge);
                }
            }
        }
        let reads_at_ms = ledger.monotonic_ms();
        reading = ledger.leases(position).await?;
        poll_ms = pause_after(ledger.monotonic_ms().saturating_sub(reads_at_ms));
    }
}

fn pause_after(reading_ms: u64) -> u64 {
    reading_ms.saturating_mul(PAUSES).clamp(POLL_MS, SLOWEST_POLL_MS)
}

/// How long it is until then, unless that is over.
fn until(end_ms: i64, now_ms: i64) -> Option<u64> {
    u64::try_from(end_ms.saturating_sub(now_ms)).ok().filter(|left_ms| *left_ms > 0)
}

/// The leases that a change still waits for, and what became of the others.
struct Waiting {
    /// When each edge's lease ends: the one that it held when the change was committed.
    leases: BTreeMap<String, i64>,
    edges: usize,
    acknowledged: usize,
    expired: usize,
    /// Leases may have been forgotten up to then when the change was committed.
    forgotten_until_ms: i64,
    forgotten: bool,
}

impl Waiting {
    fn new(reading: &Leases) -> Self {
        let leases = running(reading);
        Waiting {
            edges: reading.held,
            acknowledged: reading.held.saturating_sub(leases.len()),
            expired: 0,
            leases,
            forgotten_until_ms: reading.forgotten_until_ms,
            forgotten: false,
        }
    }

    /// Takes out who has acknowledged the change and whose lease has run out.
    fn take_in(&mut self, reading: &Leases) {
        if !holds(Rule::FrozenWaitSet) {
            self.leases = running(reading);
        }
        let behind: HashSet<&str> = reading.behind.iter().map(|lease| lease.edge.as_str()).collect();
        // Who is not behind has acknowledged; unless the leases were forgotten meanwhile, for then nothing is known of it.
        let is_told = reading.forgotten_until_ms == self.forgotten_until_ms || !holds(Rule::SameRegistry);
        let Waiting { leases, acknowledged, expired, .. } = self;
        leases.retain(|edge, ends_at_ms| {
            if is_told && !behind.contains(edge.as_str()) {
                *acknowledged += 1;
                return false;
            }
            let runs = *ends_at_ms > reading.now_ms;
            *expired += usize::from(!runs);
            runs
        });
    }

    fn acknowledge(&mut self, edge: &str) {
        self.acknowledged += usize::from(self.leases.remove(edge).is_some());
    }

    fn progress(&self, now_ms: i64, forgotten_for_ms: Option<u64>) -> Progress {
        Progress {
            edges: self.edges,
            acknowledged: self.acknowledged,
            expired: self.expired,
            named: self.leases.keys().take(NAMED).cloned().collect(),
            ends_in_ms: self.leases.values().max().and_then(|end_ms| until(*end_ms, now_ms)),
            forgotten_for_ms,
        }
    }

    fn ended(&self, revision: u64, elapsed_ms: u64) -> Revocation {
        Revocation {
            revision,
            edges: self.edges,
            acknowledged: self.acknowledged,
            expired: self.expired,
            elapsed_ms,
            forgotten: self.forgotten,
        }
    }
}

/// The leases of edges that are behind and still answer from memory.
fn running(reading: &Leases) -> BTreeMap<String, i64> {
    let runs = reading.behind.iter().filter(|lease| lease.ends_at_ms > reading.now_ms);
    runs.map(|lease| (lease.edge.clone(), lease.ends_at_ms)).collect()
}
