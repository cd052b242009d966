//! What operators look at: the audit log, and the edges.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::audit::{self, AuditSearch, Entry};
use crate::revocation::edges::{self, Edges};
use crate::time::Timestamp;
use crate::web::caller::{Admin, Read};
use crate::web::error::ApiError;
use crate::web::params::{PageView, Paging, Params};
use crate::web::state::AppState;

/// `GET /api/audit_log/`: who did what, newest first.
#[utoipa::path(
    get,
    path = "/api/audit_log/",
    tag = "Oversight",
    params(Paging, ("action" = Option<String>, Query, description = "Only this action, or all that begin so, such as `key.`"), ("user_id" = Option<String>, Query, description = "Only what concerns this user, or was done by this user."), ("subject_id" = Option<String>, Query, description = "Only what concerns this key or token."), ("since" = Option<Timestamp>, Query, description = "Only what was done at this time or later.")),
    responses((status = 200, description = "Entries, newest first.", body = PageView<Entry>)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn audit_log(
    _: Admin<Read>,
    State(state): State<AppState>,
    params: Params,
) -> Result<Response, ApiError> {
    let owned = |name| params.text(name).map(str::to_owned);
    let search = AuditSearch {
        action: owned("action"),
        user_id: owned("user_id"),
        subject_id: owned("subject_id"),
        since: params.time("since")?,
        page: params.page()?,
    };
    let found = audit::search(&state.store, &search).await?;
    Ok(Json(params.view(search.page, found)).into_response())
}

/// `GET /api/edges/`: the edges that hold a lease.
#[utoipa::path(
    get,
    path = "/api/edges/",
    tag = "Oversight",
    responses((status = 200, description = "The edges that hold a lease, the one that lags most first.", body = Edges)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn edges(_: Admin<Read>, State(state): State<AppState>) -> Result<Json<Edges>, ApiError> {
    Ok(Json(edges::list(&state.store).await?))
}
