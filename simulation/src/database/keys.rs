//! Users, keys and their values, and the validity of a digest.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use leases::AffectedKeys;
use protocol::{Action, ActiveVerdict, KeyDigest, Restrictions, Scope, ScopeSet, Verdict};

use super::data::Data;

/// The scope that requests need.
static REQUIRED: LazyLock<Scope> =
    LazyLock::new(|| Scope::Object { object: "insight".into(), action: Action::Read });

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Whether the user is enabled.
    pub is_active: bool,
    /// The user's permissions, which limit the keys.
    pub permissions: ScopeSet,
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// The id of its user.
    pub user: String,
    /// Its own scopes.
    pub scopes: ScopeSet,
    /// The projects and organizations that it is restricted to.
    pub restrictions: Restrictions,
    /// When it expires, by the database's clock.
    pub expires_at_ms: Option<i64>,
    /// Its values: the current one, which has no end of its own, and earlier ones that still work after a roll.
    pub values: Vec<Value>,
}

/// A value of a key.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// Its digest.
    pub digest: KeyDigest,
    /// When it expires, by the database's clock.
    pub ends_at_ms: Option<i64>,
}

/// The effect of a change.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Creates a key.
    Create(String, Key),
    /// Deletes a key.
    Delete(String),
    /// Gives a key a new value. The current one works on for `grace_ms`; with 0 it ends at once, with all older ones.
    Roll {
        /// The key's id.
        key: String,
        /// The new value.
        digest: KeyDigest,
        /// How long the current value works on.
        grace_ms: u64,
    },
    /// Changes the scopes of a key.
    Scopes(String, ScopeSet),
    /// Changes the restrictions of a key.
    Restrict(String, Restrictions),
    /// Changes the expiry of a key.
    Expiry(String, Option<i64>),
    /// Enables or disables a user.
    Enable(String, bool),
    /// Changes the permissions of a user.
    Permissions(String, ScopeSet),
    /// Deletes a user with all keys.
    DeleteUser(String),
    /// Revokes leaked values. A key whose current value is among them is deleted.
    Leak(Vec<KeyDigest>),
}

impl Effect {
    /// The key that must exist.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Effect::Delete(key)
            | Effect::Roll { key, .. }
            | Effect::Scopes(key, _)
            | Effect::Restrict(key, _)
            | Effect::Expiry(key, _) => Some(key),
            Effect::Create(..)
            | Effect::Enable(..)
            | Effect::Permissions(..)
            | Effect::DeleteUser(_)
            | Effect::Leak(_) => None,
        }
    }
}

/// The validity of a digest, and its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The validity.
    pub(crate) validity: Validity,
    /// When it ends, by the database's clock. From then on the validity is `Nothing`.
    pub(crate) ends_at_ms: Option<i64>,
}

/// The validity of a digest for a request for insights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validity {
    /// Not a valid key.
    #[default]
    Nothing,
    /// A valid key that may not read insights.
    Known,
    /// A valid key that may read insights.
    Good,
}

impl Default for User {
    /// An enabled user with all permissions.
    fn default() -> Self {
        User { is_active: true, permissions: ScopeSet::all() }
    }
}

impl Key {
    /// A key with one value and the scope that requests need.
    pub fn new(user: &str, digest: KeyDigest) -> Self {
        let scopes = std::iter::once(REQUIRED.clone()).collect();
        let values = vec![Value { digest, ends_at_ms: None }];
        let (user, restrictions) = (user.to_owned(), Restrictions::default());
        Key { user, scopes, restrictions, expires_at_ms: None, values }
    }

    /// When one of its values ends.
    pub fn end_of(&self, value: &Value) -> Option<i64> {
        [self.expires_at_ms, value.ends_at_ms].into_iter().flatten().min()
    }
}

impl Data {
    /// The id and the key of a digest, and the value.
    pub fn find(&self, digest: &KeyDigest) -> Option<(&str, &Key, &Value)> {
        self.keys.iter().find_map(|(id, key)| {
            let value = key.values.iter().find(|value| value.digest == *digest)?;
            Some((id.as_str(), key, value))
        })
    }

    /// The same with the user, if the value works at that time.
    fn find_working(&self, digest: &KeyDigest, now_ms: i64) -> Option<(&str, &Key, &Value, &User)> {
        let (id, key, value) = self.find(digest)?;
        let user = self.users.get(&key.user).filter(|user| user.is_active)?;
        key.end_of(value).is_none_or(|end_ms| end_ms > now_ms).then_some((id, key, value, user))
    }

    /// The verdict on a digest at that time.
    pub(crate) fn verdict(&self, digest: &KeyDigest, now_ms: i64) -> Verdict {
        let Some((id, key, value, user)) = self.find_working(digest, now_ms) else {
            return Verdict::Inactive;
        };
        Verdict::Active(ActiveVerdict {
            key_id: id.to_owned(),
            user_id: key.user.clone(),
            scopes: key.scopes.limited_to(&user.permissions),
            restrictions: key.restrictions.clone(),
            expires_in_ms: key.end_of(value).map(|end_ms| (end_ms - now_ms) as u64),
        })
    }

    /// The standing of a digest.
    pub(crate) fn standing(&self, digest: &KeyDigest) -> Standing {
        let Some((_, key, value)) = self.find(digest) else { return Standing::default() };
        let Some(user) = self.users.get(&key.user).filter(|user| user.is_active) else {
            return Standing::default();
        };
        let is_good = key.scopes.permits(&REQUIRED) && user.permissions.permits(&REQUIRED);
        let validity = if is_good { Validity::Good } else { Validity::Known };
        Standing { validity, ends_at_ms: key.end_of(value) }
    }

    /// The digests that a change affects.
    pub fn digests(&self, affected: &AffectedKeys) -> Vec<KeyDigest> {
        let of = |is_affected: &dyn Fn(&Key) -> bool| -> Vec<KeyDigest> {
            let affected = self.keys.values().filter(|key| is_affected(key));
            affected.flat_map(|key| key.values.iter().map(|value| value.digest)).collect()
        };
        match affected {
            AffectedKeys::Key(id) => self.keys.get(id).into_iter().flat_map(Key::digests).collect(),
            AffectedKeys::Value(digest) => vec![*digest],
            AffectedKeys::User(id) => of(&|key| key.user == *id),
            AffectedKeys::KeysWith(values) => of(&|key| key.digests().any(|digest| values.contains(&digest))),
        }
    }

    pub(super) fn apply(&mut self, effect: Effect, now_ms: i64) {
        match effect {
            Effect::Create(id, key) => {
                if self.users.contains_key(&key.user) {
                    self.keys.insert(id, key);
                }
            }
            Effect::Delete(id) => self.delete(&id),
            Effect::Roll { key, digest, grace_ms } => self.roll(&key, digest, grace_ms, now_ms),
            Effect::Scopes(id, scopes) => {
                self.keys.entry(id).and_modify(|key| key.scopes = scopes);
            }
            Effect::Restrict(id, restrictions) => {
                self.keys.entry(id).and_modify(|key| key.restrictions = restrictions);
            }
            Effect::Expiry(id, expires_at_ms) => {
                self.keys.entry(id).and_modify(|key| key.expires_at_ms = expires_at_ms);
            }
            Effect::Enable(id, is_active) => {
                self.users.entry(id).and_modify(|user| user.is_active = is_active);
            }
            Effect::Permissions(id, scopes) => {
                self.users.entry(id).and_modify(|user| user.permissions = scopes);
            }
            Effect::DeleteUser(id) => {
                let keys = self.keys.iter().filter(|(_, key)| key.user == id);
                let keys: Vec<String> = keys.map(|(key, _)| key.clone()).collect();
                keys.iter().for_each(|key| self.delete(key));
                self.users.remove(&id);
            }
            Effect::Leak(digests) => self.leak(&digests),
        }
    }

    fn delete(&mut self, id: &str) {
        if let Some(key) = self.keys.remove(id) {
            self.revoked.extend(key.digests());
        }
    }

    fn roll(&mut self, id: &str, digest: KeyDigest, grace_ms: u64, now_ms: i64) {
        let Some(key) = self.keys.get_mut(id) else { return };
        let has_ended = |value: &Value| value.ends_at_ms.is_some_and(|end_ms| end_ms <= now_ms);
        let (ended, mut left): (Vec<_>, Vec<_>) =
            key.values.drain(..).partition(|value| grace_ms == 0 || has_ended(value));
        self.revoked.extend(ended.iter().map(|value| value.digest));
        for value in &mut left {
            value.ends_at_ms = value.ends_at_ms.or(Some(now_ms + grace_ms as i64));
        }
        left.push(Value { digest, ends_at_ms: None });
        key.values = left;
    }

    fn leak(&mut self, digests: &[KeyDigest]) {
        let is_leaked = |value: &Value| value.ends_at_ms.is_none() && digests.contains(&value.digest);
        let leaked = self.keys.iter().filter(|(_, key)| key.values.iter().any(is_leaked));
        let leaked: Vec<String> = leaked.map(|(id, _)| id.clone()).collect();
        leaked.iter().for_each(|id| self.delete(id));
        let of_report: BTreeSet<KeyDigest> = digests.iter().copied().collect();
        for key in self.keys.values_mut() {
            key.values.retain(|value| !of_report.contains(&value.digest));
        }
        self.revoked.extend(of_report);
    }
}

impl Key {
    /// The digests of its values.
    pub(crate) fn digests(&self) -> impl Iterator<Item = KeyDigest> + '_ {
        self.values.iter().map(|value| value.digest)
    }
}
