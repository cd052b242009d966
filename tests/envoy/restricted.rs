//! Keys that are restricted to projects.

use std::path::Path;

use serde_json::{Value, json};
use test_stack::{Options, Stack};

use crate::account::Account;
use crate::client::{Response, get, send};
use crate::{DOCUMENTED, stack_with};

/// Creates a key with all scopes that is restricted to these projects; returns its id and value.
fn create_restricted(account: &Account, projects: &[u64]) -> (String, String) {
    let key = json!({"label": "restricted", "scopes": ["*"], "scoped_teams": projects});
    let created = account.call("POST", "/api/personal_api_keys/", &key);
    assert_eq!(created.status, 201, "{}", created.text());
    let text = |field: &str| created.json()[field].as_str().unwrap().to_owned();
    (text("id"), text("value"))
}

fn detail(response: &Response) -> String {
    assert_eq!(response.status, 403, "{}", response.text());
    response.json()["detail"].as_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_restricted_key_reaches_its_projects_before_and_after_a_change() {
    let stack = stack_with(json!({"error_bodies": "posthog"}));
    let edge = stack.envoys()[0].address();
    let account = Account::demo(stack.key_service());
    let (id, value) = create_restricted(&account, &[1, 2]);
    let headers = [
        ("authorization", &*format!("Bearer {value}")),
        ("x-auth-restrictions", "project:3"),
        ("X.Auth.Restrictions", "a"),
    ];
    for path in ["/api/projects/1/insights/", "/api/projects/2"] {
        let response = send(edge, "GET", path, &headers, b"");
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        assert_eq!(response.upstream_header("x-auth-restrictions"), ["project:1 project:2"]);
        assert_eq!(response.upstream_header("x.auth.restrictions"), Vec::<String>::new());
    }
    let other = |id: u32| format!("API key does not have access to the requested project: ID {id}.");
    assert_eq!(detail(&get(edge, "/api/projects/3/insights/", &value)), other(3));
    for path in ["/api/projects/", "/api/projects/@current/", "/api/insights/", "/unnamed"] {
        assert_eq!(
            detail(&get(edge, path, &value)),
            "API keys with scoped projects are only supported on project-based endpoints."
        );
    }
    assert_eq!(get(edge, "/api/projects/3/insights/", DOCUMENTED).status, 200, "a key without restrictions");

    let path = format!("/api/personal_api_keys/{id}/");
    let changed = account.call("PATCH", &path, &json!({"scoped_teams": [3]}));
    assert_eq!(changed.status, 200, "{}", changed.text());
    for _ in 0..10 {
        assert_eq!(detail(&get(edge, "/api/projects/1/insights/", &value)), other(1));
        assert_eq!(get(edge, "/api/projects/3/insights/", &value).status, 200);
    }
    let freed = account.call("PATCH", &path, &json!({"scoped_teams": Value::Null}));
    assert_eq!(freed.status, 200, "{}", freed.text());
    let response = get(edge, "/api/projects/", &value);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.upstream_header("x-auth-restrictions"), Vec::<String>::new());
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn to_the_module_of_before_restrictions_a_restricted_key_is_invalid() {
    let before = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules/before-restrictions.wasm");
    let options = Options { wasm: Some(before), ..Options::default() };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let edge = stack.envoys()[0].address();
    let account = Account::demo(stack.key_service());
    let (id, value) = create_restricted(&account, &[1]);
    for path in ["/api/projects/1/", "/api/projects/2/", "/api/insights/"] {
        assert_eq!(get(edge, path, &value).status, 401, "{path}");
        assert_eq!(get(edge, path, DOCUMENTED).status, 200, "{path}");
    }
    let path = format!("/api/personal_api_keys/{id}/");
    let freed = account.call("PATCH", &path, &json!({"scoped_teams": Value::Null}));
    assert_eq!(freed.status, 200, "{}", freed.text());
    assert_eq!(get(edge, "/api/projects/2/", &value).status, 200, "without restrictions it works");
}
