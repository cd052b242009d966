//! Statements: steps of transactions, and how they end.

use crate::database::{Database, Session};

/// A step of a transaction that happens later.
pub(crate) type Work = Box<dyn FnOnce(StatementOutcome<'_>) -> Done + Send>;

/// How a step ends.
pub(crate) enum StatementOutcome<'d> {
    /// It happens at that time.
    Happens(&'d mut Database, u64),
    /// It happens at that time, and the result is lost.
    HappensUnanswered(&'d mut Database, u64),
    /// It does not happen.
    Fails,
}

/// What the task of a step does next.
pub(crate) enum Done {
    /// It continues.
    Ready,
    /// It is blocked, and something else will wake it.
    Blocked,
}

/// How a step is sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statement {
    /// The batch that it joins.
    pub(crate) batch: Option<Batch>,
    /// The session whose connection it needs.
    pub(crate) session: Option<Session>,
    /// Whether it may happen after its connection has broken.
    pub(crate) may_outlive: bool,
}

/// Kinds of batched statements: while one batch is pending, the next one gathers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Records of leases.
    Records,
    /// Reads of the history.
    Histories,
    /// Reads of verdicts.
    Verdicts,
    /// Reads of the leases.
    Leases,
}
