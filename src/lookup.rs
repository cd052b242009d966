//! Questions to the key service: one outstanding for each digest, batched into callouts, with bounds.
//!
//! A *flight* is one question about one digest, from the first request that needs its answer until the answer is
//! there. Requests that come meanwhile with the same key wait for the same flight.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use protocol::{KeyDigest, MAX_DIGESTS_PER_VERIFY, Scope};

use crate::clock::Moment;
use crate::config::LookupLimits;

/// A request's id, as the host numbers its contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u32);

/// A callout's id, as the host numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub u32);

/// A request that waits for an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Whom to answer.
    pub stream: StreamId,
    /// What the request's route needs.
    pub required: Scope,
    /// Whether the question was sent after the request had arrived.
    was_asked_for: bool,
}

impl Waiter {
    /// A request that has just arrived.
    pub fn new(stream: StreamId, required: Scope) -> Self {
        Waiter { stream, required, was_asked_for: false }
    }
}

/// Too much waits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A callout that was sent: what it asked, and when.
#[derive(Debug)]
pub struct Call {
    /// The digests, in the order of the question.
    pub digests: Vec<KeyDigest>,
    /// When it was sent.
    pub asked_at: Moment,
}

/// All flights of one VM.
#[derive(Debug)]
pub struct Lookups {
    limits: LookupLimits,
    /// Who waits for which digest.
    flights: HashMap<KeyDigest, Vec<Waiter>>,
    /// The digests that no callout has asked about yet, in order.
    queued: Vec<KeyDigest>,
    calls: HashMap<CallId, Call>,
    waiting: usize,
}

impl Lookups {
    /// No flights.
    pub fn new(limits: LookupLimits) -> Self {
        Lookups { limits, flights: HashMap::new(), queued: Vec::new(), calls: HashMap::new(), waiting: 0 }
    }

    /// Waits for the answer about a digest: joins its flight, or queues a new one.
    ///
    /// # Errors
    /// [`Full`] when no further request, or no further digest, can wait.
    pub fn join(&mut self, digest: KeyDigest, waiter: Waiter) -> Result<(), Full> {
        if self.waiting >= self.limits.max_waiters {
            return Err(Full);
        }
        let in_flight = self.flights.len();
        match self.flights.entry(digest) {
            Entry::Occupied(flight) => flight.into_mut().push(waiter),
            Entry::Vacant(_) if in_flight >= self.limits.max_digests => return Err(Full),
            Entry::Vacant(place) => {
                place.insert(vec![waiter]);
                self.queued.push(digest);
            }
        }
        self.waiting += 1;
        Ok(())
    }

    /// Whether a request waits for the answer about this digest.
    pub fn is_waiting(&self, digest: &KeyDigest, stream: StreamId) -> bool {
        self.flights.get(digest).is_some_and(|waiters| waiters.iter().any(|waiter| waiter.stream == stream))
    }

    /// Forgets a waiter whose client has gone. The others are answered all the same; a question that nobody waits for
    /// and that was not sent yet is dropped.
    pub fn leave(&mut self, digest: &KeyDigest, stream: StreamId) {
        let Some(waiters) = self.flights.get_mut(digest) else { return };
        let before = waiters.len();
        waiters.retain(|waiter| waiter.stream != stream);
        self.waiting -= before - waiters.len();
        if waiters.is_empty()
            && let Some(at) = self.queued.iter().position(|queued| queued == digest)
        {
            self.queued.remove(at);
            self.flights.remove(digest);
        }
    }

    /// Takes the next callout's worth of queued digests. Whoever waits for them now has been asked for.
    pub fn next_batch(&mut self) -> Option<Vec<KeyDigest>> {
        let size = self.queued.len().min(MAX_DIGESTS_PER_VERIFY);
        let batch: Vec<KeyDigest> = self.queued.drain(..size).collect();
        for digest in &batch {
            let waiters = self.flights.get_mut(digest).into_iter().flatten();
            waiters.for_each(|waiter| waiter.was_asked_for = true);
        }
        (size > 0).then_some(batch)
    }

    /// Remembers that a batch was sent.
    pub fn sent(&mut self, id: CallId, call: Call) {
        self.calls.insert(id, call);
    }

    /// Takes back a callout that has ended, however it did.
    pub fn ended(&mut self, id: CallId) -> Option<Call> {
        self.calls.remove(&id)
    }

    /// Ends a digest's flight and hands over those whom its answer serves: everyone, or those alone who waited when the
    /// question was sent. The others are queued for another one. So nobody is asked for more than once.
    pub fn land(&mut self, digest: &KeyDigest, serves_everyone: bool) -> Vec<Waiter> {
        let waiters = self.flights.remove(digest).unwrap_or_default();
        let (served, late): (Vec<Waiter>, Vec<Waiter>) =
            waiters.into_iter().partition(|waiter| serves_everyone || waiter.was_asked_for);
        self.waiting -= served.len();
        if !late.is_empty() {
            self.flights.insert(*digest, late);
            self.queued.push(*digest);
        }
        served
    }

    /// Whether a question waits to be sent.
    pub fn has_questions(&self) -> bool {
        !self.queued.is_empty()
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many digests are asked about, or about to be.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookups(max_digests: usize, max_waiters: usize) -> Lookups {
        Lookups::new(LookupLimits { max_digests, max_waiters })
    }

    fn key(n: usize) -> KeyDigest {
        KeyDigest::of_value(&n.to_string())
    }

    fn waiter(stream: u32) -> Waiter {
        Waiter::new(StreamId(stream), Scope::All)
    }

    #[test]
    fn requests_with_one_key_share_one_question() {
        let mut lookups = lookups(10, 10);
        (0..3).for_each(|stream| lookups.join(key(1), waiter(stream)).unwrap());
        assert_eq!(lookups.next_batch(), Some(vec![key(1)]));
        assert_eq!(lookups.next_batch(), None);
        lookups.join(key(1), waiter(3)).unwrap();
        assert_eq!(lookups.next_batch(), None, "it is in flight already");
        let streams: Vec<u32> = lookups.land(&key(1), true).iter().map(|waiter| waiter.stream.0).collect();
        assert_eq!(streams, [0, 1, 2, 3]);
        lookups.join(key(1), waiter(4)).unwrap();
        assert_eq!(lookups.next_batch(), Some(vec![key(1)]), "a new flight after the landing");
    }

    #[test]
    fn a_batch_holds_no_more_than_a_callout_may_ask() {
        let mut lookups = lookups(1_000, 1_000);
        (0..MAX_DIGESTS_PER_VERIFY + 1).for_each(|n| lookups.join(key(n), waiter(n as u32)).unwrap());
        assert_eq!(lookups.next_batch().unwrap().len(), MAX_DIGESTS_PER_VERIFY);
        assert_eq!(lookups.next_batch(), Some(vec![key(MAX_DIGESTS_PER_VERIFY)]));
    }

    #[test]
    fn digests_and_waiters_are_bounded_apart() {
        let mut lookups = lookups(2, 4);
        lookups.join(key(1), waiter(1)).unwrap();
        lookups.join(key(2), waiter(2)).unwrap();
        assert_eq!(lookups.join(key(3), waiter(3)), Err(Full));
        lookups.join(key(2), waiter(4)).unwrap();
        lookups.join(key(2), waiter(5)).unwrap();
        assert_eq!(lookups.join(key(2), waiter(6)), Err(Full));
        lookups.land(&key(2), true);
        lookups.join(key(3), waiter(7)).unwrap();
    }

    #[test]
    fn one_who_leaves_takes_nobody_along() {
        let mut lookups = lookups(10, 3);
        (0..3).for_each(|stream| lookups.join(key(1), waiter(stream)).unwrap());
        assert!(lookups.is_waiting(&key(1), StreamId(1)) && !lookups.is_waiting(&key(2), StreamId(1)));
        lookups.leave(&key(1), StreamId(1));
        lookups.leave(&key(1), StreamId(1));
        assert!(!lookups.is_waiting(&key(1), StreamId(1)) && lookups.is_waiting(&key(1), StreamId(2)));
        lookups.join(key(1), waiter(3)).unwrap();
        let streams: Vec<u32> = lookups.land(&key(1), true).iter().map(|waiter| waiter.stream.0).collect();
        assert_eq!(streams, [0, 2, 3]);
    }

    #[test]
    fn a_question_that_nobody_waits_for_is_not_asked() {
        let mut lookups = lookups(1, 10);
        lookups.join(key(1), waiter(1)).unwrap();
        lookups.leave(&key(1), StreamId(1));
        assert_eq!(lookups.next_batch(), None);
        lookups.join(key(2), waiter(2)).unwrap();
        assert_eq!(lookups.next_batch(), Some(vec![key(2)]));
        lookups.leave(&key(2), StreamId(2));
        assert_eq!(
            lookups.join(key(3), waiter(3)),
            Err(Full),
            "it was sent: its place is free when it lands"
        );
        assert_eq!(lookups.land(&key(2), true), []);
    }

    #[test]
    fn whoever_came_after_the_question_is_asked_for_again_unless_everyone_is_served() {
        let mut lookups = lookups(10, 10);
        lookups.join(key(1), waiter(1)).unwrap();
        lookups.next_batch();
        lookups.join(key(1), waiter(2)).unwrap();
        let streams = |waiters: Vec<Waiter>| waiters.iter().map(|waiter| waiter.stream.0).collect::<Vec<_>>();
        assert_eq!(streams(lookups.land(&key(1), false)), [1]);
        assert!(lookups.has_questions());
        assert_eq!(lookups.next_batch(), Some(vec![key(1)]));
        lookups.join(key(1), waiter(3)).unwrap();
        assert_eq!(streams(lookups.land(&key(1), true)), [2, 3]);
        assert!(!lookups.has_questions());
        assert_eq!((lookups.waiting(), lookups.in_flight()), (0, 0));
    }
}
