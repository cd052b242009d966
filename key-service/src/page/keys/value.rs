//! A key's value: the one time that it is shown, with a command to try it.

use askama::Template;
use protocol::{Action, ApiKey, Scope};

use crate::api::PublicUrl;
use crate::keys::Key;
use crate::page::frame::Frame;

/// Stands in the command where nobody told the API's address.
const UNKNOWN_API: &str = "https://YOUR-API-HOST";

/// What reads each object, the most telling first.
const ROUTES: [(&str, &str); 5] = [
    ("project", "/api/projects/"),
    ("insight", "/api/insights/"),
    ("feature_flag", "/api/feature_flags/"),
    ("person", "/api/persons/"),
    ("cohort", "/api/cohorts/"),
];

/// Shows a value that was just made.
#[derive(Template)]
#[template(path = "keys/value.html")]
pub(super) struct ValuePage {
    frame: Frame,
    label: String,
    value: String,
    command: String,
    knows_api: bool,
    /// What becomes of the value before this one, if there was one.
    pub(super) old_value: Option<String>,
}

impl ValuePage {
    /// For a key's new value.
    pub(super) fn new(frame: Frame, key: &Key, value: &ApiKey, api_url: Option<&PublicUrl>) -> Self {
        let api = api_url.map_or(UNKNOWN_API, PublicUrl::origin);
        let command =
            format!("curl -H \"Authorization: Bearer {}\" \"{api}{}\"", value.reveal(), route_for(key));
        ValuePage {
            frame,
            label: key.label.clone(),
            value: value.reveal().to_owned(),
            command,
            knows_api: api_url.is_some(),
            old_value: None,
        }
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
