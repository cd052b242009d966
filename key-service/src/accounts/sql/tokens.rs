//! The SQL of management tokens.

use const_format::formatcp;
use protocol::KeyDigest;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, AnyPool, FromRow, Row};

use crate::accounts::token::{ManagementToken, TokenDigest};
use crate::accounts::verb::{Verb, Verbs};
use crate::db;
use crate::db::NOW_MS;
use crate::db::rows::{RowResult, digest, parsed, truth, with_list};
use crate::time::Timestamp;

impl<'r> FromRow<'r, AnyRow> for ManagementToken {
    fn from_row(row: &'r AnyRow) -> RowResult<Self> {
        let can = parsed(row, "verbs", |text: String| Verbs::parse(text.split(' ')))?;
        let named: Option<String> = row.try_get("named_users")?;
        let named = named.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Ok(ManagementToken {
            id: row.try_get("id")?,
            label: row.try_get("label")?,
            mask_value: row.try_get("mask_value")?,
            user_ids: (!truth(row, "is_for_all")?).then_some(named),
            can,
            created_at: row.try_get("created_at")?,
            created_by: row.try_get("created_by")?,
            created_by_id: row.try_get("created_by_id")?,
            expires_at: row.try_get("expires_at")?,
            last_used_at: row.try_get("last_used_at")?,
            ended_at: row.try_get("ended_at")?,
        })
    }
}

/// Tokens with the ids of their users. SQLite has `STRING_AGG` since 3.44.
macro_rules! select_tokens {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.label, t.mask_value, t.is_for_all, t.verbs, t.created_at, t.created_by, t.created_by_id,
                t.expires_at, t.last_used_at, t.ended_at,
                (SELECT STRING_AGG(u.user_id, ' ') FROM management_token_users u WHERE u.token_id = t.id)
                AS named_users FROM management_tokens t ",
            $rest
        )
    };
}

/// Adds a token. If one of its users does not exist, adds nothing and returns that user's id.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    token: &ManagementToken,
    digest: TokenDigest,
) -> db::Result<Option<String>> {
    let named = token.user_ids.as_deref().unwrap_or_default();
    for user_id in named {
        if super::users::find(&mut *connection, user_id).await?.is_none() {
            return Ok(Some(user_id.clone()));
        }
    }
    let insert = "INSERT INTO management_tokens
        (id, digest, label, mask_value, is_for_all, verbs, created_at, created_by, created_by_id, expires_at,
            last_used_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let verbs: Vec<_> = token.can.iter().map(Verb::as_str).collect();
    sqlx::query(insert)
        .bind(&token.id)
        .bind(digest.to_hex())
        .bind(&token.label)
        .bind(&token.mask_value)
        .bind(i64::from(token.user_ids.is_none()))
        .bind(verbs.join(" "))
        .bind(token.created_at)
        .bind(&token.created_by)
        .bind(token.created_by_id.as_deref())
        .bind(token.expires_at)
        .bind(token.last_used_at)
        .execute(&mut *connection)
        .await?;
    for user_id in named {
        let insert = "INSERT INTO management_token_users (token_id, user_id) VALUES ($1, $2)
            ON CONFLICT (token_id, user_id) DO NOTHING";
        sqlx::query(insert).bind(&token.id).bind(user_id).execute(&mut *connection).await?;
    }
    Ok(None)
}

/// All tokens, newest first.
pub(crate) async fn list(pool: &AnyPool) -> db::Result<Vec<ManagementToken>> {
    Ok(sqlx::query_as(select_tokens!("ORDER BY t.created_at DESC, t.id DESC")).fetch_all(pool).await?)
}

/// The tokens that a user created and that have not ended.
pub(crate) async fn made_by(
    connection: impl AnyExecutor<'_>,
    user_id: &str,
) -> db::Result<Vec<ManagementToken>> {
    let select =
        select_tokens!("WHERE t.created_by_id = $1 AND t.ended_at IS NULL ORDER BY t.created_at, t.id");
    Ok(sqlx::query_as(select).bind(user_id).fetch_all(connection).await?)
}

/// The tokens that name this user and have not ended.
pub(crate) async fn naming(
    connection: impl AnyExecutor<'_>,
    user_id: &str,
) -> db::Result<Vec<ManagementToken>> {
    let select = select_tokens!(
        "WHERE t.id IN (SELECT token_id FROM management_token_users WHERE user_id = $1) AND t.ended_at IS NULL
            ORDER BY t.created_at, t.id"
    );
    Ok(sqlx::query_as(select).bind(user_id).fetch_all(connection).await?)
}

/// The tokens that name this user and no other, and have not ended.
pub(crate) async fn naming_only(
    connection: impl AnyExecutor<'_>,
    user_id: &str,
) -> db::Result<Vec<ManagementToken>> {
    let naming = naming(connection, user_id).await?;
    Ok(naming.into_iter().filter(|token| token.user_ids.as_ref().is_some_and(|ids| ids.len() == 1)).collect())
}

/// Ends a token. Its row stays, so that answers can give the reason of the refusal.
pub(crate) async fn end(connection: impl AnyExecutor<'_>, id: &str) -> db::Result<()> {
    let update = formatcp!("UPDATE management_tokens SET ended_at = {NOW_MS} WHERE id = $1");
    sqlx::query(update).bind(id).execute(connection).await?;
    Ok(())
}

/// The token with this id.
pub(crate) async fn find(connection: impl AnyExecutor<'_>, id: &str) -> db::Result<Option<ManagementToken>> {
    Ok(sqlx::query_as(select_tokens!("WHERE t.id = $1")).bind(id).fetch_optional(connection).await?)
}

/// The token whose value has this digest.
pub(crate) async fn find_by_digest(
    pool: &AnyPool,
    digest: TokenDigest,
) -> db::Result<Option<ManagementToken>> {
    Ok(sqlx::query_as(select_tokens!("WHERE t.digest = $1"))
        .bind(digest.to_hex())
        .fetch_optional(pool)
        .await?)
}

/// The tokens whose values have these digests and that have not ended: the digest and the token's id.
pub(crate) async fn with_digests(
    pool: &AnyPool,
    digests: &[KeyDigest],
) -> db::Result<Vec<(KeyDigest, String)>> {
    let select = "SELECT digest, id FROM management_tokens WHERE ended_at IS NULL AND digest IN (:list)";
    let mut query = sqlx::query(with_list(select, digests.len()));
    for wanted in digests {
        query = query.bind(wanted.to_hex());
    }
    let rows = query.fetch_all(pool).await?;
    rows.iter().map(|row| Ok((digest(row.try_get("digest")?)?, row.try_get("id")?))).collect()
}

/// Records the use of a token.
pub(crate) async fn set_last_used(
    connection: impl AnyExecutor<'_>,
    id: &str,
    at: Timestamp,
) -> db::Result<()> {
    let update = "UPDATE management_tokens SET last_used_at = $1 WHERE id = $2";
    sqlx::query(update).bind(at).bind(id).execute(connection).await?;
    Ok(())
}

/// Removes a token.
pub(crate) async fn delete(connection: &mut AnyConnection, id: &str) -> db::Result<()> {
    for delete in [
        "DELETE FROM management_token_users WHERE token_id = $1",
        "DELETE FROM management_tokens WHERE id = $1",
    ] {
        sqlx::query(delete).bind(id).execute(&mut *connection).await?;
    }
    Ok(())
}
