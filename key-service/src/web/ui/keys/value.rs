//! The page that shows a key's new value.

use axum::extract::{Path, State};
use axum::response::Response;
use protocol::{Action, ApiKey, Scope};

use crate::keys::Key;
use crate::web::public_url::PublicUrl;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::Place;
use crate::web::ui::receipt::{self, EndedPage};
use crate::web::ui::sealed::Seals;
use crate::web::ui::value::{Command, NewValue};
use crate::web::ui::visitor::PageUser;

/// What reads each object, the most telling first.
const ROUTES: [(&str, &str); 5] = [
    ("project", "/api/projects/"),
    ("insight", "/api/insights/"),
    ("feature_flag", "/api/feature_flags/"),
    ("person", "/api/persons/"),
    ("cohort", "/api/cohorts/"),
];

/// The address of the page that shows the value of a key.
pub(super) fn address(key: &Key) -> String {
    format!("{}/{}/value", addresses::KEYS, key.id)
}

/// `GET /account/keys/{id}/value`: shows the value once.
pub(super) async fn show(
    PageUser { user, .. }: PageUser,
    State(state): State<AppState>,
    Path(id): Path<String>,
    seals: Seals,
) -> Result<Response, PageError> {
    let text = "If you have not stored it, roll the key: it gets a new value.";
    let next = (format!("{}/{id}/roll", addresses::KEYS), "Roll key");
    receipt::page(&state.store, Some(user), &seals, EndedPage::of_value(Place::Keys, text, next))
}

/// The value of a key that was just created or rolled. Without `api_url` the reader has to put it in.
pub(super) fn new_value(key: &Key, value: &ApiKey, api_url: Option<&PublicUrl>) -> NewValue {
    let (api, hint) = match api_url {
        Some(url) => (url.to_string(), ""),
        None => ("https://YOUR-API-HOST".to_owned(), "Replace YOUR-API-HOST with the host name of your API."),
    };
    let address = format!("{api}{}", route_for(key));
    NewValue {
        noun: "Key".into(),
        name: key.label.clone(),
        value: value.reveal().to_owned(),
        advice: "Copy it now into a secret store, never into a repository.".into(),
        command: Some(Command::curl(value.reveal(), &address, hint)),
        old_value: None,
        back: addresses::KEYS.to_owned(),
    }
}

/// A route that the key may read; the first where none is known.
fn route_for(key: &Key) -> &'static str {
    let may_read = |object: &str| {
        let action = Action::Read;
        key.scopes.permits(&Scope::Object { object: object.into(), action })
    };
    ROUTES.iter().find(|(object, _)| may_read(object)).unwrap_or(&ROUTES[0]).1
}
