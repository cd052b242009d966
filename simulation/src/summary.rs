//! What a run has seen.

use crate::outage::Outage;

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Simulated time, in milliseconds.
    pub simulated_ms: u64,
    /// Requests decided from memory or by an answer.
    pub decided: u64,
    /// Of these, requests whose key was accepted.
    pub accepted: u64,
    /// Requests decided from memory after the lease had ended, for want of an answer.
    pub stale: u64,
    /// Requests that nobody could decide.
    pub unavailable: u64,
    /// Changes that returned.
    pub changes: u64,
    /// Changes that at least one edge had to acknowledge.
    pub acknowledged: u64,
    /// Changes that at least one lease had to run out for.
    pub expired: u64,
    /// Changes that had to wait for leases that may have been forgotten.
    pub forgotten: u64,
    /// Changes that were asked for again, for want of an answer.
    pub repeated: u64,
    /// Replicas that were killed.
    pub kills: u64,
    /// Of these, those that were killed just when they had committed a change.
    pub kills_at_commit: u64,
    /// Crashes of the database.
    pub restarts: u64,
    /// Standbys that took its place.
    pub failovers: u64,
}

impl Summary {
    /// Adds another run's numbers.
    pub fn add(&mut self, other: &Summary) {
        self.simulated_ms += other.simulated_ms;
        self.decided += other.decided;
        self.accepted += other.accepted;
        self.stale += other.stale;
        self.unavailable += other.unavailable;
        self.changes += other.changes;
        self.acknowledged += other.acknowledged;
        self.expired += other.expired;
        self.forgotten += other.forgotten;
        self.repeated += other.repeated;
        self.kills += other.kills;
        self.kills_at_commit += other.kills_at_commit;
        self.restarts += other.restarts;
        self.failovers += other.failovers;
    }

    /// Counts an outage that has begun.
    pub fn count(&mut self, outage: Outage) {
        match outage {
            Outage::ReplicaKilled => self.kills += 1,
            Outage::DatabaseRestarted | Outage::PowerCut => self.restarts += 1,
            Outage::FailedOver => self.failovers += 1,
            _ => {}
        }
    }
}
