//! Envoy and the key service in front of the upstream.

use serde_json::{Value, json};
use test_stack::{Options, Stack};

use crate::client::{Client, Language};
use crate::upstream::Upstream;

const KEYS: &str = "/api/personal_api_keys/";

/// A stack in front of the upstream, and a signed-in user of the key service.
pub(crate) struct Setup {
    pub(crate) upstream: Upstream,
    stack: Stack,
    cookie: String,
}

impl Setup {
    pub(crate) fn start() -> Self {
        let upstream = Upstream::start();
        let filter = json!({"routes": "posthog", "error_bodies": "posthog"});
        let options = Options { upstream: Some(upstream.address), filter, ..Options::default() };
        let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
        let credentials = json!({"email": "demo@example.com", "password": "demo-password"}).to_string();
        let sign_in = ureq::post(stack.key_service().url("/api/login/"));
        let signed_in = sign_in.content_type("application/json").send(credentials).unwrap();
        let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Setup { upstream, stack, cookie }
    }

    /// A client whose requests go through Envoy.
    pub(crate) fn client(&self, language: Language) -> Client {
        Client::start(language, self.stack.url("").trim_end_matches('/'))
    }

    /// Creates a key with these scopes; returns its id and value.
    pub(crate) fn create_key(&self, scopes: &[&str]) -> (String, String) {
        self.create(&json!({"label": "Client", "scopes": scopes}))
    }

    /// Creates a key that is restricted to these projects; returns its id and value.
    pub(crate) fn create_restricted_key(&self, scopes: &[&str], projects: &[u32]) -> (String, String) {
        self.create(&json!({"label": "Client", "scopes": scopes, "scoped_teams": projects}))
    }

    /// Restricts a key to other projects, and returns when each edge has applied it.
    pub(crate) fn restrict_key(&self, id: &str, projects: &[u32]) {
        let restriction = json!({ "scoped_teams": projects }).to_string();
        self.keys(ureq::patch(self.key_url(id))).send(restriction).unwrap();
    }

    fn create(&self, key: &Value) -> (String, String) {
        let mut answer = self.keys(ureq::post(self.key_url(""))).send(key.to_string()).unwrap();
        let key: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        (text("id"), text("value"))
    }

    /// Deletes a key, and returns when no edge accepts it.
    pub(crate) fn delete_key(&self, id: &str) {
        self.keys(ureq::delete(self.key_url(id))).call().unwrap();
    }

    fn key_url(&self, id: &str) -> String {
        self.stack.key_service().url(&format!("{KEYS}{id}"))
    }

    /// A request of the user.
    fn keys<Body>(&self, request: ureq::RequestBuilder<Body>) -> ureq::RequestBuilder<Body> {
        request.header("cookie", &self.cookie).header("content-type", "application/json")
    }

    /// Checks that no request has reached the upstream since the last look at its records.
    #[track_caller]
    pub(crate) fn require_none_received(&self) {
        assert_eq!(self.upstream.take(), []);
    }
}
