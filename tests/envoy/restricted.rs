//! Keys that are restricted to projects or organizations.

use std::path::Path;

use serde_json::{Value, json};
use test_stack::{Options, Stack};

use crate::DOCUMENTED;
use crate::account::Account;
use crate::client::{Response, get, send};

/// Creates a key with all scopes that is restricted to these projects; returns its id and value.
fn create_restricted(account: &Account, projects: &[u64]) -> (String, String) {
    create(account, "scoped_teams", &json!(projects))
}

fn create(account: &Account, field: &str, ids: &Value) -> (String, String) {
    let key = json!({"label": "restricted", "scopes": ["*"], field: ids});
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
    let mut routes: Value =
        serde_json::from_str(include_str!("../../src/config/default_routes.json")).unwrap();
    let members = "/api/organizations/{organization_id}/members/{*rest}";
    let members = json!({"path": members, "scope": "organization_member", "organization": "organization_id"});
    routes.as_array_mut().unwrap().push(members);
    let filter = json!({"error_bodies": "posthog", "routes": routes});
    let options = Options { envoys: 2, filter, ..Options::default() };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
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

    every_edge_applies_a_change_to_every_value(&stack, &account);
    every_edge_judges_organizations(&stack, &account);
}

/// Checks that at every edge, the key reaches the permitted paths and gets 403 for the others.
#[track_caller]
fn require(stack: &Stack, value: &str, permitted: &[&str], refused: &[&str]) {
    for envoy in stack.envoys() {
        let status = |path: &&str| get(envoy.address(), path, value).status;
        let statuses = [permitted, refused].map(|paths| paths.iter().map(status).collect::<Vec<_>>());
        assert_eq!(statuses, [vec![200; permitted.len()], vec![403; refused.len()]]);
    }
}

fn every_edge_applies_a_change_to_every_value(stack: &Stack, account: &Account) {
    let [one, two, all] = ["/api/projects/1/insights/", "/api/projects/2/insights/", "/api/projects/"];
    let (id, old) = create_restricted(account, &[1, 2]);
    require(stack, &old, &[one, two], &[all]);
    let path = format!("/api/personal_api_keys/{id}/");
    let rolled = account.call("POST", &format!("{path}roll/"), &json!({"grace_s": 600}));
    assert_eq!(rolled.status, 200, "{}", rolled.text());
    let new = rolled.json()["value"].as_str().unwrap().to_owned();
    let values = [&*old, &*new];
    let change = |projects: Value| {
        let changed = account.call("PATCH", &path, &json!({"scoped_teams": projects}));
        assert_eq!(changed.status, 200, "{}", changed.text());
    };
    let require_both =
        |permitted: &[&str], refused: &[&str]| values.map(|value| require(stack, value, permitted, refused));
    require_both(&[one, two], &[all]);
    change(json!([1]));
    require_both(&[one], &[two, all]);
    change(json!([2, 3]));
    require_both(&[two], &[one, all]);
    change(Value::Null);
    require_both(&[one, two, all], &[]);
    account.delete_key(&id);
    for envoy in stack.envoys() {
        assert_eq!(values.map(|value| get(envoy.address(), one, value).status), [401, 401]);
    }
}

fn every_edge_judges_organizations(stack: &Stack, account: &Account) {
    let [acme, globex] = ["/api/organizations/acme/members/", "/api/organizations/globex/members/"];
    let project = "/api/projects/1/insights/";
    let (id, value) = create(account, "scoped_organizations", &json!(["acme", "globex"]));
    // The edge does not know the organization of a project.
    require(stack, &value, &[acme, globex], &[project]);
    let path = format!("/api/personal_api_keys/{id}/");
    for (organizations, permitted, refused) in
        [(json!(["acme"]), &[acme][..], &[globex, project][..]), (Value::Null, &[acme, globex, project], &[])]
    {
        let changed = account.call("PATCH", &path, &json!({"scoped_organizations": organizations}));
        assert_eq!(changed.status, 200, "{}", changed.text());
        require(stack, &value, permitted, refused);
        if let Some(refused) = refused.first() {
            let detail = detail(&get(stack.envoys()[0].address(), refused, &value));
            assert_eq!(detail, "API key does not have access to the requested organization: ID globex.");
        }
    }
    account.delete_key(&id);
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
