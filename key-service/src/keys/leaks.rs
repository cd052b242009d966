//! Reports of leaked values, which end the values immediately.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

use deserr::Deserr;
use leases::{AffectedKeys, change};
use protocol::{KeyDigest, Verdict, mask};
use serde::Serialize;
use serde_json::json;
use sqlx::AnyConnection;
use utoipa::ToSchema;

use super::key::Key;
use super::sql;
use crate::accounts::access::Role;
use crate::accounts::authority::{self, AuthorityError};
use crate::accounts::management_tokens;
use crate::audit::refusals::{self, Refusals};
use crate::audit::{self, Action, Actor, ActorKind, Event};
use crate::db;
use crate::revocation::Store;
use crate::revocation::lease_store::Change;
use crate::revocation::propagation::Propagation;
use crate::revocation::sql::snapshot;
use crate::revocation::verdicts;
use crate::time::{Timestamp, monotonic_now};
use crate::validation::{Violation, short_text};
use crate::webhooks;

/// The most values of one report.
pub const MAX_VALUES: usize = 100;

/// The most characters of a report's source.
pub const MAX_SOURCE_CHARS: usize = 200;

/// The result of a report for one value.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Outcome {
    /// The mask of the value.
    pub mask_value: String,
    /// Whether it worked until the report.
    pub live: bool,
    /// The id of the key that it belonged to.
    #[schema(required)]
    pub key_id: Option<String>,
    /// The id of the key's user.
    #[schema(required)]
    pub user_id: Option<String>,
    /// The key's label.
    #[serde(skip)]
    pub label: Option<String>,
}

/// Why a report failed.
#[derive(Debug, thiserror::Error)]
pub enum LeakError {
    /// The caller lost its rights after the request began.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

/// Leaked values of any shape, 1 to 100.
#[derive(Clone, Debug, Deserr, ToSchema)]
#[deserr(try_from(Vec<String>) = LeakedValues::try_from -> Violation)]
#[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
pub struct LeakedValues(
    /// The digest and the mask of each.
    Vec<(KeyDigest, String)>,
);

impl TryFrom<Vec<String>> for LeakedValues {
    type Error = Violation;

    fn try_from(values: Vec<String>) -> Result<Self, Violation> {
        Self::new(values.iter().map(String::as_str))
    }
}

impl LeakedValues {
    /// What can be kept of these values.
    ///
    /// # Errors
    /// They are none or too many.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, Violation> {
        let known = |value: &str| (KeyDigest::of_value(value), mask_any(value));
        let values: Vec<_> = values.into_iter().map(|value| known(value.trim())).collect();
        match values.len() {
            0 => Err(Violation::empty()),
            1..=MAX_VALUES => Ok(LeakedValues(values)),
            _ => Err(Violation::input(format!("At most {MAX_VALUES} values at once."))),
        }
    }
}

/// Where leaked values were found: 1 to 200 characters. White space around them is removed; characters that turn the reading
/// direction are refused.
#[derive(Clone, Debug, Deserr, ToSchema)]
#[deserr(try_from(&String) = Source::from_str -> Violation)]
#[schema(
    value_type = String,
    min_length = 1,
    max_length = 200,
    pattern = r"^[^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*[^\s\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069][^\x00\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]*$"
)]
pub struct Source(String);

impl FromStr for Source {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        short_text(text, MAX_SOURCE_CHARS).map(Source)
    }
}

/// A report of leaked values.
#[derive(Clone, Debug)]
pub struct Report {
    values: Vec<(KeyDigest, String)>,
    source: String,
}

impl Report {
    /// A report of values, and of where they were found.
    pub fn new(LeakedValues(values): LeakedValues, Source(source): Source) -> Self {
        Report { values, source }
    }

    /// The digests of the values.
    pub(super) fn digests(&self) -> Vec<KeyDigest> {
        self.values.iter().map(|(digest, _)| *digest).collect()
    }

    /// The digest and the mask of each value.
    pub(super) fn values(&self) -> impl Iterator<Item = (KeyDigest, String)> {
        self.values.iter().cloned()
    }

    /// The same report with fewer values.
    pub(super) fn only(&self, is_kept: impl Fn(&KeyDigest) -> bool) -> Self {
        let values = self.values().filter(|(digest, _)| is_kept(digest)).collect();
        Report { values, source: self.source.clone() }
    }
}

/// The mask of a reported value, which may be any text.
fn mask_any(value: &str) -> String {
    if value.is_ascii() { mask(value) } else { mask("") }
}

/// Whether a report names no value of a key or management token but has values that are not revoked yet. Such a report adds digests permanently,
/// although no key stops working.
///
/// # Errors
/// The database failed.
pub(crate) async fn only_adds(store: &Store, report: &Report) -> db::Result<bool> {
    let digests = report.digests();
    if !snapshot(store.pool(), &digests).await?.keys.is_empty()
        || !management_tokens::with_digests(store, &digests).await?.is_empty()
    {
        return Ok(false);
    }
    Ok(!are_revoked(&mut *store.connection().await?, &digests).await?)
}

async fn are_revoked(connection: &mut AnyConnection, digests: &[KeyDigest]) -> db::Result<bool> {
    for digest in digests {
        if !sql::is_revoked(&mut *connection, *digest).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Revokes the values, and reports those that belonged to keys to the webhook. If the current value of a key is among them,
/// the key is deleted. If an old value is among them, only this value ends. A value that belongs to no key can never become
/// one. If all values were revoked before, nothing changes.
///
/// # Errors
/// The caller has lost its rights, or the database failed.
pub async fn report(
    store: &Store,
    by: &Actor,
    report: &Report,
) -> Result<(Vec<Outcome>, Propagation), LeakError> {
    carry_out(store, by, report, || Some(0)).await
}

/// The same as [`report`], and ends management tokens too. Reports whose values were all revoked before are not rate limited, so
/// the audit log gets at most one entry a minute for them.
///
/// # Errors
/// As [`report`].
pub(crate) async fn report_logged_once(
    store: &Store,
    refusals: &Refusals,
    by: &Actor,
    report: &Report,
    now: Timestamp,
) -> Result<(Vec<Outcome>, Propagation), LeakError> {
    let digests: String = report.values.iter().map(|(digest, _)| digest.to_hex()).collect();
    let same = format!("{} {digests} {}", by.id.as_deref().unwrap_or_default(), report.source);
    let log_repeat = || refusals.admit(("leak", "repeated"), &same, monotonic_now());
    let (mut outcomes, propagation) = carry_out(store, by, report, log_repeat).await?;
    let ended = end_tokens(store, by, report, now).await?;
    for (outcome, (digest, _)) in outcomes.iter_mut().zip(&report.values) {
        outcome.live |= ended.contains(digest);
    }
    Ok((outcomes, propagation))
}

/// Ends the management tokens among the values, each in a transaction of its own. Returns the digests of those that worked.
///
/// # Errors
/// The caller has lost its rights, or the database failed.
pub(super) async fn end_tokens(
    store: &Store,
    by: &Actor,
    report: &Report,
    now: Timestamp,
) -> Result<HashSet<KeyDigest>, LeakError> {
    let mut ended = HashSet::new();
    for (digest, id) in management_tokens::with_digests(store, &report.digests()).await? {
        if management_tokens::revoke_leaked(store, by, &id, &report.source, now).await? {
            ended.insert(digest);
        }
    }
    Ok(ended)
}

/// `log_repeat` says whether to log a report whose values were all revoked before, and how many such reports were not logged.
async fn carry_out(
    store: &Store,
    by: &Actor,
    report: &Report,
    log_repeat: impl FnOnce() -> Option<u64>,
) -> Result<(Vec<Outcome>, Propagation), LeakError> {
    let lease_store = store.lease_store();
    let digests = report.digests();
    let mut pending = change::begin(&lease_store, &AffectedKeys::KeysWith(digests.clone())).await?;
    // A holder's right is the value itself, which cannot be taken away.
    if by.kind != ActorKind::LeakReporter {
        authority::recheck(pending.change().connection(), by, Role::Admin).await?;
    }
    // Read the state and the owner of each value before any of them is revoked.
    let verdicts = verdicts::read(pending.change().connection(), &digests).await?.verdicts;
    let mut found = BTreeMap::new();
    for ((digest, mask_value), verdict) in report.values.iter().zip(verdicts) {
        if let Some((key, is_current)) = sql::find_value(pending.change().connection(), *digest).await? {
            let works = matches!(verdict, Verdict::Active(_));
            found.insert(*digest, Value { key, is_current, works, mask_value });
        }
    }
    let outcomes: Vec<_> = report
        .values
        .iter()
        .map(|(digest, mask_value)| {
            let value = found.get(digest);
            Outcome {
                mask_value: mask_value.clone(),
                live: value.is_some_and(|value| value.works),
                key_id: value.map(|value| value.key.id.clone()),
                user_id: value.map(|value| value.key.user_id.clone()),
                label: value.map(|value| value.key.label.clone()),
            }
        })
        .collect();
    let live = outcomes.iter().filter(|outcome| outcome.live).count();
    let (source, values) = (&report.source, outcomes.len());
    let detail = json!({ "source": source, "values": values, "live": live });
    let event = Event { action: Action::LeakReported, user_id: None, subject: None, detail: &detail };
    if found.is_empty() && are_revoked(pending.change().connection(), &digests).await? {
        let position = pending.abandon().await?;
        if let Some(left_out) = log_repeat() {
            let detail = [("source", json!(source)), ("values", json!(values)), ("live", json!(live))];
            let detail = detail.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
            refusals::record(store, by, event, detail, left_out).await?;
        }
        return Ok((outcomes, Propagation::new(store, position)));
    }
    for (digest, value) in &found {
        end(pending.change(), by, *digest, value, &report.source).await?;
    }
    sql::revoke_unknown(pending.change(), &digests).await?;
    audit::record(pending.change().connection(), by, event).await?;
    Ok((outcomes, Propagation::new(store, pending.commit().await?)))
}

/// A value of a key.
struct Value<'r> {
    key: Key,
    /// Whether it is the current value, not one from before a roll.
    is_current: bool,
    /// Whether edges accepted it until now.
    works: bool,
    mask_value: &'r str,
}

async fn end(
    change: &mut Change,
    by: &Actor,
    digest: KeyDigest,
    Value { key, is_current, works, mask_value }: &Value<'_>,
    source: &str,
) -> db::Result<()> {
    match is_current {
        true => sql::delete(change, &key.id).await?,
        false => sql::remove_digest(change, digest).await?,
    }
    let detail = json!({ "source": source, "key_deleted": is_current });
    let subject = Some((key.id.as_str(), key.label.as_str()));
    let event = Event { action: Action::KeyLeaked, user_id: Some(&key.user_id), subject, detail: &detail };
    audit::record(change.connection(), by, event).await?;
    let payload = json!({
        "key_id": key.id,
        "label": key.label,
        "mask_value": mask_value,
        "live": works,
        "user_id": key.user_id,
        "source": source,
        "reported_by": by.kind,
        "key_deleted": is_current,
    });
    webhooks::enqueue(change.connection(), Action::KeyLeaked.as_str(), &payload).await
}
