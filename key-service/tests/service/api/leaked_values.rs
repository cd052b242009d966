//! Reports of leaked values by anyone who holds them.

use std::collections::HashSet;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::scripted_edge::{Edge, SHORT_LEASES};
use crate::support::{TestApp, client, key_path, read, text};

const PATH: &str = "/api/leaked_values/";

fn request(app: &TestApp, values: &[&str]) -> RequestBuilder {
    let report = json!({"values": values, "source": "a gist"});
    client().post(format!("{}{PATH}", app.public)).json(&report)
}

async fn report(app: &TestApp, values: &[&str]) -> (StatusCode, Value) {
    read(request(app, values)).await
}

/// Everything that a report can write.
const WRITTEN: &str = "SELECT (SELECT COUNT(*) FROM audit_log) + (SELECT COUNT(*) FROM revoked_digests)
    + (SELECT revision FROM revision_log) + (SELECT COUNT(*) FROM webhook_deliveries)";

#[tokio::test]
async fn whoever_holds_a_value_ends_it_and_learns_nothing_of_its_owner() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let (demo, admin) = (app.demo(), app.admin());
    let leaked = demo.create_key("leaked", &["*"]).await;
    let rolled = demo.create_key("rolled", &["*"]).await;
    let path = format!("{}roll/", key_path(&rolled));
    let (_, renewed) = demo.post(&path, json!({"grace_s": 600})).await;
    let of_admin = admin.create_key("of an admin", &["*"]).await;
    let token = admin.create_token(None).await;
    let edge = Edge::subscribed(&app, "edge").await;
    let _running = edge.run();

    let values = [&leaked, &rolled, &of_admin].map(|key| text(key, "value"));
    let sent = [&values[..], &[&token.token, "phx_of_nobody_at_all", values[0]]].concat();
    let (status, answer) = report(&app, &sent).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().unwrap();
    let live: Vec<_> = results.iter().map(|result| result["live"].as_bool().unwrap()).collect();
    assert_eq!(live, [true, true, true, true, false, true]);
    let fields: HashSet<_> = results.iter().flat_map(|result| result.as_object().unwrap().keys()).collect();
    assert_eq!(fields, HashSet::from([&"live".to_owned(), &"mask_value".to_owned()]));
    assert_eq!(answer.as_object().unwrap().len(), 1, "nothing of the edges: {answer}");
    assert!(sent.iter().all(|value| !answer.to_string().contains(value)));

    for value in values {
        assert_eq!(app.scopes(value).await, None);
    }
    assert!(app.scopes(text(&renewed, "value")).await.is_some(), "the new value did not leak");
    assert_eq!(demo.get(&key_path(&leaked)).await.0, 404);
    assert_eq!(token.call(Method::GET, "/api/keys/", Value::Null).await.0, 401);

    let (_, log) = admin.get("/api/audit_log/?action=key.leaked").await;
    assert_eq!(log["count"], 3, "{log}");
    let (_, tokens) = admin.get("/api/audit_log/?action=token.revoked").await;
    assert_eq!(tokens["results"][0]["detail"], json!({"leaked": true, "source": "a gist"}));
    for entry in [&log["results"][0], &tokens["results"][0]] {
        assert_eq!((&entry["actor_kind"], &entry["actor_id"]), (&json!("leak_reporter"), &Value::Null));
        assert_eq!(entry["address"], "127.0.0.1");
        assert!(entry["request_id"].is_string());
    }
    assert_eq!(app.number("SELECT COUNT(*) FROM webhook_deliveries").await, 3);
    let anonymous =
        r#"SELECT COUNT(*) FROM webhook_deliveries WHERE payload LIKE '%"reported_by":"leak_reporter"%'"#;
    assert_eq!(app.number(anonymous).await, 3);
}

#[tokio::test]
async fn a_report_whose_keys_cannot_be_ended_ends_no_token() {
    let app = TestApp::start().await;
    let key = app.demo().create_key("leaked", &["*"]).await;
    let token = app.admin().create_token(None).await;
    let values = [text(&key, "value"), &token.token];
    app.alter_tables("ALTER TABLE webhook_deliveries RENAME TO gone").await;
    assert!(report(&app, &values).await.0.is_server_error());
    app.alter_tables("ALTER TABLE gone RENAME TO webhook_deliveries").await;
    let (_, repeated) = report(&app, &values).await;
    let live: Vec<_> = repeated["results"].as_array().unwrap().iter().map(|result| &result["live"]).collect();
    assert_eq!(live, [true, true]);
}

#[tokio::test]
async fn values_of_nobody_and_ended_values_write_nothing_and_take_no_lock() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("leaked", &["*"]).await;
    let (_, ended) = report(&app, &[text(&key, "value")]).await;
    assert_eq!(ended["results"][0]["live"], true);
    let before = app.number(WRITTEN).await;

    let lock = app.lock().await;
    let (status, again) = report(&app, &[text(&key, "value"), "phx_of_nobody_at_all", "é"]).await;
    assert_eq!(status, 200, "{again}");
    drop(lock);
    assert!(again["results"].as_array().unwrap().iter().all(|result| result["live"] == false), "{again}");
    assert_eq!(app.number(WRITTEN).await, before);

    let known = demo.create_key("another", &["*"]).await;
    let (_, mixed) = report(&app, &["phx_of_nobody_at_all", text(&known, "value")]).await;
    assert_eq!(mixed["results"][1]["live"], true, "{mixed}");
    let adopt =
        ["key", "create", "--user", "demo@example.com", "--label", "x", "--scopes", "*", "--value-stdin"];
    app.site.ok(&adopt, "phx_of_nobody_at_all");
}

#[tokio::test]
async fn a_network_has_ten_reports_a_minute() {
    let app = TestApp::start().await;
    let key = app.demo().create_key("leaked", &["*"]).await;
    for n in 0..10 {
        assert_eq!(report(&app, &["phx_of_nobody_at_all"]).await.0, 200, "{n}");
    }
    let refused = request(&app, &[text(&key, "value")]).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=7).contains(&seconds), "{seconds}");
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "throttled");
    assert!(app.scopes(text(&key, "value")).await.is_some(), "a refused report ends nothing");
    let admins = json!({"values": [text(&key, "value")], "source": "a gist"});
    assert_eq!(app.admin().post("/api/leaked_keys/", admins).await.0, 200, "an admin has no such limit");
}

#[tokio::test]
async fn a_bad_report_is_answered_with_every_problem_and_another_origin_is_refused() {
    let app = TestApp::start().await;
    let key = app.demo().create_key("kept", &["*"]).await;
    let body = json!({"values": vec!["x"; 101], "sauce": "a gist"});
    let bad = client().post(format!("{}{PATH}?dry_run=1", app.public)).json(&body);
    let (status, answer) = read(bad).await;
    let errors: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| text(error, "attr")).collect();
    assert_eq!((status.as_u16(), errors), (400, vec!["values", "source", "sauce", "dry_run"]));
    let reversed = json!({"values": [text(&key, "value")], "source": "a \u{202e}gist"});
    let (_, answer) = read(client().post(format!("{}{PATH}", app.public)).json(&reversed)).await;
    assert_eq!((text(&answer, "code"), text(&answer, "attr")), ("invalid_input", "source"));
    let elsewhere = request(&app, &[text(&key, "value")]).header("origin", "https://evil.example");
    assert_eq!(read(elsewhere).await.0, 403);
    assert!(app.scopes(text(&key, "value")).await.is_some());
}

#[tokio::test]
async fn an_operator_can_turn_the_reports_off() {
    let app = TestApp::start_with(&["--public-leak-reports", "false"]).await;
    let admin = app.admin();
    let key = admin.create_key("kept", &["*"]).await;
    assert_eq!(report(&app, &[text(&key, "value")]).await.0, 404);
    let get = async |path: &str| client().get(format!("{}{path}", app.public)).send().await.unwrap();
    assert_eq!(get("/leaked").await.status(), 404);
    assert!(!get("/sign-in").await.text().await.unwrap().contains("/leaked"));
    let (_, document) = admin.get("/api/openapi.json").await;
    assert!(document["paths"].get(PATH).is_none());
    assert!(app.scopes(text(&key, "value")).await.is_some());
}
