//! Waits until a change is in force at every edge.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::{Lease, LeaseStore, Leases, Position, Progress, Revocation};

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
/// The database's clock tells once how long each lease still lasts. From then on this process's monotonic clock counts, so
/// that nobody waits longer, or more shortly, because the database's clock is set.
///
/// # Errors
/// The database failed; the change itself is committed.
pub async fn await_acknowledgements<L: LeaseStore>(
    store: &L,
    position: &Position,
    mut watcher: impl FnMut(&Progress) + Send,
) -> Result<Revocation, L::Error> {
    let began_ms = store.monotonic_ms();
    let mut reading = store.leases(position).await?;
    let mut read_ms = store.monotonic_ms();
    let mut poll_ms = pause_after(read_ms.saturating_sub(began_ms));
    let mut waiting = Waiting::new(&reading, read_ms);
    loop {
        waiting.take_in(&reading, read_ms);
        // Acknowledgements heard here need no reading; those that another process hears, and ends of leases, do.
        let next_end_ms = waiting.next_end_ms(read_ms);
        let reads_at_ms = next_end_ms.into_iter().fold(read_ms.saturating_add(poll_ms), u64::min);
        loop {
            let now_ms = store.monotonic_ms();
            // As of the reading: what comes to an end after it is read once more, for the epoch may be another one by then.
            if waiting.leases.is_empty() && waiting.lost_leases_until_ms <= read_ms {
                return Ok(waiting.ended(position.revision, now_ms.saturating_sub(began_ms)));
            }
            watcher(&waiting.progress(now_ms));
            let left_ms = reads_at_ms.saturating_sub(now_ms);
            if left_ms == 0 {
                break;
            }
            for heard in store.acknowledgements(Duration::from_millis(left_ms)).await {
                if heard.position.epoch == position.epoch && heard.position.revision >= position.revision {
                    waiting.acknowledge(&heard.edge);
                }
            }
        }
        let reads_at_ms = store.monotonic_ms();
        reading = store.leases(position).await?;
        read_ms = store.monotonic_ms();
        poll_ms = pause_after(read_ms.saturating_sub(reads_at_ms));
    }
}

fn pause_after(reading_ms: u64) -> u64 {
    reading_ms.saturating_mul(PAUSES).clamp(POLL_MS, SLOWEST_POLL_MS)
}

/// When something ends by this process's monotonic clock, which said `read_ms` after the reading; `None` if it had ended.
fn end_here_ms(reading: &Leases, ends_at_ms: i64, read_ms: u64) -> Option<u64> {
    let left_ms =
        u64::try_from(ends_at_ms.saturating_sub(reading.now_ms)).ok().filter(|left_ms| *left_ms > 0)?;
    Some(read_ms.saturating_add(left_ms.min(reading.longest_ms)))
}

/// The leases that a change still waits for, and what became of the others. Times are this process's monotonic clock's.
struct Waiting {
    /// When each edge's lease ends: the one that it held when the change was committed.
    leases: BTreeMap<String, u64>,
    edges: usize,
    acknowledged: usize,
    expired: usize,
    /// Leases may have been forgotten that last until then.
    lost_leases_until_ms: u64,
    /// The same by the database's clock, as it was last read.
    lost_leases_mark_ms: i64,
    lost_leases: bool,
}

impl Waiting {
    fn new(reading: &Leases, read_ms: u64) -> Self {
        let leases = running(reading, read_ms);
        Waiting {
            edges: reading.held,
            acknowledged: reading.held.saturating_sub(leases.len()),
            expired: 0,
            leases,
            lost_leases_until_ms: 0,
            lost_leases_mark_ms: i64::MIN,
            lost_leases: false,
        }
    }

    /// Takes out the edges that have acknowledged the change and those whose lease has run out. It adds none: rule
    /// `FrozenWaitSet`.
    fn take_in(&mut self, reading: &Leases, read_ms: u64) {
        if reading.lost_leases_until_ms != self.lost_leases_mark_ms {
            self.lost_leases_mark_ms = reading.lost_leases_until_ms;
            let until_ms = end_here_ms(reading, reading.lost_leases_until_ms, read_ms);
            self.lost_leases |= until_ms.is_some();
            self.lost_leases_until_ms = self.lost_leases_until_ms.max(until_ms.unwrap_or_default());
        }
        let behind: HashSet<&str> = reading.behind.iter().map(|lease| lease.edge.as_str()).collect();
        let Waiting { leases, acknowledged, expired, .. } = self;
        leases.retain(|edge, ends_at_ms| {
            if !behind.contains(edge.as_str()) {
                *acknowledged += 1;
                return false;
            }
            let runs = *ends_at_ms > read_ms;
            *expired += usize::from(!runs);
            runs
        });
    }

    /// When the next of the leases ends, or of what may have been forgotten.
    fn next_end_ms(&self, now_ms: u64) -> Option<u64> {
        let lost = Some(self.lost_leases_until_ms).filter(|until_ms| *until_ms > now_ms);
        self.leases.values().min().copied().into_iter().chain(lost).min()
    }

    fn acknowledge(&mut self, edge: &str) {
        self.acknowledged += usize::from(self.leases.remove(edge).is_some());
    }

    fn progress(&self, now_ms: u64) -> Progress {
        let left = |end_ms: u64| Some(end_ms.saturating_sub(now_ms)).filter(|left_ms| *left_ms > 0);
        Progress {
            edges: self.edges,
            acknowledged: self.acknowledged,
            expired: self.expired,
            named: self.leases.keys().take(NAMED).cloned().collect(),
            ends_in_ms: self.leases.values().max().and_then(|end_ms| left(*end_ms)),
            lost_leases_for_ms: left(self.lost_leases_until_ms),
        }
    }

    fn ended(&self, revision: u64, elapsed_ms: u64) -> Revocation {
        Revocation {
            revision,
            edges: self.edges,
            acknowledged: self.acknowledged,
            expired: self.expired,
            elapsed_ms,
            lost_leases: self.lost_leases,
        }
    }
}

/// The leases of edges that are behind and still answer from memory, and when each ends here.
fn running(reading: &Leases, read_ms: u64) -> BTreeMap<String, u64> {
    let end = |lease: &Lease| Some((lease.edge.clone(), end_here_ms(reading, lease.ends_at_ms, read_ms)?));
    reading.behind.iter().filter_map(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read at 1,000 by the database's clock, when this process's clock says 50.
    fn reading(behind: &[(&str, i64)], lost_leases_until_ms: i64) -> Leases {
        Leases {
            now_ms: 1_000,
            longest_ms: 60,
            lost_leases_until_ms,
            held: 3,
            behind: behind
                .iter()
                .map(|(edge, ends_at_ms)| Lease { edge: (*edge).to_owned(), ends_at_ms: *ends_at_ms })
                .collect(),
        }
    }

    fn counts(waiting: &Waiting) -> (usize, usize, usize) {
        let Progress { edges, acknowledged, expired, .. } = waiting.progress(50);
        (edges, acknowledged, expired)
    }

    #[test]
    fn an_acknowledgement_that_is_heard_ends_the_wait_for_its_edge_alone() {
        let mut waiting = Waiting::new(&reading(&[("a", 1_020), ("b", 1_030)], 0), 50);
        waiting.acknowledge("a");
        waiting.acknowledge("a");
        waiting.acknowledge("of nobody");
        assert_eq!(counts(&waiting), (3, 2, 0));
        assert_eq!(waiting.progress(50).named, ["b"]);
    }

    #[test]
    fn a_lease_is_waited_for_until_it_ends_here_or_is_told_of_no_more() {
        let behind = [("a", 1_020), ("ended", 1_000), ("set back", 9_000)];
        let mut waiting = Waiting::new(&reading(&behind, 0), 50);
        assert_eq!(waiting.leases, BTreeMap::from([("a".to_owned(), 70), ("set back".to_owned(), 110)]));
        waiting.take_in(&reading(&behind, 0), 69);
        assert_eq!(counts(&waiting), (3, 1, 0));
        waiting.take_in(&reading(&behind, 0), 70);
        assert_eq!(counts(&waiting), (3, 1, 1), "a lease has ended at its end");
        waiting.take_in(&reading(&[("a", 1_020)], 0), 71);
        assert_eq!(counts(&waiting), (3, 2, 1));
        assert!(waiting.leases.is_empty());
    }

    #[test]
    fn what_was_forgotten_is_waited_for_from_each_time_that_it_is_written_down() {
        let mut waiting = Waiting::new(&reading(&[("a", 1_020)], 1_010), 50);
        waiting.take_in(&reading(&[("a", 1_020)], 1_010), 50);
        let told = waiting.progress(50);
        assert_eq!((told.ends_in_ms, told.lost_leases_for_ms), (Some(20), Some(10)));
        assert_eq!((waiting.next_end_ms(59), waiting.next_end_ms(60)), (Some(60), Some(70)));
        let told = waiting.progress(60);
        assert_eq!((told.ends_in_ms, told.lost_leases_for_ms), (Some(10), None));
        assert_eq!(waiting.progress(70).ends_in_ms, None);
        // The same again is nothing new, whenever it is read.
        waiting.take_in(&reading(&[("a", 1_020)], 1_010), 58);
        assert_eq!(waiting.lost_leases_until_ms, 60);
        waiting.take_in(&reading(&[("a", 1_020)], 1_011), 58);
        assert_eq!(waiting.lost_leases_until_ms, 69);
        assert!(waiting.ended(7, 20).lost_leases);
    }
}
