//! The verdict cache of one VM: two LRU caches, one for active and one for inactive verdicts.
//!
//! A verdict is found by the tag of its key, which costs a fraction of a digest, or by the digest, which the key service
//! knows.
//!
//! Invented keys cost a client nothing, so a flood of them must not evict the verdicts on valid keys.

use std::rc::Rc;

use protocol::KeyDigest;

use crate::clock::{Deadline, Moment};
use crate::tag::{Tag, Tagger};
use crate::verdict::{Principal, Scopes, Verdict};

mod recent;

use recent::{Name, Recent};

/// How many verdicts one VM keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// The most active verdicts.
    pub max_active: usize,
    /// The most inactive verdicts.
    pub max_inactive: usize,
    /// How long an active verdict may be used, in milliseconds from when its callout was sent.
    pub active_ttl_ms: u64,
    /// How long an inactive verdict may be used, in milliseconds from when its callout was sent.
    pub inactive_ttl_ms: u64,
}

/// A bounded cache of verdicts.
#[derive(Debug)]
pub struct VerdictCache {
    limits: CacheLimits,
    tagger: Tagger,
    active: Recent<(Rc<Principal>, Deadline)>,
    inactive: Recent<Deadline>,
    scopes: SharedScopes,
}

/// The scopes of the cached keys. Many keys have the same ones, which are kept once.
#[derive(Debug, Default)]
struct SharedScopes {
    /// By their text.
    known: Vec<Rc<Scopes>>,
    /// At this size, those without a key are removed.
    sweep_at: usize,
}

impl SharedScopes {
    /// The known scopes that are the same, else these, which are known from now on.
    fn share(&mut self, scopes: &Rc<Scopes>) -> Rc<Scopes> {
        if self.known.len() >= self.sweep_at {
            self.known.retain(|known| Rc::strong_count(known) > 1);
            self.sweep_at = (2 * self.known.len()).max(16);
        }
        match self.known.binary_search_by(|known| known.text.cmp(&scopes.text)) {
            Ok(at) => Rc::clone(&self.known[at]),
            Err(at) => {
                self.known.insert(at, Rc::clone(scopes));
                Rc::clone(scopes)
            }
        }
    }
}

impl VerdictCache {
    /// An empty cache. `secret` is random, and no other VM has it.
    pub fn new(limits: CacheLimits, secret: [u8; 16]) -> Self {
        let tagger = Tagger::new(secret);
        VerdictCache {
            limits,
            tagger,
            active: Recent::new(tagger),
            inactive: Recent::new(tagger),
            scopes: SharedScopes::default(),
        }
    }

    /// The tag of a key's value.
    pub(crate) fn tag(&self, value: &[u8]) -> Tag {
        self.tagger.tag(value)
    }

    /// The verdict on a key, unless it has expired.
    pub fn get(&mut self, digest: &KeyDigest, now: Moment) -> Option<Verdict> {
        self.find(Name::Digest(digest), now)
    }

    /// The verdict on the key with this tag, unless it has expired.
    pub(crate) fn get_by_tag(&mut self, tag: Tag, now: Moment) -> Option<Verdict> {
        self.find(Name::Tag(tag), now)
    }

    fn find(&mut self, name: Name<'_>, now: Moment) -> Option<Verdict> {
        if let Some((principal, end)) = self.active.get(name) {
            if !end.has_come(now) {
                return Some(Verdict::Active(Rc::clone(principal)));
            }
            self.active.remove(name);
        }
        let end = *self.inactive.get(name)?;
        if !end.has_come(now) {
            return Some(Verdict::Inactive);
        }
        self.inactive.remove(name);
        None
    }

    /// Stores a verdict whose callout was sent at `sent_at`, in place of an older one. Returns how many other
    /// verdicts were evicted.
    ///
    /// `expires_in_ms` counts from `sent_at` to the expiry of the key. The principal, which nothing else holds yet, gets its
    /// scopes from a cached key with the same ones.
    pub(crate) fn insert(
        &mut self,
        tag: Tag,
        digest: KeyDigest,
        verdict: &mut Verdict,
        sent_at: Moment,
        expires_in_ms: Option<u64>,
    ) -> u64 {
        self.remove(&digest);
        match verdict {
            Verdict::Active(principal) => {
                let end = self.end_of_active(sent_at, expires_in_ms);
                if let Some(principal) = Rc::get_mut(principal) {
                    principal.scopes = self.scopes.share(&principal.scopes);
                }
                self.active.add(tag, digest, (Rc::clone(principal), end));
            }
            Verdict::Inactive => {
                self.inactive.add(tag, digest, sent_at.plus(self.limits.inactive_ttl_ms));
            }
        }
        let mut evicted = 0;
        while self.active.len() > self.limits.max_active {
            self.active.remove_oldest();
            evicted += 1;
        }
        while self.inactive.len() > self.limits.max_inactive {
            self.inactive.remove_oldest();
            evicted += 1;
        }
        evicted
    }

    fn end_of_active(&self, sent_at: Moment, expires_in_ms: Option<u64>) -> Deadline {
        sent_at.plus(self.limits.active_ttl_ms.min(expires_in_ms.unwrap_or(u64::MAX)))
    }

    /// Removes the active verdict on a key, unless a later one that cannot be cached is the same and lasts as long.
    pub fn remove_unless_confirmed(
        &mut self,
        digest: &KeyDigest,
        verdict: &Verdict,
        sent_at: Moment,
        expires_in_ms: Option<u64>,
    ) {
        let Some((cached, end)) = self.active.peek(Name::Digest(digest)) else { return };
        let is_confirmed = match verdict {
            Verdict::Active(principal) => {
                principal.permits_the_same_as(cached)
                    && end.earlier(self.end_of_active(sent_at, expires_in_ms)) == *end
            }
            Verdict::Inactive => false,
        };
        if !is_confirmed {
            self.active.remove(Name::Digest(digest));
        }
    }

    /// Removes the verdict on a key.
    pub fn remove(&mut self, digest: &KeyDigest) {
        self.active.remove(Name::Digest(digest));
        self.inactive.remove(Name::Digest(digest));
    }

    /// Removes all verdicts.
    pub fn clear(&mut self) {
        self.active.clear();
        self.inactive.clear();
        self.scopes = SharedScopes::default();
    }

    /// The numbers of active and inactive verdicts.
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

    fn put(
        cache: &mut VerdictCache,
        digest: KeyDigest,
        verdict: &Verdict,
        sent_at: Moment,
        expires_in_ms: Option<u64>,
    ) -> u64 {
        let tag = cache.tag(digest.as_bytes());
        cache.insert(tag, digest, &mut verdict.clone(), sent_at, expires_in_ms)
    }

    fn active() -> Verdict {
        Verdict::Active(Rc::new(Principal::new(
            "u".into(),
            "k".into(),
            ScopeSet::parse(["*"]).unwrap(),
            Default::default(),
        )))
    }

    #[test]
    fn verdicts_are_used_until_their_time_is_over_and_not_a_moment_longer() {
        let mut cache = VerdictCache::new(LIMITS, [5; 16]);
        put(&mut cache, key(1), &active(), START, None);
        put(&mut cache, key(2), &Verdict::Inactive, START, None);
        assert_eq!(cache.get(&key(1), after(4_999)), Some(active()));
        assert_eq!(cache.get(&key(1), after(5_000)), None);
        assert_eq!(cache.get(&key(2), after(1_999)), Some(Verdict::Inactive));
        assert_eq!(cache.get(&key(2), after(2_000)), None);
    }

    #[test]
    fn a_key_is_not_remembered_past_its_own_expiry() {
        let mut cache = VerdictCache::new(LIMITS, [5; 16]);
        put(&mut cache, key(1), &active(), START, Some(10));
        assert_eq!(cache.get(&key(1), after(9)), Some(active()));
        assert_eq!(cache.get(&key(1), after(10)), None);
    }

    #[test]
    fn a_deadline_that_was_found_over_stays_over_when_the_wall_clock_is_set_back() {
        let mut cache = VerdictCache::new(LIMITS, [5; 16]);
        put(&mut cache, key(1), &active(), START, Some(10));
        put(&mut cache, key(2), &Verdict::Inactive, START, None);
        let ahead = Moment { wall: after(2_000).wall, ..START };
        for key in [key(1), key(2)] {
            assert_eq!(cache.get(&key, ahead), None);
            assert_eq!(cache.get(&key, START), None);
        }
    }

    #[test]
    fn a_flood_of_wrong_keys_evicts_no_right_one() {
        let mut cache = VerdictCache::new(LIMITS, [5; 16]);
        (0..3).for_each(|n| assert_eq!(put(&mut cache, key(n), &active(), START, None), 0));
        let evicted: u64 = (3..1_000).map(|n| put(&mut cache, key(n), &Verdict::Inactive, START, None)).sum();
        assert_eq!(evicted, 995);
        assert!((0..3).all(|n| cache.get(&key(n), START) == Some(active())));
        assert_eq!(cache.sizes(), (3, 2));
    }

    #[test]
    fn the_verdict_used_longest_ago_is_evicted_first() {
        let mut cache = VerdictCache::new(LIMITS, [5; 16]);
        (0..3).for_each(|n| assert_eq!(put(&mut cache, key(n), &active(), START, None), 0));
        cache.get(&key(0), START);
        put(&mut cache, key(3), &active(), START, None);
        assert_eq!(cache.get(&key(1), START), None);
        assert_eq!(cache.get(&key(0), START), Some(active()));
    }

    #[test]
    fn a_new_verdict_replaces_the_old_one_of_either_kind() {
        let mut cache = VerdictCache::new(LIMITS, [5; 16]);
        put(&mut cache, key(1), &active(), START, None);
        put(&mut cache, key(1), &Verdict::Inactive, START, None);
        assert_eq!(cache.get(&key(1), START), Some(Verdict::Inactive));
        assert_eq!(cache.get(&key(1), after(3_000)), None);
        put(&mut cache, key(1), &active(), START, None);
        assert_eq!(cache.get(&key(1), after(3_000)), Some(active()));
    }

    #[test]
    fn a_verdict_is_found_by_tag_until_its_digest_is_removed() {
        let mut cache = VerdictCache::new(LIMITS, [5; 16]);
        let tag = cache.tag(b"phx_1");
        for verdict in [active(), Verdict::Inactive] {
            cache.insert(tag, key(1), &mut verdict.clone(), START, None);
            assert_eq!(cache.get_by_tag(tag, START), Some(verdict));
            assert_eq!(cache.get_by_tag(cache.tag(b"phx_2"), START), None);
            cache.remove(&key(1));
            assert_eq!(cache.get_by_tag(tag, START), None);
        }
        cache.insert(tag, key(1), &mut active(), START, None);
        cache.clear();
        assert_eq!(cache.get_by_tag(tag, START), None);
    }

    #[test]
    fn keys_with_the_same_scopes_share_them_and_scopes_without_a_key_are_removed() {
        let mut cache = VerdictCache::new(CacheLimits { max_active: 20, ..LIMITS }, [5; 16]);
        let with_scope = |object: u32| {
            let scopes = ScopeSet::parse([format!("o{object}:read").as_str()]).unwrap();
            Verdict::Active(Rc::new(Principal::new("u".into(), "k".into(), scopes, Default::default())))
        };
        for n in 0..10_000 {
            // Two keys after one another have the same scopes.
            let (digest, mut verdict) = (key(n), with_scope(n / 2));
            let tag = cache.tag(digest.as_bytes());
            cache.insert(tag, digest, &mut verdict, START, None);
            assert!(cache.scopes.known.len() <= 32, "{} with 10 in use", cache.scopes.known.len());
        }
        let mut scopes = |n| match cache.get(&key(n), START) {
            Some(Verdict::Active(principal)) => Rc::clone(&principal.scopes),
            verdict => panic!("{n}: {verdict:?}"),
        };
        for n in (9_980..10_000).step_by(2) {
            assert_eq!(&*scopes(n).text, format!("o{}:read", n / 2));
            assert!(Rc::ptr_eq(&scopes(n), &scopes(n + 1)));
        }
    }
}
