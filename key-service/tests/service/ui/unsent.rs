//! Forms that arrive after the session ended.

use axum::http::HeaderMap;
use reqwest::Method;

use super::{ADMIN_PAGES, OWN_PAGES, Shown, Tab, key_page};
use crate::support::{ADMIN, DEMO, KEYS, PASSWORD, TestApp, session_cookie, text};

const SESSION_ENDED: &str = "Your session has ended. Sign in again.";
const NOT_CHANGED: &str = "Your session has ended, so nothing was changed. Sign in, and send the form again.";
const NOT_SENT: &str =
    "Your session had ended, so nothing was changed. Check what you entered, and send it again.";

/// The one cookie that an answer sets for a form, beside the session's: its name and value, and its attributes.
fn kept(headers: &HeaderMap) -> Option<(String, String)> {
    let cookies = headers.get_all("set-cookie").into_iter().map(|cookie| cookie.to_str().unwrap());
    let mut cookies = cookies.filter(|cookie| cookie.starts_with("unsent="));
    let (cookie, attributes) = cookies.next()?.split_once("; ")?;
    assert!(cookies.next().is_none());
    Some((cookie.to_owned(), attributes.to_owned()))
}

/// Sends a form without a session, signs in, and opens the page that the sign-in leads to.
async fn send_and_sign_in(app: &TestApp, email: &str, path: &str, fields: &[(&str, &str)]) -> Shown {
    let nobody = Tab::of_nobody(app);
    let answer = nobody.send(path, fields).await;
    let (cookie, attributes) = kept(answer.headers()).expect(path);
    assert_eq!(attributes, format!("HttpOnly; SameSite=Strict; Path={path}; Max-Age=600"));
    let sign_in = Shown::read(answer).await;
    assert_eq!(sign_in.status, 303, "{path}");
    let page = nobody.get(&sign_in.location).await;
    assert!(page.has(NOT_CHANGED), "{}", page.html);
    let next = page.field("next");
    assert_eq!(next, format!("{path}?unsent"));
    let signed_in =
        nobody.send("/sign-in", &[("email", email), ("password", PASSWORD), ("next", next)]).await;
    let session = session_cookie(&signed_in).unwrap();
    assert_eq!(signed_in.headers()["location"], next);
    let cookies = format!("session={session}; {cookie}");
    let shown = nobody.request(Method::GET, next).header("cookie", &cookies).send().await.unwrap();
    let shown = Shown::read(shown).await;
    assert!(shown.status == 200 && shown.has(NOT_SENT), "{path}: {}", shown.html);

    let blank = nobody.request(Method::GET, path).header("cookie", cookies).send().await.unwrap();
    let blank = Shown::read(blank).await;
    assert!(blank.status == 200 && !blank.has(NOT_SENT), "an address that does not ask for it: {path}");
    shown
}

#[tokio::test]
async fn a_form_that_arrives_after_the_session_ended_is_shown_again_after_sign_in() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let fields = [
        ("label", "a \"b\"; é"),
        ("access", "chosen"),
        ("scope.insight", "read"),
        ("scoped_teams", "1, 2"),
        ("expires_at", "never"),
        ("form_id", "f"),
    ];
    let shown = send_and_sign_in(&app, DEMO, "/account/keys/new", &fields).await;
    assert_eq!(shown.value_of("label"), "a &#34;b&#34;; é");
    assert_eq!(shown.value_of("scoped_teams"), "1, 2");
    let chosen = |name: &str, value: &str| format!("name=\"{name}\" value=\"{value}\" checked");
    assert!(shown.has(&chosen("scope.insight", "read")), "{}", shown.html);
    assert!(
        shown.has("value=\"never\" selected") || shown.has(&chosen("expires_at", "never")),
        "{}",
        shown.html
    );
    assert!(shown.field("form_id") != "f", "a new form");
    assert_eq!(demo.get(KEYS).await.1.as_array().unwrap().len(), 0, "nothing was created");

    let key = demo.create_key("CI", &["*"]).await;
    let edit = key_page(&key, "");
    let shown = send_and_sign_in(&app, DEMO, &edit, &[("label", "renamed"), ("access", "all")]).await;
    assert_eq!(shown.value_of("label"), "renamed");
    let shown = send_and_sign_in(&app, DEMO, &key_page(&key, "/roll"), &[("grace_s", "86400")]).await;
    assert!(shown.has("value=\"86400\" checked") && !shown.has("value=\"0\" checked"), "{}", shown.html);
    let (_, unchanged) = demo.get(KEYS).await;
    assert_eq!((text(&unchanged[0], "label"), &unchanged[0]["mask_value"]), ("CI", &key["mask_value"]));
}

#[tokio::test]
async fn the_forms_of_admins_are_shown_again_too() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let (_, users) = admin.get("/api/users/").await;
    let user = format!("/admin/users/{}", app.user_id(DEMO));
    let permissions = [("action", "permissions"), ("access", "chosen"), ("scope.insight", "write")];
    let chosen = "name=\"scope.insight\" value=\"write\" checked";
    let new_user = [("email", "x@example.com"), ("is_admin", "yes"), ("access", "read")];
    let new_token = [("label", "deploy"), ("reach", "some"), ("users", DEMO), ("can.revoke", "yes")];
    for (path, fields, expected) in [
        (user.as_str(), &permissions[..], chosen),
        ("/admin/users/new", &new_user, "value=\"x@example.com\""),
        ("/admin/users/new", &new_user, "name=\"is_admin\" value=\"yes\" checked"),
        ("/admin/users/new-service", &[("name", "billing")], "value=\"billing\""),
        ("/admin/tokens/new", &new_token, "value=\"deploy\""),
        ("/admin/tokens/new", &new_token, "name=\"can.revoke\" value=\"yes\" checked"),
    ] {
        let shown = send_and_sign_in(&app, ADMIN, path, fields).await;
        assert!(shown.has(expected), "{path}: {}", shown.html);
    }
    assert_eq!(admin.get("/api/users/").await.1, users, "nothing was changed");
}

#[tokio::test]
async fn passwords_and_long_forms_are_not_kept() {
    let app = TestApp::start().await;
    let nobody = Tab::of_nobody(&app);
    let passwords = [("current_password", PASSWORD), ("password", "new"), ("repeated_password", "new")];
    let long = "x".repeat(4000);
    for (path, fields) in [
        ("/account", &passwords[..]),
        ("/account/keys/new", &[("label", long.as_str())]),
        ("/account/keys/a;Domain=example.com", &[("label", "CI")]),
        ("/account/keys/a/delete", &[]),
    ] {
        let answer = nobody.send(path, fields).await;
        assert!(kept(answer.headers()).is_none(), "{path}");
        let sign_in = Shown::read(answer).await;
        let page = nobody.get(&sign_in.location).await;
        assert!(page.has(NOT_CHANGED) && page.field("next") == path, "{path}: {}", page.html);
    }
}

#[tokio::test]
async fn a_browser_that_was_signed_in_is_told_that_its_session_ended() {
    let app = TestApp::start().await;
    let tab = Tab::of(&app.demo());
    for path in OWN_PAGES.into_iter().chain(ADMIN_PAGES) {
        let first = Tab::of_nobody(&app).get(path).await;
        assert!(!Tab::of_nobody(&app).get(&first.location).await.has(SESSION_ENDED), "{path}");
    }
    tab.post("/sign-out", &[]).await;
    for path in OWN_PAGES {
        let ended = tab.get(path).await;
        let page = Tab::of_nobody(&app).get(&ended.location).await;
        assert!(page.has(SESSION_ENDED) && page.field("next") == path, "{}", page.html);
    }
    let unknown = Tab::of_nobody(&app).get("/sign-in?reason=because").await;
    assert!(unknown.status == 200 && !unknown.has("role=\"status\""), "{}", unknown.html);
}
