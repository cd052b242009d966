//! The stack with a real Envoy: starting, stopping, settings, cleanup.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and these are what tests call"
)]

use std::path::Path;

use serde_json::{Value, json};
use test_stack::{Options, Stack};

const KEY: &str = "phx_1234567890abcdef";

/// The status and body of a GET with the demo's key.
fn get(url: &str) -> (u16, String) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut response = agent.get(url).header("authorization", format!("Bearer {KEY}")).call().unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

fn echoed_headers(body: &str) -> Value {
    serde_json::from_str::<Value>(body).unwrap()["headers"].take()
}

#[test]
#[ignore = "needs Envoy: run `cargo xtask test`"]
fn every_envoy_serves_and_each_part_can_be_stopped_and_started_again() {
    let stack = Stack::temporary(&Options { envoys: 2, workers: 1, ..Options::default() }).unwrap();
    for envoy in stack.envoys() {
        assert_eq!(get(&envoy.url("/api/projects/")).0, 200);
        assert_eq!(envoy.stats("cluster.upstream.upstream_rq_200").unwrap().values().sum::<u64>(), 1);
    }
    assert_eq!(stack.echo().requests(), 2);

    let second = &stack.envoys()[1];
    second.process().kill().unwrap();
    assert!(ureq::get(second.url("/")).call().is_err());
    second.process().start().unwrap();
    stack.key_service().process().stop().unwrap();
    assert_eq!(get(&second.url("/api/projects/")).0, 503);
    stack.key_service().process().start().unwrap();
    assert_eq!(get(&second.url("/api/projects/")).0, 200);
    assert!(!stack.key_service().process().log().unwrap().contains(KEY));
}

#[test]
#[ignore = "needs Envoy: run `cargo xtask test`"]
fn the_filters_settings_can_be_changed() {
    let filter = json!({ "hide_credentials": true });
    let stack = Stack::temporary(&Options { filter, ..Options::default() }).unwrap();
    let (status, body) = get(&stack.url("/api/projects/"));
    assert_eq!(status, 200, "{body}");
    let headers = echoed_headers(&body);
    let named = |name: &str| headers.as_array().unwrap().iter().any(|header| header[0] == name);
    assert!(!named("authorization") && named("x-auth-user-id"), "{headers}");
}

#[test]
#[ignore = "needs Envoy: run `cargo xtask test`"]
fn refused_settings_fail_the_start_with_the_filters_message() {
    let filter = json!({ "no_such_setting": 1 });
    let error = Stack::temporary(&Options { filter, ..Options::default() }).unwrap_err().to_string();
    assert!(error.contains("envoy exited") && error.contains("no_such_setting"), "{error}");
}

#[test]
#[ignore = "needs Envoy: run `cargo xtask test`"]
fn commands_of_the_key_service_run_on_the_stacks_database() {
    let stack = Stack::temporary(&Options::default()).unwrap();
    let users = stack.key_service().run(&["user", "list"], "").unwrap();
    assert!(users.contains("demo@example.com"), "{users}");
    let error = stack.key_service().run(&["user", "disable", "nobody@example.com"], "").unwrap_err();
    assert!(format!("{error:#}").contains("nobody@example.com"), "{error:#}");
}

#[test]
#[ignore = "needs Envoy: run `cargo xtask test`"]
fn a_dropped_stack_leaves_no_files_and_no_servers() {
    let stack = Stack::temporary(&Options::default()).unwrap();
    let (envoy, service) = (stack.url("/"), stack.key_service().edge_url("/readyz"));
    let config = stack.envoys()[0].config().to_owned();
    assert!(Path::new(&config).exists());
    drop(stack);
    assert!(ureq::get(envoy).call().is_err() && ureq::get(service).call().is_err());
    assert!(!Path::new(&config).exists());
}
