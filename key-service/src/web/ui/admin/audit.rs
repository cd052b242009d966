//! The audit log.

use askama::Template;
use axum::BoxError;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::Value;
use strum::VariantNames;

use super::listing::{Listing, PageParams};
use crate::audit::{self, Action, ActorKind, AuditSearch, Entry};
use crate::time::Timestamp;
use crate::web::audit_query::AuditQuery;
use crate::web::request::Params;
use crate::web::state::AppState;
use crate::web::ui::addresses;
use crate::web::ui::error::PageError;
use crate::web::ui::frame::{Frame, Place, Rendered};
use crate::web::ui::moment::Moment;
use crate::web::ui::visitor::PageAdmin;

/// The groups of actions that the form offers: the names of the actions up to the dot.
fn groups() -> Vec<&'static str> {
    let mut groups: Vec<_> =
        Action::VARIANTS.iter().filter_map(|name| name.split_once('.')).map(|(group, _)| group).collect();
    groups.dedup();
    groups
}

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct AuditPage {
    frame: Frame,
    search: AuditSearch,
    rows: Vec<EntryRow>,
    listing: Listing,
    /// The address of the download of all entries that the search selects.
    download: String,
}

impl AuditPage {
    /// The filter's options: value, words, whether chosen.
    fn choices(&self) -> Vec<(String, String, bool)> {
        let groups = groups().into_iter().map(|group| (format!("{group}."), format!("All {group} actions")));
        let actions = Action::VARIANTS.iter().map(|&action| (action.to_owned(), words(action)));
        let choice = |(value, words): (String, String)| {
            let is_chosen = self.search.action.as_ref() == Some(&value);
            (value, words, is_chosen)
        };
        groups.chain(actions).map(choice).collect()
    }

    /// Whether entries of only one user, key or token are shown.
    fn is_narrowed(&self) -> bool {
        self.search.user_id.is_some() || self.search.subject_id.is_some()
    }

    /// Whether all entries are shown.
    fn is_unfiltered(&self) -> bool {
        let AuditSearch { action, actor, concerns, user_id, subject_id, since, until, page: _ } =
            &self.search;
        let texts = [action, actor, concerns, user_id, subject_id];
        texts.iter().all(|text| text.is_none()) && since.is_none() && until.is_none()
    }

    fn text<'t>(&self, text: &'t Option<String>) -> &'t str {
        text.as_deref().unwrap_or_default()
    }

    /// The UTC date of a bound, as `<input type="date">` writes it.
    fn date(&self, time: &Option<Timestamp>) -> String {
        time.map(|time| time.to_string().chars().take(10).collect()).unwrap_or_default()
    }
}

/// An entry as the table shows it.
struct EntryRow {
    entry: Entry,
    at: Moment,
}

impl EntryRow {
    fn action(&self) -> String {
        words(&self.entry.action)
    }

    /// The actor.
    fn actor(&self) -> String {
        let name = &self.entry.actor_name;
        let kind = match self.entry.actor_kind {
            ActorKind::User => return name.clone(),
            ActorKind::Visitor => return "Not signed in".to_owned(),
            ActorKind::LeakReporter => return "A holder of the value".to_owned(),
            ActorKind::Service if name.is_empty() => return "The service itself".to_owned(),
            // A provider's groups have changed a user at sign-in.
            ActorKind::Service => "Groups",
            ActorKind::ManagementToken => "Token",
            ActorKind::CommandLine => "Command line",
        };
        if name.is_empty() { kind.to_owned() } else { format!("{kind}: {name}") }
    }

    /// The changes.
    fn details(&self) -> Vec<String> {
        let Value::Object(fields) = &self.entry.detail else { return Vec::new() };
        let shown = fields.iter().filter(|(_, value)| !value.is_null());
        shown.map(|(name, value)| format!("{}: {}", name.replace('_', " "), readable(name, value))).collect()
    }
}

/// `key.created` as "Key created".
fn words(action: &str) -> String {
    let mut text = action.replace(['.', '_'], " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// A value, or an old and a new one.
fn readable(name: &str, value: &Value) -> String {
    // A restriction is null for all, an expiry for never.
    let null = if name.starts_with("scoped_") { "all" } else { "never" };
    let plain = |value: &Value| match value.as_str().map(Timestamp::parse) {
        // No line breaks inside a date.
        Some(Ok(at)) if name.ends_with("_at") => Moment::new(at, at).absolute().replace(' ', "\u{a0}"),
        _ => plain(value, null),
    };
    match (value.get("from"), value.get("to")) {
        (Some(from), Some(to)) => format!("{} → {}", plain(from), plain(to)),
        _ => plain(value),
    }
}

fn plain(value: &Value, null: &str) -> String {
    match value {
        Value::Null => null.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(|value| plain(value, null)).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// `GET /admin/audit`.
pub(super) async fn show(
    PageAdmin { user, .. }: PageAdmin,
    State(state): State<AppState>,
    PageParams(Params { sent, address }): PageParams<AuditQuery>,
) -> Result<Response, PageError> {
    let search = AuditSearch::from(sent);
    let found = audit::search(&state.store, &search).await?;
    let listing = Listing::new(&address, search.page, &found);
    let now = Timestamp::now();
    let row = |entry: Entry| EntryRow { at: Moment::new(entry.at, now), entry };
    let rows = found.rows.into_iter().map(row).collect();
    let (frame, download) =
        (Frame::of(user, Place::Audit, "Audit log"), address.at(addresses::AUDIT_DOWNLOAD));
    Ok(Rendered(AuditPage { frame, search, rows, listing, download }).into_response())
}

/// `GET /admin/audit/download`: every entry that the query selects, newest first, as JSON lines. They have the form of the API's
/// entries. There is no CSV, because a spreadsheet would evaluate labels that begin with `=`.
///
/// One page of entries is in memory at a time. If the database fails meanwhile, the answer breaks off, so that the browser
/// reports a failed download.
pub(super) async fn download(
    _: PageAdmin,
    State(state): State<AppState>,
    PageParams(Params { sent, .. }): PageParams<AuditQuery>,
) -> Result<Response, PageError> {
    let search = AuditSearch::from(sent);
    let first = audit::following(&state.store, &search, None).await?;
    let chunks = stream::try_unfold(first, move |entries| {
        let (store, search) = (state.store.clone(), search.clone());
        async move {
            let Some(last) = entries.last() else { return Ok(None) };
            let lines = json_lines(&entries)?;
            let next = audit::following(&store, &search, Some(last)).await;
            let next = next
                .inspect_err(|error| tracing::error!(%error, "the download of the audit log ends early"))?;
            Ok::<_, BoxError>(Some((lines, next)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit-log.jsonl\""),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

fn json_lines(entries: &[Entry]) -> serde_json::Result<String> {
    let mut lines = String::new();
    for entry in entries {
        lines.push_str(&serde_json::to_string(entry)?);
        lines.push('\n');
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_shown_with_its_old_and_new_value() {
        let change = |from: Value, to: Value| readable("expires_at", &json!({"from": from, "to": to}));
        assert_eq!(change(json!("CI"), json!("Build")), "CI → Build");
        assert_eq!(
            change(json!(["insight:read"]), json!(["insight:read", "cohort:read"])),
            "insight:read → insight:read cohort:read"
        );
        let moments = ["2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"];
        let shown =
            ["1 Jan 2030, 00:00 UTC", "1 Jan 2031, 00:00 UTC"].map(|text| text.replace(' ', "\u{a0}"));
        assert_eq!(change(json!(moments[0]), json!(moments[1])), shown.join(" → "));
        assert_eq!(change(json!(null), json!(moments[0])), format!("never → {}", shown[0]));
        let label = json!({"from": "CI", "to": moments[0]});
        assert_eq!(readable("label", &label), format!("CI → {}", moments[0]));
        assert_eq!(change(json!(["*"]), json!([])), "* → none");
        let restricted = json!({"from": null, "to": [1, "acme"]});
        assert_eq!(readable("scoped_teams", &restricted), "all → 1 acme");
    }

    #[test]
    fn an_unchanged_value_is_shown_alone() {
        assert_eq!(readable("scopes", &json!(["insight:read", "cohort:read"])), "insight:read cohort:read");
        assert_eq!(readable("grace_s", &json!(3600)), "3600");
    }

    #[test]
    fn each_action_is_in_one_group_of_the_form() {
        for action in Action::VARIANTS {
            let of_it = groups().into_iter().filter(|group| action.starts_with(&format!("{group}.")));
            assert_eq!(of_it.count(), 1, "{action}");
        }
    }

    #[test]
    fn an_action_is_shown_in_words() {
        assert_eq!(words("user.permissions_changed"), "User permissions changed");
    }
}
