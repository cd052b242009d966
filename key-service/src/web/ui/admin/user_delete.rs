//! Deletes a user with all keys.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::user::find;
use crate::accounts::User;
use crate::accounts::access::KeyAccess;
use crate::keys::{self, KeySearch};
use crate::paging::PageRequest;
use crate::time::Timestamp;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::outcome::{CompletedChange, Effect};
use crate::web::ui::receipt::Receipt;
use crate::web::ui::sealed::Seals;
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/user_delete.html")]
struct UserDeletePage {
    frame: Frame,
    user: User,
    /// The number of the user's keys.
    keys: u64,
}

/// `GET /admin/users/{id}/delete`.
pub(super) async fn show(
    PageAdmin { user: admin, .. }: PageAdmin,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    if admin.id == id {
        return Err(PageError::of_status(StatusCode::BAD_REQUEST));
    }
    let user = find(&state, &id).await?;
    let page = PageRequest { limit: 1, ..PageRequest::default() };
    let search = KeySearch { user_id: Some(id), page, ..KeySearch::all(KeyAccess::Anyone, Timestamp::now()) };
    let keys = keys::search(&state.store, &search).await?.count;
    let frame = Frame::of(admin, Place::Users, "Delete user");
    Ok(Rendered(UserDeletePage { frame, user, keys }).into_response())
}

/// `POST /admin/users/{id}/delete`: deletes the user, and leads to a page that shows when every edge refuses the keys.
pub(super) async fn submit(
    PageAdmin { user: admin, by }: PageAdmin,
    State(state): State<AppState>,
    Path(id): Path<String>,
    seals: Seals,
) -> Result<Response, PageError> {
    let deleted = keys::delete_user(&state.store, &by, &id).await?;
    let change = CompletedChange {
        notes: deleted.notes(),
        name: deleted.user.email,
        mask: None,
        back: (addresses::USERS.to_owned(), "Back to the users".into()),
    };
    let receipt = Receipt::of_change("User deleted", Place::Users, change);
    let receipt = receipt.and_wait(deleted.propagation, Effect::Refused);
    receipt.redirect(&seals, &format!("{}/{id}/deleted", addresses::USERS), &admin.id)
}
