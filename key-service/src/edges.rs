//! The edges that hold a lease now, for whoever operates them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::leases::Ledger;
use crate::store::Database;

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
    let ledger = database.ledger();
    let revision = ledger.history(None).await?.position.revision;
    let reading = ledger.leases().await?;
    let mut edges: Vec<_> = reading
        .leases
        .iter()
        .filter_map(|lease| {
            let left = u64::try_from(lease.ends_at_ms - reading.now_ms).ok().filter(|left| *left > 0)?;
            Some(Edge { edge: shown(&lease.edge), acknowledged: lease.acknowledged, lease_ends_in_ms: left })
        })
        .collect();
    edges.sort_by(|a, b| (a.acknowledged, &a.edge).cmp(&(b.acknowledged, &b.edge)));
    Ok(Edges { revision, edges })
}
