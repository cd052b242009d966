//! Detects that a PostgreSQL server crashed or was replaced, so that leases or changes may be lost.

use const_format::formatcp;
use sqlx::{AnyConnection, Connection};

use super::lease_limit::{self, Announced};
use super::leases;
use crate::db;
use crate::db::postgres::BEGIN_WRITE;
use crate::db::rows::truth;
use crate::random;

/// Identifies the location where the history is written: the cluster; its timeline, which a promotion or a recovery from an
/// archive changes; the database; and the table, which a restore from a dump creates again.
const LOCATION: &str = "(SELECT CONCAT_WS('/', (SELECT system_identifier FROM pg_control_system()),
    SUBSTR(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()), CAST('revision_log'::regclass AS OID)))";

/// Rule `LossFirst` on PostgreSQL: checks a new connection, before anything is read on it, for a loss: the database may have
/// lost leases since they were recorded, or the history was last written in another location. No loss can happen while a
/// connection to a primary lasts: a server that crashes closes all its connections, and a promoted one had none of ours.
///
/// After a loss, changes may be lost too. Then only a new epoch makes every edge empty its cache.
///
/// The server may also lack this process's announcement of its lease length, or another process with shorter leases may have
/// recorded the loss. So this process announces its length again.
pub(super) async fn notice_loss(connection: &mut AnyConnection, announced: &Announced) -> db::Result<()> {
    let lasts_ms = announced.lasts_ms();
    if is_unchanged(connection).await? {
        let (longest_ms, epoch) = lease_limit::known(connection).await?;
        if lasts_ms.is_none_or(|lasts_ms| longest_ms >= lease_limit::as_column(lasts_ms)) {
            announced.is_known_in(&epoch);
            return Ok(());
        }
    }
    let mut transaction = connection.begin_with(BEGIN_WRITE).await?;
    // Another process may have recorded the loss in between.
    let is_lost = !is_unchanged(&mut transaction).await?;
    if is_lost {
        // Rule `NewEpoch`.
        set_epoch(&mut transaction, &random::uuid().to_string()).await?;
        tracing::warn!("the PostgreSQL server crashed or was replaced: a new epoch begins");
    }
    let announcement = match lasts_ms {
        Some(lasts_ms) => Some(announced.announce_within(&mut transaction, lasts_ms).await?),
        None => None,
    };
    if is_lost {
        leases::record_loss(&mut *transaction).await?;
    }
    transaction.commit().await?;
    announcement.into_iter().for_each(|announcement| announced.remember(announcement));
    Ok(())
}

/// Sets the epoch, and records the location where the history is written.
pub(super) async fn set_epoch(connection: &mut AnyConnection, epoch: &str) -> db::Result<()> {
    let update = formatcp!("UPDATE revision_log SET epoch = $1, place = {LOCATION}");
    sqlx::query(update).bind(epoch).execute(&mut *connection).await?;
    let insert = "INSERT INTO lease_witness (only_row) VALUES (1) ON CONFLICT (only_row) DO NOTHING";
    sqlx::query(insert).execute(connection).await?;
    Ok(())
}

/// Whether the history was last written in this location. A restore may have replaced the tables under an open connection.
pub(super) async fn is_same_location(connection: &mut AnyConnection) -> db::Result<bool> {
    let select =
        formatcp!("SELECT CASE WHEN place = {LOCATION} THEN 1 ELSE 0 END AS is_so FROM revision_log");
    let row = sqlx::query(select).fetch_one(connection).await?;
    Ok(truth(&row, "is_so")?)
}

async fn is_unchanged(connection: &mut AnyConnection) -> db::Result<bool> {
    let select = formatcp!(
        "SELECT CASE WHEN place = {LOCATION} AND EXISTS (SELECT 1 FROM lease_witness) THEN 1 ELSE 0 END AS is_so
        FROM revision_log"
    );
    let row = sqlx::query(select).fetch_one(connection).await?;
    Ok(truth(&row, "is_so")?)
}
