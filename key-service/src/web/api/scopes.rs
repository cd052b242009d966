//! The scope catalogue.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::catalogue::ScopeObject;
use crate::web::caller::{Caller, Read};
use crate::web::request::{NoParams, Params};
use crate::web::state::AppState;

/// `GET /api/scopes/`: the objects that scopes can name, in the order of the catalogue.
#[utoipa::path(
    get,
    path = "/api/scopes/",
    tag = "Personal API keys",
    responses((status = 200, description = "The objects, in the order of the catalogue. A scope is `*`, or an object with `:read` or `:write`.", body = Vec<ScopeObject>)),
    security(("session" = []), ("management_token" = ["read"])),
)]
pub(super) async fn list(_: Caller<Read>, State(state): State<AppState>, _: Params<NoParams>) -> Response {
    Json(state.catalogue.objects()).into_response()
}
