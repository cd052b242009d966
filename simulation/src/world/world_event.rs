//! The events of the world.

use super::change::{Intent, Propagated};
use crate::database::Broken;
use crate::edges::{Callout, CalloutResponse};

/// An event of the world.
#[derive(Clone, Debug)]
pub(crate) enum WorldEvent {
    /// A client sends a request.
    Request,
    /// A request reaches an edge: the edge, the index of its value, and when the client sent it.
    Arrives(usize, usize, u64),
    /// An owner makes a change.
    Change,
    /// An owner repeats a change.
    Repeats(Intent),
    /// The history is pruned.
    Prune,
    /// Each replica checks whether its leases are shorter than the longest.
    LowerLongest,
    /// An outage begins.
    Outage,
    /// A draining replica ends, in that generation, and is away for a while.
    ReplicaEnds(usize, u64, u64),
    /// A replica starts again.
    ReplicaStarts(usize),
    /// A paused replica resumes.
    ReplicaResumes(usize),
    /// The database starts again.
    DatabaseStarts,
    /// The timer of an edge expires.
    Pump(usize, u64),
    /// A callout reaches the service.
    CalloutArrives(usize, u64, Callout, bool),
    /// A callout ends at its edge, with or without an answer.
    Answered(usize, u64, u32, Option<CalloutResponse>),
    /// An edge is no longer cut off.
    Reconnect(usize),
    /// A paused edge resumes.
    EdgeResumes(usize, u64),
    /// Clients and faults stop.
    ComesToRest,
    /// Every edge gets the last requests.
    LastRequests,
    /// The run ends.
    End,
}

/// The result of a task of the service.
pub(super) enum Made {
    Answer { edge: usize, generation: u64, callout: u32, reply: Option<CalloutResponse>, is_duplicate: bool },
    Change(Result<Propagated, Broken>),
}

/// Which messages of an edge are lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum CutOff {
    Everything,
    Syncs,
}

/// `Err` describes a violation.
pub(super) type Checked = Result<(), String>;
