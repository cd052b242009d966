//! The page that shows a key's new value.

use axum::extract::{Path, State};
use axum::response::Response;
use protocol::{Action, ApiKey, Scope};

use crate::catalogue::Catalogue;
use crate::keys::Key;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::Place;
use crate::web::ui::receipt::{self, EndedPage};
use crate::web::ui::sealed::Seals;
use crate::web::ui::value::{Command, NewValue};
use crate::web::ui::visitor::PageUser;

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
    receipt::page(&state.store, Some(user), &seals, EndedPage::of_value(Place::Keys, text, next)).await
}

/// The value of a key that was just created or rolled. Without the URL of the API the reader has to put it in.
pub(super) fn new_value(key: &Key, value: &ApiKey, state: &AppState) -> NewValue {
    let (api, hint) = match &state.api_url {
        Some(url) => (url.to_string(), ""),
        None => ("https://YOUR-API-HOST".to_owned(), "Replace YOUR-API-HOST with the host name of your API."),
    };
    let command = example(&state.catalogue, key)
        .map(|path| Command::curl(value.reveal(), &format!("{api}{path}"), hint));
    NewValue {
        noun: "Key".into(),
        name: key.label.clone(),
        value: value.reveal().to_owned(),
        advice: "Copy it now into a secret store, never into a repository.".into(),
        command,
        old_value: None,
        back: addresses::KEYS.to_owned(),
    }
}

/// The first example of the catalogue that the key may get.
fn example(catalogue: &Catalogue, key: &Key) -> Option<String> {
    let may_read = |object: &str| {
        let action = Action::Read;
        key.scopes.permits(&Scope::Object { object: object.into(), action })
    };
    let readable = catalogue.objects().iter().filter(|object| may_read(&object.object));
    readable.filter_map(|object| object.example.as_ref()?.within(&key.restrictions)).next()
}
