//! A step of a transaction: how it is sent, and what becomes of it.

use crate::database::{Database, Session};

/// A step of a transaction, or of waiting for one, that happens later.
pub type Work = Box<dyn FnOnce(Fate<'_>) -> Done + Send>;

/// What becomes of a step of a transaction.
pub enum Fate<'d> {
    /// It happens, at that time.
    Happens(&'d mut Database, u64),
    /// It happens, and nobody hears so.
    IsUntold(&'d mut Database, u64),
    /// It does not happen.
    Fails,
}

/// What came of a step of a transaction.
pub enum Done {
    /// The task that waits for it goes on.
    Ready,
    /// It waits for something else, which will make it go on.
    Blocked,
}

/// How a step of a transaction is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statement {
    /// It goes with others of its kind.
    pub group: Option<Group>,
    /// It goes over the connection of this session alone.
    pub session: Option<Session>,
    /// Sent once, it may happen though nobody waits for it any more.
    pub may_outlive: bool,
}

/// What is asked of the database in groups: while one group is under way, the next gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Leases are recorded.
    Records,
    /// Histories are read.
    Histories,
    /// Verdicts are read.
    Verdicts,
    /// It is read who holds a lease.
    Holders,
}
