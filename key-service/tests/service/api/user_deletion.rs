//! Deleting a user.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use super::links::{choose_password, make_admin};
use super::roles::{ENDED, answer};
use crate::edge::revocation::{MADE, assert_waited_for_the_lease};
use crate::support::scripted_edge::{Edge, SHORT_LEASES, outcome};
use crate::support::{ADMIN, DEMO, OTHER, PASSWORD, TestApp, key_path, text};

#[tokio::test]
async fn a_deleted_user_leaves_only_entries_of_the_audit_log() {
    let app = TestApp::start().await;
    let (demo, other, admin) = (app.demo(), app.other(), app.admin());
    let key = demo.create_key("first", &["*"]).await;
    let second = demo.create_key("second", &["*"]).await;
    let (_, rolled) = demo.post(&format!("{}roll/", key_path(&second)), json!({"grace_s": 3600})).await;
    let values = [text(&key, "value"), text(&second, "value"), text(&rolled, "value")];
    let kept = other.create_key("of another user", &["insight:read"]).await;
    let (id, path) = (app.user_id(DEMO), app.user_path(DEMO));
    let (_, link) = admin.post(&format!("{path}link/"), Value::Null).await;

    let edge = Edge::subscribed(&app, "e").await.run();
    let (status, deleted) = admin.delete(&path).await;
    assert_eq!(status, 200, "{deleted}");
    assert!(values.iter().all(|value| edge.has_received(value)), "{deleted}");
    assert_eq!(outcome(&deleted), [1, 1, 0]);
    assert_eq!((&deleted["id"], &deleted["email"], &deleted["keys"]), (&json!(id), &json!(DEMO), &json!(2)));
    for value in values {
        assert_eq!(app.scopes(value).await, None);
    }
    assert!(app.scopes(text(&kept, "value")).await.is_some());
    assert_eq!(demo.get("/api/users/@me/").await.0, 401);
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 401);
    assert_eq!(choose_password(&app, text(&link, "path"), "another-password").await, 404);
    assert_eq!(admin.get(&path).await.0, 404);
    assert_eq!(admin.delete(&path).await.0, 404);

    let (_, log) = admin.get(&format!("/api/audit_log/?user_id={id}&limit=3")).await;
    let entry = |at: usize| {
        let entry = &log["results"][at];
        ["action", "user_email", "subject_name"].map(|field| entry[field].clone())
    };
    assert_eq!(entry(0), [json!("user.deleted"), json!(DEMO), Value::Null]);
    assert_eq!(log["results"][0]["detail"], json!({"keys": 2}));
    let labels = [entry(1), entry(2)].map(|[action, email, label]| {
        assert_eq!((action, email), (json!("key.deleted"), json!(DEMO)));
        label
    });
    assert!(labels.contains(&json!("first")) && labels.contains(&json!("second")), "{log}");

    let new = json!({"email": DEMO, "permissions": ["*"]});
    let (status, again) = admin.post("/api/users/", new).await;
    assert_eq!(status, 201, "{again}");
    assert_ne!(again["id"], json!(id));
    let keys = format!("/api/keys/?user_id={}", text(&again, "id"));
    assert_eq!(admin.get(&keys).await.1["count"], 0);
    assert_eq!(demo.get("/api/users/@me/").await.0, 401);
    for value in values {
        let adopt = ["key", "create", "--user", DEMO, "--label", "x", "--scopes", "*", "--value-stdin"];
        assert!(app.site.fails(&adopt, value).contains("was revoked"));
    }
}

#[tokio::test]
async fn a_repeated_deletion_or_a_disabling_waits_as_the_first_deletion_does() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    app.demo().create_key("of a deleted user", &["*"]).await;
    let (admin, path) = (app.admin(), app.user_path(DEMO));
    let granted_at = Instant::now();
    Edge::subscribed(&app, "e").await;
    let call = |method: Method| {
        let request = admin.request(method, &path).json(&json!({"is_active": false}));
        tokio::spawn(async move { (request.send().await.unwrap().status().as_u16(), Instant::now()) })
    };
    let first = call(Method::DELETE);
    app.until(MADE).await;
    let repeated = [call(Method::DELETE), call(Method::PATCH)];
    let commands = ["delete", "disable"].map(|command| {
        let site = app.site.clone();
        tokio::task::spawn_blocking(move || {
            assert!(site.fails(&["user", command, DEMO], "").contains("there is no user"));
            Instant::now()
        })
    });
    for repeated in repeated {
        let (status, returned_at) = repeated.await.unwrap();
        assert_eq!(status, 404);
        assert_waited_for_the_lease(granted_at, returned_at);
    }
    for command in commands {
        assert_waited_for_the_lease(granted_at, command.await.unwrap());
    }
    let (status, returned_at) = first.await.unwrap();
    assert_eq!(status, 200);
    assert_waited_for_the_lease(granted_at, returned_at);
}

#[tokio::test]
async fn tokens_end_with_the_admin_that_created_them_or_the_last_user_that_they_name() {
    let app = TestApp::start().await;
    let admin = app.admin();
    make_admin(&admin, &app.user_path(DEMO)).await;
    let demo = app.sign_in(DEMO, PASSWORD).await;
    let (other, own) = (app.user_id(OTHER), app.user_id(ADMIN));
    let made = demo.create_token(None).await;
    let named = admin.create_token(Some(&[&other])).await;
    let named_too = admin.create_token(Some(&[&other, &own])).await;
    let (_, link) = demo.post(&format!("{}link/", app.user_path(OTHER)), Value::Null).await;

    let (status, refused) = made.call(Method::DELETE, &app.user_path(ADMIN), Value::Null).await;
    assert_eq!(status, 403, "{refused}");
    let (status, deleted) = admin.delete(&app.user_path(DEMO)).await;
    assert_eq!(status, 200, "{deleted}");
    assert_eq!(deleted["ended_tokens"], json!([{"id": made.id, "label": "terraform"}]));
    assert_eq!(answer(&made).await, (401, json!(ENDED)));
    assert_eq!(choose_password(&app, text(&link, "path"), "another-password").await, 404);
    let (_, log) = admin.get("/api/audit_log/?action=token.ended").await;
    let because = "the admin that created it was deleted";
    assert_eq!((&log["count"], &log["results"][0]["detail"]["because"]), (&json!(1), &json!(because)));

    let (_, deleted) = admin.delete(&app.user_path(OTHER)).await;
    assert_eq!(deleted["ended_tokens"], json!([{"id": named.id, "label": "terraform"}]));
    assert_eq!((answer(&named).await, answer(&named_too).await.0), ((401, json!(ENDED)), 200));
    let (_, tokens) = admin.get("/api/management_tokens/").await;
    let users: Vec<_> = tokens.as_array().unwrap().iter().map(|token| token["user_ids"].clone()).collect();
    assert_eq!(users, [json!([own]), json!([]), Value::Null]);
}

#[tokio::test]
async fn a_user_is_deleted_only_by_those_who_may() {
    let app = TestApp::start().await;
    let (demo, admin) = (app.demo(), app.admin());
    let (own, path) = (app.user_path(ADMIN), app.user_path(OTHER));
    assert_eq!(demo.delete(&path).await.0, 403);
    let (status, refused) = admin.delete(&own).await;
    assert_eq!((status.as_u16(), &refused["detail"]), (400, &json!("You cannot delete yourself.")));
    let creates = admin.create_token_that_can(&["read", "create"], None).await;
    assert_eq!(creates.call(Method::DELETE, &path, Value::Null).await.0, 403);
    let revokes = admin.create_token_that_can(&["revoke"], None).await;
    assert_eq!(revokes.call(Method::DELETE, &own, Value::Null).await.0, 403, "an admin's account");
    assert_eq!(revokes.call(Method::DELETE, &path, Value::Null).await.0, 200);

    app.site.ok(&["user", "delete", ADMIN], "");
    assert_eq!(admin.get("/api/users/").await.0, 401, "an operator may delete the last admin");
}
