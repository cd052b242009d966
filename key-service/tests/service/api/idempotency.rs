//! Requests that are repeated with an `Idempotency-Key`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::scripted_edge::Edge;
use crate::support::{Browser, KEYS, TestApp, key_path, read, text};

const TOKENS: &str = "/api/management_tokens/";

/// Sends a body with a key, and returns status and answer.
async fn post(browser: &Browser, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let request = browser.request(Method::POST, path).header("idempotency-key", key).json(body);
    let (status, answer) = read(request).await;
    (status.as_u16(), answer)
}

async fn keys_of(browser: &Browser) -> usize {
    browser.get(KEYS).await.1.as_array().unwrap().len()
}

#[tokio::test]
async fn a_repeated_creation_returns_the_key_without_its_value() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let body = json!({"label": "CI", "scopes": ["insight:read"]});
    let (first, second) = tokio::join!(post(&demo, KEYS, "\"a\"", &body), post(&demo, KEYS, "\"a\"", &body));
    let (made, repeated) = if first.1["value"].is_null() { (second, first) } else { (first, second) };
    assert_eq!((made.0, repeated.0), (201, 201));
    assert!(app.scopes(text(&made.1, "value")).await.is_some());
    let mut expected = made.1.clone();
    expected["value"] = Value::Null;
    assert_eq!(repeated.1, expected);
    assert_eq!(post(&demo, KEYS, "a", &body).await.1, expected, "the quotation marks are optional");
    assert_eq!(keys_of(&demo).await, 1);

    let (status, refused) =
        post(&demo, KEYS, "a", &json!({"label": "CI 2", "scopes": ["insight:read"]})).await;
    assert_eq!((status, text(&refused, "code")), (422, "idempotency_key_reused"), "{refused}");
    let roll = format!("{}roll/", key_path(&made.1));
    assert_eq!(post(&demo, &roll, "a", &json!({})).await.0, 422, "another path");
    let (status, of_other) = post(&other, KEYS, "a", &body).await;
    assert!(status == 201 && of_other["value"].is_string(), "each caller has its own keys: {of_other}");
    assert!(post(&demo, KEYS, "b", &body).await.1["value"].is_string());

    let long = "x".repeat(256);
    for malformed in ["", "\"", "two words", &long] {
        let (status, refused) = post(&demo, KEYS, malformed, &body).await;
        assert_eq!((status, text(&refused, "attr")), (400, "Idempotency-Key"), "{malformed:?}");
    }
    let twice =
        demo.request(Method::POST, KEYS).header("idempotency-key", "c").header("idempotency-key", "d");
    assert_eq!(read(twice.json(&body)).await.0, 400);
    assert_eq!(keys_of(&demo).await, 2);

    demo.delete(&key_path(&made.1)).await;
    assert_eq!(post(&demo, KEYS, "a", &body).await.0, 404, "it is not made again");
}

#[tokio::test]
async fn the_key_and_the_record_of_its_request_are_written_together_or_not_at_all() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let body = json!({"label": "CI", "scopes": ["*"]});
    let (record, entry) = (("idempotency_keys", "created_at"), ("audit_log", "detail"));
    for ((table, column), key) in [(record, "a"), (entry, "b")] {
        app.alter_tables(format!("ALTER TABLE {table} RENAME COLUMN {column} TO away")).await;
        assert_eq!(post(&demo, KEYS, key, &body).await.0, 503, "{table}");
        app.alter_tables(format!("ALTER TABLE {table} RENAME COLUMN away TO {column}")).await;
    }
    assert_eq!(keys_of(&demo).await, 0);
    for key in ["a", "b"] {
        let (status, made) = post(&demo, KEYS, key, &body).await;
        assert!(status == 201 && made["value"].is_string(), "{made}");
    }
    let digests =
        "SELECT COUNT(*) FROM idempotency_keys WHERE LENGTH(digest) = 64 AND LENGTH(fingerprint) = 64";
    assert_eq!(app.number(digests).await, 2, "neither the key nor the request is stored in clear");
}

#[tokio::test]
async fn a_repeated_roll_rolls_once_and_waits_for_the_same_edges() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("CI", &["*"]).await;
    let path = format!("{}roll/", key_path(&key));
    let mut edge = Edge::subscribed(&app, "slow").await;
    edge.sync(0).await;
    let body = json!({"grace_s": 0});
    let roll = || post(&demo, &path, "roll", &body);
    let (first, second, ()) = tokio::join!(roll(), roll(), async {
        edge.sync(0).await;
        edge.sync(0).await;
    });
    let values: Vec<_> =
        [&first, &second].iter().filter_map(|(_, answer)| answer["value"].as_str()).collect();
    assert_eq!(values.len(), 1, "{first:?} {second:?}");
    assert!(app.scopes(values[0]).await.is_some() && app.scopes(text(&key, "value")).await.is_none());
    for (status, answer) in [&first, &second] {
        assert_eq!((*status, &answer["revocation"]["edges"]), (200, &json!(1)), "{answer}");
        assert_eq!(answer["revocation"]["revision"], first.1["revocation"]["revision"]);
    }
    let (_, third) = roll().await;
    assert!(third["value"].is_null() && third["last_rolled_at"] == first.1["last_rolled_at"], "{third}");
    assert_eq!(post(&demo, &path, "roll", &json!({"grace_s": 60})).await.0, 422);
}

#[tokio::test]
async fn a_repeated_creation_of_a_token_returns_it_without_its_value() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let body = json!({"label": "CI", "user_ids": null});
    let (status, made) = post(&admin, TOKENS, "t", &body).await;
    assert!(status == 201 && made["value"].is_string(), "{made}");
    let (status, repeated) = post(&admin, TOKENS, "t", &body).await;
    assert_eq!((status, &repeated["id"], &repeated["value"]), (201, &made["id"], &Value::Null));
    assert_eq!(admin.get(TOKENS).await.1.as_array().unwrap().len(), 1);
    assert_eq!(post(&admin, TOKENS, "t", &json!({"label": "CD", "user_ids": null})).await.0, 422);
}
