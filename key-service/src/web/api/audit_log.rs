//! The audit log, for admins.

use axum::Json;
use axum::extract::State;
use deserr::Deserr;
use utoipa::IntoParams;

use crate::audit::{self, AuditSearch, Entry};
use crate::paging::{Limit, Offset, PageRequest};
use crate::time::Timestamp;
use crate::validation::FieldErrors;
use crate::web::caller::{Admin, Read};
use crate::web::error::ApiError;
use crate::web::page_view::PageView;
use crate::web::request::Params;
use crate::web::state::AppState;

/// Selects entries.
#[derive(Deserr, IntoParams)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// The most entries of a page.
    #[deserr(default)]
    #[param(inline)]
    limit: Option<Limit>,
    /// The number of entries to skip.
    #[deserr(default)]
    #[param(inline)]
    offset: Option<Offset>,
    /// Only this action, or all actions with this prefix, such as `key.`
    #[deserr(default)]
    action: Option<String>,
    /// Only entries about this user, or by this user.
    #[deserr(default)]
    user_id: Option<String>,
    /// Only entries about this key or token.
    #[deserr(default)]
    subject_id: Option<String>,
    /// Only entries at or after this time.
    #[deserr(default)]
    since: Option<Timestamp>,
}

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
    let search = AuditSearch {
        action: sent.action,
        user_id: sent.user_id,
        subject_id: sent.subject_id,
        since: sent.since,
        page: PageRequest::new(sent.limit, sent.offset),
    };
    let found = audit::search(&state.store, &search).await?;
    Ok(Json(address.view(search.page, found)))
}
