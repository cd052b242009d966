//! Rolls a key.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::row::KeyRow;
use super::value;
use crate::accounts::User;
use crate::accounts::access::KeyAccess;
use crate::keys::rules::GraceSeconds;
use crate::keys::{self, Key, KeyError};
use crate::time::Timestamp;
use crate::validation::{FieldError, Violation};
use crate::web::state::AppState;
use crate::web::ui::error::PageError;
use crate::web::ui::form::{Form, Problems, new_form_id};
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::moment::span;
use crate::web::ui::outcome::Effect;
use crate::web::ui::receipt::Receipt;
use crate::web::ui::sealed::{Seals, redirect_again};
use crate::web::ui::unsent::Kept;
use crate::web::ui::visitor::PageUser;

#[derive(Template)]
#[template(path = "keys/roll.html")]
struct RollPage {
    frame: Frame,
    row: KeyRow,
    /// The chosen option.
    grace_s: String,
    problems: Problems,
    form_id: String,
}

impl RollPage {
    fn new(user: User, key: Key, form: &Form, problems: Problems) -> Rendered<Self> {
        let frame = Frame::of(user, Place::Keys, "Roll key");
        let row = KeyRow::new(key, Timestamp::now());
        let grace_s = form.get("grace_s").unwrap_or("0").to_owned();
        Rendered(RollPage { frame, row, grace_s, problems, form_id: new_form_id() })
    }
}

/// `GET /account/keys/{id}/roll`.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
    kept: Kept,
) -> Result<Response, PageError> {
    let key = keys::get(&state.store, KeyAccess::User(&user.id), &id).await?;
    let unsent = kept.of(&user);
    Ok(RollPage::new(user, key, unsent.form().unwrap_or(&Form::default()), unsent.problems()).into_response())
}

/// `POST /account/keys/{id}/roll`: leads to the new value, and how the old one ends.
pub(super) async fn submit(
    PageUser { user, by }: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    let mut problems = Problems::default();
    let Some(grace_s) = problems.check("grace_s", grace_s(&form)) else {
        let key = keys::get(&state.store, KeyAccess::User(&user.id), &id).await?;
        return Ok((StatusCode::BAD_REQUEST, RollPage::new(user, key, &form, problems)).into_response());
    };
    state.changes.admit(&by)?;
    let (store, access) = (&state.store, KeyAccess::User(&user.id));
    let request = form.repeatable(&by);
    let rolled = keys::roll_once(store, &by, access, &id, grace_s, request.as_ref()).await;
    let (key, new_value, propagation) = match rolled {
        Ok((key, None, _)) => return Ok(redirect_again(&value::address(&key)).into_response()),
        Ok((key, Some(new_value), propagation)) => (key, new_value, propagation),
        Err(error @ KeyError::TooManyOldValues) => {
            problems.add(FieldError::input("grace_s", error.to_string()));
            let key = keys::get(&state.store, KeyAccess::User(&user.id), &id).await?;
            return Ok((StatusCode::BAD_REQUEST, RollPage::new(user, key, &form, problems)).into_response());
        }
        Err(error) => return Err(error.into()),
    };
    let mut new = value::new_value(&key, &new_value, &state);
    let (old_value, effect) = match span(i64::from(grace_s) * 1000) {
        Some(grace) => (format!("The old value works for {grace} more."), Effect::Active),
        None => ("The old value stops working now.".to_owned(), Effect::Refused),
    };
    new.old_value = Some(old_value);
    let receipt = Receipt::of_value("Store your new value", Place::Keys, new).and_wait(propagation, effect);
    receipt.redirect(&seals, &value::address(&key), &user.id)
}

fn grace_s(form: &Form) -> Result<u32, Violation> {
    let seconds = form.text("grace_s").parse::<i64>();
    let seconds = seconds.map_err(|_| Violation::input("Choose when the old value stops."))?;
    GraceSeconds::try_from(seconds).map(u32::from)
}
