//! The key service cannot be had.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;
use test_stack::{Options, Stack};

use crate::client::{Response, get, send};
use crate::{DOCUMENTED, stack_with};

fn assert_unavailable(response: &Response) {
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(response.header("content-type"), ["application/json"]);
    assert_eq!(response.header("retry-after"), ["1"]);
    assert_eq!(
        response.text(),
        r#"{"detail":"The API key could not be checked right now. Please try again."}"#
    );
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn unknown_keys_get_503_until_the_service_is_back_and_nothing_else_is_concerned() {
    let stack = stack_with(json!({
        "key_service": {"timeout_ms": 500},
        "cache": {"active_ttl_ms": 0, "inactive_ttl_ms": 0},
    }));
    let edge = stack.envoys()[0].address();
    let service = stack.key_service().process();
    for stop in [0, 1, 2] {
        match stop {
            0 => service.pause().unwrap(),
            1 => service.stop().unwrap(),
            _ => service.kill().unwrap(),
        }
        let before = stack.echo().requests();
        for n in 0..3 {
            let began = Instant::now();
            assert_unavailable(&get(edge, "/api/insights/", &format!("phx_unknown_{stop}_{n}")));
            assert!(began.elapsed() < Duration::from_secs(5), "the timeout is 500 ms");
        }
        assert_eq!(stack.echo().requests(), before, "the upstream saw none of them");
        assert_eq!(get(edge, "/api/insights/", "phc_not_a_key").status, 401);
        assert_eq!(send(edge, "GET", "/decide/", &[], b"").status, 200);
        match stop {
            0 => service.resume().unwrap(),
            _ => service.start().unwrap(),
        }
        let first = get(edge, "/api/insights/", DOCUMENTED);
        assert_eq!(first.status, 200, "the first request after it is back: {}", first.text());
    }
}

/// One worker, so that it is the one whose VM stops.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_panic_empties_the_cache_of_its_vm_only() {
    let wasm = Some(test_stack::paths::trapping_wasm());
    let options = Options { workers: 1, wasm, ..Options::default() };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let envoy = &stack.envoys()[0];
    let edge = envoy.address();
    for _ in 0..20 {
        assert_eq!(get(edge, "/api/insights/", DOCUMENTED).status, 200);
    }
    sleep(Duration::from_millis(200));
    let before = envoy.stats("cluster.key_service.upstream_rq_total").unwrap();
    let key = format!("Bearer {DOCUMENTED}");
    let mut headers = vec![("authorization", key.as_str())];
    headers.extend([("x-one-of-many", "1"); 70]);
    let trapped = send(edge, "GET", "/api/insights/", &headers, b"");
    assert!(trapped.status >= 500, "{}", trapped.status);
    let began = Instant::now();
    while get(edge, "/api/insights/", DOCUMENTED).status != 200 {
        assert!(began.elapsed() < Duration::from_secs(10), "not served again");
        sleep(Duration::from_millis(50));
    }
    assert_eq!(send(edge, "GET", "/decide/", &[], b"").status, 200);
    assert_eq!(get(edge, "/api/insights/", "phx_wrong").status, 401);
    let after = envoy.stats("cluster.key_service.upstream_rq_total").unwrap();
    assert!(after.values().sum::<u64>() > before.values().sum::<u64>(), "the new VM sent no callout");
}
