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

/// A browser in which a form was sent after the session had ended, and whose user has signed in again.
struct Browser {
    tab: Tab,
    path: String,
    /// Where the sign-in leads to.
    next: String,
    cookies: String,
}

impl Browser {
    /// `email` signs in. The form was shown to the user `sender`.
    async fn after_sign_in(
        app: &TestApp,
        email: &str,
        sender: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Self {
        let tab = Tab::of_nobody(app);
        let answer = tab.send(path, &[fields, &[("sender", sender)]].concat()).await;
        let (cookie, attributes) = kept(answer.headers()).expect(path);
        assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/; Max-Age=600");
        let sign_in = Shown::read(answer).await;
        assert_eq!(sign_in.status, 303, "{path}");
        let page = tab.get(&sign_in.location).await;
        assert!(page.has(NOT_CHANGED), "{}", page.html);
        let next = page.field("next").to_owned();
        assert_eq!(next, format!("{path}?unsent"));
        let credentials = [("email", email), ("password", PASSWORD), ("next", next.as_str())];
        let signed_in = tab.send("/sign-in", &credentials).await;
        assert_eq!(signed_in.headers()["location"], next);
        let cookies = format!("session={}; {cookie}", session_cookie(&signed_in).unwrap());
        Browser { tab, path: path.to_owned(), next, cookies }
    }

    /// Opens an address. Returns the page, and whether its answer removes the kept form.
    async fn open(&self, address: &str) -> (Shown, bool) {
        let request = self.tab.request(Method::GET, address).header("cookie", &self.cookies);
        let answer = request.send().await.unwrap();
        let removes = removes(answer.headers());
        (Shown::read(answer).await, removes)
    }
}

fn removes(headers: &HeaderMap) -> bool {
    match kept(headers) {
        None => false,
        Some((cookie, attributes)) => {
            assert_eq!(cookie, "unsent=");
            assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
            true
        }
    }
}

/// Sends a form without a session, signs in, and opens the page that the sign-in leads to.
async fn send_and_sign_in(app: &TestApp, email: &str, path: &str, fields: &[(&str, &str)]) -> Shown {
    let browser = Browser::after_sign_in(app, email, &app.user_id(email), path, fields).await;
    let (blank, removes) = browser.open(path).await;
    assert!(blank.status == 200 && !blank.has(NOT_SENT), "an address that does not ask for it: {path}");
    assert!(!removes, "{path}");
    let (shown, removes) = browser.open(&browser.next).await;
    assert!(shown.status == 200 && shown.has(NOT_SENT), "{path}: {}", shown.html);
    assert!(removes, "it is shown once: {path}");
    assert_eq!(shown.field("sender"), app.user_id(email), "{path}");
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
async fn a_kept_form_is_for_its_path_and_for_the_user_to_whom_it_was_shown() {
    let app = TestApp::start().await;
    let path = "/account/keys/new";
    let browser = Browser::after_sign_in(
        &app,
        ADMIN,
        &app.user_id(DEMO),
        path,
        &[("label", "of demo"), ("access", "all")],
    )
    .await;
    let (shown, removes) = browser.open("/admin/users/new?unsent").await;
    assert!(shown.status == 200 && !shown.has(NOT_SENT) && !removes, "another page");
    let (shown, removes) = browser.open(&browser.next).await;
    assert!(shown.status == 200 && !shown.has(NOT_SENT) && !shown.has("of demo"), "{}", shown.html);
    assert!(removes, "the next user of the browser must not see it");
}

#[tokio::test]
async fn a_kept_form_is_removed_when_its_path_gets_another_one() {
    let app = TestApp::start().await;
    let fields = [("label", "CI"), ("access", "all"), ("expires_at", "never")];
    let browser = Browser::after_sign_in(&app, DEMO, &app.user_id(DEMO), "/account/keys/new", &fields).await;
    let send = browser.tab.form(&browser.path, &fields).header("cookie", &browser.cookies);
    let sent = send.header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert_eq!(sent.status(), 303);
    assert!(removes(sent.headers()));
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
        ("/account/keys/new", &[("label", long.as_str()), ("sender", "u")]),
        // Only forms with fields have the id of the user to whom they are shown.
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
