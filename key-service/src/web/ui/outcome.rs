//! Shows the progress of a change, line by line as it happens, until every edge has applied it.

use std::borrow::Cow;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use leases::{Position, Progress};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::error::PageError;
use super::frame::Frame;
use crate::db;
use crate::revocation::propagation::{Propagation, Revocation, in_words, without_time};
use crate::revocation::revision;
use crate::revocation::{Store, edges};
use crate::time::Timestamp;

/// Marks the place of the lines in a template. Text that users enter is escaped, so it never contains this.
const LINES: &str = "<!-- lines -->";

/// Replaces a line that cannot be rendered.
const RENDER_FAILED: &str = "<p class=\"line\">The result cannot be shown. See the service's log.</p>\n";

/// A page that is opened later after a change than this does not know when the edges applied it.
const PROMPT_MS: i64 = 2_000;

/// What a change does on the edges.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Effect {
    /// They refuse one or more values.
    Refused,
    /// They use the new state.
    Active,
}

/// A change that edges have to apply. Any replica can await it, any number of times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AwaitedChange {
    epoch: String,
    revision: u64,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    made_at: i64,
    effect: Effect,
}

impl AwaitedChange {
    /// The wait for a change that was made just now.
    pub(super) fn new(propagation: &Propagation, effect: Effect) -> Self {
        let Position { epoch, revision } = propagation.position().clone();
        AwaitedChange { epoch, revision, made_at: Timestamp::now().unix_ms(), effect }
    }

    /// Whether the database has made this change. A restored database has not, and an address can name any change.
    pub(super) async fn is_known(&self, store: &Store) -> db::Result<bool> {
        let current = revision::current(store.pool()).await?;
        Ok(self.epoch == current.epoch && self.revision <= current.revision)
    }
}

/// A completed change, as its page shows it.
#[derive(Serialize, Deserialize)]
pub(super) struct CompletedChange {
    /// The object of the change: a key's label, a user's address.
    pub(super) name: String,
    /// The mask of a key or token.
    pub(super) mask: Option<String>,
    /// Further effects of the change.
    pub(super) notes: Vec<String>,
    /// The link to the next page: address and text.
    pub(super) back: (String, Cow<'static, str>),
}

/// The page of a completed change.
#[derive(Template)]
#[template(path = "outcome.html")]
pub(super) struct OutcomePage {
    /// Its title names the change.
    pub(super) frame: Frame,
    pub(super) change: CompletedChange,
}

#[derive(Template)]
#[template(source = "<p class=\"line\">{{ text }}</p>\n", ext = "html")]
struct OutcomeLine {
    text: String,
}

#[derive(Template)]
#[template(
    source = "<p id=\"result\" role=\"status\" class=\"result{% if is_unsure %} unsure{% endif %}\">{{ text }}</p>\n",
    ext = "html"
)]
struct ResultLine {
    text: String,
    is_unsure: bool,
}

/// Sends the page up to the lines, then the edges that the change waits for, then the result and the rest of the page.
pub(super) fn stream(page: &str, store: &Store, wait: AwaitedChange) -> Response {
    let AwaitedChange { epoch, revision, made_at, effect } = wait;
    let propagation = Propagation::of_earlier_changes(store, Position { epoch, revision });
    let is_prompt = ms_since(made_at) <= PROMPT_MS;
    let (head, tail) = halves(page);
    let (sender, mut receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        // The receiver is gone if the browser disconnected.
        let send = |html: String| drop(sender.send(Ok::<_, askama::Error>(html)));
        send(head);
        let mut last = String::new();
        let watcher = |progress: &Progress| {
            let text = waiting(progress, effect);
            if text != last {
                last.clone_from(&text);
                send(rendered(&OutcomeLine { text }));
            }
        };
        let result = match propagation.wait_with_progress(watcher).await {
            Ok(revocation) => {
                let since_change_ms = is_prompt.then(|| ms_since(made_at).unsigned_abs());
                ResultLine { text: result(revocation, effect, since_change_ms), is_unsure: false }
            }
            Err(error) => {
                tracing::error!(%error, "the database failed");
                let text = "The change is saved, but the database failed before every edge confirmed it. \
                            The other edges apply it when their caches expire, or earlier.";
                ResultLine { text: text.to_owned(), is_unsure: true }
            }
        };
        send(rendered(&result) + &tail);
    });
    let body = Body::from_stream(stream::poll_fn(move |context| receiver.poll_recv(context)));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        // nginx would buffer the lines until the last one.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

/// The page of a change that edges need not apply, or have applied.
pub(super) fn at_once(page: &str, text: &str) -> Result<String, PageError> {
    let (head, tail) = halves(page);
    let line = ResultLine { text: text.to_owned(), is_unsure: false };
    let line = line.render().map_err(|error| PageError::internal(&error))?;
    Ok(head + &line + &tail)
}

/// Clocks of replicas differ, so a change of another replica can lie ahead.
fn ms_since(made_at: i64) -> i64 {
    (Timestamp::now().unix_ms() - made_at).max(0)
}

/// A line of a page that was already sent in part, so a failure becomes a line too.
fn rendered(line: &impl Template) -> String {
    line.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a line of a page cannot be rendered");
        RENDER_FAILED.to_owned()
    })
}

fn halves(page: &str) -> (String, String) {
    let (head, tail) = page.split_once(LINES).unwrap_or((page, ""));
    (head.to_owned(), tail.to_owned())
}

/// "5 of 6 edges refuse it; still waiting for 3f9a1c20…, at most 4 s more."
fn waiting(progress: &Progress, effect: Effect) -> String {
    let does = match effect {
        Effect::Refused => "refuse it",
        Effect::Active => "have applied it",
    };
    let done = progress.acknowledged + progress.expired;
    let seconds = |ms: u64| format!("at most {} s more", ms.div_ceil(1000));
    let mut text = format!("{done} of {} {does}", edges_of(progress.edges));
    if let Some(ends_in_ms) = progress.ends_in_ms {
        let mut names: Vec<_> = progress.named.iter().map(|edge| edges::shown(edge)).collect();
        let others = progress.edges.saturating_sub(done + names.len());
        if others > 0 {
            names.push(format!("{others} more"));
        }
        text += &format!("; still waiting for {}, {}", names.join(", "), seconds(ends_in_ms));
    }
    if let Some(ms) = progress.lost_leases_for_ms {
        text +=
            &format!("; edges that were connected before a restart may use the old state {}", seconds(ms));
    }
    text + "."
}

/// The result, with the time since the change if the page knows it.
fn result(revocation: Revocation, effect: Effect, since_change_ms: Option<u64>) -> String {
    let is = match effect {
        Effect::Refused => "Refused",
        Effect::Active => "Active",
    };
    let words = match since_change_ms {
        Some(elapsed_ms) => in_words(&Revocation { elapsed_ms, ..revocation }, is),
        None => without_time(&revocation, is),
    };
    words + "."
}

fn edges_of(count: usize) -> String {
    if count == 1 { "1 edge".to_owned() } else { format!("{count} edges") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_change_shows_the_edges_it_waits_for() {
        let mut progress = Progress {
            edges: 6,
            acknowledged: 4,
            expired: 1,
            named: vec!["3f9a".repeat(4)],
            ends_in_ms: Some(3_001),
            lost_leases_for_ms: None,
        };
        assert_eq!(
            waiting(&progress, Effect::Refused),
            "5 of 6 edges refuse it; still waiting for 3f9a3f9a…, at most 4 s more."
        );
        progress = Progress { acknowledged: 0, named: ["a", "b", "c"].map(str::to_owned).into(), ..progress };
        progress.ends_in_ms = Some(900);
        let text = waiting(&progress, Effect::Active);
        assert!(text.contains("have applied it") && text.contains(", 2 more, at most 1 s more"), "{text}");
    }

    #[test]
    fn a_line_that_cannot_be_rendered_is_replaced() {
        struct Broken;
        impl std::fmt::Display for Broken {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                Err(std::fmt::Error)
            }
        }
        #[derive(Template)]
        #[template(source = "{{ text }}", ext = "html")]
        struct BrokenLine {
            text: Broken,
        }
        assert_eq!(rendered(&BrokenLine { text: Broken }), RENDER_FAILED);
    }

    #[test]
    fn leases_from_before_a_restart_are_shown() {
        let progress = Progress {
            edges: 0,
            acknowledged: 0,
            expired: 0,
            named: Vec::new(),
            ends_in_ms: None,
            lost_leases_for_ms: Some(2_000),
        };
        let text = waiting(&progress, Effect::Refused);
        assert!(text.contains("before a restart") && text.contains("at most 2 s more"), "{text}");
    }
}
