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
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/user_new.html")]
struct NewUserPage {
    frame: Frame,
    email: String,
    is_admin: bool,
    picker: Picker,
    problems: Problems,
}

impl NewUserPage {
    fn new(user: User, email: &str, is_admin: bool, picker: Picker, problems: Problems) -> Rendered<Self> {
        let frame = Frame::of(user, Place::Users, "Add a user");
        Rendered(NewUserPage { frame, email: email.to_owned(), is_admin, picker, problems })
    }
}

/// `GET /admin/users/new`.
pub(super) async fn show(PageAdmin { user, .. }: PageAdmin, State(state): State<AppState>) -> Response {
    let picker = Picker::new(&state.catalogue, &ScopeSet::all(), &ScopeSet::default());
    NewUserPage::new(user, "", false, picker, Problems::default()).into_response()
}

/// `POST /admin/users/new`: adds the user, and leads to the link.
pub(super) async fn submit(
    PageAdmin { user, by }: PageAdmin,
    State(state): State<AppState>,
    headers: HeaderMap,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    let (email, is_admin) = (form.text("email"), form.text("is_admin") == "yes");
    let picker = Picker::new(&state.catalogue, &ScopeSet::all(), &ScopeSet::default()).sent(&form);
    let mut problems = Problems::default();
    let Some(new_email) = problems.check("email", email.parse::<Email>()) else {
        let page = NewUserPage::new(user, email, is_admin, picker, problems);
        return Ok((StatusCode::BAD_REQUEST, page).into_response());
    };
    let new = NewUser { email: new_email, password: None, permissions: picker.scopes(), is_admin };
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
    let page = NewUserPage::new(user, email, is_admin, picker, problems);
    Ok((StatusCode::BAD_REQUEST, page).into_response())
}
