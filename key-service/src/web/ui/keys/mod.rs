//! The user's own personal API keys.

use axum::Router;
use axum::routing::get;

use super::{addresses, receipt};
use crate::web::state::AppState;

mod create;
pub(super) mod delete;
mod edit;
mod key_form;
mod list;
mod roll;
pub(super) mod row;
mod value;

/// The pages of the user's own keys.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route(addresses::KEYS, get(list::show))
        .route("/account/keys/new", get(create::show).post(create::submit))
        .route("/account/keys/{id}", get(edit::show).post(edit::submit))
        .route("/account/keys/{id}/value", get(value::show))
        .route("/account/keys/{id}/saved", get(receipt::show))
        .route("/account/keys/{id}/deleted", get(receipt::show))
        .route("/account/keys/{id}/roll", get(roll::show).post(roll::submit))
        .route("/account/keys/{id}/delete", get(delete::show).post(delete::submit))
}
