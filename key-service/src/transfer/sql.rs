//! The SQL of import and export: many rows in one statement.

use std::collections::HashSet;

use const_format::formatcp;
use protocol::KeyDigest;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, FromRow, Row};

use super::export::Exported;
use super::import::{ImportUser, Present};
use crate::db;
use crate::db::rows::{ROWS_AT_ONCE, RowResult, digest, parsed, scopes, truth, with_rows};
use crate::keys::sql::KEY_COLUMNS;
use crate::keys::{Key, sql as key_rows};

/// The stored rows of these users and values.
pub(crate) async fn present(
    connection: &mut AnyConnection,
    emails: &HashSet<&str>,
    digests: &[KeyDigest],
) -> db::Result<Present> {
    let mut present = Present::default();
    if emails.is_empty() {
        return Ok(present);
    }
    let select = "WITH wanted (email) AS (VALUES :rows)
        SELECT u.email, u.id, u.permissions, (SELECT COUNT(*) FROM api_keys k WHERE k.user_id = u.id) AS held
        FROM wanted w JOIN users u ON u.email = w.email";
    let mut query = sqlx::query(with_rows(select, 1, emails.len())).persistent(false);
    for email in emails {
        query = query.bind(*email);
    }
    for row in query.fetch_all(&mut *connection).await? {
        let keys = usize::try_from(row.try_get::<i64, _>("held")?).unwrap_or(usize::MAX);
        let (id, permissions) = (row.try_get("id")?, scopes(&row, "permissions")?);
        present.users.insert(row.try_get("email")?, ImportUser { id, permissions, keys });
    }

    let select = formatcp!(
        "WITH wanted (digest) AS (VALUES :rows)
        SELECT w.digest, u.email, CASE WHEN d.expires_at IS NULL THEN 1 ELSE 0 END AS is_current, {KEY_COLUMNS}
        FROM wanted w JOIN key_digests d ON d.digest = w.digest
        JOIN api_keys k ON k.id = d.key_id JOIN users u ON u.id = k.user_id"
    );
    for row in rows_of(&mut *connection, select, digests).await? {
        let known = digest(row.try_get("digest")?)?;
        // An old value that still works after a roll counts as revoked.
        if truth(&row, "is_current")? {
            present.keys.insert(known, (Key::from_row(&row)?, row.try_get("email")?));
        } else {
            present.revoked.insert(known);
        }
    }

    let select = "WITH wanted (digest) AS (VALUES :rows)
        SELECT w.digest FROM wanted w JOIN revoked_digests r ON r.digest = w.digest";
    for row in rows_of(connection, select, digests).await? {
        present.revoked.insert(digest(row.try_get("digest")?)?);
    }
    Ok(present)
}

/// The rows that a statement selects for these digests.
async fn rows_of(
    connection: &mut AnyConnection,
    select: &'static str,
    digests: &[KeyDigest],
) -> db::Result<Vec<AnyRow>> {
    let mut query = sqlx::query(with_rows(select, 1, digests.len())).persistent(false);
    for digest in digests {
        query = query.bind(digest.to_hex());
    }
    Ok(query.fetch_all(connection).await?)
}

/// Adds keys with their values. It needs no [`crate::revocation::lease_store::Change`]: no edge has cached an active
/// verdict on a value that belongs to no key yet.
pub(crate) async fn insert_keys(connection: &mut AnyConnection, keys: &[(Key, KeyDigest)]) -> db::Result<()> {
    for keys in keys.chunks(ROWS_AT_ONCE) {
        let rows: Vec<_> = keys.iter().map(|(key, _)| key).collect();
        key_rows::insert(&mut *connection, &rows).await?;

        let insert = "INSERT INTO key_digests (digest, key_id) VALUES :rows";
        let mut query = sqlx::query(with_rows(insert, 2, keys.len()));
        for (key, digest) in keys {
            query = query.bind(digest.to_hex()).bind(&key.id);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

impl<'r> FromRow<'r, AnyRow> for Exported {
    fn from_row(row: &'r AnyRow) -> RowResult<Self> {
        let digest = parsed(row, "digest", |hex: String| hex.parse())?;
        Ok(Exported { key: Key::from_row(row)?, email: row.try_get("email")?, digest })
    }
}

/// The next keys after the id `after`, in the order of their ids, at most `limit`, each with its current value.
pub(crate) async fn export(
    connection: impl AnyExecutor<'_>,
    after: &str,
    limit: i64,
) -> db::Result<Vec<Exported>> {
    let select = formatcp!(
        "SELECT {KEY_COLUMNS}, u.email, d.digest
        FROM api_keys k JOIN users u ON u.id = k.user_id
        JOIN key_digests d ON d.key_id = k.id AND d.expires_at IS NULL
        WHERE k.id > $1 ORDER BY k.id LIMIT $2"
    );
    Ok(sqlx::query_as(select).bind(after).bind(limit).fetch_all(connection).await?)
}
