//! One request's way through the filter: what arrives, what it waits for, what becomes of it.
//!
//! Nothing here touches a host or a clock: each function takes what happened and returns what is to be done.

use protocol::{KeyDigest, News, Scope, SyncRequest, SyncResponse};

use crate::address::Address;
use crate::ambiguity::Ambiguity;
use crate::answer::{KeyAnswer, NoAnswer, Verified};
use crate::cache::{CacheLimits, VerdictCache};
use crate::clock::Moment;
use crate::config::Policy;
use crate::credential::Credential;
use crate::decision::{Denial, Grant, decide};
use crate::lease::Lease;
use crate::lookup::{Call, CallId, Joined, LookupLimits, Lookups, StreamId, Waiter};
use crate::metrics::{Counter, Gauge, Histogram, Metrics};
use crate::reply::Reply;
use crate::request::RequestHead;
use crate::route::Access;
use crate::usage::Usage;
use crate::verdict::Verdict;

#[cfg(test)]
mod tests;

/// What is to be done with a request that arrives. What is not decided can only be held.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Forward it or answer it.
    Decided(Outcome),
    /// Hold it until the flight of this digest lands, which brings its [`Outcome`].
    Hold(KeyDigest),
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passes without identity: its route is public.
    ForwardPublic {
        /// Whether the key that it presents is kept from the upstream.
        hides_key: bool,
    },
    /// It passes with the identity that the grant carries.
    Forward(Grant),
    /// It is answered.
    Reply(Reply),
}

/// What becomes of requests that were held.
pub type Outcomes = Vec<(StreamId, Outcome)>;

/// The state of one edge: one filter configuration in one VM.
#[derive(Debug)]
pub struct Filter {
    id: String,
    policy: Policy,
    cache: VerdictCache,
    lookups: Lookups,
    lease: Lease,
    usage: Usage,
    metrics: Metrics,
    held_a_lease: bool,
    /// Whether the latest verify that has ended brought no answer.
    is_unanswered: bool,
    /// Whether that is so since what could not be sent was last refused.
    refuses_queued: bool,
    /// What is to be done with requests that had to give way.
    refused: Outcomes,
}

impl Filter {
    /// An edge that knows no key yet, by the random name it goes by.
    pub fn new(id: String, seed: u64, policy: Policy, cache: CacheLimits, lookups: LookupLimits) -> Self {
        Filter {
            id,
            cache: VerdictCache::new(cache),
            lookups: Lookups::new(lookups),
            lease: Lease::new(seed, policy.serve_stale_ms.unwrap_or_default()),
            policy,
            usage: Usage::default(),
            metrics: Metrics::default(),
            held_a_lease: false,
            is_unanswered: false,
            refuses_queued: false,
            refused: Vec::new(),
        }
    }

    /// What the edge was configured to do.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The name this edge goes by at the key service.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A request arrives. Its address is read only if it must wait.
    pub fn arrive(
        &mut self,
        head: Result<&RequestHead<'_>, Ambiguity>,
        address: impl FnOnce() -> Address,
        stream: StreamId,
        now: Moment,
    ) -> Step {
        let head = match head {
            Ok(head) => head,
            Err(ambiguity) => return Step::Decided(self.deny(Denial::Ambiguous(ambiguity))),
        };
        if head.is_preflight && self.policy.forward_preflights {
            return Step::Decided(self.forward_public(head));
        }
        let required = match self.policy.routes.classify(head) {
            Access::Public => return Step::Decided(self.forward_public(head)),
            Access::Authenticated(scope) => scope,
        };
        let digest = match Credential::of(head.bearer_token) {
            Credential::Missing => return Step::Decided(self.deny(Denial::Missing)),
            Credential::Impossible => return Step::Decided(self.deny(Denial::Invalid)),
            Credential::Key(digest) => digest,
        };
        let may_use_cache = self.lease.is_held(now); // rule `LeaseCheck`
        match self.cache.get(&digest, now).filter(|_| may_use_cache) {
            Some(verdict) => {
                let decision = decide(verdict, required);
                self.metrics.count(Counter::CacheHits);
                self.metrics.lease_used(self.lease.age_ms(now).unwrap_or_default());
                Step::Decided(self.conclude(decision, now))
            }
            None => {
                let required = required.clone();
                self.metrics.count(Counter::CacheMisses);
                self.wait(digest, Waiter::new(stream, required, address()), now)
            }
        }
    }

    fn wait(&mut self, digest: KeyDigest, waiter: Waiter, now: Moment) -> Step {
        let required = waiter.required.clone();
        let Ok(Joined { is_first, evicted }) = self.lookups.join(digest, waiter) else {
            return Step::Decided(self.refuse(&digest, &required, now));
        };
        if let Some((digest, waiter)) = evicted {
            let outcome = self.refuse(&digest, &waiter.required, now);
            self.refused.push((waiter.stream, outcome));
        }
        self.lease.subscribe();
        if !is_first {
            self.metrics.count(Counter::Joined);
        }
        Step::Hold(digest)
    }

    /// No room is left for a request to wait. An older verdict is used only if the key service does not answer either.
    fn refuse(&mut self, digest: &KeyDigest, required: &Scope, now: Moment) -> Outcome {
        let decision = match self.is_unanswered {
            true => self.without_answer(digest, required, Denial::Overloaded, now),
            false => Err(Denial::Overloaded),
        };
        self.conclude(decision, now)
    }

    /// A waiting request's client has gone.
    pub fn leave(&mut self, digest: &KeyDigest, stream: StreamId) {
        self.lookups.leave(digest, stream);
        self.refused.retain(|(refused, _)| *refused != stream);
    }

    /// A waiting request cannot be served: nobody would ask for it.
    pub fn give_up(&mut self, digest: &KeyDigest, stream: StreamId) -> Outcome {
        self.leave(digest, stream);
        self.deny(Denial::Unavailable)
    }

    /// The next question to send, if there is one.
    pub fn next_question(&mut self) -> Option<Vec<KeyDigest>> {
        let digests = self.lookups.next_batch()?;
        self.metrics.add(Counter::Lookups, digests.len() as u64);
        Some(digests)
    }

    /// A question was sent.
    pub fn asked(&mut self, id: CallId, digests: Vec<KeyDigest>, now: Moment) {
        self.lookups.sent(id, Call { digests, asked_at: now });
    }

    /// A question brought no answer, or could not be sent: everyone who waits for it hears so.
    pub fn not_answered(&mut self, digests: &[KeyDigest], now: Moment) -> Outcomes {
        self.metrics.count(Counter::CalloutsFailed);
        (self.is_unanswered, self.refuses_queued) = (true, true);
        self.lease.verify_failed();
        let mut outcomes = Vec::new();
        for digest in digests {
            self.land_unanswered(digest, &mut outcomes, now);
        }
        outcomes
    }

    /// What is to be done with requests that waited and are refused: others needed their room; or a verify brought no
    /// answer, and their question could not be sent yet. To be called when all questions are sent that can be.
    pub fn refused(&mut self, now: Moment) -> Outcomes {
        let mut outcomes = std::mem::take(&mut self.refused);
        if std::mem::take(&mut self.refuses_queued) {
            while let Some(digest) = self.lookups.first_queued() {
                self.land_unanswered(&digest, &mut outcomes, now);
            }
        }
        outcomes
    }

    fn land_unanswered(&mut self, digest: &KeyDigest, outcomes: &mut Outcomes, now: Moment) {
        for waiter in self.lookups.land(digest, true) {
            let decision = self.without_answer(digest, &waiter.required, Denial::Unavailable, now);
            outcomes.push((waiter.stream, self.conclude(decision, now)));
        }
    }

    /// What is decided without an answer: the denial, unless an older verdict may be used.
    fn without_answer(
        &mut self,
        digest: &KeyDigest,
        required: &Scope,
        denial: Denial,
        now: Moment,
    ) -> Result<Grant, Denial> {
        self.stale_verdict(digest, now).ok_or(denial).and_then(|verdict| decide(verdict, required))
    }

    /// What may be used in place of an answer, as far as the configuration allows: an active verdict, for a while after
    /// its lease has ended.
    fn stale_verdict(&mut self, digest: &KeyDigest, now: Moment) -> Option<Verdict> {
        if self.policy.serve_stale_ms.is_none() || !self.lease.allows_stale(now) {
            return None;
        }
        let verdict = self.cache.get(digest, now).filter(|verdict| *verdict != Verdict::Inactive)?;
        self.metrics.count(Counter::Stale);
        Some(verdict)
    }

    /// A question has ended. `read` is given how many digests it asked about, and reads the answer.
    ///
    /// Returns what is to be done with those who are served, and why there was no answer if there was none; `None` if no
    /// such question is out. Others may have to be asked for again: see [`Filter::next_question`].
    pub fn answered(
        &mut self,
        id: CallId,
        read: impl FnOnce(usize) -> Result<Verified, NoAnswer>,
        now: Moment,
    ) -> Option<(Outcomes, Result<(), NoAnswer>)> {
        let Call { digests, asked_at } = self.lookups.ended(id)?;
        self.metrics.sample(Histogram::VerifyMs, now.monotonic.saturating_sub(asked_at.monotonic));
        let answer = match read(digests.len()) {
            Ok(answer) => answer,
            Err(no_answer) => return Some((self.not_answered(&digests, now), Err(no_answer))),
        };
        self.is_unanswered = false;
        if self.lease.verify_answered(now) {
            self.usage.reported(false);
        }
        if let Some(position) = self.lease.position().filter(|position| *position.log == *answer.log) {
            self.metrics.sample(Histogram::CursorLag, answer.revision.saturating_sub(position.cursor));
        }
        let is_vouched_for = self.lease.vouches_for(&answer.log, answer.revision, now);
        let mut outcomes = Vec::new();
        for (digest, KeyAnswer { verdict, expires_in_ms }) in digests.iter().zip(answer.verdicts) {
            if verdict == Verdict::Inactive {
                self.cache.forget(digest);
            }
            if is_vouched_for {
                let evicted = self.cache.insert(*digest, &verdict, asked_at, expires_in_ms);
                self.metrics.add(Counter::Evictions, evicted);
            }
            // Rule `Join`.
            // Of a value that has ended since, the answer is right for those alone who came before it was asked for.
            let has_ended = expires_in_ms.is_some_and(|left_ms| asked_at.plus(left_ms).has_come(now));
            for waiter in self.lookups.land(digest, is_vouched_for && !has_ended) {
                let decision = decide(verdict.clone(), &waiter.required);
                outcomes.push((waiter.stream, self.conclude(decision, now)));
            }
        }
        Some((outcomes, Ok(())))
    }

    /// How many milliseconds until a sync is due; `None` while none is.
    pub fn sync_due_in_ms(&self, now: Moment) -> Option<u64> {
        self.lease.due_in_ms(now)
    }

    /// The sync to send, if one is due now; it counts as sent.
    pub fn next_sync(&mut self, now: Moment) -> Option<SyncRequest> {
        // Without requests, this alone reads the clocks: a lease that ends is noticed before they are set again.
        self.note_lease(now);
        if self.lease.due_in_ms(now) != Some(0) {
            return None;
        }
        let may_be_held_back = self.lease.may_be_held_back(now);
        self.lease.sent(now);
        let position = self.lease.position();
        Some(SyncRequest {
            edge: self.id.clone(),
            log: position.map(|position| position.log.to_string()),
            cursor: position.map(|position| position.cursor),
            wait_ms: if may_be_held_back { self.policy.sync_wait_ms } else { 0 },
            used: self.usage.report(),
        })
    }

    /// A sync has ended. Returns why it brought nothing, if so; `None` if it was given up, which changes nothing.
    pub fn synced(
        &mut self,
        answer: Result<SyncResponse, NoAnswer>,
        now: Moment,
    ) -> Option<Result<(), NoAnswer>> {
        if !self.lease.awaits_answer() {
            return None;
        }
        // A lease that ended before this answer was lost, however soon the next one comes.
        self.note_lease(now);
        let outcome = answer.inspect_err(|_| self.lease.failed(now)).and_then(|answer| {
            let asked_from_nothing = self.lease.position().is_none();
            self.lease.answered(&answer, now).map_err(|_| NoAnswer::Contradiction)?;
            let news = if asked_from_nothing { News::Reset } else { answer.news };
            self.apply(news); // rule `ApplyBeforeAcknowledge`: the next sync sends the new cursor
            Ok(())
        });
        self.usage.reported(outcome.is_ok());
        if outcome.is_err() {
            self.metrics.count(Counter::CalloutsFailed);
        }
        self.note_lease(now);
        Some(outcome)
    }

    fn apply(&mut self, news: News) {
        match news {
            News::Changed(digests) => digests.iter().for_each(|digest| self.cache.forget(digest)),
            News::Reset => {
                self.metrics.count(Counter::Resets);
                self.cache.clear();
            }
        }
    }

    fn note_lease(&mut self, now: Moment) {
        let holds_one = self.lease.is_held(now);
        match (std::mem::replace(&mut self.held_a_lease, holds_one), holds_one) {
            (false, true) => self.metrics.count(Counter::LeasesGained),
            (true, false) => self.metrics.count(Counter::LeasesLost),
            _ => {}
        }
    }

    /// The numbers to tell the host, as they are now.
    pub fn metrics(&mut self, now: Moment) -> &mut Metrics {
        self.note_lease(now);
        let (active, inactive) = self.remembered();
        self.metrics.set(Gauge::CacheActive, active);
        self.metrics.set(Gauge::CacheInactive, inactive);
        self.metrics.set(Gauge::Waiting, self.lookups.waiting());
        self.metrics.set(Gauge::Leases, usize::from(self.held_a_lease));
        &mut self.metrics
    }

    /// How many active and how many inactive verdicts are remembered.
    pub fn remembered(&self) -> (usize, usize) {
        self.cache.sizes()
    }

    fn forward_public(&mut self, head: &RequestHead<'_>) -> Outcome {
        self.metrics.count(Counter::Public);
        Outcome::ForwardPublic { hides_key: self.policy.hide_credentials && head.presents_key() }
    }

    fn conclude(&mut self, decision: Result<Grant, Denial>, now: Moment) -> Outcome {
        match decision {
            Ok(grant) => {
                self.metrics.count(Counter::Forwarded);
                self.usage.note(grant.holder(), now);
                Outcome::Forward(grant)
            }
            Err(denial) => self.deny(denial),
        }
    }

    /// The one exit of every denial.
    fn deny(&mut self, denial: Denial) -> Outcome {
        self.metrics.count(denial.counter());
        Outcome::Reply(Reply::to(&denial, &self.policy.realm, self.policy.error_bodies))
    }
}
