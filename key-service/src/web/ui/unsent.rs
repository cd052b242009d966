//! A form that arrived without a session, because the session had ended: the form changes nothing, the user signs in, and sees the
//! form again with what was entered.
//!
//! A cookie of the form's path keeps it, and an address with [`PARAMETER`] shows it. The service stores nothing.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::cookies::UNSENT_FORM;
use super::error::{PageError, SignInFirst};
use super::form::{Form, Problems};
use super::reason::Reason;
use crate::web::session::IsPlainLoopback;

/// The parameter of an address that shows the form again.
const PARAMETER: &str = "unsent";

/// How long the form is kept, in seconds.
const LIFETIME_S: u32 = 10 * 60;

/// Browsers keep a cookie of up to 4096 bytes (RFC 6265, section 6.1).
const MAX_BYTES: usize = 4000;

/// What the page says above a form that it shows again.
const NOT_SENT: &str =
    "Your session had ended, so nothing was changed. Check what you entered, and send it again.";

/// Keeps a form that only a signed-in user can send.
pub(super) async fn keep(request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let path = request.uri().path().to_owned();
    let is_plain = matches!(request.extensions().get(), Some(IsPlainLoopback(true)));
    let (parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let body = match Bytes::from_request(whole, &()).await {
        Ok(body) => body,
        Err(rejection) => return rejection.into_response(),
    };
    let response = next.run(Request::from_parts(parts, Body::from(body.clone()))).await;
    if response.extensions().get::<SignInFirst>().is_none() {
        return response;
    }
    let reason = Some(Reason::FormNotSent);
    let kept = Form::parse(&body).to_keep();
    // A `;` would end the cookie's path.
    if kept.is_empty() || kept.len() > MAX_BYTES || path.contains(';') {
        return SignInFirst { next: path, reason }.into_response();
    }
    let first = SignInFirst { next: format!("{path}?{PARAMETER}"), reason };
    UNSENT_FORM
        .set(&path, &kept, LIFETIME_S, is_plain)
        .map_or_else(PageError::into_response, |cookie| (cookie, first).into_response())
}

/// The form to show again, if the address asks for it and the browser has it.
pub(super) struct Unsent(Option<Form>);

impl Unsent {
    /// What was entered, if the form is shown again.
    pub(super) fn form(&self) -> Option<&Form> {
        self.0.as_ref()
    }

    /// Only if the form was sent with this button.
    pub(super) fn of_action(self, action: &str) -> Self {
        Unsent(self.0.filter(|form| form.text("action") == action))
    }

    /// What the page says above the form.
    pub(super) fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        if self.0.is_some() {
            problems.add_whole(NOT_SENT);
        }
        problems
    }
}

impl<S: Sync> FromRequestParts<S> for Unsent {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let IsPlainLoopback(is_plain) =
            parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let kept = query.get(PARAMETER).and_then(|_| UNSENT_FORM.read(&parts.headers, is_plain));
        Ok(Unsent(kept.map(|kept| Form::parse(kept.as_bytes()))))
    }
}
