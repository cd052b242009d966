//! The key service cannot be had.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

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
        "cache": {"active_ttl_ms": 60_000, "inactive_ttl_ms": 0},
    }));
    let edge = stack.envoys()[0].address();
    let service = stack.key_service().process();
    let is_up = || assert_eq!(get(edge, "/api/insights/", DOCUMENTED).status, 200);

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
        // Envoy notices a new connection can be made within its own back-off; each request asks anew.
        let began = Instant::now();
        loop {
            match get(edge, "/api/insights/", &format!("phx_unknown_{stop}_again")).status {
                401 => break,
                503 if began.elapsed() < Duration::from_secs(5) => sleep(Duration::from_millis(50)),
                other => panic!("{other} after {:?}", began.elapsed()),
            }
        }
        is_up();
    }
}
