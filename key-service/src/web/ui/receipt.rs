//! The page after a form: what the form did. The browser is redirected to it, so that a reload repeats nothing.

use std::borrow::Cow;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::error::PageError;
use super::frame::{Frame, Place, Rendered};
use super::outcome::{self, AwaitedChange, CompletedChange, Effect, OutcomePage};
use super::sealed::Seals;
use super::value::{NewValue, ValuePage};
use super::visitor::PageUser;
use crate::accounts::User;
use crate::revocation::Store;
use crate::revocation::propagation::Propagation;
use crate::web::state::AppState;

/// How long a value can be opened, which the browser does at once.
const VALUE_LIFETIME_S: u32 = 60;

/// How long the result of a change can be opened, and opened again.
const CHANGE_LIFETIME_S: u32 = 10 * 60;

/// What a form did, as the page after it shows it.
#[derive(Serialize, Deserialize)]
pub(super) struct Receipt {
    title: Cow<'static, str>,
    place: Place,
    shows: Shows,
    end: Option<Ending>,
}

#[derive(Serialize, Deserialize)]
enum Shows {
    NewValue(NewValue),
    Change(CompletedChange),
}

/// The last line of the page.
#[derive(Serialize, Deserialize)]
enum Ending {
    /// When every edge has a change.
    Propagated(AwaitedChange),
    /// A text.
    Text(Cow<'static, str>),
}

impl Receipt {
    /// The receipt of a new value, which is shown once.
    pub(super) fn of_value(title: &'static str, place: Place, new: NewValue) -> Self {
        Receipt { title: title.into(), place, shows: Shows::NewValue(new), end: None }
    }

    /// The receipt of a change.
    pub(super) fn of_change(title: &'static str, place: Place, change: CompletedChange) -> Self {
        Receipt { title: title.into(), place, shows: Shows::Change(change), end: None }
    }

    /// With this text as its end.
    pub(super) fn and(self, text: &'static str) -> Self {
        Receipt { end: Some(Ending::Text(text.into())), ..self }
    }

    /// With the progress of the change at the edges. The change is awaited even if nobody opens the page, for the metrics.
    pub(super) fn and_wait(self, propagation: Propagation, effect: Effect) -> Self {
        let wait = AwaitedChange::new(&propagation, effect);
        tokio::spawn(async move {
            if let Err(error) = propagation.wait().await {
                tracing::error!(%error, "the database failed");
            }
        });
        Receipt { end: Some(Ending::Propagated(wait)), ..self }
    }

    /// Redirects the user to `path`, where the receipt is shown.
    pub(super) fn redirect(&self, seals: &Seals, path: &str, user_id: &str) -> Result<Response, PageError> {
        let lifetime_s = match self.shows {
            Shows::NewValue(_) => VALUE_LIFETIME_S,
            Shows::Change(_) => CHANGE_LIFETIME_S,
        };
        seals.redirect(path, user_id, self, lifetime_s)
    }
}

/// Shows the receipt of an address. A value cannot be opened again afterwards.
///
/// The browser has chosen key and content, so a receipt is no proof: it shows what the service may tell this user.
pub(super) async fn page(
    store: &Store,
    user: Option<User>,
    seals: &Seals,
    ended: EndedPage,
) -> Result<Response, PageError> {
    let user_id = user.as_ref().map_or("", |user| &user.id);
    // Strangers see neither values nor edges.
    let may_see = |receipt: &Receipt| {
        user.is_some() || matches!((&receipt.shows, &receipt.end), (Shows::Change(_), Some(Ending::Text(_))))
    };
    let ended = if seals.is_repetition { ended.again() } else { ended };
    let receipt = seals.open::<Receipt>(user_id).filter(may_see);
    let Some(Receipt { title, place, shows, mut end }) = receipt else {
        let frame = user
            .map_or_else(|| Frame::outside(ended.title), |user| Frame::of(user, ended.place, ended.title));
        return Ok((StatusCode::NOT_FOUND, Rendered(EndedTemplate { frame, ended })).into_response());
    };
    if let Some(Ending::Propagated(wait)) = &end
        && !wait.is_known(store).await?
    {
        end = Some(Ending::Text("It is no longer known whether every edge has applied the change.".into()));
    }
    let frame = match user {
        Some(user) => Frame::of(user, place, title),
        None => Frame::outside(title),
    };
    let (page, cookie) = match shows {
        Shows::NewValue(new) => (ValuePage { frame, new }.render(), Some(seals.end()?)),
        Shows::Change(change) => (OutcomePage { frame, change }.render(), None),
    };
    let page = page.map_err(|error| PageError::internal(&error))?;
    let response = match end {
        Some(Ending::Propagated(wait)) => outcome::stream(&page, store, wait),
        Some(Ending::Text(text)) => Html(outcome::at_once(&page, &text)?).into_response(),
        None => Html(page).into_response(),
    };
    Ok((cookie, response).into_response())
}

/// The page of a receipt that can no longer be opened.
pub(super) struct EndedPage {
    title: &'static str,
    place: Place,
    text: Cow<'static, str>,
    /// The link to the next page: address and text.
    next: (String, &'static str),
}

#[derive(Template)]
#[template(path = "receipt_ended.html")]
struct EndedTemplate {
    frame: Frame,
    ended: EndedPage,
}

impl EndedPage {
    /// For a value, with a link to the page where the user gets another one.
    pub(super) fn of_value(place: Place, text: &'static str, next: (String, &'static str)) -> Self {
        EndedPage { title: "The value was shown once", place, text: text.into(), next }
    }

    /// For a form that was sent before: the browser may have dropped the answer, and with it the value.
    fn again(self) -> Self {
        let text = format!(
            "Your browser sent the form twice. Only the first time counted, and only the first answer had the value. {}",
            self.text
        );
        EndedPage { title: "The form was sent before", text: text.into(), ..self }
    }

    /// For a change.
    fn of_change() -> Self {
        EndedPage {
            title: "The result is no longer shown",
            place: Place::Outside,
            text: "The page of a result can be opened for ten minutes, in the browser that made the change."
                .into(),
            next: ("/".to_owned(), "Go to the start page"),
        }
    }
}

/// The page after a change.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
    seals: Seals,
) -> Result<Response, PageError> {
    page(&state.store, Some(user), &seals, EndedPage::of_change()).await
}

/// The page after a change that needs no sign-in.
pub(super) async fn show_outside(State(state): State<AppState>, seals: Seals) -> Result<Response, PageError> {
    page(&state.store, None, &seals, EndedPage::of_change()).await
}
