//! The user's own account.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_sessions::Session;

use super::chips::Chips;
use super::error::PageError;
use super::form::{Form, Problems};
use super::frame::{Frame, Place, Rendered};
use super::outcome::CompletedChange;
use super::receipt::Receipt;
use super::sealed::Seals;
use super::sign_in;
use super::visitor::PageUser;
use crate::accounts::passwords::{NewPassword, Password};
use crate::accounts::{self, AccountError, User, openid};
use crate::time::Timestamp;
use crate::validation::{FieldError, Violation};
use crate::web::session;
use crate::web::state::AppState;

/// The page after a change of the password.
pub(super) const CHANGED: &str = "/account/changed";

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    user: User,
    permissions: Chips,
    problems: Problems,
    /// Whether the user has a password that opens a session.
    has_passwords: bool,
}

impl AccountPage {
    fn new(state: &AppState, user: User, has_passwords: bool, problems: Problems) -> Rendered<Self> {
        let frame = Frame::of(user.clone(), Place::Account, "Account");
        let permissions = Chips::new(&user.permissions, &state.catalogue);
        Rendered(AccountPage { frame, user, permissions, problems, has_passwords })
    }
}

/// `GET /account`.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
) -> Result<Response, PageError> {
    let deciding = openid::deciding_provider(state.store.pool(), &state.providers, &user.id).await?;
    let has_passwords = state.has_passwords && user.has_password && deciding.is_none();
    Ok(AccountPage::new(&state, user, has_passwords, Problems::default()).into_response())
}

/// `POST /account`: sets a new password. All other sessions of the user end.
pub(super) async fn submit(
    PageUser { user, by }: PageUser,
    State(state): State<AppState>,
    session: Session,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    if !state.has_passwords {
        return Err(PageError::of_status(StatusCode::FORBIDDEN));
    }
    let mut problems = Problems::default();
    let current = Password::try_from(form.text("current_password").to_owned());
    let current = problems.check("current_password", current);
    let new = new_password(&form, &user.email, &mut problems);
    let (Some(current), Some(new)) = (current, new) else {
        let page = AccountPage::new(&state, user, true, problems);
        return Ok((StatusCode::BAD_REQUEST, page).into_response());
    };
    if let Err(wait) = state.limits.admit_user(&by, &user) {
        problems.add_whole(sign_in::too_many_attempts(wait));
        let retry_after = [(header::RETRY_AFTER, wait.seconds.to_string())];
        let page = AccountPage::new(&state, user, true, problems);
        return Ok((StatusCode::TOO_MANY_REQUESTS, retry_after, page).into_response());
    }
    let (store, passwords, providers) = (&state.store, &state.passwords, &state.providers);
    match accounts::change_password(store, &by, passwords, providers, &user, current, new).await {
        Ok(user) => {
            session::begin(&session, &user, Timestamp::now()).await?;
            let change = CompletedChange {
                name: user.email,
                mask: None,
                notes: Vec::new(),
                back: ("/account".to_owned(), "Back to your account".into()),
            };
            let receipt = Receipt::of_change("Password changed", Place::Account, change)
                .and("Your password has changed. All your other sessions have ended.");
            receipt.redirect(&seals, CHANGED, &user.id)
        }
        Err(AccountError::WrongPassword) => {
            problems.add(FieldError::input("current_password", "This is not your current password."));
            let page = AccountPage::new(&state, user, true, problems);
            Ok((StatusCode::BAD_REQUEST, page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// The new password of the user with this address. It must be entered twice.
pub(super) fn new_password(form: &Form, email: &str, problems: &mut Problems) -> Option<NewPassword> {
    let password = NewPassword::try_from(form.text("password").to_owned());
    let password = password.and_then(|password| password.check_for(email).map(|()| password));
    let password = problems.check("password", password)?;
    if password.is(form.text("repeated_password")) {
        return Some(password);
    }
    problems.check("repeated_password", Err(Violation::input("The passwords do not match.")))
}
