//! What happens in the world, besides the service's own work.

use super::change::{Intent, Settled};
use crate::database::Broken;
use crate::edges::{Call, Reply};

/// What happens besides the service's own work.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Somebody sends a request.
    Request,
    /// A request that came at that moment reaches an edge, with one of the values there ever were.
    Arrives(usize, usize, u64),
    /// Somebody changes something.
    Change,
    /// Somebody asks again for a change.
    Repeats(Intent),
    /// Old changes are forgotten.
    Prune,
    /// Each replica looks whether leases are shorter than they were.
    LowerLongest,
    /// Something goes down.
    Outage,
    /// A replica, in that start of it, has served for long enough since it was told to end, and is gone for a while.
    ReplicaEnds(usize, u64, u64),
    /// A replica starts again.
    ReplicaStarts(usize),
    /// A replica goes on after it stood still.
    ReplicaContinues(usize),
    /// The database answers again.
    DatabaseStarts,
    /// An edge's proxy looks whether something is due.
    Pump(usize, u64),
    /// A question reaches the service.
    Asked(usize, u64, Call, bool),
    /// An answer, or the lack of one, reaches an edge.
    Answered(usize, u64, u32, Option<Reply>),
    /// A question or answer to an edge travels no more.
    Reconnect(usize),
    /// An edge goes on after it stood still.
    Continues(usize, u64),
    /// There are no more clients and faults.
    ComesToRest,
    /// Every edge is asked a last time.
    LastRequests,
    /// That was all.
    End,
}

/// What a task of the service has made.
pub(super) enum Made {
    Answer { edge: usize, generation: u64, call: u32, reply: Option<Reply>, is_duplicate: bool },
    Change(Result<Settled, Broken>),
}

/// What of an edge's messages is lost for a while.
#[derive(Clone, Copy, Debug)]
pub(super) enum CutOff {
    Everything,
    Syncs,
}

/// `Err` says what happened that must not.
pub(super) type Checked = Result<(), String>;
