//! Reports of leaked values.

use axum::Json;
use axum::extract::State;
use deserr::Deserr;
use serde::Serialize;
use utoipa::ToSchema;

use crate::keys::leaks::{self, LeakedValues, Outcome, Report, Source};
use crate::revocation::propagation::Revocation;
use crate::time::Timestamp;
use crate::validation::FieldErrors;
use crate::web::caller::{Admin, Revoke};
use crate::web::error::{ApiError, Body};
use crate::web::request::Fields;
use crate::web::state::AppState;

/// A report of leaked values.
#[derive(Deserr, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
pub(super) struct LeakReport {
    pub(super) values: LeakedValues,
    /// Where they were found.
    pub(super) source: Source,
}

/// The result of a report.
#[derive(Serialize, ToSchema)]
pub(super) struct LeakAnswer {
    /// For each value, in the order of the report.
    results: Vec<Outcome>,
    /// How the revocation reached every edge.
    revocation: Revocation,
}

/// `POST /api/leaked_keys/`: revokes the values, also those of management tokens. Returns when no edge accepts them. The answer says which values worked.
#[utoipa::path(
    post,
    path = "/api/leaked_keys/",
    tag = "Personal API keys",
    request_body = LeakReport,
    responses((status = 200, description = "No edge accepts the values any more.", body = LeakAnswer), (status = 429, description = "Too many reports whose values belong to no key. Retry-After is the number of seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["revoke"])),
)]
pub(super) async fn report(
    admin: Admin<Revoke>,
    State(state): State<AppState>,
    Fields(LeakReport { values, source }): Fields<LeakReport>,
) -> Result<Json<LeakAnswer>, ApiError> {
    let report = Report::new(values, source);
    // A report that ends a value, or repeats one that did, is never refused.
    if leaks::only_adds(&state.store, &report).await? {
        state.changes.admit(admin.by())?;
    }
    let (results, propagation) =
        leaks::report_logged_once(&state.store, &state.refusals, admin.by(), &report, Timestamp::now())
            .await?;
    let revocation = propagation.wait().await?;
    Ok(Json(LeakAnswer { results, revocation }))
}
