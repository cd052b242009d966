//! Rules whose scopes a scope catalogue lacks.

use std::fs;

use edge_key_auth_cli::catalogue::Catalogue;
use edge_key_auth_cli::check::check;
use edge_key_auth_cli::document::{Document, Format};

/// Paths and messages of the findings on settings.
fn lacking(catalogue: &str, settings: &str) -> Vec<String> {
    let catalogue = Catalogue::parse(catalogue).unwrap();
    let document = Document::read(settings, Format::Yaml).unwrap();
    let reports = check(&[("file".to_owned(), document)], Some(&catalogue));
    let findings = reports.into_iter().flat_map(|report| report.findings);
    findings.map(|(_, finding)| format!("{}: {}", finding.path, finding.message)).collect()
}

const ORDERS: &str =
    r#"[{ "object": "order", "title": "Orders", "description": "Orders.", "group": "Sales" }]"#;

#[test]
fn each_object_that_the_catalogue_lacks_is_named_with_its_rules() {
    let settings = r#"
        key_service: { cluster: key_service }
        routes:
          - { path: /health, public: true }
          - { path: "/orders/{*rest}", scope: order }
          - { path: "/order/{*rest}", scope: "orders:read" }
          - { path: /admin, scope: "*" }
          - { path: /reports, scope: report }
          - { path: /orders, methods: [PUT], scope: "orders:write" }
    "#;
    assert_eq!(
        lacking(ORDERS, settings),
        [
            r#"routes[2].scope: the scope catalogue has no object "orders", so only keys with the scope * reach routes[2], routes[5]: correct the scope, or add the object to the catalogue"#,
            r#"routes[4].scope: the scope catalogue has no object "report", so only keys with the scope * reach routes[4]: correct the scope, or add the object to the catalogue"#,
        ]
    );
}

#[test]
fn errors_of_other_settings_do_not_hide_a_scope_that_the_catalogue_lacks() {
    let settings = r#"
        key_service: { cluster: key_service, timeout_ms: 0 }
        routes:
          - { path: orders, scope: order }
          - { path: /reports, scope: report }
    "#;
    let found = lacking(ORDERS, settings);
    assert_eq!(found.len(), 3, "{found:?}");
    let lacks = r#"routes[1].scope: the scope catalogue has no object "report", so only keys with the scope * reach routes[1]: "#;
    assert!(found.iter().any(|found| found.starts_with(lacks)), "{found:?}");
}

#[test]
fn the_default_table_needs_the_objects_of_posthog() {
    let settings = "key_service: { cluster: key_service }";
    let found = lacking(ORDERS, settings);
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(
        found[0].starts_with("routes: ") && found[0].contains("routes[3], routes[4] of the default table")
    );
    let posthog = test_stack::paths::workspace().join("key-service/catalogues/posthog.json");
    assert_eq!(lacking(&fs::read_to_string(posthog).unwrap(), settings), Vec::<String>::new());
}

#[test]
fn a_file_that_is_not_a_catalogue_is_refused() {
    for (text, problem) in [
        ("{}", "not a JSON list"),
        ("[{}]", "[0].object"),
        (r#"[{ "object": "order" }, { "object": "order:read" }]"#, "[1].object"),
    ] {
        let error = Catalogue::parse(text).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}
