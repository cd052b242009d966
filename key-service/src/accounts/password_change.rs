//! New passwords for existing users.

use serde_json::Value;
use sqlx::AnyConnection;

use super::access::Role;
use super::authority;
use super::error::AccountError;
use super::openid::{self, Providers};
use super::passwords::{NewPassword, Password, PasswordHash, Passwords};
use super::sql::{links, users};
use super::user::{User, log};
use crate::audit::{Action, Actor};
use crate::db;
use crate::db::Database;
use crate::db::transaction::Write;

/// Gives a user a new password and ends the user's sessions.
///
/// # Errors
/// A bad password, no such user, or a failure.
pub async fn set_password(
    database: &Database,
    by: &Actor,
    passwords: &Passwords,
    user_id: &str,
    password: NewPassword,
) -> Result<(), AccountError> {
    let user = users::find(database.pool(), user_id).await?.ok_or(AccountError::NotFound)?;
    if user.kind.is_service() {
        return Err(AccountError::ServiceAccount);
    }
    password.check_for(&user.email).map_err(|violation| violation.of("password"))?;
    let hash = passwords.hash(password).await?;
    let mut write = database.begin_write().await?;
    // The user may have been deleted since.
    let user = users::find(write.connection(), user_id).await?.ok_or(AccountError::NotFound)?;
    replace_password(write.connection(), by, &user, &hash, by.is_token()).await?;
    Ok(write.commit().await?)
}

/// Stores a new password's hash, and ends the user's sessions and one-time links. `is_from_token`: the holder of a
/// management token may know it.
pub(crate) async fn replace_password(
    connection: &mut AnyConnection,
    by: &Actor,
    user: &User,
    hash: &PasswordHash,
    is_from_token: bool,
) -> Result<(), AccountError> {
    users::set_password(&mut *connection, &user.id, hash, is_from_token).await?;
    links::remove(&mut *connection, &user.id).await?;
    Ok(log(connection, by, Action::UserPasswordChanged, &user.id, &Value::Null).await?)
}

/// Records in the audit log that the holder of a user's session sent a wrong password.
async fn refuse_password_change(mut write: Write, by: &Actor, user: &User) -> db::Result<AccountError> {
    log(write.connection(), by, Action::UserPasswordChangeRefused, &user.id, &Value::Null).await?;
    write.commit().await?;
    Ok(AccountError::WrongPassword)
}

/// Sets a new password for a user who knows the current one. Returns the changed user, for a new session.
///
/// # Errors
/// A wrong current password, an invalid new one, a user whose rights groups decide, or a failure.
pub(crate) async fn change_password(
    database: &Database,
    by: &Actor,
    passwords: &Passwords,
    providers: &Providers,
    user: &User,
    current: Password,
    new: NewPassword,
) -> Result<User, AccountError> {
    // The new session would outlive those of the provider.
    openid::require_no_deciding_provider(database.pool(), providers, &user.id).await?;
    new.check_for(&user.email).map_err(|violation| violation.of("password"))?;
    // A user of an OpenID provider may have no password.
    let hash = Some(user.password_hash.clone()).filter(PasswordHash::is_set);
    if !passwords.verify(current, hash).await? {
        return Err(refuse_password_change(database.begin_write().await?, by, user).await?);
    }
    let hash = passwords.hash(new).await?;
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Member).await?;
    let current = users::find(write.connection(), &user.id).await?.ok_or(AccountError::NotFound)?;
    // The password may have changed since it was verified; compare again inside the transaction.
    if !current.password_hash.is(&user.password_hash) {
        return Err(refuse_password_change(write, by, user).await?);
    }
    // The holder of a token who knows the current password can replace it too, so the mark stays.
    let is_from_token = current.is_password_from_token;
    replace_password(write.connection(), by, &current, &hash, is_from_token).await?;
    let changed = users::find(write.connection(), &user.id).await?.ok_or(AccountError::NotFound)?;
    write.commit().await?;
    Ok(changed)
}
