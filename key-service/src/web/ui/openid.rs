//! Signing in with an OpenID provider: to the provider, and back.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use openidconnect::RedirectUrl;
use tower_sessions::Session;

use super::addresses;
use super::cookies::OPENID;
use super::error::PageError;
use super::form::Form;
use super::frame::{Frame, Rendered};
use super::sign_in::{on_this_site, too_many_attempts, with_problem};
use crate::accounts::openid::{self, AuthorizationResponse, PendingSignIn, Provider, ProviderError};
use crate::time::Timestamp;
use crate::web::caller::Visitor;
use crate::web::public_url;
use crate::web::session::{self, IsPlainLoopback};
use crate::web::state::AppState;

/// How long the provider and the user have, in seconds.
const LIFETIME_S: u32 = 10 * 60;

/// The longest address to lead to after the sign-in. Browsers keep cookies of up to 4096 bytes.
const MAX_NEXT_BYTES: usize = 1_000;

/// The answer to a callback that does not belong to a sign-in of this browser.
const NOT_BEGUN_HERE: &str = "This sign-in has expired, or began in another tab or browser. Try again.";

/// The address that begins a sign-in with a provider, which then leads to `next`.
pub(super) fn address(provider: &str, next: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
    format!("/sign-in/openid/{provider}?{query}")
}

#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedInPage<'a> {
    frame: Frame,
    next: &'a str,
}

/// `GET /sign-in/openid/{provider}`: sends the browser to the provider. `next` is the page to show after the sign-in.
///
/// It counts as no attempt: it checks nothing, and any page of another site could make the browser send it.
pub(super) async fn begin(
    State(state): State<AppState>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, PageError> {
    let provider = find(&state, &name)?;
    let query = Form::parse(request.uri().query().unwrap_or_default().as_bytes());
    let next = on_this_site(query.text("next"));
    // A long address would not fit into the cookie.
    let next = if next.len() > MAX_NEXT_BYTES { addresses::KEYS } else { next };
    match provider.begin(redirect_url(&state, &name, &request)?, next).await {
        Ok((url, pending)) => {
            let pending = pending.encode().map_err(|error| PageError::internal(&error))?;
            let cookie = OPENID.set(&pending, LIFETIME_S, is_plain(&request))?;
            Ok((cookie, Redirect::to(&url)).into_response())
        }
        Err(error) => Ok(failed(&state, provider, next, &error)),
    }
}

/// `GET /sign-in/openid/{provider}/callback`: where the provider sends the browser back to.
///
/// The browser comes from another site, so it would not send the new session's `SameSite=Strict` cookie with a redirect. It does
/// when this page leads on.
pub(super) async fn finish(
    State(state): State<AppState>,
    Visitor(by): Visitor,
    session: Session,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, PageError> {
    let provider = find(&state, &name)?;
    let answer = Form::parse(request.uri().query().unwrap_or_default().as_bytes());
    let forget = OPENID.remove(is_plain(&request))?;
    let pending = pending(&request);
    let Some(pending) = pending.filter(|pending| pending.is_answered(&name, answer.text("state"))) else {
        // The cookie may be that of a sign-in in another tab, which can still end.
        return Ok(with_problem(&state, on_this_site(""), StatusCode::BAD_REQUEST, NOT_BEGUN_HERE));
    };
    let next = on_this_site(&pending.next);
    if let Err(wait) = state.limits.admit_visitor(&by) {
        let page = with_problem(&state, next, StatusCode::TOO_MANY_REQUESTS, &too_many_attempts(wait));
        return Ok((forget, page).into_response());
    }
    let Some(code) = answer.get("code") else {
        tracing::info!(provider = name, error = answer.text("error"), "the OpenID provider signed nobody in");
        let problem = format!("{} did not sign you in. Try again.", provider.settings.title);
        return Ok((forget, with_problem(&state, next, StatusCode::UNAUTHORIZED, &problem)).into_response());
    };
    let redirect = redirect_url(&state, &name, &request)?;
    let answer =
        AuthorizationResponse { code: code.to_owned(), issuer: answer.get("iss").map(str::to_owned) };
    let claims = match provider.finish(redirect, &pending, answer).await {
        Ok(claims) => claims,
        Err(error) => return Ok((forget, failed(&state, provider, next, &error)).into_response()),
    };
    let page = match openid::sign_in(&state.store, &by, &provider.settings, &claims).await? {
        Ok(user) => {
            session::begin_with_provider(&session, &user, Timestamp::now()).await?;
            let page = SignedInPage { frame: Frame::outside("You are signed in"), next };
            ([(header::REFRESH, format!("0;url={next}"))], Rendered(page)).into_response()
        }
        Err(refusal) => {
            tracing::info!(provider = name, because = refusal.as_str(), "refused a sign-in with OpenID");
            with_problem(&state, next, StatusCode::FORBIDDEN, &refusal.to_string())
        }
    };
    Ok((forget, page).into_response())
}

fn find<'a>(state: &'a AppState, name: &str) -> Result<&'a Provider, PageError> {
    state.providers.find(name).ok_or_else(|| PageError::of_status(StatusCode::NOT_FOUND))
}

/// The page after a failure of the provider. The cause is only logged.
fn failed(state: &AppState, provider: &Provider, next: &str, error: &ProviderError) -> Response {
    tracing::warn!(provider = provider.settings.name, %error, "a sign-in with the OpenID provider failed");
    let title = &provider.settings.title;
    let (status, problem) = match error.is_outage() {
        true => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{title} does not work now. Try again in a moment."))
        }
        false => (StatusCode::UNAUTHORIZED, format!("The answer of {title} is not valid. Try again.")),
    };
    with_problem(state, next, status, &problem)
}

/// The address to which the provider sends the browser back. Each provider has its own, so that an answer of one cannot be taken
/// for another's.
fn redirect_url(state: &AppState, name: &str, request: &Request) -> Result<RedirectUrl, PageError> {
    let base = public_url::base(state.public_url.as_ref(), request.headers());
    RedirectUrl::new(format!("{base}/sign-in/openid/{name}/callback"))
        .map_err(|error| PageError::internal(&error))
}

/// The sign-in that this browser has begun.
fn pending(request: &Request) -> Option<PendingSignIn> {
    PendingSignIn::decode(&OPENID.read(request.headers(), is_plain(request))?)
}

fn is_plain(request: &Request) -> bool {
    matches!(request.extensions().get(), Some(IsPlainLoopback(true)))
}
