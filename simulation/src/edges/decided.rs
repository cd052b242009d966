//! How the requests at an edge end.

use edge_key_auth::filter;
use protocol::KeyDigest;

use crate::database::Validity;
use crate::oracle::Outcome;

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    /// The digest of its key.
    pub(crate) digest: KeyDigest,
    /// When it arrived.
    pub(crate) arrived: u64,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// Whether a stale verdict decided it.
    pub(crate) is_stale: bool,
    /// How much time neither clock of the edge may have counted, in microseconds: the wall clock was set back, and
    /// the machine was suspended.
    pub(crate) uncounted: u64,
}

impl From<&filter::Outcome> for Outcome {
    fn from(outcome: &filter::Outcome) -> Self {
        match outcome {
            filter::Outcome::Forward(_)
            | filter::Outcome::LeaveToUpstream(_)
            | filter::Outcome::ForwardPublic { .. }
            | filter::Outcome::ForwardShadowed(_) => Outcome::Decided(Validity::Good),
            filter::Outcome::Reply(reply) if reply.status == 401 => Outcome::Decided(Validity::Nothing),
            filter::Outcome::Reply(reply) if reply.status == 403 => Outcome::Decided(Validity::Known),
            filter::Outcome::Reply(_) => Outcome::Unavailable,
        }
    }
}
