//! Each setting of `docs/configuration.md`: misspelt, of the wrong type, and out of range.

use std::fs;

use edge_key_auth_cli::document::Format;
use edge_key_auth_cli::finding::Severity;
use serde_json::{Value, json};

use crate::{envoy_with, findings};

/// The settings in Envoy's file.
const IN_ENVOY: &str = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.\
                        config.configuration.value";

/// A setting, a value of the wrong type, and one out of range with the path of its problem.
struct Case {
    field: &'static str,
    wrong_type: Value,
    out_of_range: Option<(Value, &'static str)>,
}

/// One for each row of the table. A new setting needs a case.
fn cases() -> Vec<Case> {
    let case = |field, wrong_type| Case { field, wrong_type, out_of_range: None };
    let ranged = |field, wrong_type, value| Case { field, wrong_type, out_of_range: Some((value, field)) };
    let inside =
        |field, wrong_type, value, path| Case { field, wrong_type, out_of_range: Some((value, path)) };
    vec![
        ranged("key_service.cluster", json!(7), json!("")),
        ranged("key_service.authority", json!(7), json!("key service")),
        ranged("key_service.timeout_ms", json!("1000"), json!(60_001)),
        ranged("key_service.token_env", json!(false), json!("A=B")),
        ranged("mode", json!(true), json!("off")),
        inside("routes", json!("default"), json!([{ "path": "decide", "public": true }]), "routes[0].path"),
        ranged("path_case", json!(true), json!("ignored")),
        ranged("realm", json!([]), json!("a\"b")),
        ranged("error_bodies", json!(1), json!("json")),
        ranged("cors_preflight", json!(true), json!("refuse")),
        ranged("identity_headers.user_id", json!(1), json!("host")),
        ranged("identity_headers.key_id", json!(1), json!("x_key")),
        ranged("identity_headers.scopes", json!(1), json!("x-auth-user-id")),
        ranged("identity_headers.restrictions", json!(1), json!("x-auth-scopes")),
        inside("request_overrides", json!([]), json!({ "allow": ["a b"] }), "request_overrides.allow[0]"),
        case("hide_credentials", json!("yes")),
        ranged("cache.max_active", json!("1"), json!(0)),
        ranged("cache.max_inactive", json!("1"), json!(10_000_001)),
        ranged("cache.active_ttl_ms", json!("1"), json!(86_400_001)),
        ranged("cache.inactive_ttl_ms", json!("1"), json!(-1)),
        ranged("sync", json!("on"), json!(true)),
        ranged("sync.wait_ms", json!("1"), json!(60_001)),
        ranged("on_unavailable.serve_stale_s", json!("1"), json!(86_401)),
        ranged("lookups.max_digests", json!("1"), json!(0)),
        ranged("lookups.max_waiters", json!("1"), json!(1_000_001)),
    ]
}

/// One for each row of the table of a rule's settings.
fn rule_cases() -> Vec<Case> {
    let case = |field, wrong_type, value, path| Case { field, wrong_type, out_of_range: Some((value, path)) };
    vec![
        case("path", json!(1), json!("/a//b"), "path"),
        case("methods", json!("GET"), json!(["get"]), "methods[0]"),
        case("scope", json!(1), json!("a:delete"), "scope"),
        Case { field: "public", wrong_type: json!("yes"), out_of_range: None },
        case("mode", json!(true), json!("off"), "mode"),
        case("project", json!(["id"]), json!("id"), "project"),
        case("organization", json!(7), json!("{id}"), "organization"),
        case("project_query", json!("token"), json!([""]), "project_query[0]"),
        case("upstream_judges", json!("project"), json!(["user"]), "upstream_judges[0]"),
        case("encoded_slashes", json!("id"), json!(["id"]), "encoded_slashes[0]"),
        case("bearer_prefixes", json!("phs_"), json!(["phx_"]), "bearer_prefixes[0]"),
    ]
}

/// The names in the first column of the table with this head.
fn documented(head: &str) -> Vec<String> {
    let page = test_stack::paths::workspace().join("docs/configuration.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().skip_while(|line| *line != head).skip(2).take_while(|line| line.starts_with('|'));
    let mut names = Vec::new();
    for row in rows {
        let cell = row.split('|').nth(1).unwrap();
        let code = cell.split('`').skip(1).step_by(2);
        names.extend(code.map(|code| code.split(':').next().unwrap().to_owned()));
    }
    names
}

/// Valid settings with one field changed.
fn with(field: &str, value: &Value) -> Value {
    let mut settings = json!({ "key_service": { "cluster": "key_service" } });
    let mut place = &mut settings;
    for name in field.split('.') {
        place = &mut place[name];
    }
    *place = value.clone();
    settings
}

/// Expects an error at this path of the settings: in a settings file as JSON and as YAML, and in Envoy's file.
fn expect_error(settings: &Value, path: &str, word: &str) {
    let text = settings.to_string();
    let envoy = envoy_with(&[(
        r#"value: { "key_service": { "cluster": "key_service" } }"#,
        &format!("value: {text}"),
    )]);
    for (text, format, path) in [
        (&text, Format::Json, path.to_owned()),
        (&text, Format::Yaml, path.to_owned()),
        (&envoy, Format::Yaml, format!("{IN_ENVOY}.{path}")),
    ] {
        let found = findings(text, format);
        let is_expected = |(severity, at, message): &(Severity, String, String)| {
            *severity == Severity::Error && *at == path && message.contains(word)
        };
        assert!(found.iter().any(is_expected), "{path} in {text}: {found:?}");
    }
}

#[test]
fn each_row_of_the_documentation_has_a_case() {
    let cases: Vec<_> = cases().into_iter().map(|case| case.field).collect();
    assert_eq!(documented("| field | default | meaning |"), cases);
}

#[test]
fn a_misspelt_setting_is_found_with_its_path() {
    for Case { field, .. } in cases() {
        let misspelt = &field[..field.len() - 1];
        expect_error(&with(misspelt, &json!(1)), misspelt, "unknown field");
        if let Some((outer, inner)) = field.split_once('.') {
            let misspelt = &outer[..outer.len() - 1];
            expect_error(&with(misspelt, &json!({ inner: 1 })), misspelt, "unknown field");
        }
    }
}

#[test]
fn a_setting_of_the_wrong_type_is_found_with_its_path() {
    for Case { field, wrong_type, .. } in cases() {
        expect_error(&with(field, &wrong_type), field, "must be");
        if let Some((outer, _)) = field.split_once('.') {
            expect_error(&with(outer, &json!("text")), outer, "must be an object");
        }
    }
}

#[test]
fn a_setting_out_of_range_is_found_with_its_path() {
    for Case { field, out_of_range, .. } in cases() {
        if let Some((value, path)) = out_of_range {
            expect_error(&with(field, &value), path, "");
        }
    }
}

#[test]
fn the_fields_of_a_rule_are_checked_like_settings() {
    let names: Vec<_> = rule_cases().into_iter().map(|case| case.field).collect();
    assert_eq!(documented("| field | meaning |"), names);
    for Case { field, wrong_type, out_of_range } in rule_cases() {
        let rule = |field: &str, value: &Value| {
            let mut rule = json!({ "path": "/a", "scope": "a" });
            rule[field] = value.clone();
            with("routes", &json!([rule]))
        };
        let misspelt = &field[..field.len() - 1];
        expect_error(&rule(misspelt, &json!(1)), &format!("routes[0].{misspelt}"), "unknown field");
        expect_error(&rule(field, &wrong_type), &format!("routes[0].{field}"), "must be");
        if let Some((value, path)) = out_of_range {
            expect_error(&rule(field, &value), &format!("routes[0].{path}"), "");
        }
    }
}

#[test]
fn settings_given_as_text_have_the_same_paths() {
    let text = r#"{ "key_service": { "cluster": "key_service" }, "cach": {}, "routes": [{ "path": "/a" }] }"#;
    let file = envoy_with(&[
        ("google.protobuf.Struct", "google.protobuf.StringValue"),
        (r#"value: { "key_service": { "cluster": "key_service" } }"#, &format!("value: {}", json!(text))),
    ]);
    let paths: Vec<_> = findings(&file, Format::Yaml).into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths, [format!("{IN_ENVOY}.routes[0].scope"), format!("{IN_ENVOY}.cach")]);
    let repeated = envoy_with(&[
        ("google.protobuf.Struct", "google.protobuf.StringValue"),
        (
            r#"value: { "key_service": { "cluster": "key_service" } }"#,
            r#"value: '{ "realm": "a", "key_service": { "cluster": "key_service" }, "realm": "b" }'"#,
        ),
    ]);
    let found = findings(&repeated, Format::Yaml);
    assert!(found.len() == 1 && found[0].1 == format!("{IN_ENVOY}.realm"), "{found:?}");
    let broken = envoy_with(&[
        ("google.protobuf.Struct", "google.protobuf.StringValue"),
        (r#"value: { "key_service": { "cluster": "key_service" } }"#, "value: '{'"),
    ]);
    let found = findings(&broken, Format::Yaml);
    assert!(found.iter().any(|(_, path, message)| path == IN_ENVOY && message.contains("JSON")), "{found:?}");
}

#[test]
fn numbers_are_read_as_the_format_defines() {
    let text = r#"{ "key_service": { "cluster": "key_service", "timeout_ms": 1.5e3 } }"#;
    assert_eq!(findings(text, Format::Json), []);
    assert_eq!(findings(text, Format::Either), []);
    let paths: Vec<_> = findings(text, Format::Yaml).into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths, ["key_service.timeout_ms"], "Envoy reads 1.5e3 in YAML as a string");
    let formats = ["a.json", "a.yaml", "a.b.yml", "-", "yaml"].map(Format::of_name);
    assert_eq!(formats, [Format::Json, Format::Yaml, Format::Yaml, Format::Either, Format::Either]);
}

#[test]
fn rules_that_probably_match_other_requests_than_meant_get_hints() {
    let hints = |rules: &str| {
        let settings = format!(r#"{{"key_service":{{"cluster":"k"}},"routes":[{rules}]}}"#);
        let found = findings(&settings, Format::Json).into_iter();
        found.map(|(severity, path, _)| (severity, path)).collect::<Vec<_>>()
    };
    let hint = |path: &str| vec![(Severity::Hint, path.to_owned())];
    assert_eq!(hints(r#"{"path":"/invoices/:id","scope":"invoice"}"#), hint("routes[0].path"));
    assert_eq!(hints(r#"{"path":"/a","methods":["GET"],"public":true}"#), hint("routes[0].methods"));
    for rules in [
        r#"{"path":"/a","methods":["GET","HEAD"],"public":true}"#,
        r#"{"path":"/a","methods":["PUT"],"public":true}"#,
        r#"{"path":"/a/{b}","methods":["GET"],"public":true},{"path":"/a/{c}","scope":"b"}"#,
        r#"{"path":"/a","methods":["GET"],"public":true},{"path":"/a","methods":["HEAD"],"scope":"b"}"#,
    ] {
        assert_eq!(hints(rules), []);
    }
}
