//! The edges that hold a lease, for operators.

use const_format::formatcp;
use protocol::{Node, NodeText};
use serde::Serialize;
use sqlx::{AnyExecutor, Row};
use utoipa::ToSchema;

use super::revision;
use crate::db;
use crate::db::rows::{as_u64, node};
use crate::db::{Database, NOW_MS};

/// The number of characters shown of an edge's id. The whole id and the edge token suffice to acknowledge for the edge.
const SHOWN_CHARS: usize = 8;

/// The edges that hold a lease, and the latest revision.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Edges {
    /// The revision of the latest change.
    pub revision: u64,
    /// The edges, the one that lags most first.
    pub edges: Vec<Edge>,
}

/// One edge: the filter's VM in one Envoy worker.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Edge {
    /// The start of its id.
    pub edge: String,
    /// The id of Envoy's node; null if the edge did not send it. Characters other than ASCII are `?`.
    pub node: Option<String>,
    /// The cluster of Envoy's node.
    pub cluster: Option<String>,
    /// Envoy's version.
    pub version: Option<String>,
    /// The revision up to which it has acknowledged changes; 0 for none.
    pub acknowledged: u64,
    /// The time until its lease and margin end, in milliseconds.
    pub lease_ends_in_ms: u64,
}

/// The part of an edge's id that may be shown.
pub fn shown(edge: &str) -> String {
    match edge.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &edge[..end]),
        None => "…".to_owned(),
    }
}

/// All edges whose lease has not ended.
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database) -> db::Result<Edges> {
    let revision = revision::current(database.pool()).await?.revision;
    Ok(Edges { revision, edges: read(database.pool()).await? })
}

/// The edges that hold a lease, the one that lags most first.
async fn read(connection: impl AnyExecutor<'_>) -> db::Result<Vec<Edge>> {
    let select = formatcp!(
        "SELECT edge, node, acknowledged, left_ms FROM
        (SELECT e.edge, e.node, e.ends_at - {NOW_MS} AS left_ms,
            CASE WHEN e.epoch = l.epoch THEN e.acknowledged ELSE 0 END AS acknowledged
        FROM edge_leases e CROSS JOIN revision_log l) held
        WHERE left_ms > 0 ORDER BY acknowledged, edge"
    );
    let rows = sqlx::query(select).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let Node { id, cluster, version } = node(row)?;
            let known = |text: NodeText| text.known().map(str::to_owned);
            Ok(Edge {
                edge: shown(row.try_get("edge")?),
                node: known(id),
                cluster: known(cluster),
                version: known(version),
                acknowledged: as_u64(row, "acknowledged")?,
                lease_ends_in_ms: as_u64(row, "left_ms")?,
            })
        })
        .collect()
}
