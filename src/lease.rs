//! The lease of one edge and its syncs: may a cached verdict be used now?
//!
//! The key service answers a sync with the digests to remove from the cache and a lease. While the lease is held, no revocation
//! returns before this edge has acknowledged it or the lease has ended, so cached verdicts may be used. See
//! `docs/revocation.md`.

use protocol::{Invalidation, SyncResponse};

use crate::clock::{Deadline, Moment};

#[cfg(test)]
mod tests;

/// The first pause after a failure is at most this long, in milliseconds; it doubles with each failure in a row.
const FIRST_BACKOFF_MS: u64 = 100;

/// No pause after a failure is longer, in milliseconds.
const LONGEST_BACKOFF_MS: u64 = 5_000;

/// While a lease is held, a pause after a failure is up to this fraction of the time left. Requests are answered from
/// the cache in between, and edges that lost their connections together come back spread out.
const PATIENCE: u64 = 4;

/// Without a lease, the first answered lookup after an outage brings the next sync within this time, in milliseconds.
const SOON_MS: u64 = 200;

/// The shortest and longest pause after a sync without changes, in milliseconds.
const PAUSE_MS: (u64, u64) = (50, 100);

/// A position in the history of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epoch that the cursor belongs to.
    pub epoch: Box<str>,
    /// The revision up to which all changes are applied.
    pub cursor: u64,
}

/// The answer contradicts an earlier one of the same epoch. It counts as no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction;

/// A granted lease. Both deadlines are latched at each reading of the clocks.
#[derive(Clone, Copy, Debug)]
struct Term {
    /// When its sync was sent.
    since: Moment,
    /// When it ends.
    end: Deadline,
    /// Until when cached verdicts may be used if the key service does not answer.
    stale_end: Deadline,
}

/// The state of the one sync.
#[derive(Clone, Copy, Debug)]
enum SyncState {
    /// None is sent before the first lookup.
    Unwanted,
    /// The next one is due at this time of the monotonic clock.
    Due {
        at: u64,
        /// Whether an answered lookup has brought it forward.
        is_brought_forward: bool,
    },
    /// It was sent and has not ended.
    Outstanding {
        sent_at: Moment,
        /// Whether lookups have failed since.
        lookups_failed: bool,
    },
}

/// The time since a sync was last answered. It begins with a sync that fails.
#[derive(Clone, Copy, Debug, Default)]
struct Outage {
    /// How many syncs have failed.
    failures: u32,
    /// How many syncs an answered lookup has brought forward.
    brought_forward: u32,
}

/// The lease and the sync of one edge.
#[derive(Debug)]
pub struct Lease {
    position: Option<Position>,
    /// The latest lease, also after its end.
    term: Option<Term>,
    /// How long after the end of the lease a verdict may be used while the key service does not answer, in
    /// milliseconds.
    serve_stale_ms: u64,
    sync: SyncState,
    /// `None` while syncs are answered.
    outage: Option<Outage>,
    random: u64,
}

impl Lease {
    /// No lease and no sync yet. `seed` makes the pauses of this edge differ from those of others. `serve_stale_ms`
    /// is how long after the end of the lease a verdict may be used while the key service does not answer.
    pub fn new(seed: u64, serve_stale_ms: u64) -> Self {
        Lease {
            position: None,
            term: None,
            serve_stale_ms,
            sync: SyncState::Unwanted,
            outage: None,
            random: seed,
        }
    }

    /// Starts to sync. An edge never stops.
    pub fn subscribe(&mut self) {
        if let SyncState::Unwanted = self.sync {
            self.sync = SyncState::Due { at: 0, is_brought_forward: false };
        }
    }

    /// Whether the lease is held. A lease that has ended stays ended, even if the wall clock is set back.
    pub fn is_held(&mut self, now: Moment) -> bool {
        self.latch(now);
        self.term.is_some_and(|term| !term.end.has_come(now))
    }

    /// Whether cached verdicts may be used if the key service does not answer: during the lease, and for
    /// `serve_stale_ms` after its end.
    pub fn allows_stale(&mut self, now: Moment) -> bool {
        self.latch(now);
        self.term.is_some_and(|term| !term.stale_end.has_come(now))
    }

    fn latch(&mut self, now: Moment) {
        let Some(term) = &mut self.term else { return };
        term.end = term.end.latched(now);
        term.stale_end = term.stale_end.earlier(term.end.plus(self.serve_stale_ms)).latched(now);
    }

    /// How long ago the sync of the latest lease was sent, in milliseconds.
    pub fn age_ms(&self, now: Moment) -> Option<u64> {
        self.term.map(|term| now.monotonic.saturating_sub(term.since.monotonic))
    }

    /// Whether verdicts of this revision and epoch may be cached: they contain every change that this edge has
    /// acknowledged, and no later change can have returned without its acknowledgement.
    pub fn may_cache(&mut self, epoch: &str, revision: u64, now: Moment) -> bool {
        let reached = |position: &Position| *position.epoch == *epoch && revision >= position.cursor;
        // Rule `Fence`.
        self.is_held(now) && self.position.as_ref().is_some_and(reached)
    }

    /// Whether the key service may hold the next sync. Not without a lease, because then every request is a callout;
    /// and not after a failed sync, because the lease may end soon.
    pub fn may_be_held_back(&mut self, now: Moment) -> bool {
        self.is_held(now) && self.outage.is_none()
    }

    /// The position of this edge; `None` before the first answer.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Milliseconds until a sync is due; `None` while one is outstanding or before the first lookup.
    pub fn due_in_ms(&self, now: Moment) -> Option<u64> {
        match self.sync {
            SyncState::Due { at, .. } => Some(at.saturating_sub(now.monotonic)),
            SyncState::Unwanted | SyncState::Outstanding { .. } => None,
        }
    }

    /// A sync was sent.
    pub fn sent(&mut self, now: Moment) {
        self.sync = SyncState::Outstanding { sent_at: now, lookups_failed: false };
    }

    /// Whether a sync is outstanding. If not, the answer belongs to a sync that was given up.
    pub fn awaits_answer(&self) -> bool {
        matches!(self.sync, SyncState::Outstanding { .. })
    }

    /// A callout of lookups failed.
    pub fn lookups_failed(&mut self) {
        if let SyncState::Outstanding { lookups_failed, .. } = &mut self.sync {
            *lookups_failed = true;
        }
    }

    /// A callout of lookups was answered. Without a lease every request is a callout, so this brings the next sync
    /// forward. The time is random, because an outage leaves many edges without a lease. Each sync is brought forward
    /// at most once. The range doubles each time until a sync is answered, so that pauses still grow while syncs
    /// fail.
    ///
    /// Returns whether the outstanding sync was given up because it was sent during the outage; its answer must be
    /// ignored. Each sync gets twice as long as the previous one before it is given up, so a slow one is answered in
    /// the end.
    pub fn lookups_answered(&mut self, now: Moment) -> bool {
        if self.is_held(now) {
            return false;
        }
        let earlier = self.outage.map_or(0, |outage| outage.brought_forward);
        let soon_ms = SOON_MS.saturating_mul(1 << earlier.min(16));
        let (due, gives_up) = match (self.sync, self.outage) {
            (SyncState::Due { at, is_brought_forward: false }, Some(_)) => (at, false),
            (SyncState::Outstanding { sent_at, lookups_failed: true }, _)
                if now.monotonic.saturating_sub(sent_at.monotonic) >= soon_ms =>
            {
                (now.monotonic.saturating_add(LONGEST_BACKOFF_MS), true)
            }
            _ => return false,
        };
        let outage = self.outage.get_or_insert_default();
        outage.brought_forward = outage.brought_forward.saturating_add(1);
        outage.failures = outage.failures.saturating_add(u32::from(gives_up));
        let soon = now.monotonic.saturating_add(self.random_between(0, soon_ms));
        self.sync = SyncState::Due { at: due.min(soon), is_brought_forward: true };
        gives_up
    }

    /// The outstanding sync was answered. The caller must apply the changes to its cache before anything else.
    ///
    /// # Errors
    /// [`Contradiction`]: the answer must not be used.
    pub fn answered(&mut self, answer: &SyncResponse, now: Moment) -> Result<(), Contradiction> {
        let SyncState::Outstanding { sent_at, .. } = self.sync else { return Ok(()) };
        let known = self.position.as_ref().filter(|position| *position.epoch == *answer.epoch);
        let follows = match answer.invalidation {
            Invalidation::Reset => true,
            Invalidation::Changed(_) => known.is_some(),
        };
        if !follows || known.is_some_and(|position| answer.revision < position.cursor) {
            // The earlier position may belong to an epoch that was lost: start again without one.
            (self.position, self.term) = (None, None);
            self.failed(now);
            return Err(Contradiction);
        }
        self.outage = None;
        let brought_progress = known.is_none_or(|position| answer.revision > position.cursor)
            || answer.invalidation == Invalidation::Reset;
        self.position = Some(Position { epoch: answer.epoch.as_str().into(), cursor: answer.revision });
        // Rule `LeaseFromSent`.
        let end = sent_at.plus(answer.lease_ms);
        self.term = Some(Term { since: sent_at, end, stale_end: end.plus(self.serve_stale_ms) });
        let pause = if brought_progress { 0 } else { self.random_between(PAUSE_MS.0, PAUSE_MS.1) };
        self.sync = due_after(pause, now);
        Ok(())
    }

    /// The outstanding sync failed. The lease runs on to its end.
    pub fn failed(&mut self, now: Moment) {
        let outage = self.outage.get_or_insert_default();
        let backoff_ms = FIRST_BACKOFF_MS.saturating_mul(1 << outage.failures.min(16));
        outage.failures = outage.failures.saturating_add(1);
        let left_ms = self.term.map_or(0, |term| term.end.left_ms(now));
        let longest = backoff_ms.max(left_ms / PATIENCE).min(LONGEST_BACKOFF_MS);
        // Full jitter: edges that failed together come back at different times.
        let pause = self.random_between(0, longest);
        self.sync = due_after(pause, now);
    }

    /// SplitMix64: uniform enough to spread edges over a second.
    fn random_between(&mut self, least: u64, most: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        least + (z ^ (z >> 31)) % (most - least + 1)
    }
}

fn due_after(pause_ms: u64, now: Moment) -> SyncState {
    SyncState::Due { at: now.monotonic.saturating_add(pause_ms), is_brought_forward: false }
}
