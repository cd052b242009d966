//! What ends when a user becomes an admin, and when an admin becomes a member.

use reqwest::Method;
use serde_json::{Value, json};

use super::links::{choose_password, link, make_admin};
use crate::support::{
    ADMIN, Automation, DEMO, KEYS, OTHER, PASSWORD, TestApp, key_path, session_cookie, text,
};

#[tokio::test]
async fn a_user_who_becomes_an_admin_signs_in_again_and_keeps_the_password_that_is_their_own() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let user = app.user_path(DEMO);
    let (_, link) = admin.post(&format!("{user}link/"), Value::Null).await;

    let made = make_admin(&admin, &user).await;
    assert_eq!((&made["is_password_removed"], &made["has_password"]), (&json!(false), &json!(true)));
    assert_eq!(demo.get("/api/users/@me/").await.0, 401, "the earlier session has ended");
    assert_eq!(choose_password(&app, text(&link, "path"), "another-password").await, 404);
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 200);
}

#[tokio::test]
async fn a_password_that_a_token_set_is_removed_when_its_user_becomes_an_admin() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let automation = admin.create_token(None).await;
    let new = json!({"email": "new@example.com", "permissions": ["*"], "password": PASSWORD});
    let (status, user) = automation.call(Method::POST, "/api/users/", new).await;
    assert_eq!(status, 201, "{user}");
    let made = make_admin(&admin, &format!("/api/users/{}/", text(&user, "id"))).await;
    assert_eq!((&made["is_password_removed"], &made["has_password"]), (&json!(true), &json!(false)));
    assert_eq!(app.log_in("new@example.com", PASSWORD).await.status(), 401);
    let (_, log) = admin.get("/api/audit_log/?action=user.admin_changed").await;
    assert_eq!(
        log["results"][0]["detail"],
        json!({"is_admin": {"from": false, "to": true}, "is_password_removed": true})
    );
}

#[tokio::test]
async fn a_password_set_by_a_tokens_link_stays_the_tokens_after_every_change() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let automation = admin.create_token(None).await;
    let user = app.user_path(OTHER);
    let path = link(&automation, &user).await;
    assert_eq!(choose_password(&app, &path, "password-of-the-token").await, 200);
    let cookie = app.log_in(OTHER, "password-of-the-token").await;
    let other = app.browser(&session_cookie(&cookie).unwrap());
    let change = json!({"current_password": "password-of-the-token", "password": "another-password"});
    assert_eq!(other.patch("/api/users/@me/", change).await.0, 200);

    let unused = link(&automation, &user).await;
    assert_eq!(make_admin(&admin, &user).await["is_password_removed"], true);
    assert_eq!(app.log_in(OTHER, "another-password").await.status(), 401);
    assert_eq!(choose_password(&app, &unused, "password-of-the-token").await, 404);
}

#[tokio::test]
async fn a_link_of_an_admin_makes_the_password_the_users_own_again() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let automation = admin.create_token(None).await;
    let user = app.user_path(OTHER);
    let path = link(&automation, &user).await;
    assert_eq!(choose_password(&app, &path, "password-of-the-token").await, 200);
    let (_, link) = admin.post(&format!("{user}link/"), Value::Null).await;
    assert_eq!(choose_password(&app, text(&link, "path"), "another-password").await, 200);
    assert_eq!(make_admin(&admin, &user).await["is_password_removed"], false);
    assert_eq!(app.log_in(OTHER, "another-password").await.status(), 200);
}

#[tokio::test]
async fn a_token_for_all_users_reaches_no_key_of_an_admin() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let automation = admin.create_token(None).await;
    let named = admin.create_token(Some(&[&app.user_id(ADMIN)])).await;
    let of_member = demo.create_key("of a member", &["*"]).await;
    let of_admin = admin.create_key("of an admin", &["*"]).await;
    let (value, id) = (text(&of_admin, "value"), app.user_id(ADMIN));
    let path = key_path(&of_admin);

    let (_, found) = automation.call(Method::GET, "/api/keys/", Value::Null).await;
    assert_eq!((&found["count"], &found["results"][0]["id"]), (&json!(1), &of_member["id"]));
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::PATCH, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}roll/")),
    ] {
        assert_eq!(automation.call(method.clone(), &path, json!({})).await.0, 404, "{method} {path}");
    }
    let own = format!("/api/personal_api_keys/?user_id={id}");
    let (status, refused) = automation.call(Method::GET, &own, Value::Null).await;
    assert_eq!((status.as_u16(), &refused["attr"]), (400, &json!("user_id")));
    let new = json!({"label": "by a token", "scopes": ["*"], "user_id": id});
    let (status, refused) = automation.call(Method::POST, KEYS, new.clone()).await;
    assert_eq!((status.as_u16(), &refused["attr"]), (400, &json!("user_id")));
    assert!(app.scopes(value).await.is_some());

    assert_eq!(named.call(Method::GET, &path, Value::Null).await.0, 200, "an admin has named this one");
    assert_eq!(named.call(Method::POST, KEYS, new).await.0, 201);
    let leaked = json!({"values": [value], "source": "a gist"});
    assert_eq!(
        automation.call(Method::POST, "/api/leaked_keys/", leaked).await.1["results"][0]["live"],
        true
    );
    assert_eq!(app.scopes(value).await, None, "the holder of a value can end it");
}

/// The answer to a token: status and detail.
pub(crate) async fn answer(automation: &Automation) -> (u16, Value) {
    let (status, answer) = automation.call(Method::GET, "/api/keys/", Value::Null).await;
    (status.as_u16(), answer["detail"].clone())
}

/// What a token that has ended is answered.
pub(super) const ENDED: &str = "The management token has ended: the admin that created it was disabled, demoted or \
    deleted, one of its users was promoted to admin, or the last of its users was deleted.";

#[tokio::test]
async fn a_token_that_names_a_member_ends_when_the_member_becomes_an_admin() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let (id, other) = (app.user_id(DEMO), app.user_id(OTHER));
    let named = admin.create_token(Some(&[&other, &id])).await;
    let of_other = admin.create_token(Some(&[&other])).await;
    let for_all = admin.create_token(None).await;
    let key = demo.create_key("of a member", &["*"]).await;
    let path = key_path(&key);
    assert_eq!(named.call(Method::GET, &path, Value::Null).await.0, 200);

    let promoted = make_admin(&admin, &format!("/api/users/{id}/")).await;
    assert_eq!(promoted["ended_tokens"], json!([{"id": named.id, "label": "terraform"}]));
    assert_eq!(answer(&named).await, (401, json!(ENDED)));
    assert_eq!((answer(&of_other).await.0, answer(&for_all).await.0), (200, 200));
    let (_, log) = admin.get("/api/audit_log/?action=token.ended").await;
    let (entry, because) = (&log["results"][0], "one of its users was promoted to admin");
    assert_eq!(
        (&log["count"], &entry["subject_id"], &entry["detail"]["because"], &entry["user_email"]),
        (&json!(1), &json!(named.id), &json!(because), &json!(DEMO))
    );

    let knowingly = admin.create_token(Some(&[&id])).await;
    assert_eq!(knowingly.call(Method::GET, &path, Value::Null).await.0, 200, "an admin has named an admin");
    app.site.ok(&["user", "admin", OTHER], "");
    assert_eq!(answer(&of_other).await.0, 401, "by the command line too");
    assert_eq!(answer(&knowingly).await.0, 200);
}

#[tokio::test]
async fn a_token_ends_permanently_when_its_creator_is_disabled_or_demoted() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let ended = json!(ENDED);
    for (end, because) in [
        (json!({"is_active": false}), "the admin that created it was disabled"),
        (json!({"is_admin": false}), "the admin that created it was demoted"),
    ] {
        let user = app.user_path(DEMO);
        make_admin(&admin, &user).await;
        let second = app.sign_in(DEMO, PASSWORD).await;
        let [for_all, for_one] = [second.create_token(None).await, second.create_token(Some(&[])).await];
        let of_other = admin.create_token(None).await;
        assert_eq!(answer(&for_all).await.0, 200);

        let (status, user_after) = admin.patch(&user, end).await;
        assert_eq!(status, 200, "{user_after}");
        let mut ended_ids: Vec<_> =
            user_after["ended_tokens"].as_array().unwrap().iter().map(|token| text(token, "id")).collect();
        ended_ids.sort_unstable();
        let mut made = [for_all.id.as_str(), &for_one.id];
        made.sort_unstable();
        assert_eq!(ended_ids, made);
        for token in [&for_all, &for_one] {
            assert_eq!(answer(token).await, (401, ended.clone()));
        }
        assert_eq!(answer(&of_other).await.0, 200, "of another admin");
        let path = format!("/api/audit_log/?action=token.ended&subject_id={}", for_all.id);
        let (_, log) = admin.get(&path).await;
        let entry = &log["results"][0];
        assert_eq!((&entry["detail"]["because"], &entry["user_email"]), (&json!(because), &json!(DEMO)));

        admin.patch(&user, json!({"is_active": true, "is_admin": true})).await;
        assert_eq!(answer(&for_all).await.0, 401, "it stays ended");
        let (_, tokens) = admin.get("/api/management_tokens/").await;
        let of_id = |id: &str| tokens.as_array().unwrap().iter().find(|token| token["id"] == id).unwrap();
        assert!(of_id(&for_all.id)["ended_at"].is_string() && of_id(&of_other.id)["ended_at"].is_null());
        admin.patch(&user, json!({"is_admin": false})).await;
    }
}
