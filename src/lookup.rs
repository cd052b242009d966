//! Lookups at the key service: at most one for each digest, sent in batches, with limits that client addresses share.
//!
//! A *lookup* asks about one digest. It begins with the first request that needs the verdict and ends with the
//! answer. Requests with the same key that arrive in between join it. A *callout* is one HTTP request to the key
//! service; one callout carries many lookups.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use protocol::{KeyDigest, MAX_DIGESTS_PER_VERIFY, Scope};

use crate::address::Address;
use crate::clock::Moment;
use crate::decision::{Denial, Grant, decide};
use crate::mode::Mode;
use crate::restriction::Requested;
use crate::tag::Tag;
use crate::verdict::Verdict;

mod shares;
#[cfg(test)]
mod tests;

use shares::Shares;

/// How many lookups and requests may wait in one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupLimits {
    /// The most lookups that are outstanding at the same time.
    pub max_digests: usize,
    /// The most requests that wait at the same time.
    pub max_waiters: usize,
}

/// A request's id: the number of its context at the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u32);

/// A callout's id at the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CalloutId(pub u32);

/// A request that waits for a lookup.
#[derive(Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The request.
    pub stream: StreamId,
    /// The scope that its route needs.
    required: Scope,
    /// The project and the organization that it concerns.
    requested: Requested,
    /// Whether its rule leaves restrictions to the upstream.
    upstream_judges: bool,
    /// Whether it is refused if the key is not granted.
    pub mode: Mode,
    /// The client's address.
    address: Address,
    /// Its place in the order of arrival.
    number: u64,
    /// Whether the request was waiting when the lookup was sent.
    was_waiting_at_send: bool,
}

impl Waiter {
    /// A request that has just arrived.
    pub fn new(
        stream: StreamId,
        required: Scope,
        requested: Requested,
        upstream_judges: bool,
        mode: Mode,
        address: Address,
    ) -> Self {
        Waiter {
            stream,
            required,
            requested,
            upstream_judges,
            mode,
            address,
            number: 0,
            was_waiting_at_send: false,
        }
    }

    /// Decides the request by the verdict on its key.
    ///
    /// # Errors
    /// Those of [`decide`].
    pub fn decide(&self, verdict: Verdict) -> Result<Grant, Denial> {
        decide(verdict, &self.required, self.upstream_judges, || self.requested.clone())
    }
}

/// Too many requests wait, and no other address has more of them than the one of this request.
#[derive(Debug, PartialEq, Eq)]
pub struct Full(pub Waiter);

/// The result of [`Lookups::join`].
#[derive(Debug, PartialEq, Eq)]
pub struct Joined {
    /// Whether the request began the lookup.
    pub is_first: bool,
    /// The request that was evicted to make room, and the digest that it waited for.
    pub evicted: Option<(KeyDigest, Waiter)>,
}

/// A callout that was sent.
#[derive(Debug)]
pub struct Callout {
    /// The digests of its lookups, in order.
    pub digests: Vec<KeyDigest>,
    /// When it was sent.
    pub sent_at: Moment,
}

/// One lookup.
#[derive(Debug)]
struct Lookup {
    /// The tag of the key.
    tag: Tag,
    /// In the order of arrival.
    waiters: VecDeque<Waiter>,
    /// The address whose share it counts against.
    address: Address,
    /// Its place in the queue of that address; `None` once it is sent.
    queued: Option<u64>,
}

/// All lookups of one VM.
#[derive(Debug)]
pub struct Lookups {
    limits: LookupLimits,
    by_digest: HashMap<KeyDigest, Lookup>,
    shares: Shares,
    callouts: HashMap<CalloutId, Callout>,
    waiting: usize,
    /// How many requests have waited so far.
    arrived: u64,
}

impl Lookups {
    /// No lookups.
    pub fn new(limits: LookupLimits) -> Self {
        Lookups {
            limits,
            by_digest: HashMap::new(),
            shares: Shares::default(),
            callouts: HashMap::new(),
            waiting: 0,
            arrived: 0,
        }
    }

    /// Adds a request to the lookup of a digest; queues a new lookup if there is none. At the limit of waiting
    /// requests, this evicts the newest request of the address that has the most.
    ///
    /// # Errors
    /// [`Full`] if that address would then have fewer waiting requests than this one, or if the request is in shadow
    /// mode.
    pub(crate) fn join(&mut self, digest: KeyDigest, tag: Tag, mut waiter: Waiter) -> Result<Joined, Full> {
        let is_full = self.waiting >= self.limits.max_waiters;
        if is_full && waiter.mode.is_shadow() {
            return Err(Full(waiter));
        }
        let evicted = if is_full { self.evict_for(waiter.address) } else { None };
        if is_full && evicted.is_none() {
            return Err(Full(waiter));
        }
        let (address, number) = (waiter.address, self.arrived);
        waiter.number = number;
        self.arrived += 1;
        self.waiting += 1;
        self.shares.wait(address, number, digest);
        let is_first = match self.by_digest.entry(digest) {
            Entry::Occupied(lookup) => {
                let lookup = lookup.into_mut();
                lookup.waiters.push_back(waiter);
                // This address has the smaller share, so the lookup is sent no later than one of its own would be.
                if let Some(queued) = lookup.queued
                    && self.shares.waiting(address) < self.shares.waiting(lookup.address)
                {
                    self.shares.unqueue(lookup.address, queued);
                    self.shares.queue(address, number, digest);
                    (lookup.address, lookup.queued) = (address, Some(number));
                }
                false
            }
            Entry::Vacant(place) => {
                place.insert(Lookup {
                    tag,
                    waiters: VecDeque::from([waiter]),
                    address,
                    queued: Some(number),
                });
                self.shares.queue(address, number, digest);
                true
            }
        };
        Ok(Joined { is_first, evicted })
    }

    /// Evicts a request to make room for one of this address. Does nothing unless another address has at least two
    /// more waiting requests than this one.
    fn evict_for(&mut self, address: Address) -> Option<(KeyDigest, Waiter)> {
        let (most, largest) = self.shares.largest()?;
        if most <= self.shares.waiting(address) + 1 {
            return None;
        }
        let (number, digest) = self.shares.newest(largest)?;
        let waiter =
            self.remove(&digest, |waiters| waiters.iter().rposition(|waiter| waiter.number == number))?;
        Some((digest, waiter))
    }

    /// Removes a request that waits no longer, if it still waits. A queued lookup without requests is dropped.
    pub fn leave(&mut self, digest: &KeyDigest, stream: StreamId) -> Option<Waiter> {
        self.remove(digest, |waiters| waiters.iter().rposition(|waiter| waiter.stream == stream))
    }

    /// Removes a request that has waited long enough, if it still waits. Of the requests of its lookup, the first ones have
    /// waited longest, so many requests of one lookup that end together are each found at once.
    pub fn give_up(&mut self, digest: &KeyDigest, stream: StreamId) -> Option<Waiter> {
        self.remove(digest, |waiters| waiters.iter().position(|waiter| waiter.stream == stream))
    }

    fn remove(
        &mut self,
        digest: &KeyDigest,
        find: impl FnOnce(&VecDeque<Waiter>) -> Option<usize>,
    ) -> Option<Waiter> {
        let lookup = self.by_digest.get_mut(digest)?;
        let waiter = lookup.waiters.remove(find(&lookup.waiters)?)?;
        self.waiting -= 1;
        self.shares.end(waiter.address, waiter.number);
        if let (true, Some(queued)) = (lookup.waiters.is_empty(), lookup.queued) {
            self.shares.unqueue(lookup.address, queued);
            self.by_digest.remove(digest);
        }
        Some(waiter)
    }

    /// Takes the digests of the next callout out of the queue. `shares` decides which lookups may be sent.
    pub fn next_batch(&mut self) -> Option<Vec<KeyDigest>> {
        let mut batch = Vec::new();
        while batch.len() < MAX_DIGESTS_PER_VERIFY
            && let Some(digest) = self.shares.next(self.limits.max_digests)
        {
            if let Some(lookup) = self.by_digest.get_mut(&digest) {
                lookup.queued = None;
                lookup.waiters.iter_mut().for_each(|waiter| waiter.was_waiting_at_send = true);
            }
            batch.push(digest);
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Records a callout that was sent.
    pub fn sent(&mut self, id: CalloutId, callout: Callout) {
        self.callouts.insert(id, callout);
    }

    /// Takes out a callout that has ended, with or without an answer.
    pub fn ended(&mut self, id: CalloutId) -> Option<Callout> {
        self.callouts.remove(&id)
    }

    /// Ends a lookup and returns the requests that its answer serves: all of them, or only those that were waiting
    /// when it was sent. The others are queued for a second lookup, which serves them all.
    pub fn finish(&mut self, digest: &KeyDigest, serves_everyone: bool) -> Vec<Waiter> {
        let Some(Lookup { tag, waiters, address, queued }) = self.by_digest.remove(digest) else {
            return Vec::new();
        };
        match queued {
            Some(number) => self.shares.unqueue(address, number),
            None => self.shares.answered(address),
        }
        let (served, late): (VecDeque<Waiter>, VecDeque<Waiter>) =
            waiters.into_iter().partition(|waiter| serves_everyone || waiter.was_waiting_at_send);
        self.waiting -= served.len();
        served.iter().for_each(|waiter| self.shares.end(waiter.address, waiter.number));
        if let Some(&Waiter { address, number, .. }) = late.front() {
            self.by_digest.insert(*digest, Lookup { tag, waiters: late, address, queued: Some(number) });
            self.shares.queue(address, number, *digest);
        }
        served.into()
    }

    /// The tag of the key that a lookup asks about.
    pub(crate) fn tag(&self, digest: &KeyDigest) -> Option<Tag> {
        self.by_digest.get(digest).map(|lookup| lookup.tag)
    }

    /// The digest of a queued lookup.
    pub fn first_queued(&self) -> Option<KeyDigest> {
        self.shares.queued()
    }

    /// The number of waiting requests.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}
