//! Deleting a key.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::KeyRow;
use crate::clock::Timestamp;
use crate::keys::{self, Owner};
use crate::page::PageState;
use crate::page::error::PageError;
use crate::page::frame::{Frame, Page, Place};
use crate::page::outcome::{Effect, OutcomePage};
use crate::page::visitor::Visitor;

#[derive(Template)]
#[template(path = "keys/delete.html")]
struct DeletePage {
    frame: Frame,
    row: KeyRow,
}

/// `GET /account/keys/{id}/delete`.
pub(super) async fn show(
    Visitor(user): Visitor,
    State(state): State<PageState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let key = keys::get(&state.database, &user.id, &id).await?;
    let frame = Frame::of(user, Place::Keys, "Delete key");
    Ok(Page(DeletePage { frame, row: KeyRow::new(key, Timestamp::now()) }).into_response())
}

/// `POST /account/keys/{id}/delete`: deletes the key, and tells when it is refused everywhere.
pub(super) async fn submit(
    Visitor(user): Visitor,
    State(state): State<PageState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let (key, revocation) = keys::delete(&state.database, Owner::User(&user.id), &id).await?;
    let page = OutcomePage {
        frame: Frame::of(user, Place::Keys, "Key deleted"),
        name: key.label,
        mask: Some(key.mask_value),
        back: (super::ADDRESS, "Back to your keys"),
    };
    page.after(Some(revocation), Effect::Refused)
}
