//! Reports of leaked values.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::bodies::{LeakAnswer, LeakReport};
use crate::keys::leaks::{self, Report};
use crate::validation::FieldError;
use crate::web::caller::{Admin, Revoke};
use crate::web::error::{ApiError, Body};
use crate::web::fields::Fields;
use crate::web::state::AppState;

/// `POST /api/leaked_keys/`: the values work nowhere any more; tells which did until now.
#[utoipa::path(
    post,
    path = "/api/leaked_keys/",
    tag = "Personal API keys",
    request_body = LeakReport,
    responses((status = 200, description = "The values work nowhere any more.", body = LeakAnswer), (status = 429, description = "Too many reports of values that are no key's. Retry-After says how many seconds to wait.", body = Body)),
    security(("session" = []), ("management_token" = ["revoke"])),
)]
pub(super) async fn report(
    admin: Admin<Revoke>,
    State(state): State<AppState>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let values = fields.texts("values")?.ok_or_else(|| FieldError::required("values"))?;
    let report = Report::new(values, fields.filled("source")?)?;
    // A report that ends a value, or repeats one that did, is never refused.
    if leaks::only_adds(&state.store, &report).await? {
        state.changes.admit(admin.by())?;
    }
    let (outcomes, propagation) =
        leaks::report_logged_once(&state.store, &state.refusals, admin.by(), &report).await?;
    let revocation = propagation.wait().await?;
    Ok(Json(json!({ "results": outcomes, "revocation": revocation })).into_response())
}
