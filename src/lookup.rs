//! Questions to the key service: one outstanding for each digest, batched into callouts, with bounds that addresses share.
//!
//! A *flight* is one question about one digest, from the first request that needs its answer until the answer is
//! there. Requests that come meanwhile with the same key wait for the same flight.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use protocol::{KeyDigest, MAX_DIGESTS_PER_VERIFY, Scope};

use crate::address::Address;
use crate::clock::Moment;

mod shares;
#[cfg(test)]
mod tests;

use shares::Shares;

/// How much one VM lets wait for the key service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupLimits {
    /// Digests asked about at the same time.
    pub max_digests: usize,
    /// Requests that wait for an answer at the same time.
    pub max_waiters: usize,
}

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
    /// Where it comes from.
    address: Address,
    /// Requests are numbered in the order of their arrival.
    number: u64,
    /// Whether the question was sent after the request had arrived.
    was_asked_for: bool,
}

impl Waiter {
    /// A request that has just arrived.
    pub fn new(stream: StreamId, required: Scope, address: Address) -> Self {
        Waiter { stream, required, address, number: 0, was_asked_for: false }
    }
}

/// Too much waits already, and no address has more of it than the one that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A request waits.
#[derive(Debug, PartialEq, Eq)]
pub struct Joined {
    /// Whether it began the flight.
    pub is_first: bool,
    /// The request that had to give way, and the digest it waited for.
    pub evicted: Option<(KeyDigest, Waiter)>,
}

/// A callout that was sent: what it asked, and when.
#[derive(Debug)]
pub struct Call {
    /// The digests, in the order of the question.
    pub digests: Vec<KeyDigest>,
    /// When it was sent.
    pub asked_at: Moment,
}

/// One question.
#[derive(Debug)]
struct Flight {
    waiters: Vec<Waiter>,
    /// The address that it is charged to.
    address: Address,
    /// The number of its place in the queue of that address; `None` once it is sent.
    queued: Option<u64>,
}

/// All flights of one VM.
#[derive(Debug)]
pub struct Lookups {
    limits: LookupLimits,
    flights: HashMap<KeyDigest, Flight>,
    shares: Shares,
    calls: HashMap<CallId, Call>,
    waiting: usize,
    /// How many requests have ever waited.
    arrived: u64,
}

impl Lookups {
    /// No flights.
    pub fn new(limits: LookupLimits) -> Self {
        Lookups {
            limits,
            flights: HashMap::new(),
            shares: Shares::default(),
            calls: HashMap::new(),
            waiting: 0,
            arrived: 0,
        }
    }

    /// Waits for the answer about a digest: joins its flight, or queues a new one. If no further request can wait, the
    /// newest one of the address of which most wait gives way.
    ///
    /// # Errors
    /// [`Full`] when that would be the request itself, or one of an address that would then have fewer.
    pub fn join(&mut self, digest: KeyDigest, mut waiter: Waiter) -> Result<Joined, Full> {
        let is_full = self.waiting >= self.limits.max_waiters;
        let evicted = if is_full { Some(self.evict_for(waiter.address).ok_or(Full)?) } else { None };
        let (address, number) = (waiter.address, self.arrived);
        waiter.number = number;
        self.arrived += 1;
        self.waiting += 1;
        self.shares.wait(address, number, digest);
        let is_first = match self.flights.entry(digest) {
            Entry::Occupied(flight) => {
                let flight = flight.into_mut();
                flight.waiters.push(waiter);
                // It waits no longer for its turn than if nobody else had asked.
                if let Some(queued) = flight.queued
                    && self.shares.waiting(address) < self.shares.waiting(flight.address)
                {
                    self.shares.unqueue(flight.address, queued);
                    self.shares.queue(address, number, digest);
                    (flight.address, flight.queued) = (address, Some(number));
                }
                false
            }
            Entry::Vacant(place) => {
                place.insert(Flight { waiters: vec![waiter], address, queued: Some(number) });
                self.shares.queue(address, number, digest);
                true
            }
        };
        Ok(Joined { is_first, evicted })
    }

    /// Makes room for a request of this address, unless no other has so many more that one less leaves it ahead.
    fn evict_for(&mut self, address: Address) -> Option<(KeyDigest, Waiter)> {
        let (most, largest) = self.shares.largest()?;
        if most <= self.shares.waiting(address) + 1 {
            return None;
        }
        let (number, digest) = self.shares.newest(largest)?;
        let waiter = self.remove(&digest, |waiter| waiter.number == number)?;
        Some((digest, waiter))
    }

    /// Forgets a waiter whose client has gone. The others are answered all the same; a question that nobody waits for
    /// and that was not sent yet is dropped.
    pub fn leave(&mut self, digest: &KeyDigest, stream: StreamId) {
        self.remove(digest, |waiter| waiter.stream == stream);
    }

    fn remove(&mut self, digest: &KeyDigest, is_it: impl Fn(&Waiter) -> bool) -> Option<Waiter> {
        let flight = self.flights.get_mut(digest)?;
        let waiter = flight.waiters.remove(flight.waiters.iter().rposition(is_it)?);
        self.waiting -= 1;
        self.shares.end(waiter.address, waiter.number);
        if let (true, Some(queued)) = (flight.waiters.is_empty(), flight.queued) {
            self.shares.unqueue(flight.address, queued);
            self.flights.remove(digest);
        }
        Some(waiter)
    }

    /// Takes the next callout's worth of queued digests that may be sent: see `shares`. Whoever waits for them now has been
    /// asked for.
    pub fn next_batch(&mut self) -> Option<Vec<KeyDigest>> {
        let mut batch = Vec::new();
        while batch.len() < MAX_DIGESTS_PER_VERIFY
            && let Some(digest) = self.shares.next(self.limits.max_digests)
        {
            if let Some(flight) = self.flights.get_mut(&digest) {
                flight.queued = None;
                flight.waiters.iter_mut().for_each(|waiter| waiter.was_asked_for = true);
            }
            batch.push(digest);
        }
        (!batch.is_empty()).then_some(batch)
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
        let Some(Flight { waiters, address, queued }) = self.flights.remove(digest) else {
            return Vec::new();
        };
        match queued {
            Some(number) => self.shares.unqueue(address, number),
            None => self.shares.answered(address),
        }
        let (served, late): (Vec<Waiter>, Vec<Waiter>) =
            waiters.into_iter().partition(|waiter| serves_everyone || waiter.was_asked_for);
        self.waiting -= served.len();
        served.iter().for_each(|waiter| self.shares.end(waiter.address, waiter.number));
        if let Some(&Waiter { address, number, .. }) = late.first() {
            self.flights.insert(*digest, Flight { waiters: late, address, queued: Some(number) });
            self.shares.queue(address, number, *digest);
        }
        served
    }

    /// A digest that waits to be asked about.
    pub fn first_queued(&self) -> Option<KeyDigest> {
        self.shares.queued()
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}
