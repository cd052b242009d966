//! The edges that hold a lease now, for whoever operates them.

use const_format::formatcp;
use serde::Serialize;
use sqlx::{AnyExecutor, Row};
use utoipa::ToSchema;

use super::revision;
use crate::db::rows::as_u64;
use crate::db::{Database, NOW_MS};

/// How many characters of an edge's id are shown: who knows one whole, and the edge token, could acknowledge for it.
const SHOWN_CHARS: usize = 8;

/// The edges, and how far the history goes that they follow.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Edges {
    /// The revision of the latest change.
    pub revision: u64,
    /// Those that hold a lease, the one that lags most first.
    pub edges: Vec<Edge>,
}

/// One edge: a filter's VM, of which an Envoy has one a worker.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Edge {
    /// The beginning of its id.
    pub edge: String,
    /// The revision up to which it has applied changes; 0 for none.
    pub acknowledged: u64,
    /// How long the service counts on its lease yet, margin included, in milliseconds.
    pub lease_ends_in_ms: u64,
}

/// An edge's id as it may be shown.
pub fn shown(edge: &str) -> String {
    match edge.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &edge[..end]),
        None => "…".to_owned(),
    }
}

/// All edges whose lease still runs.
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database) -> sqlx::Result<Edges> {
    let revision = revision::current(database.pool()).await?.revision;
    Ok(Edges { revision, edges: read(database.pool()).await? })
}

/// The edges that hold a lease, the one that lags most first.
async fn read(connection: impl AnyExecutor<'_>) -> sqlx::Result<Vec<Edge>> {
    let select = formatcp!(
        "SELECT edge, acknowledged, left_ms FROM
        (SELECT e.edge, e.ends_at - {NOW_MS} AS left_ms,
            CASE WHEN e.epoch = l.epoch THEN e.acknowledged ELSE 0 END AS acknowledged
        FROM edge_leases e CROSS JOIN revision_log l) held
        WHERE left_ms > 0 ORDER BY acknowledged, edge"
    );
    let rows = sqlx::query(select).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(Edge {
                edge: shown(row.try_get("edge")?),
                acknowledged: as_u64(row, "acknowledged")?,
                lease_ends_in_ms: as_u64(row, "left_ms")?,
            })
        })
        .collect()
}
