//! A form that arrived without a session, because the session had ended: the form changes nothing, the user signs in, and sees the
//! form again with what was entered.
//!
//! A cookie keeps the form, and an address with [`PARAMETER`] shows it, once and only to the user to whom the form was shown before.
//! The service stores nothing.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::cookies::UNSENT_FORM;
use super::error::{PageError, SignInFirst};
use super::form::{Form, Problems};
use super::reason::Reason;
use crate::accounts::User;
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

/// The field with the id of the user to whom a form was shown.
const SENDER: &str = "sender";

/// Before the fields of a kept form: the path to which it was sent.
const PATH: &str = "path";

/// Keeps a form that only a signed-in user can send, and removes one that was shown again or sent.
pub(super) async fn keep(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_plain = matches!(request.extensions().get(), Some(IsPlainLoopback(true)));
    let has_kept = kept(request.headers(), &path, is_plain).is_some();
    if request.method() != Method::POST {
        let shows = has_kept && asks(request.uri());
        let response = next.run(request).await;
        return if shows && response.status().is_success() { without(response, is_plain) } else { response };
    }
    let (parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let body = match Bytes::from_request(whole, &()).await {
        Ok(body) => body,
        Err(rejection) => return rejection.into_response(),
    };
    let response = next.run(Request::from_parts(parts, Body::from(body.clone()))).await;
    if response.extensions().get::<SignInFirst>().is_none() {
        return if has_kept { without(response, is_plain) } else { response };
    }
    let reason = Some(Reason::FormNotSent);
    let form = Form::parse(&body);
    let kept = form.to_keep(PATH, &path);
    if form.get(SENDER).is_none() || kept.len() > MAX_BYTES {
        return SignInFirst { next: path, reason }.into_response();
    }
    let first = SignInFirst { next: format!("{path}?{PARAMETER}"), reason };
    UNSENT_FORM
        .set(&kept, LIFETIME_S, is_plain)
        .map_or_else(PageError::into_response, |cookie| (cookie, first).into_response())
}

/// The form that the browser keeps for this path.
fn kept(headers: &HeaderMap, path: &str, is_plain: bool) -> Option<Form> {
    let form = Form::parse(UNSENT_FORM.read(headers, is_plain)?.as_bytes());
    (form.text(PATH) == path).then_some(form)
}

/// Whether the address shows a kept form.
fn asks(uri: &Uri) -> bool {
    Form::parse(uri.query().unwrap_or_default().as_bytes()).get(PARAMETER).is_some()
}

/// The response, which removes the kept form.
fn without(response: Response, is_plain: bool) -> Response {
    UNSENT_FORM
        .remove(is_plain)
        .map_or_else(PageError::into_response, |cookie| (cookie, response).into_response())
}

/// The form that the address asks for, if the browser has it.
pub(super) struct Kept(Option<Form>);

impl Kept {
    /// The form to show to this user.
    pub(super) fn of(self, user: &User) -> Unsent {
        Unsent(self.0.filter(|form| form.text(SENDER) == user.id))
    }
}

/// The form to show again, if any.
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

impl<S: Sync> FromRequestParts<S> for Kept {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let IsPlainLoopback(is_plain) =
            parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let form = kept(&parts.headers, parts.uri.path(), is_plain);
        Ok(Kept(form.filter(|_| asks(&parts.uri))))
    }
}
