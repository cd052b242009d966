//! One's own account.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tower_sessions::Session;

use super::PageState;
use super::error::PageError;
use super::form::{Form, Problems};
use super::frame::{Frame, Page, Place};
use super::visitor::Visitor;
use crate::accounts::{self, AccountError, User};
use crate::api::session;
use crate::clock::Timestamp;
use crate::invalid::Invalid;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    user: User,
    problems: Problems,
    has_changed: bool,
}

impl AccountPage {
    fn new(user: User, problems: Problems, has_changed: bool) -> Page<Self> {
        let frame = Frame::of(user.clone(), Place::Account, "Account");
        Page(AccountPage { frame, user, problems, has_changed })
    }
}

/// `GET /account`.
pub(super) async fn show(Visitor(user): Visitor) -> Response {
    AccountPage::new(user, Problems::default(), false).into_response()
}
