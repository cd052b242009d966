//! The list of users.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use deserr::Deserr;
use utoipa::IntoParams;

use super::listing::{Listing, PageParams};
use crate::accounts::{self, User};
use crate::catalogue::Catalogue;
use crate::paging::{Limit, Offset, PageRequest};
use crate::time::Timestamp;
use crate::validation::FieldErrors;
use crate::web::request::Params;
use crate::web::state::AppState;
use crate::web::ui::chips::Chips;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::moment::Moment;
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/users.html")]
struct UsersPage {
    frame: Frame,
    search: String,
    users: Vec<User>,
    listing: Listing,
    now: Timestamp,
    catalogue: Arc<Catalogue>,
    has_passwords: bool,
}

impl UsersPage {
    fn permissions(&self, user: &User) -> Chips {
        Chips::new(&user.permissions, &self.catalogue)
    }

    fn created(&self, user: &User) -> Moment {
        Moment::new(user.created_at, self.now)
    }
}

/// Which users are shown.
#[derive(Deserr, IntoParams)]
#[deserr(error = FieldErrors)]
pub(super) struct UserParams {
    #[deserr(default)]
    limit: Option<Limit>,
    #[deserr(default)]
    offset: Option<Offset>,
    #[deserr(default)]
    search: Option<String>,
}

/// `GET /admin/users`.
pub(super) async fn show(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
    PageParams(Params { sent, address }): PageParams<UserParams>,
) -> Result<Response, PageError> {
    let page = PageRequest::new(sent.limit, sent.offset);
    let found = accounts::search(&state.store, sent.search.as_deref(), page).await?;
    let page = UsersPage {
        frame: Frame::of(user, Place::Users, "Users"),
        search: sent.search.unwrap_or_default(),
        listing: Listing::new(&address, page, &found),
        users: found.rows,
        now: Timestamp::now(),
        catalogue: state.catalogue,
        has_passwords: state.has_passwords,
    };
    Ok(Rendered(page).into_response())
}
