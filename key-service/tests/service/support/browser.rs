//! Clients of the public API: a browser with a session, and a program with a management token.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use super::KEYS;

/// A client that is not logged in.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::new()
}

/// A browser with a session.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) base: String,
    pub(crate) cookie: String,
}

impl Browser {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        client().request(method, url).header("cookie", format!("session={}", self.cookie))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        read(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> (StatusCode, Value) {
        read(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::DELETE, path)).await
    }

    /// Creates a key, and returns it.
    pub(crate) async fn create_key(&self, label: &str, scopes: &[&str]) -> Value {
        let body = serde_json::json!({"label": label, "scopes": scopes});
        let (status, key) = self.post(KEYS, body).await;
        assert_eq!(status, 201, "{key}");
        key
    }

    /// Creates a management token that can do everything, for the users of these ids or for all. Returns a program that has it.
    pub(crate) async fn create_token(&self, user_ids: Option<&[&str]>) -> Automation {
        self.create_token_that_can(&["read", "revoke", "create"], user_ids).await
    }

    pub(crate) async fn create_token_that_can(&self, can: &[&str], user_ids: Option<&[&str]>) -> Automation {
        let body = serde_json::json!({"label": "terraform", "user_ids": user_ids, "can": can});
        let (status, token) = self.post("/api/management_tokens/", body).await;
        assert_eq!(status, 201, "{token}");
        Automation {
            base: self.base.clone(),
            id: text(&token, "id").to_owned(),
            token: text(&token, "value").to_owned(),
        }
    }
}

/// A program with a management token.
#[derive(Clone)]
pub(crate) struct Automation {
    pub(crate) base: String,
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Automation {
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = client().request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        read(if body.is_null() { request } else { request.json(&body) }).await
    }
}

/// Sends a request and reads the JSON of its answer.
pub(crate) async fn read(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/json");
    (status, response.json().await.unwrap())
}

/// The value of the session cookie that an answer sets.
pub(crate) fn session_cookie(response: &Response) -> Option<String> {
    let cookies = response.headers().get_all("set-cookie").into_iter().map(|cookie| cookie.to_str().unwrap());
    let mut pairs =
        cookies.map(|cookie| (cookie, cookie.split(';').next().unwrap().split_once('=').unwrap()));
    let (cookie, (name, value)) = pairs.find(|(_, (name, _))| name.ends_with("session"))?;
    assert_eq!(name, if cookie.contains("; Secure") { "__Host-session" } else { "session" });
    Some(value.to_owned())
}

/// A text field of a JSON object.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap()
}

/// The path of a key.
pub(crate) fn key_path(key: &Value) -> String {
    format!("{KEYS}{}/", text(key, "id"))
}
