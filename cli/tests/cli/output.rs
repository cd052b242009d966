//! What the program prints, and its exit codes.

use std::io::Write;
use std::process::{Command, Stdio};

use insta::assert_snapshot;

/// Exit code, standard output and standard error of the program in the workspace.
fn run(args: &[&str], input: &str) -> (i32, String, String) {
    run_with(None, args, input)
}

/// With a value of the variable `SCOPE_CATALOGUE`.
fn run_with(catalogue: Option<&str>, args: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge-key-auth"));
    command.args(args).current_dir(test_stack::paths::workspace());
    command.env_remove("SCOPE_CATALOGUE").envs(catalogue.map(|file| ("SCOPE_CATALOGUE", file)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may exit without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The same as one text.
fn transcript(args: &[&str], input: &str) -> String {
    let (code, stdout, stderr) = run(args, input);
    format!("{stdout}{stderr}exit code {code}")
}

/// A listener with one of each kind of fault.
const BAD: &str = r#"
"@type": type.googleapis.com/envoy.config.listener.v3.Listener
name: edge
filter_chains:
  - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          stat_prefix: edge
          use_remote_address: true
          normalize_path: yes
          http_filters:
            - name: edge_key_auth
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
                config:
                  failure_policy: FAIL_OPEN
                  vm_config:
                    runtime: envoy.wasm.runtime.v8
                    environment_variables: { key_values: { EDGE_TOKEN: 0123456789abcdef } }
                  configuration:
                    "@type": type.googleapis.com/google.protobuf.Struct
                    value:
                      key_service: { cluster: key_service, timeout_ms: 1.5 }
                      cache: { <<: *sizes }
                      hide_credentials: "true"
                      routes:
                        - { path: /health, public: off }
                        - { path: /orders, scope: order, method: GET }
                        - { path: /orders/, scope: "order:read" }
                        - path: /invoices
                          path: /bills
                          scope: invoice
"#;

/// Settings with rules for several methods, and a warning.
const SETTINGS: &str = r#"
key_service: { cluster: key_service }
hide_credentials: true
cors_preflight: forward
routes:
  - { path: "/{*rest}", public: true }
  - { path: /admin, scope: "*" }
  - { path: "/orders/{id}", scope: "order:read", methods: [GET, HEAD] }
  - { path: "/orders/{id}", scope: "order:write", methods: [PUT] }
  - { path: "/flags", scope: flag, bearer_prefixes: [phs_, pha_] }
  - { path: "/files/{name}", scope: file, encoded_slashes: [name] }
  - { path: "/{org}/{id}/bills", scope: bill, project: id, organization: org, upstream_judges: [project] }
"#;

#[test]
fn check_prints_the_rules_of_the_shipped_file() {
    assert_snapshot!("check_shipped", transcript(&["check", "envoy/envoy.yaml"], ""));
    assert_snapshot!("check_no_filter", transcript(&["check", "envoy/replicas.yaml"], ""));
}

#[test]
fn check_prints_the_problems_of_a_bad_file() {
    let bad = BAD.replacen(
        "name: edge\n",
        "name: edge\nmetadata: { filter_metadata: { x: &sizes { max_active: 5 } } }\n",
        1,
    );
    assert_snapshot!("check_bad", transcript(&["check", "-"], &bad));
    assert_snapshot!("check_bad_json", transcript(&["check", "--json", "-"], &bad));
}

#[test]
fn check_prints_the_rules_of_a_settings_file() {
    assert_snapshot!("check_settings", transcript(&["check", "-"], SETTINGS));
    assert_snapshot!("check_settings_json", transcript(&["check", "--json", "-"], SETTINGS));
}

#[test]
fn the_exit_code_of_check() {
    let code = |args: &[&str], input: &str| run(args, input).0;
    assert_eq!(code(&["check", "-"], SETTINGS), 0, "there is a hint");
    assert_eq!(code(&["check", "--strict", "-"], SETTINGS), 1);
    assert_eq!(code(&["check", "--strict", "envoy/envoy.yaml", "envoy/replicas.yaml"], ""), 0);
    assert_eq!(code(&["check", "envoy/envoy.yaml", "-"], "{}"), 1, "one of two files");
    assert_eq!(code(&["check", "--json", "-"], "{}"), 1);
    let catalogue = &["check", "--scope-catalogue", "key-service/catalogues/posthog.json"][..];
    assert_eq!(code(&[catalogue, &["--strict", "envoy/envoy.yaml"]].concat(), ""), 0);
    assert_eq!(code(&[catalogue, &["-"]].concat(), SETTINGS), 1, "it has no orders");
    let of_variable = run_with(Some("key-service/catalogues/posthog.json"), &["check", "-"], SETTINGS);
    assert_eq!(of_variable.0, 1, "the variable of the key service counts too");
    for (args, input) in [
        (&["check"][..], ""),
        (&["check", "--stric", "-"], SETTINGS),
        (&["check", "missing.yaml"], ""),
        (&["check", "--scope-catalogue", "missing.json", "envoy/envoy.yaml"], ""),
        (&["check", "--scope-catalogue", "envoy/envoy.yaml", "envoy/envoy.yaml"], ""),
        (&["check", "envoy/envoy.yaml", "missing.yaml"], ""),
        (&["check", "-"], "a: [\n"),
        (&[], ""),
    ] {
        let (code, _, stderr) = run(args, input);
        assert!(code == 2 && !stderr.is_empty(), "{args:?}: {code} {stderr}");
    }
}

#[test]
fn explain_prints_the_rule_and_the_answer() {
    let mut calls = String::new();
    for args in [
        &["GET", "/api/projects/1/insights/5", "--key-scopes", "insight:read"][..],
        &["POST", "/api/projects/1/insights/5", "--key-scopes", "insight:read,cohort:write"],
        &["GET", "/api/projects/1/insights/5"],
        &["GET", "/api/projects/1/insights/5", "--invalid-key"],
        &["POST", "/capture/?v=2", "-H", "X-Auth-User-Id: 1", "-H", "x-forwarded-prefix: /a"],
        &["GET", "/decide/../api"],
        &["GET", "/decide", "--host", "a b"],
        &["GET", "/api/unknown", "--key-scopes", "insight:write"],
        &["GET", "/api/unknown", "-H", "Authorization: Bearer phx_something", "--key-scopes", "*"],
        &["GET", "/api/projects", "-H", "Authorization: Basic eA==", "--key-scopes", "*"],
        &["GET", "/api/projects", "--config", "envoy/envoy.yaml", "--key-scopes", ""],
        &["GET", "/api/projects/1", "--key-scopes", "project:read", "--key-projects", "1,2"],
        &["GET", "/api/projects/3", "--key-scopes", "project:read", "--key-projects", "1,2"],
        &["GET", "/api/projects/1", "--key-scopes", "*", "--key-organizations", "acme"],
    ] {
        calls += &format!("$ edge-key-auth explain {}\n", args.join(" "));
        calls += &format!("{}\n\n", transcript(&[&["explain"], args].concat(), ""));
    }
    assert_snapshot!("explain", calls);
}

#[test]
fn explain_uses_the_rules_of_a_configuration() {
    let mut calls = String::new();
    for args in [
        &["DELETE", "/orders/7", "--key-scopes", "order:write"][..],
        &["PUT", "/orders/7", "--key-scopes", "order:write"],
        &["PUT", "/orders/7", "--key-scopes", "order:write", "--json"],
        &["GET", "/anything", "--invalid-key"],
        &[
            "GET",
            "/acme/@current/bills",
            "--key-scopes",
            "bill:read",
            "--key-projects",
            "1",
            "--key-organizations",
            "acme",
        ],
        &["GET", "/evil/1/bills", "--key-scopes", "bill:read", "--key-organizations", "acme"],
        &["GET", "/flags", "-H", "Authorization: Bearer phs_secret"],
        &["GET", "/files/a%2Fb", "--key-scopes", "file:read"],
        &["GET", "/files/a%2F..", "--key-scopes", "file:read"],
        &["GET", "/orders/a%2Fb", "--key-scopes", "order:read"],
        &["OPTIONS", "/admin", "-H", "Origin: https://a.example", "-H", "Access-Control-Request-Method: PUT"],
        &["GET", "/admin", "--no-key", "--json"],
    ] {
        calls += &format!("$ edge-key-auth explain {} --config -\n", args.join(" "));
        calls += &format!("{}\n\n", transcript(&[&["explain", "--config", "-"], args].concat(), SETTINGS));
    }
    let settings = r#"value: { "key_service": { "cluster": "key_service" }"#;
    let rules = format!(r#"{settings}, "routes": [{{ "path": "/orders", "scope": "order" }}]"#);
    let envoy = crate::envoy_with(&[(settings, &rules)]);
    for args in [&["GET", "/orders", "--key-scopes", "order:read"][..], &["GET", "/orders", "--json"]] {
        calls += &format!("$ edge-key-auth explain {} --config -\n", args.join(" "));
        calls += &format!("{}\n\n", transcript(&[&["explain", "--config", "-"], args].concat(), &envoy));
    }
    assert_snapshot!("explain_configured", calls);
}

/// Settings for an Envoy in front of PostHog.
const POSTHOG: &str = "key_service: { cluster: key_service }\nroutes: posthog\nerror_bodies: posthog\n";

#[test]
fn explain_and_check_use_the_posthog_table() {
    let mut calls = String::new();
    for args in [
        &["GET", "/flags/?v=2", "-H", "Authorization: Bearer phc_project"][..],
        &["GET", "/flags/definitions?token=phc_project", "-H", "Authorization: Bearer phs_secret"],
        &[
            "GET",
            "/flags/definitions?token=phc_project",
            "--key-scopes",
            "feature_flag:read",
            "--key-projects",
            "1",
        ],
        &["GET", "/api/environments/@current/llm_prompts/name/a%2Fb/", "--key-scopes", "llm_prompt:read"],
        &["GET", "/api/projects/7/insights/", "--key-scopes", "insight:read", "--key-projects", "1"],
        &["GET", "/api/projects/", "--key-scopes", "project:read", "--key-projects", "1"],
        &["DELETE", "/capture/"],
    ] {
        calls += &format!("$ edge-key-auth explain {} --config -\n", args.join(" "));
        calls += &format!("{}\n\n", transcript(&[&["explain", "--config", "-"], args].concat(), POSTHOG));
    }
    assert_snapshot!("explain_posthog", calls);
    let catalogue = ["check", "--strict", "--scope-catalogue", "key-service/catalogues/posthog.json", "-"];
    assert_snapshot!("check_posthog", transcript(&catalogue, POSTHOG));
}

#[test]
fn explain_says_what_shadow_mode_forwards() {
    let settings = format!("mode: shadow\n{}", SETTINGS.trim_start());
    let mut calls = String::new();
    for args in [
        &["GET", "/admin"][..],
        &["GET", "/admin/../x"],
        &["PUT", "/orders/7", "--key-scopes", "order:write"],
    ] {
        calls += &format!("$ edge-key-auth explain {} --config -\n", args.join(" "));
        calls += &format!("{}\n\n", transcript(&[&["explain", "--config", "-"], args].concat(), &settings));
    }
    assert_snapshot!("explain_shadow", calls);
    assert_snapshot!(
        "check_shadow",
        transcript(&["check", "-"], &settings.replace("/admin,", "/admin, mode: shadow,"))
    );
}

#[test]
fn explain_refuses_what_it_cannot_explain() {
    let mut calls = String::new();
    let two = crate::envoy_with(&[]);
    let at = two.find("    - name: edge\n").unwrap();
    let end = two.find("  clusters:\n").unwrap();
    let two = [&two[..end], &two[at..end], &two[end..]].concat();
    for (args, input) in [
        (&["GET", "/x", "-H", "Authorization: Bearer phx_something"][..], ""),
        (&["GET", "/x", "-H", "Authorization: Bearer phx_something", "--no-key"], ""),
        (&["GET", "/x", "-H", "no colon"], ""),
        (&["GET", "/x", "--key-scopes", "insight"], ""),
        (&["GET", "/x", "--config", "-"], "key_service: {}\n"),
        (&["GET", "/x", "--config", "-"], &two),
        (&["GET", "/x", "--config", "envoy/replicas.yaml"], ""),
        (&["GET", "/x", "--invalid-key", "--no-key"], ""),
        (&["GET", "/x", "--key-projects", "1"], ""),
        (&["GET", "/x", "--key-scopes", "*", "--key-projects", "1,@current"], ""),
    ] {
        let (code, stdout, stderr) = run(&[&["explain"], args].concat(), input);
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}");
        calls += &format!("$ edge-key-auth explain {}\n{stderr}\n", args.join(" "));
    }
    assert_snapshot!("explain_refused", calls);
}
