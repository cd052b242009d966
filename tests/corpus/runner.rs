//! Sends the cases of a class to a stack, each without and with a key, and passes the upstream's records to the judge.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use test_stack::{Options, Stack, paths};

use crate::http1;
use crate::http2::{self, Request};
use crate::judge::{Identity, judge};
use crate::latin1;
use crate::upstream::{Seen, Upstream};

/// A key that may only read insights.
const KEY: &str = "phx_demo_insights_only";

/// The values of `{path}` in a case: a public route, a route that the key may read, and one that it may not read.
const PATHS: [&str; 3] = ["/decide/", "/api/insights/", "/api/projects/"];

/// A request as raw bytes, each as Latin-1. `{auth}` is an `Authorization` header line or nothing, `{key}` the key,
/// `{path}` each of [`PATHS`].
pub(crate) struct Http1 {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static str,
}

/// A request of HTTP/2, with the same placeholders; a header whose value is `{auth}` is there only with a key.
pub(crate) struct Http2 {
    pub(crate) name: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: Option<&'static str>,
    pub(crate) trailers: &'static [(&'static str, &'static str)],
}

/// Envoy's own settings around the filter. The rules hold with each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    /// As in `envoy/envoy.yaml`.
    Shipped,
    /// Envoy's most lenient settings: it accepts header names with underscores, a length beside chunks, HTTP/1.0 and
    /// trailers.
    Lenient,
    /// Envoy rewrites paths before the filter sees them.
    Normalising,
    /// Rules accept encoded slashes in one segment.
    EncodedSlashes,
    /// The shipped table of PostHog's routes.
    Posthog,
}

/// Settings under which Envoy ends an incomplete request after 1 s, and closes its connection without delay.
const IMPATIENT: [(&str, &str); 3] = [
    ("request_headers_timeout: 10s", "request_headers_timeout: 1s"),
    ("request_timeout: 300s", "request_timeout: 1s"),
    ("stream_idle_timeout: 300s", "delayed_close_timeout: 0s"),
];

const LENIENT: [(&str, &str); 6] = [
    IMPATIENT[0],
    IMPATIENT[1],
    IMPATIENT[2],
    ("headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW"),
    (
        "max_request_headers_kb: 60",
        "max_request_headers_kb: 60\n                http_protocol_options: { allow_chunked_length: true, \
         accept_http_10: true, default_host_for_http_10: a, enable_trailers: true }",
    ),
    (
        "    - name: upstream\n      type: STRICT_DNS\n",
        "    - name: upstream\n      type: STRICT_DNS\n      typed_extension_protocol_options:\n        \
         envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n          \
         \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n          \
         explicit_http_config: { http_protocol_options: { enable_trailers: true } }\n",
    ),
];

const NORMALISING: [(&str, &str); 6] = [
    IMPATIENT[0],
    IMPATIENT[1],
    IMPATIENT[2],
    ("normalize_path: false", "normalize_path: true"),
    ("merge_slashes: false", "merge_slashes: true"),
    (
        "path_with_escaped_slashes_action: KEEP_UNCHANGED",
        "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD",
    ),
];

/// The rules that the judge knows, with encoded slashes accepted in some segments.
fn accepting_routes() -> Value {
    json!([
        {"path": "/decide", "public": true},
        {"path": "/capture", "public": true},
        {"path": "/batch", "public": true},
        {"path": "/api/insights/{*rest}", "scope": "insight"},
        {"path": "/api/insights/{id}/{*rest}", "scope": "insight", "encoded_slashes": ["id"]},
        {"path": "/api/projects/{project}/insights/{id}/{*rest}", "scope": "insight", "encoded_slashes": ["id"]},
    ])
}

/// A stack, the key, and the identity of the key's user.
pub(crate) struct Runner {
    stack: Stack,
    upstream: Upstream,
    settings: Settings,
    key: String,
    identity: Identity,
}

impl Runner {
    /// Starts a stack and checks that valid requests succeed.
    pub(crate) fn start(settings: Settings) -> Self {
        let upstream = Upstream::start();
        let envoy_config: &[_] = match settings {
            Settings::Shipped | Settings::EncodedSlashes | Settings::Posthog => &IMPATIENT,
            Settings::Lenient => &LENIENT,
            Settings::Normalising => &NORMALISING,
        };
        let mut filter = json!({"key_service": {"timeout_ms": 20_000}});
        match settings {
            Settings::EncodedSlashes => filter["routes"] = accepting_routes(),
            Settings::Posthog => filter["routes"] = json!("posthog"),
            Settings::Shipped | Settings::Lenient | Settings::Normalising => {}
        }
        let insights = match settings {
            Settings::Posthog => "/api/environments/@current/insights/",
            _ => "/api/insights/",
        };
        let options =
            Options { upstream: Some(upstream.address), envoy_config, filter, ..Options::default() };
        let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
        let (key, identity) = (KEY.to_owned(), Identity::default());
        let mut runner = Runner { stack, upstream, settings, key, identity };
        let get = |path: &str, auth: &str| runner.get(path, auth);
        let auth = format!("Authorization: Bearer {KEY}\r\n");
        let keyed = get(insights, &auth);
        assert_eq!(keyed.len(), 1, "a request with a key arrives");
        let controls =
            [get("/decide/", "").len(), get(insights, "").len(), get("/api/projects/", &auth).len()];
        assert_eq!(
            controls,
            [1, 0, 0],
            "a public request arrives; a request without a key or with the wrong scope does not"
        );
        runner.identity = Identity::of(&keyed[0], None);
        runner
    }

    /// The same stack, with a key that is restricted to project 1.
    pub(crate) fn with_restricted_key(self) -> Self {
        let service = self.stack.key_service();
        let mut create = Command::new(paths::key_service());
        create.args(["key", "create", "--user", "demo@example.com", "--label", "restricted"]);
        create.args(["--scopes", "insight:read", "--projects", "1"]).envs(service.env().iter().cloned());
        let output = create.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let auth = format!("Authorization: Bearer {key}\r\n");
        let [own, other, all] = ["/api/projects/1/insights/", "/api/projects/2/insights/", "/api/insights/"]
            .map(|path| self.get(path, &auth));
        assert_eq!([own.len(), other.len(), all.len()], [1, 0, 0], "only requests for project 1 arrive");
        let identity = Identity::of(&own[0], Some("1"));
        Runner { key, identity, ..self }
    }

    /// What arrives of a GET request.
    fn get(&self, path: &str, auth: &str) -> Vec<Seen> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{auth}\r\n");
        http1::exchange(self.edge(), request.as_bytes());
        let next = self.upstream.take();
        next.into_iter().filter(|seen| seen.header("host") != ["next"]).collect()
    }

    fn edge(&self) -> SocketAddr {
        self.stack.envoys()[0].address()
    }

    /// Sends each case without and with the key, to each path.
    pub(crate) fn http1(&self, cases: &[Http1]) {
        let mut failures = Vec::new();
        for Http1 { name, bytes } in cases {
            let paths = if bytes.contains("{path}") { &PATHS[..] } else { &PATHS[..1] };
            for path in paths {
                for auth in ["", &format!("Authorization: Bearer {}\r\n", self.key)] {
                    let filled =
                        bytes.replace("{path}", path).replace("{auth}", auth).replace("{key}", &self.key);
                    let has_key = filled.contains(&self.key);
                    let answer = http1::exchange(self.edge(), &latin1(&filled));
                    self.judge(
                        name,
                        path,
                        has_key,
                        &format!("{filled:?} was answered {answer:?}"),
                        &mut failures,
                    );
                }
            }
        }
        self.conclude("HTTP/1", cases.len(), &failures);
    }

    /// Sends each target in the request line of a GET, without and with the key.
    pub(crate) fn http1_targets(&self, targets: &[&str]) {
        let mut failures = Vec::new();
        for target in targets {
            for auth in ["", &format!("Authorization: Bearer {}\r\n", self.key)] {
                let filled = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{auth}\r\n");
                let answer = http1::exchange(self.edge(), &latin1(&filled));
                let what = format!("{filled:?} was answered {answer:?}");
                self.judge(target, target, !auth.is_empty(), &what, &mut failures);
            }
        }
        self.conclude("HTTP/1 targets", targets.len(), &failures);
    }

    /// Sends each case without and with the key, to each path.
    pub(crate) fn http2(&self, cases: &[Http2]) {
        let mut failures = Vec::new();
        for case in cases {
            let with_path = case.headers.iter().any(|(_, value)| value.contains("{path}"));
            let paths = if with_path { &PATHS[..] } else { &PATHS[..1] };
            for path in paths {
                for key in [None, Some(&*self.key)] {
                    self.http2_once(case, path, key, &mut failures);
                }
            }
        }
        self.conclude("HTTP/2", cases.len(), &failures);
    }

    /// Sends each target as the `:path` of a GET, without and with the key.
    pub(crate) fn http2_paths(&self, targets: &[&str]) {
        let mut failures = Vec::new();
        let headers = &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "{path}"),
            ("authorization", "{auth}"),
        ];
        let case = Http2 { name: "path", headers, body: None, trailers: &[] };
        for target in targets {
            for key in [None, Some(&*self.key)] {
                self.http2_once(&case, target, key, &mut failures);
            }
        }
        self.conclude("HTTP/2 paths", targets.len(), &failures);
    }

    fn http2_once(&self, case: &Http2, path: &str, key: Option<&str>, failures: &mut Vec<String>) {
        let fill = |fields: &[(&str, &str)]| -> Vec<(String, String)> {
            let fields = fields.iter().filter(|(_, value)| key.is_some() || *value != "{auth}");
            let auth = format!("Bearer {}", key.unwrap_or_default());
            let fill = |text: &str| {
                text.replace("{path}", path).replace("{auth}", &auth).replace("{key}", &self.key)
            };
            fields.map(|(name, value)| (fill(name), fill(value))).collect()
        };
        let (headers, trailers) = (fill(case.headers), fill(case.trailers));
        fn borrow(fields: &[(String, String)]) -> Vec<(&str, &str)> {
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
        }
        let has_key = headers.iter().any(|(_, value)| value.contains(&self.key));
        let request = Request { headers: &borrow(&headers), body: case.body, trailers: &borrow(&trailers) };
        let ended = http2::exchange(self.edge(), request);
        self.judge(case.name, path, has_key, &format!("{headers:?} {trailers:?}: {ended:?}"), failures);
    }

    fn judge(&self, name: &str, path: &str, has_key: bool, what: &str, failures: &mut Vec<String>) {
        // The request of another client, on a connection of its own, gets its own answer.
        let mine = format!("/decide/?mine={}", failures.len());
        let answer =
            http1::exchange(self.edge(), format!("GET {mine} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let seen = self.upstream.take();
        let (probes, seen): (Vec<Seen>, Vec<Seen>) =
            seen.into_iter().partition(|seen| seen.target == mine || seen.header("host") == ["next"]);
        let mut found = judge(&seen, has_key.then_some(&self.identity));
        found.extend(judge(&probes, None));
        if !answer.contains(&mine) {
            found.push(format!("the next client's own request was answered {answer:?}"));
        }
        failures.extend(found.into_iter().map(|found| format!("{name} ({path}): {found}\n    {what}")));
    }

    fn conclude(&self, what: &str, cases: usize, failures: &[String]) {
        println!("{what}, {:?}: {cases} cases", self.settings);
        assert!(failures.is_empty(), "{:?}:\n{}", self.settings, failures.join("\n"));
    }
}
