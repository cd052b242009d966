//! How many lookups the filter sends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use test_stack::{Envoy, Stack};

use crate::account::Account;
use crate::client::{Connection, get, request};
use crate::{DOCUMENTED, stack_with};

/// The number of lookups so far.
fn lookups(stack: &Stack) -> u64 {
    counter(&stack.envoys()[0], "lookups")
}

/// A counter of the filter. Each VM reports it once a second, or later on a busy machine. So this waits until the value stays
/// the same for 1.5 s.
pub(crate) fn counter(envoy: &Envoy, name: &str) -> u64 {
    let name = format!("wasmcustom.edge_key_auth_{name}");
    let read = || envoy.stats(&name).unwrap().get(&name).copied().unwrap_or_default();
    let mut before = read();
    loop {
        thread::sleep(Duration::from_millis(1_500));
        let now = read();
        if now == before {
            return now;
        }
        before = now;
    }
}

/// Opens this many connections that all wait for the same unknown key.
fn waiting(stack: &Stack, count: usize, key: &str) -> Vec<Connection> {
    let edge = stack.envoys()[0].address();
    let bytes = request("GET", "/api/projects/", &[("authorization", &format!("Bearer {key}"))], b"");
    let mut connections: Vec<Connection> = (0..count).map(|_| Connection::open(edge)).collect();
    connections.iter_mut().for_each(|connection| {
        connection.send(&bytes);
    });
    await_active(stack, count as u64);
    connections
}

/// Waits until an Envoy has this number of unanswered requests.
pub(crate) fn await_active(stack: &Stack, count: u64) {
    let began = Instant::now();
    let active = "http.edge.downstream_rq_active";
    while stack.envoys()[0].stats(active).unwrap()[active] < count {
        assert!(began.elapsed() < Duration::from_secs(20), "not {count} requests");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn concurrent_requests_with_a_new_key_share_lookups() {
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}}));
    stack.key_service().process().pause().unwrap();
    let mut connections = waiting(&stack, 200, DOCUMENTED);
    stack.key_service().process().resume().unwrap();
    for connection in &mut connections {
        assert_eq!(connection.receive().status, 200);
    }
    let lookups = lookups(&stack);
    assert!((1..=4).contains(&lookups), "{lookups} lookups by two workers, cold: at most two each");
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_client_that_disconnects_leaves_the_others_answered() {
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}}));
    stack.key_service().process().pause().unwrap();
    let mut connections = waiting(&stack, 40, DOCUMENTED);
    // The client whose request caused the lookup is among these, because they connected first.
    drop(connections.drain(..20));
    let (began, active) = (Instant::now(), "http.edge.downstream_rq_active");
    while stack.envoys()[0].stats(active).unwrap()[active] > 20 {
        assert!(began.elapsed() < Duration::from_secs(20), "Envoy does not notice that clients have gone");
        thread::sleep(Duration::from_millis(20));
    }
    stack.key_service().process().resume().unwrap();
    for connection in &mut connections {
        assert_eq!(connection.receive().status, 200);
    }
    assert_eq!(get(stack.envoys()[0].address(), "/api/projects/", DOCUMENTED).status, 200);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn under_load_a_valid_key_is_always_accepted_and_a_missing_key_always_refused() {
    let stack = stack_with(json!({}));
    let edge = stack.envoys()[0].address();
    let key = format!("Bearer {DOCUMENTED}");
    for (headers, expected) in [(&[("authorization", key.as_str())][..], 200), (&[][..], 401)] {
        let bytes = request("GET", "/api/projects/", headers, b"");
        let served: usize = thread::scope(|scope| {
            let clients: Vec<_> = (0..50)
                .map(|_| {
                    scope.spawn(|| {
                        let mut connection = Connection::open(edge);
                        (0..100).filter(|_| connection.send(&bytes).receive().status == expected).count()
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        assert_eq!(served, 50 * 100, "answers of status {expected}");
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn with_a_lease_a_thousand_requests_with_a_new_key_cause_one_lookup_a_worker() {
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}}));
    let edge = stack.envoys()[0].address();
    for _ in 0..40 {
        assert_eq!(get(edge, "/api/projects/", DOCUMENTED).status, 200);
    }
    let before = lookups(&stack);
    let account = Account::demo(stack.key_service());
    let (_, value) = account.create_key("herd", &["*"]);
    let mut connections = waiting_together(&stack, 1_000, &value);
    for connection in &mut connections {
        assert_eq!(connection.receive().status, 200);
    }
    let lookups = lookups(&stack) - before;
    assert!((1..=2).contains(&lookups), "{lookups} lookups by two workers that hold leases");
}

/// This number of connections that send their requests at almost the same time.
fn waiting_together(stack: &Stack, count: usize, key: &str) -> Vec<Connection> {
    let edge = stack.envoys()[0].address();
    let bytes = request("GET", "/api/projects/", &[("authorization", &format!("Bearer {key}"))], b"");
    let (but_last, last) = bytes.split_at(bytes.len() - 1);
    let mut connections: Vec<Connection> = (0..count).map(|_| Connection::open(edge)).collect();
    for part in [but_last, last] {
        connections.iter_mut().for_each(|connection| {
            connection.send(part);
        });
    }
    connections
}

/// A flood of wrong keys, half of them of a shape that must be looked up, beside valid ones.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_flood_of_wrong_keys_neither_evicts_nor_starves_the_right_ones() {
    const FLOODERS: usize = 8;
    /// More wrong keys than the caches of both workers hold.
    const FLOOD: u64 = 5_000;
    let stack = stack_with(json!({"cache": {"max_inactive": 1_000}, "lookups": {"max_digests": 200}}));
    let edge = stack.envoys()[0].address();
    let account = Account::demo(stack.key_service());
    let valid: Vec<String> = (0..8).map(|_| account.create_key("valid", &["insight:read"]).1).collect();
    let use_all = || {
        for key in &valid {
            assert_eq!(get(edge, "/api/insights/", key).status, 200);
        }
    };
    (0..20).for_each(|_| use_all());
    let (stop, sent_by_all) = (AtomicBool::new(false), AtomicU64::new(0));
    let (unavailable, slowest) = thread::scope(|scope| {
        let flooders: Vec<_> = (0..FLOODERS)
            .map(|flooder| {
                let (stop, sent_by_all) = (&stop, &sent_by_all);
                scope.spawn(move || {
                    let mut connection = Connection::open(edge);
                    let (mut sent, mut unavailable) = (0_u64, 0_u64);
                    while !stop.load(Ordering::Relaxed) {
                        sent += 1;
                        let key = match sent % 2 {
                            0 => format!("phx_wrong_{flooder}_{sent}"),
                            _ => format!("phx_{flooder:010}{sent:040}"),
                        };
                        let header = format!("Bearer {key}");
                        let bytes = request("GET", "/api/insights/", &[("authorization", &header)], b"");
                        match connection.send(&bytes).receive().status {
                            401 => {}
                            503 => unavailable += 1,
                            other => panic!("{other} for a wrong key"),
                        }
                        sent_by_all.fetch_add(1, Ordering::Relaxed);
                    }
                    unavailable
                })
            })
            .collect();
        let mut slowest = Duration::ZERO;
        while sent_by_all.load(Ordering::Relaxed) <= FLOOD {
            assert!(flooders.iter().all(|flooder| !flooder.is_finished()), "a flooder has failed");
            let round = Instant::now();
            use_all();
            slowest = slowest.max(round.elapsed() / valid.len() as u32);
        }
        stop.store(true, Ordering::Relaxed);
        (flooders.into_iter().map(|flooder| flooder.join().unwrap()).sum::<u64>(), slowest)
    });
    let envoy = &stack.envoys()[0];
    let (active, inactive) = (counter(envoy, "cache_active"), counter(envoy, "cache_inactive"));
    println!(
        "{} wrong keys, {unavailable} of them 503; {active} active and {inactive} inactive kept; slowest valid {slowest:?}",
        sent_by_all.into_inner()
    );
    assert!(inactive <= 2 * 1_000, "{inactive} inactive verdicts: more than both caches may hold");
    assert!(
        active as usize >= valid.len() && active as usize <= 2 * (valid.len() + 1),
        "{active} active verdicts: valid keys were evicted or invalid ones counted"
    );
}
