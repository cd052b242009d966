//! Service accounts: users that own keys without a person.

use protocol::Verdict;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{DEMO, KEYS, OTHER, PASSWORD, Site, TestApp, key_path, text};
use crate::ui::Tab;

const PATH: &str = "/api/service_accounts/";

#[tokio::test]
async fn admins_and_tokens_manage_the_keys_of_a_service_account() {
    let app = TestApp::start().await;
    let (demo, admin) = (app.demo(), app.admin());
    let new = json!({"name": "ci", "permissions": ["insight:read"]});
    let (status, ci) = admin.post(PATH, new.clone()).await;
    assert_eq!(status, 201, "{ci}");
    let facts = ["kind", "email", "is_admin", "has_password"].map(|field| ci[field].clone());
    assert_eq!(facts, [json!("service"), json!("service:ci"), json!(false), json!(false)]);
    let (_, found) = admin.get("/api/users/?search=service:").await;
    assert_eq!((&found["count"], &found["results"][0]["id"]), (&json!(1), &ci["id"]));
    assert_eq!(admin.get(&app.user_path(DEMO)).await.1["kind"], "person");
    for (name, code) in
        [("ci", "invalid_input"), ("", "blank"), ("CI", "invalid_input"), ("a@b", "invalid_input")]
    {
        let (status, refused) = admin.post(PATH, json!({"name": name, "permissions": []})).await;
        assert_eq!(
            (status.as_u16(), &refused["attr"], &refused["code"]),
            (400, &json!("name"), &json!(code))
        );
    }
    assert_eq!(demo.post(PATH, new).await.0, 403);

    let id = text(&ci, "id");
    let key =
        |label: &str, user_id: &str| json!({"label": label, "scopes": ["insight:read"], "user_id": user_id});
    let mut last = Value::Null;
    for n in 0..11 {
        let (status, key) = admin.post(KEYS, key(&format!("CI {n}"), id)).await;
        assert_eq!(status, 201, "more keys than a person can have: {key}");
        last = key;
    }
    let (status, refused) = admin.post(KEYS, key("of another person", &app.user_id(DEMO))).await;
    assert_eq!((status.as_u16(), &refused["attr"]), (400, &json!("user_id")));
    assert_eq!(demo.post(KEYS, key("by a member", id)).await.0, 400);
    let lacks = json!({"label": "x", "scopes": ["cohort:read"], "user_id": id});
    assert_eq!(admin.post(KEYS, lacks).await.1["attr"], "scopes");
    let automation = admin.create_token(None).await;
    assert_eq!(automation.call(Method::POST, KEYS, key("by a token", id)).await.0, 201);
    let (_, listed) = admin.get(&format!("{KEYS}?user_id={id}")).await;
    assert_eq!(listed.as_array().unwrap().len(), 12);

    let path = key_path(&last);
    let verdicts = app.verify(&[text(&last, "value")]).await.verdicts;
    assert!(matches!(&verdicts[..], [Verdict::Active(active)] if active.user_id == id), "{verdicts:?}");
    assert_eq!(admin.patch(&path, json!({"label": "renamed"})).await.1["label"], "renamed");
    let (status, rolled) = admin.post(&format!("{path}roll/"), json!({})).await;
    assert_eq!(status, 200, "{rolled}");
    let value = text(&rolled, "value");
    assert_eq!(demo.patch(&path, json!({"label": "x"})).await.0, 404);
    let (_, log) = admin.get("/api/audit_log/?action=key.rolled").await;
    assert_eq!(log["results"][0]["user_email"], "service:ci");

    let user = format!("/api/users/{id}/");
    assert_eq!(admin.patch(&user, json!({"is_active": false})).await.0, 200);
    assert_eq!(app.scopes(value).await, None);
    assert_eq!(admin.patch(&user, json!({"is_active": true, "permissions": ["*"]})).await.0, 200);
    assert_eq!(app.scopes(value).await.as_deref(), Some("insight:read"));
    assert_eq!(admin.delete(&user).await.1["keys"], 12);
    assert_eq!(app.scopes(value).await, None);
}

#[tokio::test]
async fn a_service_account_cannot_sign_in_and_is_never_an_admin() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let (_, ci) = admin.post(PATH, json!({"name": "ci", "permissions": ["*"]})).await;
    let user = format!("/api/users/{}/", text(&ci, "id"));
    let expected = json!("This is a service account, which cannot sign in and cannot be an admin.");
    for (status, refused) in [
        admin.post(&format!("{user}link/"), Value::Null).await,
        admin.patch(&user, json!({"is_admin": true})).await,
    ] {
        assert_eq!((status.as_u16(), &refused["detail"]), (400, &expected));
    }
    for command in
        [&["user", "passwd", "service:ci", "--password-stdin"][..], &["user", "link", "service:ci"]]
    {
        assert!(app.site.fails(command, PASSWORD).contains("is a service account"), "{command:?}");
    }
    assert!(app.site.fails(&["user", "add", "service:x", "--without-password"], "").contains("valid email"));
    let (_, now) = admin.get(&user).await;
    for field in ["kind", "email", "is_admin", "has_password"] {
        assert_eq!(now[field], ci[field], "nothing has changed");
    }
    let page = Tab::of(&admin).get(&format!("/admin/users/{}/confirm/make_admin", text(&ci, "id"))).await;
    assert_eq!(page.status, 404);
    // Without a password, the sign-in would fail anyway.
    app.alter(
        "UPDATE users SET password_hash = (SELECT d.password_hash FROM users d WHERE d.email = 'demo@example.com')
            WHERE email = 'service:ci'",
    )
    .await;
    assert_eq!(admin.get(&user).await.1["has_password"], true);
    assert_eq!(app.log_in("service:ci", PASSWORD).await.status(), 401);
}

#[tokio::test]
async fn the_command_line_manages_service_accounts_and_a_file_names_them() {
    let app = TestApp::start().await;
    let site = &app.site;
    let add = ["user", "add-service", "ci", "--permissions", "insight:read"];
    let id = site.ok(&add, "");
    assert!(site.fails(&add, "").contains("<NAME>: There is a service account with this name already."));
    assert_eq!(site.ok(&[&add[..], &["--if-absent"]].concat(), ""), id);
    assert!(
        site.fails(&["user", "add-service", "C I", "--permissions", "*"], "").contains("<NAME>: Write lower")
    );
    let key = ["key", "create", "--label", "CI", "--scopes", "insight:read", "--user", "service:ci"];
    let value = site.ok(&key, "").trim().to_owned();
    let table = site.ok(&["key", "list", "--user", "service:ci"], "");
    assert!(table.contains("CI") && !table.contains(OTHER), "{table}");
    assert!(site.ok(&["user", "list", "--search", "service:"], "").contains("active"));
    site.ok(&["token", "create", "--label", "ci", "--user", "service:ci"], "");

    site.ok(&["export", "keys.csv"], "");
    let file = std::fs::read_to_string(site.dir.path().join("keys.csv")).unwrap();
    assert!(file.contains("\n\"service:ci\",\"CI\",\"sha256$"), "{file}");
    assert_eq!(site.json(&["import", "keys.csv", "--json"])["unchanged"], 1);
    let other = Site::empty();
    let import = ["import", "-", "--create-users", "--permissions", "insight:read", "--json"];
    let summary: Value = serde_json::from_str(&other.ok(&import, &file)).unwrap();
    assert_eq!((&summary["imported"], &summary["users_added"]), (&json!(1), &json!(1)));
    assert_eq!(other.json(&["user", "list", "--json"])[0]["kind"], "service");

    assert!(app.scopes(&value).await.is_some());
    site.ok(&["user", "delete", "service:ci"], "");
    assert_eq!(app.scopes(&value).await, None);
}
