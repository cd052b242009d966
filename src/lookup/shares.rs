//! What each address has of the lookups: which of its requests wait, and how many of its questions are out.
//!
//! Invented keys are free, so one address must not take what others need. The address with the fewest questions out is
//! next, of several the one whose question is the oldest; and none has more out than there are places left. So the first
//! question of an address is sent at once, however many another has.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::KeyDigest;

use crate::address::Address;

/// The shares of all addresses that have one.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_address: HashMap<Address, Share>,
    /// The addresses of which requests wait: by how many, and by the newest.
    by_waiting: BTreeSet<Rank>,
    /// The addresses that have questions queued: by how many others are out, and by the oldest.
    by_asked: BTreeSet<Rank>,
    /// How many questions are out.
    asked: usize,
}

type Rank = (usize, u64, Address);

/// What one address has. Requests are numbered in the order of their arrival.
#[derive(Debug, Default)]
struct Share {
    waiting: BTreeMap<u64, KeyDigest>,
    queued: BTreeMap<u64, KeyDigest>,
    asked: usize,
}

impl Shares {
    /// How many requests of an address wait.
    pub(super) fn waiting(&self, address: Address) -> usize {
        self.by_address.get(&address).map_or(0, |share| share.waiting.len())
    }

    /// The address of which most requests wait, and how many.
    pub(super) fn largest(&self) -> Option<(usize, Address)> {
        self.by_waiting.last().map(|&(waiting, _, address)| (waiting, address))
    }

    /// The newest request of an address, and which digest it waits for.
    pub(super) fn newest(&self, address: Address) -> Option<(u64, KeyDigest)> {
        let (number, digest) = self.by_address.get(&address)?.waiting.last_key_value()?;
        Some((*number, *digest))
    }

    /// A request waits.
    pub(super) fn wait(&mut self, address: Address, number: u64, digest: KeyDigest) {
        self.change(address, &|share| share.waiting.insert(number, digest));
    }

    /// A request waits no more.
    pub(super) fn end(&mut self, address: Address, number: u64) {
        self.change(address, &|share| share.waiting.remove(&number));
    }

    /// Queues a question, at the place of the request with that number.
    pub(super) fn queue(&mut self, address: Address, number: u64, digest: KeyDigest) {
        self.change(address, &|share| share.queued.insert(number, digest));
    }

    /// Takes back a question that was queued.
    pub(super) fn unqueue(&mut self, address: Address, number: u64) {
        self.change(address, &|share| share.queued.remove(&number));
    }

    /// The next question to send, where so many may be out in all.
    pub(super) fn next(&mut self, places: usize) -> Option<KeyDigest> {
        let (asked, _, address) = *self.by_asked.first()?;
        if asked >= places.saturating_sub(self.asked) {
            return None;
        }
        self.asked += 1;
        self.change(address, &|share| {
            share.asked += 1;
            share.queued.pop_first().map(|(_, digest)| digest)
        })
    }

    /// A question of this address has ended.
    pub(super) fn answered(&mut self, address: Address) {
        self.asked -= 1;
        self.change(address, &|share| {
            share.asked -= 1;
            None
        });
    }

    /// A question that is queued.
    pub(super) fn queued(&self) -> Option<KeyDigest> {
        let (.., address) = self.by_asked.first()?;
        self.by_address.get(address)?.queued.values().next().copied()
    }

    /// Changes a share, and keeps everything that follows from it. One function for all changes: the module is smaller.
    fn change(
        &mut self,
        address: Address,
        change: &dyn Fn(&mut Share) -> Option<KeyDigest>,
    ) -> Option<KeyDigest> {
        let share = self.by_address.entry(address).or_default();
        let before = share.ranks(address);
        let changed = change(share);
        let after = share.ranks(address);
        if after == (None, None) && share.asked == 0 {
            self.by_address.remove(&address);
        }
        rank(&mut self.by_waiting, before.0, after.0);
        rank(&mut self.by_asked, before.1, after.1);
        changed
    }

    /// How many addresses are known: none that has nothing.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_address.len().max(self.by_waiting.len()).max(self.by_asked.len())
    }
}

impl Share {
    /// Its ranks among those of which requests wait, and among those that have questions queued.
    fn ranks(&self, address: Address) -> (Option<Rank>, Option<Rank>) {
        let newest = self.waiting.last_key_value().map(|(number, _)| (self.waiting.len(), *number, address));
        let oldest = self.queued.first_key_value().map(|(number, _)| (self.asked, *number, address));
        (newest, oldest)
    }
}

fn rank(ranks: &mut BTreeSet<Rank>, before: Option<Rank>, after: Option<Rank>) {
    if before != after {
        before.map(|rank| ranks.remove(&rank));
        after.map(|rank| ranks.insert(rank));
    }
}
