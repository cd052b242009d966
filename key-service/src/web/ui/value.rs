//! A secret: the one time that it is shown, with a command to try it.

use askama::Template;

use super::frame::Frame;

/// Shows a key's, a token's or a link's value that was just made.
#[derive(Template)]
#[template(path = "value.html")]
pub(super) struct ValuePage {
    /// Its title says what to do.
    pub(super) frame: Frame,
    /// What the value is: `Key`, `Token`, `Link`.
    pub(super) noun: &'static str,
    /// Whose or for what it is.
    pub(super) name: String,
    /// The value itself.
    pub(super) value: String,
    /// What to do with it.
    pub(super) advice: &'static str,
    /// What to try it with.
    pub(super) command: Option<Command>,
    /// What becomes of the value before this one, if there was one.
    pub(super) old_value: Option<String>,
    /// Where to go when it is stored.
    pub(super) back: String,
}

/// A command that sends a value.
pub(super) struct Command {
    /// The command.
    pub(super) line: String,
    /// What is to be put in before it can be run, if anything.
    pub(super) hint: &'static str,
}

impl Command {
    /// Asks `address` with the value as the credential.
    pub(super) fn curl(value: &str, address: &str, hint: &'static str) -> Self {
        Command { line: format!("curl -H \"Authorization: Bearer {value}\" \"{address}\""), hint }
    }
}
