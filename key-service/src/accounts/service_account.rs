//! Service accounts: users that own keys without a person. They have no password, no link and no session, and are never
//! admins.

use protocol::ScopeSet;

use super::access::Role;
use super::address::ServiceName;
use super::authority;
use super::error::AccountError;
use super::registration::insert;
use super::user::User;
use crate::audit::Actor;
use crate::db::Database;
use crate::random;
use crate::time::Timestamp;
use crate::validation::FieldError;

/// Adds a service account.
///
/// # Errors
/// The name is taken, or a failure.
pub async fn add_service_account(
    database: &Database,
    by: &Actor,
    name: &ServiceName,
    permissions: ScopeSet,
    now: Timestamp,
) -> Result<User, AccountError> {
    let user = User::without_password(random::ordered_uuid().to_string(), name.address(), permissions, now);
    let mut write = database.begin_write().await?;
    authority::recheck(write.connection(), by, Role::Admin).await?;
    let inserted = insert(write.connection(), by, &user).await;
    inserted.map_err(|error| match error {
        AccountError::EmailTaken(_) => {
            FieldError::input("name", "There is a service account with this name already.").into()
        }
        error => error,
    })?;
    write.commit().await?;
    Ok(user)
}
