//! Changes of every kind, for the store and for the model.

use key_service::accounts::access::KeyAccess;
use key_service::accounts::{self, UserPatch};
use key_service::audit::Actor;
use key_service::keys::leaks;
use key_service::keys::{self, KeyError, KeyPatch, MAX_OLD_VALUES, NewKey};
use key_service::revocation::Store;
use key_service::revocation::propagation::Propagation;
use key_service::time::Timestamp;
use leases::{AffectedKeys, Position};
use protocol::{ApiKey, KeyDigest, Restrictions, Scope, ScopeSet};
use simulation::database::{Data, Effect, Key, Value};

/// A change to make.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    TakeOver { user: String, value: String, scopes: ScopeSet, expires_at_ms: Option<i64> },
    Update { key: String, scopes: Option<ScopeSet>, expires_at_ms: Option<Option<i64>> },
    Restrict { key: String, restrictions: Restrictions },
    Roll { key: String, grace_s: u32 },
    Delete { key: String },
    SetActive { user: String, is_active: bool },
    SetPermissions { user: String, permissions: ScopeSet },
    DeleteUser { user: String },
    Leak { values: Vec<String> },
}

/// Its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The position: the change made it, or nothing had to be changed.
    At(Position),
    Refused(&'static str),
}

/// The key and the value that the store has created for a change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Artifacts {
    key: Option<String>,
    digest: Option<KeyDigest>,
}

/// The outcome that the model expects.
pub(crate) enum Expected {
    Made(AffectedKeys, Effect),
    AlreadySo,
    Refused(&'static str),
}

/// The reason for a refusal: the key's user lacks a scope.
const LACKS_SCOPE: &str = "lacks a scope";

/// Refuses scopes that the user lacks, except `*` and the scopes that the key already has.
pub(crate) fn check_scopes(
    data: &Data,
    user: &str,
    scopes: &ScopeSet,
    held: &ScopeSet,
) -> Result<(), &'static str> {
    let by_name: ScopeSet = held.iter().filter(|scope| **scope != Scope::All).cloned().collect();
    let permissions = &data.users[user].permissions;
    let may_have =
        |scope: &Scope| *scope == Scope::All || permissions.permits(scope) || by_name.permits(scope);
    if scopes.iter().all(may_have) { Ok(()) } else { Err(LACKS_SCOPE) }
}

type Outcome<T> = Result<T, &'static str>;

pub(crate) fn refused(error: &KeyError) -> &'static str {
    match error {
        KeyError::NotFound => "not found",
        KeyError::ValueTaken => "taken",
        KeyError::ValueRevoked => "revoked",
        KeyError::Expired => "expired",
        KeyError::TooManyOldValues => "too many old values",
        KeyError::Invalid(invalid) if invalid.field == "scopes" => LACKS_SCOPE,
        other => panic!("{other}"),
    }
}

impl Wanted {
    /// The key that must exist for it, if any.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Wanted::Update { key, .. }
            | Wanted::Restrict { key, .. }
            | Wanted::Roll { key, .. }
            | Wanted::Delete { key } => Some(key),
            _ => None,
        }
    }

    /// Makes it in the store.
    pub(crate) async fn make(&self, database: &Store) -> (Came, Artifacts) {
        match self.try_to_make(database).await {
            Ok((propagation, artifacts)) => (Came::At(propagation.position().clone()), artifacts),
            Err(why) => (Came::Refused(why), Artifacts::default()),
        }
    }

    async fn try_to_make(&self, database: &Store) -> Outcome<(Propagation, Artifacts)> {
        let (by, anyone) = (Actor::service(), KeyAccess::Anyone);
        let at = Timestamp::from_unix_ms;
        let nothing = Artifacts::default();
        Ok(match self {
            Wanted::TakeOver { user, value, scopes, expires_at_ms } => {
                let value = ApiKey::parse(value.as_bytes()).unwrap();
                let new = NewKey {
                    label: "adopted".parse().unwrap(),
                    scopes: scopes.clone(),
                    restrictions: Restrictions::default(),
                    expires_at: expires_at_ms.map(at),
                };
                let made = keys::adopt_value(database, &by, user, new, &value, at(0)).await;
                let (key, propagation) = made.map_err(|error| refused(&error))?;
                (propagation, Artifacts { key: Some(key.id), digest: Some(value.digest()) })
            }
            Wanted::Update { key, scopes, expires_at_ms } => {
                let expires_at = expires_at_ms.map(|expires_at_ms| expires_at_ms.map(at));
                let patch = KeyPatch { scopes: scopes.clone(), expires_at, ..KeyPatch::default() };
                let made = keys::update(database, &by, anyone, key, patch).await;
                let (_, propagation) = made.map_err(|error| refused(&error))?;
                (propagation.expect("more than the label"), nothing)
            }
            Wanted::Restrict { key, restrictions } => {
                let Restrictions { projects, organizations } = restrictions.clone();
                let patch = KeyPatch {
                    projects: Some(projects),
                    organizations: Some(organizations),
                    ..KeyPatch::default()
                };
                let made = keys::update(database, &by, anyone, key, patch).await;
                let (_, propagation) = made.map_err(|error| refused(&error))?;
                (propagation.expect("more than the label"), nothing)
            }
            Wanted::Roll { key, grace_s } => {
                let made = keys::roll(database, &by, anyone, key, *grace_s).await;
                let (_, value, propagation) = made.map_err(|error| refused(&error))?;
                (propagation, Artifacts { key: None, digest: Some(value.digest()) })
            }
            Wanted::Delete { key } => {
                let made = keys::delete(database, &by, anyone, key).await;
                (made.map_err(|error| refused(&error))?.1, nothing)
            }
            Wanted::SetActive { user, is_active } => {
                let patch = UserPatch { is_active: Some(*is_active), ..UserPatch::default() };
                (accounts::update(database, &by, user, &patch).await.unwrap().propagation, nothing)
            }
            Wanted::SetPermissions { user, permissions } => {
                let patch = UserPatch { permissions: Some(permissions.clone()), ..UserPatch::default() };
                (accounts::update(database, &by, user, &patch).await.unwrap().propagation, nothing)
            }
            Wanted::DeleteUser { user } => {
                (keys::delete_user(database, &by, user).await.unwrap().propagation, nothing)
            }
            Wanted::Leak { values } => {
                let values = leaks::LeakedValues::try_from(values.clone()).unwrap();
                let report = leaks::Report::new(values, "a test".parse().unwrap());
                (leaks::report(database, &by, &report).await.unwrap().1, nothing)
            }
        })
    }

    /// The outcome in the model, with the id and the value that the store has drawn.
    pub(crate) fn expected(&self, data: &Data, now_ms: i64, made: &Artifacts) -> Expected {
        let is_missing = |key: &str| !data.keys.contains_key(key);
        if self.key().is_some_and(is_missing) {
            return Expected::Refused("not found");
        }
        match self {
            Wanted::TakeOver { user, value, scopes, expires_at_ms } => {
                let digest = KeyDigest::of_value(value);
                if data.revoked.contains(&digest) {
                    return Expected::Refused("revoked");
                }
                if let Err(why) = check_scopes(data, user, scopes, &ScopeSet::default()) {
                    return Expected::Refused(why);
                }
                if data.find(&digest).is_some() {
                    return Expected::Refused("taken");
                }
                let values = vec![Value { digest, ends_at_ms: None }];
                let (user, scopes, expires_at_ms) = (user.clone(), scopes.clone(), *expires_at_ms);
                let restrictions = Restrictions::default();
                let key = Key { user, scopes, restrictions, expires_at_ms, values };
                Expected::Made(
                    AffectedKeys::Value(digest),
                    Effect::Create(made.key.clone().unwrap_or_default(), key),
                )
            }
            Wanted::Update { key, scopes, expires_at_ms } => {
                let present = &data.keys[key];
                let checked =
                    scopes.as_ref().map(|new| check_scopes(data, &present.user, new, &present.scopes));
                if let Some(Err(why)) = checked {
                    return Expected::Refused(why);
                }
                let scopes = scopes.clone().filter(|scopes| *scopes != present.scopes);
                let expires_at_ms = expires_at_ms.filter(|end_ms| *end_ms != present.expires_at_ms);
                match (scopes, expires_at_ms) {
                    (Some(scopes), _) => {
                        Expected::Made(AffectedKeys::Key(key.clone()), Effect::Scopes(key.clone(), scopes))
                    }
                    (None, Some(end_ms)) => {
                        Expected::Made(AffectedKeys::Key(key.clone()), Effect::Expiry(key.clone(), end_ms))
                    }
                    (None, None) => Expected::AlreadySo,
                }
            }
            Wanted::Restrict { key, restrictions } if data.keys[key].restrictions == *restrictions => {
                Expected::AlreadySo
            }
            Wanted::Restrict { key, restrictions } => Expected::Made(
                AffectedKeys::Key(key.clone()),
                Effect::Restrict(key.clone(), restrictions.clone()),
            ),
            Wanted::Roll { key, grace_s } => {
                let present = &data.keys[key];
                if present.expires_at_ms.is_some_and(|end_ms| end_ms <= now_ms) {
                    return Expected::Refused("expired");
                }
                let works = |value: &&Value| value.ends_at_ms.is_none_or(|end_ms| end_ms > now_ms);
                if *grace_s > 0 && present.values.iter().filter(works).count() > MAX_OLD_VALUES {
                    return Expected::Refused("too many old values");
                }
                let digest = made.digest.unwrap_or_else(|| KeyDigest::of_value(""));
                let grace_ms = u64::from(*grace_s) * 1_000;
                Expected::Made(
                    AffectedKeys::Key(key.clone()),
                    Effect::Roll { key: key.clone(), digest, grace_ms },
                )
            }
            Wanted::Delete { key } => {
                Expected::Made(AffectedKeys::Key(key.clone()), Effect::Delete(key.clone()))
            }
            Wanted::SetActive { user, is_active } if data.users[user].is_active == *is_active => {
                Expected::AlreadySo
            }
            Wanted::SetActive { user, is_active } => {
                Expected::Made(AffectedKeys::User(user.clone()), Effect::Enable(user.clone(), *is_active))
            }
            Wanted::SetPermissions { user, permissions } if data.users[user].permissions == *permissions => {
                Expected::AlreadySo
            }
            Wanted::SetPermissions { user, permissions } => Expected::Made(
                AffectedKeys::User(user.clone()),
                Effect::Permissions(user.clone(), permissions.clone()),
            ),
            Wanted::DeleteUser { user } => {
                Expected::Made(AffectedKeys::User(user.clone()), Effect::DeleteUser(user.clone()))
            }
            Wanted::Leak { values } => {
                let digests: Vec<_> = values.iter().map(|value| KeyDigest::of_value(value)).collect();
                let is_ended = |digest| data.revoked.contains(digest) && data.find(digest).is_none();
                if digests.iter().all(is_ended) {
                    return Expected::AlreadySo;
                }
                Expected::Made(AffectedKeys::KeysWith(digests.clone()), Effect::Leak(digests))
            }
        }
    }
}

impl Artifacts {
    /// The created or adopted value.
    pub(crate) fn digest(&self) -> Option<KeyDigest> {
        self.digest
    }
}
