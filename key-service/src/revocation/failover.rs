//! Notices that a PostgreSQL server was started anew, crashed or was replaced, so that leases, or changes, may be lost.

use const_format::formatcp;
use sqlx::{AnyConnection, Connection};

use super::lease_limit::{self, Announced};
use super::leases;
use crate::db::postgres::BEGIN_WRITE;
use crate::db::rows::truth;
use crate::random;

/// Names the place where the history is written: the cluster, its timeline, which promotion and recovery from an archive
/// begin anew, the database and the table, which a restore from a dump makes anew.
const PLACE: &str = "(SELECT CONCAT_WS('/', (SELECT system_identifier FROM pg_control_system()),
    SUBSTR(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()), CAST('revision_log'::regclass AS OID)))";

/// Notices, before anything is read on a new connection, that leases may have been forgotten since they were recorded, or
/// that this is not where the history was written last. Neither can happen while a connection to a primary lasts: a server
/// that crashes closes all it has, and one that is promoted had none of ours. Then changes may be lost too, of a copy that
/// was made before them say, and only a new epoch makes every edge forget what it knew of them.
///
/// The server may also lack what this process has announced of its leases, or another process may have noticed the loss
/// that knew of shorter ones only.
pub(super) async fn notice_loss(connection: &mut AnyConnection, announced: &Announced) -> sqlx::Result<()> {
    let lasts_ms = announced.lasts_ms();
    if is_as_it_was(connection).await? {
        let (longest_ms, epoch) = lease_limit::known(connection).await?;
        if lasts_ms.is_none_or(|lasts_ms| longest_ms >= lease_limit::as_column(lasts_ms)) {
            announced.is_known_in(&epoch);
            return Ok(());
        }
    }
    let mut transaction = connection.begin_with(BEGIN_WRITE).await?;
    // Another process may have been here first.
    let is_lost = !is_as_it_was(&mut transaction).await?;
    if is_lost {
        set_epoch(&mut transaction, &random::uuid().to_string()).await?;
        tracing::warn!("the server was started anew, crashed or was replaced: a new epoch begins");
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

/// Gives the history another epoch, and remembers where it is written from now on.
pub(super) async fn set_epoch(connection: &mut AnyConnection, epoch: &str) -> sqlx::Result<()> {
    let update = formatcp!("UPDATE revision_log SET epoch = $1, place = {PLACE}");
    sqlx::query(update).bind(epoch).execute(&mut *connection).await?;
    let insert = "INSERT INTO lease_witness (only_row) VALUES (1) ON CONFLICT (only_row) DO NOTHING";
    sqlx::query(insert).execute(connection).await?;
    Ok(())
}

/// Whether the tables are the ones that the history was last written to: a restore may have made others, which no open
/// connection notices.
pub(super) async fn is_in_place(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    let select = formatcp!("SELECT CASE WHEN place = {PLACE} THEN 1 ELSE 0 END AS is_so FROM revision_log");
    let row = sqlx::query(select).fetch_one(connection).await?;
    truth(&row, "is_so")
}

async fn is_as_it_was(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    let select = formatcp!(
        "SELECT CASE WHEN place = {PLACE} AND EXISTS (SELECT 1 FROM lease_witness) THEN 1 ELSE 0 END AS is_so
        FROM revision_log"
    );
    let row = sqlx::query(select).fetch_one(connection).await?;
    truth(&row, "is_so")
}
