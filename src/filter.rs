//! The state machine of the filter: each function takes an event and returns what the caller has to do.
//!
//! Nothing here calls the host or reads a clock.

use protocol::{ApiKey, Feature, Invalidation, KeyDigest, Node, SyncRequest, SyncResponse, VerifyRequest};

use crate::address::Address;
use crate::ambiguity::Ambiguity;
use crate::answer::{KeyAnswer, NoAnswer, VerifyAnswer};
use crate::cache::{CacheLimits, VerdictCache};
use crate::clock::Moment;
use crate::config::Policy;
use crate::credential::Credential;
use crate::decision::{Denial, decide};
use crate::lease::Lease;
use crate::lookup::{Callout, CalloutId, Full, Joined, LookupLimits, Lookups, StreamId, Waiter};
use crate::metrics::{Counter, Gauge, Histogram, Metrics};
use crate::mode::Mode;
use crate::reply::Replies;
use crate::request::RequestHead;
use crate::route::{Access, LeftToUpstream};
use crate::tag::Tag;
use crate::usage::Usage;

mod outcome;
mod shadow_waits;
#[cfg(test)]
mod tests;
mod unanswered;

pub use outcome::{Outcome, Outcomes, Step};
use shadow_waits::ShadowWaits;

/// The state of one filter configuration in one VM, which the key service knows as an edge.
#[derive(Debug)]
pub struct Filter {
    id: String,
    /// The Envoy, for the key service's list of edges.
    node: Node,
    policy: Policy,
    replies: Replies,
    cache: VerdictCache,
    lookups: Lookups,
    lease: Lease,
    usage: Usage,
    metrics: Metrics,
    held_a_lease: bool,
    /// Whether the latest callout of lookups failed.
    is_unanswered: bool,
    /// The requests in shadow mode that wait for lookups.
    shadow_waits: ShadowWaits,
    /// Whether the next [`Filter::refused`] refuses the queued lookups.
    refuses_queued: bool,
    /// The outcomes of evicted requests.
    refused: Outcomes,
}

impl Filter {
    /// A filter without a lease and with an empty cache. `id` is its random edge id, `node` the Envoy that it runs in, and
    /// `secret` is random: the cache recognises keys by it.
    pub fn new(
        id: String,
        node: Node,
        seed: u64,
        secret: [u8; 16],
        policy: Policy,
        cache: CacheLimits,
        lookups: LookupLimits,
    ) -> Self {
        Filter {
            id,
            node,
            cache: VerdictCache::new(cache, secret),
            lookups: Lookups::new(lookups),
            lease: Lease::new(seed, policy.serve_stale_ms.unwrap_or_default()),
            replies: Replies::new(policy.realm.clone(), policy.error_bodies),
            policy,
            usage: Usage::default(),
            metrics: Metrics::default(),
            held_a_lease: false,
            is_unanswered: false,
            shadow_waits: ShadowWaits::default(),
            refuses_queued: false,
            refused: Vec::new(),
        }
    }

    /// The configured policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The edge id that the key service knows.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A request arrives. `address` is called only if the request has to wait, and `now` only if it has a key, because each
    /// costs host calls.
    pub fn arrive(
        &mut self,
        head: Result<&RequestHead<'_>, Ambiguity>,
        address: impl FnOnce() -> Address,
        stream: StreamId,
        now: impl FnOnce() -> Moment,
    ) -> Step {
        let head = match head {
            Ok(head) => head,
            Err(ambiguity) => {
                return Step::Decided(self.deny(Denial::Ambiguous(ambiguity), self.policy.mode));
            }
        };
        let route = match self.policy.routes.classify(head) {
            Ok(route) => route,
            Err(ambiguity) => {
                return Step::Decided(self.deny(Denial::Ambiguous(ambiguity), self.policy.mode));
            }
        };
        if head.is_preflight && self.policy.forward_preflights {
            return Step::Decided(self.forward_public(head));
        }
        let mode = self.policy.mode.or(route.mode);
        let required = match route.access {
            Access::Public => return Step::Decided(self.forward_public(head)),
            Access::Authenticated(scope) => scope,
        };
        let token = match Credential::of(head.bearer_token) {
            Credential::Missing => return Step::Decided(self.deny(Denial::Missing, mode)),
            Credential::Impossible => {
                return self.refuse_token(route.leaves_to_upstream(head.bearer_token), mode);
            }
            Credential::Token(token) => token,
        };
        let (now, tag) = (now(), self.cache.tag(token));
        let may_use_cache = self.lease.is_held(now); // rule `LeaseCheck`
        match self.cache.get_by_tag(tag, now).filter(|_| may_use_cache || !self.policy.syncs()) {
            Some(verdict) => {
                let decision =
                    decide(verdict, required, route.locators.upstream_judges(), || route.requested(head));
                self.metrics.count(Counter::CacheHits);
                if let Some(age_ms) = self.lease.age_ms(now) {
                    self.metrics.lease_used(age_ms);
                }
                Step::Decided(self.conclude(decision, mode, now))
            }
            None => {
                let Ok(key) = ApiKey::parse(token) else {
                    return self.refuse_token(route.leaves_to_upstream(head.bearer_token), mode);
                };
                self.metrics.count(Counter::CacheMisses);
                let (requested, upstream_judges) = (route.requested(head), route.locators.upstream_judges());
                let waiter =
                    Waiter::new(stream, required.clone(), requested, upstream_judges, mode, address());
                self.wait(key.digest(), tag, waiter, now)
            }
        }
    }

    /// The bearer token cannot be a key.
    fn refuse_token(&mut self, left: Option<LeftToUpstream>, mode: Mode) -> Step {
        Step::Decided(match left {
            Some(left) => self.leave_to_upstream(left),
            None => self.deny(Denial::Invalid, mode),
        })
    }

    fn wait(&mut self, digest: KeyDigest, tag: Tag, waiter: Waiter, now: Moment) -> Step {
        let Waiter { stream, mode, .. } = waiter;
        let Joined { is_first, evicted } = match self.lookups.join(digest, tag, waiter) {
            Ok(joined) => joined,
            Err(Full(waiter)) => return Step::Decided(self.refuse(&digest, &waiter, now)),
        };
        if let Some((digest, waiter)) = evicted {
            let outcome = self.refuse(&digest, &waiter, now);
            self.refused.push((waiter.stream, outcome));
        }
        if let Mode::Shadow(shadow) = mode {
            self.shadow_waits.begin(shadow, digest, stream, now);
        }
        if self.policy.syncs() {
            self.lease.subscribe();
        }
        if !is_first {
            self.metrics.count(Counter::Joined);
        }
        Step::Hold(digest)
    }

    /// The client of a waiting request has gone.
    pub fn leave(&mut self, digest: &KeyDigest, stream: StreamId) {
        drop(self.lookups.leave(digest, stream));
        self.refused.retain(|(refused, _)| *refused != stream);
    }

    /// The request of the next callout of lookups, if there is one to send.
    pub fn next_lookups(&mut self) -> Option<VerifyRequest> {
        let digests = self.lookups.next_batch()?;
        self.metrics.add(Counter::Lookups, digests.len() as u64);
        Some(VerifyRequest { edge: self.id.clone(), digests, understands: vec![Feature::Restrictions] })
    }

    /// The callout of these lookups was sent.
    pub fn lookups_sent(&mut self, id: CalloutId, digests: Vec<KeyDigest>, now: Moment) {
        self.lookups.sent(id, Callout { digests, sent_at: now });
    }

    /// The callout of these lookups has ended. `read` takes the number of its digests and returns the answer.
    ///
    /// Returns the outcomes of the requests that are served, and why there was no answer if there was none; `None` if
    /// no such callout is outstanding. Requests that are not served are queued again: see [`Filter::next_lookups`].
    pub fn lookups_ended(
        &mut self,
        id: CalloutId,
        read: impl FnOnce(usize) -> Result<VerifyAnswer, NoAnswer>,
        now: Moment,
    ) -> Option<(Outcomes, Result<(), NoAnswer>)> {
        let Callout { digests, sent_at } = self.lookups.ended(id)?;
        self.metrics.sample(Histogram::VerifyMs, now.monotonic.saturating_sub(sent_at.monotonic));
        let answer = match read(digests.len()) {
            Ok(answer) => answer,
            Err(no_answer) => return Some((self.lookups_failed(&digests, now), Err(no_answer))),
        };
        self.is_unanswered = false;
        if self.lease.lookups_answered(now) {
            self.usage.reported(false);
        }
        if let Some(position) = self.lease.position().filter(|position| *position.epoch == *answer.epoch) {
            self.metrics.sample(Histogram::CursorLag, answer.revision.saturating_sub(position.cursor));
        }
        let may_be_cached = !self.policy.syncs() || self.lease.may_cache(&answer.epoch, answer.revision, now);
        let mut outcomes = Vec::new();
        for (digest, KeyAnswer { mut verdict, expires_in_ms }) in digests.iter().zip(answer.verdicts) {
            if may_be_cached {
                // The lookup ends below, so it is there.
                let Some(tag) = self.lookups.tag(digest) else { continue };
                let evicted = self.cache.insert(tag, *digest, &mut verdict, sent_at, expires_in_ms);
                self.metrics.add(Counter::Evictions, evicted);
            } else {
                // Without a further answer, the cached verdict could still be used as a stale one.
                self.cache.remove_unless_confirmed(digest, &verdict, sent_at, expires_in_ms);
            }
            // Rule `Join`. If the value has expired since the lookup was sent, the answer serves only requests that
            // were waiting then.
            let has_ended = expires_in_ms.is_some_and(|left_ms| sent_at.plus(left_ms).has_come(now))
                // Without a lease, an answer serves later requests for as long as the cache would.
                || (!self.policy.syncs() && self.cache.get(digest, now).is_none());
            for waiter in self.lookups.finish(digest, may_be_cached && !has_ended) {
                let decision = waiter.decide(verdict.clone());
                outcomes.push((waiter.stream, self.conclude(decision, waiter.mode, now)));
            }
        }
        Some((outcomes, Ok(())))
    }

    /// Milliseconds until a sync is due; `None` while none is.
    pub fn sync_due_in_ms(&self, now: Moment) -> Option<u64> {
        self.lease.due_in_ms(now)
    }

    /// The sync to send, if one is due. It counts as sent.
    pub fn next_sync(&mut self, now: Moment) -> Option<SyncRequest> {
        // Without requests, only this sees the clocks. It must notice the end of a lease before the wall clock is set
        // back.
        self.count_lease_changes(now);
        if self.lease.due_in_ms(now) != Some(0) {
            return None;
        }
        let may_be_held_back = self.lease.may_be_held_back(now);
        self.lease.sent(now);
        let position = self.lease.position();
        Some(SyncRequest {
            edge: self.id.clone(),
            epoch: position.map(|position| position.epoch.to_string()),
            cursor: position.map(|position| position.cursor),
            wait_ms: self.policy.sync_wait_ms.filter(|_| may_be_held_back).unwrap_or_default(),
            used: self.usage.report(),
            node: self.node.clone(),
        })
    }

    /// The callout of a sync has ended. Returns why there was no answer, if so; `None` if the sync was given up
    /// before.
    pub fn sync_ended(
        &mut self,
        answer: Result<SyncResponse, NoAnswer>,
        now: Moment,
    ) -> Option<Result<(), NoAnswer>> {
        if !self.lease.awaits_answer() {
            return None;
        }
        // Count a lease that ended before this answer, even if the answer grants the next one.
        self.count_lease_changes(now);
        let outcome = answer.inspect_err(|_| self.lease.failed(now)).and_then(|answer| {
            let asked_from_nothing = self.lease.position().is_none();
            self.lease.answered(&answer, now).map_err(|_| NoAnswer::Contradiction)?;
            let invalidation = if asked_from_nothing { Invalidation::Reset } else { answer.invalidation };
            self.apply(invalidation); // rule `ApplyBeforeAcknowledge`: the next sync sends the new cursor
            Ok(())
        });
        self.usage.reported(outcome.is_ok());
        if outcome.is_err() {
            self.metrics.count(Counter::CalloutsFailed);
        }
        self.count_lease_changes(now);
        Some(outcome)
    }

    fn apply(&mut self, invalidation: Invalidation) {
        match invalidation {
            Invalidation::Changed(digests) => digests.iter().for_each(|digest| self.cache.remove(digest)),
            Invalidation::Reset => {
                self.metrics.count(Counter::Resets);
                self.cache.clear();
            }
        }
    }

    fn count_lease_changes(&mut self, now: Moment) {
        let holds_one = self.lease.is_held(now);
        match (std::mem::replace(&mut self.held_a_lease, holds_one), holds_one) {
            (false, true) => self.metrics.count(Counter::LeasesGained),
            (true, false) => self.metrics.count(Counter::LeasesLost),
            _ => {}
        }
    }

    /// The metrics, with the gauges up to date.
    pub fn metrics(&mut self, now: Moment) -> &mut Metrics {
        self.count_lease_changes(now);
        let (active, inactive) = self.cached_verdicts();
        self.metrics.set(Gauge::CacheActive, active);
        self.metrics.set(Gauge::CacheInactive, inactive);
        self.metrics.set(Gauge::Waiting, self.lookups.waiting());
        self.metrics.set(Gauge::SyncOff, usize::from(!self.policy.syncs()));
        self.metrics.set(Gauge::Leases, usize::from(self.held_a_lease));
        &mut self.metrics
    }

    /// The numbers of active and inactive verdicts in the cache.
    pub fn cached_verdicts(&self) -> (usize, usize) {
        self.cache.sizes()
    }
}
