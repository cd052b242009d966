//! Reports of leaked values.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::scripted_edge::{Edge, SHORT_LEASES};
use crate::support::{TestApp, key_path, text};

#[tokio::test]
async fn leaked_values_stop_working_at_once_and_the_answer_lists_the_live_ones() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let (demo, other) = (app.demo(), app.other());
    let admin = app.admin();
    let automation = admin.create_token(None).await;
    let leaked = demo.create_key("leaked", &["*"]).await;
    let rolled = other.create_key("rolled", &["insight:read"]).await;
    let rolled_path = format!("/api/personal_api_keys/{}/roll/", text(&rolled, "id"));
    let (_, renewed) = other.post(&rolled_path, json!({"grace_s": 600})).await;
    let safe = demo.create_key("safe", &["*"]).await;
    let edge = Edge::subscribed(&app, "edge").await;
    let _running = edge.run();

    let values =
        json!([text(&leaked, "value"), "phx_unknown_but_long_enough", text(&rolled, "value"), "", "é…"]);
    let report = json!({"values": values, "source": "github.com/example"});
    let (status, answer) = automation.call(Method::POST, "/api/leaked_keys/", report.clone()).await;
    assert_eq!(status, 200, "{answer}");
    let live: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["live"].as_bool().unwrap())
        .collect();
    assert_eq!(live, [true, false, true, false, false]);
    assert_eq!(answer["results"][0]["key_id"], leaked["id"]);
    assert_eq!(answer["revocation"]["acknowledged"], 1, "{answer}");
    assert!(!answer.to_string().contains(text(&leaked, "value")));

    assert_eq!(app.scopes(text(&leaked, "value")).await, None);
    assert_eq!(app.scopes(text(&rolled, "value")).await, None);
    assert!(app.scopes(text(&renewed, "value")).await.is_some(), "the new value did not leak");
    assert!(app.scopes(text(&safe, "value")).await.is_some());
    let (_, again) = automation.call(Method::POST, "/api/leaked_keys/", report).await;
    assert_eq!(again["results"][0]["live"], false);
    assert_eq!(
        again["revocation"]["revision"], answer["revocation"]["revision"],
        "it makes no new change, and waits for the first: {again}"
    );
    let unknown =
        ["key", "create", "--user", "demo@example.com", "--label", "late", "--scopes", "*", "--value-stdin"];
    let error = app.site.fails(&unknown, "phx_unknown_but_long_enough");
    assert!(error.contains("revoked"), "a leaked value never becomes a key: {error}");

    let (_, reports) = admin.get("/api/audit_log/?action=leak.reported").await;
    let details: Vec<_> =
        reports["results"].as_array().unwrap().iter().map(|entry| &entry["detail"]).collect();
    let source = "github.com/example";
    assert_eq!(
        details,
        [
            &json!({"source": source, "values": 5, "live": 0}),
            &json!({"source": source, "values": 5, "live": 2})
        ]
    );
    let (_, log) = admin.get("/api/audit_log/?action=key.leaked").await;
    assert_eq!(log["count"], 2, "{log}");
    let entry = &log["results"].as_array().unwrap().iter().find(|e| e["subject_id"] == leaked["id"]).unwrap();
    assert_eq!(entry["detail"], json!({"source": "github.com/example", "key_deleted": true}));
    assert_eq!(
        (&entry["actor_kind"], &entry["actor_name"]),
        (&json!("management_token"), &json!("terraform"))
    );
}

#[tokio::test]
async fn a_leaked_management_token_ends() {
    let app = TestApp::start_with(&["--changes-per-minute", "5"]).await;
    let admin = app.admin();
    let (automation, leaked) = (admin.create_token(None).await, admin.create_token(None).await);
    let keys = "/api/keys/";
    assert_eq!(leaked.call(Method::GET, keys, Value::Null).await.0, 200);
    let report = json!({"values": [leaked.token, "phx_invented"], "source": "github.com/example"});
    for live in [true, false] {
        let (status, answer) = automation.call(Method::POST, "/api/leaked_keys/", report.clone()).await;
        assert_eq!((status.as_u16(), &answer["results"][0]["live"]), (200, &json!(live)), "{answer}");
        assert_eq!(answer["results"][1]["live"], false);
        assert_eq!(leaked.call(Method::GET, keys, Value::Null).await.0, 401);
    }
    assert_eq!(automation.call(Method::GET, keys, Value::Null).await.0, 200);
}

#[tokio::test]
async fn a_leaked_key_that_expired_or_whose_user_is_disabled_is_deleted_and_not_live() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let admin = app.admin();
    let expired = demo.create_key("expired", &["*"]).await;
    app.alter("UPDATE api_keys SET expires_at = 1 WHERE label = 'expired'").await;
    let disabled = other.create_key("disabled", &["*"]).await;
    app.site.ok(&["user", "disable", "other@example.com"], "");
    let values = json!([text(&expired, "value"), text(&disabled, "value")]);
    let (_, answer) = admin.post("/api/leaked_keys/", json!({"values": values, "source": "x"})).await;
    for (result, key) in answer["results"].as_array().unwrap().iter().zip([&expired, &disabled]) {
        assert_eq!((&result["live"], &result["key_id"]), (&json!(false), &key["id"]), "{answer}");
        let gone = admin.get(&key_path(key)).await.0;
        assert_eq!(gone, 404);
    }
}

#[tokio::test]
async fn an_invalid_report_names_the_field() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let many = vec!["phx_x"; 101];
    for (body, attr) in [
        (json!({"source": "x"}), "values"),
        (json!({"values": [], "source": "x"}), "values"),
        (json!({"values": many, "source": "x"}), "values"),
        (json!({"values": [7], "source": "x"}), "values"),
        (json!({"values": ["phx_x"]}), "source"),
        (json!({"values": ["phx_x"], "source": " "}), "source"),
    ] {
        let (status, answer) = admin.post("/api/leaked_keys/", body.clone()).await;
        assert_eq!((status.as_u16(), &answer["attr"]), (400, &json!(attr)), "{body}");
    }
}

#[tokio::test]
async fn a_revoked_value_is_never_adopted_again() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("deleted", &["*"]).await;
    demo.delete(&key_path(&key)).await;
    let adopt_value =
        ["key", "create", "--user", "demo@example.com", "--label", "again", "--scopes", "*", "--value-stdin"];
    let error = app.site.fails(&adopt_value, text(&key, "value"));
    assert!(error.contains("revoked"), "{error}");
    let if_absent = [&adopt_value[..], &["--if-absent"]].concat();
    assert_eq!(app.site.ok(&if_absent, text(&key, "value")), "");
    assert_eq!(app.scopes(text(&key, "value")).await, None);
}

#[tokio::test]
async fn reports_of_revoked_values_are_logged_once_a_minute() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let automation = admin.create_token(None).await;
    let key = demo.create_key("leaked", &["*"]).await;
    let report = json!({"values": [text(&key, "value")], "source": "here"});
    for n in 0..20 {
        let (status, answer) = automation.call(Method::POST, "/api/leaked_keys/", report.clone()).await;
        assert_eq!((status.as_u16(), &answer["results"][0]["live"]), (200, &json!(n == 0)));
    }
    let elsewhere = json!({"values": [text(&key, "value")], "source": "there"});
    assert_eq!(automation.call(Method::POST, "/api/leaked_keys/", elsewhere).await.0, 200);
    let (_, log) = admin.get("/api/audit_log/?action=leak.reported").await;
    let details: Vec<_> =
        log["results"].as_array().unwrap().iter().map(|entry| entry["detail"].clone()).collect();
    assert_eq!(
        details,
        [
            json!({"source": "there", "values": 1, "live": 0, "left_out": 18}),
            json!({"source": "here", "values": 1, "live": 0}),
            json!({"source": "here", "values": 1, "live": 1}),
        ]
    );
}
