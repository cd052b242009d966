//! Adds a service account.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::ScopeSet;

use crate::accounts::{self, AccountError, ServiceName, User};
use crate::time::Timestamp;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::form::{Form, Problems};
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::picker::Picker;
use crate::web::ui::unsent::Kept;
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/service_new.html")]
struct NewServicePage {
    frame: Frame,
    name: String,
    picker: Picker,
    problems: Problems,
}

impl NewServicePage {
    fn of(state: &AppState, user: User, form: &Form, problems: Problems) -> Rendered<Self> {
        Rendered(NewServicePage {
            frame: Frame::of(user, Place::Users, "Add a service account"),
            name: form.text("name").to_owned(),
            picker: picker(state, form),
            problems,
        })
    }
}

/// `GET /admin/users/new-service`.
pub(super) async fn show(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
    kept: Kept,
) -> Response {
    let unsent = kept.of(&user);
    NewServicePage::of(&state, user, unsent.form().unwrap_or(&Form::default()), unsent.problems())
        .into_response()
}

/// `POST /admin/users/new-service`: adds the service account, and leads to its page.
pub(super) async fn submit(
    PageAdmin { user, by }: PageAdmin,
    State(state): State<AppState>,
    form: Form,
) -> Result<Response, PageError> {
    let mut problems = Problems::default();
    if let Some(name) = problems.check("name", form.text("name").parse::<ServiceName>()) {
        state.changes.admit(&by)?;
        let now = Timestamp::now();
        let permissions = picker(&state, &form).scopes();
        match accounts::add_service_account(&state.store, &by, &name, permissions, now).await {
            Ok(added) => {
                return Ok(Redirect::to(&format!("{}/{}", addresses::USERS, added.id)).into_response());
            }
            Err(AccountError::Invalid(invalid)) => problems.add(invalid),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((StatusCode::BAD_REQUEST, NewServicePage::of(&state, user, &form, problems)).into_response())
}

fn picker(state: &AppState, form: &Form) -> Picker {
    Picker::new(&state.catalogue, &ScopeSet::all(), &ScopeSet::default()).sent(form)
}
