//! A successful answer of each route, and an error of each kind.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use crate::support::scripted_edge::Edge;
use crate::support::transcript::Transcript;
use crate::support::{ADMIN, DEMO, KEYS, OTHER, PASSWORD, TOKEN, TestApp, client, key_path, text};

#[tokio::test]
async fn of_a_session_and_the_own_account() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let mut transcript = Transcript::of(&app);
    let login = json!({"email": OTHER, "password": PASSWORD});
    transcript.send(client().post(format!("{}/api/login/", app.public)).json(&login)).await;
    transcript.send(other.request(Method::GET, "/api/users/@me/")).await;
    let change = json!({"current_password": PASSWORD, "password": "another-password"});
    transcript.send(other.request(Method::PATCH, "/api/users/@me/").json(&change)).await;
    transcript.send(demo.request(Method::POST, "/api/logout/")).await;
    assert_snapshot!("session_and_own_account", transcript);
}

#[tokio::test]
async fn of_users() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let mut transcript = Transcript::of(&app);
    let new = json!({"email": "new@example.com", "permissions": ["insight:read"]});
    let user = transcript.send(admin.request(Method::POST, "/api/users/").json(&new)).await;
    let path = format!("/api/users/{}/", text(&user, "id"));
    transcript.send(admin.request(Method::GET, &path)).await;
    transcript
        .send(admin.request(Method::PATCH, &path).json(&json!({"permissions": ["cohort:write"]})))
        .await;
    transcript.send(admin.request(Method::POST, &format!("{path}link/"))).await;
    let link =
        ["user", "link-identity", "new@example.com", "--issuer", "https://sso.example.com", "--subject", "7"];
    app.site.ok(&link, "");
    let found = transcript.send(admin.request(Method::GET, "/api/users/?search=new")).await;
    let identity = text(&found["results"][0]["identities"][0], "id");
    transcript.send(admin.request(Method::DELETE, &format!("{path}identities/{identity}/"))).await;
    transcript.send(admin.request(Method::DELETE, &path)).await;
    let new = json!({"name": "ci", "permissions": ["insight:read"]});
    transcript.send(admin.request(Method::POST, "/api/service_accounts/").json(&new)).await;
    assert_snapshot!("users", transcript);
}

#[tokio::test]
async fn of_keys() {
    let app = TestApp::start().await;
    let (demo, admin) = (app.demo(), app.admin());
    let mut transcript = Transcript::of(&app);
    let new = json!({"label": "CI", "scopes": ["insight:read", "cohort:write"]});
    let key = transcript.send(demo.request(Method::POST, KEYS).json(&new)).await;
    let path = key_path(&key);
    transcript.send(demo.request(Method::GET, KEYS)).await;
    transcript.send(demo.request(Method::GET, &path)).await;
    transcript.send(demo.request(Method::PATCH, &path).json(&json!({"label": "Build"}))).await;
    transcript.send(demo.request(Method::PATCH, &path).json(&json!({"scopes": ["*"]}))).await;
    transcript
        .send(demo.request(Method::POST, &format!("{path}roll/")).json(&json!({"grace_s": 3600})))
        .await;
    transcript.send(admin.request(Method::GET, "/api/keys/?search=build&limit=1")).await;
    transcript.send(demo.request(Method::DELETE, &path)).await;
    assert_snapshot!("keys", transcript);
}

#[tokio::test]
async fn of_management_tokens() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let mut transcript = Transcript::of(&app);
    let new = json!({"label": "terraform", "user_ids": [app.user_id(OTHER)], "can": ["read", "create"]});
    let token = transcript.send(admin.request(Method::POST, "/api/management_tokens/").json(&new)).await;
    transcript.send(admin.request(Method::GET, "/api/management_tokens/")).await;
    let path = format!("/api/management_tokens/{}/", text(&token, "id"));
    transcript.send(admin.request(Method::DELETE, &path)).await;
    assert_snapshot!("management_tokens", transcript);
}

#[tokio::test]
async fn of_the_scope_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scopes.json");
    let order =
        json!([{"object": "order", "title": "Orders", "description": "All orders.", "group": "Shop"}]);
    std::fs::write(&file, order.to_string()).unwrap();
    let app = TestApp::start_with(&["--scope-catalogue", file.to_str().unwrap()]).await;
    let mut transcript = Transcript::of(&app);
    transcript.send(app.demo().request(Method::GET, "/api/scopes/")).await;
    assert_snapshot!("scopes", transcript);
}

#[tokio::test]
async fn of_a_report_of_leaked_keys() {
    let app = TestApp::start().await;
    let key = app.demo().create_key("CI", &["*"]).await;
    let mut transcript = Transcript::of(&app);
    let report = json!({"values": [key["value"], "phx_of_nobody"], "source": "a gist"});
    transcript.send(app.admin().request(Method::POST, "/api/leaked_keys/").json(&report)).await;
    assert_snapshot!("leaked_keys", transcript);
}

#[tokio::test]
async fn of_a_report_by_the_holder_of_leaked_values() {
    let app = TestApp::start().await;
    let key = app.demo().create_key("CI", &["*"]).await;
    let mut transcript = Transcript::of(&app);
    let report = json!({"values": [key["value"], "phx_of_nobody"], "source": "a gist"});
    let url = format!("{}/api/leaked_values/", app.public);
    transcript.send(client().post(url).json(&report)).await;
    assert_snapshot!("leaked_values", transcript);
}

#[tokio::test]
async fn of_the_audit_log() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("CI", &["*"]).await;
    demo.patch(&key_path(&key), json!({"scopes": ["insight:read"]})).await;
    let mut transcript = Transcript::of(&app);
    transcript.send(app.admin().request(Method::GET, "/api/audit_log/?action=key.&limit=2")).await;
    assert_snapshot!("audit_log", transcript);
}

#[tokio::test]
async fn of_the_edges() {
    let app = TestApp::start().await;
    Edge::subscribed(&app, "0123456789abcdef").await;
    let mut transcript = Transcript::of(&app);
    transcript.send(app.admin().request(Method::GET, "/api/edges/")).await;
    assert_snapshot!("edges", transcript);
}

#[tokio::test]
async fn of_callers_that_may_not() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("CI", &["*"]).await;
    let token = app.admin().create_token_that_can(&["read"], None).await.token;
    let with = |token: &str, path: &str| client().get(format!("{}{path}", app.public)).bearer_auth(token);
    let mut transcript = Transcript::of(&app);
    transcript.send(client().get(format!("{}{KEYS}", app.public))).await;
    for (credential, value) in [
        ("a personal API key", text(&key, "value")),
        ("an unknown management token", "ekm_of_nobody"),
        ("the edge token", TOKEN),
    ] {
        transcript.note(credential);
        transcript.send(with(value, KEYS)).await;
    }
    transcript.note("a management token, where a user has to be signed in");
    transcript.send(with(&token, "/api/users/@me/")).await;
    let login = json!({"email": DEMO, "password": "wrong"});
    transcript.send(client().post(format!("{}/api/login/", app.public)).json(&login)).await;
    transcript.note("a member, where an admin has to be signed in");
    transcript.send(demo.request(Method::GET, "/api/users/")).await;
    transcript.note("a management token that can only read");
    transcript.send(client().delete(format!("{}{KEYS}none/", app.public)).bearer_auth(&token)).await;
    transcript.note("a browser on a page of another site");
    transcript.send(demo.request(Method::POST, KEYS).header("origin", "https://evil.example")).await;
    assert_snapshot!("errors_of_callers", transcript);
}

#[tokio::test]
async fn of_requests_that_are_wrong() {
    let app = TestApp::start().await;
    let (demo, admin) = (app.demo(), app.admin());
    let mut transcript = Transcript::of(&app);
    transcript.send(demo.request(Method::GET, "/api/nowhere/")).await;
    transcript.send(demo.request(Method::GET, "/api/personal_api_keys/none/")).await;
    transcript.send(demo.request(Method::PUT, KEYS)).await;
    let post = |kind: &str, body: &str| {
        demo.request(Method::POST, KEYS).header("content-type", kind).body(body.to_owned())
    };
    transcript.send(post("application/json", "{\"label\": ")).await;
    transcript.send(post("application/json", "[1]")).await;
    transcript.send(post("text/plain", "{}")).await;
    transcript.send(post("application/json", &format!("\"{}\"", "x".repeat(70_000)))).await;
    for body in [
        json!({}),
        json!({"label": null, "scopes": null}),
        json!({"label": 7, "scopes": "*", "expires_at": 7}),
        json!({"label": " ", "scopes": [], "expires_at": "tomorrow"}),
        json!({"label": "x".repeat(41), "scopes": ["unicorn:read"], "expires_at": "2020-01-01T00:00:00Z"}),
        json!({"label": "CI", "scopes": ["*"], "expires": "2100-01-01T00:00:00Z"}),
    ] {
        transcript.send(demo.request(Method::POST, KEYS).json(&body)).await;
    }
    for (path, body) in [
        ("/api/users/", json!({"email": "x", "permissions": ["all"], "password": "short", "is_admin": 1})),
        ("/api/users/", json!({"email": DEMO, "permissions": ["*"]})),
        ("/api/management_tokens/", json!({"label": " ", "user_ids": ["nobody"], "can": ["delete"]})),
        ("/api/leaked_keys/", json!({"values": [7]})),
    ] {
        transcript.send(admin.request(Method::POST, path).json(&body)).await;
    }
    transcript.send(admin.request(Method::GET, "/api/keys/?limit=0&offset=-1&state=new&scope=cohort")).await;
    transcript
        .send(admin.request(Method::PATCH, &app.user_path(ADMIN)).json(&json!({"is_active": false})))
        .await;
    assert_snapshot!("errors_of_requests", transcript);
}

/// Each route of the document is in one of the snapshots.
#[tokio::test]
async fn are_in_a_snapshot_for_each_route() {
    let app = TestApp::start().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service/api/snapshots");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let snapshots: String = files
        .filter(|file| file.extension().is_some_and(|it| it == "snap"))
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let (_, document) = app.demo().get("/api/openapi.json").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let begins = format!("{} ", method.to_uppercase());
            let is_there = snapshots.lines().any(|line| {
                let sent = line.strip_prefix(&begins).map(|rest| rest.split('?').next().unwrap_or_default());
                sent.is_some_and(|sent| is_of(path, sent))
            });
            assert!(is_there, "{method} {path} has no snapshot");
        }
    }
}

/// Whether the path of a request is that of an operation.
fn is_of(path: &str, sent: &str) -> bool {
    let (of_path, of_sent): (Vec<_>, Vec<_>) = (path.split('/').collect(), sent.split('/').collect());
    let is_equal = |(of_path, of_sent): (&&str, &&str)| of_path.starts_with('{') || of_path == of_sent;
    of_path.len() == of_sent.len() && of_path.iter().zip(&of_sent).all(is_equal)
}
