//! From the claims of a provider to a signed-in user.
//!
//! A user is found by issuer and subject, never by the address alone: otherwise anyone who gets the address at some provider
//! would get the account.

use serde_json::json;
use sqlx::AnyConnection;

use super::claims::{Claims, Person, SignInRefusal, person};
use super::settings::ProviderSettings;
use crate::accounts::error::AccountError;
use crate::accounts::registration;
use crate::accounts::sql::identities::StoredIdentity;
use crate::accounts::sql::{identities, users};
use crate::accounts::update::{self, UserPatch};
use crate::accounts::user::{User, log};
use crate::audit::{self, Action, Actor, Event};
use crate::random;
use crate::revocation::Store;
use crate::telemetry::{METRICS, SignIn};
use crate::time::Timestamp;

/// The most characters of a subject or an address in the audit log.
const MAX_LOGGED_CHARS: usize = 255;

/// What is stored about a person who signs in.
#[derive(Debug)]
struct Known {
    /// The identity of the provider's account.
    identity: Option<StoredIdentity>,
    /// The user of that identity, or else the user with the same address.
    user: Option<User>,
}

/// Whose account a person gets.
#[derive(Debug)]
enum AccountChoice {
    /// The account that the identity belongs to.
    Linked(User),
    /// The account with the same address, from now on.
    Link(User),
    /// A new one.
    New,
}

/// Decides whose account a person gets.
fn account(
    known: Known,
    provider: &ProviderSettings,
    person: &Person,
) -> Result<AccountChoice, SignInRefusal> {
    let is_linked = known.identity.as_ref().is_some_and(|identity| identity.user_id.is_some());
    if known.identity.as_ref().is_some_and(|identity| identity.is_unlinked) {
        return Err(SignInRefusal::Unlinked);
    }
    let links_by_email = provider.links_by_email && person.has_ascii_email;
    match known.user {
        Some(user) if is_linked => if_active(user).map(AccountChoice::Linked),
        // An admin has the most to lose. The user of another account may have left its address to another person.
        Some(user) if !links_by_email || user.is_admin || user.has_identity => Err(SignInRefusal::EmailTaken),
        Some(user) => if_active(user).map(AccountChoice::Link),
        None if known.identity.is_some() => Err(SignInRefusal::Deleted),
        None if !provider.creates_users => Err(SignInRefusal::Unknown),
        None => Ok(AccountChoice::New),
    }
}

fn if_active(user: User) -> Result<User, SignInRefusal> {
    if user.is_active { Ok(user) } else { Err(SignInRefusal::Disabled) }
}

/// Signs a person in: finds, links or adds the user, and gives the user the permissions and the role of the user's groups. Edges
/// learn of the change soon; the sign-in does not wait for them. The inner error is why the person cannot sign in.
///
/// # Errors
/// The database failed.
pub(crate) async fn sign_in(
    store: &Store,
    by: &Actor,
    provider: &ProviderSettings,
    claims: &Claims,
) -> Result<Result<User, SignInRefusal>, AccountError> {
    let signed_in = match person(claims, provider) {
        Ok(person) => match find_or_add(store, by, provider, &person).await? {
            Ok(user) => apply_groups(store, by, provider, &person, user).await?,
            Err(refused) => Err(refused),
        },
        Err(refusal) => Err((refusal, None)),
    };
    let mut detail = json!({ "provider": provider.name });
    let (by, action, user_id) = match &signed_in {
        Ok(user) => (user.acting(by.clone()), Action::UserSignedIn, Some(user.id.clone())),
        Err((refusal, user_id)) => {
            detail["because"] = refusal.as_str().into();
            // Without a user, an admin needs them to find the person.
            detail["subject"] = claims.subject.chars().take(MAX_LOGGED_CHARS).collect::<String>().into();
            let email = claims.email.as_deref();
            detail["email"] =
                email.map(|email| email.chars().take(MAX_LOGGED_CHARS).collect::<String>()).into();
            (by.clone(), Action::UserSignInRefused, user_id.clone())
        }
    };
    let event = Event { action, user_id: user_id.as_deref(), subject: None, detail: &detail };
    let mut write = store.begin_write().await?;
    audit::record(write.connection(), &by, event).await?;
    write.commit().await?;
    METRICS.sign_in(if signed_in.is_ok() { SignIn::Succeeded } else { SignIn::Refused });
    Ok(signed_in.map_err(|(refusal, _)| refusal))
}

/// Why a person cannot sign in, and the id of the user concerned.
type RefusedSignIn = (SignInRefusal, Option<String>);

/// The user of a person. With a refusal comes the id of the user concerned.
async fn find_or_add(
    store: &Store,
    by: &Actor,
    provider: &ProviderSettings,
    person: &Person,
) -> Result<Result<User, RefusedSignIn>, AccountError> {
    let issuer = provider.issuer.as_str();
    let mut write = store.begin_write().await?;
    let connection = write.connection();
    let known = known(connection, issuer, person).await?;
    let user_id = known.user.as_ref().map(|user| user.id.clone());
    let user = match account(known, provider, person) {
        Ok(AccountChoice::Linked(user)) => {
            write.rollback().await?;
            return Ok(Ok(user));
        }
        Ok(AccountChoice::Link(user)) => {
            // Sessions that began with a password live longer than those of a provider.
            users::end_sessions(&mut *connection, &user.id).await?;
            user
        }
        Ok(AccountChoice::New) => {
            let user = new_user(provider, person);
            registration::insert(connection, &user.acting(by.clone()), &user).await?;
            user
        }
        Err(refusal) => {
            write.rollback().await?;
            return Ok(Err((refusal, user_id)));
        }
    };
    identities::link(connection, issuer, &person.subject, &user.id).await?;
    let detail = json!({ "provider": provider.name, "issuer": issuer, "subject": person.subject });
    log(connection, &user.acting(by.clone()), Action::UserIdentityLinked, &user.id, &detail).await?;
    let user = users::find(connection, &user.id).await?.ok_or(AccountError::NotFound)?;
    write.commit().await?;
    Ok(Ok(user))
}

async fn known(connection: &mut AnyConnection, issuer: &str, person: &Person) -> Result<Known, AccountError> {
    let identity = identities::find(&mut *connection, issuer, &person.subject).await?;
    if let Some(user_id) = identity.as_ref().and_then(|identity| identity.user_id.as_deref()) {
        let user = users::find(connection, user_id).await?;
        return Ok(Known { identity, user });
    }
    let user = users::find_by_email(connection, person.email.as_ref()).await?;
    Ok(Known { identity, user })
}

fn new_user(provider: &ProviderSettings, person: &Person) -> User {
    let id = random::ordered_uuid().to_string();
    let permissions = person.permissions.clone().unwrap_or_else(|| provider.permissions.clone());
    User {
        is_admin: person.is_admin == Some(true),
        has_identity: true,
        ..User::without_password(id, person.email.clone().into(), permissions, Timestamp::now())
    }
}

/// Gives a user the permissions and the role of the user's groups, as an admin would. The last admin stays an admin. The user may
/// have been deleted since it was found.
async fn apply_groups(
    store: &Store,
    by: &Actor,
    provider: &ProviderSettings,
    person: &Person,
    user: User,
) -> Result<Result<User, RefusedSignIn>, AccountError> {
    let permissions =
        person.permissions.clone().filter(|permissions| !permissions.is_like(&user.permissions));
    let is_admin = person.is_admin.filter(|is_admin| *is_admin != user.is_admin);
    if permissions.is_none() && is_admin.is_none() {
        return Ok(Ok(user));
    }
    let service = Actor::service();
    let by = Actor { kind: service.kind, id: None, name: provider.title.clone(), ..by.clone() };
    let patch = UserPatch { permissions, is_admin, is_active: None };
    let updated = match update::update(store, &by, &user.id, &patch).await {
        Err(AccountError::LastAdmin) => {
            tracing::warn!(
                user_id = user.id,
                provider = provider.name,
                "no group makes the last admin an admin; the user stays an admin"
            );
            let patch = UserPatch { is_admin: None, ..patch };
            update::update(store, &by, &user.id, &patch).await
        }
        updated => updated,
    };
    match updated {
        Ok(updated) => Ok(Ok(updated.user)),
        Err(AccountError::NotFound) => Ok(Err((SignInRefusal::Deleted, None))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::super::Providers;
    use super::super::settings::tests::provider_with;
    use super::*;
    use crate::accounts::passwords::{NewPassword, Password, Passwords};
    use crate::accounts::{self, change_password, set_active};
    use crate::testing;

    const EMAIL: &str = "demo@example.com";

    fn claims(subject: &str, groups: &[&str]) -> Claims {
        Claims {
            subject: subject.to_owned(),
            email: Some(EMAIL.to_owned()),
            email_verified: Some(true),
            others: Map::from_iter([("groups".to_owned(), groups.into())]),
        }
    }

    async fn sign_in_as(store: &Store, settings: &Value, claims: &Claims) -> Result<User, SignInRefusal> {
        sign_in(store, &Actor::service(), &provider_with(settings), claims).await.unwrap()
    }

    async fn actions(store: &Store) -> Vec<String> {
        let found = audit::search(store, &audit::AuditSearch::default()).await.unwrap();
        found.rows.into_iter().rev().map(|entry| entry.action).collect()
    }

    #[tokio::test]
    async fn the_first_sign_in_adds_the_user_and_later_ones_find_it_by_its_subject() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let settings = json!({"permissions": ["insight:read"]});
        let added = sign_in_as(&store, &settings, &claims("7", &[])).await.unwrap();
        assert_eq!((added.email.as_str(), added.permissions.to_string().as_str()), (EMAIL, "insight:read"));
        assert!(added.has_identity && !added.has_password && !added.is_admin);
        assert_eq!(actions(&store).await, ["user.added", "user.identity_linked", "user.signed_in"]);

        // The provider has changed the address; without groups, the permissions are the admin's.
        let renamed = Claims { email: Some("new@example.com".to_owned()), ..claims("7", &[]) };
        let found = sign_in_as(&store, &json!({}), &renamed).await.unwrap();
        assert_eq!((found.id, found.email.as_str()), (added.id, EMAIL));
        assert_eq!(found.permissions.to_string(), "insight:read");

        let unknown = Claims { email: Some("other@example.com".to_owned()), ..claims("8", &[]) };
        assert_eq!(
            sign_in_as(&store, &json!({"create_users": false}), &unknown).await.unwrap_err(),
            SignInRefusal::Unknown
        );
        assert_eq!(actions(&store).await.last().unwrap(), "user.sign_in_refused");
    }

    #[tokio::test]
    async fn the_address_of_a_user_opens_no_account_unless_the_provider_may_link() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let user = testing::user(&store).await;
        let links = json!({"link_by_email": true});
        let refused = sign_in_as(&store, &json!({}), &claims("7", &[])).await.unwrap_err();
        assert_eq!(refused, SignInRefusal::EmailTaken);
        assert!(!accounts::find(&store, &user.id).await.unwrap().unwrap().has_identity);
        assert_eq!(sign_in_as(&store, &links, &claims("7", &[])).await.unwrap().id, user.id);
        assert_eq!(sign_in_as(&store, &json!({}), &claims("7", &[])).await.unwrap().id, user.id);
        // The address was given to another person at the provider.
        let refused = sign_in_as(&store, &links, &claims("8", &[])).await.unwrap_err();
        assert_eq!(refused, SignInRefusal::EmailTaken);
    }

    #[tokio::test]
    async fn an_address_beyond_ascii_and_an_admin_are_not_linked_by_address() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let links = json!({"link_by_email": true});
        let user = testing::user(&store).await;
        let patch = UserPatch { is_admin: Some(true), ..UserPatch::default() };
        update::update(&store, &Actor::service(), &user.id, &patch).await.unwrap();
        let refused = sign_in_as(&store, &links, &claims("7", &[])).await.unwrap_err();
        assert_eq!(refused, SignInRefusal::EmailTaken);

        // The sign of an angstrom and the letter are one in lower case.
        let letter = Claims { email: Some("\u{e5}sa@example.com".to_owned()), ..claims("8", &[]) };
        sign_in_as(&store, &links, &letter).await.unwrap();
        sqlx::query("DELETE FROM identities").execute(store.pool()).await.unwrap();
        let sign = Claims { email: Some("\u{212b}sa@example.com".to_owned()), ..claims("9", &[]) };
        let refused = sign_in_as(&store, &links, &sign).await.unwrap_err();
        assert_eq!(refused, SignInRefusal::EmailTaken);
    }

    #[tokio::test]
    async fn a_user_who_is_deleted_during_the_sign_in_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let settings = provider_with(&json!({"groups_claim": "groups", "admin_groups": ["ops"]}));
        let person = person(&claims("7", &["ops"]), &settings).unwrap();
        let user = new_user(&settings, &person);
        let gone = User { is_admin: false, ..user };
        let applied = apply_groups(&store, &Actor::service(), &settings, &person, gone).await.unwrap();
        assert_eq!(applied.unwrap_err(), (SignInRefusal::Deleted, None));
    }

    #[tokio::test]
    async fn a_disabled_or_deleted_user_cannot_sign_in() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let links = json!({"link_by_email": true});
        let user = sign_in_as(&store, &links, &claims("7", &[])).await.unwrap();
        let disabled = set_active(&store, &Actor::service(), &user.id, false).await.unwrap();
        disabled.propagation.wait().await.unwrap();
        assert_eq!(sign_in_as(&store, &links, &claims("7", &[])).await.unwrap_err(), SignInRefusal::Disabled);

        sqlx::query("DELETE FROM users").execute(store.pool()).await.unwrap();
        assert_eq!(sign_in_as(&store, &links, &claims("7", &[])).await.unwrap_err(), SignInRefusal::Deleted);
        // An admin has added the user again.
        let again = testing::user(&store).await;
        assert_eq!(
            sign_in_as(&store, &json!({}), &claims("7", &[])).await.unwrap_err(),
            SignInRefusal::EmailTaken
        );
        assert_eq!(sign_in_as(&store, &links, &claims("7", &[])).await.unwrap().id, again.id);
    }

    #[tokio::test]
    async fn a_user_without_a_password_cannot_change_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let user = sign_in_as(&store, &json!({}), &claims("7", &[])).await.unwrap();
        let user = accounts::find(&store, &user.id).await.unwrap().unwrap();
        let current = Password::try_from("a password".to_owned()).unwrap();
        let new = NewPassword::try_from("another password".to_owned()).unwrap();
        let (by, passwords, providers) = (Actor::service(), Passwords::default(), Providers::default());
        let refused = change_password(&store, &by, &passwords, &providers, &user, current, new).await;
        assert!(matches!(refused, Err(AccountError::WrongPassword)), "{:?}", refused.map(|user| user.id));
    }

    #[tokio::test]
    async fn each_sign_in_applies_the_groups_but_the_last_admin_stays_an_admin() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let settings = json!({
            "groups_claim": "groups", "admin_groups": ["ops"],
            "group_permissions": {"dev": ["insight:read"], "ops": ["*"]},
        });
        let rights = async |groups: &[&str]| {
            let user = sign_in_as(&store, &settings, &claims("7", groups)).await.unwrap();
            (user.permissions.to_string(), user.is_admin)
        };
        assert_eq!(rights(&["ops"]).await, ("*".to_owned(), true));
        let changed = actions(&store).await.len();
        assert!(rights(&["dev", "ops"]).await.1);
        assert!(rights(&["ops", "dev"]).await.1);
        assert_eq!(actions(&store).await.len(), changed + 2, "two sign-ins, and no change");
        assert_eq!(rights(&["dev"]).await, ("insight:read".to_owned(), true), "the last admin");

        let other = Claims { email: Some("other@example.com".to_owned()), ..claims("8", &["ops"]) };
        sign_in_as(&store, &settings, &other).await.unwrap();
        assert_eq!(rights(&["dev"]).await, ("insight:read".to_owned(), false));
        assert_eq!(rights(&[]).await, (String::new(), false));
        let changes = ["user.permissions_changed", "user.admin_changed", "user.permissions_changed"];
        let changed: Vec<_> =
            actions(&store).await.into_iter().filter(|action| action.ends_with("_changed")).collect();
        assert_eq!(changed, changes);
    }
}
