//! The SQL of the history: the revision that puts all changes of verdicts in one order, and what each changed.

use ::leases::{History, Position};
use const_format::formatcp;
use protocol::{KeyDigest, MAX_CHANGED_PER_SYNC};
use sqlx::{AnyConnection, AnyExecutor, Row};

use crate::db::NOW_MS;
use crate::db::rows::{as_u64, digest, with_rows};
use crate::random;

/// How long a change is told of, in milliseconds.
const KEPT_MS: i64 = 60 * 60 * 1000;

/// How many changed digests are kept at most.
const KEPT_ROWS: i64 = 100_000;

/// How many rows one statement inserts: SQLite takes 32,766 parameters, PostgreSQL 65,535.
const ROWS_PER_INSERT: usize = 1_000;

/// Gives a database that has none its epoch, which names the history that its revisions belong to: a new one, and one
/// that was restored from a backup.
pub(crate) async fn start_epoch(connection: impl AnyExecutor<'_>) -> sqlx::Result<()> {
    let insert = "INSERT INTO revision_log (only_row, epoch, revision) VALUES (1, $1, 0)
        ON CONFLICT (only_row) DO UPDATE SET epoch = excluded.epoch WHERE revision_log.epoch = ''";
    sqlx::query(insert).bind(random::uuid().to_string()).execute(connection).await?;
    Ok(())
}

/// Gives the history another epoch.
pub(super) async fn set_epoch(connection: impl AnyExecutor<'_>, epoch: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE revision_log SET epoch = $1").bind(epoch).execute(connection).await?;
    Ok(())
}

/// Raises the revision and returns the place that makes. Until the transaction ends, nobody else can.
pub(crate) async fn increment(connection: impl AnyExecutor<'_>) -> sqlx::Result<Position> {
    let update = "UPDATE revision_log SET revision = revision + 1 RETURNING epoch, revision";
    let row = sqlx::query(update).fetch_one(connection).await?;
    Ok(Position { epoch: row.try_get("epoch")?, revision: as_u64(&row, "revision")? })
}

/// The place that the latest change made.
pub(crate) async fn current(connection: impl AnyExecutor<'_>) -> sqlx::Result<Position> {
    let row = sqlx::query("SELECT epoch, revision FROM revision_log").fetch_one(connection).await?;
    Ok(Position { epoch: row.try_get("epoch")?, revision: as_u64(&row, "revision")? })
}

/// Writes down which digests' verdicts the present revision may have altered.
pub(crate) async fn insert_changes(
    connection: &mut AnyConnection,
    changed: &[KeyDigest],
) -> sqlx::Result<()> {
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

/// What changed since a place. A single statement sees a single snapshot, in every database and at every isolation
/// level.
pub(crate) async fn history(
    connection: impl AnyExecutor<'_>,
    since: Option<&Position>,
) -> sqlx::Result<History> {
    let select = formatcp!(
        "SELECT l.epoch, l.revision, l.pruned_to, c.digest FROM revision_log l LEFT JOIN
        (SELECT DISTINCT digest FROM changes WHERE revision > $1 LIMIT {}) c ON 1 = 1",
        MAX_CHANGED_PER_SYNC + 1
    );
    // A revision that the column cannot hold is beyond the present one anyway.
    let cursor = since.and_then(|since| i64::try_from(since.revision).ok()).unwrap_or(i64::MAX);
    let rows = sqlx::query(select).bind(cursor).fetch_all(connection).await?;
    let head = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let position = Position { epoch: head.try_get("epoch")?, revision: as_u64(head, "revision")? };
    let told = as_u64(head, "pruned_to")?..=position.revision;
    let is_told = since.is_some_and(|since| since.epoch == position.epoch && told.contains(&since.revision));
    if !is_told || rows.len() > MAX_CHANGED_PER_SYNC {
        return Ok(History { position, changed: None });
    }
    let digests = rows.iter().filter_map(|row| row.try_get::<Option<String>, _>("digest").transpose());
    let changed = digests.map(|hex| digest(hex?)).collect::<sqlx::Result<_>>()?;
    Ok(History { position, changed: Some(changed) })
}

/// How far changes are out of date. It reads all of them, and needs no lock: none becomes newer.
pub(crate) async fn out_of_date(connection: impl AnyExecutor<'_>) -> sqlx::Result<Position> {
    let select = formatcp!(
        "SELECT epoch, COALESCE(
            (SELECT MAX(revision) FROM changes WHERE made_at < {NOW_MS} - {KEPT_MS} OR revision <=
                (SELECT revision FROM changes ORDER BY revision DESC LIMIT 1 OFFSET {KEPT_ROWS})),
            pruned_to) AS revision FROM revision_log"
    );
    let row = sqlx::query(select).fetch_one(connection).await?;
    Ok(Position { epoch: row.try_get("epoch")?, revision: as_u64(&row, "revision")? })
}

/// Moves the mark up to which changes are forgotten, before any of them is removed.
pub(crate) async fn mark_pruned(connection: impl AnyExecutor<'_>, to: &Position) -> sqlx::Result<()> {
    let update =
        "UPDATE revision_log SET pruned_to = $1 WHERE pruned_to < $2 AND revision >= $3 AND epoch = $4";
    let revision = i64::try_from(to.revision).unwrap_or(i64::MAX);
    let query = sqlx::query(update).bind(revision).bind(revision).bind(revision).bind(&to.epoch);
    query.execute(connection).await?;
    Ok(())
}

/// Removes some of the changes that are forgotten; how many rows.
pub(crate) async fn remove_pruned(connection: impl AnyExecutor<'_>, at_most: i64) -> sqlx::Result<u64> {
    let delete = "DELETE FROM changes WHERE (revision, digest) IN (SELECT revision, digest FROM changes
        WHERE revision <= (SELECT pruned_to FROM revision_log) ORDER BY revision LIMIT $1)";
    Ok(sqlx::query(delete).bind(at_most).execute(connection).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn changes_are_marked_as_forgotten_and_then_removed_some_at_a_time() {
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
        for of_no_use in [another, ahead] {
            mark_pruned(&mut *connection, &of_no_use).await.unwrap();
            assert!(history(&mut *connection, Some(&cursor)).await.unwrap().changed.is_some());
        }
        mark_pruned(&mut *connection, &mark).await.unwrap();
        assert_eq!(
            history(&mut *connection, Some(&cursor)).await.unwrap().changed,
            None,
            "before any is removed"
        );
        mark_pruned(&mut *connection, &Position { revision: 12, ..mark }).await.unwrap();
        let cursor = Position { revision: 20, ..cursor };
        assert_eq!(
            history(&mut *connection, Some(&cursor)).await.unwrap().changed,
            None,
            "it never moves back"
        );
        let mut removed = Vec::new();
        for _ in 0..4 {
            removed.push(remove_pruned(&mut *connection, 10).await.unwrap());
        }
        assert_eq!(removed, [10, 10, 5, 0]);
    }
}
