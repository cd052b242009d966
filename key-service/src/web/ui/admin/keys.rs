//! The keys of all users.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::listing::Listing;
use crate::accounts;
use crate::accounts::access::KeyAccess;
use crate::keys::{self, KeySearch, KeyState};
use crate::time::Timestamp;
use crate::web::error::ApiError;
use crate::web::params::Params;
use crate::web::state::AppState;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::keys::delete as deletion;
use crate::web::ui::keys::row::KeyRow;
use crate::web::ui::visitor::Admin;

#[derive(Template)]
#[template(path = "admin/keys.html")]
struct KeysPage {
    frame: Frame,
    search: String,
    state: String,
    /// The user whose keys are shown, if only one: id and address.
    only_of: Option<(String, String)>,
    rows: Vec<Row>,
    listing: Listing,
}

/// A key and its user.
struct Row {
    key: KeyRow,
    user_email: String,
    user_is_active: bool,
}

/// `GET /admin/keys`.
pub(super) async fn show(
    Admin { user, .. }: Admin,
    State(state): State<AppState>,
    params: Params,
) -> Result<Response, PageError> {
    let now = Timestamp::now();
    let owned = |name| params.text(name).map(str::to_owned);
    let search = KeySearch {
        access: KeyAccess::Anyone,
        user_id: owned("user_id"),
        text: owned("search"),
        scope: None,
        state: params.one_of("state", &KeyState::ALL).map_err(ApiError::from)?,
        now,
        page: params.page().map_err(ApiError::from)?,
    };
    let found = keys::search(&state.store, &search).await?;
    let only_of = match params.text("user_id") {
        Some(id) => accounts::find(&state.store, id).await?.map(|user| (user.id, user.email)),
        None => None,
    };
    let listing = Listing::new(&params, search.page, &found);
    let row = |found: keys::OwnedKey| Row {
        key: KeyRow::new(found.key, now),
        user_email: found.user_email,
        user_is_active: found.user_is_active,
    };
    let page = KeysPage {
        frame: Frame::of(user, Place::AllKeys, "All keys"),
        search: search.text.unwrap_or_default(),
        state: params.text("state").unwrap_or_default().to_owned(),
        only_of,
        rows: found.rows.into_iter().map(row).collect(),
        listing,
    };
    Ok(Rendered(page).into_response())
}

/// `GET /admin/keys/{id}/delete`.
pub(super) async fn confirm_delete(
    Admin { user, .. }: Admin,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    deletion::confirm(user, Place::AllKeys, &state, KeyAccess::Anyone, &id).await
}

/// `POST /admin/keys/{id}/delete`.
pub(super) async fn delete(
    Admin { user, by }: Admin,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    deletion::delete(user, &by, Place::AllKeys, &state, KeyAccess::Anyone, &id).await
}
