//! Adding and finding users.

use protocol::ScopeSet;
use serde_json::json;
use sqlx::AnyConnection;

use super::access::Role;
use super::address::normal_address;
use super::authority;
use super::error::AccountError;
use super::passwords::{NewPassword, PasswordHash, Passwords};
use super::sql::users;
use super::user::{Email, User, log};
use crate::audit::{Action, Actor};
use crate::db::Database;
use crate::paging::{Page, PageRequest};
use crate::random;
use crate::time::Timestamp;

/// The fields of a new account.
#[derive(Debug)]
pub struct NewUser {
    /// The address to sign in with; its letter case does not matter.
    pub email: Email,
    /// The password to sign in with; without one, the user sets it with a one-time link ([`crate::accounts::links`]).
    pub password: Option<NewPassword>,
    /// The most that any key of the user can do.
    pub permissions: ScopeSet,
    /// Whether the user may manage other users.
    pub is_admin: bool,
}

/// Makes an account.
///
/// # Errors
/// A bad or taken address, a bad password, an admin created by a token, or a failure; see [`AccountError`].
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

/// Whether there is any user.
///
/// # Errors
/// The database failed.
pub(crate) async fn is_any(database: &Database) -> Result<bool, AccountError> {
    Ok(users::is_any(database.pool()).await?)
}

/// Whether there is an admin who is not disabled.
///
/// # Errors
/// The database failed.
pub async fn has_admin(database: &Database) -> Result<bool, AccountError> {
    Ok(users::active_admins(database.pool()).await? > 0)
}

/// Prepares an account: everything slow, before the transaction.
pub(crate) async fn prepare(
    by: &Actor,
    passwords: &Passwords,
    new: NewUser,
    now: Timestamp,
) -> Result<User, AccountError> {
    let password_hash = match new.password {
        Some(password) => {
            password.check_for(new.email.as_ref()).map_err(|violation| violation.of("password"))?;
            passwords.hash(password).await?
        }
        None => PasswordHash::default(),
    };
    let id = random::ordered_uuid().to_string();
    Ok(User {
        is_admin: new.is_admin,
        has_password: password_hash.is_set(),
        has_identity: false,
        is_password_from_token: password_hash.is_set() && by.is_token(),
        password_hash,
        ..User::without_password(id, new.email.into(), new.permissions, now)
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
    page: PageRequest,
) -> Result<Page<User>, AccountError> {
    Ok(users::search(database.pool(), text, page).await?)
}

/// The user with this id, if there is one.
///
/// # Errors
/// The database failed.
pub async fn find(database: &Database, id: &str) -> Result<Option<User>, AccountError> {
    Ok(users::find(database.pool(), id).await?)
}

/// The user with this address: an email address, or that of a service account.
///
/// # Errors
/// An invalid or unknown address, or a failure.
pub async fn find_by_email(database: &Database, email: &str) -> Result<User, AccountError> {
    let email = normal_address(email).map_err(|violation| violation.of("email"))?;
    users::find_by_email(database.pool(), &email).await?.ok_or(AccountError::NoSuchUser(email))
}
