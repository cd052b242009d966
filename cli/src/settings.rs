//! One configuration of the filter in a file.

use edge_key_auth::config::{Config, Problem, ShippedTable, WrittenRule};
use serde_json::Value;

use crate::document::{Document, Format, Place, join, of_field};
use crate::finding::Finding;

/// The variable of the edge token if the settings name no other.
const DEFAULT_TOKEN_ENV: &str = "EDGE_TOKEN";

/// The settings of one filter, as the host passes them to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where they are in the file; empty for a file of settings alone.
    pub path: String,
    /// Their text: JSON.
    text: String,
    /// Their value; null if the text is not JSON.
    value: Value,
    /// The findings on the text itself.
    findings: Vec<Finding>,
}

/// Settings that the filter accepts.
#[derive(Debug)]
pub struct Accepted {
    /// Where they are in the file; empty for a file of settings alone.
    pub path: String,
    /// The filter's own reading.
    pub config: Config,
    /// The rules in the order of the list.
    pub rules: Vec<WrittenRule>,
    /// The shipped table that the rules are those of; `None` for a list of rules.
    pub shipped: Option<ShippedTable>,
}

/// What a shipped table is called in messages.
pub fn in_words(table: ShippedTable) -> &'static str {
    match table {
        ShippedTable::Documented => "the default table",
        ShippedTable::Posthog => "the table posthog",
    }
}

/// The end of a phrase that names a rule of a shipped table; empty for a list of rules.
pub fn of_table(shipped: Option<ShippedTable>) -> String {
    shipped.map(|table| format!(" of {}", in_words(table))).unwrap_or_default()
}

impl Settings {
    /// The value of a `google.protobuf.Struct`, or a file of settings alone.
    pub fn of_struct(place: &Place<'_>) -> Self {
        Settings::of_value(place.path.clone(), place.value.clone())
    }

    /// The value of a `google.protobuf.StringValue`: JSON text.
    pub fn of_text(place: &Place<'_>) -> Self {
        let text = place.text().unwrap_or_default().to_owned();
        let path = place.path.clone();
        match Document::read(&text, Format::Json) {
            Ok(Document { value, mut findings, .. }) => {
                findings.iter_mut().for_each(|finding| finding.path = join(&path, &finding.path));
                Settings { path, text, value, findings }
            }
            // The filter's own parser reports it.
            Err(_) => Settings { path, text, value: Value::Null, findings: Vec::new() },
        }
    }

    /// The settings without anything.
    pub fn nothing(path: String) -> Self {
        Settings::of_value(path, Value::Object(serde_json::Map::new()))
    }

    /// Settings with nothing but the required fields.
    pub fn defaults() -> Self {
        Settings::of_value(String::new(), serde_json::json!({"key_service": {"cluster": "key_service"}}))
    }

    fn of_value(path: String, value: Value) -> Self {
        Settings { path, text: value.to_string(), value, findings: Vec::new() }
    }

    /// The findings on the text of a `google.protobuf.StringValue`, such as a field that is given twice.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Reads them with the filter's parser.
    ///
    /// # Errors
    /// The filter's problems.
    pub fn read(&self) -> Result<Accepted, Vec<Finding>> {
        match Config::read(self.text.as_bytes()) {
            Ok(config) => {
                Ok(Accepted { path: self.path.clone(), config, rules: self.rules(), shipped: self.shipped() })
            }
            Err(problems) => {
                let error = |problem: &Problem| Finding::error(self.path_of(problem), &problem.message);
                Err(problems.iter().map(error).collect())
            }
        }
    }

    /// The valid rules in the order of the list. The other settings may have errors.
    pub fn rules(&self) -> Vec<WrittenRule> {
        Config::rules(self.value.clone())
    }

    /// The shipped table that the rules are those of; `None` for a list of rules.
    pub fn shipped(&self) -> Option<ShippedTable> {
        ShippedTable::named_by(&self.value["routes"])
    }

    /// The path of one of the filter's problems, in the file.
    pub fn path_of(&self, problem: &Problem) -> String {
        // The filter calls its settings as a whole by this name, if they are no object.
        let is_whole = problem.path == "configuration" && !self.value.is_object();
        match is_whole {
            true if self.path.is_empty() => problem.path.clone(),
            true => self.path.clone(),
            false => join(&self.path, &problem.path),
        }
    }

    /// The name of the cluster of the key service, with its path.
    pub fn cluster(&self) -> Option<(String, &str)> {
        let cluster = self.value["key_service"]["cluster"].as_str().filter(|name| !name.is_empty())?;
        Some((of_field(&of_field(&self.path, "key_service"), "cluster"), cluster))
    }

    /// The environment variable of the edge token.
    pub fn token_env(&self) -> &str {
        self.value["key_service"]["token_env"].as_str().unwrap_or(DEFAULT_TOKEN_ENV)
    }

    /// The names of the identity headers, in lower case.
    pub fn identity_headers(&self) -> [String; 4] {
        let names = [
            ("user_id", "x-auth-user-id"),
            ("key_id", "x-auth-key-id"),
            ("scopes", "x-auth-scopes"),
            ("restrictions", "x-auth-restrictions"),
        ];
        names.map(|(field, default)| {
            self.value["identity_headers"][field].as_str().unwrap_or(default).to_ascii_lowercase()
        })
    }

    /// Whether they look like settings of this filter.
    pub fn are_ours(&self) -> bool {
        self.value.get("key_service").is_some()
    }
}
