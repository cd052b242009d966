//! The scope catalogue: the objects that scopes can name, with their descriptions. It is a JSON file of the operator; by
//! default, it has the objects of PostHog.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use deserr::Deserr;
use protocol::{Restrictions, Scope, is_scope_object};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::entries;
use crate::label::Label;
use crate::validation::{FieldErrors, Violation};

/// The objects of PostHog.
const POSTHOG: &[u8] = include_bytes!("../catalogues/posthog.json");

/// The most objects. With the longest names, a key with a scope for each still fits into a request.
const MAX_OBJECTS: usize = 500;

/// The most characters of an object's name.
const MAX_OBJECT_CHARS: usize = 64;

/// The most characters of a description.
const MAX_DESCRIPTION_CHARS: usize = 200;

/// The most characters of an example.
const MAX_EXAMPLE_CHARS: usize = 200;

/// The open ids of examples.
const PROJECT_ID: &str = "{project_id}";
const ORGANIZATION_ID: &str = "{organization_id}";

/// An object that scopes can name.
#[derive(Clone, Debug, PartialEq, Eq, Deserr, Serialize, ToSchema)]
#[deserr(deny_unknown_fields, error = FieldErrors)]
pub struct ScopeObject {
    /// Its name in scopes: the part before `:read` or `:write`.
    #[deserr(try_from(String) = valid_object -> Violation)]
    pub object: String,
    /// Its name for people.
    #[deserr(from(Label) = String::from)]
    pub title: String,
    /// What it is, in a sentence.
    #[deserr(try_from(String) = valid_description -> Violation)]
    pub description: String,
    /// The heading under which the page shows it.
    #[deserr(from(Label) = String::from)]
    pub group: String,
    /// A path of the API that a key with the object's `:read` may get. The page shows it beside a new key.
    #[deserr(default)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub example: Option<ExamplePath>,
}

/// A path of the API, in which ids may be left open. It can stand in a quoted argument of a shell.
#[derive(Clone, Debug, PartialEq, Eq, Deserr, Serialize)]
#[deserr(try_from(String) = ExamplePath::try_from -> Violation)]
pub struct ExamplePath(String);

impl TryFrom<String> for ExamplePath {
    type Error = Violation;

    fn try_from(path: String) -> Result<Self, Violation> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~@:,;=?&%+".contains(c);
        let mut without_ids = path.clone();
        for id in [PROJECT_ID, ORGANIZATION_ID] {
            without_ids = without_ids.replace(id, "");
        }
        if !path.starts_with('/') || !without_ids.chars().all(is_plain) {
            return Err(Violation::input(format!(
                "Not a path such as /orders/ or /api/projects/{PROJECT_ID}/insights/: write ASCII letters, digits and \
                 /-_.~@:,;=?&%+, and no other ids in braces than {PROJECT_ID} and {ORGANIZATION_ID}."
            )));
        }
        if path.len() > MAX_EXAMPLE_CHARS {
            return Err(Violation::too_long(MAX_EXAMPLE_CHARS));
        }
        Ok(ExamplePath(path))
    }
}

impl ExamplePath {
    /// The path for a key with these restrictions; `None` if they do not permit it. An id that they leave open is `@current`, as
    /// PostHog's API calls the user's own.
    pub fn within(&self, restrictions: &Restrictions) -> Option<String> {
        let mut path = self.0.clone();
        let ids = [(PROJECT_ID, &restrictions.projects), (ORGANIZATION_ID, &restrictions.organizations)];
        for (place, permitted) in ids {
            let id = match permitted {
                None => "@current",
                Some(ids) => ids.first().filter(|_| path.contains(place))?.as_str(),
            };
            path = path.replace(place, id);
        }
        Some(path)
    }
}

fn valid_object(name: String) -> Result<String, Violation> {
    if !is_scope_object(&name) {
        return Err(Violation::input(format!(
            "{name:?} is not an object: write lower-case letters, digits and _."
        )));
    }
    if name.len() > MAX_OBJECT_CHARS {
        return Err(Violation::too_long(MAX_OBJECT_CHARS));
    }
    Ok(name)
}

fn valid_description(text: String) -> Result<String, Violation> {
    if text.trim().is_empty() {
        return Err(Violation::blank());
    }
    if text.chars().count() > MAX_DESCRIPTION_CHARS {
        return Err(Violation::too_long(MAX_DESCRIPTION_CHARS));
    }
    Ok(text)
}

/// Why a file is not a catalogue: each problem, with the path of its entry or field.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct InvalidCatalogue(pub(crate) Vec<String>);

impl From<io::Error> for InvalidCatalogue {
    fn from(error: io::Error) -> Self {
        InvalidCatalogue(vec![error.to_string()])
    }
}

/// The objects that scopes can name, in the order of the file.
#[derive(Clone, Debug)]
pub struct Catalogue(Vec<ScopeObject>);

impl Catalogue {
    /// The catalogue of PostHog's objects.
    ///
    /// # Errors
    /// None, as the tests show.
    pub fn posthog() -> Result<Self, InvalidCatalogue> {
        Self::parse(POSTHOG)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, InvalidCatalogue> {
        Self::parse(&entries::read(path)?)
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidCatalogue> {
        let invalid = |problem: String| InvalidCatalogue(vec![problem]);
        let entries = entries::parse(text, MAX_OBJECTS, "objects").map_err(invalid)?;
        if entries.is_empty() {
            return Err(invalid("the list is empty, so no key could have a scope".to_owned()));
        }
        let mut objects = Vec::with_capacity(entries.len());
        let mut problems = entries::repeated_fields(text);
        let mut places = HashMap::new();
        for (place, entry) in entries.into_iter().enumerate() {
            if let Some(name) = entry.get("object").and_then(Value::as_str)
                && let Some(earlier) = places.insert(name.to_owned(), place)
            {
                problems.push(format!("[{place}].object: {name:?} is the object of [{earlier}] already."));
            }
            objects.extend(entries::entry::<ScopeObject>(place, entry, &mut problems));
        }
        if problems.is_empty() { Ok(Catalogue(objects)) } else { Err(InvalidCatalogue(problems)) }
    }

    /// The objects, in the order of the file.
    pub fn objects(&self) -> &[ScopeObject] {
        &self.0
    }

    /// Whether the object of a scope is in the catalogue. `*` names no object, so it always is.
    pub fn has(&self, scope: &Scope) -> bool {
        scope.object().is_none_or(|name| self.0.iter().any(|object| object.object == name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The objects that PostHog's keys can name today.
    const TODAY: &str = "
        access_control account action activity_log ai_observability_clusters alert annotation approvals batch_export
        batch_import billing business_knowledge canvas cohort comment conversation customer_analytics customer_journey
        customer_profile_config customer_task dashboard dashboard_template data_catalog data_catalog_approval dataset
        early_access_feature element endpoint engineering_analytics error_tracking evaluation event_definition
        event_filter experiment experiment_holdout experiment_saved_metric export external_data_schema
        external_data_source feature_flag field_note file_system file_system_shortcut group health_issue heatmap
        hog_flow hog_function ingestion_warning insight insight_variable integration legal_document link live_debugger
        llm_analytics llm_gateway llm_playground llm_prompt llm_provider_key llm_skill logs loop marketing_analytics
        mcp_analytics metrics notebook organization organization_integration organization_member person plugin
        product_enablement product_tour project property_definition query query_performance replay_scanner
        revenue_analytics review_hog session_recording session_recording_playlist sharing_configuration signal_scout
        stamphog streamlit_app subscription survey tagger task ticket toolbar tracing uploaded_media usage_metric user
        user_interview vision_action vision_alert visual_review warehouse_objects warehouse_table warehouse_view
        web_analytics webhook wizard_session";

    fn problems(content: &Value) -> Vec<String> {
        Catalogue::parse(content.to_string().as_bytes()).unwrap_err().0
    }

    fn entry(object: &str) -> Value {
        json!({"object": object, "title": "Title", "description": "A sentence.", "group": "Group"})
    }

    #[test]
    fn an_example_is_a_path_within_the_restrictions_of_a_key() {
        let example = |path: &str| ExamplePath::try_from(path.to_owned());
        let restricted = |projects: &[u64], organizations: &[u64]| {
            let ids =
                |ids: &[u64]| Some(ids.iter().map(|&id| id.into()).collect()).filter(|_| !ids.is_empty());
            Restrictions { projects: ids(projects), organizations: ids(organizations) }
        };
        let within = |path: &str, restrictions| example(path).unwrap().within(&restrictions);
        let insights = "/api/projects/{project_id}/insights/?limit=1";
        let shown = |id: &str| Some(format!("/api/projects/{id}/insights/?limit=1"));
        assert_eq!(within(insights, restricted(&[], &[])), shown("@current"));
        assert_eq!(within(insights, restricted(&[7, 8], &[])), shown("7"));
        assert_eq!(within(insights, restricted(&[7], &[9])), None);
        let nothing = Restrictions { projects: Some(vec![]), organizations: None };
        assert_eq!(within(insights, nothing), None);
        assert_eq!(within("/orders/", restricted(&[], &[])).as_deref(), Some("/orders/"));
        assert_eq!(within("/orders/", restricted(&[7], &[])), None);
        for path in ["orders", "", "/a b", "/$(id)", "/`id`", "/\"", "/{id}", "/{project_id", "/!x", "/é"] {
            assert!(example(path).is_err(), "{path}");
        }
        assert!(example(&format!("/{}", "x".repeat(200))).is_err());
    }

    #[test]
    fn the_default_has_the_objects_of_posthog_and_no_others() {
        let catalogue = Catalogue::posthog().unwrap();
        let mut names: Vec<_> = catalogue.objects().iter().map(|object| object.object.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, TODAY.split_whitespace().collect::<Vec<_>>());
        assert_eq!(names.len(), 107);
        for object in catalogue.objects() {
            assert!(object.description.ends_with('.'), "{object:?}");
        }
    }

    #[test]
    fn a_scope_is_in_the_catalogue_by_its_object() {
        let catalogue = Catalogue::parse(json!([entry("order")]).to_string().as_bytes()).unwrap();
        let has = |scope: &str| catalogue.has(&scope.parse().unwrap());
        assert!(has("order:read") && has("order:write") && has("*"));
        assert!(!has("orders:read") && !has("insight:read"));
    }

    #[test]
    fn every_problem_is_named_with_its_path() {
        let mut unknown = entry("invoice");
        unknown["titel"] = "Invoices".into();
        let content = json!([
            entry("order"),
            {"object": "Order-Item", "title": " ", "description": "", "group": "x".repeat(41)},
            {"title": 7, "description": null},
            entry("order"),
            "customer",
            entry(&"x".repeat(65)),
            unknown,
        ]);
        let expected = [
            "[1].object: \"Order-Item\" is not an object: write lower-case letters, digits and _.",
            "[1].title: This field may not be blank.",
            "[1].description: This field may not be blank.",
            "[1].group: Ensure this field has no more than 40 characters.",
            "[2].title: Not a valid string.",
            "[2].description: This field may not be null.",
            "[2].object: This field is required.",
            "[2].group: This field is required.",
            "[3].object: \"order\" is the object of [0] already.",
            "[4]: Invalid data. Expected a dictionary.",
            "[5].object: Ensure this field has no more than 64 characters.",
            "[6].titel: There is no such field. Did you mean title?",
        ];
        assert_eq!(problems(&content), expected);
    }

    #[test]
    fn a_field_that_occurs_again_is_named() {
        let entry = |fields: &str| format!(r#"{{"object": "order", "title": "Orders", {fields}}}"#);
        let twice = entry(r#""description": "All.", "title": "Other", "group": "Shop", "title": "Third""#);
        let unknown = entry(r#""description": "All.", "grup": "x", "grup": "y""#).replace("order", "other");
        let problems = Catalogue::parse(format!("[7, {twice}, {unknown}]").as_bytes()).unwrap_err().0;
        let expected = [
            "[1].title: This field occurs more than once.",
            "[2].grup: This field occurs more than once.",
            "[0]: Invalid data. Expected a dictionary.",
            "[2].grup: There is no such field. Did you mean group?",
            "[2].group: This field is required.",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_file_is_a_list_of_some_objects_but_not_of_too_many() {
        assert_eq!(problems(&json!({})), ["not a JSON list"]);
        assert_eq!(problems(&json!([])), ["the list is empty, so no key could have a scope"]);
        let list = |count| Value::from_iter((0..count).map(|n| entry(&format!("object_{n}"))));
        assert_eq!(Catalogue::parse(list(500).to_string().as_bytes()).unwrap().objects().len(), 500);
        assert_eq!(problems(&list(501)), ["the list has 501 objects, more than 500"]);
        let long = "x".repeat(256 * 1024 + 1);
        assert_eq!(Catalogue::parse(long.as_bytes()).unwrap_err().0, ["the file has more than 262144 bytes"]);
        let no_json = Catalogue::parse(b"objects:\n  - order\n").unwrap_err().to_string();
        assert!(no_json.starts_with("not JSON: ") && no_json.ends_with("line 1 column 1"), "{no_json}");
    }
}
