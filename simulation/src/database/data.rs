//! The content of the database: users, keys, the history of changes, and leases.

use std::collections::{BTreeMap, BTreeSet};

use leases::{History, Lease, LeaseRenewal, Leases, Position};
use protocol::{KeyDigest, MAX_CHANGED_PER_SYNC, VerifyResponse};

use super::keys::{Effect, Key, User};
use super::slot::Broken;

/// The content of the database.
#[derive(Clone, Debug)]
pub struct Data {
    /// The users, by id.
    pub users: BTreeMap<String, User>,
    /// The keys, by id.
    pub keys: BTreeMap<String, Key>,
    /// Revoked values.
    pub revoked: BTreeSet<KeyDigest>,
    /// The position of the latest change.
    pub position: Position,
    /// The changes that are not pruned: their revisions and digests.
    pub history: Vec<(u64, KeyDigest)>,
    pruned_to: u64,
    /// The acknowledged revision and the end of the lease of each edge.
    pub(super) registry: BTreeMap<String, (u64, i64)>,
    /// The time until which a lost lease may still run.
    pub lost_leases_until_ms: i64,
    /// The longest time that a lost lease can run, including the margin.
    pub longest_lease_ms: u64,
    /// The longest lease that may be recorded now.
    pub lease_limit_ms: u64,
    limited_at_ms: i64,
    /// A record may have read the limit this long before it reads the clock, in milliseconds.
    pub longest_record_ms: i64,
}

impl Data {
    pub(super) fn new(epoch: String, longest_lease_ms: u64) -> Self {
        Data {
            users: BTreeMap::new(),
            keys: BTreeMap::new(),
            revoked: BTreeSet::new(),
            position: Position { epoch, revision: 0 },
            history: Vec::new(),
            pruned_to: 0,
            registry: BTreeMap::new(),
            lost_leases_until_ms: 0,
            longest_lease_ms,
            lease_limit_ms: longest_lease_ms,
            limited_at_ms: 0,
            longest_record_ms: 1_000,
        }
    }

    /// Allows leases of this length. Unless they are the first, unknown leases of this length may already run.
    pub fn announce(&mut self, lasts_ms: u64, now_ms: i64) {
        self.lease_limit_ms = self.lease_limit_ms.max(lasts_ms);
        if self.longest_lease_ms > 0 && self.longest_lease_ms < lasts_ms {
            self.lost_leases_until_ms = self.lost_leases_until_ms.max(now_ms + lasts_ms as i64);
        }
        self.longest_lease_ms = self.longest_lease_ms.max(lasts_ms);
    }

    /// Lowers the longest lease in two steps, unless an edge holds a longer one. If the clock is set back, no wait
    /// becomes longer.
    pub fn lower_longest(&mut self, lasts_ms: u64, now_ms: i64) {
        self.lost_leases_until_ms = self.lost_leases_until_ms.min(now_ms + self.longest_lease_ms as i64);
        let last_end_ms = self.registry.values().map(|(_, ends_at_ms)| *ends_at_ms).max().unwrap_or_default();
        let over_ms = self.limited_at_ms + self.longest_lease_ms as i64 + self.longest_record_ms;
        let is_over = over_ms < now_ms && self.lost_leases_until_ms < now_ms;
        if is_over && last_end_ms <= now_ms + self.lease_limit_ms as i64 {
            self.longest_lease_ms = self.lease_limit_ms;
        }
        if self.lease_limit_ms > lasts_ms && last_end_ms <= now_ms + lasts_ms as i64 {
            (self.lease_limit_ms, self.limited_at_ms) = (lasts_ms, now_ms);
        }
    }

    /// The verdicts on some digests, with the revision.
    pub(crate) fn verdicts(&self, digests: &[KeyDigest], now_ms: i64) -> VerifyResponse {
        VerifyResponse {
            epoch: self.position.epoch.clone(),
            revision: self.position.revision,
            verdicts: digests.iter().map(|digest| self.verdict(digest, now_ms)).collect(),
        }
    }

    /// Applies a change and adds its digests to the history.
    pub(super) fn change(
        &mut self,
        position: Position,
        changed: &[KeyDigest],
        effect: Option<Effect>,
        now_ms: i64,
    ) {
        self.history.extend(changed.iter().map(|digest| (position.revision, *digest)));
        self.position = position;
        if let Some(effect) = effect {
            self.apply(effect, now_ms);
        }
    }

    /// Prunes the history to the latest `kept` revisions.
    pub(super) fn prune(&mut self, kept: u64) {
        self.pruned_to = self.pruned_to.max(self.position.revision.saturating_sub(kept));
        let pruned_to = self.pruned_to;
        self.history.retain(|(revision, _)| *revision > pruned_to);
    }

    /// The changes since a position.
    pub(crate) fn history(&self, since: Option<&Position>) -> History {
        let kept = self.pruned_to..=self.position.revision; // rule `PrunedIsReset`
        let since =
            since.filter(|since| since.epoch == self.position.epoch && kept.contains(&since.revision));
        let changed = since.map(|since| {
            let later = self.history.iter().rev().take_while(|(revision, _)| *revision > since.revision);
            later.map(|(_, digest)| *digest).collect::<BTreeSet<_>>()
        });
        let changed = changed.filter(|changed| changed.len() <= MAX_CHANGED_PER_SYNC);
        History { position: self.position.clone(), changed: changed.map(|it| it.into_iter().collect()) }
    }

    /// Loses the leases and nothing else, as SQLite does in a power failure.
    pub fn lose_leases(&mut self, now_ms: i64) {
        self.registry.clear();
        self.lost_leases_until_ms = self.lost_leases_until_ms.max(now_ms + self.longest_lease_ms as i64);
    }

    /// Records a lease. A lease that is longer than the limit is announced first.
    pub(crate) fn record(&mut self, renewal: LeaseRenewal, now_ms: i64) {
        self.announce(renewal.lasts_ms, now_ms);
        let current = &self.position;
        // Rule `AcknowledgedInEpoch`.
        let counts =
            |position: &Position| position.epoch == current.epoch && position.revision <= current.revision;
        let acknowledged = renewal.acknowledged.filter(counts).map_or(0, |position| position.revision);
        let ends_at_ms = now_ms + renewal.lasts_ms as i64;
        let entry = self.registry.entry(renewal.edge).or_insert((0, 0));
        *entry = (entry.0.max(acknowledged), entry.1.max(ends_at_ms));
    }

    /// The number of leases, and the edges that have not acknowledged a position.
    pub(crate) fn leases(&self, position: &Position, now_ms: i64) -> Result<Leases, Broken> {
        // Rule `PropagatedInEpoch`.
        if position.epoch != self.position.epoch {
            return Err(Broken);
        }
        let behind = self.registry.iter().filter(|(_, (acknowledged, _))| *acknowledged < position.revision);
        let lease =
            |(edge, &(_, ends_at_ms)): (&String, &(u64, i64))| Lease { edge: edge.clone(), ends_at_ms };
        Ok(Leases {
            now_ms,
            longest_ms: self.longest_lease_ms,
            lost_leases_until_ms: self.lost_leases_until_ms,
            held: self.registry.values().filter(|(_, ends_at_ms)| *ends_at_ms > now_ms).count(),
            behind: behind.map(lease).collect(),
        })
    }
}
