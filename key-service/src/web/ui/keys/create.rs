//! A new key.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::key_form::KeyForm;
use super::value;
use crate::accounts::User;
use crate::accounts::access::KeyAccess;
use crate::keys::{self, KeyError, NewKey};
use crate::time::Timestamp;
use crate::web::state::AppState;
use crate::web::ui::error::PageError;
use crate::web::ui::form::{Form, new_form_id};
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::receipt::Receipt;
use crate::web::ui::sealed::{Seals, redirect_again};
use crate::web::ui::unsent::Kept;
use crate::web::ui::visitor::PageUser;

#[derive(Template)]
#[template(path = "keys/create.html")]
struct CreatePage {
    frame: Frame,
    form: KeyForm,
    form_id: String,
}

impl CreatePage {
    fn new(user: User, form: KeyForm) -> Rendered<Self> {
        let frame = Frame::of(user, Place::Keys, "Create a key");
        Rendered(CreatePage { frame, form, form_id: new_form_id() })
    }
}

/// `GET /account/keys/new`.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
    kept: Kept,
) -> Response {
    let form = KeyForm::blank(&state.catalogue, &user).again(&kept.of(&user), Timestamp::now());
    CreatePage::new(user, form).into_response()
}

/// `POST /account/keys/new`: creates the key, and leads to its value.
pub(super) async fn submit(
    PageUser { user, by }: PageUser,
    State(state): State<AppState>,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    let (now, request) = (Timestamp::now(), form.repeatable(&by));
    let (mut form, entered) = match KeyForm::blank(&state.catalogue, &user).sent(&form, now) {
        Ok(sent) => sent,
        Err(form) => return Ok((StatusCode::BAD_REQUEST, CreatePage::new(user, *form)).into_response()),
    };
    let new = NewKey {
        label: entered.label,
        scopes: entered.scopes,
        restrictions: entered.restrictions,
        expires_at: entered.expires_at.flatten(),
    };
    state.changes.admit(&by)?;
    let (store, access) = (&state.store, KeyAccess::User(&user.id));
    match keys::create_once(store, &by, access, &user.id, new, now, request.as_ref()).await {
        Ok((key, None)) => Ok(redirect_again(&value::address(&key)).into_response()),
        Ok((key, Some(new_value))) => {
            let new = value::new_value(&key, &new_value, &state);
            let receipt = Receipt::of_value("Store your new key", Place::Keys, new);
            receipt.redirect(&seals, &value::address(&key), &user.id)
        }
        Err(error @ (KeyError::TooMany(_) | KeyError::Invalid(_))) => {
            match error {
                KeyError::Invalid(invalid) => form.problems.add(invalid),
                error => form.problems.add_whole(error.to_string()),
            }
            Ok((StatusCode::BAD_REQUEST, CreatePage::new(user, form)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}
