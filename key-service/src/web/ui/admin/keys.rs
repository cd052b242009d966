//! The keys of all users.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use deserr::Deserr;
use utoipa::IntoParams;

use super::listing::{Listing, PageParams};
use crate::accounts;
use crate::accounts::access::KeyAccess;
use crate::catalogue::Catalogue;
use crate::keys::{self, KeySearch, KeyState};
use crate::paging::{Limit, Offset, PageRequest};
use crate::time::Timestamp;
use crate::validation::FieldErrors;
use crate::web::request::Params;
use crate::web::state::AppState;
use crate::web::ui::chips::Chips;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::keys::delete as deletion;
use crate::web::ui::keys::row::KeyRow;
use crate::web::ui::sealed::Seals;
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/keys.html")]
struct KeysPage {
    frame: Frame,
    search: String,
    /// The state of the keys that are shown; empty for all.
    state: &'static str,
    /// The user whose keys are shown, if only one: id and address.
    only_of: Option<(String, String)>,
    rows: Vec<OwnedKeyRow>,
    listing: Listing,
    catalogue: Arc<Catalogue>,
}

impl KeysPage {
    fn scopes(&self, row: &KeyRow) -> Chips {
        Chips::new(&row.key().scopes, &self.catalogue)
    }
}

/// A key and its user.
struct OwnedKeyRow {
    key: KeyRow,
    user_email: String,
    user_is_active: bool,
}

/// Which keys are shown.
#[derive(Deserr, IntoParams)]
#[deserr(error = FieldErrors)]
pub(super) struct KeyParams {
    #[deserr(default)]
    limit: Option<Limit>,
    #[deserr(default)]
    offset: Option<Offset>,
    #[deserr(default)]
    search: Option<String>,
    #[deserr(default)]
    user_id: Option<String>,
    #[deserr(default)]
    state: Option<KeyState>,
}

/// `GET /admin/keys`.
pub(super) async fn show(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
    PageParams(Params { sent, address }): PageParams<KeyParams>,
) -> Result<Response, PageError> {
    let now = Timestamp::now();
    let search = KeySearch {
        access: KeyAccess::Anyone,
        user_id: sent.user_id,
        text: sent.search,
        scope: None,
        state: sent.state,
        now,
        page: PageRequest::new(sent.limit, sent.offset),
    };
    let found = keys::search(&state.store, &search).await?;
    let only_of = match search.user_id.as_deref() {
        Some(id) => accounts::find(&state.store, id).await?.map(|user| (user.id, user.email)),
        None => None,
    };
    let listing = Listing::new(&address, search.page, &found);
    let row = |found: keys::OwnedKey| OwnedKeyRow {
        key: KeyRow::new(found.key, now),
        user_email: found.user_email,
        user_is_active: found.user_is_active,
    };
    let page = KeysPage {
        frame: Frame::of(user, Place::AllKeys, "All keys"),
        search: search.text.unwrap_or_default(),
        state: search.state.map_or("", KeyState::as_str),
        only_of,
        rows: found.rows.into_iter().map(row).collect(),
        listing,
        catalogue: state.catalogue,
    };
    Ok(Rendered(page).into_response())
}

/// `GET /admin/keys/{id}/delete`.
pub(super) async fn confirm_delete(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    deletion::confirm(user, Place::AllKeys, &state, KeyAccess::Anyone, &id).await
}

/// `POST /admin/keys/{id}/delete`.
pub(super) async fn delete(
    PageAdmin { user, by }: PageAdmin,
    State(state): State<AppState>,
    Path(id): Path<String>,
    seals: Seals,
) -> Result<Response, PageError> {
    deletion::delete(&user, &by, Place::AllKeys, &state, KeyAccess::Anyone, &id, &seals).await
}
