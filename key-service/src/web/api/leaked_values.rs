//! Reports of leaked values by anyone who holds them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::leaked_keys::LeakReport;
use crate::keys::holder_reports::{self, HeldValue};
use crate::keys::leaks::Report;
use crate::time::Timestamp;
use crate::web::caller::Visitor;
use crate::web::error::{ApiError, Body};
use crate::web::request::Fields;
use crate::web::state::AppState;

/// The result of a report without a sign-in.
#[derive(Serialize, ToSchema)]
pub(super) struct HolderAnswer {
    /// For each value, in the order of the report.
    results: Vec<HeldValue>,
}

/// `POST /api/leaked_values/`: ends keys and management tokens. Needs no credentials: the values are the proof. Returns when no edge accepts them.
#[utoipa::path(
    post,
    path = "/api/leaked_values/",
    tag = "Leaked values",
    request_body = LeakReport,
    responses((status = 200, description = "No edge accepts the values any more.", body = HolderAnswer), (status = 429, description = "Too many reports from this network. Retry-After is the number of seconds to wait.", body = Body)),
)]
pub(super) async fn report(
    State(state): State<AppState>,
    Visitor(by): Visitor,
    Fields(LeakReport { values, source }): Fields<LeakReport>,
) -> Result<Json<HolderAnswer>, ApiError> {
    let limit = state.leak_reports.as_ref().ok_or_else(ApiError::not_found)?;
    limit.admit(&by)?;
    let report = Report::new(values, source);
    let (results, propagation) = holder_reports::report(&state.store, &by, &report, Timestamp::now()).await?;
    // The answer leaves the progress out: it would reveal the number of edges to strangers.
    propagation.wait().await?;
    Ok(Json(HolderAnswer { results }))
}
