//! The service side of the lease protocol. Edges answer from their caches while they hold a lease, and a revocation returns
//! when every edge has acknowledged it or lost its lease. `docs/revocation.md` explains the protocol.
//!
//! - [`sync`] answers an edge's subscription: it records the lease, then returns what has changed;
//! - [`change`] makes a change that can alter a verdict, and [`propagation`] waits until every edge has it;
//! - [`verify`] answers with the verdicts of keys.
//!
//! All of it uses a [`LeaseStore`]: the database in production, a model of one in the simulation.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use protocol::{KeyDigest, Node, VerifyResponse};

pub mod change;
pub mod propagation;
pub mod sync;
pub mod verify;

/// A position in the history of changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Names the history. A new database has its own epoch, and so does one that was restored from a backup.
    pub epoch: String,
    /// The number of changes so far.
    pub revision: u64,
}

/// How long leases last, and how long a sync is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// How long a sync is held while nothing changes, in milliseconds.
    pub hold_ms: u64,
    /// The length of a lease, in milliseconds from when the edge sent the sync.
    pub lease_ms: u64,
    /// How much longer a change waits for a lease, in milliseconds, because clocks run at different speeds.
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
    /// The lease would run out while the next sync is held.
    #[error("the lease must be at least twice the hold plus 2 s: {least_ms} ms")]
    LeaseTooShort {
        /// The shortest valid lease for this hold, in milliseconds.
        least_ms: u64,
    },
    /// An edge whose clock is slow would still hold its lease when the service counts it as ended.
    #[error("the margin must be at least 1 s, or a sixth of the lease if that is longer: {least_ms} ms")]
    MarginTooShort {
        /// The shortest valid margin for this lease, in milliseconds.
        least_ms: u64,
    },
}

/// The shortest margin of any lease, in milliseconds. It allows for clocks that are set by a little.
const LEAST_MARGIN_MS: u64 = 1_000;

/// The margin is at least the lease divided by this. With a sixth, the speeds of two clocks may differ by one seventh, 14 %.
const LEASE_PER_MARGIN: u64 = 6;

impl LeaseConfig {
    /// The shortest and default margin for a lease, in milliseconds. It grows with the lease, because the error of a slow clock
    /// grows with time.
    pub fn least_margin_ms(lease_ms: u64) -> u64 {
        lease_ms.div_ceil(LEASE_PER_MARGIN).max(LEAST_MARGIN_MS)
    }

    /// How long a change waits for a lease at most, in milliseconds: the lease and its margin.
    pub fn lasts_ms(self) -> u64 {
        self.lease_ms.saturating_add(self.margin_ms)
    }

    /// Checks that an edge can renew its lease in time, and that a change waits long enough for a lease.
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
    /// The position up to which it has applied all changes; `None` at first.
    pub acknowledged: Option<Position>,
    /// How long its lease lasts, margin included, in milliseconds from when it is recorded, by the database's clock.
    pub lasts_ms: u64,
    /// When keys were last used, as [`protocol::SyncRequest::used`].
    pub used: BTreeMap<String, u64>,
    /// The Envoy that it runs in.
    pub node: Node,
}

/// The changes since a position, from one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The latest position.
    pub position: Position,
    /// The digests whose verdicts may have changed; `None` if that is unknown.
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

/// The leases that a change may have to wait for, from one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leases {
    /// The database's clock when they were read, in milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
    /// The longest time left of any lease, in milliseconds. It limits leases from before the database's clock was set back.
    pub longest_ms: u64,
    /// Leases that the database may have lost end by this time, in milliseconds since 1970-01-01 UTC. Each loss changes it.
    pub lost_leases_until_ms: i64,
    /// The number of edges that hold a lease.
    pub held: usize,
    /// The leases of edges that have not acknowledged the change. Some may have ended.
    pub behind: Vec<Lease>,
}

/// The acknowledgement that an edge sends with a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The edge.
    pub edge: String,
    /// The position up to which it has applied all changes.
    pub position: Position,
}

/// The keys whose verdicts a change can alter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AffectedKeys {
    /// All values of one key, by its id.
    Key(String),
    /// All values of all keys of one user, by the user's id.
    User(String),
    /// One value that is added to a key. An edge may have cached that it is inactive.
    Value(KeyDigest),
    /// All values of each key that has one of these values.
    KeysWith(Vec<KeyDigest>),
}

/// How a change propagated to the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The revision that the change made.
    pub revision: u64,
    /// The number of edges that held a lease when it was committed.
    pub edges: usize,
    /// The number of these edges that acknowledged it.
    pub acknowledged: usize,
    /// The number of these edges that lost their lease without an acknowledgement.
    pub expired: usize,
    /// The time from the commit until the last of them, in milliseconds.
    pub elapsed_ms: u64,
    /// Whether it also waited for leases that the database had lost.
    pub lost_leases: bool,
}

/// How far a change has propagated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The number of edges that held a lease when it was committed.
    pub edges: usize,
    /// The number of these edges that acknowledged it.
    pub acknowledged: usize,
    /// The number of these edges that lost their lease without an acknowledgement.
    pub expired: usize,
    /// The ids of a few of the other edges. They are secret: with an edge token, an id suffices to acknowledge for its edge.
    pub named: Vec<String>,
    /// When the last of the other edges' leases ends, in milliseconds from now; `None` if there are none.
    pub ends_in_ms: Option<u64>,
    /// How long leases that the database lost may still run, in milliseconds; `None` if there are none.
    pub lost_leases_for_ms: Option<u64>,
}

/// The database of the lease protocol. Each function but the last three is one transaction.
pub trait LeaseStore: Sync {
    /// A failure of the database.
    type Error: Send;
    /// A change that has begun.
    type Change<'l>: Change<Error = Self::Error>
    where
        Self: 'l;

    /// Takes the revision lock and increments the revision. No other change can begin until this one ends.
    fn begin(&self) -> impl Future<Output = Result<Self::Change<'_>, Self::Error>> + Send;

    /// Records the lease of an edge from now on, and the highest position of this epoch that the edge ever acknowledged.
    /// When it returns, every other process can read both.
    fn record(&self, renewal: LeaseRenewal) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The changes since a position. [`History::changed`] is `None` without a position of the current epoch.
    fn history(&self, since: Option<&Position>) -> impl Future<Output = Result<History, Self::Error>> + Send;

    /// The edges that hold a lease, and those of them that have not acknowledged a position. An acknowledgement of another
    /// epoch does not count. Fails if the position itself belongs to another epoch, because its change may be lost.
    fn leases(&self, position: &Position) -> impl Future<Output = Result<Leases, Self::Error>> + Send;

    /// Verdicts, and the position they belong to, from a snapshot that begins now.
    fn verdicts(
        &self,
        digests: &[KeyDigest],
    ) -> impl Future<Output = Result<VerifyResponse, Self::Error>> + Send;

    /// Makes everything that can be read now as durable as a committed change: a failover keeps it. It takes no lock, does
    /// not increment the revision and notifies no edge.
    fn flush(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waits until the latest position may be beyond this one, or for `at_most`. Returns `false` if no later position is
    /// known.
    fn wait_for_change(&self, beyond: &Position, at_most: Duration) -> impl Future<Output = bool> + Send;

    /// Waits until this process receives an acknowledgement, or for `at_most`. Returns those received since the last call.
    /// Some may be missing, such as all that other processes receive.
    fn acknowledgements(&self, at_most: Duration) -> impl Future<Output = Vec<Acknowledgement>> + Send;

    /// Milliseconds of a monotonic clock.
    fn monotonic_ms(&self) -> u64;
}

/// A change that has begun. Dropping it before [`Change::commit`] rolls it back.
pub trait Change: Send {
    /// A failure of the database.
    type Error: Send;

    /// The digests of the affected keys, as they are now.
    fn digests(
        &mut self,
        affected: &AffectedKeys,
    ) -> impl Future<Output = Result<Vec<KeyDigest>, Self::Error>> + Send;

    /// Records that the verdicts of these digests may have changed, and commits. Returns the position of the change.
    fn commit(self, changed: &[KeyDigest]) -> impl Future<Output = Result<Position, Self::Error>> + Send;

    /// Rolls back. Returns the position before the change.
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
            // The edge's clock counts six sevenths of the time that passes, so its lease lasts longer than it should.
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
