//! Shadow mode: a request that would be refused continues to the upstream, and the access log has the reason.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_stack::{Options, Stack};

use crate::client::{Response, get, send};
use crate::{DOCUMENTED, INSIGHTS_ONLY};

/// A stack whose Envoy writes status, details, reason, refused key and accepted key of each request to a file.
fn logging_stack(filter: Value) -> (Stack, PathBuf) {
    let folder = tempfile::tempdir().unwrap().keep();
    let file = folder.join("access.log");
    let access_log = format!(
        r#"stat_prefix: edge
                access_log:
                - name: envoy.access_loggers.file
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                    path: {}
                    log_format:
                      text_format_source:
                        inline_string: "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.edge_key_auth.reason:PLAIN)% %FILTER_STATE(wasm.edge_key_auth.key_id:PLAIN)% %REQ(X-AUTH-KEY-ID)%\n"
"#,
        file.display()
    );
    let access_log: &'static str = access_log.leak();
    let envoy_config: &'static [(&str, &str)] = vec![("stat_prefix: edge\n", access_log)].leak();
    let options = Options { filter, envoy_config, ..Options::default() };
    (Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}")), file)
}

fn has_no_identity(response: &Response) -> bool {
    ["x-auth-user-id", "x-auth-key-id", "x-auth-scopes"]
        .iter()
        .all(|name| response.upstream_header(name).is_empty())
}

/// The lines of the access log, once there are that many.
fn logged(file: &PathBuf, lines: usize) -> Vec<String> {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.lines().count() >= lines {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn the_filter_in_shadow_mode_refuses_nothing_and_reports_what_it_would_refuse() {
    let (stack, log) = logging_stack(json!({"mode": "shadow"}));
    let edge = stack.envoys()[0].address();
    let forged = [("x-auth-user-id", "root"), ("x-auth-scopes", "*")];
    for (path, key) in [
        ("/api/projects/", None),
        ("/api/projects/", Some("phc_another")),
        ("/api/projects/", Some(INSIGHTS_ONLY)),
        ("/decide/..%2fapi/", Some(DOCUMENTED)),
    ] {
        let bearer = format!("Bearer {}", key.unwrap_or_default());
        let credential = [("authorization", bearer.as_str())];
        let headers = if key.is_some() { [&forged[..], &credential].concat() } else { forged.to_vec() };
        let response = send(edge, "GET", path, &headers, b"");
        assert_eq!(response.status, 200, "{path} {key:?}: {}", response.text());
        assert!(has_no_identity(&response), "{}", response.text());
    }
    let granted = send(
        edge,
        "GET",
        "/api/projects/",
        &[forged[0], ("authorization", &format!("Bearer {DOCUMENTED}"))],
        b"",
    );
    let key_id = granted.upstream_header("x-auth-key-id")[0].clone();
    assert_ne!(granted.upstream_header("x-auth-user-id"), ["root"]);
    let lines = logged(&log, 5);
    assert_eq!(lines[0], "200 via_upstream key_missing - -");
    assert_eq!(lines[1], "200 via_upstream key_invalid - -");
    let names_key = lines[2].ends_with(" -") && !lines[2].ends_with("- -");
    assert!(lines[2].starts_with("200 via_upstream scope_missing ") && names_key, "{lines:?}");
    assert_eq!(lines[3], "200 via_upstream ambiguous_request - -");
    assert_eq!(lines[4], format!("200 via_upstream - - {key_id}"));

    stack.key_service().process().pause().unwrap();
    let began = Instant::now();
    let undecided = get(edge, "/api/projects/", "phx_not_known");
    assert!(began.elapsed() < Duration::from_millis(600), "{:?}; the timeout is 1 s", began.elapsed());
    assert_eq!(undecided.status, 200);
    assert!(has_no_identity(&undecided));
    assert_eq!(logged(&log, 6)[5], "200 via_upstream undecided - -");

    let began = Instant::now();
    let exported = || {
        let mut answer = ureq::get(stack.envoys()[0].admin_url("/stats/prometheus")).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    };
    let metric = |result: &str, reason: &str| {
        let metrics = exported();
        let tags = [format!("result=\"{result}\""), format!("reason=\"{reason}\"")];
        let is_it = |line: &&str| {
            line.starts_with("edge_key_auth_requests{") && tags.iter().all(|tag| line.contains(tag))
        };
        let line = metrics.lines().find(is_it).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    while metric("shadowed", "undecided") == 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "not exported");
        sleep(Duration::from_millis(100));
    }
    for reason in ["key_missing", "key_invalid", "scope_missing", "ambiguous_request"] {
        assert_eq!((metric("shadowed", reason), metric("denied", reason)), (1, 0));
    }
    let buckets = r#"edge_key_auth_cursor_lag_bucket{le="20"}"#;
    assert!(exported().contains(buckets), "{}", exported());
}

/// The key service does not answer: the request of the rule in shadow mode continues, the other one gets 503 much later.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_rule_in_shadow_mode_waits_briefly_for_the_lookup_that_an_enforced_one_waits_for() {
    let (stack, _) = logging_stack(json!({
        "key_service": {"timeout_ms": 2_000},
        "routes": [
            {"path": "/new/", "scope": "insight", "mode": "shadow"},
            {"path": "/old/", "scope": "insight"},
        ],
    }));
    let edge = stack.envoys()[0].address();
    assert_eq!(get(edge, "/new/", INSIGHTS_ONLY).status, 200);
    assert_eq!(send(edge, "GET", "/new/", &[], b"").status, 200);
    assert_eq!(send(edge, "GET", "/old/", &[], b"").status, 401);
    assert_eq!(get(edge, "/new/..%2fold", INSIGHTS_ONLY).status, 400, "no rule is chosen");
    stack.key_service().process().pause().unwrap();
    let (shadowed, enforced) = std::thread::scope(|scope| {
        let timed = |path| {
            let began = Instant::now();
            (get(edge, path, "phx_not_known"), began.elapsed())
        };
        let enforced = scope.spawn(move || timed("/old/"));
        (timed("/new/"), enforced.join().unwrap())
    });
    assert_eq!((shadowed.0.status, enforced.0.status), (200, 503));
    assert!(
        shadowed.1 >= Duration::from_millis(90) && shadowed.1 < Duration::from_millis(1_000),
        "{:?}",
        shadowed.1
    );
    assert!(enforced.1 >= Duration::from_millis(1_500), "{:?}", enforced.1);
}
