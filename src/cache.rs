//! The verdicts that one VM remembers: bounded, active and inactive kept apart.
//!
//! Wrong keys are free to invent, so a flood of them must not push out right ones: each kind has a region of its own,
//! and each region drops what was used longest ago.

use std::hash::RandomState;
use std::rc::Rc;

use lru::LruCache;
use protocol::KeyDigest;

use crate::clock::{Deadline, Moment};
use crate::verdict::{Holder, Verdict};

/// How many verdicts one VM keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Active verdicts kept at most.
    pub max_active: usize,
    /// Inactive verdicts kept at most, apart from the active ones.
    pub max_inactive: usize,
    /// How long an active verdict may be used, in milliseconds since it was asked for.
    pub active_ttl_ms: u64,
    /// How long an inactive verdict may be used, in milliseconds since it was asked for.
    pub inactive_ttl_ms: u64,
}

/// A bounded memory of verdicts.
#[derive(Debug)]
pub struct VerdictCache {
    limits: CacheLimits,
    active: LruCache<KeyDigest, (Rc<Holder>, Deadline), RandomState>,
    inactive: LruCache<KeyDigest, Deadline, RandomState>,
}

impl VerdictCache {
    /// An empty cache.
    pub fn new(limits: CacheLimits) -> Self {
        // Unbounded here, so that memory is taken as it is needed; `insert` keeps the bounds.
        let active = LruCache::unbounded_with_hasher(RandomState::new());
        let inactive = LruCache::unbounded_with_hasher(RandomState::new());
        VerdictCache { limits, active, inactive }
    }

    /// What is remembered of a key and has not come to its end.
    pub fn get(&mut self, digest: &KeyDigest, now: Moment) -> Option<Verdict> {
        if let Some((holder, end)) = self.active.get(digest) {
            if !end.has_come(now) {
                return Some(Verdict::Active(Rc::clone(holder)));
            }
            self.active.pop(digest);
        }
        let end = *self.inactive.get(digest)?;
        if !end.has_come(now) {
            return Some(Verdict::Inactive);
        }
        self.inactive.pop(digest);
        None
    }

    /// Remembers a verdict that was asked for at `asked_at`, in place of whatever was known of the key. Returns how
    /// many others had to be forgotten to make room.
    ///
    /// `expires_in_ms` is the life the key had left when it was asked about.
    pub fn insert(
        &mut self,
        digest: KeyDigest,
        verdict: &Verdict,
        asked_at: Moment,
        expires_in_ms: Option<u64>,
    ) -> u64 {
        self.forget(&digest);
        match verdict {
            Verdict::Active(holder) => {
                let life = self.limits.active_ttl_ms.min(expires_in_ms.unwrap_or(u64::MAX));
                self.active.put(digest, (Rc::clone(holder), asked_at.plus(life)));
            }
            Verdict::Inactive => {
                self.inactive.put(digest, asked_at.plus(self.limits.inactive_ttl_ms));
            }
        }
        let mut evicted = 0;
        while self.active.len() > self.limits.max_active {
            self.active.pop_lru();
            evicted += 1;
        }
        while self.inactive.len() > self.limits.max_inactive {
            self.inactive.pop_lru();
            evicted += 1;
        }
        evicted
    }

    /// Forgets a key.
    pub fn forget(&mut self, digest: &KeyDigest) {
        self.active.pop(digest);
        self.inactive.pop(digest);
    }

    /// Forgets every key.
    pub fn clear(&mut self) {
        self.active.clear();
        self.inactive.clear();
    }

    /// How many active and how many inactive verdicts are remembered.
    pub fn sizes(&self) -> (usize, usize) {
        (self.active.len(), self.inactive.len())
    }
}

#[cfg(test)]
mod tests {
    use protocol::ScopeSet;

    use super::*;

    const LIMITS: CacheLimits =
        CacheLimits { max_active: 3, max_inactive: 2, active_ttl_ms: 5_000, inactive_ttl_ms: 2_000 };
    const START: Moment = Moment { monotonic: 1_000, wall: 50_000 };

    fn after(milliseconds: u64) -> Moment {
        Moment { monotonic: START.monotonic + milliseconds, wall: START.wall + milliseconds }
    }

    fn key(n: u32) -> KeyDigest {
        KeyDigest::of_value(&n.to_string())
    }

    fn active() -> Verdict {
        Verdict::Active(Rc::new(Holder::new("u".into(), "k".into(), ScopeSet::parse(["*"]).unwrap())))
    }

    #[test]
    fn verdicts_are_used_until_their_time_is_over_and_not_a_moment_longer() {
        let mut cache = VerdictCache::new(LIMITS);
        cache.insert(key(1), &active(), START, None);
        cache.insert(key(2), &Verdict::Inactive, START, None);
        assert_eq!(cache.get(&key(1), after(4_999)), Some(active()));
        assert_eq!(cache.get(&key(1), after(5_000)), None);
        assert_eq!(cache.get(&key(2), after(1_999)), Some(Verdict::Inactive));
        assert_eq!(cache.get(&key(2), after(2_000)), None);
    }

    #[test]
    fn a_key_is_not_remembered_past_its_own_expiry() {
        let mut cache = VerdictCache::new(LIMITS);
        cache.insert(key(1), &active(), START, Some(10));
        assert_eq!(cache.get(&key(1), after(9)), Some(active()));
        assert_eq!(cache.get(&key(1), after(10)), None);
    }

    #[test]
    fn what_was_found_to_have_ended_stays_ended_when_the_wall_clock_is_set_back() {
        let mut cache = VerdictCache::new(LIMITS);
        cache.insert(key(1), &active(), START, Some(10));
        cache.insert(key(2), &Verdict::Inactive, START, None);
        let ahead = Moment { wall: after(2_000).wall, ..START };
        for key in [key(1), key(2)] {
            assert_eq!(cache.get(&key, ahead), None);
            assert_eq!(cache.get(&key, START), None);
        }
    }

    #[test]
    fn a_flood_of_wrong_keys_evicts_no_right_one() {
        let mut cache = VerdictCache::new(LIMITS);
        (0..3).for_each(|n| assert_eq!(cache.insert(key(n), &active(), START, None), 0));
        let evicted: u64 = (3..1_000).map(|n| cache.insert(key(n), &Verdict::Inactive, START, None)).sum();
        assert_eq!(evicted, 995);
        assert!((0..3).all(|n| cache.get(&key(n), START) == Some(active())));
        assert_eq!(cache.sizes(), (3, 2));
    }

    #[test]
    fn the_verdict_used_longest_ago_is_evicted_first() {
        let mut cache = VerdictCache::new(LIMITS);
        (0..3).for_each(|n| assert_eq!(cache.insert(key(n), &active(), START, None), 0));
        cache.get(&key(0), START);
        cache.insert(key(3), &active(), START, None);
        assert_eq!(cache.get(&key(1), START), None);
        assert_eq!(cache.get(&key(0), START), Some(active()));
    }

    #[test]
    fn a_new_verdict_replaces_the_old_one_of_either_kind() {
        let mut cache = VerdictCache::new(LIMITS);
        cache.insert(key(1), &active(), START, None);
        cache.insert(key(1), &Verdict::Inactive, START, None);
        assert_eq!(cache.get(&key(1), START), Some(Verdict::Inactive));
        assert_eq!(cache.get(&key(1), after(3_000)), None);
        cache.insert(key(1), &active(), START, None);
        assert_eq!(cache.get(&key(1), after(3_000)), Some(active()));
    }
}
