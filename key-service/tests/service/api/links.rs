//! One-time links.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Automation, Browser, DEMO, PASSWORD, TestApp, client, text};

/// Whether a link still leads to its form.
pub(crate) async fn works(app: &TestApp, path: &str) -> bool {
    let response = client().get(format!("{}{path}", app.public)).send().await.unwrap();
    match response.status().as_u16() {
        200 => true,
        404 => false,
        status => panic!("{status}"),
    }
}

#[tokio::test]
async fn a_users_link_ends_with_a_later_one_a_new_password_and_disabling() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let user = app.user_path(DEMO);
    let link = async || {
        let (status, link) = admin.post(&format!("{user}link/"), Value::Null).await;
        (status.as_u16(), link["path"].as_str().unwrap_or_default().to_owned())
    };
    let (_, first) = link().await;
    assert!(works(&app, &first).await);
    let (_, second) = link().await;
    assert!(!works(&app, &first).await && works(&app, &second).await);

    let change = json!({"current_password": PASSWORD, "password": "another-password"});
    assert_eq!(demo.patch("/api/users/@me/", change).await.0, 200);
    assert!(!works(&app, &second).await, "a new password");

    let (_, third) = link().await;
    assert_eq!(admin.patch(&user, json!({"is_active": false})).await.0, 200);
    assert!(!works(&app, &third).await, "disabling");
    assert_eq!(link().await.0, 400, "a disabled user gets none");
    assert_eq!(admin.patch(&user, json!({"is_active": true})).await.0, 200);
    assert!(!works(&app, &third).await, "enabling does not bring it back");
    assert_eq!(text(&admin.get(&user).await.1, "email"), DEMO);
}

/// Follows a one-time link to its end.
pub(super) async fn choose_password(app: &TestApp, path: &str, password: &str) -> u16 {
    let fields = [("password", password), ("repeated_password", password)];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = client().post(format!("{}{path}", app.public)).body(body);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let shown = request.header("sec-fetch-site", "same-origin").send().await.unwrap();
    // A client that keeps no cookies is asked to sign in afterwards.
    shown.status().as_u16()
}

pub(super) async fn link(automation: &Automation, user: &str) -> String {
    let (status, link) = automation.call(Method::POST, &format!("{user}link/"), Value::Null).await;
    assert_eq!(status, 201, "{link}");
    text(&link, "path").to_owned()
}

pub(super) async fn make_admin(admin: &Browser, user: &str) -> Value {
    let (status, user) = admin.patch(user, json!({"is_admin": true})).await;
    assert_eq!(status, 200, "{user}");
    user
}

/// Makes a user who has no link yet.
async fn new_user(admin: &Browser, email: &str) -> String {
    let (status, user) = admin.post("/api/users/", json!({"email": email, "permissions": ["*"]})).await;
    assert_eq!(status, 201, "{user}");
    format!("/api/users/{}/", text(&user, "id"))
}

#[tokio::test]
async fn a_link_ends_for_good_with_the_rights_of_its_maker() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let mut users = Vec::new();
    for n in 0..3 {
        users.push(new_user(&admin, &format!("new-{n}@example.com")).await);
    }
    for end in [json!({"is_active": false}), json!({"is_admin": false})] {
        let creator = app.user_path(DEMO);
        make_admin(&admin, &creator).await;
        let second = app.sign_in(DEMO, PASSWORD).await;
        let (status, own) = second.post(&format!("{}link/", users[0]), Value::Null).await;
        assert_eq!(status, 201, "{own}");
        let of_token = link(&second.create_token(None).await, &users[1]).await;
        let (_, of_other) = admin.post(&format!("{}link/", users[2]), Value::Null).await;

        assert_eq!(admin.patch(&creator, end.clone()).await.0, 200);
        assert_eq!(admin.patch(&creator, json!({"is_active": true, "is_admin": true})).await.0, 200);
        for path in [text(&own, "path"), &of_token] {
            assert_eq!(choose_password(&app, path, "chosen-by-another").await, 404, "{end}");
        }
        assert_eq!(choose_password(&app, text(&of_other, "path"), "chosen-by-another").await, 200);
        assert_eq!(admin.patch(&creator, json!({"is_admin": false})).await.0, 200);
    }
}

#[tokio::test]
async fn a_link_ends_when_the_token_that_made_it_is_revoked_or_expires() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let [first, second] =
        [new_user(&admin, "first@example.com").await, new_user(&admin, "second@example.com").await];
    let revoked = admin.create_token(None).await;
    let path = link(&revoked, &first).await;
    let token = format!("/api/management_tokens/{}/", revoked.id);
    assert_eq!(admin.request(Method::DELETE, &token).send().await.unwrap().status(), 204);
    assert_eq!(choose_password(&app, &path, "chosen-by-another").await, 404, "revoked");

    let path = link(&admin.create_token(None).await, &second).await;
    app.alter("UPDATE management_tokens SET expires_at = 1").await;
    assert_eq!(choose_password(&app, &path, "chosen-by-another").await, 404, "expired");
}

#[tokio::test]
async fn a_link_that_the_command_line_made_outlives_every_admin() {
    let app = TestApp::start().await;
    app.admin();
    let made = app.site.json(&["user", "link", DEMO, "--json"]);
    app.site.ok(&["user", "disable", ADMIN], "");
    assert_eq!(choose_password(&app, text(&made, "path"), "chosen-by-another").await, 200);
}
