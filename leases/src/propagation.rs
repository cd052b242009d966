//! Waits until every edge has acknowledged a change or lost its lease.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::{Acknowledgement, Lease, LeaseStore, Leases, Position, Progress, Revocation};

/// The shortest pause between two reads of the leases. Reads find the acknowledgements that other processes received.
const POLL_MS: u64 = 20;

/// The longest pause between two reads of the leases.
const SLOWEST_POLL_MS: u64 = 250;

/// The pause after a read lasts this many times as long as the read, because reading many leases is expensive.
const PAUSES: u64 = 4;

/// The most edges that [`Progress::named`] lists.
const NAMED: usize = 3;

/// Waits until every edge that holds a lease now has acknowledged the position or lost that lease. An edge that gets a lease
/// later already has the change, so the wait ends after one lease and its margin at most. Calls `on_progress` before each
/// step of the wait.
///
/// The time left of each lease is read once, by the database's clock. From then on this process's monotonic clock counts, so
/// that setting the database's clock neither lengthens nor shortens the wait.
///
/// # Errors
/// The database failed. The change itself is committed.
pub async fn await_acknowledgements<L: LeaseStore>(
    store: &L,
    position: &Position,
    mut on_progress: impl FnMut(&Progress) + Send,
) -> Result<Revocation, L::Error> {
    let began_ms = store.monotonic_ms();
    let mut reading = store.leases(position).await?;
    let mut read_ms = store.monotonic_ms();
    let mut poll_ms = pause_after(read_ms.saturating_sub(began_ms));
    let mut waiting = WaitSet::new(&reading, read_ms);
    loop {
        waiting.update(&reading, read_ms);
        // This process passes on the acknowledgements that it receives. Those of other processes need another read.
        let next_end_ms = waiting.next_end_ms(read_ms);
        let reads_at_ms = next_end_ms.into_iter().fold(read_ms.saturating_add(poll_ms), u64::min);
        loop {
            let now_ms = store.monotonic_ms();
            // Only leases that had ended by the last read count. After a later end, read once more: the epoch may have changed.
            if waiting.leases.is_empty() && waiting.lost_leases_until_ms <= read_ms {
                return Ok(waiting.revocation(position.revision, now_ms.saturating_sub(began_ms)));
            }
            on_progress(&waiting.progress(now_ms));
            let left_ms = reads_at_ms.saturating_sub(now_ms);
            if left_ms == 0 {
                break;
            }
            for Acknowledgement { edge, position: acknowledged } in
                store.acknowledgements(Duration::from_millis(left_ms)).await
            {
                if acknowledged.epoch == position.epoch && acknowledged.revision >= position.revision {
                    waiting.acknowledge(&edge);
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

/// Converts a time of the database's clock into one of this process's monotonic clock, which was at `read_ms` after the read.
/// `None` for a time before the read.
fn end_here_ms(reading: &Leases, ends_at_ms: i64, read_ms: u64) -> Option<u64> {
    let left_ms =
        u64::try_from(ends_at_ms.saturating_sub(reading.now_ms)).ok().filter(|left_ms| *left_ms > 0)?;
    Some(read_ms.saturating_add(left_ms.min(reading.longest_ms)))
}

/// The leases that a change still waits for, and the number of the others. Times are those of this process's monotonic clock.
struct WaitSet {
    /// When each edge's lease ends. It is the lease that the edge held when the change was committed.
    leases: BTreeMap<String, u64>,
    edges: usize,
    acknowledged: usize,
    expired: usize,
    /// When the leases that the database may have lost end.
    lost_leases_until_ms: u64,
    /// The same by the database's clock, as last read. A change of it means another loss.
    lost_leases_mark_ms: i64,
    lost_leases: bool,
}

impl WaitSet {
    fn new(reading: &Leases, read_ms: u64) -> Self {
        let leases = running(reading, read_ms);
        WaitSet {
            edges: reading.held,
            acknowledged: reading.held.saturating_sub(leases.len()),
            expired: 0,
            leases,
            lost_leases_until_ms: 0,
            lost_leases_mark_ms: i64::MIN,
            lost_leases: false,
        }
    }

    /// Removes the edges that have acknowledged the change and those whose lease has ended. It adds none: rule
    /// `FrozenWaitSet`.
    fn update(&mut self, reading: &Leases, read_ms: u64) {
        if reading.lost_leases_until_ms != self.lost_leases_mark_ms {
            self.lost_leases_mark_ms = reading.lost_leases_until_ms;
            let until_ms = end_here_ms(reading, reading.lost_leases_until_ms, read_ms);
            self.lost_leases |= until_ms.is_some();
            self.lost_leases_until_ms = self.lost_leases_until_ms.max(until_ms.unwrap_or_default());
        }
        let behind: HashSet<&str> = reading.behind.iter().map(|lease| lease.edge.as_str()).collect();
        let WaitSet { leases, acknowledged, expired, .. } = self;
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

    /// When the next lease ends, lost ones included.
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

    fn revocation(&self, revision: u64, elapsed_ms: u64) -> Revocation {
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

/// The leases that have not ended, of edges that have not acknowledged the change, and when each ends by the monotonic clock.
fn running(reading: &Leases, read_ms: u64) -> BTreeMap<String, u64> {
    let end = |lease: &Lease| Some((lease.edge.clone(), end_here_ms(reading, lease.ends_at_ms, read_ms)?));
    reading.behind.iter().filter_map(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A read when the database's clock is at 1,000 and this process's at 50.
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

    fn counts(waiting: &WaitSet) -> (usize, usize, usize) {
        let Progress { edges, acknowledged, expired, .. } = waiting.progress(50);
        (edges, acknowledged, expired)
    }

    #[test]
    fn an_acknowledgement_ends_the_wait_for_its_edge_only() {
        let mut waiting = WaitSet::new(&reading(&[("a", 1_020), ("b", 1_030)], 0), 50);
        waiting.acknowledge("a");
        waiting.acknowledge("a");
        waiting.acknowledge("unknown");
        assert_eq!(counts(&waiting), (3, 2, 0));
        assert_eq!(waiting.progress(50).named, ["b"]);
    }

    #[test]
    fn the_wait_for_a_lease_ends_at_its_end_or_when_the_edge_has_acknowledged() {
        let behind = [("a", 1_020), ("ended", 1_000), ("set back", 9_000)];
        let mut waiting = WaitSet::new(&reading(&behind, 0), 50);
        assert_eq!(waiting.leases, BTreeMap::from([("a".to_owned(), 70), ("set back".to_owned(), 110)]));
        waiting.update(&reading(&behind, 0), 69);
        assert_eq!(counts(&waiting), (3, 1, 0));
        waiting.update(&reading(&behind, 0), 70);
        assert_eq!(counts(&waiting), (3, 1, 1), "a lease ends at its end, not after it");
        waiting.update(&reading(&[("a", 1_020)], 0), 71);
        assert_eq!(counts(&waiting), (3, 2, 1));
        assert!(waiting.leases.is_empty());
    }

    #[test]
    fn each_loss_of_leases_starts_a_new_wait() {
        let mut waiting = WaitSet::new(&reading(&[("a", 1_020)], 1_010), 50);
        waiting.update(&reading(&[("a", 1_020)], 1_010), 50);
        let progress = waiting.progress(50);
        assert_eq!((progress.ends_in_ms, progress.lost_leases_for_ms), (Some(20), Some(10)));
        assert_eq!((waiting.next_end_ms(59), waiting.next_end_ms(60)), (Some(60), Some(70)));
        let progress = waiting.progress(60);
        assert_eq!((progress.ends_in_ms, progress.lost_leases_for_ms), (Some(10), None));
        assert_eq!(waiting.progress(70).ends_in_ms, None);
        // The same value is not a new loss, whenever it is read.
        waiting.update(&reading(&[("a", 1_020)], 1_010), 58);
        assert_eq!(waiting.lost_leases_until_ms, 60);
        waiting.update(&reading(&[("a", 1_020)], 1_011), 58);
        assert_eq!(waiting.lost_leases_until_ms, 69);
        assert!(waiting.revocation(7, 20).lost_leases);
    }
}
