//! Verdicts: the service's answers for the digests that an edge sends.

use protocol::{ActiveVerdict, KeyDigest, Verdict, VerifyResponse};
use sqlx::AnyExecutor;

use super::sql::{StoredKey, snapshot};
use crate::db;
use crate::time::Timestamp;

/// The verdicts of `digests`, in their order, from one snapshot that begins now.
///
/// # Errors
/// The database failed.
pub(crate) async fn read(
    connection: impl AnyExecutor<'_>,
    digests: &[KeyDigest],
) -> db::Result<VerifyResponse> {
    let snapshot = snapshot(connection, digests).await?;
    let stored = |digest| snapshot.keys.get(digest);
    let verdict = |digest| stored(digest).map_or(Verdict::Inactive, |key| verdict(key, snapshot.now));
    Ok(VerifyResponse {
        verdicts: digests.iter().map(verdict).collect(),
        revision: snapshot.revision,
        epoch: snapshot.epoch,
    })
}

fn verdict(key: &StoredKey, now: Timestamp) -> Verdict {
    if !key.user_is_active {
        return Verdict::Inactive;
    }
    let end = [key.key_expires_at, key.digest_expires_at].into_iter().flatten().min();
    let expires_in_ms = end.map(|end| end.ms_after(now));
    if expires_in_ms == Some(None) {
        return Verdict::Inactive;
    }
    Verdict::Active(ActiveVerdict {
        key_id: key.key_id.clone(),
        user_id: key.user_id.clone(),
        scopes: key.scopes.limited_to(&key.user_permissions),
        restrictions: key.restrictions.clone(),
        expires_in_ms: expires_in_ms.flatten(),
    })
}

#[cfg(test)]
mod tests {
    use protocol::{Restrictions, ScopeSet};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000);

    fn key() -> StoredKey {
        StoredKey {
            key_id: "k".into(),
            user_id: "u".into(),
            user_is_active: true,
            user_permissions: ScopeSet::parse(["insight:read", "cohort:write"]).unwrap(),
            scopes: ScopeSet::parse(["*"]).unwrap(),
            restrictions: Restrictions::default(),
            key_expires_at: None,
            digest_expires_at: None,
        }
    }

    fn expires_in(key: &StoredKey) -> Option<Option<u64>> {
        match verdict(key, NOW) {
            Verdict::Active(active) => Some(active.expires_in_ms),
            Verdict::Inactive => None,
        }
    }

    #[test]
    fn a_key_can_do_no_more_than_its_user() {
        let Verdict::Active(active) = verdict(&key(), NOW) else { panic!("inactive") };
        assert_eq!(active.scopes.to_string(), "insight:read cohort:write");
    }

    #[test]
    fn a_verdict_has_the_restrictions_of_its_key() {
        let restrictions = Restrictions { projects: Some(vec![7.into()]), organizations: None };
        let key = StoredKey { restrictions: restrictions.clone(), ..key() };
        let Verdict::Active(active) = verdict(&key, NOW) else { panic!("inactive") };
        assert_eq!(active.restrictions, restrictions);
    }

    #[test]
    fn a_disabled_users_key_is_inactive() {
        assert_eq!(verdict(&StoredKey { user_is_active: false, ..key() }, NOW), Verdict::Inactive);
    }

    #[test]
    fn a_key_lives_until_the_earlier_of_its_own_end_and_its_values_end() {
        let at = |ms: i64| Some(Timestamp::from_unix_ms(1_000_000 + ms));
        let with = |key_end, digest_end| {
            expires_in(&StoredKey { key_expires_at: key_end, digest_expires_at: digest_end, ..key() })
        };
        assert_eq!(with(None, None), Some(None));
        assert_eq!(with(at(5), None), Some(Some(5)));
        assert_eq!(with(at(5), at(3)), Some(Some(3)));
        assert_eq!(with(at(5), at(0)), None);
        assert_eq!(with(at(-1), at(9)), None);
    }
}
