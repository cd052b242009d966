//! Accounts: the users that keys belong to.

use protocol::ScopeSet;
use serde::Serialize;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::invalid::Invalid;
use crate::leases::{Revocation, Touched, change};
use crate::passwords::{PasswordError, Passwords, check_new_password};
use crate::store::{Database, users};

/// The most characters of an e-mail address (RFC 5321, section 4.5.3.1.3, less the brackets).
const MAX_EMAIL_CHARS: usize = 254;

/// A user. Its JSON form leaves out what nobody needs to see.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    /// Opaque and never reused.
    pub id: String,
    /// In lower case; unique.
    pub email: String,
    /// The most that any key of the user can do.
    pub permissions: ScopeSet,
    /// Whether the user may manage other users.
    pub is_admin: bool,
    /// Whether the user, and any key of the user, is let in at all.
    pub is_active: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// A PHC string.
    #[serde(skip)]
    pub(crate) password_hash: String,
    /// A session that began under another epoch is over.
    #[serde(skip)]
    pub(crate) session_epoch: i64,
}

/// What a new account is made of. It has no `Debug`, since it holds a password.
pub struct NewUser {
    /// The address to log in with; its letter case does not matter.
    pub email: String,
    /// The password to log in with.
    pub password: String,
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
    /// The address is another account's.
    #[error("email: there is a user with this address already: {0}")]
    EmailTaken(String),
    /// Nobody has that address.
    #[error("email: there is no user with this address: {0}")]
    NoSuchUser(String),
    /// Argon2 failed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// The form in which an e-mail address is stored and compared.
fn normal_email(email: &str) -> Result<String, Invalid> {
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

/// Makes an account.
///
/// # Errors
/// A bad or taken address, a bad password, or a failure; see [`AccountError`].
pub async fn add(
    database: &Database,
    passwords: &Passwords,
    new: NewUser,
    now: Timestamp,
) -> Result<User, AccountError> {
    let email = normal_email(&new.email)?;
    check_new_password(&new.password)?;
    let user = User {
        id: Uuid::now_v7().to_string(),
        email,
        permissions: new.permissions,
        is_admin: new.is_admin,
        is_active: true,
        created_at: now,
        password_hash: passwords.hash(new.password).await?,
        session_epoch: 0,
    };
    let mut write = database.begin_write().await?;
    if !users::insert(write.connection(), &user).await? {
        return Err(AccountError::EmailTaken(user.email));
    }
    write.commit().await?;
    Ok(user)
}

/// All users, by e-mail address.
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database) -> Result<Vec<User>, AccountError> {
    Ok(users::list(database.pool()).await?)
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
/// that neither answer nor time tells which it was.
///
/// # Errors
/// Argon2 or the database failed.
pub async fn authenticate(
    database: &Database,
    passwords: &Passwords,
    email: &str,
    password: String,
) -> Result<Option<User>, AccountError> {
    let user = match normal_email(email) {
        Ok(email) => users::find_by_email(database.pool(), &email).await?,
        Err(_) => None,
    };
    let stored = user.as_ref().map(|user| user.password_hash.clone());
    let matches = passwords.verify(password, stored).await?;
    Ok(user.filter(|user| matches && user.is_active))
}

/// Gives a user a new password and ends the user's sessions.
///
/// # Errors
/// A bad address or password, nobody's address, or a failure.
pub async fn change_password(
    database: &Database,
    passwords: &Passwords,
    email: &str,
    password: String,
) -> Result<(), AccountError> {
    let email = find_by_email(database, email).await?.email;
    check_new_password(&password)?;
    let hash = passwords.hash(password).await?;
    let mut write = database.begin_write().await?;
    if !users::set_password(write.connection(), &email, &hash).await? {
        return Err(AccountError::NoSuchUser(email));
    }
    Ok(write.commit().await?)
}

/// Shuts a user out: no key of the user works anywhere once this returns, and the user's sessions end.
///
/// # Errors
/// A bad address, nobody's address, or a failure.
pub async fn disable(database: &Database, email: &str) -> Result<Revocation, AccountError> {
    set_active(database, email, false).await
}

/// Lets a disabled user in again: the user's keys work again, and the user can log in.
///
/// # Errors
/// A bad address, nobody's address, or a failure.
pub async fn enable(database: &Database, email: &str) -> Result<Revocation, AccountError> {
    set_active(database, email, true).await
}

async fn set_active(database: &Database, email: &str, is_active: bool) -> Result<Revocation, AccountError> {
    let user = find_by_email(database, email).await?;
    let ledger = database.ledger();
    let mut begun = change::begin(&ledger, &Touched::User(user.id.clone())).await?;
    if !users::set_active(begun.change(), &user.id, is_active).await? {
        return Err(AccountError::NoSuchUser(user.email));
    }
    Ok(begun.commit().await?)
}

/// Replaces what a user's keys can do at most, everywhere once this returns.
///
/// # Errors
/// A bad address, nobody's address, or a failure.
pub async fn set_permissions(
    database: &Database,
    email: &str,
    permissions: &ScopeSet,
) -> Result<Revocation, AccountError> {
    let user = find_by_email(database, email).await?;
    let ledger = database.ledger();
    let mut begun = change::begin(&ledger, &Touched::User(user.id.clone())).await?;
    if !users::set_permissions(begun.change(), &user.id, permissions).await? {
        return Err(AccountError::NoSuchUser(user.email));
    }
    Ok(begun.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
