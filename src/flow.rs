//! One request's way through the filter: what arrives, what it waits for, what becomes of it.
//!
//! Nothing here touches a host or a clock: each function takes what happened and returns what is to be done.

use protocol::KeyDigest;

use crate::answer::{Answer, NoAnswer};
use crate::cache::{Verdict, VerdictCache};
use crate::clock::Millis;
use crate::config::{CacheLimits, LookupLimits, Policy};
use crate::credential::Credential;
use crate::decision::{Denial, Grant, decide};
use crate::lookup::{Call, CallId, Full, Lookups, StreamId, Waiter};
use crate::reply::Reply;
use crate::request::{Ambiguity, RequestHead};
use crate::route::Access;

#[cfg(test)]
mod tests;

/// What is to be done with a request now.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Let it pass, without identity: its route is public.
    ForwardPublic,
    /// Let it pass, with the identity that the grant carries.
    Forward(Grant),
    /// Answer it.
    Reply(Reply),
    /// Hold it until the flight of this digest lands.
    Wait(KeyDigest),
}

/// The state of one edge: one filter configuration in one VM.
#[derive(Debug)]
pub struct Edge {
    policy: Policy,
    cache: VerdictCache,
    lookups: Lookups,
}

impl Edge {
    /// An edge that knows no key yet.
    pub fn new(policy: Policy, cache: CacheLimits, lookups: LookupLimits) -> Self {
        Edge { policy, cache: VerdictCache::new(cache), lookups: Lookups::new(lookups) }
    }

    /// What the edge was configured to do.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A request arrives.
    pub fn arrive(
        &mut self,
        head: Result<&RequestHead<'_>, Ambiguity>,
        stream: StreamId,
        now: Millis,
    ) -> Step {
        let head = match head {
            Ok(head) => head,
            Err(ambiguity) => return self.deny(Denial::Ambiguous(ambiguity)),
        };
        if head.is_preflight && self.policy.forward_preflights {
            return Step::ForwardPublic;
        }
        let required = match self.policy.routes.classify(head) {
            Access::Public => return Step::ForwardPublic,
            Access::Authenticated(scope) => scope,
        };
        let digest = match Credential::of(head.bearer_token) {
            Credential::Missing => return self.deny(Denial::Missing),
            Credential::Impossible => return self.deny(Denial::Invalid),
            Credential::Key(digest) => digest,
        };
        match self.cache.get(&digest, now) {
            Some(verdict) => {
                let decision = decide(verdict, required);
                self.conclude(decision)
            }
            None => {
                let waiter = Waiter { stream, required: required.clone() };
                match self.lookups.join(digest, waiter) {
                    Ok(()) => Step::Wait(digest),
                    Err(Full) => self.deny(Denial::Overloaded),
                }
            }
        }
    }

    /// A waiting request's client has gone.
    pub fn leave(&mut self, digest: &KeyDigest, stream: StreamId) {
        self.lookups.leave(digest, stream);
    }

    /// A waiting request cannot be served: nobody would ask for it.
    pub fn give_up(&mut self, digest: &KeyDigest, stream: StreamId) -> Step {
        self.leave(digest, stream);
        self.deny(Denial::Unavailable)
    }

    /// The next question to send, if there is one.
    pub fn next_question(&mut self) -> Option<Vec<KeyDigest>> {
        self.lookups.next_batch()
    }

    /// A question was sent.
    pub fn asked(&mut self, id: CallId, digests: Vec<KeyDigest>, now: Millis) {
        self.lookups.sent(id, Call { digests, asked_at: now });
    }

    /// A question could not be sent: those who wait for it hear so at once.
    pub fn not_asked(&mut self, digests: &[KeyDigest]) -> Vec<(StreamId, Step)> {
        digests.iter().flat_map(|digest| self.land(digest, None)).collect()
    }

    /// A question has ended. `read` is given how many digests it asked about, and reads the answer.
    ///
    /// Returns what is to be done with everyone who waited, and why there was no answer if there was none.
    pub fn answered(
        &mut self,
        id: CallId,
        read: impl FnOnce(usize) -> Result<Vec<Answer>, NoAnswer>,
    ) -> (Vec<(StreamId, Step)>, Result<(), NoAnswer>) {
        let Some(Call { digests, asked_at }) = self.lookups.ended(id) else { return (Vec::new(), Ok(())) };
        match read(digests.len()) {
            Err(no_answer) => (self.not_asked(&digests), Err(no_answer)),
            Ok(answers) => {
                let mut steps = Vec::new();
                for (digest, Answer { verdict, expires_in_ms }) in digests.iter().zip(answers) {
                    self.cache.insert(*digest, &verdict, asked_at, expires_in_ms);
                    steps.extend(self.land(digest, Some(verdict)));
                }
                (steps, Ok(()))
            }
        }
    }

    /// Ends a flight: decides for everyone who waited for it. Without a verdict nothing is known of the key.
    fn land(&mut self, digest: &KeyDigest, verdict: Option<Verdict>) -> Vec<(StreamId, Step)> {
        let waiters = self.lookups.land(digest);
        let decided = waiters.into_iter().map(|waiter| {
            let decision = match &verdict {
                Some(verdict) => decide(verdict.clone(), &waiter.required),
                None => Err(Denial::Unavailable),
            };
            (waiter.stream, self.conclude(decision))
        });
        decided.collect()
    }

    fn conclude(&self, decision: Result<Grant, Denial>) -> Step {
        match decision {
            Ok(grant) => Step::Forward(grant),
            Err(denial) => self.deny(denial),
        }
    }

    /// The one exit of every denial.
    fn deny(&self, denial: Denial) -> Step {
        Step::Reply(Reply::to(&denial, &self.policy.realm, self.policy.error_bodies))
    }
}
