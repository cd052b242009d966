//! Envoy's own filters limit each key: `envoy/per-key-limits.yaml`.

use std::fs;

use test_stack::{Stack, paths};

use crate::account::Account;
use crate::client::{get, send};
use crate::{reconfigure, stack};

/// The filter before which the shipped filters are put.
const ROUTER: &str = "                  - name: envoy.filters.http.router\n";

/// Puts the shipped filters into the configuration of the stack's Envoy. The second one concerns the key with this id.
fn add_limits(stack: &Stack, key_id: &str, network: &str) {
    let mut filters = fs::read_to_string(paths::workspace().join("envoy/per-key-limits.yaml")).unwrap();
    for (text, replacement) in
        [("exact: KEY_ID", format!("exact: {key_id}")), ("10.1.0.0, prefix_len: 16", network.to_owned())]
    {
        assert_eq!(filters.matches(text).count(), 1, "{text}");
        filters = filters.replace(text, &replacement);
    }
    let filters: String = filters.lines().map(|line| format!("                  {line}\n")).collect();
    reconfigure(&stack.envoys()[0], &[(ROUTER, &(filters + ROUTER))]);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn each_key_has_a_rate_of_its_own_and_no_client_chooses_the_key_that_counts() {
    let stack = stack();
    let edge = stack.envoys()[0].address();
    let account = Account::demo(stack.key_service());
    let (busy_id, busy) = account.create_key("busy", &["insight:read"]);
    let (_, quiet) = account.create_key("quiet", &["insight:read"]);
    add_limits(&stack, "another-key", "10.1.0.0, prefix_len: 16");

    let limited =
        (0..10_000).map(|_| get(edge, "/api/insights/", &busy).status).find(|status| *status != 200);
    assert_eq!(limited, Some(429));
    assert_eq!(get(edge, "/api/insights/", &quiet).status, 200);

    // A forged identity on a public route counts for no key.
    for _ in 0..50 {
        let forged = send(edge, "POST", "/capture/", &[("x-auth-key-id", &busy_id)], b"{}");
        assert_eq!(forged.status, 200);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_key_works_only_from_its_networks() {
    let stack = stack();
    let edge = stack.envoys()[0].address();
    let account = Account::demo(stack.key_service());
    let (id, value) = account.create_key("office", &["insight:read"]);
    let (_, other) = account.create_key("anywhere", &["insight:read"]);

    add_limits(&stack, &id, "10.1.0.0, prefix_len: 16");
    let refused = get(edge, "/api/insights/", &value);
    assert_eq!((refused.status, refused.text()), (403, "RBAC: access denied"));
    assert_eq!(get(edge, "/api/insights/", &other).status, 200);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_key_works_from_its_networks() {
    let stack = stack();
    let account = Account::demo(stack.key_service());
    let (id, value) = account.create_key("office", &["insight:read"]);
    add_limits(&stack, &id, "127.0.0.0, prefix_len: 8");
    assert_eq!(get(stack.envoys()[0].address(), "/api/insights/", &value).status, 200);
}
