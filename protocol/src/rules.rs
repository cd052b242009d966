//! The rules that keep a cached verdict from outliving a revocation, by name.
//!
//! Each stands at one place in the code of the edge or of the key service, as `holds(Rule::…)`. It always holds, and
//! costs nothing. With the feature `mutants`, which the simulation alone uses, a thread can break one rule, to show
//! that the simulation notices. What the database sees to, in the store's SQL, stands in the simulation's model of it.

/// One rule. `docs/revocation.md` tells what goes wrong without each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Edge: an answer is cached only if its revision is not below the cursor.
    Fence,
    /// Edge: a cached verdict is used only while the lease is held.
    LeaseCheck,
    /// Edge: an answer serves requests that came after it was asked for only if the lease vouches for it.
    Join,
    /// Edge: changes are applied before the cursor that acknowledges them is sent.
    ApplyBeforeAcknowledge,
    /// Edge: a lease runs from the moment its request was sent, not from the answer.
    LeaseFromSent,
    /// Edge: the wall clock ends a lease too, for the monotonic one stands still while a machine is suspended.
    WallClock,
    /// Service: a lease is recorded as longer than it is granted, for clocks differ.
    Margin,
    /// Service: a lease is recorded before the changes that its answer tells are read.
    RecordBeforeRead,
    /// Service: changes and the revision they lead to are read from one snapshot.
    ChangesWithRevision,
    /// Service: verdicts and the revision they belong to are read from one snapshot.
    VerdictsWithRevision,
    /// Service: a verify is answered from a snapshot begun after it arrived.
    FreshVerify,
    /// Service: a repeated delete waits as the first one does.
    RepeatedDeleteWaits,
    /// Service: a change takes the revision lock before it reads what it touches.
    LockFirst,
    /// Service: a change waits for the leases there were when it was committed, not for later ones.
    FrozenWaitSet,
    /// Database: a lease ends by the database's clock, not by a replica's own.
    DatabaseClock,
    /// Database: an acknowledgement counts in the history that it was made in.
    AcknowledgedInLog,
    /// Database: a change of a history that is no more is not said to be in force.
    SettledInLog,
    /// Database: after a loss of the leases, it is written down that they are forgotten before anything is read.
    ForgottenFirst,
    /// Database: leases that are forgotten count as long as the longest that any replica grants.
    LongestLease,
    /// Database: a history that may have lost changes gets another log id.
    NewLog,
    /// Database: a cursor from before what was pruned is told to forget everything.
    PrunedIsReset,
    /// Database: of all replicas, one at a time makes a change.
    OneWriter,
    /// Service: a read that is made for a group begins after all its members have asked.
    GroupAfterMembers,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 23] = [
        Rule::Fence,
        Rule::LeaseCheck,
        Rule::Join,
        Rule::ApplyBeforeAcknowledge,
        Rule::LeaseFromSent,
        Rule::WallClock,
        Rule::Margin,
        Rule::RecordBeforeRead,
        Rule::ChangesWithRevision,
        Rule::VerdictsWithRevision,
        Rule::FreshVerify,
        Rule::RepeatedDeleteWaits,
        Rule::LockFirst,
        Rule::FrozenWaitSet,
        Rule::DatabaseClock,
        Rule::AcknowledgedInLog,
        Rule::SettledInLog,
        Rule::ForgottenFirst,
        Rule::LongestLease,
        Rule::NewLog,
        Rule::PrunedIsReset,
        Rule::OneWriter,
        Rule::GroupAfterMembers,
    ];
}

/// Whether the rule is in force.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn holds(_: Rule) -> bool {
    true
}

#[cfg(feature = "mutants")]
pub use mutants::{break_rule, holds};

#[cfg(feature = "mutants")]
mod mutants {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Whether the rule is in force on this thread.
    pub fn holds(rule: Rule) -> bool {
        BROKEN.get() != Some(rule)
    }

    /// Breaks one rule on this thread, or none.
    pub fn break_rule(rule: Option<Rule>) {
        BROKEN.set(rule);
    }
}
