//! Shows a new secret once, with a command to try it.

use std::borrow::Cow;

use askama::Template;
use serde::{Deserialize, Serialize};

use super::frame::Frame;

/// A new key, token or link.
#[derive(Serialize, Deserialize)]
pub(super) struct NewValue {
    /// The kind of value: `Key`, `Token`, `Link`.
    pub(super) noun: Cow<'static, str>,
    /// The label of the key or token, or the user of the link.
    pub(super) name: String,
    /// The value itself.
    pub(super) value: String,
    /// How to store it.
    pub(super) advice: Cow<'static, str>,
    /// A command to try it.
    pub(super) command: Option<Command>,
    /// What happens to the old value, if there is one.
    pub(super) old_value: Option<String>,
    /// The next page, after the value is stored.
    pub(super) back: String,
}

/// The page of a new value.
#[derive(Template)]
#[template(path = "value.html")]
pub(super) struct ValuePage {
    /// Its title says what to do next.
    pub(super) frame: Frame,
    pub(super) new: NewValue,
}

/// A command that sends a value.
#[derive(Serialize, Deserialize)]
pub(super) struct Command {
    /// The command.
    pub(super) line: String,
    /// A part of the command that the user must replace, if any.
    pub(super) hint: Cow<'static, str>,
}

impl Command {
    /// Sends a request to `address` with the value as the credential.
    pub(super) fn curl(value: &str, address: &str, hint: &'static str) -> Self {
        let line = format!("curl -H \"Authorization: Bearer {value}\" \"{address}\"");
        Command { line, hint: hint.into() }
    }
}
