//! Users, keys and their values in the database, and what a digest is worth.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use leases::Touched;
use protocol::{Action, ActiveVerdict, KeyDigest, Scope, ScopeSet, Verdict};

use super::data::Data;

/// The scope that requests ask for.
static REQUIRED: LazyLock<Scope> =
    LazyLock::new(|| Scope::Object { object: "insight".into(), action: Action::Read });

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Whether any key of the user works.
    pub is_active: bool,
    /// The most that any key of the user can do.
    pub permissions: ScopeSet,
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// The id of its user.
    pub user: String,
    /// What it can do, before the limit of the user's permissions.
    pub scopes: ScopeSet,
    /// When it ends, by the database's clock.
    pub expires_at_ms: Option<i64>,
    /// Its values: the current one, which has no end of its own, and those that rolls left working.
    pub values: Vec<Value>,
}

/// A value of a key.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// Its digest.
    pub digest: KeyDigest,
    /// When it ends, by the database's clock.
    pub ends_at_ms: Option<i64>,
}

/// What a change does to users and keys.
#[derive(Clone, Debug)]
pub enum Effect {
    /// There is another key.
    Create(String, Key),
    /// The key is gone.
    Delete(String),
    /// The key has another value. The former one works for a while yet; without a grace it ends with all older ones.
    Roll {
        /// The key's id.
        key: String,
        /// The new value.
        digest: KeyDigest,
        /// How long the former value works.
        grace_ms: u64,
    },
    /// The key can do something else.
    Scopes(String, ScopeSet),
    /// The key ends at another time, or never.
    Expiry(String, Option<i64>),
    /// The user is enabled, or disabled.
    Enable(String, bool),
    /// The user's keys can do no more than this.
    Permissions(String, ScopeSet),
    /// These values leaked: a key whose current value is among them is deleted, an old value ends alone.
    Leak(Vec<KeyDigest>),
}

impl Effect {
    /// The key that must be there for it.
    pub fn key(&self) -> Option<&str> {
        match self {
            Effect::Delete(key)
            | Effect::Roll { key, .. }
            | Effect::Scopes(key, _)
            | Effect::Expiry(key, _) => Some(key),
            Effect::Create(..) | Effect::Enable(..) | Effect::Permissions(..) | Effect::Leak(_) => None,
        }
    }
}

/// What a digest is worth, until it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What it is worth.
    pub worth: Worth,
    /// When it ends, by the database's clock; from then on it is worth nothing.
    pub ends_at_ms: Option<i64>,
}

/// What a digest is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Worth {
    /// Nothing.
    #[default]
    Nothing,
    /// It is good, and may not read insights.
    Known,
    /// It is good, and may.
    Good,
}

impl Default for User {
    /// An active user whose keys can do everything.
    fn default() -> Self {
        User { is_active: true, permissions: ScopeSet::all() }
    }
}

impl Key {
    /// A key of one value that can do what requests ask for.
    pub fn new(user: &str, digest: KeyDigest) -> Self {
        let scopes = std::iter::once(REQUIRED.clone()).collect();
        let values = vec![Value { digest, ends_at_ms: None }];
        Key { user: user.to_owned(), scopes, expires_at_ms: None, values }
    }

    /// When a value of it ends, if it does.
    pub fn end_of(&self, value: &Value) -> Option<i64> {
        [self.expires_at_ms, value.ends_at_ms].into_iter().flatten().min()
    }
}

impl Data {
    /// The key that has a value, by its id, and the value.
    pub fn find(&self, digest: &KeyDigest) -> Option<(&str, &Key, &Value)> {
        self.keys.iter().find_map(|(id, key)| {
            let value = key.values.iter().find(|value| value.digest == *digest)?;
            Some((id.as_str(), key, value))
        })
    }

    /// The same, if the value works at that time; and its user.
    fn find_working(&self, digest: &KeyDigest, now_ms: i64) -> Option<(&str, &Key, &Value, &User)> {
        let (id, key, value) = self.find(digest)?;
        let user = self.users.get(&key.user).filter(|user| user.is_active)?;
        key.end_of(value).is_none_or(|end_ms| end_ms > now_ms).then_some((id, key, value, user))
    }

    /// What is said of a digest at that time.
    pub fn verdict(&self, digest: &KeyDigest, now_ms: i64) -> Verdict {
        let Some((id, key, value, user)) = self.find_working(digest, now_ms) else {
            return Verdict::Inactive;
        };
        Verdict::Active(ActiveVerdict {
            key_id: id.to_owned(),
            user_id: key.user.clone(),
            scopes: key.scopes.limited_to(&user.permissions),
            expires_in_ms: key.end_of(value).map(|end_ms| (end_ms - now_ms) as u64),
        })
    }

    /// What a digest is worth, and until when.
    pub fn standing(&self, digest: &KeyDigest) -> Standing {
        let Some((_, key, value)) = self.find(digest) else { return Standing::default() };
        let Some(user) = self.users.get(&key.user).filter(|user| user.is_active) else {
            return Standing::default();
        };
        let is_good = key.scopes.permits(&REQUIRED) && user.permissions.permits(&REQUIRED);
        let worth = if is_good { Worth::Good } else { Worth::Known };
        Standing { worth, ends_at_ms: key.end_of(value) }
    }

    /// The digests that a change touches.
    pub fn digests(&self, touched: &Touched) -> Vec<KeyDigest> {
        let of = |is_touched: &dyn Fn(&Key) -> bool| -> Vec<KeyDigest> {
            let touched = self.keys.values().filter(|key| is_touched(key));
            touched.flat_map(|key| key.values.iter().map(|value| value.digest)).collect()
        };
        match touched {
            Touched::Key(id) => self.keys.get(id).into_iter().flat_map(Key::digests).collect(),
            Touched::Value(digest) => vec![*digest],
            Touched::User(id) => of(&|key| key.user == *id),
            Touched::KeysWith(values) => of(&|key| key.digests().any(|digest| values.contains(&digest))),
        }
    }

    pub(super) fn apply(&mut self, effect: Effect, now_ms: i64) {
        match effect {
            Effect::Create(id, key) => drop(self.keys.insert(id, key)),
            Effect::Delete(id) => self.delete(&id),
            Effect::Roll { key, digest, grace_ms } => self.roll(&key, digest, grace_ms, now_ms),
            Effect::Scopes(id, scopes) => {
                self.keys.entry(id).and_modify(|key| key.scopes = scopes);
            }
            Effect::Expiry(id, expires_at_ms) => {
                self.keys.entry(id).and_modify(|key| key.expires_at_ms = expires_at_ms);
            }
            Effect::Enable(user, is_active) => self.users.entry(user).or_default().is_active = is_active,
            Effect::Permissions(user, scopes) => self.users.entry(user).or_default().permissions = scopes,
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
    pub fn digests(&self) -> impl Iterator<Item = KeyDigest> + '_ {
        self.values.iter().map(|value| value.digest)
    }
}
