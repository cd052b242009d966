//! The lease protocol, service side: edges may answer from memory, and yet no revocation returns before every edge
//! has heard of it or has lost its lease. `docs/revocation.md` explains it.
//!
//! - [`sync`] answers an edge's subscription: records its lease, then tells it what changed;
//! - [`change`] makes a change that can alter a verdict, and [`settle`] waits until it is in force everywhere;
//! - [`verify`] answers what keys are worth.
//!
//! All of it is written against a [`Ledger`]: the database in production, a model of one in the simulation.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use protocol::{KeyDigest, VerifyResponse};
use serde::Serialize;

pub mod change;
pub mod settle;
pub mod sync;
pub mod verify;

/// A place in a history of changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Names the history; a database that was newly made, or restored from a backup, has another.
    pub log: String,
    /// How many changes were made.
    pub revision: u64,
}

/// How long edges are told they may rely on their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The longest a sync without news is held back, in milliseconds.
    pub hold_ms: u64,
    /// How long a lease is, in milliseconds from when the edge sent the sync.
    pub lease_ms: u64,
    /// How much longer than that a change waits for it, in milliseconds: for clocks that run differently.
    pub margin_ms: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { hold_ms: 2_000, lease_ms: 6_000, margin_ms: 1_000 }
    }
}

/// A lease shorter than this would run out while the next sync is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease must last at least twice the hold and 2 s more, {least_ms} ms")]
pub struct LeaseTooShort {
    /// The shortest lease that goes with the hold, in milliseconds.
    pub least_ms: u64,
}

impl Terms {
    /// How long a change waits for a lease at most, in milliseconds: the margin included.
    pub fn lasts_ms(self) -> u64 {
        self.lease_ms.saturating_add(self.margin_ms)
    }

    /// Whether edges can keep a lease under these terms.
    ///
    /// # Errors
    /// See [`LeaseTooShort`].
    pub fn check(self) -> Result<Self, LeaseTooShort> {
        let least_ms = self.hold_ms.saturating_mul(2).saturating_add(2_000);
        if self.lease_ms < least_ms { Err(LeaseTooShort { least_ms }) } else { Ok(self) }
    }
}

/// What a sync makes the service remember of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
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
    /// Leases of before may have been forgotten; none of those lasts beyond this. It changes whenever leases are
    /// forgotten.
    pub forgotten_until_ms: i64,
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

/// What a change is about: whose digests it touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
    #[serde(skip)]
    pub forgotten: bool,
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
    pub forgotten_for_ms: Option<u64>,
}

/// The database as the lease protocol uses it. Each function but the last three is one transaction.
pub trait Ledger: Sync {
    /// Why the database failed.
    type Error: Send;
    /// A change that has begun.
    type Change<'l>: Change<Error = Self::Error>
    where
        Self: 'l;

    /// Takes the revision lock and raises the revision. Until the change ends, nobody else can.
    fn begin(&self) -> impl Future<Output = Result<Self::Change<'_>, Self::Error>> + Send;

    /// Remembers an edge: the highest place of this log that it has ever acknowledged, and its lease from now. Returns
    /// when every other process sees it.
    fn record(&self, registration: Registration) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What happened since then; without a place of this log, [`History::changed`] is `None`.
    fn history(&self, since: Option<&Position>) -> impl Future<Output = Result<History, Self::Error>> + Send;

    /// Who holds a lease, and who has not acknowledged a place. An acknowledgement of another log than the present one
    /// counts as none. Fails if the place itself is of another log: the change that made it may be lost.
    fn leases(&self, position: &Position) -> impl Future<Output = Result<Leases, Self::Error>> + Send;

    /// Verdicts and the place they belong to, from a snapshot begun now.
    fn verdicts(
        &self,
        digests: &[KeyDigest],
    ) -> impl Future<Output = Result<VerifyResponse, Self::Error>> + Send;

    /// Waits until the history may have gone beyond a place, or the time is over. Returns `false` if nothing was heard of
    /// that.
    fn news(&self, beyond: &Position, at_most: Duration) -> impl Future<Output = bool> + Send;

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

    /// The digests that a change of this touches, as they are now.
    fn digests(
        &mut self,
        touched: &Touched,
    ) -> impl Future<Output = Result<Vec<KeyDigest>, Self::Error>> + Send;

    /// Writes down that these digests' verdicts may have changed, and commits. Returns the place the change made.
    fn commit(self, changed: &[KeyDigest]) -> impl Future<Output = Result<Position, Self::Error>> + Send;

    /// Ends without a trace. Returns the place there was before.
    fn abandon(self) -> impl Future<Output = Result<Position, Self::Error>> + Send;
}
