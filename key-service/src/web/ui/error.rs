//! Errors as pages.

use askama::Template;
use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use tower_http::csrf::ProtectionError;

use super::addresses;
use super::frame::Frame;
use super::reason::Reason;
use crate::web::error::ApiError;

/// Why a page cannot be shown.
#[derive(Debug)]
pub(super) enum PageError {
    /// The visitor must sign in.
    SignIn(SignInFirst),
    /// The request failed.
    Failed(Failure),
}

/// The visitor is led to the sign-in page. The response has it as an extension.
#[derive(Clone, Debug)]
pub(super) struct SignInFirst {
    /// The page to show afterwards.
    pub(super) next: String,
    /// Why a user who was signed in has to sign in again.
    pub(super) reason: Option<Reason>,
}

impl IntoResponse for SignInFirst {
    fn into_response(self) -> Response {
        let address = addresses::sign_in(&self.next, self.reason);
        (Extension(self), Redirect::to(&address)).into_response()
    }
}

/// A failed request.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    retry_after_s: Option<u64>,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    status: u16,
    text: &'static str,
}

impl Failure {
    fn title(&self) -> &'static str {
        match self.status {
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::METHOD_NOT_ALLOWED => "Method not allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "Request too large",
            StatusCode::TOO_MANY_REQUESTS => "Too many requests",
            StatusCode::SERVICE_UNAVAILABLE => "Service unavailable",
            status if status.is_client_error() => "The request cannot be understood",
            _ => "Something went wrong",
        }
    }
}

/// The default text of a status.
fn text_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "You do not have permission to see this page.",
        StatusCode::NOT_FOUND => "This page does not exist, was deleted, or belongs to another user.",
        StatusCode::METHOD_NOT_ALLOWED => "Go back, and use the buttons on the page.",
        StatusCode::PAYLOAD_TOO_LARGE => "Go back, and shorten what you entered.",
        StatusCode::TOO_MANY_REQUESTS => "Wait a moment, then try again.",
        StatusCode::SERVICE_UNAVAILABLE => {
            "The database does not respond. Keys that edges have cached keep working for now. Try again in a moment."
        }
        status if status.is_client_error() => "Go back, and try again.",
        _ => "The error was logged. Try again. If it happens again, contact your admin.",
    }
}

impl PageError {
    /// An error with the default text of its status.
    pub(super) fn of_status(status: StatusCode) -> Self {
        PageError::Failed(Failure { status, retry_after_s: None, text: text_of(status) })
    }

    /// 500. The cause is only logged.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        ApiError::internal(error).into()
    }
}

/// [`ApiError`] decides the status of each failure and logs it.
impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> Self {
        let error = error.into();
        let status = error.status();
        // The session ended after the request began.
        if status == StatusCode::UNAUTHORIZED {
            let next = addresses::KEYS.to_owned();
            return PageError::SignIn(SignInFirst { next, reason: Some(Reason::SessionEnded) });
        }
        PageError::Failed(Failure { status, retry_after_s: error.retry_after_s(), text: text_of(status) })
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match self {
            PageError::SignIn(first) => first.into_response(),
            PageError::Failed(failure) => failure.into_response(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let page =
            ErrorPage { frame: Frame::outside(self.title()), status: self.status.as_u16(), text: self.text };
        let html = page.render().unwrap_or_else(|error| {
            tracing::error!(%error, "a page cannot be rendered");
            self.text.to_owned()
        });
        let mut response = (self.status, Html(html)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// 403: the form was submitted from another site.
pub(super) fn other_origin(_: ProtectionError) -> Response {
    let text =
        "The request came from another site, so nothing was changed. Open the page here, and try again.";
    Failure { status: StatusCode::FORBIDDEN, retry_after_s: None, text }.into_response()
}

/// Turns errors that a library answered into pages: unknown route, unknown method, failed extractor.
pub(super) async fn complete_errors(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_page = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/html");
    if is_error && !response.headers().get(header::CONTENT_TYPE).is_some_and(is_page) {
        let page = PageError::of_status(status).into_response();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        *response.body_mut() = page.into_body();
    }
    response
}
