//! What became of a change: told in the page as it happens.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};

use super::error::PageError;
use super::frame::Frame;
use crate::leases::Revocation;

/// Stands in a template where the lines are to come. What people enter is escaped, so none of it is taken for this.
const LINES: &str = "<!-- lines -->";

/// What edges do once a change is in force.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// They refuse a value.
    Refused,
    /// They go by new rules.
    InForce,
}

/// Tells that something was done.
#[derive(Template)]
#[template(path = "outcome.html")]
pub(super) struct OutcomePage {
    /// Its title says what was done.
    pub(super) frame: Frame,
    /// To what: a key's label, a user's address.
    pub(super) name: String,
    /// A key's mask.
    pub(super) mask: Option<String>,
    /// Where to go from here: address and text.
    pub(super) back: (&'static str, &'static str),
}

impl OutcomePage {
    pub(super) fn after(self, revocation: Option<Revocation>, effect: Effect) -> Result<Response, PageError> {
        match revocation {
            Some(revocation) => respond(&self, revocation, effect),
            None => respond_with(&self, "Nothing had to change at the edges."),
        }
    }
}

pub(super) fn respond(
    page: &impl Template,
    revocation: Revocation,
    effect: Effect,
) -> Result<Response, PageError> {
    respond_with(page, &format!("{effect:?} {revocation:?}"))
}

fn respond_with(page: &impl Template, line: &str) -> Result<Response, PageError> {
    let html = page.render().map_err(|error| PageError::internal(&error))?;
    Ok(Html(html.replace(LINES, &format!("<p id=\"result\" role=\"status\" class=\"result\">{line}</p>")))
        .into_response())
}
