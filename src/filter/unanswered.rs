//! Requests whose lookup brings no answer: there is no room to wait, or the callout fails.

use protocol::KeyDigest;

use super::{Filter, Outcome, Outcomes};
use crate::clock::Moment;
use crate::decision::{Denial, Grant};
use crate::lookup::{StreamId, Waiter};
use crate::metrics::Counter;
use crate::mode::Mode;
use crate::verdict::Verdict;

impl Filter {
    /// Decides a request for which there is no room to wait. It may use a stale verdict only if the key service does
    /// not answer.
    pub(super) fn refuse(&mut self, digest: &KeyDigest, waiter: &Waiter, now: Moment) -> Outcome {
        let decision = match self.is_unanswered {
            true => self.without_answer(digest, waiter, Denial::Overloaded, now),
            false => Err(Denial::Overloaded),
        };
        self.conclude(decision, waiter.mode, now)
    }

    /// The host cannot wake the root context, so the lookup of this request would never be sent.
    pub fn give_up(&mut self, digest: &KeyDigest, stream: StreamId) -> Outcome {
        let waiter = self.lookups.leave(digest, stream);
        let mode = waiter.map_or(Mode::Enforce, |waiter| waiter.mode);
        self.deny(Denial::Unavailable, mode)
    }

    /// The callout of these lookups failed or could not be sent. All its requests end.
    pub fn lookups_failed(&mut self, digests: &[KeyDigest], now: Moment) -> Outcomes {
        self.metrics.count(Counter::CalloutsFailed);
        (self.is_unanswered, self.refuses_queued) = (true, true);
        self.lease.lookups_failed();
        let mut outcomes = Vec::new();
        for digest in digests {
            self.finish_unanswered(digest, &mut outcomes, now);
        }
        outcomes
    }

    /// The outcomes of requests that are refused: they were evicted, or a callout failed while their lookup was
    /// queued. Call this after all callouts that can be sent.
    pub fn refused(&mut self, now: Moment) -> Outcomes {
        let mut outcomes = std::mem::take(&mut self.refused);
        if std::mem::take(&mut self.refuses_queued) {
            while let Some(digest) = self.lookups.first_queued() {
                self.finish_unanswered(&digest, &mut outcomes, now);
            }
        }
        outcomes
    }

    fn finish_unanswered(&mut self, digest: &KeyDigest, outcomes: &mut Outcomes, now: Moment) {
        for waiter in self.lookups.finish(digest, true) {
            let decision = self.without_answer(digest, &waiter, Denial::Unavailable, now);
            outcomes.push((waiter.stream, self.conclude(decision, waiter.mode, now)));
        }
    }

    /// Decides without an answer: by a stale verdict if the configuration allows it, else with the denial.
    fn without_answer(
        &mut self,
        digest: &KeyDigest,
        waiter: &Waiter,
        denial: Denial,
        now: Moment,
    ) -> Result<Grant, Denial> {
        self.stale_verdict(digest, now).ok_or(denial).and_then(|verdict| waiter.decide(verdict))
    }

    /// An active verdict that `on_unavailable` allows to be used after the end of its lease.
    fn stale_verdict(&mut self, digest: &KeyDigest, now: Moment) -> Option<Verdict> {
        if self.policy.serve_stale_ms.is_none() || !self.lease.allows_stale(now) {
            return None;
        }
        let verdict = self.cache.get(digest, now).filter(|verdict| *verdict != Verdict::Inactive)?;
        self.metrics.count(Counter::Stale);
        Some(verdict)
    }
}
