//! The audit log, for admins.

use axum::Json;
use axum::extract::State;

use crate::audit::{self, AuditSearch, Entry};
use crate::web::audit_query::AuditQuery;
use crate::web::caller::{Admin, Read};
use crate::web::error::ApiError;
use crate::web::page_view::PageView;
use crate::web::request::Params;
use crate::web::state::AppState;

/// `GET /api/audit_log/`: changes with their actors, newest first.
#[utoipa::path(
    get,
    path = "/api/audit_log/",
    tag = "Audit log",
    params(AuditQuery),
    responses((status = 200, description = "Entries, newest first.", body = PageView<Entry>)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn audit_log(
    _: Admin<Read>,
    State(state): State<AppState>,
    Params { sent, address }: Params<AuditQuery>,
) -> Result<Json<PageView<Entry>>, ApiError> {
    let search = AuditSearch::from(sent);
    let found = audit::search(&state.store, &search).await?;
    Ok(Json(address.view(search.page, found)))
}
