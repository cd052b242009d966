//! Accounts: the users that keys belong to.

use std::time::Instant;

use protocol::ScopeSet;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::AnyConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::refusals::{self, Refusals};
use crate::audit::{self, Action, Actor, Event};
use crate::authority::{self, AuthorityError, Role};
use crate::clock::Timestamp;
use crate::invalid::Invalid;
use crate::key_fields::is_bidi_control;
use crate::metrics::{METRICS, SignIn};
use crate::network::Network;
use crate::paging::{Found, Page};
use crate::passwords::{PasswordError, Passwords, check_new_password};
use crate::store::{Database, Write, links, users};

mod update;

pub use update::{ChangedUser, EndedToken, Updated, UserPatch, set_active, set_permissions, update};

/// The most characters of an e-mail address (RFC 5321, section 4.5.3.1.3, less the brackets).
const MAX_EMAIL_CHARS: usize = 254;

/// How long a network is known from which a user signed in, in seconds: 90 days.
const KNOWN_NETWORK_S: u32 = 90 * 24 * 60 * 60;

/// A user. Its JSON form leaves out what nobody needs to see.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// Opaque and never reused.
    pub id: String,
    /// In lower case; unique.
    pub email: String,
    /// The most that any key of the user can do.
    #[schema(value_type = Vec<String>)]
    pub permissions: ScopeSet,
    /// Whether the user may manage other users.
    pub is_admin: bool,
    /// Whether the user, and any key of the user, is let in at all.
    pub is_active: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// Whether the user has chosen a password, and so can sign in.
    pub has_password: bool,
    /// A PHC string; empty without a password.
    #[serde(skip)]
    pub(crate) password_hash: String,
    /// Whether the holder of a management token may know the password.
    #[serde(skip)]
    pub(crate) is_password_from_token: bool,
    /// A session that began under another epoch is over.
    #[serde(skip)]
    pub(crate) session_epoch: i64,
}

/// What a new account is made of. It has no `Debug`, since it holds a password.
pub struct NewUser {
    /// The address to log in with; its letter case does not matter.
    pub email: String,
    /// The password to log in with; without one, the user chooses it by a one-time link ([`crate::links`]).
    pub password: Option<String>,
    /// The most that any key of the user can do.
    pub permissions: ScopeSet,
    /// Whether the user may manage other users.
    pub is_admin: bool,
}

/// Why an account could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A field holds what it may not hold.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The caller has lost its rights since the request began.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The address is another account's.
    #[error("email: there is a user with this address already: {0}")]
    EmailTaken(String),
    /// Nobody has that address.
    #[error("email: there is no user with this address: {0}")]
    NoSuchUser(String),
    /// Nobody has that id.
    #[error("there is no such user")]
    NotFound,
    /// Nobody could manage users any more.
    #[error("this is the last admin who is let in; make another one first")]
    LastAdmin,
    /// What a token does not do, since it would make more of itself.
    #[error("Only an admin who is signed in can do this; a management token cannot.")]
    InPerson,
    /// A user who is shut out could not use the link.
    #[error("email: this user is disabled; enable the user first: {0}")]
    Disabled(String),
    /// The password that a user sent as the present one is another.
    #[error("current_password: this is not your present password")]
    WrongPassword,
    /// Argon2 failed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// The form in which an e-mail address is stored and compared.
pub(crate) fn normal_email(email: &str) -> Result<String, Invalid> {
    let email = email.trim().to_lowercase();
    let (name, domain) = email.split_once('@').unwrap_or_default();
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if name.is_empty() || domain.is_empty() || email.contains(odd) {
        return Err(Invalid::input("email", "Enter a valid email address."));
    }
    if email.chars().count() > MAX_EMAIL_CHARS {
        return Err(Invalid::too_long("email", MAX_EMAIL_CHARS));
    }
    Ok(email)
}

/// The same, of an account that is to be made. Those of earlier releases may have bidirectional controls in their addresses;
/// their users can still sign in, and admins find and disable them.
pub(crate) fn new_email(email: &str) -> Result<String, Invalid> {
    let email = normal_email(email)?;
    if email.contains(is_bidi_control) {
        return Err(Invalid::input("email", "Bidirectional control characters are not allowed."));
    }
    Ok(email)
}

/// Writes into the audit log what was done to an account.
pub(crate) async fn log(
    connection: &mut AnyConnection,
    by: &Actor,
    action: Action,
    user_id: &str,
    detail: &Value,
) -> sqlx::Result<()> {
    audit::record(connection, by, Event { action, user_id: Some(user_id), subject: None, detail }).await
}

/// Makes an account.
///
/// # Errors
/// A bad or taken address, a bad password, an admin made by a token, or a failure; see [`AccountError`].
pub async fn add(
    database: &Database,
    by: &Actor,
    passwords: &Passwords,
    new: NewUser,
    now: Timestamp,
) -> Result<User, AccountError> {
    if by.is_token() && new.is_admin {
        return Err(AccountError::InPerson);
    }
    let user = prepare(by, passwords, new, now).await?;
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await?;
    insert(write.connection(), by, &user).await?;
    write.commit().await?;
    Ok(user)
}

/// An account that can be made: all that is slow is done.
pub(crate) async fn prepare(
    by: &Actor,
    passwords: &Passwords,
    new: NewUser,
    now: Timestamp,
) -> Result<User, AccountError> {
    let email = new_email(&new.email)?;
    let password_hash = match new.password {
        Some(password) => {
            check_new_password(&password, &email)?;
            passwords.hash(password).await?
        }
        None => String::new(),
    };
    Ok(User {
        id: Uuid::now_v7().to_string(),
        email,
        permissions: new.permissions,
        is_admin: new.is_admin,
        is_active: true,
        created_at: now,
        has_password: !password_hash.is_empty(),
        is_password_from_token: !password_hash.is_empty() && by.is_token(),
        password_hash,
        session_epoch: 0,
    })
}

/// Makes a prepared account.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    by: &Actor,
    user: &User,
) -> Result<(), AccountError> {
    if !users::insert(&mut *connection, user).await? {
        return Err(AccountError::EmailTaken(user.email.clone()));
    }
    let detail = json!({ "permissions": user.permissions, "is_admin": user.is_admin });
    Ok(log(connection, by, Action::UserAdded, &user.id, &detail).await?)
}

/// Users whose address contains a text, by address.
///
/// # Errors
/// The database failed.
pub async fn search(
    database: &Database,
    text: Option<&str>,
    page: Page,
) -> Result<Found<User>, AccountError> {
    Ok(users::search(database.pool(), text, page).await?)
}

/// The user with that id, if there is one.
///
/// # Errors
/// The database failed.
pub async fn find(database: &Database, id: &str) -> Result<Option<User>, AccountError> {
    Ok(users::find(database.pool(), id).await?)
}

/// The user with that address.
///
/// # Errors
/// A bad address, nobody's address, or a failure.
pub async fn find_by_email(database: &Database, email: &str) -> Result<User, AccountError> {
    let email = normal_email(email)?;
    users::find_by_email(database.pool(), &email).await?.ok_or(AccountError::NoSuchUser(email))
}

/// The active user whose address and password these are. Every other case is `None`, after the same work, so
/// that neither answer nor time tells which it was. `by` is whoever tries.
///
/// # Errors
/// Argon2 or the database failed.
pub async fn authenticate(
    database: &Database,
    by: &Actor,
    passwords: &Passwords,
    email: &str,
    password: String,
) -> Result<Option<User>, AccountError> {
    let user = match normal_email(email) {
        Ok(email) => users::find_by_email(database.pool(), &email).await?,
        Err(_) => None,
    };
    let stored = user.as_ref().map(|user| user.password_hash.clone()).filter(|hash| !hash.is_empty());
    let matches = passwords.verify(password, stored).await?;
    let user_id = user.as_ref().map(|user| user.id.clone());
    let let_in = user.filter(|user| matches && user.is_active);
    let (by, action) = match &let_in {
        Some(user) => (by.clone().as_user(user), Action::UserSignedIn),
        None => (by.clone(), Action::UserSignInRefused),
    };
    let event = Event { action, user_id: user_id.as_deref(), subject: None, detail: &Value::Null };
    let mut write = database.begin_write().await?;
    audit::record(write.connection(), &by, event).await?;
    write.commit().await?;
    METRICS.sign_in(if let_in.is_some() { SignIn::Succeeded } else { SignIn::Refused });
    Ok(let_in)
}

/// Whether the user with that address has signed in from a network lately. Nobody has for nobody's address.
pub(crate) async fn has_signed_in_from(
    database: &Database,
    email: &str,
    network: Network,
) -> sqlx::Result<bool> {
    let Ok(email) = normal_email(email) else { return Ok(false) };
    let addresses = audit::sign_in_addresses(database, &email, KNOWN_NETWORK_S).await?;
    Ok(addresses.into_iter().any(|address| Network::of(address) == network))
}

/// Writes down that a sign-in was not even tried, because too many were.
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
    let Some(left_out) = refusals.admit(kind, &email, Instant::now()) else { return Ok(()) };
    let user_id = users::find_by_email(database.pool(), &email).await?.map(|user| user.id);
    let action = Action::UserSignInThrottled;
    let event = Event { action, user_id: user_id.as_deref(), subject: None, detail: &Value::Null };
    Ok(refusals::record(database, by, event, Map::new(), left_out).await?)
}

/// Writes down that a user ended a session.
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

/// Gives a user a new password and ends the user's sessions.
///
/// # Errors
/// A bad password, no such user, or a failure.
pub async fn set_password(
    database: &Database,
    by: &Actor,
    passwords: &Passwords,
    user_id: &str,
    password: String,
) -> Result<(), AccountError> {
    let user = users::find(database.pool(), user_id).await?.ok_or(AccountError::NotFound)?;
    check_new_password(&password, &user.email)?;
    let hash = passwords.hash(password).await?;
    let mut write = database.begin_write().await?;
    replace_password(write.connection(), by, &user, &hash, by.is_token()).await?;
    Ok(write.commit().await?)
}

/// Stores a new password's hash, and ends the user's sessions and one-time links. `is_from_token`: the holder of a
/// management token may know it.
pub(crate) async fn replace_password(
    connection: &mut AnyConnection,
    by: &Actor,
    user: &User,
    hash: &str,
    is_from_token: bool,
) -> Result<(), AccountError> {
    users::set_password(&mut *connection, &user.id, hash, is_from_token).await?;
    links::remove(&mut *connection, &user.id).await?;
    Ok(log(connection, by, Action::UserPasswordChanged, &user.id, &Value::Null).await?)
}

/// Writes down that somebody with a user's session did not know the user's password.
async fn refuse_password_change(mut write: Write, by: &Actor, user: &User) -> sqlx::Result<AccountError> {
    log(write.connection(), by, Action::UserPasswordChangeRefused, &user.id, &Value::Null).await?;
    write.commit().await?;
    Ok(AccountError::WrongPassword)
}

/// The same, by the user, who has to know the present password. Returns the user as changed: a session that begins anew
/// goes on.
///
/// # Errors
/// The present password is another, a bad new one, or a failure.
pub async fn change_password(
    database: &Database,
    by: &Actor,
    passwords: &Passwords,
    user: &User,
    current: String,
    new: String,
) -> Result<User, AccountError> {
    check_new_password(&new, &user.email)?;
    if !passwords.verify(current, Some(user.password_hash.clone())).await? {
        return Err(refuse_password_change(database.begin_write().await?, by, user).await?);
    }
    let hash = passwords.hash(new).await?;
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Member).await?;
    let present = users::find(write.connection(), &user.id).await?.ok_or(AccountError::NotFound)?;
    // The password may have changed since it was verified; compare again inside the transaction.
    if present.password_hash != user.password_hash {
        return Err(refuse_password_change(write, by, user).await?);
    }
    // Knowing the present password proves no more than that: a token's holder who knows it can replace it too.
    let is_from_token = present.is_password_from_token;
    replace_password(write.connection(), by, &present, &hash, is_from_token).await?;
    let changed = users::find(write.connection(), &user.id).await?.ok_or(AccountError::NotFound)?;
    write.commit().await?;
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[test]
    fn an_address_is_compared_without_letter_case_and_outer_space() {
        assert_eq!(normal_email(" Demo@Example.COM ").unwrap(), "demo@example.com");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(MAX_EMAIL_CHARS));
        for email in
            ["", "demo", "@example.com", "demo@", "de mo@example.com", "demo@exa\u{7}mple.com", &long]
        {
            assert_eq!(normal_email(email).unwrap_err().field, "email", "{email:?}");
        }
    }

    #[tokio::test]
    async fn an_account_with_a_bidirectional_control_in_its_address_works_and_no_new_one_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let database = testing::database(&folder).await;
        let (by, passwords, now) = (Actor::service(), Passwords::default(), Timestamp::now());
        let new = |email: &str| NewUser {
            email: email.to_owned(),
            password: Some("demo-password".to_owned()),
            permissions: ScopeSet::all(),
            is_admin: false,
        };
        let old = "de\u{202e}mo@example.com";
        assert!(add(&database, &by, &passwords, new(old), now).await.is_err());

        // As an earlier release has made it.
        let user = prepare(&by, &passwords, new("demo@example.com"), now).await.unwrap();
        let user = User { email: old.to_owned(), ..user };
        let mut write = database.begin_write().await.unwrap();
        insert(write.connection(), &by, &user).await.unwrap();
        write.commit().await.unwrap();
        let sign_in = async || {
            let password = "demo-password".to_owned();
            authenticate(&database, &by, &passwords, "DE\u{202e}MO@example.com", password).await.unwrap()
        };
        assert_eq!(sign_in().await.unwrap().id, user.id);
        let found = find_by_email(&database, old).await.unwrap();
        set_active(&database, &by, &found.id, false).await.unwrap().settling.settled().await.unwrap();
        assert!(sign_in().await.is_none());
    }
}
