//! The page that shows a key's new value.

use protocol::{Action, ApiKey, Scope};

use crate::keys::Key;
use crate::web::public_url::PublicUrl;
use crate::web::ui::addresses;
use crate::web::ui::frame::Frame;
use crate::web::ui::value::{Command, ValuePage};

/// What reads each object, the most telling first.
const ROUTES: [(&str, &str); 5] = [
    ("project", "/api/projects/"),
    ("insight", "/api/insights/"),
    ("feature_flag", "/api/feature_flags/"),
    ("person", "/api/persons/"),
    ("cohort", "/api/cohorts/"),
];

/// The page of a key's value that was just created. Without `api_url` the reader has to put it in.
pub(super) fn page(frame: Frame, key: &Key, value: &ApiKey, api_url: Option<&PublicUrl>) -> ValuePage {
    let (api, hint) = match api_url {
        Some(url) => (url.to_string(), ""),
        None => ("https://YOUR-API-HOST".to_owned(), "Replace YOUR-API-HOST with the host name of your API."),
    };
    let address = format!("{api}{}", route_for(key));
    ValuePage {
        frame,
        noun: "Key",
        name: key.label.clone(),
        value: value.reveal().to_owned(),
        advice: "Copy it now into a secret store, never into a repository.",
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
