//! The list of users.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::listing::Listing;
use crate::accounts::{self, User};
use crate::time::Timestamp;
use crate::web::error::ApiError;
use crate::web::params::Params;
use crate::web::state::AppState;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::moment::Moment;
use crate::web::ui::visitor::Admin;

#[derive(Template)]
#[template(path = "admin/users.html")]
struct UsersPage {
    frame: Frame,
    search: String,
    users: Vec<User>,
    listing: Listing,
    now: Timestamp,
}

impl UsersPage {
    fn created(&self, user: &User) -> Moment {
        Moment::new(user.created_at, self.now)
    }
}

/// `GET /admin/users`.
pub(super) async fn show(
    Admin { user, .. }: Admin,
    State(state): State<AppState>,
    params: Params,
) -> Result<Response, PageError> {
    let page = params.page().map_err(ApiError::from)?;
    let found = accounts::search(&state.store, params.text("search"), page).await?;
    let page = UsersPage {
        frame: Frame::of(user, Place::Users, "Users"),
        search: params.text("search").unwrap_or_default().to_owned(),
        listing: Listing::new(&params, page, &found),
        users: found.rows,
        now: Timestamp::now(),
    };
    Ok(Rendered(page).into_response())
}
