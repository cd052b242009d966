//! The upstream: it answers as PostHog does, and records the requests that reach it.
//!
//! As PostHog, it does not read `x-auth-restrictions`. It knows the restrictions of a key only from its own table.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

/// The token of the project that `@current` means.
pub(crate) const PROJECT: &str = "phc_project_one";

/// The id of this project.
const PROJECT_ID: u32 = 1;

/// A project secret key that PostHog accepts.
pub(crate) const PROJECT_SECRET: &str = "phs_secret_of_project_one";

/// The name of a prompt.
pub(crate) const PROMPT: &str = "support/first reply";

/// The version of the flag definitions.
const ETAG: &str = "\"definitions-1\"";

/// The detail of the answer to a key that is restricted to other projects than the current one.
pub(crate) const OTHER_PROJECT: &str = "API key does not have access to the requested project: ID 1.";

/// A request that reached the upstream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) method: Method,
    /// The path and the query, as received.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    /// The value of a header, which may occur at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(header, _)| header == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} occurs twice: {self:?}");
        value
    }

    /// The token of `Authorization`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Whether a header names the caller.
    pub(crate) fn has_identity(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.starts_with("x-auth-"))
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A field of the query.
    fn query(&self, name: &str) -> Option<&str> {
        let fields = self.target.split_once('?')?.1.split('&');
        fields
            .filter_map(|field| field.split_once('='))
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    }
}

/// An upstream that runs in this process until it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    state: Arc<Records>,
    _runtime: Runtime,
}

/// The state of the upstream.
#[derive(Default)]
struct Records {
    received: Mutex<Vec<Received>>,
    /// The projects of each restricted key.
    restrictions: Mutex<HashMap<String, Vec<u32>>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::default();
        let app = Router::new().fallback(record).with_state(Arc::clone(&state));
        let runtime = Runtime::new().unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await
        });
        Upstream { address, state, _runtime: runtime }
    }

    /// The requests since the last call.
    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.state.received.lock().unwrap())
    }

    /// Restricts a key to these projects in the upstream's own table.
    pub(crate) fn restrict_key(&self, value: &str, projects: &[u32]) {
        self.state.restrictions.lock().unwrap().insert(value.to_owned(), projects.to_vec());
    }

    /// The only request since the last call.
    #[track_caller]
    pub(crate) fn take_one(&self) -> Received {
        let mut received = self.take();
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }
}

async fn record(State(state): State<Arc<Records>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let received = Received {
        method: head.method,
        target: head.uri.to_string(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
        body: text(&to_bytes(body, usize::MAX).await.unwrap_or_default()),
    };
    state.received.lock().unwrap().push(received.clone());
    let restrictions = state.restrictions.lock().unwrap();
    let projects = received.bearer().and_then(|key| restrictions.get(key));
    answer(&received, projects.map(Vec::as_slice))
        .unwrap_or_else(|(status, detail)| (status, json(&json!({ "detail": detail }))).into_response())
}

/// The status and the `detail` of an error.
type Refusal = (StatusCode, &'static str);

/// The answer of PostHog to a request whose key is restricted to these projects.
fn answer(request: &Received, projects: Option<&[u32]>) -> Result<Response, Refusal> {
    let path: Vec<&str> = request.path().trim_matches('/').split('/').collect();
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    match (&request.method, &path[..]) {
        (&Method::POST, ["batch"]) => {
            require_project(body["api_key"].as_str())?;
            Ok(json(&json!({"status": "Ok"})))
        }
        (&Method::POST, ["i", "v1", "analytics", "events"]) => {
            require_project(request.bearer())?;
            let ids =
                body["batch"].as_array().into_iter().flatten().filter_map(|event| event["uuid"].as_str());
            let results: Map<String, Value> =
                ids.map(|id| (id.to_owned(), json!({"result": "ok"}))).collect();
            Ok(json(&json!({ "results": results })))
        }
        (&Method::POST, ["i", "v1", "metrics"]) => {
            require_project(request.query("token"))?;
            Ok(json(&json!({})))
        }
        (&Method::POST, ["i", "v1", "traces"]) => {
            require_project(request.bearer())?;
            Ok(json(&json!({})))
        }
        (&Method::POST, ["flags"]) => {
            require_project(body["token"].as_str().or(body["api_key"].as_str()))?;
            Ok(json(&evaluated_flags()))
        }
        (&Method::GET, ["flags", "definitions"]) => {
            require_current_project(request, projects)?;
            let (status, body) = match request.header("if-none-match") {
                Some(ETAG) => (StatusCode::NOT_MODIFIED, String::new()),
                _ => (StatusCode::OK, definitions().to_string()),
            };
            Ok((status, [("content-type", "application/json"), ("etag", ETAG)], body).into_response())
        }
        (&Method::GET, ["api", "projects", "@current", "feature_flags", key, "remote_config"]) => {
            require_current_project(request, projects)?;
            let payload = json!({ "flag": key }).to_string();
            Ok(json(&json!(payload)))
        }
        (&Method::GET, ["api", "environments", "@current", "llm_prompts", "name", name]) => {
            require_current_project(request, projects)?;
            if *name != "support%2Ffirst%20reply" {
                return Err((StatusCode::NOT_FOUND, "Not found."));
            }
            Ok(json(&json!({"name": PROMPT, "prompt": "Hello!", "version": 3})))
        }
        (&Method::GET, ["api", "projects", id, "feature_flags"]) => {
            require_caller(request)?;
            Ok(json(&json!({ "results": [], "project": id })))
        }
        _ => Err((StatusCode::NOT_FOUND, "Not found.")),
    }
}

/// A request for the current project: the token names it, and the key may be restricted to others.
fn require_current_project(request: &Received, projects: Option<&[u32]>) -> Result<(), Refusal> {
    require_caller(request)?;
    require_project(request.query("token"))?;
    match projects.is_none_or(|projects| projects.contains(&PROJECT_ID)) {
        true => Ok(()),
        false => Err((StatusCode::FORBIDDEN, OTHER_PROJECT)),
    }
}

/// The edge checks personal keys and names the caller; PostHog checks project secret keys.
fn require_caller(request: &Received) -> Result<(), Refusal> {
    match request.header("x-auth-user-id").is_some() || request.bearer() == Some(PROJECT_SECRET) {
        true => Ok(()),
        false => Err((StatusCode::UNAUTHORIZED, "Refused by the upstream.")),
    }
}

fn require_project(token: Option<&str>) -> Result<(), Refusal> {
    match token == Some(PROJECT) {
        true => Ok(()),
        false => Err((StatusCode::UNAUTHORIZED, "Project API key invalid.")),
    }
}

/// The flags of a user, as `/flags` evaluates them.
fn evaluated_flags() -> Value {
    let flag = |key: &str, variant: Option<&str>| {
        json!({
            "key": key,
            "enabled": true,
            "variant": variant,
            "value": variant.map_or(json!(true), |variant| json!(variant)),
            "reason": {"code": "condition_match", "description": "Matched", "condition_index": 0},
            "metadata": {"id": 1, "version": 1},
        })
    };
    json!({
        "flags": {"beta": flag("beta", None), "color": flag("color", Some("blue"))},
        "errorsWhileComputingFlags": false,
        "requestId": "00000000-0000-4000-8000-000000000000",
    })
}

/// The definition of a flag that everybody gets.
fn definitions() -> Value {
    json!({
        "flags": [{
            "id": 1,
            "key": "local",
            "name": "",
            "active": true,
            "deleted": false,
            "filters": {"groups": [{"properties": [], "rollout_percentage": 100}]},
        }],
        "group_type_mapping": {},
        "cohorts": {},
    })
}

fn json(body: &Value) -> Response {
    ([("content-type", "application/json")], body.to_string()).into_response()
}
