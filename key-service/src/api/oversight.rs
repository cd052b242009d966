//! What operators look at: the audit log, and the edges.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::ApiState;
use super::caller::Admin;
use crate::audit::{self, AuditSearch};
use crate::edges::{self, Edges};
use crate::http::error::ApiError;
use crate::http::params::Params;

/// `GET /api/audit_log/`: who did what, newest first.
pub(super) async fn audit_log(
    _: Admin,
    State(state): State<ApiState>,
    params: Params,
) -> Result<Response, ApiError> {
    let owned = |name| params.text(name).map(str::to_owned);
    let search = AuditSearch {
        action: owned("action"),
        user_id: owned("user_id"),
        subject_id: owned("subject_id"),
        page: params.page()?,
    };
    let found = audit::search(&state.database, &search).await?;
    Ok(Json(params.view(search.page, found)).into_response())
}

/// `GET /api/edges/`: the edges that hold a lease.
pub(super) async fn edges(_: Admin, State(state): State<ApiState>) -> Result<Json<Edges>, ApiError> {
    Ok(Json(edges::list(&state.database).await?))
}
