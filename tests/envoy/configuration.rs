//! The settings of the filter, as Envoy passes them on.

use serde_json::json;

use crate::client::{get, send};
use test_stack::{Options, Stack};

use crate::{DOCUMENTED, INSIGHTS_ONLY, stack, stack_with};

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn settings_reach_the_filter() {
    let stack = stack_with(json!({
        "routes": [
            {"path": "/open/{*rest}", "public": true},
            {"path": "/things/{id}", "methods": ["GET"], "scope": "insight:read"},
        ],
        "realm": "things",
        "error_bodies": "posthog",
        "cors_preflight": "forward",
        "identity_headers": {"user_id": "X-Caller"},
        "hide_credentials": true,
        "cache": {"max_active": 1_000_000},
    }));
    let edge = stack.envoys()[0].address();
    assert_eq!(send(edge, "GET", "/open/a/b", &[], b"").status, 200);
    assert_eq!(send(edge, "GET", "/decide/", &[], b"").status, 401, "the shipped table is replaced");
    let response = get(edge, "/things/1", INSIGHTS_ONLY);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.upstream_header("x-caller").len(), 1);
    assert_eq!(response.upstream_header("x-auth-key-id").len(), 1);
    assert_eq!(response.upstream_header("authorization"), Vec::<String>::new());
    assert_eq!(get(edge, "/things/1/2", INSIGHTS_ONLY).status, 403);
    assert_eq!(get(edge, "/things/1/2", DOCUMENTED).status, 200);

    let response = send(edge, "GET", "/things/1", &[], b"");
    assert_eq!(response.header("www-authenticate"), [r#"Bearer realm="things""#]);
    assert_eq!(
        response.text(),
        r#"{"type":"authentication_error","code":"not_authenticated","detail":"Authentication credentials were not provided.","attr":null}"#
    );
    assert_eq!(get(edge, "/things/1", "phx_wrong").json()["code"], "authentication_failed");
    assert_eq!(get(edge, "/things/1/2", INSIGHTS_ONLY).json()["code"], "permission_denied");

    let preflight = [("origin", "https://app.example.com"), ("access-control-request-method", "GET")];
    let response = send(edge, "OPTIONS", "/things/1", &preflight, b"");
    assert_eq!(response.status, 200);
    assert_eq!(response.upstream_header("x-caller"), Vec::<String>::new());
    assert_eq!(send(edge, "OPTIONS", "/things/1", &[], b"").status, 401);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_rule_leaves_bearer_tokens_with_its_prefixes_to_the_upstream() {
    let stack = stack_with(json!({
        "routes": [
            {"path": "/flags/", "scope": "insight", "bearer_prefixes": ["phs_", "pha_"]},
            {"path": "/other/", "scope": "insight"},
        ],
        "hide_credentials": true,
    }));
    let edge = stack.envoys()[0].address();
    for token in ["phs_secret", "pha_access"] {
        let headers = [
            ("authorization", &*format!("Bearer {token}")),
            ("x-auth-user-id", "root"),
            ("x-auth-scopes", "*"),
        ];
        let response = send(edge, "GET", "/flags/", &headers, b"");
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.upstream_header("authorization"), [format!("Bearer {token}")]);
        for name in ["x-auth-user-id", "x-auth-key-id", "x-auth-scopes"] {
            assert_eq!(response.upstream_header(name), Vec::<String>::new(), "{name}");
        }
        assert_eq!(send(edge, "GET", "/other/", &headers, b"").status, 401);
    }
    assert_eq!(get(edge, "/flags/", "phc_project").status, 401);
    let response = get(edge, "/flags/", INSIGHTS_ONLY);
    assert_eq!(response.upstream_header("authorization"), Vec::<String>::new(), "an accepted key is hidden");
    assert_eq!(response.upstream_header("x-auth-scopes"), ["insight:read"]);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_rule_accepts_encoded_slashes_in_the_segment_that_it_names() {
    let stack = stack_with(json!({
        "routes": [
            {"path": "/repos/{repo}/files/{file}", "scope": "insight", "encoded_slashes": ["file"]},
            {"path": "/repos/{repo}/files/secret/{*rest}", "scope": "*"},
        ],
    }));
    let edge = stack.envoys()[0].address();
    for path in ["/repos/1/files/a%2Fb%2fc", "/repos/1/files/a%2Fb?x=%2F.."] {
        let response = get(edge, path, INSIGHTS_ONLY);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        assert_eq!(response.json()["path"], path, "the upstream gets it as it was sent");
        assert_eq!(send(edge, "GET", path, &[], b"").status, 401);
    }
    for path in [
        "/repos/1%2F2/files/a",
        "/repos/1/files/a%2F..%2Fb",
        "/repos/1/files/a%2F%5Cb",
        "/repos/1/files/secret%2Fb",
        "/repos/1/other%2Fa",
    ] {
        assert_eq!(get(edge, path, DOCUMENTED).status, 400, "{path}");
    }
}

/// `envoy/envoy.yaml`, and so every other test here, has a `google.protobuf.Struct`.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_string_value_of_json_does_as_well_as_a_struct() {
    let stack = stack();
    let envoy = &stack.envoys()[0];
    envoy.process().stop().unwrap();
    let rendered = std::fs::read_to_string(envoy.config()).unwrap();
    let as_text = rendered.replace("google.protobuf.Struct", "google.protobuf.StringValue").replace(
        r#"value: { "key_service": { "cluster": "key_service" } }"#,
        r#"value: '{"key_service":{"cluster":"key_service"},"realm":"text"}'"#,
    );
    assert_ne!(as_text, rendered);
    std::fs::write(envoy.config(), as_text).unwrap();
    envoy.process().start().unwrap();
    assert_eq!(get(envoy.address(), "/api/projects/", DOCUMENTED).status, 200);
    let response = send(envoy.address(), "GET", "/api/projects/", &[], b"");
    assert_eq!(response.header("www-authenticate"), [r#"Bearer realm="text""#]);
}

/// In YAML, `off` is not always a string.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn without_syncs_a_cached_key_works_for_its_time_to_live_and_no_longer() {
    let stack = stack();
    let envoy = &stack.envoys()[0];
    envoy.process().stop().unwrap();
    let rendered = std::fs::read_to_string(envoy.config()).unwrap();
    for off in ["off", "false", "'off'"] {
        let settings = format!(
            r#"value: {{ "key_service": {{ "cluster": "key_service", "timeout_ms": 300 }}, "sync": {off}, "cache": {{ "active_ttl_ms": 3000 }} }}"#
        );
        let changed =
            rendered.replace(r#"value: { "key_service": { "cluster": "key_service" } }"#, &settings);
        assert_ne!(changed, rendered);
        std::fs::write(envoy.config(), changed).unwrap();
        envoy.process().start().unwrap();
        let edge = envoy.address();
        // Both workers get to know the key.
        for _ in 0..40 {
            assert_eq!(get(edge, "/api/projects/", DOCUMENTED).status, 200, "{off}");
        }
        let asked = std::time::Instant::now();
        stack.key_service().process().pause().unwrap();
        let cached = get(edge, "/api/projects/", DOCUMENTED);
        assert_eq!(cached.status, 200, "{off}: {:?}", asked.elapsed());
        std::thread::sleep(std::time::Duration::from_millis(3_000));
        assert_eq!(get(edge, "/api/projects/", DOCUMENTED).status, 503, "{off}");
        stack.key_service().process().resume().unwrap();
        let text = ureq::get(envoy.admin_url("/stats/prometheus"))
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        let gauge = text.lines().find(|line| line.starts_with("edge_key_auth_sync_off{")).unwrap().to_owned();
        assert!(!gauge.ends_with(" 0"), "{gauge}");
        envoy.process().stop().unwrap();
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_bad_configuration_stops_envoy_with_every_problem_in_its_log() {
    let filter = json!({"key_service": {"cluster": ""}, "realms": "x", "cache": {"max_active": 0}});
    let error =
        Stack::temporary(&Options { filter, ..Options::default() }).expect_err("it started").to_string();
    for problem in [
        "configuration refused: key_service.cluster: is required",
        "configuration refused: realms: unknown field",
        "configuration refused: cache.max_active: must be a whole number from 1 to 10000000, not 0",
    ] {
        assert!(error.contains(problem), "{error}");
    }
}
