//! A key in tables and headings, with what needs attention.

use protocol::{ResourceId, Restrictions};

use super::key_form::joined;
use crate::keys::{Key, OLD_AFTER_MS};
use crate::time::Timestamp;
use crate::web::ui::moment::{DAY_MS, Moment};

/// An expiry within this time is highlighted.
const SOON_MS: i64 = 14 * DAY_MS;

/// A key as a page shows it.
pub(in crate::web::ui) struct KeyRow {
    key: Key,
    now: Timestamp,
}

impl KeyRow {
    /// The key at the given time.
    pub(in crate::web::ui) fn new(key: Key, now: Timestamp) -> Self {
        KeyRow { key, now }
    }

    /// The key.
    pub(in crate::web::ui) fn key(&self) -> &Key {
        &self.key
    }

    /// What it is restricted to: "Only projects 1, 2".
    pub(in crate::web::ui) fn restrictions(&self) -> Vec<String> {
        let Restrictions { projects, organizations } = &self.key.restrictions;
        let only = |noun: &str, ids: &[ResourceId]| match ids {
            [id] => format!("Only {noun} {id}"),
            ids => format!("Only {noun}s {}", joined(ids)),
        };
        let projects = projects.iter().map(|ids| only("project", ids));
        projects.chain(organizations.iter().map(|ids| only("organization", ids))).collect()
    }

    /// When it was created.
    pub(in crate::web::ui) fn created(&self) -> Moment {
        self.moment(self.key.created_at)
    }

    /// When it was last used.
    pub(in crate::web::ui) fn last_used(&self) -> Option<Moment> {
        self.key.last_used_at.map(|at| self.moment(at))
    }

    /// When it expires.
    pub(in crate::web::ui) fn expires(&self) -> Option<Moment> {
        self.key.expires_at.map(|at| self.moment(at))
    }

    /// When the last old value stops working.
    pub(in crate::web::ui) fn old_value_expires(&self) -> Option<Moment> {
        self.key.old_value_expires_at.map(|at| self.moment(at))
    }

    /// The age of its value: "94 days".
    pub(in crate::web::ui) fn age(&self) -> String {
        let days = self.ms_since(self.value_created_at()) / DAY_MS;
        match days {
            ..=0 => "today".to_owned(),
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        }
    }

    /// Whether its value is old enough that it should be rolled.
    pub(in crate::web::ui) fn is_old(&self) -> bool {
        !self.has_expired() && self.ms_since(self.value_created_at()) >= OLD_AFTER_MS
    }

    /// Whether it has not been used for 90 days.
    pub(in crate::web::ui) fn is_unused(&self) -> bool {
        self.ms_since(self.key.last_used_at.unwrap_or(self.key.created_at)) >= OLD_AFTER_MS
    }

    /// Whether it has expired.
    pub(in crate::web::ui) fn has_expired(&self) -> bool {
        self.key.expires_at.is_some_and(|at| at <= self.now)
    }

    /// Whether it expires soon.
    pub(in crate::web::ui) fn expires_soon(&self) -> bool {
        !self.has_expired() && self.key.expires_at.is_some_and(|at| -self.ms_since(at) < SOON_MS)
    }

    fn value_created_at(&self) -> Timestamp {
        self.key.last_rolled_at.unwrap_or(self.key.created_at)
    }

    fn moment(&self, at: Timestamp) -> Moment {
        Moment::new(at, self.now)
    }

    fn ms_since(&self, at: Timestamp) -> i64 {
        self.now.unix_ms() - at.unix_ms()
    }
}

#[cfg(test)]
mod tests {
    use protocol::ScopeSet;

    use super::*;
    use crate::accounts::access::KeyAccess;
    use crate::accounts::passwords::Passwords;
    use crate::accounts::{self, NewUser};
    use crate::audit::Actor;
    use crate::keys::{self, KeySearch, KeyState, NewKey};
    use crate::revocation::Store;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_unix_ms(day * DAY_MS)
    }

    /// A key created on day 0.
    fn key() -> Key {
        Key {
            id: "k".into(),
            user_id: "u".into(),
            label: "CI".into(),
            mask_value: "phx_...abcd".into(),
            scopes: ScopeSet::default(),
            restrictions: Restrictions::default(),
            created_at: at(0),
            last_used_at: None,
            last_rolled_at: None,
            expires_at: None,
            old_value_expires_at: None,
        }
    }

    #[test]
    fn a_value_is_old_when_it_has_been_in_use_for_90_days() {
        assert!(!KeyRow::new(key(), at(89)).is_old());
        let row = KeyRow::new(key(), at(90));
        assert!(row.is_old());
        assert_eq!(row.age(), "90 days");
        let rolled = Key { last_rolled_at: Some(at(60)), ..key() };
        assert!(!KeyRow::new(rolled.clone(), at(149)).is_old());
        assert!(KeyRow::new(rolled, at(150)).is_old());
        let expired = Key { expires_at: Some(at(100)), ..key() };
        assert!(!KeyRow::new(expired, at(101)).is_old(), "an expired key needs no new value");
    }

    #[test]
    fn a_key_is_unused_after_90_days_without_a_use() {
        assert!(!KeyRow::new(key(), at(89)).is_unused());
        assert!(KeyRow::new(key(), at(90)).is_unused());
        let used = Key { last_used_at: Some(at(50)), ..key() };
        assert!(!KeyRow::new(used.clone(), at(139)).is_unused());
        assert!(KeyRow::new(used, at(140)).is_unused());
    }

    /// Whether something is highlighted.
    type Tag = fn(&KeyRow) -> bool;

    #[tokio::test]
    async fn the_filters_find_the_highlighted_keys() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("keys.db").display());
        let (store, by) = (Store::open(&url).await.unwrap(), Actor::service());
        let new = NewUser {
            email: "ada@example.com".parse().unwrap(),
            password: None,
            permissions: ScopeSet::default(),
            is_admin: false,
        };
        let user = accounts::add(&store, &by, &Passwords::default(), new, at(0)).await.unwrap();
        for expires_at in [None, Some(at(95))] {
            let (label, scopes, restrictions) =
                ("CI".parse().unwrap(), ScopeSet::default(), Restrictions::default());
            let new = NewKey { label, scopes, restrictions, expires_at };
            keys::create(&store, &by, KeyAccess::Anyone, &user.id, new, at(0)).await.unwrap();
        }
        let now = [
            Timestamp::from_unix_ms(90 * DAY_MS - 1),
            at(90),
            Timestamp::from_unix_ms(95 * DAY_MS - 1),
            at(95),
        ];
        for now in now {
            let all = KeySearch::all(KeyAccess::Anyone, now);
            let rows = async |state| {
                let found = keys::search(&store, &KeySearch { state, ..all.clone() }).await.unwrap().rows;
                found.into_iter().map(|found| KeyRow::new(found.key, now)).collect::<Vec<_>>()
            };
            let states: [(KeyState, Tag); 3] = [
                (KeyState::Old, KeyRow::is_old),
                (KeyState::Unused, KeyRow::is_unused),
                (KeyState::Expired, KeyRow::has_expired),
            ];
            for (state, is_highlighted) in states {
                let highlighted = rows(None).await.into_iter().filter(is_highlighted).count();
                let found = rows(Some(state)).await;
                assert!(found.iter().all(is_highlighted), "{state:?} at {now:?}");
                assert_eq!(found.len(), highlighted, "{state:?} at {now:?}");
            }
        }
    }

    #[test]
    fn an_expiry_is_highlighted_in_its_last_two_weeks_and_afterwards() {
        let ends = Key { expires_at: Some(at(30)), ..key() };
        let shown = |day| {
            let row = KeyRow::new(ends.clone(), at(day));
            (row.expires_soon(), row.has_expired())
        };
        assert_eq!(shown(16), (false, false));
        assert_eq!(shown(17), (true, false));
        assert_eq!(shown(30), (false, true));
    }
}
