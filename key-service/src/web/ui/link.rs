//! One-time links: the first admin creates an account, or a user sets a password.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use tower_sessions::Session;

use super::account::new_password;
use super::addresses;
use super::error::PageError;
use super::form::{Form, Problems};
use super::frame::{Frame, Rendered};
use super::sign_in::with_problem;
use crate::accounts::links::{self, LinkError, Purpose, Secret};
use crate::accounts::{AccountError, Email};
use crate::time::Timestamp;
use crate::validation::FieldError;
use crate::web::caller::Visitor;
use crate::web::session;
use crate::web::state::AppState;

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    frame: Frame,
    /// The address of the user who sets a password; `None` if the first admin enters an address.
    user_email: Option<String>,
    email: String,
    problems: Problems,
}

impl LinkPage {
    fn new(purpose: Purpose, email: &str, problems: Problems) -> Rendered<Self> {
        let (title, user_email) = match purpose {
            Purpose::FirstAdmin => ("Welcome", None),
            Purpose::Password(user) => ("Set a password", Some(user.email)),
        };
        Rendered(LinkPage { frame: Frame::outside(title), user_email, email: email.to_owned(), problems })
    }
}

#[derive(Template)]
#[template(path = "link_ended.html")]
struct LinkEndedPage {
    frame: Frame,
}

/// `GET /link/{secret}`: does not use up the link, because mail scanners and previews open links.
pub(super) async fn show(
    State(state): State<AppState>,
    Path(secret): Path<String>,
) -> Result<Response, PageError> {
    if !state.has_passwords {
        return Ok(ended());
    }
    match links::purpose(&state.store, &state.providers, &secret.into()).await {
        Ok(purpose) => Ok(LinkPage::new(purpose, "", Problems::default()).into_response()),
        Err(LinkError::NotFound) => Ok(ended()),
        Err(LinkError::Account(error @ AccountError::DecidedByGroups(_))) => {
            Ok(with_problem(&state, addresses::KEYS, StatusCode::FORBIDDEN, &error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /link/{secret}`: uses the link up, and signs in.
pub(super) async fn submit(
    State(state): State<AppState>,
    Path(secret): Path<String>,
    Visitor(by): Visitor,
    session: Session,
    form: Form,
) -> Result<Response, PageError> {
    if !state.has_passwords {
        return Ok(ended());
    }
    let (store, secret, now) = (&state.store, Secret::from(secret), Timestamp::now());
    let purpose = match links::purpose(store, &state.providers, &secret).await {
        Err(LinkError::NotFound) => return Ok(ended()),
        Err(LinkError::Account(error @ AccountError::DecidedByGroups(_))) => {
            return Ok(with_problem(&state, addresses::KEYS, StatusCode::FORBIDDEN, &error.to_string()));
        }
        purpose => purpose?,
    };
    let email = form.text("email");
    let mut problems = Problems::default();
    let (owner, new_email) = match &purpose {
        Purpose::FirstAdmin => (email, problems.check("email", email.parse::<Email>())),
        Purpose::Password(user) => (user.email.as_str(), None),
    };
    let password = new_password(&form, owner, &mut problems);
    if let Some(password) = password.filter(|_| problems.is_empty()) {
        let (passwords, providers) = (&state.passwords, &state.providers);
        match links::redeem(store, &by, passwords, providers, &secret, new_email, password, now).await {
            Ok(user) => {
                session::begin(&session, &user, now).await?;
                return Ok(Redirect::to(addresses::KEYS).into_response());
            }
            Err(LinkError::Account(AccountError::Invalid(invalid))) => problems.add(invalid),
            Err(LinkError::Account(AccountError::EmailTaken(_))) => {
                problems.add(FieldError::input("email", "A user with this address already exists."));
            }
            Err(LinkError::NotFound) => return Ok(ended()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((StatusCode::BAD_REQUEST, LinkPage::new(purpose, email, problems)).into_response())
}

fn ended() -> Response {
    let page = LinkEndedPage { frame: Frame::outside("This link has ended") };
    (StatusCode::NOT_FOUND, Rendered(page)).into_response()
}
