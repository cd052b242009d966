//! Values of keys in the order of use. A key is found by its tag or by its digest.

use std::ops::{Index, IndexMut};

use hashbrown::HashTable;
use protocol::KeyDigest;

use crate::tag::{Tag, Tagger};

/// The place of no entry.
const NOWHERE: usize = usize::MAX;

/// How an entry is found.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    Tag(Tag),
    Digest(&'a KeyDigest),
}

/// An entry. The entries in use are one list, from the oldest to the newest, and the free ones another.
#[derive(Debug)]
struct Entry<V> {
    tag: Tag,
    digest: KeyDigest,
    /// `None` if the entry is free.
    value: Option<V>,
    newer: usize,
    /// The next free entry, if this one is free.
    older: usize,
}

/// Entries, in chunks of one size: a growing `Vec` would need half as much memory again for copies, and memory that a
/// VM has had it keeps.
#[derive(Debug)]
struct Entries<V>(Vec<Vec<Entry<V>>>);

impl<V> Entries<V> {
    const CHUNK: usize = 64;

    fn push(&mut self, entry: Entry<V>) -> usize {
        match self.0.last_mut() {
            Some(chunk) if chunk.len() < Self::CHUNK => chunk.push(entry),
            _ => {
                let mut chunk = Vec::with_capacity(Self::CHUNK);
                chunk.push(entry);
                self.0.push(chunk);
            }
        }
        let full = self.0.len() - 1;
        full * Self::CHUNK + self.0[full].len() - 1
    }
}

impl<V> Index<usize> for Entries<V> {
    type Output = Entry<V>;

    fn index(&self, at: usize) -> &Entry<V> {
        &self.0[at / Self::CHUNK][at % Self::CHUNK]
    }
}

impl<V> IndexMut<usize> for Entries<V> {
    fn index_mut(&mut self, at: usize) -> &mut Entry<V> {
        &mut self.0[at / Self::CHUNK][at % Self::CHUNK]
    }
}

/// Values of keys in the order of use.
#[derive(Debug)]
pub(super) struct Recent<V> {
    tagger: Tagger,
    entries: Entries<V>,
    by_tag: HashTable<u32>,
    by_digest: HashTable<u32>,
    newest: usize,
    oldest: usize,
    free: usize,
}

impl<V> Recent<V> {
    pub(super) fn new(tagger: Tagger) -> Self {
        Recent {
            tagger,
            entries: Entries(Vec::new()),
            by_tag: HashTable::new(),
            by_digest: HashTable::new(),
            newest: NOWHERE,
            oldest: NOWHERE,
            free: NOWHERE,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_tag.len()
    }

    /// The value of a key; it becomes the newest one.
    pub(super) fn get(&mut self, name: Name<'_>) -> Option<&V> {
        let at = self.find(name)?;
        if at != self.newest {
            self.unlink(at);
            self.link(at);
        }
        self.entries[at].value.as_ref()
    }

    /// The value of a key; its place stays.
    pub(super) fn peek(&self, name: Name<'_>) -> Option<&V> {
        self.entries[self.find(name)?].value.as_ref()
    }

    /// Adds a key that is not there, as the newest one.
    pub(super) fn add(&mut self, tag: Tag, digest: KeyDigest, value: V) {
        let entry = Entry { tag, digest, value: Some(value), newer: NOWHERE, older: NOWHERE };
        let at = match self.free {
            NOWHERE => self.entries.push(entry),
            free => {
                self.free = self.entries[free].older;
                self.entries[free] = entry;
                free
            }
        };
        self.link(at);
        let Recent { tagger, entries, by_tag, by_digest, .. } = self;
        let place = |at: &u32| *at as usize;
        by_tag.insert_unique(tag.hash, at as u32, |at| entries[place(at)].tag.hash);
        by_digest
            .insert_unique(hash(tagger, &digest), at as u32, |at| hash(tagger, &entries[place(at)].digest));
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, name: Name<'_>) {
        if let Some(at) = self.find(name) {
            self.remove_at(at);
        }
    }

    /// Removes the key used longest ago.
    pub(super) fn remove_oldest(&mut self) {
        if self.oldest != NOWHERE {
            self.remove_at(self.oldest);
        }
    }

    /// Removes all keys.
    pub(super) fn clear(&mut self) {
        *self = Recent::new(self.tagger);
    }

    fn find(&self, name: Name<'_>) -> Option<usize> {
        let entry = |at: &u32| &self.entries[*at as usize];
        let found = match name {
            Name::Tag(tag) => self.by_tag.find(tag.hash, |at| entry(at).tag == tag),
            Name::Digest(digest) => {
                self.by_digest.find(hash(&self.tagger, digest), |at| entry(at).digest == *digest)
            }
        };
        found.map(|at| *at as usize)
    }

    fn remove_at(&mut self, at: usize) {
        self.unlink(at);
        let (tag, digest) = (self.entries[at].tag, self.entries[at].digest);
        for (table, hash) in
            [(&mut self.by_tag, tag.hash), (&mut self.by_digest, hash(&self.tagger, &digest))]
        {
            if let Ok(entry) = table.find_entry(hash, |known| *known as usize == at) {
                entry.remove();
            }
        }
        let entry = &mut self.entries[at];
        entry.value = None;
        entry.older = std::mem::replace(&mut self.free, at);
    }

    fn unlink(&mut self, at: usize) {
        let Entry { newer, older, .. } = self.entries[at];
        match newer {
            NOWHERE => self.newest = older,
            newer => self.entries[newer].older = older,
        }
        match older {
            NOWHERE => self.oldest = newer,
            older => self.entries[older].newer = newer,
        }
    }

    /// Makes an entry that is in no list the newest one.
    fn link(&mut self, at: usize) {
        let older = std::mem::replace(&mut self.newest, at);
        (self.entries[at].newer, self.entries[at].older) = (NOWHERE, older);
        match older {
            NOWHERE => self.oldest = at,
            older => self.entries[older].newer = at,
        }
    }
}

/// The hash of a digest. Whoever chooses keys can choose some bits of their digests, but not this.
fn hash(tagger: &Tagger, digest: &KeyDigest) -> u64 {
    tagger.tag(digest.as_bytes()).hash
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Compares with a list of all keys, newest last.
    #[test]
    fn keys_are_found_and_forgotten_as_in_a_plain_list() {
        let tagger = Tagger::new([3; 16]);
        let name = |n: u64| (tagger.tag(&n.to_le_bytes()), KeyDigest::of_value(&n.to_string()));
        let (mut recent, mut list) = (Recent::new(tagger), VecDeque::new());
        let mut random = 1_u64;
        for step in 0..40_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (key, action) = ((random >> 33) % 400, (random >> 60) % 8);
            let (tag, digest) = name(key);
            let known = list.iter().position(|(known, _)| *known == key);
            match (action, known) {
                (0 | 1, None) => {
                    recent.add(tag, digest, step);
                    list.push_back((key, step));
                }
                (0..=4, _) => {
                    let by = if action % 2 == 0 { Name::Tag(tag) } else { Name::Digest(&digest) };
                    let expected = known.and_then(|at| list.remove(at));
                    assert_eq!(recent.get(by).copied(), expected.map(|(_, value)| value));
                    list.extend(expected);
                }
                (5, _) => {
                    recent.remove(Name::Digest(&digest));
                    if let Some(at) = known {
                        list.remove(at);
                    }
                }
                (6, _) => {
                    recent.remove_oldest();
                    list.pop_front();
                }
                _ => {
                    let expected = known.map(|at| list[at].1);
                    assert_eq!(recent.peek(Name::Tag(tag)).copied(), expected);
                }
            }
            if step % 20_000 == 19_999 {
                recent.clear();
                list.clear();
            }
            assert_eq!(recent.len(), list.len());
            let made: usize = recent.entries.0.iter().map(Vec::len).sum();
            assert!(made <= 400, "freed entries are used again");
        }
    }
}
