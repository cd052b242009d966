//! The audit log has refusals, and limits their number.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Browser, DEMO, Process, TOKEN, TestApp, client, text};

async fn entries(admin: &Browser, action: &str) -> Vec<Value> {
    let (_, log) = admin.get(&format!("/api/audit_log/?action={action}")).await;
    log["results"].as_array().unwrap().clone()
}

async fn send(base: &str, token: &str) -> u16 {
    let request = client().get(format!("{base}/api/keys/")).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_refused_token_is_logged_once_a_minute_with_its_id_and_reason() {
    let app = Process::start().await;
    let admin = app.admin();
    let expired = admin.create_token(None).await;
    app.alter("UPDATE management_tokens SET expires_at = 1").await;
    let reads = admin.create_token_that_can(&["read"], None).await;
    for _ in 0..3 {
        assert_eq!(send(&app.public, "ekm_unknown").await, 401);
        assert_eq!(send(&app.public, "ekm_another").await, 401);
        assert_eq!(send(&app.public, &expired.token).await, 401);
        assert_eq!(reads.call(Method::DELETE, "/api/personal_api_keys/x/", Value::Null).await.0, 403);
    }
    let recorded: Vec<_> = entries(&admin, "token.refused")
        .await
        .iter()
        .map(|entry| {
            assert_eq!(entry["address"], "127.0.0.1");
            let because = text(&entry["detail"], "because").to_owned();
            (
                because,
                text(entry, "actor_kind").to_owned(),
                entry["subject_id"].clone(),
                entry["detail"].clone(),
            )
        })
        .map(|(because, by, subject, detail)| {
            assert_eq!(detail["kind"], "management_token");
            (because, by, subject)
        })
        .collect();
    assert_eq!(
        recorded,
        [
            ("cannot revoke".to_owned(), "management_token".to_owned(), json!(reads.id)),
            ("expired".to_owned(), "visitor".to_owned(), json!(expired.id)),
            ("unknown".to_owned(), "visitor".to_owned(), Value::Null),
        ]
    );
    let stored = app.site.storage.content();
    for secret in ["ekm_unknown", "ekm_another", &expired.token] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[tokio::test]
async fn a_wrong_edge_token_is_in_the_log() {
    let app = TestApp::start().await;
    let admin = app.admin();
    assert_eq!(app.ask(TOKEN, Vec::new()).send().await.unwrap().status(), 200);
    for _ in 0..2 {
        assert_eq!(app.ask("edge-token-that-is-wrong", Vec::new()).send().await.unwrap().status(), 401);
    }
    let entries = entries(&admin, "token.refused").await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["detail"], json!({"kind": "edge_token", "because": "unknown"}));
}

#[tokio::test]
async fn a_throttled_sign_in_is_logged_for_known_and_unknown_addresses() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let until_throttled = async |email: &str| {
        for _ in 0..100 {
            if app.log_in(email, "wrong-password").await.status() == 429 {
                return;
            }
        }
        panic!("{email} was never throttled");
    };
    until_throttled(DEMO).await;
    until_throttled(DEMO).await;
    let found = entries(&admin, "user.sign_in_throttled").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["user_email"], &found[0]["actor_kind"], &found[0]["address"]),
        (&json!(DEMO), &json!("visitor"), &json!("127.0.0.1"))
    );
    until_throttled("nobody@example.com").await;
    let found = entries(&admin, "user.sign_in_throttled").await;
    assert_eq!((found.len(), &found[0]["user_email"]), (2, &Value::Null));
    assert_eq!(found[0]["detail"], json!({"left_out": 1}), "the earlier refusal");
}

#[tokio::test]
async fn a_wrong_current_password_is_logged() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let change = json!({"current_password": "not-mine-at-all", "password": "another-password"});
    assert_eq!(demo.patch("/api/users/@me/", change).await.0, 400);
    let found = entries(&admin, "user.password_change_refused").await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["actor_name"], &found[0]["user_email"]), (&json!(DEMO), &json!(DEMO)));
    assert_eq!(found[0]["address"], "127.0.0.1");
}
