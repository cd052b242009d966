//! Signing in and out.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use tower_sessions::Session;

use super::addresses;
use super::error::PageError;
use super::form::{Form, Problems};
use super::frame::{Frame, Rendered};
use super::openid;
use super::reason::Reason;
use super::visitor::MaybeSignedIn;
use crate::accounts::openid::Provider;
use crate::accounts::passwords::Password;
use crate::accounts::{self, AccountError};
use crate::time::Timestamp;
use crate::validation::NonEmpty;
use crate::web::caller::Visitor;
use crate::web::session::{self, PASSWORDS_ARE_OFF};
use crate::web::state::AppState;
use crate::web::throttle::rate_limit::Wait;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    reason: Option<Reason>,
    problems: Problems,
    email: String,
    next: String,
    /// Whether users can sign in with passwords.
    has_passwords: bool,
    /// The address and the name of each provider.
    providers: Vec<(String, String)>,
    /// Whether the page for leaked values exists.
    has_leak_page: bool,
}

impl SignInPage {
    fn new(state: &AppState, email: &str, next: &str, problems: Problems) -> Rendered<Self> {
        let (frame, has_leak_page) = (Frame::outside("Sign in"), state.leak_reports.is_some());
        let address = |provider: &Provider| openid::address(&provider.settings.name, next);
        let providers = state.providers.iter();
        let providers = providers.map(|provider| (address(provider), provider.settings.title.clone()));
        Rendered(SignInPage {
            frame,
            reason: None,
            problems,
            email: email.to_owned(),
            next: next.to_owned(),
            has_passwords: state.has_passwords,
            providers: providers.collect(),
            has_leak_page,
        })
    }
}

/// The sign-in page with one problem.
pub(super) fn with_problem(state: &AppState, next: &str, status: StatusCode, problem: &str) -> Response {
    let mut problems = Problems::default();
    problems.add_whole(problem);
    (status, SignInPage::new(state, "", next, problems)).into_response()
}

/// `next` if it is a path of this site, else the start page. Browsers read `//` and `/\` as another host, and remove control
/// characters first.
pub(super) fn on_this_site(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//");
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_path && is_plain { next } else { addresses::KEYS }
}

/// `GET /sign-in`; `next` is the page to show afterwards.
///
/// When a link on another site leads here, browsers do not send a `SameSite=Strict` cookie. They do send it when the page
/// reloads itself. So the page reloads once, and a signed-in user is not asked to sign in again.
pub(super) async fn show(
    State(state): State<AppState>,
    MaybeSignedIn(user): MaybeSignedIn,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    let next = on_this_site(query.text("next"));
    if user.is_some() {
        return Redirect::to(next).into_response();
    }
    let Rendered(page) = SignInPage::new(&state, "", next, Problems::default());
    let page = Rendered(SignInPage { reason: query.text("reason").parse().ok(), ..page });
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return ([(header::REFRESH, "0")], page).into_response();
    }
    page.into_response()
}

/// `POST /sign-in`.
pub(super) async fn submit(
    State(state): State<AppState>,
    Visitor(by): Visitor,
    session: Session,
    form: Form,
) -> Result<Response, PageError> {
    let email = form.text("email");
    let next = on_this_site(form.text("next"));
    if !state.has_passwords {
        return Ok(with_problem(&state, next, StatusCode::FORBIDDEN, PASSWORDS_ARE_OFF));
    }
    let mut problems = Problems::default();
    let entered = problems.check("email", NonEmpty::try_from(email.to_owned()));
    let password = problems.check("password", Password::try_from(form.text("password").to_owned()));
    let (Some(_), Some(password)) = (entered, password) else {
        return Ok((StatusCode::BAD_REQUEST, SignInPage::new(&state, email, next, problems)).into_response());
    };
    if let Err(wait) = state.limits.admit(&state.store, &by, email).await? {
        accounts::sign_in_throttled(&state.store, &state.refusals, &by, email).await?;
        problems.add_whole(too_many_attempts(wait));
        let retry_after = [(header::RETRY_AFTER, wait.seconds.to_string())];
        let page = SignInPage::new(&state, email, next, problems);
        return Ok((StatusCode::TOO_MANY_REQUESTS, retry_after, page).into_response());
    }
    let (passwords, providers) = (&state.passwords, &state.providers);
    let user = match accounts::authenticate(&state.store, &by, passwords, providers, email, password).await {
        Err(error @ AccountError::DecidedByGroups(_)) => {
            problems.add_whole(error.to_string());
            return Ok(
                (StatusCode::FORBIDDEN, SignInPage::new(&state, email, next, problems)).into_response()
            );
        }
        user => user?,
    };
    let Some(user) = user else {
        problems.add_whole("The email or the password is wrong.");
        return Ok((StatusCode::UNAUTHORIZED, SignInPage::new(&state, email, next, problems)).into_response());
    };
    session::begin(&session, &user, Timestamp::now()).await?;
    Ok(Redirect::to(next).into_response())
}

/// The message after too many attempts.
pub(super) fn too_many_attempts(wait: Wait) -> String {
    let seconds = if wait.seconds == 1 { "1 second".to_owned() } else { format!("{} seconds", wait.seconds) };
    format!("Too many attempts. Wait {seconds}, then try again.")
}

/// `POST /sign-out`.
pub(super) async fn sign_out(
    State(state): State<AppState>,
    Visitor(by): Visitor,
    session: Session,
) -> Result<Redirect, PageError> {
    session::end(&session, &state.store, by).await?;
    Ok(Redirect::to("/sign-in"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_nowhere_but_to_this_site() {
        assert_eq!(on_this_site("/account/keys/new?x=1"), "/account/keys/new?x=1");
        for elsewhere in [
            "",
            "account",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "\\\\evil.example",
            "javascript:alert(1)",
            "/a\r\nset-cookie: x=1",
        ] {
            assert_eq!(on_this_site(elsewhere), addresses::KEYS, "{elsewhere:?}");
        }
    }

    #[test]
    fn where_to_go_next_is_encoded() {
        assert_eq!(addresses::sign_in("/a?b=c&d", None), "/sign-in?next=%2Fa%3Fb%3Dc%26d");
        let address = addresses::sign_in("/a", Some(Reason::SessionEnded));
        assert_eq!(address, "/sign-in?next=%2Fa&reason=session_ended");
    }
}
