//! Users, as admins manage them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::scripted_edge::{Edge, SHORT_LEASES};
use crate::support::{ADMIN, DEMO, OTHER, PASSWORD, TestApp, client, key_path, read, text};

#[tokio::test]
async fn a_member_is_refused_every_admin_operation() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let id = app.user_id(OTHER);
    let user = format!("/api/users/{id}/");
    let link = format!("/api/users/{id}/link/");
    let refused = json!({
        "type": "authentication_error",
        "code": "permission_denied",
        "detail": "You do not have permission to perform this action.",
        "attr": null
    });
    for (method, path) in [
        (Method::GET, "/api/users/"),
        (Method::POST, "/api/users/"),
        (Method::GET, &user),
        (Method::PATCH, &user),
        (Method::DELETE, &user),
        (Method::POST, &link),
        (Method::GET, "/api/management_tokens/"),
        (Method::POST, "/api/management_tokens/"),
        (Method::DELETE, "/api/management_tokens/x/"),
        (Method::GET, "/api/audit_log/"),
        (Method::GET, "/api/edges/"),
        (Method::POST, "/api/leaked_keys/"),
    ] {
        let (status, answer) = read(demo.request(method.clone(), path).json(&json!({}))).await;
        assert_eq!((status.as_u16(), &answer), (403, &refused), "{method} {path}");
        let nobody = client().request(method.clone(), format!("{}{path}", app.public));
        assert_eq!(read(nobody).await.0, 401, "{method} {path}");
    }
    let (_, keys) = demo.get("/api/keys/").await;
    assert_eq!(keys["count"], 0, "one's own, of which there are none");
}

#[tokio::test]
async fn an_admin_adds_a_user_who_chooses_a_password_by_a_link() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let body = json!({"email": " New@Example.com", "permissions": ["insight:read"]});
    let (status, user) = admin.post("/api/users/", body.clone()).await;
    assert_eq!(status, 201, "{user}");
    assert_eq!(
        (&user["email"], &user["has_password"], &user["is_admin"]),
        (&json!("new@example.com"), &json!(false), &json!(false))
    );
    assert_eq!(app.log_in("new@example.com", "").await.status(), 400);
    assert_eq!(app.log_in("new@example.com", "anything").await.status(), 401);
    let (status, link) = admin.post(&format!("/api/users/{}/link/", text(&user, "id")), Value::Null).await;
    assert_eq!(status, 201, "{link}");
    assert!(text(&link, "path").starts_with("/link/"));

    let (status, taken) = admin.post("/api/users/", body).await;
    assert_eq!((status.as_u16(), &taken["attr"]), (400, &json!("email")));
}

#[tokio::test]
async fn bad_users_are_refused_with_the_field() {
    let app = TestApp::start().await;
    let admin = app.admin();
    for (body, attr, code) in [
        (json!({"permissions": ["*"]}), "email", "required"),
        (json!({"email": "", "permissions": ["*"]}), "email", "blank"),
        (json!({"email": "x", "permissions": ["*"]}), "email", "invalid_input"),
        (json!({"email": "x@y"}), "permissions", "required"),
        (json!({"email": "x@y", "permissions": ["all"]}), "permissions", "invalid_input"),
        (json!({"email": "x@y", "permissions": ["*"], "password": "short"}), "password", "invalid_input"),
        (json!({"email": "x@y", "permissions": ["*"], "password": "Password1"}), "password", "invalid_input"),
        (json!({"email": "x@y", "permissions": ["*"], "is_admin": 1}), "is_admin", "invalid_input"),
    ] {
        let (status, answer) = admin.post("/api/users/", body.clone()).await;
        assert_eq!(
            (status.as_u16(), &answer["attr"], &answer["code"]),
            (400, &json!(attr), &json!(code)),
            "{body}"
        );
    }
    let own = app.user_path(ADMIN);
    let (status, answer) = admin.patch(&own, json!({"is_active": false})).await;
    assert_eq!((status.as_u16(), &answer["detail"]), (400, &json!("You cannot disable yourself.")));
    assert_eq!(admin.patch("/api/users/none/", json!({"is_active": true})).await.0, 404);
}

#[tokio::test]
async fn a_change_to_the_present_state_ends_no_session_and_raises_no_revision() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let revision = app.verify(&[]).await.revision;
    let path = app.user_path(DEMO);
    for body in [json!({}), json!({"is_active": true}), json!({"permissions": ["*"], "is_admin": false})] {
        let (status, user) = admin.patch(&path, body.clone()).await;
        assert_eq!(
            (status.as_u16(), &user["revocation"]["revision"]),
            (200, &json!(revision)),
            "{body}: {user}"
        );
    }
    let key = demo.create_key("same", &["insight:read"]).await;
    let key_path = key_path(&key);
    let same = json!({"label": "same", "scopes": ["insight:read"], "expires_at": null});
    assert_eq!(demo.patch(&key_path, same).await.1["revocation"]["revision"], revision);
    assert_eq!(app.verify(&[]).await.revision, revision);
    assert_eq!(demo.get("/api/users/@me/").await.0, 200);
    assert_eq!(admin.get("/api/audit_log/?action=user.enabled").await.1["count"], 0);
}

#[tokio::test]
async fn admins_are_made_and_unmade_by_admins_in_person() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let path = app.user_path(DEMO);
    assert_eq!(demo.get("/api/users/").await.0, 403);
    assert_eq!(admin.patch(&path, json!({"is_admin": true})).await.1["is_admin"], true);
    assert_eq!(demo.get("/api/users/").await.0, 401, "the session of a member has ended");
    let demo = app.sign_in(DEMO, PASSWORD).await;
    assert_eq!(demo.get("/api/users/").await.0, 200);
    let of_admin = app.user_path(ADMIN);
    assert_eq!(demo.patch(&of_admin, json!({"is_admin": false})).await.0, 200);
    assert_eq!(admin.get("/api/users/").await.0, 403);
    let (status, last) = demo.patch(&path, json!({"is_admin": false})).await;
    assert_eq!(status, 400, "nobody would be left: {last}");
    app.site.ok(&["user", "admin", DEMO, "--remove"], "");
    assert_eq!(demo.get("/api/users/").await.0, 403, "an operator may");
}

#[tokio::test]
async fn a_permission_taken_away_is_gone_at_every_edge_when_the_patch_returns() {
    let app = TestApp::start_with(&SHORT_LEASES).await;
    let demo = app.demo();
    let admin = app.admin();
    let key = demo.create_key("reads insights", &["insight:read", "cohort:read"]).await;
    let value = text(&key, "value");
    let edge = Edge::subscribed(&app, "edge").await;
    let _running = edge.run();

    let path = app.user_path(DEMO);
    let (status, user) = admin.patch(&path, json!({"permissions": ["cohort:write"]})).await;
    assert_eq!(status, 200, "{user}");
    assert_eq!(
        (&user["revocation"]["edges"], &user["revocation"]["acknowledged"]),
        (&json!(1), &json!(1)),
        "{user}"
    );
    assert_eq!(user["permissions"], json!(["cohort:write"]));
    assert_eq!(app.scopes(value).await.as_deref(), Some("cohort:read"));
}

#[tokio::test]
async fn a_disabled_users_session_and_keys_end() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let key = demo.create_key("of a disabled user", &["*"]).await;
    let path = app.user_path(DEMO);
    let (status, user) = admin.patch(&path, json!({"is_active": false})).await;
    assert_eq!((status.as_u16(), &user["is_active"]), (200, &json!(false)));
    assert_eq!(demo.get("/api/users/@me/").await.0, 401);
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 401);
    assert_eq!(app.scopes(text(&key, "value")).await, None);
    let (_, user) = admin.patch(&path, json!({"is_active": true})).await;
    assert_eq!(user["is_active"], true);
    assert!(app.scopes(text(&key, "value")).await.is_some());
}

#[tokio::test]
async fn users_are_found_by_address() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let (_, all) = admin.get("/api/users/").await;
    assert_eq!(all["count"], 3);
    let (_, found) = admin.get("/api/users/?search=OTHER").await;
    assert_eq!((&found["count"], &found["results"][0]["email"]), (&json!(1), &json!(OTHER)));
    assert!(found["results"][0].get("password_hash").is_none());
}
