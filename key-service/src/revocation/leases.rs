//! The SQL of leases and of usage reports.
//!
//! All times are those of the database's clock, read in the statement that compares or stores them.

use ::leases::{Lease, LeaseRenewal, Leases, Position};
use const_format::formatcp;
use sqlx::{AnyConnection, AnyExecutor, Row};

use super::lease_limit::as_column;
use crate::db;
use crate::db::NOW_MS;
use crate::db::rows::{ROWS_AT_ONCE, as_u64, stored_node, with_rows};

/// The shortest time between two writes of a key's last use, in milliseconds.
const USE_INTERVAL_MS: i64 = 60 * 60 * 1000;

/// How long an ended lease is kept, in milliseconds.
const KEPT_MS: i64 = 60 * 1000;

/// Records for each edge the end of its lease and the highest revision of this epoch that it ever acknowledged. An end never
/// moves back. An edge may occur more than once. Commit the transaction only if the result is `true`; otherwise a lease is
/// longer than the limit.
pub(super) async fn record(connection: &mut AnyConnection, renewals: &[LeaseRenewal]) -> db::Result<bool> {
    let mut renewals: Vec<_> = renewals.iter().collect();
    // All processes lock rows in the same order, so that they cannot deadlock.
    renewals.sort_by(|one, other| one.edge.cmp(&other.edge));
    // PostgreSQL refuses an edge that occurs twice in one statement.
    for different in renewals.chunk_by(|one, next| one.edge != next.edge) {
        for renewals in different.chunks(ROWS_AT_ONCE) {
            if !record_at_once(connection, renewals).await? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Rule `AcknowledgedInEpoch`: the acknowledgement of another epoch is stored as 0. Rule `DatabaseClock`: `ends_at` is a time
/// of the database's clock.
async fn record_at_once(connection: &mut AnyConnection, renewals: &[&LeaseRenewal]) -> db::Result<bool> {
    let upsert = formatcp!(
        "WITH sync (edge, epoch, acknowledged, lasts_ms, node) AS (VALUES :rows)
        INSERT INTO edge_leases (edge, epoch, acknowledged, ends_at, node)
        SELECT s.edge, l.epoch,
            CASE WHEN s.epoch = l.epoch AND s.acknowledged <= l.revision THEN s.acknowledged ELSE 0 END,
            {NOW_MS} + s.lasts_ms, s.node
        FROM sync s CROSS JOIN revision_log l WHERE s.lasts_ms <= l.lease_limit_ms
        ON CONFLICT (edge) DO UPDATE SET
            acknowledged = CASE
                WHEN edge_leases.epoch = excluded.epoch AND edge_leases.acknowledged > excluded.acknowledged
                THEN edge_leases.acknowledged ELSE excluded.acknowledged END,
            epoch = excluded.epoch,
            ends_at = CASE WHEN edge_leases.ends_at > excluded.ends_at
                THEN edge_leases.ends_at ELSE excluded.ends_at END,
            node = excluded.node"
    );
    let mut query = sqlx::query(with_rows(upsert, 5, renewals.len()));
    for renewal in renewals {
        // No epoch is empty, and no revision exceeds the column.
        let (epoch, revision) = renewal
            .acknowledged
            .as_ref()
            .and_then(|position| Some((position.epoch.as_str(), i64::try_from(position.revision).ok()?)))
            .unwrap_or_default();
        let lasts_ms = as_column(renewal.lasts_ms);
        let node = stored_node(&renewal.node);
        query = query.bind(&renewal.edge).bind(epoch).bind(revision).bind(lasts_ms).bind(node);
    }
    let recorded = query.execute(connection).await?.rows_affected();
    Ok(usize::try_from(recorded) == Ok(renewals.len()))
}

/// Writes when keys were last used, by key id, in milliseconds since 1970-01-01 UTC. A time never moves back, is never in the
/// future, and is written once an hour at most.
pub(super) async fn write_uses(connection: &mut AnyConnection, used: &[(String, i64)]) -> db::Result<()> {
    for used in used.chunks(ROWS_AT_ONCE) {
        let update = formatcp!(
            "WITH used (key_id, used_at) AS (VALUES :rows)
            UPDATE api_keys SET last_used_at = u.used_at
            FROM (SELECT key_id, CASE WHEN used_at > {NOW_MS} THEN {NOW_MS} ELSE used_at END AS used_at FROM used) u
            WHERE api_keys.id = u.key_id
                AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at <= u.used_at - {USE_INTERVAL_MS})"
        );
        let mut query = sqlx::query(with_rows(update, 2, used.len())).persistent(false);
        for (key_id, at) in used {
            query = query.bind(key_id.as_str()).bind(*at);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// For each position, the leases of edges that have not acknowledged it. `None` if another epoch has begun, because it may lack
/// the change that made the position: rule `PropagatedInEpoch`. A single statement reads a single snapshot.
pub(super) async fn read(
    connection: impl AnyExecutor<'_>,
    positions: &[Position],
) -> db::Result<Vec<Option<Leases>>> {
    let select = formatcp!(
        "SELECT {NOW_MS} AS now_ms, l.epoch, l.lost_leases_until, l.longest_lease_ms, e.edge, e.ends_at,
            CASE WHEN e.epoch = l.epoch THEN e.acknowledged ELSE -1 END AS acknowledged,
            (SELECT COUNT(*) FROM edge_leases h WHERE h.ends_at > {NOW_MS}) AS held
        FROM revision_log l
        LEFT JOIN edge_leases e ON e.acknowledged < $1 OR e.epoch <> l.epoch"
    );
    // No revision exceeds the column.
    let revision_of = |position: &Position| i64::try_from(position.revision).unwrap_or(i64::MAX);
    let last = positions.iter().map(revision_of).max().unwrap_or_default();
    let rows = sqlx::query(select).bind(last).fetch_all(connection).await?;
    // The clock is read for each row. The first time is the earliest, so it ends no lease too soon.
    let head = rows.first().ok_or(db::Error::Missing("revision_log"))?;
    let (now_ms, lost_leases_until_ms) = (head.try_get("now_ms")?, head.try_get("lost_leases_until")?);
    let epoch: &str = head.try_get("epoch")?;
    let longest_ms = as_u64(head, "longest_lease_ms")?;
    let held = usize::try_from(as_u64(head, "held")?).unwrap_or(usize::MAX);
    let mut behind = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(edge) = row.try_get::<Option<String>, _>("edge")? {
            behind.push((row.try_get("acknowledged")?, Lease { edge, ends_at_ms: row.try_get("ends_at")? }));
        }
    }
    let leases = |position: &Position| {
        let revision = revision_of(position);
        let lacks_it = |(acknowledged, _): &&(i64, Lease)| *acknowledged < revision;
        (position.epoch == epoch).then(|| Leases {
            now_ms,
            longest_ms,
            lost_leases_until_ms,
            held,
            behind: behind.iter().filter(lacks_it).map(|(_, lease)| lease.clone()).collect(),
        })
    };
    Ok(positions.iter().map(leases).collect())
}

/// The database's clock, in milliseconds since 1970-01-01 UTC, and `longest_lease_ms`.
pub(crate) async fn clock(connection: impl AnyExecutor<'_>) -> db::Result<(i64, u64)> {
    let select = formatcp!("SELECT {NOW_MS} AS now_ms, longest_lease_ms FROM revision_log");
    let row = sqlx::query(select).fetch_one(connection).await?;
    Ok((row.try_get("now_ms")?, as_u64(&row, "longest_lease_ms")?))
}

/// Removes at most `at_most` leases that ended before `ended_by_ms` and were not renewed. Returns their number.
///
/// A change that waits counts a missing lease as acknowledged. So `ended_by_ms` must be so early that no change waits for such
/// a lease, even if the database's clock was set: see [`crate::upkeep`].
pub(crate) async fn remove_ended(
    connection: impl AnyExecutor<'_>,
    ended_by_ms: i64,
    at_most: i64,
) -> db::Result<u64> {
    // Both conditions check the end. On PostgreSQL, a lease can be renewed while this statement waits for its row; then only
    // the outer condition is evaluated again.
    let delete = formatcp!(
        "DELETE FROM edge_leases WHERE ends_at < {NOW_MS} - {KEPT_MS} AND ends_at < $1 AND edge IN
        (SELECT edge FROM edge_leases WHERE ends_at < {NOW_MS} - {KEPT_MS} AND ends_at < $2 LIMIT $3)"
    );
    let query = sqlx::query(delete).bind(ended_by_ms).bind(ended_by_ms).bind(at_most);
    Ok(query.execute(connection).await?.rows_affected())
}

/// Shortens at most `at_most` leases that end later than a lease recorded now could. Returns their number. Such leases were
/// recorded before the database's clock was set back. Without this, each change would wait for them until the clock has caught
/// up.
///
/// This statement locks rows in any order, [`record`] in the order of the edges. If they deadlock, PostgreSQL ends one of the
/// two, and the edge or the upkeep task tries again.
pub(crate) async fn shorten_leases(connection: impl AnyExecutor<'_>, at_most: i64) -> db::Result<u64> {
    let update = formatcp!(
        "UPDATE edge_leases SET ends_at = {NOW_MS} + (SELECT longest_lease_ms FROM revision_log)
        WHERE ends_at > {NOW_MS} + (SELECT longest_lease_ms FROM revision_log) AND edge IN
        (SELECT e.edge FROM edge_leases e CROSS JOIN revision_log l
            WHERE e.ends_at > {NOW_MS} + l.longest_lease_ms LIMIT $1)"
    );
    Ok(sqlx::query(update).bind(at_most).execute(connection).await?.rows_affected())
}

/// Shortens the wait for lost leases to `longest_lease_ms` from now. A later end comes from before the clock was set back.
pub(super) async fn shorten_loss_wait(connection: impl AnyExecutor<'_>) -> db::Result<()> {
    let update = formatcp!(
        "UPDATE revision_log SET lost_leases_until = {NOW_MS} + longest_lease_ms
        WHERE lost_leases_until > {NOW_MS} + longest_lease_ms"
    );
    sqlx::query(update).execute(connection).await?;
    Ok(())
}

/// Records that leases may be lost: every change waits until the longest of them would have ended (rule `LongestLease`).
pub(super) async fn record_loss(connection: impl AnyExecutor<'_>) -> db::Result<()> {
    let update = formatcp!(
        "UPDATE revision_log SET lost_leases_until =
            CASE WHEN lost_leases_until > {NOW_MS} + longest_lease_ms
                THEN lost_leases_until ELSE {NOW_MS} + longest_lease_ms END"
    );
    sqlx::query(update).execute(connection).await?;
    Ok(())
}

/// Rule `LossFirst` on SQLite: records a loss of leases if the machine was restarted since they were recorded: the last records
/// may not have reached the disk. Without a boot id, every start counts as a restart of the machine.
pub(super) async fn notice_boot(connection: &mut AnyConnection, boot_id: Option<&str>) -> db::Result<()> {
    let update = "UPDATE revision_log SET boot_id = $1 WHERE boot_id IS NULL OR boot_id <> $2";
    // A boot id is never empty.
    let query = sqlx::query(update).bind(boot_id).bind(boot_id.unwrap_or_default());
    if query.execute(&mut *connection).await?.rows_affected() > 0 {
        record_loss(connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_position_gets_the_edges_that_have_not_acknowledged_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        store.announce_leases(60_000).await.unwrap();
        let mut connection = store.pool().acquire().await.unwrap();
        sqlx::query("UPDATE revision_log SET epoch = 'e2', revision = 9")
            .execute(&mut *connection)
            .await
            .unwrap();
        let position = |epoch: &str, revision| Position { epoch: epoch.to_owned(), revision };
        let renewals =
            [("at four", Some(position("e2", 4))), ("old", Some(position("e1", 9))), ("new", None)].map(
                |(edge, acknowledged)| LeaseRenewal {
                    edge: edge.to_owned(),
                    acknowledged,
                    lasts_ms: 60_000,
                    used: Default::default(),
                    node: Default::default(),
                },
            );
        assert!(record(&mut connection, &renewals).await.unwrap());
        let from_before = "UPDATE edge_leases SET epoch = 'e1', acknowledged = 9 WHERE edge = 'old'";
        sqlx::query(from_before).execute(&mut *connection).await.unwrap();
        let positions = [("e2", 4), ("e2", 5), ("e2", 9), ("e1", 4), ("e2", u64::MAX)]
            .map(|(epoch, revision)| position(epoch, revision));
        let behind: Vec<_> = read(&mut *connection, &positions)
            .await
            .unwrap()
            .into_iter()
            .map(|leases| {
                let leases = leases?;
                assert_eq!(leases.held, 3);
                let mut behind: Vec<_> = leases.behind.into_iter().map(|lease| lease.edge).collect();
                behind.sort();
                Some(behind.join(", "))
            })
            .collect();
        let all = Some("at four, new, old".to_owned());
        assert_eq!(behind, [Some("new, old".to_owned()), all.clone(), all.clone(), None, all]);
    }
}
