//! Deletes a key: users delete their own, admins any key.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::row::KeyRow;
use crate::accounts::User;
use crate::accounts::access::KeyAccess;
use crate::audit::Actor;
use crate::keys;
use crate::time::Timestamp;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::outcome::{CompletedChange, Effect};
use crate::web::ui::receipt::Receipt;
use crate::web::ui::sealed::Seals;
use crate::web::ui::visitor::PageUser;

#[derive(Template)]
#[template(path = "keys/delete.html")]
struct DeletePage {
    frame: Frame,
    row: KeyRow,
    list: &'static str,
    list_title: &'static str,
}

/// `GET /account/keys/{id}/delete`.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let user_id = user.id.clone();
    confirm(user, Place::Keys, &state, KeyAccess::User(&user_id), &id).await
}

/// `POST /account/keys/{id}/delete`: deletes the key, and leads to a page that shows when every edge refuses it.
pub(super) async fn submit(
    PageUser { user, by }: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
    seals: Seals,
) -> Result<Response, PageError> {
    delete(&user, &by, Place::Keys, &state, KeyAccess::User(&user.id), &id, &seals).await
}

/// Asks to confirm the deletion of a key from the list of `place`.
pub(in crate::web::ui) async fn confirm(
    user: User,
    place: Place,
    state: &AppState,
    access: KeyAccess<'_>,
    id: &str,
) -> Result<Response, PageError> {
    let key = keys::get(&state.store, access, id).await?;
    let frame = Frame::of(user, place, "Delete key");
    let row = KeyRow::new(key, Timestamp::now());
    let (list, list_title) = list_of(place);
    Ok(Rendered(DeletePage { frame, row, list, list_title }).into_response())
}

/// Deletes the key.
pub(in crate::web::ui) async fn delete(
    user: &User,
    by: &Actor,
    place: Place,
    state: &AppState,
    access: KeyAccess<'_>,
    id: &str,
    seals: &Seals,
) -> Result<Response, PageError> {
    let (key, propagation) = keys::delete(&state.store, by, access, id).await?;
    let list = list_of(place).0;
    let change = CompletedChange {
        name: key.label,
        notes: Vec::new(),
        mask: Some(key.mask_value),
        back: (list.to_owned(), "Back to the keys".into()),
    };
    let receipt = Receipt::of_change("Key deleted", place, change).and_wait(propagation, Effect::Refused);
    receipt.redirect(seals, &format!("{list}/{}/deleted", key.id), &user.id)
}

fn list_of(place: Place) -> (&'static str, &'static str) {
    match place {
        Place::AllKeys => (addresses::ALL_KEYS, "All keys"),
        _ => (addresses::KEYS, "Personal API keys"),
    }
}
