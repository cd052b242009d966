//! Limits the refusals in the audit log: a refused caller can retry without limit, and each entry is a write.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::KeyDigest;
use serde_json::{Map, Value};

use super::actor::Actor;
use super::entry::Event;
use super::sql;
use crate::db;
use crate::db::Database;

/// The same refusal is logged once within this time.
const WINDOW: Duration = Duration::from_secs(60);

/// The most refusals of one kind that are logged within [`WINDOW`]. It also bounds their memory.
const MOST: usize = 60;

/// What was refused, and why. Both are constants of the program, so there are few kinds.
pub(crate) type RefusalKind = (&'static str, &'static str);

/// The refusals that were logged recently. Each kind has its own window, so that many refusals of one kind do not hide the
/// others.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<RefusalKind, Window>>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    logged: HashSet<KeyDigest>,
    /// How many refusals were left out since the last logged one.
    left_out: u64,
}

impl Refusals {
    /// Whether to log a refusal, and if so, how many of its kind were left out since the last logged one. Two refusals of a
    /// kind are the same if they have the same `subject`.
    pub(crate) fn admit(&self, kind: RefusalKind, subject: &str, now: Instant) -> Option<u64> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(kind).or_default();
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            window.began = Some(now);
            window.logged.clear();
        }
        let subject = KeyDigest::of_value(subject);
        if window.logged.len() >= MOST || !window.logged.insert(subject) {
            window.left_out = window.left_out.saturating_add(1);
            return None;
        }
        Some(std::mem::take(&mut window.left_out))
    }
}

/// Writes the entry of an admitted refusal. Its detail includes `left_out`.
pub(crate) async fn record(
    database: &Database,
    by: &Actor,
    event: Event<'_>,
    mut detail: Map<String, Value>,
    left_out: u64,
) -> db::Result<()> {
    if left_out > 0 {
        detail.insert("left_out".to_owned(), left_out.into());
    }
    let mut write = database.begin_write().await?;
    sql::insert(write.connection(), by, &[Event { detail: &detail.into(), ..event }]).await?;
    write.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::monotonic_now;

    const KIND: RefusalKind = ("token", "unknown");
    const OTHER_KIND: RefusalKind = ("token", "ended");

    #[test]
    fn the_same_refusal_is_logged_once_a_minute_and_the_others_are_counted() {
        let (refusals, now) = (Refusals::default(), monotonic_now());
        assert_eq!(refusals.admit(KIND, "a", now), Some(0));
        assert_eq!(refusals.admit(KIND, "a", now), None);
        assert_eq!(refusals.admit(KIND, "a", now + WINDOW / 2), None);
        assert_eq!(refusals.admit(KIND, "b", now), Some(2));
        assert_eq!(refusals.admit(KIND, "a", now + WINDOW), Some(0));
    }

    #[test]
    fn no_number_of_different_refusals_is_logged_or_remembered() {
        let (refusals, now) = (Refusals::default(), monotonic_now());
        let logged = (0..10_000).filter(|n| refusals.admit(KIND, &n.to_string(), now).is_some()).count();
        assert_eq!(logged, MOST);
        assert_eq!(refusals.0.lock().unwrap()[&KIND].logged.len(), MOST);
        assert_eq!(refusals.admit(KIND, "the next minute", now + WINDOW), Some(10_000 - MOST as u64));
    }

    #[test]
    fn noise_of_one_kind_hides_no_other_and_is_not_counted_there() {
        let (refusals, now) = (Refusals::default(), monotonic_now());
        for n in 0..1_000 {
            refusals.admit(KIND, &n.to_string(), now);
        }
        assert_eq!(refusals.admit(OTHER_KIND, "1", now), Some(0));
        assert_eq!(refusals.admit(OTHER_KIND, "1", now), None);
    }
}
