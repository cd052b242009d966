//! The SQL of leases, and of what edges report with them.
//!
//! All times are the database's, read inside the statement that compares or stores them.

use ::leases::{Lease, LeaseRenewal, Leases, Position};
use const_format::formatcp;
use sqlx::{AnyConnection, AnyExecutor, Row};

use super::lease_limit::as_column;
use crate::db::NOW_MS;
use crate::db::rows::{ROWS_AT_ONCE, as_u64, with_rows};

/// A key's last use is written again only this much later, in milliseconds.
const USE_INTERVAL_MS: i64 = 60 * 60 * 1000;

/// How long a lease is kept after its end, in milliseconds.
const KEPT_MS: i64 = 60 * 1000;

/// Remembers edges: the highest revision of this epoch that each ever acknowledged, and when its lease ends; an end
/// never moves backwards. An edge may stand among them more than once. All of it belongs in one transaction, to be
/// committed only if the result is `true`: else some lease is longer than leases may be.
pub(super) async fn record(connection: &mut AnyConnection, renewals: &[LeaseRenewal]) -> sqlx::Result<bool> {
    let mut renewals: Vec<_> = renewals.iter().collect();
    // Two processes that record the same edges lock their rows in the same order, and so never wait for each other.
    renewals.sort_by(|one, other| one.edge.cmp(&other.edge));
    // PostgreSQL does not take an edge twice in one statement.
    for different in renewals.chunk_by(|one, next| one.edge != next.edge) {
        for renewals in different.chunks(ROWS_AT_ONCE) {
            if !record_at_once(connection, renewals).await? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

async fn record_at_once(connection: &mut AnyConnection, renewals: &[&LeaseRenewal]) -> sqlx::Result<bool> {
    let upsert = formatcp!(
        "WITH sync (edge, epoch, acknowledged, lasts_ms) AS (VALUES :rows)
        INSERT INTO edge_leases (edge, epoch, acknowledged, ends_at)
        SELECT s.edge, l.epoch,
            CASE WHEN s.epoch = l.epoch AND s.acknowledged <= l.revision THEN s.acknowledged ELSE 0 END,
            {NOW_MS} + s.lasts_ms
        FROM sync s CROSS JOIN revision_log l WHERE s.lasts_ms <= l.lease_limit_ms
        ON CONFLICT (edge) DO UPDATE SET
            acknowledged = CASE
                WHEN edge_leases.epoch = excluded.epoch AND edge_leases.acknowledged > excluded.acknowledged
                THEN edge_leases.acknowledged ELSE excluded.acknowledged END,
            epoch = excluded.epoch,
            ends_at = CASE WHEN edge_leases.ends_at > excluded.ends_at
                THEN edge_leases.ends_at ELSE excluded.ends_at END"
    );
    let mut query = sqlx::query(with_rows(upsert, 4, renewals.len()));
    for renewal in renewals {
        // No epoch has the empty name, and no revision is beyond what the column holds.
        let (epoch, revision) = renewal
            .acknowledged
            .as_ref()
            .and_then(|place| Some((place.epoch.as_str(), i64::try_from(place.revision).ok()?)))
            .unwrap_or_default();
        let lasts_ms = as_column(renewal.lasts_ms);
        query = query.bind(&renewal.edge).bind(epoch).bind(revision).bind(lasts_ms);
    }
    let recorded = query.execute(connection).await?.rows_affected();
    Ok(usize::try_from(recorded) == Ok(renewals.len()))
}

/// Writes down when keys were last used, by key id, in milliseconds since 1970-01-01 UTC: never backwards, never in
/// the future, and hourly at most.
pub(super) async fn write_uses(connection: &mut AnyConnection, used: &[(String, i64)]) -> sqlx::Result<()> {
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

/// For each place, who holds a lease and has not acknowledged it; `None` where another history has begun, which need not
/// have the change that made the place. A single statement sees a single snapshot.
pub(super) async fn read(
    connection: impl AnyExecutor<'_>,
    positions: &[Position],
) -> sqlx::Result<Vec<Option<Leases>>> {
    let select = formatcp!(
        "SELECT {NOW_MS} AS now_ms, l.epoch, l.lost_leases_until, l.longest_lease_ms, e.edge, e.ends_at,
            CASE WHEN e.epoch = l.epoch THEN e.acknowledged ELSE -1 END AS acknowledged,
            (SELECT COUNT(*) FROM edge_leases h WHERE h.ends_at > {NOW_MS}) AS held
        FROM revision_log l
        LEFT JOIN edge_leases e ON e.acknowledged < $1 OR e.epoch <> l.epoch"
    );
    // No revision is beyond what the column holds.
    let revision_of = |position: &Position| i64::try_from(position.revision).unwrap_or(i64::MAX);
    let last = positions.iter().map(revision_of).max().unwrap_or_default();
    let rows = sqlx::query(select).bind(last).fetch_all(connection).await?;
    // The clock is read for each row. The first reading is the earliest: it ends no lease too soon.
    let head = rows.first().ok_or(sqlx::Error::RowNotFound)?;
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

/// The database's clock, in milliseconds since 1970-01-01 UTC, and how long a lease may last, margin included.
pub(crate) async fn clock(connection: impl AnyExecutor<'_>) -> sqlx::Result<(i64, u64)> {
    let select = formatcp!("SELECT {NOW_MS} AS now_ms, longest_lease_ms FROM revision_log");
    let row = sqlx::query(select).fetch_one(connection).await?;
    Ok((row.try_get("now_ms")?, as_u64(&row, "longest_lease_ms")?))
}

/// Removes some of the leases that had ended a while before `ended_by_ms`, and have not been renewed since; how many.
///
/// A change that waits takes a lease that is gone for acknowledged. So `ended_by_ms` must lie so far back that no change
/// waits for such a lease any more, whatever the database's clock did: see [`crate::upkeep`].
pub(crate) async fn remove_ended(
    connection: impl AnyExecutor<'_>,
    ended_by_ms: i64,
    at_most: i64,
) -> sqlx::Result<u64> {
    // The end stands in both conditions: on PostgreSQL, a lease may be renewed while its row is waited for, and of such a row
    // the outer condition alone is looked at again.
    let delete = formatcp!(
        "DELETE FROM edge_leases WHERE ends_at < {NOW_MS} - {KEPT_MS} AND ends_at < $1 AND edge IN
        (SELECT edge FROM edge_leases WHERE ends_at < {NOW_MS} - {KEPT_MS} AND ends_at < $2 LIMIT $3)"
    );
    let query = sqlx::query(delete).bind(ended_by_ms).bind(ended_by_ms).bind(at_most);
    Ok(query.execute(connection).await?.rows_affected())
}

/// Has some of the leases whose end is further away than a lease can last end as late as one recorded now can; how many. The
/// database's clock was set back after they were recorded: they last no longer than this, and each change would wait for
/// them anew until that clock has made up for it.
///
/// It locks rows in no order, and [`record`] those of a group in the order of their edges. Where PostgreSQL ends one of the two
/// for that, a record is made again, and the upkeep comes back.
pub(crate) async fn bring_forward(connection: impl AnyExecutor<'_>, at_most: i64) -> sqlx::Result<u64> {
    let update = formatcp!(
        "UPDATE edge_leases SET ends_at = {NOW_MS} + (SELECT longest_lease_ms FROM revision_log)
        WHERE ends_at > {NOW_MS} + (SELECT longest_lease_ms FROM revision_log) AND edge IN
        (SELECT e.edge FROM edge_leases e CROSS JOIN revision_log l
            WHERE e.ends_at > {NOW_MS} + l.longest_lease_ms LIMIT $1)"
    );
    Ok(sqlx::query(update).bind(at_most).execute(connection).await?.rows_affected())
}

/// The same for what may have been forgotten: each change would wait for it anew.
pub(super) async fn bring_loss_forward(connection: impl AnyExecutor<'_>) -> sqlx::Result<()> {
    let update = formatcp!(
        "UPDATE revision_log SET lost_leases_until = {NOW_MS} + longest_lease_ms
        WHERE lost_leases_until > {NOW_MS} + longest_lease_ms"
    );
    sqlx::query(update).execute(connection).await?;
    Ok(())
}

/// Leases may have been forgotten: until the last of them would have ended, every change has to wait.
pub(super) async fn record_loss(connection: impl AnyExecutor<'_>) -> sqlx::Result<()> {
    let update = formatcp!(
        "UPDATE revision_log SET lost_leases_until =
            CASE WHEN lost_leases_until > {NOW_MS} + longest_lease_ms
                THEN lost_leases_until ELSE {NOW_MS} + longest_lease_ms END"
    );
    sqlx::query(update).execute(connection).await?;
    Ok(())
}

/// Notices that the machine was started anew since leases were last recorded, which need not have survived that. Without
/// a boot id, every start may be such a one.
pub(super) async fn notice_boot(connection: &mut AnyConnection, boot_id: Option<&str>) -> sqlx::Result<()> {
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
    async fn each_place_is_told_who_has_not_acknowledged_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::store(&folder).await;
        store.announce_leases(60_000).await.unwrap();
        let mut connection = store.pool().acquire().await.unwrap();
        sqlx::query("UPDATE revision_log SET epoch = 'l', revision = 9")
            .execute(&mut *connection)
            .await
            .unwrap();
        let place = |epoch: &str, revision| Position { epoch: epoch.to_owned(), revision };
        let renewals = [("at four", Some(place("l", 4))), ("of before", Some(place("k", 9))), ("new", None)]
            .map(|(edge, acknowledged)| LeaseRenewal {
                edge: edge.to_owned(),
                acknowledged,
                lasts_ms: 60_000,
                used: Default::default(),
            });
        assert!(record(&mut connection, &renewals).await.unwrap());
        let from_before = "UPDATE edge_leases SET epoch = 'k', acknowledged = 9 WHERE edge = 'of before'";
        sqlx::query(from_before).execute(&mut *connection).await.unwrap();
        let asked = [place("l", 4), place("l", 5), place("l", 9), place("k", 4), place("l", u64::MAX)];
        let told: Vec<_> = read(&mut *connection, &asked)
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
        let all = Some("at four, new, of before".to_owned());
        assert_eq!(told, [Some("new, of before".to_owned()), all.clone(), all.clone(), None, all]);
    }
}
