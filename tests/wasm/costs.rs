//! Costs of a request and of a cached key; metrics.

use crate::host::Host;
use crate::{VALID, forwarded, verdicts, verify, warm};

#[test]
fn metrics_are_recorded_about_once_a_second_and_key_and_reason_are_in_filter_state() {
    let mut host = warm();
    let accepted = host.get("/api/projects/", &[("authorization", VALID)]);
    let denied = host.get("/api/projects/", &[]);
    assert_eq!(host.filter_state(accepted, "edge_key_auth.key_id").as_deref(), Some("k1"));
    assert_eq!(host.filter_state(denied, "edge_key_auth.reason").as_deref(), Some("key_missing"));
    assert_eq!(host.metric("requests_forwarded"), 0);
    host.pass(1_000);
    host.tick();
    for (name, value) in [
        ("requests_forwarded", 2),
        ("requests_denied_key_missing", 1),
        ("cache_hits", 1),
        ("cache_misses", 1),
        ("cache_active", 1),
        ("lookups", 1),
        ("leases_gained", 1),
        ("leases_held", 1),
        ("resets", 1),
    ] {
        assert_eq!(host.metric(name), value, "{name}");
    }
    host.pass(6_000);
    host.tick();
    assert_eq!((host.metric("leases_lost"), host.metric("leases_held")), (1, 0));
}

/// Host calls are the largest cost of a request: about 0.8 µs each in Envoy.
#[test]
fn a_request_costs_no_more_host_calls_than_it_needs() {
    let mut host = warm();
    let calls = |host: &mut Host, path: &str, headers: &[(&str, &[u8])]| -> Vec<(&'static str, u64)> {
        host.cost(|host| {
            host.get(path, headers);
        })
        .0
        .into_iter()
        .collect()
    };
    let read_all = ("get_header_map_pairs", 1);
    let denied = [("clock", 2), read_all, ("send_local_response", 1), ("set_property", 1)];
    assert_eq!(calls(&mut host, "/decide/", &[]), [("clock", 2), read_all]);
    assert_eq!(calls(&mut host, "/api/projects/", &[]), denied);
    let cached = calls(&mut host, "/api/projects/", &[("authorization", VALID)]);
    assert_eq!(cached, [("clock", 2), read_all, ("replace_header", 3), ("set_property", 1)]);
    let unknown = calls(&mut host, "/api/projects/", &[("authorization", b"Bearer phx_unknown")]);
    assert_eq!(unknown, [("clock", 2), ("enqueue", 1), read_all, ("get_property", 1)]);
}

/// Fuel is about one unit an instruction, and the same on every machine. What is allowed here is a tenth more than was
/// measured, so that a change that makes requests dearer is noticed; lower it when one makes them cheaper.
#[test]
fn a_request_costs_no_more_instructions_than_measured() {
    let mut host = warm();
    let own: &[(&str, &[u8])] = &[
        ("user-agent", b"curl/8.5.0"),
        ("accept", b"*/*"),
        ("x-forwarded-proto", b"http"),
        ("x-request-id", b"7a5b0d5e-9d0c-4bd5-8d0e-0d1f8f1f6f5a"),
    ];
    let with_key = [own, &[("authorization", VALID)]].concat();
    let mut fuel = |path: &str, headers: &[(&str, &[u8])]| {
        let whole_life = |host: &mut Host| {
            let request = host.get(path, headers);
            host.end(request);
        };
        host.cost(whole_life);
        host.cost(whole_life).1
    };
    for (what, fuel, measured) in [
        ("public", fuel("/decide/", own), 17_900),
        ("denied", fuel("/api/projects/7/insights/", own), 73_000),
        ("cached", fuel("/api/projects/7/insights/", &with_key), 39_100),
    ] {
        println!("{what}: {fuel} units of fuel");
        assert!(fuel <= measured * 11 / 10, "{what}: {fuel} units of fuel, {measured} when measured last");
        assert!(fuel >= measured / 2, "{what}: {fuel} units of fuel: did it do its work?");
    }
}

/// The figure of `docs/configuration.md` for one verdict in the cache.
#[test]
fn a_remembered_key_takes_no_more_memory_than_stated() {
    const KEYS: usize = 20_000;
    const STATED_BYTES: usize = 500;
    let mut host = warm();
    host.take_callouts();
    let active = |key: usize| {
        format!(
            r#"{{"status":"active","key_id":"01a2080f-4035-758f-a00a-{key:012}","user_id":"01a2080c-8f10-72cd-994a-cc603b313238","scopes":["insight:read","feature_flag:write"],"expires_in_ms":null}}"#
        )
    };
    let before = host.memory_bytes();
    for batch in 0..KEYS / 250 {
        let keys: Vec<usize> = (0..250).map(|n| batch * 250 + n).collect();
        let requests: Vec<u32> = keys
            .iter()
            .map(|key| {
                host.get("/api/insights/", &[("authorization", format!("Bearer phx_{key}").as_bytes())])
            })
            .collect();
        host.turn();
        let callout = verify(&mut host);
        let answers: Vec<String> = keys.iter().map(|&key| active(key)).collect();
        host.answer(callout.id, "200", &verdicts(&answers.iter().map(String::as_str).collect::<Vec<_>>()));
        requests.into_iter().for_each(|request| host.end(request));
    }
    let request = host.get("/api/insights/", &[("authorization", b"Bearer phx_7")]);
    forwarded(host.outcome(request));
    let each = (host.memory_bytes() - before) / KEYS;
    println!("{each} bytes a key");
    assert!((100..=STATED_BYTES).contains(&each), "{each} bytes a key");
}
