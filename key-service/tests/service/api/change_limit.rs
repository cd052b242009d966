//! How often one caller may change something, and what is never refused.

use std::cell::Cell;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::{Browser, KEYS, OTHER, TestApp, key_path, text};

const THREE_A_MINUTE: [&str; 2] = ["--changes-per-minute", "3"];

/// Sends a request again and again until it is throttled, and returns how often it was not.
async fn until_throttled(request: impl Fn() -> RequestBuilder) -> usize {
    for done in 0..20 {
        let response = request().send().await.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=21).contains(&seconds), "{seconds}");
            if response.headers()["content-type"] == "application/json" {
                let expected = json!({
                    "type": "throttled_error",
                    "code": "throttled",
                    "detail": format!("Request was throttled. Expected available in {seconds} seconds."),
                    "attr": null
                });
                assert_eq!(response.json::<Value>().await.unwrap(), expected);
            }
            return done;
        }
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    }
    panic!("never throttled");
}

/// What a page's form sends.
fn form(browser: &Browser, path: &str, fields: &str) -> RequestBuilder {
    let request = browser.request(Method::POST, path);
    request.header("content-type", "application/x-www-form-urlencoded").body(fields.to_owned())
}

async fn count(browser: &Browser) -> usize {
    browser.get(KEYS).await.1.as_array().unwrap().len()
}

#[tokio::test]
async fn one_user_creates_rolls_and_changes_keys_so_often_and_deletes_any_time() {
    let app = TestApp::start_with(&THREE_A_MINUTE).await;
    let (demo, other) = (app.demo(), app.other());
    let key = demo.create_key("rolled", &["insight:read"]).await;
    let path = key_path(&key);
    let roll = || demo.request(Method::POST, &format!("{path}roll/"));
    assert!(until_throttled(roll).await >= 2);
    let patch = || demo.request(Method::PATCH, &path).json(&json!({"scopes": ["cohort:read"]}));
    until_throttled(patch).await;
    let create = || demo.request(Method::POST, KEYS).json(&json!({"label": "x", "scopes": ["*"]}));
    until_throttled(create).await;
    let page = format!("/account/keys/{}", text(&key, "id"));
    let fields = "label=y&access=all&expires_at=never";
    until_throttled(|| form(&demo, &format!("{page}/roll"), "grace_s=0")).await;
    until_throttled(|| form(&demo, &page, fields)).await;
    until_throttled(|| form(&demo, "/account/keys/new", fields)).await;

    let keys = loop {
        let keys = count(&demo).await;
        let status = create().send().await.unwrap().status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            break keys;
        }
        assert_eq!(status, 201, "a use came back in between");
    };
    assert_eq!(count(&demo).await, keys, "what is refused is not done");
    other.create_key("of another user", &["insight:read"]).await;
    assert_eq!(demo.delete(&path).await.0, 200, "a delete is never refused");
    assert_eq!(app.scopes(text(&key, "value")).await, None);
}

#[tokio::test]
async fn an_admin_disables_and_reports_leaks_any_time() {
    let app = TestApp::start_with(&THREE_A_MINUTE).await;
    let demo = app.demo();
    let leaked = demo.create_key("leaked", &["insight:read"]).await;
    let admin = app.admin();
    let automation = admin.create_token(None).await;
    let user = app.user_path(OTHER);
    let enable = || admin.request(Method::PATCH, &user).json(&json!({"is_active": true}));
    assert!(until_throttled(enable).await >= 3);
    let page = format!("/admin/users/{}", app.user_id(OTHER));
    until_throttled(|| form(&admin, &page, "action=enable")).await;
    let mixed = json!({"is_active": false, "permissions": ["*"]});
    until_throttled(|| admin.request(Method::PATCH, &user).json(&mixed)).await;

    let reported = Cell::new(0);
    let report_unknown = || {
        reported.set(reported.get() + 1);
        let report = json!({"values": [format!("unknown {}", reported.get())], "source": "a test"});
        admin.request(Method::POST, "/api/leaked_keys/").json(&report)
    };
    until_throttled(report_unknown).await;

    for _ in 0..4 {
        let disabled = form(&admin, &page, "action=disable").send().await.unwrap();
        assert_eq!(disabled.url().path(), format!("{page}/changed"));
        assert_eq!(admin.patch(&user, json!({"is_active": false})).await.0, 200);
        let report = json!({"values": [leaked["value"]], "source": "a test"});
        assert_eq!(admin.post("/api/leaked_keys/", report).await.0, 200);
    }
    assert_eq!(app.scopes(text(&leaked, "value")).await, None);
    let (status, _) = automation.call(Method::PATCH, &user, json!({"is_active": true})).await;
    assert_eq!(status, 200, "a token has a limit of its own");
    let (status, _) = automation.call(Method::PATCH, &user, json!({"is_active": false})).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn an_admin_adds_users_and_makes_links_so_often() {
    let app = TestApp::start_with(&THREE_A_MINUTE).await;
    let admin = app.admin();
    let added = Cell::new(0);
    let address = || {
        added.set(added.get() + 1);
        format!("new{}@example.com", added.get())
    };
    let add = || {
        let body = json!({"email": address(), "permissions": ["*"]});
        admin.request(Method::POST, "/api/users/").json(&body)
    };
    assert!(until_throttled(add).await >= 3);
    until_throttled(|| form(&admin, "/admin/users/new", &format!("email={}", address()))).await;
    let id = app.user_id(OTHER);
    until_throttled(|| admin.request(Method::POST, &format!("/api/users/{id}/link/"))).await;
    until_throttled(|| form(&admin, &format!("/admin/users/{id}"), "action=link")).await;
}

#[tokio::test]
async fn the_command_line_has_no_limit() {
    let app = TestApp::start_with(&THREE_A_MINUTE).await;
    let demo = app.demo();
    let key = demo.create_key("rolled", &["insight:read"]).await;
    for _ in 0..5 {
        app.site.ok(&["key", "roll", text(&key, "id")], "");
    }
}
