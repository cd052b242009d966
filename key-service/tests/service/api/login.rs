//! Logging in, and the ends that a session can come to.

use serde_json::{Value, json};

use crate::support::{Browser, DEMO, OTHER, PASSWORD, Process, TestApp, client, read, session_cookie, text};

const ME: &str = "/api/users/@me/";

#[tokio::test]
async fn a_login_answers_with_the_user_and_a_cookie_that_scripts_cannot_read() {
    let app = Process::start().await;
    let demo = app.demo();
    let response = app.log_in(" Demo@Example.com ", PASSWORD).await;
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=1209600"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "plain HTTP to one's own machine: {cookie}");
    assert_eq!(response.headers()["cache-control"], "no-store");

    let cookie = session_cookie(&response).unwrap();
    let user: Value = response.json().await.unwrap();
    assert_eq!(
        (&user["email"], &user["permissions"], &user["is_active"]),
        (&json!(DEMO), &json!(["*"]), &json!(true))
    );
    assert!(user.get("password_hash").is_none());
    let browser = app.browser(&cookie);
    assert_eq!(browser.get(ME).await.1, user);
    assert_eq!(demo.get(ME).await.1, user, "an earlier session stays valid");

    let stored = app.site.storage.content();
    for secret in [cookie.as_str(), PASSWORD] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()));
        assert!(!app.log_text().contains(secret));
    }
}

#[tokio::test]
async fn elsewhere_than_on_loopback_the_cookie_is_secure() {
    let app = TestApp::start().await;
    let body = json!({"email": DEMO, "password": PASSWORD});
    let login = client().post(format!("{}/api/login/", app.public)).json(&body);
    let response = login.header("host", "keys.example.com").send().await.unwrap();
    assert!(response.headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
}

#[tokio::test]
async fn behind_a_proxy_the_cookie_is_secure_and_no_other_is_looked_at() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let login = client().post(format!("{}/api/login/", app.public));
    let login = login.json(&json!({"email": DEMO, "password": PASSWORD}));
    let response = login.header("x-forwarded-proto", "https").send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-session=") && cookie.contains("; Secure"), "{cookie}");
    assert!(cookie.contains("; Path=/") && !cookie.contains("Domain"), "what the prefix asks for: {cookie}");

    let value = session_cookie(&response).unwrap();
    let me = async |name: &str, value: &str, is_forwarded: bool| {
        let request = client().get(format!("{}{ME}", app.public));
        let request = request.header("cookie", format!("{name}={value}"));
        let request = if is_forwarded { request.header("via", "1.1 proxy") } else { request };
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(me("__Host-session", &value, true).await, 200);
    assert_eq!(me("session", &demo.cookie, true).await, 401, "any host of the domain could have set it");
    assert_eq!(me("session", &demo.cookie, false).await, 200);
}

#[tokio::test]
async fn every_answer_says_how_browsers_shall_treat_it() {
    for (app, hsts) in [
        (TestApp::start().await, None),
        (TestApp::start_with(&["--public-url", "https://keys.example.com"]).await, Some("max-age=31536000")),
    ] {
        for (path, status) in [
            (ME, 401),
            ("/api/nothing/", 404),
            ("/api/openapi.json", 200),
            ("/sign-in", 200),
            ("/assets/nothing", 404),
            ("/nothing", 404),
        ] {
            let response = client().get(format!("{}{path}", app.public)).send().await.unwrap();
            assert_eq!(response.status(), status, "{path}");
            let headers = response.headers();
            assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(headers["cross-origin-opener-policy"], "same-origin", "{path}");
            let sent = headers.get("strict-transport-security").map(|value| value.to_str().unwrap());
            assert_eq!(sent, hsts, "{path}");
        }
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_alike_whatever_is_wrong() {
    let app = TestApp::start().await;
    app.site.ok(&["user", "disable", OTHER], "");
    let expected = json!({
        "type": "authentication_error",
        "code": "authentication_failed",
        "detail": "Invalid email or password.",
        "attr": null
    });
    for (email, password) in
        [(DEMO, "wrong"), ("nobody@example.com", PASSWORD), (OTHER, PASSWORD), ("x", "y")]
    {
        let response = app.log_in(email, password).await;
        assert_eq!(response.status(), 401, "{email}");
        assert!(session_cookie(&response).is_none());
        assert_eq!(response.json::<Value>().await.unwrap(), expected, "{email}");
    }
    for (body, attr, code) in [
        (json!({"password": "x"}), "email", "required"),
        (json!({"email": DEMO}), "password", "required"),
        (json!({"email": DEMO, "password": ""}), "password", "blank"),
        (json!({"email": 7, "password": "x"}), "email", "invalid_input"),
    ] {
        let (status, answer) = read(client().post(format!("{}/api/login/", app.public)).json(&body)).await;
        assert_eq!((status.as_u16(), &answer["attr"], &answer["code"]), (400, &json!(attr), &json!(code)));
    }
}

#[tokio::test]
async fn a_logout_ends_that_session_and_no_other() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let out = demo.request(reqwest::Method::POST, "/api/logout/").send().await.unwrap();
    assert_eq!(out.status(), 204);
    assert_eq!(session_cookie(&out).as_deref(), Some(""), "the cookie is taken back");
    assert_eq!(demo.get(ME).await.0, 401, "the id is worth nothing any more");
    assert_eq!(other.get(ME).await.0, 200);
    let again = client().post(format!("{}/api/logout/", app.public)).send().await.unwrap();
    assert_eq!(again.status(), 204, "without a session there is nothing to end");
    let ended = app.site.json(&["audit", "--action", "user.signed_out", "--json"]);
    let by: Vec<_> = ended.as_array().unwrap().iter().map(|entry| text(entry, "actor_name")).collect();
    assert_eq!(by, [DEMO]);
}

#[tokio::test]
async fn a_new_password_ends_the_users_sessions() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let key = demo.create_key("goes on", &["*"]).await;
    app.site.ok(&["user", "passwd", DEMO, "--password-stdin"], "another-password\n");
    assert_eq!(demo.get(ME).await.0, 401);
    assert_eq!(other.get(ME).await.0, 200);
    assert!(app.scopes(key["value"].as_str().unwrap()).await.is_some(), "keys are no sessions");
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 401);
    assert_eq!(app.log_in(DEMO, "another-password").await.status(), 200);
}

#[tokio::test]
async fn disabling_a_user_ends_sessions_and_keys_and_enabling_brings_back_the_keys_alone() {
    let app = TestApp::start().await;
    let (demo, other) = (app.demo(), app.other());
    let key = demo.create_key("of a disabled user", &["insight:read"]).await;
    let value = key["value"].as_str().unwrap();
    let others = other.create_key("of another user", &["insight:read"]).await;
    app.site.ok(&["user", "disable", DEMO], "");
    assert_eq!(app.scopes(value).await, None);
    assert!(app.scopes(others["value"].as_str().unwrap()).await.is_some());
    app.site.ok(&["user", "enable", DEMO], "");
    assert_eq!(app.scopes(value).await.as_deref(), Some("insight:read"));
    assert_eq!(demo.get(ME).await.0, 401, "a session that the disabling ended stays so");
}

#[tokio::test]
async fn sessions_survive_a_restart() {
    let mut app = Process::start().await;
    let demo = app.demo();
    assert_eq!(app.stop(), Some(0));
    let again = Process::on(app.site.clone());
    let browser = again.browser(&demo.cookie);
    assert_eq!(browser.get(ME).await.0, 200);
}

#[tokio::test]
async fn too_many_logins_to_one_account_have_to_wait() {
    let app = TestApp::start().await;
    let mut attempts = 0;
    let refused = loop {
        // Without the cost of a password: the attempt counts before the password is checked.
        let response = app.log_in("nobody@example.com", "wrong").await;
        if response.status() != 401 {
            break response;
        }
        attempts += 1;
        assert!(attempts < 100, "never throttled");
    };
    assert!(attempts >= 10, "{attempts}");
    assert_eq!(refused.status(), 429);
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=7).contains(&seconds), "{seconds}");
    let expected = json!({
        "type": "throttled_error",
        "code": "throttled",
        "detail": format!("Request was throttled. Expected available in {seconds} seconds."),
        "attr": null
    });
    assert_eq!(refused.json::<Value>().await.unwrap(), expected);
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 200, "other accounts are not affected");
}

#[tokio::test]
async fn a_session_that_was_idle_for_too_long_has_ended() {
    let app = TestApp::start().await;
    let demo = app.demo();
    assert_eq!(demo.get(ME).await.0, 200);
    app.alter("UPDATE sessions SET expires_at = expires_at - 1209600000").await;
    assert_eq!(demo.get(ME).await.0, 401);
}

/// Moves a time that a session remembers of its login into the past.
async fn age(app: &TestApp, browser: &Browser, field: &str, by_ms: i64) {
    let which = format!("WHERE id_digest = '{}'", protocol::KeyDigest::of_value(&browser.cookie).to_hex());
    let data = app.text(format!("SELECT data FROM sessions {which}")).await;
    let mut data: Value = serde_json::from_str(&data).unwrap();
    data["login"][field] = (data["login"][field].as_i64().unwrap() - by_ms).into();
    app.alter(format!("UPDATE sessions SET data = '{data}' {which}")).await;
}

#[tokio::test]
async fn a_session_ends_30_days_after_the_login() {
    let app = TestApp::start().await;
    let demo = app.demo();
    age(&app, &demo, "began_at", 2_592_000_000).await;
    assert_eq!(demo.get(ME).await.0, 401);
}

#[tokio::test]
async fn the_idle_time_of_a_session_in_use_begins_anew_each_day() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let me = || demo.request(reqwest::Method::GET, ME).send();
    assert_eq!(session_cookie(&me().await.unwrap()), None, "it is fresh");
    app.alter("UPDATE sessions SET expires_at = expires_at - 172800000").await;
    age(&app, &demo, "renewed_at", 172_800_000).await;
    assert_eq!(session_cookie(&me().await.unwrap()).as_deref(), Some(demo.cookie.as_str()));
    app.alter("UPDATE sessions SET expires_at = expires_at - 1123200000").await;
    assert_eq!(demo.get(ME).await.0, 200, "13 days after its renewal it still runs");
}

#[tokio::test]
async fn a_login_makes_an_earlier_session_id_worthless() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let body = json!({"email": DEMO, "password": PASSWORD});
    let again = demo.request(reqwest::Method::POST, "/api/login/").json(&body).send().await.unwrap();
    let renewed = app.browser(&session_cookie(&again).unwrap());
    assert_ne!(renewed.cookie, demo.cookie);
    assert_eq!(renewed.get(ME).await.0, 200);
    assert_eq!(demo.get(ME).await.0, 401);
}
