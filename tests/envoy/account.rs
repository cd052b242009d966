//! A signed-in user of the key service's API.

use std::net::SocketAddr;

use serde_json::{Value, json};
use test_stack::KeyService;

use crate::client::{Response, send};

/// The setting that lets a test create keys faster than the default limit.
pub(crate) const MANY_CHANGES: (&str, &str) = ("CHANGES_PER_MINUTE", "1000000");

pub(crate) struct Account {
    service: SocketAddr,
    cookie: String,
}

impl Account {
    /// The demo's user.
    pub(crate) fn demo(service: &KeyService) -> Self {
        Account::sign_in(service, "demo@example.com", "demo-password")
    }

    pub(crate) fn sign_in(service: &KeyService, email: &str, password: &str) -> Self {
        let service = service.address();
        let credentials = json!({"email": email, "password": password}).to_string();
        let json = [("content-type", "application/json")];
        let response = send(service, "POST", "/api/login/", &json, credentials.as_bytes());
        assert_eq!(response.status, 200, "{}", response.text());
        let cookie = response.header("set-cookie")[0].split(';').next().unwrap().to_owned();
        Account { service, cookie }
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Response {
        let headers = [("content-type", "application/json"), ("cookie", self.cookie.as_str())];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(self.service, method, path, &headers, body.as_bytes())
    }

    /// Creates a key; returns its id and value.
    pub(crate) fn create_key(&self, label: &str, scopes: &[&str]) -> (String, String) {
        let response =
            self.call("POST", "/api/personal_api_keys/", &json!({"label": label, "scopes": scopes}));
        assert_eq!(response.status, 201, "{}", response.text());
        let key = response.json();
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        (text("id"), text("value"))
    }

    pub(crate) fn delete_key(&self, id: &str) -> Response {
        let response = self.call("DELETE", &format!("/api/personal_api_keys/{id}/"), &Value::Null);
        assert_eq!(response.status, 200, "{}", response.text());
        response
    }
}
