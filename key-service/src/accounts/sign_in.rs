//! Signing in and out.

use serde_json::{Map, Value, json};

use super::error::AccountError;
use super::openid::{self, Providers};
use super::passwords::{Password, PasswordHash, Passwords};
use super::sql::users;
use super::user::{User, normal_email};
use crate::audit::refusals::{self, Refusals};
use crate::audit::{self, Action, Actor, Event};
use crate::db;
use crate::db::Database;
use crate::network::Network;
use crate::telemetry::{METRICS, SignIn};
use crate::time::monotonic_now;

/// How long a network is known after the user's last sign-in from it, in seconds: 90 days.
const KNOWN_NETWORK_S: u32 = 90 * 24 * 60 * 60;

/// The active user with this address and password. Every other case is `None` after the same work, so that neither answer
/// nor response time reveals the case. `by` is the caller.
///
/// # Errors
/// The password is right, but the user's groups at a provider decide the user's rights; or Argon2 or the database failed.
pub(crate) async fn authenticate(
    database: &Database,
    by: &Actor,
    passwords: &Passwords,
    providers: &Providers,
    email: &str,
    password: Password,
) -> Result<Option<User>, AccountError> {
    let user = match normal_email(email) {
        Ok(email) => users::find_by_email(database.pool(), &email).await?,
        Err(_) => None,
    };
    let stored = user.as_ref().map(|user| user.password_hash.clone()).filter(PasswordHash::is_set);
    let matches = passwords.verify(password, stored).await?;
    let user_id = user.as_ref().map(|user| user.id.clone());
    let mut detail = Value::Null;
    let let_in = match user.filter(|user| matches && user.is_active) {
        Some(user) => match openid::deciding_provider(database.pool(), providers, &user.id).await? {
            Some(provider) => {
                detail = json!({ "provider": provider.name, "because": "decided_by_groups" });
                Err(Some(AccountError::DecidedByGroups(provider.title.clone())))
            }
            None => Ok(user),
        },
        None => Err(None),
    };
    let (by, action) = match &let_in {
        Ok(user) => (user.acting(by.clone()), Action::UserSignedIn),
        Err(_) => (by.clone(), Action::UserSignInRefused),
    };
    let event = Event { action, user_id: user_id.as_deref(), subject: None, detail: &detail };
    let mut write = database.begin_write().await?;
    audit::record(write.connection(), &by, event).await?;
    write.commit().await?;
    METRICS.sign_in(if let_in.is_ok() { SignIn::Succeeded } else { SignIn::Refused });
    match let_in {
        Ok(user) => Ok(Some(user)),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
    }
}

/// Whether the user with this address has recently signed in from a network; `false` for an unknown address.
pub(crate) async fn has_signed_in_from(
    database: &Database,
    email: &str,
    network: Network,
) -> db::Result<bool> {
    let Ok(email) = normal_email(email) else { return Ok(false) };
    let addresses = audit::sign_in_addresses(database, &email, KNOWN_NETWORK_S).await?;
    Ok(addresses.into_iter().any(|address| Network::of(address) == network))
}

/// Records in the audit log that a sign-in was refused because of the rate limit.
///
/// # Errors
/// The database failed.
pub(crate) async fn sign_in_throttled(
    database: &Database,
    refusals: &Refusals,
    by: &Actor,
    email: &str,
) -> Result<(), AccountError> {
    let email = normal_email(email).unwrap_or_default();
    let kind = ("sign_in", "throttled");
    let Some(left_out) = refusals.admit(kind, &email, monotonic_now()) else { return Ok(()) };
    let user_id = users::find_by_email(database.pool(), &email).await?.map(|user| user.id);
    let action = Action::UserSignInThrottled;
    let event = Event { action, user_id: user_id.as_deref(), subject: None, detail: &Value::Null };
    Ok(refusals::record(database, by, event, Map::new(), left_out).await?)
}

/// Records in the audit log that a user signed out.
///
/// # Errors
/// The database failed.
pub async fn signed_out(database: &Database, by: &Actor) -> Result<(), AccountError> {
    let event = Event {
        action: Action::UserSignedOut,
        user_id: by.id.as_deref(),
        subject: None,
        detail: &Value::Null,
    };
    let mut write = database.begin_write().await?;
    audit::record(write.connection(), by, event).await?;
    Ok(write.commit().await?)
}

#[cfg(test)]
mod tests {
    use protocol::ScopeSet;

    use super::super::registration::{NewUser, find_by_email, insert, prepare};
    use super::super::update::set_active;
    use super::super::user::Email;
    use super::*;
    use crate::testing;
    use crate::time::Timestamp;

    #[tokio::test]
    async fn an_account_with_a_bidirectional_control_in_its_address_works_and_no_new_one_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let database = testing::store(&folder).await;
        let (by, passwords, now) = (Actor::service(), Passwords::default(), Timestamp::now());
        let new = |email: &str| NewUser {
            email: email.parse().unwrap(),
            password: Some("demo-password".to_owned().try_into().unwrap()),
            permissions: ScopeSet::all(),
            is_admin: false,
        };
        let old = "de\u{202e}mo@example.com";
        assert!(old.parse::<Email>().is_err());

        // As an earlier release has made it.
        let user = prepare(&by, &passwords, new("demo@example.com"), now).await.unwrap();
        let user = User { email: old.to_owned(), ..user };
        let mut write = database.begin_write().await.unwrap();
        insert(write.connection(), &by, &user).await.unwrap();
        write.commit().await.unwrap();
        let sign_in = async || {
            let password = "demo-password".to_owned().try_into().unwrap();
            authenticate(
                &database,
                &by,
                &passwords,
                &Providers::default(),
                "DE\u{202e}MO@example.com",
                password,
            )
            .await
            .unwrap()
        };
        assert_eq!(sign_in().await.unwrap().id, user.id);
        let found = find_by_email(&database, old).await.unwrap();
        set_active(&database, &by, &found.id, false).await.unwrap().propagation.wait().await.unwrap();
        assert!(sign_in().await.is_none());
    }
}
