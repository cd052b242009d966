//! The lease protocol, service side: edges may answer from memory, and yet no revocation returns before every edge
//! has heard of it or has lost its lease. `docs/revocation.md` explains it.
//!
//! - [`sync`] answers an edge's subscription: records its lease, then tells it what changed;
//! - [`change`] makes a change that can alter a verdict, and [`propagation`] waits until it is in force everywhere;
//! - [`verify`] answers what keys are worth.
//!
//! All of it is written against a [`LeaseStore`]: the database in production, a model of one in the simulation.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use protocol::{KeyDigest, VerifyResponse};

pub mod change;
pub mod propagation;
pub mod sync;
pub mod verify;

/// A place in a history of changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Names the history; a database that was newly made, or restored from a backup, has another.
    pub epoch: String,
    /// How many changes were made.
    pub revision: u64,
}

/// How long edges are told they may rely on their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// How long a sync is held while nothing changes, in milliseconds.
    pub hold_ms: u64,
    /// How long a lease is, in milliseconds from when the edge sent the sync.
    pub lease_ms: u64,
    /// How much longer than that a change waits for it, in milliseconds: for clocks that run differently.
    /// [`LeaseConfig::least_margin_ms`] or more.
    pub margin_ms: u64,
}

impl Default for LeaseConfig {
    fn default() -> Self {
        LeaseConfig { hold_ms: 2_000, lease_ms: 6_000, margin_ms: 1_000 }
    }
}

/// Why a lease configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseConfigError {
    /// The lease would run out while the next sync is held back.
    #[error("the lease must last at least twice the hold and 2 s more, {least_ms} ms")]
    LeaseTooShort {
        /// The shortest lease that goes with the hold, in milliseconds.
        least_ms: u64,
    },
    /// An edge whose clock is slow would still hold its lease when the service counts it as ended.
    #[error("the margin must be at least 1 s and a sixth of the lease, {least_ms} ms")]
    MarginTooShort {
        /// The shortest margin that goes with the lease, in milliseconds.
        least_ms: u64,
    },
}

/// The shortest margin, in milliseconds, however short the lease is: for clocks that are set by a little.
const LEAST_MARGIN_MS: u64 = 1_000;

/// The margin is this part of the lease or more. With a sixth, two clocks may differ by one part in seven, 14 %.
const LEASE_PER_MARGIN: u64 = 6;

impl LeaseConfig {
    /// The shortest margin that goes with a lease, in milliseconds, and the one it has unless another is set. It grows with
    /// the lease, because the error of a clock that runs too slowly grows with time.
    pub fn least_margin_ms(lease_ms: u64) -> u64 {
        lease_ms.div_ceil(LEASE_PER_MARGIN).max(LEAST_MARGIN_MS)
    }

    /// How long a change waits for a lease at most, in milliseconds: the margin included.
    pub fn lasts_ms(self) -> u64 {
        self.lease_ms.saturating_add(self.margin_ms)
    }

    /// Checks that edges can keep a lease with this configuration, and that a change waits long enough for it.
    ///
    /// # Errors
    /// See [`LeaseConfigError`].
    pub fn check(self) -> Result<Self, LeaseConfigError> {
        let least_ms = self.hold_ms.saturating_mul(2).saturating_add(2_000);
        if self.lease_ms < least_ms {
            return Err(LeaseConfigError::LeaseTooShort { least_ms });
        }
        let least_ms = Self::least_margin_ms(self.lease_ms);
        if self.margin_ms < least_ms {
            return Err(LeaseConfigError::MarginTooShort { least_ms });
        }
        Ok(self)
    }
}

/// What a sync records about an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRenewal {
    /// The edge's own random id.
    pub edge: String,
    /// What it says it has applied; `None` for nothing.
    pub acknowledged: Option<Position>,
    /// How long its lease counts, in milliseconds from the moment of recording by the database's clock.
    pub lasts_ms: u64,
    /// When keys were last used, as [`protocol::SyncRequest::used`]. No lease depends on it.
    pub used: BTreeMap<String, u64>,
}

/// What has happened since some place in the history, read as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Where the history ends now.
    pub position: Position,
    /// The digests whose verdicts may have changed; `None` if that cannot be told.
    pub changed: Option<Vec<KeyDigest>>,
}

/// One edge's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The edge.
    pub edge: String,
    /// When it ends, in milliseconds since 1970-01-01 UTC by the database's clock.
    pub ends_at_ms: i64,
}

/// The leases that a change may have to wait for, read as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leases {
    /// The database's clock at the reading, in milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
    /// No lease lasts longer than this from now on, whatever its end: that clock may have been set back.
    pub longest_ms: u64,
    /// Leases of before may have been forgotten; none of those lasts beyond this. It changes whenever leases are
    /// forgotten.
    pub lost_leases_until_ms: i64,
    /// How many edges hold a lease.
    pub held: usize,
    /// The leases of edges that have not acknowledged the change, those too that have ended a while ago.
    pub behind: Vec<Lease>,
}

/// What an edge says with a sync that it has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The edge.
    pub edge: String,
    /// The place up to which it has applied all changes.
    pub position: Position,
}

/// The keys whose verdicts a change can alter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AffectedKeys {
    /// Every value of one key, by its id.
    Key(String),
    /// Every value of every key of one user, by its id.
    User(String),
    /// One value, whoever's it will be: somebody may have asked for it before.
    Value(KeyDigest),
    /// Every value of each key that has one of these values.
    KeysWith(Vec<KeyDigest>),
}

/// How a change came into force, told to whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The revision that the change made.
    pub revision: u64,
    /// How many edges held a lease when it was committed.
    pub edges: usize,
    /// How many of them have acknowledged it.
    pub acknowledged: usize,
    /// How many lost their lease without having acknowledged it.
    pub expired: usize,
    /// How long that took after the commit, in milliseconds.
    pub elapsed_ms: u64,
    /// Whether it waited for leases from before a start, which nothing is known of.
    pub lost_leases: bool,
}

/// How far a change has come on its way into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many edges held a lease when it was committed.
    pub edges: usize,
    /// How many of them have acknowledged it.
    pub acknowledged: usize,
    /// How many lost their lease without having acknowledged it.
    pub expired: usize,
    /// A few of the others by their ids, of which each, known whole, lets its bearer acknowledge for that edge.
    pub named: Vec<String>,
    /// When the last of the others' leases ends, in milliseconds from now; `None` if there are none.
    pub ends_in_ms: Option<u64>,
    /// For how long leases that were forgotten may still run, in milliseconds; `None` if there are none.
    pub lost_leases_for_ms: Option<u64>,
}

/// The database as the lease protocol uses it. Each function but the last three is one transaction.
pub trait LeaseStore: Sync {
    /// Why the database failed.
    type Error: Send;
    /// A change that has begun.
    type Change<'l>: Change<Error = Self::Error>
    where
        Self: 'l;

    /// Takes the revision lock and raises the revision. Until the change ends, nobody else can.
    fn begin(&self) -> impl Future<Output = Result<Self::Change<'_>, Self::Error>> + Send;

    /// Remembers an edge: the highest place of this epoch that it has ever acknowledged, and its lease from now. Returns
    /// when every other process sees it.
    fn record(&self, renewal: LeaseRenewal) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What happened since then; without a place of this epoch, [`History::changed`] is `None`.
    fn history(&self, since: Option<&Position>) -> impl Future<Output = Result<History, Self::Error>> + Send;

    /// Who holds a lease, and who has not acknowledged a place. An acknowledgement of another epoch than the present one
    /// counts as none. Fails if the place itself is of another epoch: the change that made it may be lost.
    fn leases(&self, position: &Position) -> impl Future<Output = Result<Leases, Self::Error>> + Send;

    /// Verdicts and the place they belong to, from a snapshot begun now.
    fn verdicts(
        &self,
        digests: &[KeyDigest],
    ) -> impl Future<Output = Result<VerifyResponse, Self::Error>> + Send;

    /// Commits something that alters nothing, as durably as a change is committed: when it returns, a failover keeps all that
    /// could be read before. It takes no lock, raises no revision and wakes no edge.
    fn flush(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waits until the history may have gone beyond a place, or the time is over. Returns `false` if nothing was heard of
    /// that.
    fn wait_for_change(&self, beyond: &Position, at_most: Duration) -> impl Future<Output = bool> + Send;

    /// Waits until an edge acknowledges something to this process, or the time is over. Returns all that were heard since
    /// this was last asked; some may be missing, as those are that other processes hear.
    fn acknowledgements(&self, at_most: Duration) -> impl Future<Output = Vec<Acknowledgement>> + Send;

    /// Milliseconds of a monotonic clock.
    fn monotonic_ms(&self) -> u64;
}

/// A change that has begun. Dropped before [`Change::commit`], it leaves no trace.
pub trait Change: Send {
    /// Why the database failed.
    type Error: Send;

    /// The digests of the affected keys, as they are now.
    fn digests(
        &mut self,
        affected: &AffectedKeys,
    ) -> impl Future<Output = Result<Vec<KeyDigest>, Self::Error>> + Send;

    /// Writes down that these digests' verdicts may have changed, and commits. Returns the place the change made.
    fn commit(self, changed: &[KeyDigest]) -> impl Future<Output = Result<Position, Self::Error>> + Send;

    /// Ends without a trace. Returns the place there was before.
    fn abandon(self) -> impl Future<Output = Result<Position, Self::Error>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_covers_clocks_that_differ_by_a_seventh_whatever_the_lease() {
        for lease_ms in [6_000, 6_001, 14_000, 62_000, 3_600_000] {
            let margin_ms = LeaseConfig::least_margin_ms(lease_ms);
            let config = LeaseConfig { hold_ms: 2_000, lease_ms, margin_ms };
            // An edge's clock that counts six sevenths of the time that passes: its lease lasts longer than the edge thinks.
            assert!(config.lasts_ms() * 6 >= lease_ms * 7, "{config:?}");
            assert_eq!(config.check(), Ok(config));
            let short = LeaseConfig { margin_ms: margin_ms - 1, ..config };
            assert_eq!(short.check(), Err(LeaseConfigError::MarginTooShort { least_ms: margin_ms }));
        }
        assert_eq!(
            LeaseConfig::default().margin_ms,
            LeaseConfig::least_margin_ms(LeaseConfig::default().lease_ms)
        );
    }
}
