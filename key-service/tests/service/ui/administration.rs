//! What admins do.

use serde_json::Value;

use super::Tab;
use crate::support::{ADMIN, DEMO, OTHER, PASSWORD, TestApp, client, text};

#[tokio::test]
async fn an_admin_adds_a_user_who_chooses_a_password() {
    let app = TestApp::start().await;
    let admin = Tab::of(&app.admin());
    let fields = [("email", "New@example.com"), ("access", "some"), ("scope.insight", "read")];
    let taken = [("email", DEMO), ("access", "all"), ("is_admin", "yes")];
    let refused = admin.post("/admin/users/new", &taken).await;
    assert!(refused.status == 400 && refused.has("A user with this address already exists."));
    assert!(refused.value_of("email") == DEMO && refused.has("value=\"yes\" checked"));

    let added = admin.post("/admin/users/new", &fields).await;
    assert_eq!(added.status, 200);
    let link = added.value_of("key-value").to_owned();
    let path = link.strip_prefix(&app.public).unwrap();
    assert!(admin.get("/admin/users?search=new%40").await.has("No password yet"));
    let nobody = Tab::of_nobody(&app);
    assert!(nobody.get(path).await.has("new@example.com"));
    let chosen = nobody.post(path, &[("password", PASSWORD), ("repeated_password", PASSWORD)]).await;
    assert_eq!(chosen.location, "/account/keys");
    assert_eq!(app.log_in("new@example.com", PASSWORD).await.status(), 200);
}

#[tokio::test]
async fn an_admin_changes_what_a_user_may_do() {
    let app = TestApp::start().await;
    let other = app.other();
    let admin_browser = app.admin();
    let admin = Tab::of(&admin_browser);
    let value = text(&other.create_key("CI", &["*"]).await, "value").to_owned();
    let user = format!("/admin/users/{}", app.user_id(OTHER));
    assert!(admin.get(&user).await.has("name=\"scope.cohort\" value=\"write\" checked"));
    let fields = [("action", "permissions"), ("access", "some"), ("scope.insight", "read")];
    assert!(admin.post(&user, &fields).await.result().starts_with("Active everywhere"));
    assert_eq!(app.scopes(&value).await.as_deref(), Some("insight:read"));
    admin.post(&user, &[("action", "permissions"), ("access", "some")]).await;
    assert_eq!(app.scopes(&value).await.as_deref(), Some(""), "no permissions at all");

    let page = admin.get(&user).await;
    for (action, effect) in [
        ("disable", "All keys of the user stop working"),
        ("make_admin", "An admin manages all users"),
        ("make_member", "only their own keys"),
    ] {
        let ask = format!("{user}/confirm/{action}");
        assert_eq!(page.has(&format!("href=\"{ask}\"")), action != "make_member", "{action}");
        assert!(!page.has(&format!("value=\"{action}\"")), "the page of the user asks first: {action}");
        let asked = admin.get(&ask).await;
        assert!(asked.has(effect) && asked.has(&format!("value=\"{action}\"")), "{action}");
    }
    assert!(app.scopes(&value).await.is_some(), "asking changes nothing");
    assert_eq!(admin.get(&format!("{user}/confirm/permissions")).await.status, 404);
    assert!(admin.post(&user, &[("action", "disable")]).await.result().starts_with("Refused everywhere"));
    assert_eq!(app.scopes(&value).await, None);
    assert_eq!(Tab::of(&other).get("/account").await.status, 303, "the session has ended");
    assert!(admin.get(&user).await.has("Enable user"));
    admin.post(&user, &[("action", "enable")]).await;
    assert!(app.scopes(&value).await.is_some());

    let (_, me) = admin_browser.get("/api/users/@me/").await;
    let own = format!("/admin/users/{}", text(&me, "id"));
    assert!(!admin.get(&own).await.has("Disable user"));
    assert_eq!(admin.post(&own, &[("action", "disable")]).await.status, 400, "nobody locks themselves out");
}

#[tokio::test]
async fn an_admin_adds_a_service_account() {
    let app = TestApp::start().await;
    let admin = Tab::of(&app.admin());
    let path = "/admin/users/new-service";
    let refused = admin.post(path, &[("name", "C I"), ("access", "some"), ("scope.insight", "read")]).await;
    assert!(refused.status == 400 && refused.has("<a href=\"#name\">Name</a>: Write lower-case letters"));
    assert!(
        refused.value_of("name") == "C I" && refused.has("name=\"scope.insight\" value=\"read\" checked")
    );
    let fields = [("name", "ci"), ("access", "some"), ("scope.insight", "read")];
    let added = admin.post(path, &fields).await;
    assert_eq!(added.status, 303);
    let page = admin.get(&added.location).await;
    assert!(page.has("service:ci") && page.has("Service account") && page.has("Disable user"));
    for absent in ["Make an admin", "Create a link", "No password yet"] {
        assert!(!page.has(absent), "{absent}");
    }
    assert!(admin.post(path, &fields).await.has("There is a service account with this name already."));
    assert!(admin.get("/admin/users?search=service").await.has("Service account"));
}

#[tokio::test]
async fn an_admin_deletes_a_user_after_a_question() {
    let app = TestApp::start().await;
    let other = app.other();
    let admin = Tab::of(&app.admin());
    let first = other.create_key("CI", &["*"]).await;
    let user = format!("/admin/users/{}", app.user_id(OTHER));
    let deletion = format!("{user}/delete");
    assert!(admin.get(&user).await.has(&format!("href=\"{deletion}\"")));
    assert!(admin.get(&deletion).await.has("only key is deleted too"));
    other.create_key("Grafana", &["*"]).await;
    let asked = admin.get(&deletion).await;
    assert!(asked.has("This cannot be undone.") && asked.has("2 keys are deleted too") && asked.has(OTHER));
    assert!(app.scopes(text(&first, "value")).await.is_some(), "asking deletes nothing");

    let deleted = admin.post(&deletion, &[]).await;
    assert!(deleted.has("User deleted") && deleted.result().starts_with("Refused everywhere"));
    assert_eq!(app.scopes(text(&first, "value")).await, None);
    assert_eq!(Tab::of(&other).get("/account").await.status, 303, "the session has ended");
    assert_eq!(admin.get(&deletion).await.status, 404);
    assert_eq!(admin.post(&deletion, &[]).await.status, 404);
    let own = format!("/admin/users/{}", app.user_id(ADMIN));
    assert!(!admin.get(&own).await.has("Delete user"));
    let deletion = format!("{own}/delete");
    assert_eq!(admin.get(&deletion).await.status, 400, "not oneself");
    assert_eq!(admin.post(&deletion, &[]).await.status, 400);
}

#[tokio::test]
async fn an_admin_finds_and_deletes_anybodys_key() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let admin = Tab::of(&app.admin());
    demo.create_key("Production", &["*"]).await;
    let key = other.create_key("Grafana", &["insight:read"]).await;
    let found = admin.get("/admin/keys?search=grafana").await;
    assert!(found.has("Grafana") && found.has(OTHER) && !found.has("Production"));
    assert!(admin.get("/admin/keys?state=old").await.has("No keys match."));
    assert_eq!(admin.get("/admin/keys?state=odd").await.status, 400);
    let part = admin.get("/admin/keys?limit=1").await;
    assert!(part.has("1 to 1 of 2 keys") && part.has("href=\"/admin/keys?limit=1&#38;offset=1\""));
    assert!(admin.get("/admin/keys?limit=1&offset=1").await.has("2 to 2 of 2 keys"));

    let deletion = format!("/admin/keys/{}/delete", text(&key, "id"));
    assert!(admin.get(&deletion).await.has("This cannot be undone."));
    assert!(admin.post(&deletion, &[]).await.has("Key deleted"));
    assert_eq!(app.scopes(text(&key, "value")).await, None);
    let log = admin.get("/admin/audit?action=key.deleted").await;
    assert!(log.has("Key deleted") && log.has("admin@example.com") && log.has("127.0.0.1"));
}

#[tokio::test]
async fn an_admin_makes_and_revokes_a_token() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = Tab::of(&app.admin());
    demo.create_key("CI", &["*"]).await;
    let unknown = [
        ("label", "CI"),
        ("reach", "some"),
        ("users", "demo@example.com\nx@example.com"),
        ("expires_at", "30"),
        ("can.revoke", "yes"),
    ];
    let refused = admin.post("/admin/tokens/new", &unknown).await;
    assert!(refused.status == 400 && refused.has("No user has this address: x@example.com"));
    assert!(
        refused.has("demo@example.com\nx@example.com</textarea>") && refused.has("value=\"30\" selected")
    );

    assert!(refused.has("name=\"can.revoke\" value=\"yes\" checked"));
    let nothing = admin.post("/admin/tokens/new", &[("label", "CI"), ("reach", "all")]).await;
    assert!(nothing.status == 400 && nothing.has("<a href=\"#can\">Can</a>: Choose at least one."));

    let fields = [
        ("label", "Terraform"),
        ("reach", "some"),
        ("users", " Demo@example.com "),
        ("can.read", "yes"),
        ("expires_at", "never"),
    ];
    let made = admin.post("/admin/tokens/new", &fields).await;
    assert_eq!(made.status, 200);
    let value = made.value_of("key-value").to_owned();
    let ask = || client().get(format!("{}/api/keys/", app.public)).bearer_auth(&value).send();
    let seen: Value = ask().await.unwrap().json().await.unwrap();
    assert_eq!(seen["count"], 1);
    let list = admin.get("/admin/tokens").await;
    assert!(list.has("Terraform") && list.has("1 user") && !list.has(&value));
    assert!(list.has("data-title=\"Can\">read<"));

    let (_, id) = list.html.split_once("href=\"/admin/tokens/").unwrap();
    let (_, id) = id.split_once("href=\"/admin/tokens/").unwrap_or(("", id));
    let path = format!("/admin/tokens/{}/revoke", id.split_once('/').unwrap().0);
    assert!(admin.get(&path).await.has("Revoke token"));
    assert_eq!(admin.post(&path, &[]).await.result(), "The token no longer works.");
    assert_eq!(ask().await.unwrap().status(), 401);
}
