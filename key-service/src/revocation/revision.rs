//! The SQL of the history: the revision, which orders all changes of verdicts, and the digests that each change affects.

use ::leases::{History, Position};
use const_format::formatcp;
use protocol::{KeyDigest, MAX_CHANGED_PER_SYNC};
use sqlx::{AnyConnection, AnyExecutor, Row};

use crate::db;
use crate::db::NOW_MS;
use crate::db::rows::{as_u64, digest, with_rows};
use crate::random;

/// How long a change is kept, in milliseconds.
const KEPT_MS: i64 = 60 * 60 * 1000;

/// The most changed digests that are kept.
const KEPT_ROWS: i64 = 100_000;

/// The most rows in one statement: SQLite allows 32,766 parameters, PostgreSQL 65,535.
const ROWS_PER_INSERT: usize = 1_000;

/// Sets the epoch of a database that has none: a new one, or one restored from a backup.
pub(crate) async fn start_epoch(connection: impl AnyExecutor<'_>) -> db::Result<()> {
    let insert = "INSERT INTO revision_log (only_row, epoch, revision) VALUES (1, $1, 0)
        ON CONFLICT (only_row) DO UPDATE SET epoch = excluded.epoch WHERE revision_log.epoch = ''";
    sqlx::query(insert).bind(random::uuid().to_string()).execute(connection).await?;
    Ok(())
}

/// Sets the epoch.
pub(super) async fn set_epoch(connection: impl AnyExecutor<'_>, epoch: &str) -> db::Result<()> {
    sqlx::query("UPDATE revision_log SET epoch = $1").bind(epoch).execute(connection).await?;
    Ok(())
}

/// Increments the revision, and returns the new position. No other transaction can until this one ends.
pub(crate) async fn increment(connection: impl AnyExecutor<'_>) -> db::Result<Position> {
    let update = "UPDATE revision_log SET revision = revision + 1 RETURNING epoch, revision";
    let row = sqlx::query(update).fetch_one(connection).await?;
    Ok(Position { epoch: row.try_get("epoch")?, revision: as_u64(&row, "revision")? })
}

/// The latest position.
pub(crate) async fn current(connection: impl AnyExecutor<'_>) -> db::Result<Position> {
    let row = sqlx::query("SELECT epoch, revision FROM revision_log").fetch_one(connection).await?;
    Ok(Position { epoch: row.try_get("epoch")?, revision: as_u64(&row, "revision")? })
}

/// Records the digests whose verdicts the current revision may have altered.
pub(crate) async fn insert_changes(connection: &mut AnyConnection, changed: &[KeyDigest]) -> db::Result<()> {
    for changed in changed.chunks(ROWS_PER_INSERT) {
        let insert = formatcp!(
            "WITH changed (digest) AS (VALUES :rows) INSERT INTO changes (revision, digest, made_at)
            SELECT DISTINCT l.revision, c.digest, {NOW_MS} FROM changed c CROSS JOIN revision_log l"
        );
        let mut query = sqlx::query(with_rows(insert, 1, changed.len())).persistent(false);
        for digest in changed {
            query = query.bind(digest.to_hex());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The changes since a position. A single statement reads a single snapshot, on both databases and at every isolation level.
pub(crate) async fn history(
    connection: impl AnyExecutor<'_>,
    since: Option<&Position>,
) -> db::Result<History> {
    let select = formatcp!(
        "SELECT l.epoch, l.revision, l.pruned_to, c.digest FROM revision_log l LEFT JOIN
        (SELECT DISTINCT digest FROM changes WHERE revision > $1 LIMIT {}) c ON 1 = 1",
        MAX_CHANGED_PER_SYNC + 1
    );
    // A revision that exceeds the column is beyond the latest one.
    let cursor = since.and_then(|since| i64::try_from(since.revision).ok()).unwrap_or(i64::MAX);
    let rows = sqlx::query(select).bind(cursor).fetch_all(connection).await?;
    let head = rows.first().ok_or(db::Error::Missing("revision_log"))?;
    let position = Position { epoch: head.try_get("epoch")?, revision: as_u64(head, "revision")? };
    let kept = as_u64(head, "pruned_to")?..=position.revision; // rule `PrunedIsReset`
    let is_known = since.is_some_and(|since| since.epoch == position.epoch && kept.contains(&since.revision));
    if !is_known || rows.len() > MAX_CHANGED_PER_SYNC {
        return Ok(History { position, changed: None });
    }
    let digests = rows.iter().filter_map(|row| row.try_get::<Option<String>, _>("digest").transpose());
    let changed = digests.map(|hex| digest(hex?)).collect::<db::Result<_>>()?;
    Ok(History { position, changed: Some(changed) })
}

/// The position up to which changes are too old to keep. It reads all changes, and needs no lock because none becomes newer.
pub(crate) async fn out_of_date(connection: impl AnyExecutor<'_>) -> db::Result<Position> {
    let select = formatcp!(
        "SELECT epoch, COALESCE(
            (SELECT MAX(revision) FROM changes WHERE made_at < {NOW_MS} - {KEPT_MS} OR revision <=
                (SELECT revision FROM changes ORDER BY revision DESC LIMIT 1 OFFSET {KEPT_ROWS})),
            pruned_to) AS revision FROM revision_log"
    );
    let row = sqlx::query(select).fetch_one(connection).await?;
    Ok(Position { epoch: row.try_get("epoch")?, revision: as_u64(&row, "revision")? })
}

/// Marks the changes up to a position as pruned, before they are removed.
pub(crate) async fn mark_pruned(connection: impl AnyExecutor<'_>, to: &Position) -> db::Result<()> {
    let update =
        "UPDATE revision_log SET pruned_to = $1 WHERE pruned_to < $2 AND revision >= $3 AND epoch = $4";
    let revision = i64::try_from(to.revision).unwrap_or(i64::MAX);
    let query = sqlx::query(update).bind(revision).bind(revision).bind(revision).bind(&to.epoch);
    query.execute(connection).await?;
    Ok(())
}

/// Removes at most `at_most` pruned changes. Returns the number of rows.
pub(crate) async fn remove_pruned(connection: impl AnyExecutor<'_>, at_most: i64) -> db::Result<u64> {
    let delete = "DELETE FROM changes WHERE (revision, digest) IN (SELECT revision, digest FROM changes
        WHERE revision <= (SELECT pruned_to FROM revision_log) ORDER BY revision LIMIT $1)";
    Ok(sqlx::query(delete).bind(at_most).execute(connection).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn changes_are_marked_as_pruned_and_then_removed_some_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        let mut connection = store.pool().acquire().await.unwrap();
        let old = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 25)
            INSERT INTO changes SELECT n, $1, 0 FROM n";
        let digest = KeyDigest::of_value("phx_old").to_hex();
        sqlx::query(old).bind(digest).execute(&mut *connection).await.unwrap();
        sqlx::query("UPDATE revision_log SET revision = 30").execute(&mut *connection).await.unwrap();
        let epoch = current(&mut *connection).await.unwrap().epoch;
        let cursor = Position { epoch: epoch.clone(), revision: 10 };

        let mark = out_of_date(&mut *connection).await.unwrap();
        assert_eq!(mark, Position { epoch: epoch.clone(), revision: 25 });
        let another = Position { epoch: "another".to_owned(), ..mark.clone() };
        let ahead = Position { revision: 31, ..mark.clone() };
        for invalid in [another, ahead] {
            mark_pruned(&mut *connection, &invalid).await.unwrap();
            assert!(history(&mut *connection, Some(&cursor)).await.unwrap().changed.is_some());
        }
        mark_pruned(&mut *connection, &mark).await.unwrap();
        assert_eq!(
            history(&mut *connection, Some(&cursor)).await.unwrap().changed,
            None,
            "before any change is removed"
        );
        mark_pruned(&mut *connection, &Position { revision: 12, ..mark }).await.unwrap();
        let cursor = Position { revision: 20, ..cursor };
        assert_eq!(
            history(&mut *connection, Some(&cursor)).await.unwrap().changed,
            None,
            "the mark never moves back"
        );
        let mut removed = Vec::new();
        for _ in 0..4 {
            removed.push(remove_pruned(&mut *connection, 10).await.unwrap());
        }
        assert_eq!(removed, [10, 10, 5, 0]);
    }
}
