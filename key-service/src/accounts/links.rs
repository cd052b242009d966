//! One-time links, with which a user sets a password: the first admin, a user that an admin added, or a user that forgot the
//! password.

use protocol::secret_from_entropy;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::access::Role;
use super::authority;
use super::error::AccountError;
use super::openid::{self, Providers};
use super::password_change::replace_password;
use super::passwords::{NewPassword, PasswordHash, Passwords};
use super::registration::{self, NewUser};
use super::sql::links::{LinkDigest, StoredLink};
use super::sql::{links, users};
use super::user::{Email, User, log};
use crate::audit::{self, Action, Actor, Event};
use crate::db;
use crate::db::Database;
use crate::random::{self, RandomError};
use crate::time::Timestamp;
use crate::validation::FieldError;

/// The lifetime of a link, in seconds: three days.
pub const LIFETIME_S: u32 = 3 * 24 * 60 * 60;

/// The lifetime of the first admin's link, in seconds: an hour. The operator who prints it uses it.
pub const FIRST_LIFETIME_S: u32 = 60 * 60;

/// A link's secret, which is enough to use the link. It is not printed and cannot be serialised.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Secret(secret.into())
    }
}

impl Secret {
    /// The path of the page where the link leads.
    pub fn path(&self) -> String {
        format!("/link/{}", self.0.expose_secret())
    }

    fn digest(&self) -> LinkDigest {
        LinkDigest::of_secret(self.0.expose_secret())
    }
}

/// The purpose of a link.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// To create the first admin.
    FirstAdmin,
    /// To set this user's password.
    Password(Box<User>),
}

/// Why a link could not be created or used.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The link was used, has expired, or never existed.
    #[error("this link does not work any more")]
    NotFound,
    /// A field is invalid, or the account cannot be created or changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The system provided no random numbers.
    #[error("cannot get random numbers from the system for a new link: {0}")]
    Randomness(#[from] RandomError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] db::Error),
}

impl From<FieldError> for LinkError {
    fn from(invalid: FieldError) -> Self {
        LinkError::Account(invalid.into())
    }
}

/// Creates a link for a user, and removes the user's earlier links. The link ends when the user's password changes, the user
/// is disabled, or its creator loses its rights.
///
/// # Errors
/// The user does not exist or is disabled, a token asks for an admin's link, groups at a provider decide the user's rights, or
/// creating the link failed.
pub(crate) async fn create(
    database: &Database,
    by: &Actor,
    providers: &Providers,
    user_id: &str,
) -> Result<Secret, LinkError> {
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await.map_err(AccountError::from)?;
    let user = users::find(write.connection(), user_id).await?.ok_or(AccountError::NotFound)?;
    if by.is_token() && user.is_admin {
        return Err(AccountError::InPerson.into());
    }
    if user.kind.is_service() {
        return Err(AccountError::ServiceAccount.into());
    }
    if !user.is_active {
        return Err(AccountError::Disabled(user.email).into());
    }
    openid::require_no_deciding_provider(write.connection(), providers, &user.id).await?;
    let secret = new_secret()?;
    let link = StoredLink {
        user_id: Some(user.id.clone()),
        is_from_token: by.is_token(),
        created_by_id: by.id.clone(),
    };
    links::replace(write.connection(), &link, secret.digest(), LIFETIME_S).await?;
    log(write.connection(), by, Action::LinkCreated, &user.id, &Value::Null).await?;
    write.commit().await?;
    Ok(secret)
}

/// Creates a link for the first admin if there is no admin yet, and removes an earlier one. Members may exist: whoever has the
/// link could become their admin before they were added, too.
///
/// # Errors
/// The system provided no random numbers, or the database failed.
pub async fn create_first(database: &Database, by: &Actor) -> Result<Option<Secret>, LinkError> {
    let mut write = database.begin_write().await?;
    if users::is_any_admin(write.connection()).await? {
        return Ok(None);
    }
    let secret = new_secret()?;
    let link = StoredLink { user_id: None, is_from_token: false, created_by_id: None };
    links::replace(write.connection(), &link, secret.digest(), FIRST_LIFETIME_S).await?;
    let detail = json!({ "for": "the first admin" });
    let event = Event { action: Action::LinkCreated, user_id: None, subject: None, detail: &detail };
    audit::record(write.connection(), by, event).await?;
    write.commit().await?;
    Ok(Some(secret))
}

fn new_secret() -> Result<Secret, RandomError> {
    Ok(secret_from_entropy("", random::bytes()?).into())
}

/// The purpose of a link, without using it.
///
/// # Errors
/// The link does not work, groups at a provider decide the user's rights, or the database failed.
pub(crate) async fn purpose(
    database: &Database,
    providers: &Providers,
    secret: &Secret,
) -> Result<Purpose, LinkError> {
    let link = links::find(database.pool(), secret.digest()).await?.ok_or(LinkError::NotFound)?;
    match link.user_id {
        None if users::is_any_admin(database.pool()).await? => Err(LinkError::NotFound),
        None => Ok(Purpose::FirstAdmin),
        Some(user_id) => {
            let user = users::find(database.pool(), &user_id).await?;
            let user = user.filter(|user| user.is_active).ok_or(LinkError::NotFound)?;
            openid::require_no_deciding_provider(database.pool(), providers, &user.id).await?;
            Ok(Purpose::Password(Box::new(user)))
        }
    }
}

/// Uses a link: creates the first admin with the given address, or sets the user's password and ends the user's sessions.
/// Returns the user. Invalid input does not use the link.
///
/// # Errors
/// The link does not work, the input is invalid, groups at a provider decide the user's rights, or the database failed.
#[expect(clippy::too_many_arguments, reason = "each is of another kind")]
pub(crate) async fn redeem(
    database: &Database,
    by: &Actor,
    passwords: &Passwords,
    providers: &Providers,
    secret: &Secret,
    email: Option<Email>,
    password: NewPassword,
    now: Timestamp,
) -> Result<User, LinkError> {
    // Hash before the transaction, because hashing is slow.
    let (user, hash) = match purpose(database, providers, secret).await? {
        Purpose::Password(user) => {
            password.check_for(&user.email).map_err(|violation| violation.of("password"))?;
            (*user, passwords.hash(password).await?)
        }
        Purpose::FirstAdmin => {
            let email = email.ok_or_else(|| FieldError::required("email"))?;
            let permissions = protocol::ScopeSet::all();
            let new = NewUser { email, password: Some(password), permissions, is_admin: true };
            (registration::prepare(by, passwords, new, now).await?, PasswordHash::default())
        }
    };
    use_up(database, by, secret, &user, &hash).await
}

/// Carries out the purpose of a link. The user may have changed since it was read, so this reads the link again.
async fn use_up(
    database: &Database,
    by: &Actor,
    secret: &Secret,
    user: &User,
    hash: &PasswordHash,
) -> Result<User, LinkError> {
    let by = user.acting(by.clone());
    let mut write = database.begin_write().await?;
    // Only one of two concurrent uses finds the link.
    let link = links::take(write.connection(), secret.digest()).await?.ok_or(LinkError::NotFound)?;
    match link.user_id {
        Some(_) => {
            replace_password(write.connection(), &by, user, hash, link.is_from_token).await?;
        }
        None if users::is_any_admin(write.connection()).await? => return Err(LinkError::NotFound),
        None => registration::insert(write.connection(), &by, user).await?,
    }
    log(write.connection(), &by, Action::LinkUsed, &user.id, &Value::Null).await?;
    let user = users::find(write.connection(), &user.id).await?.ok_or(LinkError::NotFound)?;
    write.commit().await?;
    Ok(user)
}

impl From<super::passwords::PasswordError> for LinkError {
    fn from(error: super::passwords::PasswordError) -> Self {
        LinkError::Account(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn the_first_admins_link_is_refused_if_an_admin_was_created_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let database = testing::store(&folder).await;
        let (by, passwords, now) = (Actor::service(), Passwords::default(), Timestamp::now());
        let link = create_first(&database, &by).await.unwrap().unwrap();
        assert!(matches!(purpose(&database, &Providers::default(), &link).await, Ok(Purpose::FirstAdmin)));
        let new = |email: &str, is_admin| NewUser {
            email: email.parse().unwrap(),
            password: None,
            permissions: protocol::ScopeSet::all(),
            is_admin,
        };
        let admin =
            registration::prepare(&by, &passwords, new("admin@example.com", true), now).await.unwrap();
        registration::add(&database, &by, &passwords, new("demo@example.com", false), now).await.unwrap();
        assert!(matches!(purpose(&database, &Providers::default(), &link).await, Ok(Purpose::FirstAdmin)));
        registration::add(&database, &by, &passwords, new("other@example.com", true), now).await.unwrap();
        assert!(matches!(
            use_up(&database, &by, &link, &admin, &PasswordHash::default()).await,
            Err(LinkError::NotFound)
        ));
        assert!(registration::find(&database, &admin.id).await.unwrap().is_none());
    }
}
