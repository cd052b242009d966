//! The edges, for admins.

use axum::Json;
use axum::extract::State;

use crate::revocation::edges::{self, Edges};
use crate::web::caller::{Admin, Read};
use crate::web::error::ApiError;
use crate::web::request::{NoParams, Params};
use crate::web::state::AppState;

/// `GET /api/edges/`: the edges that hold a lease.
#[utoipa::path(
    get,
    path = "/api/edges/",
    tag = "Edges",
    responses((status = 200, description = "The edges that hold a lease, those that lag most first.", body = Edges)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn edges(
    _: Admin<Read>,
    State(state): State<AppState>,
    _: Params<NoParams>,
) -> Result<Json<Edges>, ApiError> {
    Ok(Json(edges::list(&state.store).await?))
}
