//! How a request ends.

use protocol::KeyDigest;

use super::Filter;
use crate::clock::Moment;
use crate::decision::{Denial, Grant};
use crate::lookup::StreamId;
use crate::metrics::Counter;
use crate::reply::Reply;
use crate::request::RequestHead;

/// What to do with a request that arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Forward it or answer it.
    Decided(Outcome),
    /// Hold it until the lookup of this digest ends, which gives its [`Outcome`].
    Hold(KeyDigest),
}

/// How a request ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is forwarded without identity.
    ForwardPublic {
        /// Whether its key is removed.
        hides_key: bool,
    },
    /// It is forwarded with the identity of the grant.
    Forward(Grant),
    /// It is answered.
    Reply(Reply),
}

/// How held requests end.
pub type Outcomes = Vec<(StreamId, Outcome)>;

impl Filter {
    pub(super) fn forward_public(&mut self, head: &RequestHead<'_>) -> Outcome {
        self.metrics.count(Counter::Public);
        Outcome::ForwardPublic { hides_key: self.policy.hide_credentials && head.presents_key() }
    }

    pub(super) fn conclude(&mut self, decision: Result<Grant, Denial>, now: Moment) -> Outcome {
        match decision {
            Ok(grant) => {
                self.metrics.count(Counter::Forwarded);
                self.usage.note(grant.principal(), now);
                Outcome::Forward(grant)
            }
            Err(denial) => self.deny(denial),
        }
    }

    /// Every denial is counted and answered here.
    pub(super) fn deny(&mut self, denial: Denial) -> Outcome {
        self.metrics.count(denial.counter());
        Outcome::Reply(Reply::to(&denial, &self.policy.realm, self.policy.error_bodies))
    }
}
