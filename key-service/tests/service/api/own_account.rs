//! A user's own account, `/api/users/@me/`.

use reqwest::Method;
use serde_json::json;

use crate::support::{DEMO, PASSWORD, TestApp, read, session_cookie};

#[tokio::test]
async fn a_password_changes_only_against_the_one_it_was_checked_with() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let change = |new: &str| {
        let body = json!({"current_password": PASSWORD, "password": new});
        read(demo.request(Method::PATCH, "/api/users/@me/").json(&body))
    };
    let (a, b, c) =
        tokio::join!(change("long-password-a"), change("long-password-b"), change("long-password-c"));
    let changed = [a, b, c].iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(changed, 1, "the others knew a password that had been replaced");
}

#[tokio::test]
async fn users_change_their_password_with_the_current_one() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let second = app.sign_in(DEMO, PASSWORD).await;
    let me = "/api/users/@me/";
    let change = |current: &str, new: &str| json!({"current_password": current, "password": new});
    let (status, wrong) = demo.patch(me, change("not-mine-at-all", "another-password")).await;
    assert_eq!((status.as_u16(), &wrong["attr"]), (400, &json!("current_password")));
    let (status, short) = demo.patch(me, change(PASSWORD, "short")).await;
    assert_eq!((status.as_u16(), &short["attr"]), (400, &json!("password")));

    let response =
        demo.request(Method::PATCH, me).json(&change(PASSWORD, "another-password")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let renewed = app.browser(&session_cookie(&response).unwrap());
    assert_eq!(renewed.get(me).await.0, 200, "who changed it stays signed in");
    assert_eq!(second.get(me).await.0, 401);
    assert_eq!(demo.get(me).await.0, 401, "the former session id is worth nothing");
    assert_eq!(app.log_in(DEMO, "another-password").await.status(), 200);
}
