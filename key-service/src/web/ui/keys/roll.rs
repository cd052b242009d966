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
use crate::web::ui::form::{Form, Problems};
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::moment::span;
use crate::web::ui::outcome::Effect;
use crate::web::ui::receipt::Receipt;
use crate::web::ui::sealed::Seals;
use crate::web::ui::visitor::PageUser;

#[derive(Template)]
#[template(path = "keys/roll.html")]
struct RollPage {
    frame: Frame,
    row: KeyRow,
    problems: Problems,
}

impl RollPage {
    fn new(user: User, key: Key, problems: Problems) -> Rendered<Self> {
        let frame = Frame::of(user, Place::Keys, "Roll key");
        Rendered(RollPage { frame, row: KeyRow::new(key, Timestamp::now()), problems })
    }
}

/// `GET /account/keys/{id}/roll`.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let key = keys::get(&state.store, KeyAccess::User(&user.id), &id).await?;
    Ok(RollPage::new(user, key, Problems::default()).into_response())
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
        return Ok((StatusCode::BAD_REQUEST, RollPage::new(user, key, problems)).into_response());
    };
    state.changes.admit(&by)?;
    let rolled = keys::roll(&state.store, &by, KeyAccess::User(&user.id), &id, grace_s).await;
    let (key, new_value, propagation) = match rolled {
        Err(error @ KeyError::TooManyOldValues) => {
            problems.add(FieldError::input("grace_s", error.to_string()));
            let key = keys::get(&state.store, KeyAccess::User(&user.id), &id).await?;
            return Ok((StatusCode::BAD_REQUEST, RollPage::new(user, key, problems)).into_response());
        }
        rolled => rolled?,
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
