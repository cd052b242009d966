//! Callers that lose their rights while they hold back the end of a request's body.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Browser, DEMO, KEYS, OTHER, PASSWORD, TestApp, client, text};

const JSON: &str = "application/json";

const FORM: &str = "application/x-www-form-urlencoded";

/// A caller that begins a request, and sends the rest of it later.
struct Caller<'s> {
    app: &'s TestApp,
    /// A header line.
    credential: String,
}

/// A request of which the last byte is still to be sent.
struct HeldBack {
    name: String,
    stream: TcpStream,
    last: u8,
}

impl<'s> Caller<'s> {
    fn with_session(app: &'s TestApp, cookie: &str) -> Self {
        Caller { app, credential: format!("cookie: session={cookie}") }
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> HeldBack {
        self.begin(method, path, JSON, &body.to_string()).await
    }

    async fn form(&self, path: &str, body: &str) -> HeldBack {
        self.begin("POST", path, FORM, body).await
    }

    /// Begins a request. The service asks for the body (`100 Continue`) after it has authenticated the caller.
    async fn begin(&self, method: &str, path: &str, kind: &str, body: &str) -> HeldBack {
        let address = self.app.public.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{}\r\nsec-fetch-site: same-origin\r\n\
             content-type: {kind}\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
            self.credential,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n", "{method} {path}");
        let (last, rest) = body.as_bytes().split_last().unwrap();
        stream.write_all(rest).await.unwrap();
        HeldBack { name: format!("{method} {path} {body}"), stream, last: *last }
    }

    /// What everybody does with keys of one's own, or a token with a user's.
    async fn begin_with_keys(&self, key: &str, user_id: Option<&str>) -> Vec<HeldBack> {
        let path = format!("{KEYS}{key}/");
        let mut new = json!({"label": "made", "scopes": ["insight:read"]});
        if let Some(id) = user_id {
            new["user_id"] = id.into();
        }
        vec![
            self.json("POST", KEYS, new).await,
            self.json("PATCH", &path, json!({"label": "renamed"})).await,
            self.json("PATCH", &path, json!({"scopes": ["cohort:read"]})).await,
            self.json("POST", &format!("{path}roll/"), json!({"grace_s": 0})).await,
        ]
    }

    /// What admins do, and tokens for all users.
    async fn begin_with_users(&self, user: &str) -> Vec<HeldBack> {
        let path = format!("/api/users/{user}/");
        vec![
            self.json("POST", "/api/users/", json!({"email": "made@example.com", "permissions": ["*"]}))
                .await,
            self.json("PATCH", &path, json!({"permissions": []})).await,
            self.json("PATCH", &path, json!({"is_active": false})).await,
            self.json("POST", "/api/leaked_keys/", json!({"values": ["phx_none"], "source": "here"})).await,
        ]
    }

    /// What admins alone do, on the page too.
    async fn begin_in_person(&self, user: &str) -> Vec<HeldBack> {
        let (path, page) = (format!("/api/users/{user}/"), format!("/admin/users/{user}"));
        let token = json!({"label": "made", "user_ids": null, "can": ["read"]});
        vec![
            self.json("PATCH", &path, json!({"is_admin": true})).await,
            self.json("POST", "/api/management_tokens/", token).await,
            self.form("/admin/users/new", "email=made@example.com&access=all").await,
            self.form("/admin/tokens/new", "label=made&reach=all&can.read=yes&expires_at=never").await,
            self.form(&page, "action=link").await,
            self.form(&page, "action=make_admin").await,
        ]
    }
}

impl HeldBack {
    /// Sends the last byte, and asserts that the answer has one of these statuses.
    async fn ends_with(mut self, statuses: &[u16]) {
        self.stream.write_all(&[self.last]).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(statuses.contains(&status), "{}: {answer}", self.name);
    }
}

/// How many entries of the audit log have the actor, sign-outs excepted.
async fn done_by(admin: &Browser, id: &str) -> usize {
    let (_, log) = admin.get("/api/audit_log/?limit=1000").await;
    let entries = log["results"].as_array().unwrap();
    entries.iter().filter(|entry| entry["actor_id"] == id && entry["action"] != "user.signed_out").count()
}

/// The answer of the API, and that of the page, which leads to the sign-in.
const SIGNED_OUT: [u16; 2] = [401, 303];

#[tokio::test]
async fn an_admin_who_is_demoted_or_disabled_changes_nothing_more() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let (id, other) = (app.user_id(DEMO), app.user_id(OTHER));
    let path = format!("/api/users/{id}/");
    for (end, statuses) in
        [(json!({"is_admin": false}), [403].as_slice()), (json!({"is_active": false}), &SIGNED_OUT)]
    {
        assert_eq!(admin.patch(&path, json!({"is_admin": true, "is_active": true})).await.0, 200);
        let caller = Caller::with_session(&app, &app.sign_in(DEMO, PASSWORD).await.cookie);
        let mut begun = caller.begin_with_users(&other).await;
        begun.extend(caller.begin_in_person(&other).await);
        let before = done_by(&admin, &id).await;
        assert_eq!(admin.patch(&path, end).await.0, 200);
        for request in begun {
            request.ends_with(statuses).await;
        }
        assert_eq!(done_by(&admin, &id).await, before);
    }
}

#[tokio::test]
async fn a_user_who_is_disabled_or_whose_session_ends_changes_nothing_more() {
    let app = TestApp::start().await;
    let mut browser = app.demo();
    let admin = app.admin();
    let id = app.user_id(DEMO);
    let path = format!("/api/users/{id}/");
    let key = browser.create_key("before", &["insight:read"]).await;
    let new_password = json!({"current_password": PASSWORD, "password": "another-password"});
    for (n, password) in [PASSWORD, PASSWORD, "another-password", "one-more-password"].into_iter().enumerate()
    {
        browser = app.sign_in(DEMO, password).await;
        let caller = Caller::with_session(&app, &browser.cookie);
        let mut begun = caller.begin_with_keys(text(&key, "id"), None).await;
        // Few of these: the attempts are limited.
        begun.push(match n {
            0 => {
                let form = format!("current_password={password}&password=a-third-password");
                caller.form("/account", &(form + "&repeated_password=a-third-password")).await
            }
            _ => {
                let change = json!({"current_password": password, "password": "a-third-password"});
                caller.json("PATCH", "/api/users/@me/", change).await
            }
        });
        let ended = match n {
            0 => browser.request(Method::POST, "/api/logout/").send().await.unwrap().status(),
            1 => browser.patch("/api/users/@me/", new_password.clone()).await.0,
            2 => {
                // The session stays in its table: only its version shows that it has ended.
                app.site.ok(&["user", "passwd", DEMO, "--password-stdin"], "one-more-password");
                reqwest::StatusCode::OK
            }
            _ => admin.patch(&path, json!({"is_active": false})).await.0,
        };
        assert!(ended.is_success(), "{ended}");
        let before = done_by(&admin, &id).await;
        for request in begun {
            request.ends_with(&SIGNED_OUT).await;
        }
        assert_eq!(done_by(&admin, &id).await, before);
    }
    assert_eq!(admin.get("/api/keys/").await.1["results"][0]["label"], "before");
}

#[tokio::test]
async fn a_token_that_is_revoked_changes_nothing_more() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let (id, other) = (app.user_id(DEMO), app.user_id(OTHER));
    let key = demo.create_key("before", &["*"]).await;
    let token = admin.create_token(None).await;
    let credential = format!("authorization: Bearer {}", token.token);
    let caller = Caller { app: &app, credential };
    let mut begun = caller.begin_with_keys(text(&key, "id"), Some(&id)).await;
    begun.extend(caller.begin_with_users(&other).await);
    let path = format!("/api/management_tokens/{}/", token.id);
    assert_eq!(admin.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    for request in begun {
        request.ends_with(&[401]).await;
    }
    assert_eq!(done_by(&admin, &token.id).await, 0);
    let (_, refused) = admin.get("/api/audit_log/?action=token.refused").await;
    let detail = json!({"kind": "management_token", "because": "unknown"});
    assert_eq!(refused["results"][0]["detail"], detail, "{refused}");
    assert_eq!(app.scopes(text(&key, "value")).await.as_deref(), Some("*"));
}

#[tokio::test]
async fn a_request_that_is_held_back_and_keeps_its_rights_is_carried_out() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let caller = Caller::with_session(&app, &demo.cookie);
    let new = json!({"label": "made", "scopes": ["*"]});
    caller.json("POST", KEYS, new).await.ends_with(&[201]).await;
    let me = client().get(format!("{}{KEYS}", app.public));
    let keys: Value =
        me.header("cookie", format!("session={}", demo.cookie)).send().await.unwrap().json().await.unwrap();
    assert_eq!(keys[0]["label"], "made");
}
