//! One's own personal API keys.

use axum::Router;
use axum::routing::get;

use super::PageState;

mod create;
pub(super) mod delete;
mod edit;
mod key_form;
mod list;
mod roll;
mod row;
mod value;

pub(super) use row::KeyRow;

/// The list: where one's visit begins.
pub(super) const ADDRESS: &str = "/account/keys";

/// The pages of one's own keys.
pub(super) fn routes() -> Router<PageState> {
    Router::new()
        .route(ADDRESS, get(list::show))
        .route("/account/keys/new", get(create::show).post(create::submit))
        .route("/account/keys/{id}", get(edit::show).post(edit::submit))
        .route("/account/keys/{id}/roll", get(roll::show).post(roll::submit))
        .route("/account/keys/{id}/delete", get(delete::show).post(delete::submit))
}
