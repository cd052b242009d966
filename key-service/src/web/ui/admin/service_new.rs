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
    fn new(user: User, name: &str, picker: Picker, problems: Problems) -> Rendered<Self> {
        let frame = Frame::of(user, Place::Users, "Add a service account");
        Rendered(NewServicePage { frame, name: name.to_owned(), picker, problems })
    }
}

/// `GET /admin/users/new-service`.
pub(super) async fn show(PageAdmin { user, .. }: PageAdmin, State(state): State<AppState>) -> Response {
    let picker = Picker::new(&state.catalogue, &ScopeSet::all(), &ScopeSet::default());
    NewServicePage::new(user, "", picker, Problems::default()).into_response()
}

/// `POST /admin/users/new-service`: adds the service account, and leads to its page.
pub(super) async fn submit(
    PageAdmin { user, by }: PageAdmin,
    State(state): State<AppState>,
    form: Form,
) -> Result<Response, PageError> {
    let name = form.text("name");
    let picker = Picker::new(&state.catalogue, &ScopeSet::all(), &ScopeSet::default()).sent(&form);
    let mut problems = Problems::default();
    if let Some(name) = problems.check("name", name.parse::<ServiceName>()) {
        state.changes.admit(&by)?;
        let now = Timestamp::now();
        match accounts::add_service_account(&state.store, &by, &name, picker.scopes(), now).await {
            Ok(added) => {
                return Ok(Redirect::to(&format!("{}/{}", addresses::USERS, added.id)).into_response());
            }
            Err(AccountError::Invalid(invalid)) => problems.add(invalid),
            Err(error) => return Err(error.into()),
        }
    }
    let page = NewServicePage::new(user, name, picker, problems);
    Ok((StatusCode::BAD_REQUEST, page).into_response())
}
