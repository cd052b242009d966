//! Counts of one run or of several.

use crate::outage::Outage;

/// Counts of one run or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Requests that were decided.
    pub(crate) decided: u64,
    /// Of these, requests whose key was accepted.
    pub accepted: u64,
    /// Requests decided by a cached verdict after the end of the lease.
    pub(crate) stale: u64,
    /// Requests answered 503.
    pub(crate) unavailable: u64,
    /// Changes that returned.
    pub changes: u64,
    /// Changes that at least one edge acknowledged.
    pub acknowledged: u64,
    /// Changes that waited for the end of at least one lease.
    pub expired: u64,
    /// Changes that waited for leases that may have been lost.
    pub lost_leases: u64,
    /// Changes that were repeated because there was no answer.
    pub repeated: u64,
    /// Replicas that were killed.
    pub kills: u64,
    /// Of these, replicas that were killed directly after a commit.
    pub kills_at_commit: u64,
    /// Crashes of the database.
    pub restarts: u64,
    /// Failovers to a standby.
    pub failovers: u64,
}

impl Summary {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Summary) {
        self.simulated_ms += other.simulated_ms;
        self.decided += other.decided;
        self.accepted += other.accepted;
        self.stale += other.stale;
        self.unavailable += other.unavailable;
        self.changes += other.changes;
        self.acknowledged += other.acknowledged;
        self.expired += other.expired;
        self.lost_leases += other.lost_leases;
        self.repeated += other.repeated;
        self.kills += other.kills;
        self.kills_at_commit += other.kills_at_commit;
        self.restarts += other.restarts;
        self.failovers += other.failovers;
    }

    /// Counts an outage.
    pub(crate) fn count(&mut self, outage: Outage) {
        match outage {
            Outage::ReplicaKilled => self.kills += 1,
            Outage::DatabaseRestarted | Outage::PowerCut => self.restarts += 1,
            Outage::FailedOver => self.failovers += 1,
            _ => {}
        }
    }
}
