//! The SQL of the metrics that come from the database.

use const_format::formatcp;
use sqlx::{AnyExecutor, Row};

use crate::db;
use crate::db::NOW_MS;
use crate::telemetry::State;

/// Reads them from one snapshot.
pub(crate) async fn read(connection: impl AnyExecutor<'_>) -> db::Result<State> {
    let select = formatcp!(
        "SELECT l.revision, COUNT(e.edge) AS leases_held,
            COALESCE(MAX(l.revision - CASE WHEN e.epoch = l.epoch THEN e.acknowledged ELSE 0 END), 0) AS lag,
            (SELECT COUNT(*) FROM webhook_deliveries) AS webhooks_pending
        FROM revision_log l LEFT JOIN edge_leases e ON e.ends_at > {NOW_MS} GROUP BY l.revision"
    );
    let row = sqlx::query(select).fetch_one(connection).await?;
    let mut state = State {
        revision: row.try_get("revision")?,
        leases_held: row.try_get("leases_held")?,
        lag: row.try_get("lag")?,
        webhooks_pending: row.try_get("webhooks_pending")?,
    };
    // Without an edge, the empty row of the outer join would count as an edge that has acknowledged nothing.
    if state.leases_held == 0 {
        state.lag = 0;
    }
    Ok(state)
}
