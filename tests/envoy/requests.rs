//! Requests: the documented routes, keys and errors, and malformed requests.

use std::thread;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use test_stack::{Options, Stack};

use crate::account::Account;
use crate::client::{Connection, get, request, send};
use crate::client_http2;
use crate::{
    DOCUMENTED, INSIGHTS_ONLY, NOT_AUTHENTICATED, NOT_PERMITTED, stack, stack_with, unguarded_stack,
};

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn the_documented_requests_get_the_documented_answers() {
    let stack = stack();
    let edge = stack.envoys()[0].address();
    let account = Account::demo(stack.key_service());
    let user = account.call("GET", "/api/users/@me/", &Value::Null).json()["id"].clone();
    let keys = account.call("GET", "/api/personal_api_keys/", &Value::Null).json();
    let id_of = |label: &str| {
        let key = keys.as_array().unwrap().iter().find(|key| key["label"] == label).unwrap();
        key["id"].as_str().unwrap().to_owned()
    };

    for _ in 0..3 {
        let response = get(edge, "/api/projects/", DOCUMENTED);
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.upstream_header("x-auth-user-id"), [user.as_str().unwrap()]);
        assert_eq!(response.upstream_header("x-auth-key-id"), [id_of("Documentation")]);
        assert_eq!(response.upstream_header("x-auth-scopes"), ["*"]);
        assert_eq!(response.upstream_header("authorization"), [format!("Bearer {DOCUMENTED}")]);
    }

    let response = send(edge, "GET", "/api/projects/", &[], b"");
    assert_eq!((response.status, response.text()), (401, NOT_AUTHENTICATED));
    assert_eq!(response.header("content-type"), ["application/json"]);
    assert_eq!(response.header("www-authenticate"), [r#"Bearer realm="api""#]);
    for wrong in ["phx_wrong", "phc_1234567890abcdef", &format!("phx_{}", "0".repeat(50))] {
        for _ in 0..2 {
            let response = get(edge, "/api/projects/", wrong);
            assert_eq!((response.status, response.text()), (401, NOT_AUTHENTICATED), "{wrong}");
            assert_eq!(response.header("www-authenticate"), [r#"Bearer realm="api", error="invalid_token""#]);
        }
    }

    for path in ["/api/projects/", "/api/projects/7/dashboards/"] {
        let response = get(edge, path, INSIGHTS_ONLY);
        assert_eq!((response.status, response.text()), (403, NOT_PERMITTED), "{path}");
    }
    for path in ["/api/insights/", "/api/projects/7/insights", "/api/projects/7/insights/3/?a=b"] {
        let response = get(edge, path, INSIGHTS_ONLY);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.upstream_header("x-auth-scopes"), ["insight:read"]);
        assert_eq!(response.json()["path"], path);
        let key = format!("Bearer {INSIGHTS_ONLY}");
        let response = send(edge, "POST", path, &[("authorization", &key)], b"{}");
        assert_eq!((response.status, response.text()), (403, NOT_PERMITTED), "POST {path}");
        let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="insight:write""#;
        assert_eq!(response.header("www-authenticate"), [challenge]);
    }

    let body = br#"{"api_key":"phc_project_token","event":"signup"}"#;
    for path in ["/decide/", "/capture/", "/batch/", "/decide", "/batch"] {
        let response = send(edge, "POST", path, &[], body);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.json()["body_sha256"], sha256(body), "{path}");
    }
    let head = send(edge, "HEAD", "/decide/", &[], b"");
    assert_eq!(head.status, 200);
    let head = send(edge, "HEAD", "/api/projects/", &[], b"");
    assert_eq!((head.status, head.body.len()), (401, 0));
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn large_bodies_arrive_whole_after_a_wait() {
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}}));
    let edge = stack.envoys()[0].address();
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let response = send(edge, "POST", "/batch/", &[], &body);
    assert_eq!(response.json()["body_sha256"], sha256(&body));

    // While the key service is paused, the key is unknown and the whole request waits.
    stack.key_service().process().pause().unwrap();
    let key = format!("Bearer {DOCUMENTED}");
    let sized = request("POST", "/api/insights/", &[("authorization", &key)], &body);
    let mut chunked =
        request("GET", "/api/insights/", &[("authorization", &key), ("transfer-encoding", "chunked")], b"");
    for chunk in body.chunks(100_000) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend([chunk, b"\r\n"].concat());
    }
    chunked.extend(b"0\r\n\r\n");
    let waiting: Vec<_> = [sized, chunked]
        .into_iter()
        .map(|bytes| thread::spawn(move || Connection::open(edge).send(&bytes).receive()))
        .collect();
    crate::lookups::await_active(&stack, 2);
    stack.key_service().process().resume().unwrap();
    for thread in waiting {
        let response = thread.join().unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.json()["body_bytes"], 5_000_000);
        assert_eq!(response.json()["body_sha256"], sha256(&body));
        assert_eq!(response.upstream_header("x-auth-scopes"), ["*"]);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn requests_that_two_servers_could_read_differently_never_reach_the_upstream() {
    let stack = unguarded_stack();
    let edge = stack.envoys()[0].address();
    let key = format!("Bearer {DOCUMENTED}");
    assert_eq!(get(edge, "/api/projects/", DOCUMENTED).status, 200);
    let before = stack.echo().requests();
    for path in [
        "/decide/../api/projects/",
        "/decide/%2e%2e/api/projects/",
        "/decide/..;/api/projects/",
        "//decide",
        "/decide//",
        "/decide%2f..%2fapi",
        "/decide\\..\\api",
        "/%64ecide/",
        "/decide/%00",
        "/decide%zz",
    ] {
        for headers in [&[][..], &[("authorization", key.as_str())][..]] {
            let response = send(edge, "GET", path, headers, b"");
            assert_eq!(response.status, 400, "{path}");
            assert!(response.json()["detail"].as_str().unwrap().starts_with("The request path"), "{path}");
        }
    }
    let twice = [("authorization", key.as_str()), ("authorization", "Bearer phx_wrong")];
    for (headers, begins) in [
        (&twice[..], "The Authorization header is repeated"),
        (&[("authorization", "Bearer phx_a,Bearer phx_b")], "The Authorization header is repeated"),
        (&[("Authorization", "Bearer phx_a phx_b")], "The Authorization header is repeated"),
        (
            &[("x-http-method-override", "DELETE"), ("authorization", &key)],
            "The request overrides its method",
        ),
        (&[("X-Original-URL", "/api/projects/"), ("authorization", &key)], "The request overrides its path"),
        (
            &[("X_HTTP_Method_Override", "DELETE"), ("authorization", &key)],
            "The request overrides its method",
        ),
        (&[("Path.Info", "/api/projects/"), ("authorization", &key)], "The request overrides its path"),
        (&[("SCRIPT-NAME", "/api/insights"), ("authorization", &key)], "The request overrides its path"),
    ] {
        for path in ["/api/projects/", "/decide/"] {
            let response = send(edge, "GET", path, headers, b"");
            assert_eq!(response.status, 400, "{headers:?}");
            let detail = response.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with(begins), "{headers:?}: {detail}");
        }
    }
    // Envoy's HTTP parser refuses some before the filter reads them; none may pass.
    for raw in [
        "GET /decide/ HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET /decide/ HTTP/1.1\r\nhost: a@b\r\n\r\n",
        "GET /decide/ HTTP/1.1\r\nhost: a:1:2\r\n\r\n",
        "GET /decide/ HTTP/1.1\r\nhost: \r\n\r\n",
        "GET /decide/\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /decide/#x HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET decide HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let response = Connection::open(edge).send(raw.as_bytes()).receive();
        assert_eq!(response.status, 400, "{raw}");
    }
    assert_eq!(stack.echo().requests(), before);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn identity_cannot_be_forged() {
    let stack = unguarded_stack();
    let edge = stack.envoys()[0].address();
    let key = format!("Bearer {INSIGHTS_ONLY}");
    let forged = [
        ("x-auth-user-id", "root"),
        ("X-Auth-Scopes", "*"),
        ("x_auth_key_id", "root"),
        ("X_AUTH-SCOPES", "*"),
        ("X.Auth.User.Id", "root"),
        ("X-Forwarded-Prefix", "/admin"),
    ];
    let names = [
        "x-auth-user-id",
        "x-auth-key-id",
        "x-auth-scopes",
        "x_auth_key_id",
        "x_auth-scopes",
        "x.auth.user.id",
        "x-forwarded-prefix",
    ];
    let public = send(edge, "GET", "/decide/", &forged, b"");
    for name in names {
        assert_eq!(public.upstream_header(name), Vec::<String>::new(), "{name}");
    }
    for _ in 0..3 {
        let headers = [&forged[..], &[("authorization", &key)]].concat();
        let response = send(edge, "GET", "/api/insights/", &headers, b"");
        assert_eq!(response.upstream_header("x-auth-scopes"), ["insight:read"]);
        for name in ["x-auth-user-id", "x-auth-key-id"] {
            let values = response.upstream_header(name);
            assert!(values.len() == 1 && values[0] != "root", "{name}: {values:?}");
        }
        for name in &names[3..] {
            assert_eq!(response.upstream_header(name), Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn no_byte_in_a_header_stops_the_vm() {
    let stack = unguarded_stack();
    let edge = stack.envoys()[0].address();
    assert_eq!(get(edge, "/api/projects/", DOCUMENTED).status, 200);
    for name in ["authorization", "x-auth-user-id", "x_auth_key_id", "origin", "x-anything"] {
        for value in
            [&b"\xff\xfe"[..], b"Bearer \xff", b"Bearer phx_\xc3\x28", b"", b"\t", b"Bearer", &[b'a'; 50_000]]
        {
            for path in ["/decide/", "/api/projects/"] {
                let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\n{name}: ");
                let bytes = [head.as_bytes(), value, b"\r\n\r\n"].concat();
                let status = Connection::open(edge).send(&bytes).receive().status;
                assert!([200, 400, 401].contains(&status), "{name} {path}: {status}");
            }
        }
    }
    let log = stack.envoys()[0].process().log().unwrap();
    assert!(!log.contains("panicked") && !log.contains("Function: proxy_on"), "{log}");
    assert_eq!(get(edge, "/api/projects/", DOCUMENTED).status, 200);
}

/// Trailers reach the upstream with HTTP/2 or `enable_trailers`.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn neither_identity_nor_credentials_reach_the_upstream_in_trailers() {
    const UPSTREAM: &str = "    - name: upstream\n      type: STRICT_DNS\n";
    let envoy_config = &[
        ("headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW"),
        (
            "stat_prefix: edge",
            "stat_prefix: edge\n                http_protocol_options: { enable_trailers: true }",
        ),
        (
            UPSTREAM,
            concat!(
                "    - name: upstream\n      type: STRICT_DNS\n      typed_extension_protocol_options:\n",
                "        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n",
                "          \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n",
                "          explicit_http_config: { http_protocol_options: { enable_trailers: true } }\n",
            ),
        ),
    ];
    let options = Options { envoy_config, ..Options::default() };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let edge = stack.envoys()[0].address();
    let key = format!("Bearer {DOCUMENTED}");
    let trailers = [
        ("x.auth.user.id", "root"),
        ("x-checksum", "1"),
        ("x_auth_scopes", "*"),
        ("authorization", "Bearer phx_another"),
        ("cookie", "session=1"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    for path in ["/api/projects/", "/decide/"] {
        let headers = [("authorization", key.as_str())];
        let http2 = client_http2::Request {
            method: "POST",
            path,
            headers: &headers,
            body: b"abc",
            trailers: &trailers,
        };
        let chunked = [headers[0], ("transfer-encoding", "chunked")];
        let mut http1 = request("GET", path, &chunked, b"");
        http1.extend(b"3\r\nabc\r\n0\r\n");
        for (name, value) in trailers {
            http1.extend(format!("{name}: {value}\r\n").as_bytes());
        }
        http1.extend(b"\r\n");
        for response in [client_http2::send(edge, &http2), Connection::open(edge).send(&http1).receive()] {
            assert_eq!(response.status, 200, "{path}: {}", response.text());
            assert_eq!(response.json()["trailers"], json!([["x-checksum", "1"]]), "{path}");
        }
    }
}
