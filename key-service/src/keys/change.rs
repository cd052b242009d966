//! Changes a key: edits its fields, rolls its value, or deletes it.

use leases::{AffectedKeys, change};
use protocol::{ApiKey, Restrictions};
use serde_json::{Map, Value, json};

use super::key::{Generated, Key, KeyError, KeyPatch, MAX_OLD_VALUES};
use super::read::{is_within, key_within, log, user_within};
use super::{rules, sql};
use crate::accounts::access::KeyAccess;
use crate::accounts::authority;
use crate::audit::{Action, Actor};
use crate::db;
use crate::idempotency::RepeatableRequest;
use crate::revocation::propagation::Propagation;
use crate::revocation::{SqlLeaseStore, Store};

/// A pending change of one key.
type PendingChange<'l> = change::PendingChange<'l, SqlLeaseStore>;

/// Begins a change of a key. If the key does not exist, a concurrent change may have deleted it, and some edges may not
/// have applied that change yet. The error returns once they have.
async fn begin<'l>(
    store: &Store,
    lease_store: &'l SqlLeaseStore,
    by: &Actor,
    access: KeyAccess<'_>,
    id: &str,
) -> Result<(PendingChange<'l>, Key), KeyError> {
    // Look without the lock first, so that requests for unknown keys do not delay changes.
    let (key, position) = sql::find_at(store.pool(), id).await?;
    let is_within = match key {
        Some(key) => is_within(store.pool(), access, &key).await?,
        None => false,
    };
    if !is_within {
        change::await_earlier_change(lease_store, &position).await?;
        return Err(KeyError::NotFound);
    }
    let mut pending = change::begin(lease_store, &AffectedKeys::Key(id.to_owned())).await?;
    authority::recheck(pending.change().connection(), by, access.role()).await?;
    match key_within(pending.change().connection(), access, id).await {
        Err(KeyError::NotFound) => {
            pending.await_earlier_change().await?;
            Err(KeyError::NotFound)
        }
        key => Ok((pending, key?)),
    }
}

/// Changes fields of a key. New scopes, restrictions or a new expiry apply on every edge once the returned wait ends. Edges do
/// not know labels, so a new label alone needs no wait.
///
/// # Errors
/// The key does not exist or is not the expected one, its user lacks one of the new scopes, or the database failed.
pub async fn update(
    store: &Store,
    by: &Actor,
    access: KeyAccess<'_>,
    id: &str,
    patch: KeyPatch,
) -> Result<(Key, Option<Propagation>), KeyError> {
    if patch.is_only_label() {
        match relabel(store, by, access, id, &patch).await {
            // Some edges may not have applied the deletion yet.
            Err(KeyError::NotFound) => {}
            relabelled => return Ok((relabelled?, None)),
        }
    }
    let lease_store = store.lease_store();
    let (mut pending, mut key) = begin(store, &lease_store, by, access, id).await?;
    patch.check_expected(&key)?;
    if let Some(scopes) = &patch.scopes {
        let user = user_within(pending.change().connection(), access, &key.user_id).await?;
        rules::within_permissions(scopes, &user.permissions, &key.scopes)
            .map_err(|violation| violation.of("scopes"))?;
    }
    let changes = changes(&key, &patch);
    if changes.is_empty() {
        // Some edges may not have applied the change that set these values yet.
        return Ok((key, Some(Propagation::new(store, pending.abandon().await?))));
    }
    key.label = patch.label.map_or(key.label, String::from);
    key.scopes = patch.scopes.unwrap_or(key.scopes);
    key.restrictions = Restrictions {
        projects: patch.projects.unwrap_or(key.restrictions.projects),
        organizations: patch.organizations.unwrap_or(key.restrictions.organizations),
    };
    key.expires_at = patch.expires_at.unwrap_or(key.expires_at);
    sql::update(pending.change(), &key).await?;
    log(pending.change().connection(), by, Action::KeyUpdated, &key, changes.into()).await?;
    Ok((key, Some(Propagation::new(store, pending.commit().await?))))
}

async fn relabel(
    store: &Store,
    by: &Actor,
    access: KeyAccess<'_>,
    id: &str,
    patch: &KeyPatch,
) -> Result<Key, KeyError> {
    let mut write = store.begin_write().await?;
    authority::recheck(write.connection(), by, access.role()).await?;
    let mut key = key_within(write.connection(), access, id).await?;
    patch.check_expected(&key)?;
    let label = patch.label.as_ref().map(AsRef::as_ref);
    if let Some(label) = label.filter(|label| *label != key.label) {
        let detail = json!({ "label": { "from": key.label, "to": label } });
        key.label = label.to_owned();
        sql::set_label(write.connection(), id, label).await?;
        log(write.connection(), by, Action::KeyUpdated, &key, detail).await?;
    }
    write.commit().await?;
    Ok(key)
}

/// The fields that a patch changes, each with its old and new value.
fn changes(key: &Key, patch: &KeyPatch) -> Map<String, Value> {
    let mut changes = Map::new();
    if let Some(label) = patch.label.as_ref().map(AsRef::as_ref).filter(|label| *label != key.label) {
        changes.insert("label".to_owned(), json!({ "from": key.label, "to": label }));
    }
    if let Some(scopes) = patch.scopes.as_ref().filter(|scopes| **scopes != key.scopes) {
        changes.insert("scopes".to_owned(), json!({ "from": key.scopes, "to": scopes }));
    }
    let Restrictions { projects, organizations } = &key.restrictions;
    for (field, old, new) in [
        ("scoped_teams", projects, &patch.projects),
        ("scoped_organizations", organizations, &patch.organizations),
    ] {
        if let Some(new) = new.as_ref().filter(|new| *new != old) {
            changes.insert(field.to_owned(), json!({ "from": old, "to": new }));
        }
    }
    if let Some(expires_at) = patch.expires_at.filter(|expires_at| *expires_at != key.expires_at) {
        changes.insert("expires_at".to_owned(), json!({ "from": key.expires_at, "to": expires_at }));
    }
    changes
}

/// Gives a key a new value. The old value works for `grace_s` more seconds. With 0, no old value works on any edge once the
/// returned wait ends.
///
/// # Errors
/// The key does not exist, too many of its old values still work, randomness is missing, or the database failed.
pub async fn roll(
    store: &Store,
    by: &Actor,
    access: KeyAccess<'_>,
    id: &str,
    grace_s: u32,
) -> Result<(Key, ApiKey, Propagation), KeyError> {
    let lease_store = store.lease_store();
    let (mut pending, key) = begin(store, &lease_store, by, access, id).await?;
    let (key, value) = replace_value(&mut pending, by, key, grace_s).await?;
    Ok((key, value, Propagation::new(store, pending.commit().await?)))
}

/// Like [`roll`], but a repetition of `request` returns the key without its new value. It waits until every edge has applied
/// the first roll.
///
/// # Errors
/// Those of [`roll`], and the request repeats an earlier one with other content.
pub async fn roll_once(
    store: &Store,
    by: &Actor,
    access: KeyAccess<'_>,
    id: &str,
    grace_s: u32,
    request: Option<&RepeatableRequest>,
) -> Result<(Key, Option<ApiKey>, Propagation), KeyError> {
    let lease_store = store.lease_store();
    let (mut pending, key) = begin(store, &lease_store, by, access, id).await?;
    if let Some(request) = request
        && request.made(pending.change().connection()).await?.is_some()
    {
        return Ok((key, None, Propagation::of_earlier_changes(store, pending.abandon().await?)));
    }
    let (key, value) = replace_value(&mut pending, by, key, grace_s).await?;
    if let Some(request) = request {
        request.record(pending.change().connection(), id).await?;
    }
    Ok((key, Some(value), Propagation::new(store, pending.commit().await?)))
}

async fn replace_value(
    pending: &mut PendingChange<'_>,
    by: &Actor,
    mut key: Key,
    grace_s: u32,
) -> Result<(Key, ApiKey), KeyError> {
    let value = Generated::new()?;
    let id = key.id.clone();
    let now = db::now(pending.change().connection()).await?;
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(KeyError::Expired);
    }
    if grace_s == 0 {
        sql::remove_digests(pending.change(), &id).await?;
    } else {
        let old = sql::retire_current_digest(pending.change(), &id, now.plus_seconds(grace_s), now).await?;
        if old > MAX_OLD_VALUES {
            return Err(KeyError::TooManyOldValues);
        }
    }
    key.mask_value = value.0.mask();
    key.last_rolled_at = Some(now);
    sql::update(pending.change(), &key).await?;
    let connection = pending.change().connection();
    sql::add_generated(&mut *connection, &id, &value).await?;
    key = sql::find(&mut *connection, &id).await?.ok_or(KeyError::NotFound)?;
    log(connection, by, Action::KeyRolled, &key, json!({ "grace_s": grace_s })).await?;
    Ok((key, value.0))
}

/// Deletes a key and all its values permanently. None of them works on any edge once the returned wait ends.
///
/// # Errors
/// The key does not exist, or the database failed.
pub async fn delete(
    store: &Store,
    by: &Actor,
    access: KeyAccess<'_>,
    id: &str,
) -> Result<(Key, Propagation), KeyError> {
    let lease_store = store.lease_store();
    let (mut pending, key) = begin(store, &lease_store, by, access, id).await?;
    sql::delete(pending.change(), id).await?;
    log(pending.change().connection(), by, Action::KeyDeleted, &key, Value::Null).await?;
    Ok((key, Propagation::new(store, pending.commit().await?)))
}

#[cfg(test)]
mod tests {
    use leases::verify;
    use protocol::{Feature, KeyDigest, ResourceId, ScopeSet, Verdict, VerifyRequest};

    use super::*;
    use crate::keys::{NewKey, create};
    use crate::testing;
    use crate::time::Timestamp;

    /// The restrictions of an active verdict.
    async fn restrictions(store: &Store, digest: KeyDigest, understands: &[Feature]) -> Option<Restrictions> {
        let request =
            VerifyRequest { edge: "e".into(), digests: vec![digest], understands: understands.to_vec() };
        let answer = verify::answer(&store.lease_store(), &request).await.unwrap();
        match &answer.verdicts[0] {
            Verdict::Active(active) => Some(active.restrictions.clone()),
            Verdict::Inactive => None,
        }
    }

    #[tokio::test]
    async fn changes_for_another_state_of_the_key_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let (by, anyone, now) = (Actor::service(), KeyAccess::Anyone, Timestamp::now());
        let user = testing::user(&store).await;
        let new = NewKey {
            label: "CI".parse().unwrap(),
            scopes: ScopeSet::all(),
            restrictions: Restrictions::default(),
            expires_at: None,
        };
        let (seen, _) = create(&store, &by, anyone, &user.id, new, now).await.unwrap();
        let label = |label: &str, expected: &Key| KeyPatch {
            label: Some(label.parse().unwrap()),
            expected: Some(expected.clone()),
            ..Default::default()
        };
        let expiry = |expected: &Key| KeyPatch {
            expires_at: Some(Some(now.plus_seconds(60))),
            expected: Some(expected.clone()),
            ..Default::default()
        };
        let to = async |patch: KeyPatch| update(&store, &by, anyone, &seen.id, patch).await;
        let (now_seen, _) = to(label("Build", &seen)).await.unwrap();
        for patch in [label("Nightly", &seen), expiry(&seen)] {
            let refused = to(patch).await;
            assert!(matches!(refused, Err(KeyError::ChangedMeanwhile)), "{refused:?}");
        }
        let (unchanged, _) = to(KeyPatch::default()).await.unwrap();
        assert_eq!((unchanged.label.as_str(), unchanged.expires_at), ("Build", None));
        to(expiry(&now_seen)).await.unwrap();
    }

    #[tokio::test]
    async fn a_verdict_has_the_restrictions_and_each_change_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let (by, anyone, now) = (Actor::service(), KeyAccess::Anyone, Timestamp::now());
        let user = testing::user(&store).await;
        let ids = |ids: &[&str]| Some(ids.iter().map(|id| id.parse().unwrap()).collect::<Vec<ResourceId>>());
        let of = |projects: &[&str]| Restrictions { projects: ids(projects), organizations: None };
        let new = NewKey {
            label: "CI".parse().unwrap(),
            scopes: ScopeSet::all(),
            restrictions: of(&["1", "2"]),
            expires_at: None,
        };
        let (key, value) = create(&store, &by, anyone, &user.id, new, now).await.unwrap();
        let knows = [Feature::Restrictions];
        assert_eq!(restrictions(&store, value.digest(), &knows).await, Some(of(&["1", "2"])));
        assert_eq!(restrictions(&store, value.digest(), &[]).await, None);

        let to = async |patch: KeyPatch| update(&store, &by, anyone, &key.id, patch).await.unwrap();
        let (changed, propagation) = to(KeyPatch { projects: Some(ids(&["3"])), ..Default::default() }).await;
        assert_eq!((changed.restrictions, propagation.unwrap().position().revision), (of(&["3"]), 1));
        assert_eq!(restrictions(&store, value.digest(), &knows).await, Some(of(&["3"])));
        let (same, propagation) = to(KeyPatch { projects: Some(ids(&["3"])), ..Default::default() }).await;
        assert_eq!((same.restrictions, propagation.unwrap().position().revision), (of(&["3"]), 1));

        let (_, value, _) = roll(&store, &by, anyone, &key.id, 0).await.unwrap();
        assert_eq!(restrictions(&store, value.digest(), &knows).await, Some(of(&["3"])), "a roll keeps them");

        let patch =
            KeyPatch { projects: Some(None), organizations: Some(ids(&["acme"])), ..Default::default() };
        let (changed, _) = to(patch).await;
        let expected = Restrictions { projects: None, organizations: ids(&["acme"]) };
        assert_eq!(changed.restrictions, expected);
        assert_eq!(restrictions(&store, value.digest(), &knows).await, Some(expected));
        to(KeyPatch { organizations: Some(None), ..Default::default() }).await;
        assert_eq!(restrictions(&store, value.digest(), &[]).await, Some(Restrictions::default()));
    }
}
