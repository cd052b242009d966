//! Changes a key's label, scopes, restrictions and expiry.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::{Restrictions, ScopeSet};

use super::key_form::KeyForm;
use super::row::KeyRow;
use crate::accounts::User;
use crate::accounts::access::KeyAccess;
use crate::keys::{self, Key, KeyError, KeyPatch};
use crate::time::Timestamp;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::form::Form;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::outcome::{CompletedChange, Effect};
use crate::web::ui::receipt::Receipt;
use crate::web::ui::sealed::Seals;
use crate::web::ui::visitor::PageUser;

#[derive(Template)]
#[template(path = "keys/edit.html")]
struct EditPage {
    frame: Frame,
    row: KeyRow,
    form: KeyForm,
}

impl EditPage {
    fn new(user: User, key: Key, now: Timestamp, form: KeyForm) -> Rendered<Self> {
        let frame = Frame::of(user, Place::Keys, "Edit key");
        Rendered(EditPage { frame, row: KeyRow::new(key, now), form })
    }
}

/// `GET /account/keys/{id}`.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let now = Timestamp::now();
    let key = keys::get(&state.store, KeyAccess::User(&user.id), &id).await?;
    let form = KeyForm::of(&state.catalogue, &user, &key, now);
    Ok(EditPage::new(user, key, now, form).into_response())
}

/// `POST /account/keys/{id}`: saves what differs.
pub(super) async fn submit(
    PageUser { user, by }: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    let now = Timestamp::now();
    let key = keys::get(&state.store, KeyAccess::User(&user.id), &id).await?;
    let (mut form, entered) = match KeyForm::of(&state.catalogue, &user, &key, now).sent(&form, now) {
        Ok(sent) => sent,
        Err(form) => {
            return Ok((StatusCode::BAD_REQUEST, EditPage::new(user, key, now, *form)).into_response());
        }
    };
    let Restrictions { projects, organizations } = entered.restrictions;
    let patch = KeyPatch {
        label: Some(entered.label).filter(|label| label.as_ref() != key.label),
        scopes: Some(entered.scopes).filter(|scopes| !are_alike(scopes, &key.scopes)),
        projects: Some(projects).filter(|projects| *projects != key.restrictions.projects),
        organizations: Some(organizations).filter(|ids| *ids != key.restrictions.organizations),
        expires_at: entered.expires_at.filter(|expires_at| *expires_at != key.expires_at),
    };
    state.changes.admit(&by)?;
    let access = KeyAccess::User(&user.id);
    let (key, propagation) = match keys::update(&state.store, &by, access, &id, patch).await {
        Ok(updated) => updated,
        Err(KeyError::Invalid(invalid)) => {
            form.problems.add(invalid);
            return Ok((StatusCode::BAD_REQUEST, EditPage::new(user, key, now, form)).into_response());
        }
        Err(error) => return Err(error.into()),
    };
    let change = CompletedChange {
        name: key.label,
        notes: Vec::new(),
        mask: Some(key.mask_value),
        back: (addresses::KEYS.to_owned(), "Back to your keys".into()),
    };
    let receipt = Receipt::of_change("Key saved", Place::Keys, change);
    let receipt = match propagation {
        Some(propagation) => receipt.and_wait(propagation, Effect::Active),
        None => receipt.and("Saved."),
    };
    receipt.redirect(&seals, &format!("{}/{}/saved", addresses::KEYS, key.id), &user.id)
}

/// Whether both permit the same. The form keeps neither the order of scopes nor redundant ones.
fn are_alike(some: &ScopeSet, others: &ScopeSet) -> bool {
    some.iter().all(|scope| others.permits(scope)) && others.iter().all(|scope| some.permits(scope))
}
