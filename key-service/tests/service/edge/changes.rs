//! Every change, of the API and of the command line, applies on every edge when it returns.

use std::time::Instant;

use serde_json::{Value, json};

use super::revocation::{MADE, assert_waited_for_the_lease};
use crate::support::scripted_edge::{Edge, SHORT_LEASES};
use crate::support::{Browser, DEMO, OTHER, TestApp, key_path, text};

/// Makes a change while an edge runs, and checks that the edge received the digests before the change returned.
async fn assert_received<F: Future<Output = Value>>(app: &TestApp, values: &[&str], doing: F) -> Value {
    let edge = Edge::subscribed(app, "running").await.run();
    assert!(values.iter().all(|value| !edge.has_received(value)));
    let revocation = doing.await;
    for value in values {
        assert!(edge.has_received(value), "{revocation}");
    }
    assert_eq!((&revocation["edges"], &revocation["acknowledged"]), (&json!(1), &json!(1)));
    // The edge is gone when this returns; nobody waits for its lease next time.
    drop(edge);
    app.alter("UPDATE edge_leases SET ends_at = 0").await;
    revocation
}

async fn by_api(demo: &Browser, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = match method {
        "PATCH" => demo.patch(path, body).await,
        "POST" => demo.post(path, body).await,
        _ => demo.delete(path).await,
    };
    assert_eq!(status, 200, "{answer}");
    answer["revocation"].clone()
}

#[tokio::test]
async fn every_edge_has_a_change_of_a_key_when_it_returns() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("changed", &["*"]).await;
    let (value, path) = (text(&key, "value"), key_path(&key));
    let roll = format!("{path}roll/");
    assert_received(&app, &[value], by_api(&demo, "PATCH", &path, json!({"scopes": ["query:read"]}))).await;
    let expiring = json!({"expires_at": "2100-01-01T00:00:00Z"});
    assert_received(&app, &[value], by_api(&demo, "PATCH", &path, expiring)).await;
    assert_received(&app, &[value], by_api(&demo, "POST", &roll, json!({"grace_s": 3600}))).await;
    let (_, second) = demo.post(&roll, json!({"grace_s": 3600})).await;
    let values = [value, text(&second, "value")];
    assert_received(&app, &values, by_api(&demo, "POST", &roll, json!({}))).await;
    let (_, third) = demo.post(&roll, json!({})).await;
    assert_received(&app, &[text(&third, "value")], by_api(&demo, "DELETE", &path, json!({}))).await;
}

#[tokio::test]
async fn every_edge_has_a_change_of_restrictions_when_it_returns() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("restricted", &["*"]).await;
    let (value, path) = (text(&key, "value"), key_path(&key));
    for (change, restrictions) in [
        (json!({"scoped_teams": [1, 2]}), "project:1 project:2"),
        (json!({"scoped_teams": [3]}), "project:3"),
        (json!({"scoped_organizations": ["acme"]}), "project:3 organization:acme"),
        (json!({"scoped_teams": null}), "organization:acme"),
        (json!({"scoped_organizations": []}), ""),
    ] {
        assert_received(&app, &[value], by_api(&demo, "PATCH", &path, change)).await;
        assert_eq!(app.restrictions(value).await.as_deref(), Some(restrictions));
    }
}

#[tokio::test]
async fn the_command_line_keeps_the_same_promise() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let [first, second] = [demo.create_key("first", &["*"]).await, demo.create_key("second", &["*"]).await];
    let values = [text(&first, "value"), text(&second, "value")];
    let cli = |args: &[&str]| {
        let (site, args) = (app.site.clone(), args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>());
        async move {
            let run = move || site.json(&args.iter().map(String::as_str).collect::<Vec<_>>());
            tokio::task::spawn_blocking(run).await.unwrap()
        }
    };
    assert_received(&app, &values, cli(&["user", "disable", DEMO, "--json"])).await;
    assert_eq!(app.scopes(values[0]).await, None);
    assert_received(&app, &values, cli(&["user", "enable", DEMO, "--json"])).await;
    assert_eq!(app.scopes(values[0]).await.as_deref(), Some("*"));
    let permissions = ["user", "permissions", DEMO, "insight:read,cohort:write", "--json"];
    assert_received(&app, &values, cli(&permissions)).await;
    assert_eq!(app.scopes(values[0]).await.as_deref(), Some("insight:read cohort:write"));
    let ids = [text(&first, "id"), text(&second, "id")];
    assert_received(&app, &values[..1], cli(&["key", "delete", ids[0], "--json"])).await;
    let roll = async { cli(&["key", "roll", ids[1], "--json"]).await["revocation"].clone() };
    assert_received(&app, &values[1..], roll).await;
    assert_eq!(app.scopes(values[1]).await, None);
    // An edge may have cached that nobody has this value.
    let adopted = "phx_1234567890abcdef";
    let create = ["key", "create", "--user", OTHER, "--label", "docs", "--scopes", "*", "--value-stdin"];
    let edge = Edge::subscribed(&app, "e").await.run();
    let site = app.site.clone();
    tokio::task::spawn_blocking(move || site.ok(&create, adopted)).await.unwrap();
    assert!(edge.has_received(adopted));
    drop(edge);
    app.alter("UPDATE edge_leases SET ends_at = 0").await;
    assert_received(&app, &[adopted], cli(&["user", "delete", OTHER, "--json"])).await;
    assert_eq!(app.scopes(adopted).await, None);
}

#[tokio::test]
async fn the_command_line_waits_for_a_lease_and_says_so() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let key = demo.create_key("revoked", &["*"]).await;
    let id = text(&key, "id").to_owned();
    let granted_at = Instant::now();
    Edge::subscribed(&app, "e").await;
    let run = |args: Vec<String>| {
        let site = app.site.clone();
        tokio::task::spawn_blocking(move || {
            let output = site.run(&args.iter().map(String::as_str).collect::<Vec<_>>(), "");
            (output.status.success(), String::from_utf8(output.stderr).unwrap(), Instant::now())
        })
    };
    let revoke = vec!["key".to_owned(), "delete".to_owned(), id];
    let first = run(revoke.clone());
    app.until(MADE).await;
    let again = run(revoke);
    let (succeeded, output, returned_at) = first.await.unwrap();
    let waited =
        ["in effect everywhere after ", "its cache has expired"].iter().all(|part| output.contains(part));
    assert!(succeeded && waited, "{output}");
    assert_waited_for_the_lease(granted_at, returned_at);
    let (succeeded, output, returned_at) = again.await.unwrap();
    assert!(!succeeded && output.contains("no such key"), "{output}");
    assert_waited_for_the_lease(granted_at, returned_at);
}
