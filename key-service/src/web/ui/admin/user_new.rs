//! Adds a user, and shows a link to set a password.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use protocol::ScopeSet;

use super::user::create_link;
use crate::accounts::{self, AccountError, Email, NewUser, User};
use crate::time::Timestamp;
use crate::validation::FieldError;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::form::{Form, Problems};
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::picker::Picker;
use crate::web::ui::sealed::Seals;
use crate::web::ui::unsent::Kept;
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/user_new.html")]
struct NewUserPage {
    frame: Frame,
    email: String,
    is_admin: bool,
    picker: Picker,
    problems: Problems,
    has_passwords: bool,
}

impl NewUserPage {
    fn of(state: &AppState, user: User, form: &Form, problems: Problems) -> Rendered<Self> {
        Rendered(NewUserPage {
            frame: Frame::of(user, Place::Users, "Add a user"),
            email: form.text("email").to_owned(),
            is_admin: is_admin(form),
            picker: picker(state, form),
            problems,
            has_passwords: state.has_passwords,
        })
    }
}

/// `GET /admin/users/new`.
pub(super) async fn show(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
    kept: Kept,
) -> Response {
    let unsent = kept.of(&user);
    NewUserPage::of(&state, user, unsent.form().unwrap_or(&Form::default()), unsent.problems())
        .into_response()
}

/// `POST /admin/users/new`: adds the user, and leads to the link.
pub(super) async fn submit(
    PageAdmin { user, by }: PageAdmin,
    State(state): State<AppState>,
    headers: HeaderMap,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    let mut problems = Problems::default();
    let Some(email) = problems.check("email", form.text("email").parse::<Email>()) else {
        let page = NewUserPage::of(&state, user, &form, problems);
        return Ok((StatusCode::BAD_REQUEST, page).into_response());
    };
    let permissions = picker(&state, &form).scopes();
    let new = NewUser { email, password: None, permissions, is_admin: is_admin(&form) };
    state.changes.admit(&by)?;
    let added = accounts::add(&state.store, &by, &state.passwords, new, Timestamp::now()).await;
    problems.add(match added {
        Ok(added) if !state.has_passwords => {
            return Ok(Redirect::to(&format!("{}/{}", addresses::USERS, added.id)).into_response());
        }
        Ok(added) => return create_link(&user, &by, &state, &headers, &seals, &added).await,
        Err(AccountError::Invalid(invalid)) => invalid,
        Err(AccountError::EmailTaken(_)) => {
            FieldError::input("email", "A user with this address already exists.")
        }
        Err(error) => return Err(error.into()),
    });
    Ok((StatusCode::BAD_REQUEST, NewUserPage::of(&state, user, &form, problems)).into_response())
}

fn is_admin(form: &Form) -> bool {
    form.text("is_admin") == "yes"
}

fn picker(state: &AppState, form: &Form) -> Picker {
    Picker::new(&state.catalogue, &ScopeSet::all(), &ScopeSet::default()).sent(form)
}
