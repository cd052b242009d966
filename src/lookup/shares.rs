//! The share of each client address: its waiting requests, its queued lookups and the number of its outstanding ones.
//!
//! Invented keys cost a client nothing, so one address must not use up the lookups of the others. The next lookup to
//! send belongs to the address with the fewest outstanding lookups; between equals, the oldest lookup is sent first.
//! No address may have more outstanding lookups than there are free places. So the first lookup of an address is sent
//! at once, however many another address has.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::KeyDigest;

use crate::address::Address;

/// The shares of all addresses.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_address: HashMap<Address, Share>,
    /// The addresses with waiting requests, ordered by their number, then by the newest one.
    by_waiting: BTreeSet<Rank>,
    /// The addresses with queued lookups, ordered by the number of outstanding ones, then by the oldest queued one.
    by_outstanding: BTreeSet<Rank>,
    /// The number of outstanding lookups.
    outstanding: usize,
}

type Rank = (usize, u64, Address);

/// The share of one address. The keys of the maps are places in the order of arrival.
#[derive(Debug, Default)]
struct Share {
    waiting: BTreeMap<u64, KeyDigest>,
    queued: BTreeMap<u64, KeyDigest>,
    outstanding: usize,
}

impl Shares {
    /// The number of waiting requests of an address.
    pub(super) fn waiting(&self, address: Address) -> usize {
        self.by_address.get(&address).map_or(0, |share| share.waiting.len())
    }

    /// The address with the most waiting requests, and their number.
    pub(super) fn largest(&self) -> Option<(usize, Address)> {
        self.by_waiting.last().map(|&(waiting, _, address)| (waiting, address))
    }

    /// The newest waiting request of an address, and its digest.
    pub(super) fn newest(&self, address: Address) -> Option<(u64, KeyDigest)> {
        let (number, digest) = self.by_address.get(&address)?.waiting.last_key_value()?;
        Some((*number, *digest))
    }

    /// Adds a waiting request.
    pub(super) fn wait(&mut self, address: Address, number: u64, digest: KeyDigest) {
        self.change(address, &|share| share.waiting.insert(number, digest));
    }

    /// Removes a waiting request.
    pub(super) fn end(&mut self, address: Address, number: u64) {
        self.change(address, &|share| share.waiting.remove(&number));
    }

    /// Queues a lookup at the place of that request.
    pub(super) fn queue(&mut self, address: Address, number: u64, digest: KeyDigest) {
        self.change(address, &|share| share.queued.insert(number, digest));
    }

    /// Removes a queued lookup.
    pub(super) fn unqueue(&mut self, address: Address, number: u64) {
        self.change(address, &|share| share.queued.remove(&number));
    }

    /// Takes the next lookup to send; `places` is the most that may be outstanding.
    pub(super) fn next(&mut self, places: usize) -> Option<KeyDigest> {
        let (outstanding, _, address) = *self.by_outstanding.first()?;
        if outstanding >= places.saturating_sub(self.outstanding) {
            return None;
        }
        self.outstanding += 1;
        self.change(address, &|share| {
            share.outstanding += 1;
            share.queued.pop_first().map(|(_, digest)| digest)
        })
    }

    /// An outstanding lookup of this address has ended.
    pub(super) fn answered(&mut self, address: Address) {
        self.outstanding -= 1;
        self.change(address, &|share| {
            share.outstanding -= 1;
            None
        });
    }

    /// The digest of a queued lookup.
    pub(super) fn queued(&self) -> Option<KeyDigest> {
        let (.., address) = self.by_outstanding.first()?;
        self.by_address.get(address)?.queued.values().next().copied()
    }

    /// Changes a share and updates both orders. All changes go through this one function, which keeps the Wasm module
    /// small.
    fn change(
        &mut self,
        address: Address,
        change: &dyn Fn(&mut Share) -> Option<KeyDigest>,
    ) -> Option<KeyDigest> {
        let share = self.by_address.entry(address).or_default();
        let before = share.ranks(address);
        let changed = change(share);
        let after = share.ranks(address);
        if after == (None, None) && share.outstanding == 0 {
            self.by_address.remove(&address);
        }
        rank(&mut self.by_waiting, before.0, after.0);
        rank(&mut self.by_outstanding, before.1, after.1);
        changed
    }

    /// The number of addresses that are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_address.len().max(self.by_waiting.len()).max(self.by_outstanding.len())
    }
}

impl Share {
    /// Its place in each of the two orders.
    fn ranks(&self, address: Address) -> (Option<Rank>, Option<Rank>) {
        let newest = self.waiting.last_key_value().map(|(number, _)| (self.waiting.len(), *number, address));
        let oldest = self.queued.first_key_value().map(|(number, _)| (self.outstanding, *number, address));
        (newest, oldest)
    }
}

fn rank(ranks: &mut BTreeSet<Rank>, before: Option<Rank>, after: Option<Rank>) {
    if before != after {
        before.map(|rank| ranks.remove(&rank));
        after.map(|rank| ranks.insert(rank));
    }
}
