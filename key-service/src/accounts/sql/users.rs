//! The SQL of accounts.

use const_format::formatcp;
use protocol::ScopeSet;
use sqlx::any::AnyRow;
use sqlx::{AnyExecutor, AnyPool, FromRow, Row};

use crate::accounts::address::UserKind;
use crate::accounts::passwords::PasswordHash;
use crate::accounts::user::User;
use crate::db;
use crate::db::filter::Filter;
use crate::db::rows::{RowResult, scopes, truth};
use crate::paging::{Page, PageRequest};
use crate::revocation::lease_store::Change;

impl<'r> FromRow<'r, AnyRow> for User {
    fn from_row(row: &'r AnyRow) -> RowResult<Self> {
        let password_hash = PasswordHash::from(row.try_get::<String, _>("password_hash")?);
        let email: String = row.try_get("email")?;
        Ok(User {
            id: row.try_get("id")?,
            kind: UserKind::of(&email),
            email,
            permissions: scopes(row, "permissions")?,
            is_admin: truth(row, "is_admin")?,
            is_active: truth(row, "is_active")?,
            created_at: row.try_get("created_at")?,
            has_password: password_hash.is_set(),
            has_identity: row.try_get::<i64, _>("identities")? > 0,
            password_hash,
            is_password_from_token: truth(row, "is_password_from_token")?,
            session_version: row.try_get("session_version")?,
        })
    }
}

/// The columns of a user.
const COLUMNS: &str = "id, email, password_hash, is_password_from_token, permissions, is_admin, is_active, \
    session_version, created_at";

/// The columns of a user, and the number of the user's identities.
const SELECTED: &str =
    formatcp!("{COLUMNS}, (SELECT COUNT(*) FROM identities i WHERE i.user_id = users.id) AS identities");

/// Adds a user; `false` if the email address is taken. A user without keys alters no verdict.
pub(crate) async fn insert(connection: impl AnyExecutor<'_>, user: &User) -> db::Result<bool> {
    let insert = formatcp!(
        "INSERT INTO users ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (email) DO NOTHING"
    );
    let done = sqlx::query(insert)
        .bind(&user.id)
        .bind(&user.email)
        .bind(user.password_hash.reveal())
        .bind(i64::from(user.is_password_from_token))
        .bind(user.permissions.to_string())
        .bind(i64::from(user.is_admin))
        .bind(i64::from(user.is_active))
        .bind(user.session_version)
        .bind(user.created_at)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Users whose address contains a text, by address.
pub(crate) async fn search(pool: &AnyPool, text: Option<&str>, page: PageRequest) -> db::Result<Page<User>> {
    let mut filter = Filter::default();
    if let Some(text) = text {
        filter.and_contains(&["email"], text);
    }
    filter.find(pool, SELECTED, "users", "email", page).await
}

/// Whether there is any user.
pub(crate) async fn is_any(connection: impl AnyExecutor<'_>) -> db::Result<bool> {
    Ok(sqlx::query("SELECT id FROM users LIMIT 1").fetch_optional(connection).await?.is_some())
}

/// Whether there is any admin, disabled or not.
pub(crate) async fn is_any_admin(connection: impl AnyExecutor<'_>) -> db::Result<bool> {
    Ok(sqlx::query("SELECT id FROM users WHERE is_admin = 1 LIMIT 1")
        .fetch_optional(connection)
        .await?
        .is_some())
}

/// The number of active admins.
pub(crate) async fn active_admins(connection: impl AnyExecutor<'_>) -> db::Result<i64> {
    let select = "SELECT COUNT(*) FROM users WHERE is_admin = 1 AND is_active = 1";
    Ok(sqlx::query_scalar(select).fetch_one(connection).await?)
}

/// The user with this id.
pub(crate) async fn find(connection: impl AnyExecutor<'_>, id: &str) -> db::Result<Option<User>> {
    let select = formatcp!("SELECT {SELECTED} FROM users WHERE id = $1");
    Ok(sqlx::query_as(select).bind(id).fetch_optional(connection).await?)
}

/// The user with this email address, in its stored form.
pub(crate) async fn find_by_email(connection: impl AnyExecutor<'_>, email: &str) -> db::Result<Option<User>> {
    let select = formatcp!("SELECT {SELECTED} FROM users WHERE email = $1");
    Ok(sqlx::query_as(select).bind(email).fetch_optional(connection).await?)
}

/// Replaces a user's password and ends the user's sessions.
pub(crate) async fn set_password(
    connection: impl AnyExecutor<'_>,
    id: &str,
    password_hash: &PasswordHash,
    is_from_token: bool,
) -> db::Result<()> {
    let update = "UPDATE users SET password_hash = $1, is_password_from_token = $2,
        session_version = session_version + 1 WHERE id = $3";
    let is_from_token = i64::from(is_from_token);
    sqlx::query(update).bind(password_hash.reveal()).bind(is_from_token).bind(id).execute(connection).await?;
    Ok(())
}

/// Ends the user's sessions.
pub(crate) async fn end_sessions(connection: impl AnyExecutor<'_>, id: &str) -> db::Result<()> {
    let update = "UPDATE users SET session_version = session_version + 1 WHERE id = $1";
    sqlx::query(update).bind(id).execute(connection).await?;
    Ok(())
}

/// Enables or disables a user and all of the user's keys, and ends the user's sessions.
pub(crate) async fn set_active(change: &mut Change, id: &str, is_active: bool) -> db::Result<()> {
    let update = "UPDATE users SET is_active = $1, session_version = session_version + 1 WHERE id = $2";
    sqlx::query(update).bind(i64::from(is_active)).bind(id).execute(change.connection()).await?;
    Ok(())
}

/// Promotes a user to admin, ends the user's sessions, and removes a password that the holder of a token may know.
pub(crate) async fn make_admin(connection: impl AnyExecutor<'_>, id: &str) -> db::Result<()> {
    let update = "UPDATE users SET is_admin = 1, session_version = session_version + 1,
        password_hash = CASE WHEN is_password_from_token = 1 THEN '' ELSE password_hash END,
        is_password_from_token = 0 WHERE id = $1";
    sqlx::query(update).bind(id).execute(connection).await?;
    Ok(())
}

/// Demotes an admin to member.
pub(crate) async fn make_member(connection: impl AnyExecutor<'_>, id: &str) -> db::Result<()> {
    sqlx::query("UPDATE users SET is_admin = 0 WHERE id = $1").bind(id).execute(connection).await?;
    Ok(())
}

/// The statements that remove a user whose keys are removed, with everything else that refers to the user.
const REMOVAL: [&str; 5] = [
    "UPDATE identities SET user_id = NULL WHERE user_id = $1",
    "DELETE FROM one_time_links WHERE user_id = $1",
    "DELETE FROM management_token_users WHERE user_id = $1",
    "UPDATE management_tokens SET created_by_id = NULL WHERE created_by_id = $1",
    "DELETE FROM users WHERE id = $1",
];

/// Removes a user whose keys are removed.
pub(crate) async fn delete(change: &mut Change, id: &str) -> db::Result<()> {
    for statement in REMOVAL {
        sqlx::query(statement).bind(id).execute(change.connection()).await?;
    }
    Ok(())
}

/// Replaces the permissions that limit a user's keys.
pub(crate) async fn set_permissions(change: &mut Change, id: &str, permissions: &ScopeSet) -> db::Result<()> {
    let update = "UPDATE users SET permissions = $1 WHERE id = $2";
    sqlx::query(update).bind(permissions.to_string()).bind(id).execute(change.connection()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn the_removal_of_a_user_reaches_every_table_that_refers_to_users() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let select = "SELECT m.name FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
            WHERE m.type = 'table' AND f.\"table\" = 'users'";
        let tables: Vec<String> = sqlx::query_scalar(select).fetch_all(store.pool()).await.unwrap();
        assert!(tables.contains(&"management_tokens".to_owned()), "{tables:?}");
        // The keys are removed before.
        for table in tables.iter().filter(|table| *table != "api_keys") {
            assert!(REMOVAL.iter().any(|statement| statement.contains(&format!(" {table} "))), "{table}");
        }
    }
}
