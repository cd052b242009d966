//! How a request ends.

use protocol::KeyDigest;

use super::Filter;
use crate::clock::Moment;
use crate::decision::{Denial, Grant};
use crate::lookup::StreamId;
use crate::metrics::Counter;
use crate::mode::{Mode, Shadowed};
use crate::reply::Reply;
use crate::request::RequestHead;
use crate::route::LeftToUpstream;

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
    /// It is forwarded without identity and with its bearer token, which the upstream judges.
    LeaveToUpstream(LeftToUpstream),
    /// It is forwarded with the identity of the grant.
    Forward(Grant),
    /// It is forwarded without identity in shadow mode. Enforcing would refuse it.
    ForwardShadowed(Shadowed),
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

    pub(super) fn leave_to_upstream(&mut self, left: LeftToUpstream) -> Outcome {
        self.metrics.count(Counter::LeftToUpstream);
        Outcome::LeaveToUpstream(left)
    }

    pub(super) fn conclude(&mut self, decision: Result<Grant, Denial>, mode: Mode, now: Moment) -> Outcome {
        match decision {
            Ok(grant) => {
                self.metrics.count(Counter::Forwarded);
                self.usage.note(grant.principal(), now);
                Outcome::Forward(grant)
            }
            Err(denial) => self.deny(denial, mode),
        }
    }

    /// Every denial is counted here, and answered or waived.
    pub(super) fn deny(&mut self, denial: Denial, mode: Mode) -> Outcome {
        let enforced = match mode {
            Mode::Enforce => denial,
            Mode::Shadow(shadow) => match shadow.waive(denial) {
                Ok(shadowed) => return self.forward_shadowed(shadowed),
                Err(denial) => denial,
            },
        };
        self.metrics.count(enforced.counter());
        Outcome::Reply(self.replies.to(&enforced))
    }

    pub(super) fn forward_shadowed(&mut self, shadowed: Shadowed) -> Outcome {
        self.metrics.count(shadowed.counter());
        Outcome::ForwardShadowed(shadowed)
    }
}
