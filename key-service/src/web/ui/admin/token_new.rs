//! Creates a management token.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use strum::VariantArray;

use crate::accounts::management_tokens::{self, NewToken, Verb, Verbs};
use crate::accounts::{self, AccountError, User};
use crate::time::Timestamp;
use crate::validation::Violation;
use crate::web::public_url;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::expiry::ExpiryChoice;
use crate::web::ui::form::{Form, Problems, new_form_id};
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::receipt::{self, EndedPage, Receipt};
use crate::web::ui::sealed::{Seals, redirect_again};
use crate::web::ui::unsent::Kept;
use crate::web::ui::value::{Command, NewValue};
use crate::web::ui::visitor::PageAdmin;

#[derive(Template)]
#[template(path = "admin/token_new.html")]
struct NewTokenPage {
    frame: Frame,
    label: String,
    is_for_all: bool,
    /// The addresses as entered, one on each line.
    users: String,
    /// The verbs: each with its meaning, and whether it is chosen.
    verbs: Vec<(Verb, &'static str, bool)>,
    expiry: ExpiryChoice,
    problems: Problems,
    form_id: String,
}

impl NewTokenPage {
    fn of(user: User, form: &Form, expiry: ExpiryChoice, problems: Problems) -> Rendered<Self> {
        Rendered(NewTokenPage {
            frame: Frame::of(user, Place::Tokens, "Create a token"),
            label: form.text("label").to_owned(),
            is_for_all: form.text("reach") == "all",
            users: form.text("users").to_owned(),
            verbs: Verb::VARIANTS.iter().map(|&verb| (verb, meaning(verb), is_chosen(form, verb))).collect(),
            expiry,
            problems,
            form_id: new_form_id(),
        })
    }
}

/// `GET /admin/tokens/new`.
pub(super) async fn show(PageAdmin { user, .. }: PageAdmin, kept: Kept) -> Response {
    let unsent = kept.of(&user);
    if let Some(form) = unsent.form() {
        let expiry = ExpiryChoice::suggested().sent(form);
        return NewTokenPage::of(user, form, expiry, unsent.problems()).into_response();
    }
    let chosen: Vec<_> = Verbs::default().iter().map(|verb| format!("can.{}=yes", verb.as_str())).collect();
    let form = Form::parse(chosen.join("&").as_bytes());
    NewTokenPage::of(user, &form, ExpiryChoice::suggested(), Problems::default()).into_response()
}

/// `POST /admin/tokens/new`: creates the token, and leads to its value.
pub(super) async fn submit(
    PageAdmin { user, by }: PageAdmin,
    State(state): State<AppState>,
    headers: HeaderMap,
    seals: Seals,
    form: Form,
) -> Result<Response, PageError> {
    let now = Timestamp::now();
    let expiry = ExpiryChoice::suggested().sent(&form);
    let mut problems = Problems::default();
    let label = problems.check("label", form.text("label").parse());
    let user_ids = user_ids(&state, &form).await?;
    let user_ids = problems.check("users", user_ids);
    let can = problems.check("can", can(&form));
    let expires_at = problems.check("expires_at", expiry.check(now));
    let (Some(label), Some(user_ids), Some(can), Some(expires_at)) = (label, user_ids, can, expires_at)
    else {
        return Ok((StatusCode::BAD_REQUEST, NewTokenPage::of(user, &form, expiry, problems)).into_response());
    };
    let can_read = can.permit(Verb::Read);
    let new = NewToken { label, user_ids, can, expires_at: expires_at.flatten() };
    let request = form.repeatable(&by);
    let (token, value) =
        management_tokens::create_once(&state.store, &by, new, now, request.as_ref()).await?;
    let page = format!("{}/{}/value", addresses::TOKENS, token.id);
    let Some(value) = value else { return Ok(redirect_again(&page).into_response()) };
    let address = public_url::base(state.public_url.as_ref(), &headers) + "/api/keys/";
    let new = NewValue {
        noun: "Token".into(),
        name: token.label,
        value: value.reveal().to_owned(),
        advice: "Copy it now into your automation's secret store. Anyone who has it can use it.".into(),
        // It lists keys, which only `read` allows.
        command: can_read.then(|| Command::curl(value.reveal(), &address, "")),
        old_value: None,
        back: addresses::TOKENS.to_owned(),
    };
    let receipt = Receipt::of_value("Store your new token", Place::Tokens, new);
    receipt.redirect(&seals, &page, &user.id)
}

/// `GET /admin/tokens/{id}/value`: shows the value once.
pub(super) async fn show_value(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
    seals: Seals,
) -> Result<Response, PageError> {
    let text = "If you have not stored it, revoke the token and create another one.";
    let next = (addresses::TOKENS.to_owned(), "Go to the tokens");
    receipt::page(&state.store, Some(user), &seals, EndedPage::of_value(Place::Tokens, text, next)).await
}

/// The meaning of a verb.
fn meaning(verb: Verb) -> &'static str {
    match verb {
        Verb::Read => "List and show keys and users.",
        Verb::Revoke => "Delete keys, disable and delete users, report leaks.",
        Verb::Create => "Create, roll and change keys, add and change users, create links.",
    }
}

fn is_chosen(form: &Form, verb: Verb) -> bool {
    form.text(&format!("can.{}", verb.as_str())) == "yes"
}

/// The chosen verbs.
fn can(form: &Form) -> Result<Verbs, Violation> {
    let chosen: Vec<_> = Verb::VARIANTS.iter().copied().filter(|&verb| is_chosen(form, verb)).collect();
    Verbs::try_from(chosen).map_err(|_| Violation::input("Choose at least one."))
}

/// The users whose keys the token manages.
async fn user_ids(
    state: &AppState,
    form: &Form,
) -> Result<Result<Option<Vec<String>>, Violation>, PageError> {
    if form.text("reach") == "all" {
        return Ok(Ok(None));
    }
    let mut ids = Vec::new();
    for email in form.text("users").split([',', '\n']).map(str::trim).filter(|email| !email.is_empty()) {
        match accounts::find_by_email(&state.store, email).await {
            Ok(user) => ids.push(user.id),
            Err(AccountError::NoSuchUser(_) | AccountError::Invalid(_)) => {
                return Ok(Err(Violation::input(format!("No user has this address: {email}"))));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if ids.is_empty() {
        return Ok(Err(Violation::input("Enter at least one address, or choose all users.")));
    }
    Ok(Ok(Some(ids)))
}
