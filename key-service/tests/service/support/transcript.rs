//! What is asked and answered, as a text that is the same in each run.

use std::fmt;

use reqwest::RequestBuilder;
use serde_json::Value;

use super::{ADMIN, DEMO, OTHER, TestApp};

/// Requests and their answers, for snapshots. Names stand for what differs from run to run: ids, times, secrets.
pub(crate) struct Transcript {
    text: String,
    /// What was replaced, and its name.
    names: Vec<(String, String)>,
}

impl Transcript {
    pub(crate) fn of(app: &TestApp) -> Self {
        let names = [DEMO, OTHER, ADMIN].map(|email| (app.user_id(email), format!("[the id of {email}]")));
        Transcript { text: String::new(), names: names.into() }
    }

    /// Notes what the next request does not show.
    pub(crate) fn note(&mut self, text: &str) {
        self.text += &format!("# {text}\n");
    }

    /// Sends a request, notes it and the answer, and returns the JSON of the answer.
    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Value {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let url = request.url();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let asked = format!("{} {}{query}\n", request.method(), url.path());
        let sent = request.body().and_then(|body| body.as_bytes()).map(<[u8]>::to_vec);
        let response = client.execute(request).await.unwrap();
        let status = response.status();
        let body = response.bytes().await.unwrap();
        let answer: Value =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let mut shown = answer.clone();
        // The order of fields has no meaning.
        shown.sort_all_objects();

        let sent = sent.map(|sent| match serde_json::from_slice::<Value>(&sent) {
            Ok(Value::String(long)) => format!("\"…\" of {} characters\n", long.len()),
            Ok(mut json) => {
                json.sort_all_objects();
                self.name("", &mut json);
                json.to_string() + "\n"
            }
            Err(_) => String::from_utf8(sent).unwrap() + "\n",
        });
        hide_times("", &mut shown);
        self.name("", &mut shown);
        let shown = if shown.is_null() {
            String::new()
        } else {
            serde_json::to_string_pretty(&shown).unwrap() + "\n"
        };
        let noted = format!("{asked}{}\n{status}\n{shown}\n", sent.unwrap_or_default());
        self.text += &self.with_names(noted);
        answer
    }

    /// The text with the names of what it repeats.
    fn with_names(&self, text: String) -> String {
        self.names.iter().fold(text, |text, (what, name)| text.replace(what, name))
    }

    /// Names what differs from run to run in the value of a field.
    fn name(&mut self, field: &str, value: &mut Value) {
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(field, value)| self.name(field, value)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.name(field, item)),
            // All but the last four characters of a value are the same.
            Value::String(text) if field == "mask_value" => {
                text.replace_range(text.len() - 4.., "????");
            }
            Value::String(text) => {
                let kind = match field {
                    "value" | "values" => "value",
                    "digests" | "changed" => "digest",
                    "epoch" => "epoch",
                    "path" if text.starts_with("/link/") => "link",
                    _ if text.len() == 36 && (field.ends_with("id") || field == "user_ids") => "id",
                    _ => return,
                };
                *text = self.name_of(kind, text);
            }
            _ => {}
        }
    }

    fn name_of(&mut self, kind: &str, text: &str) -> String {
        if let Some((_, name)) = self.names.iter().find(|(what, _)| what == text) {
            return name.clone();
        }
        let before = self.names.iter().filter(|(_, name)| name.starts_with(&format!("[{kind} "))).count();
        let name = format!("[{kind} {}]", before + 1);
        self.names.push((text.to_owned(), name.clone()));
        name
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

/// Replaces the times of an answer, and how long something took or takes still.
fn hide_times(field: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(field, value)| hide_times(field, value)),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_times(field, item)),
        Value::Number(_) if ["elapsed_ms", "lease_ends_in_ms"].contains(&field) => *value = "[ms]".into(),
        Value::String(_) if field == "at" || field.ends_with("_at") => *value = "[time]".into(),
        _ => {}
    }
}

/// A text for people, without what differs from run to run: ids, and the ends of values. Its columns stay as wide.
pub(crate) fn without_ids(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let is_of_id = |c: char| c.is_ascii_hexdigit() || c == '-';
        let words = line.split_inclusive(|c| !is_of_id(c));
        for word in words {
            let id = word.trim_end_matches(|c| !is_of_id(c));
            let is_id = id.len() == 36 && id.matches('-').count() == 4;
            shown += &if is_id {
                word.replace(id, "00000000-0000-0000-0000-000000000000")
            } else {
                word.to_owned()
            };
        }
        shown.push('\n');
    }
    let mut parts = shown.split("_...");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked = masked + "_...????" + part.get(4..).unwrap_or_default();
    }
    masked
}
