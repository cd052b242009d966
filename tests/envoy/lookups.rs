//! How often the key service is asked.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use xtask::stack::Stack;

use crate::client::{Connection, get, request};
use crate::{DOCUMENTED, stack_with};

fn questions(stack: &Stack) -> u64 {
    let stats: BTreeMap<String, u64> =
        stack.envoys()[0].stats("cluster.key_service.upstream_rq_total").unwrap();
    stats["cluster.key_service.upstream_rq_total"]
}

/// Opens this many connections that all wait for the same unknown key.
fn waiting(stack: &Stack, count: usize) -> Vec<Connection> {
    let edge = stack.envoys()[0].address();
    let bytes = request("GET", "/api/projects/", &[("authorization", &format!("Bearer {DOCUMENTED}"))], b"");
    let mut connections: Vec<Connection> = (0..count).map(|_| Connection::open(edge)).collect();
    connections.iter_mut().for_each(|connection| {
        connection.send(&bytes);
    });
    let began = Instant::now();
    let active = "http.edge.downstream_rq_active";
    while stack.envoys()[0].stats(active).unwrap()[active] < count as u64 {
        assert!(began.elapsed() < Duration::from_secs(10), "not all requests arrived");
        thread::sleep(Duration::from_millis(20));
    }
    connections
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn concurrent_requests_with_a_new_key_ask_once_a_worker() {
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}}));
    stack.key_service().process().pause().unwrap();
    let mut connections = waiting(&stack, 200);
    stack.key_service().process().resume().unwrap();
    for connection in &mut connections {
        assert_eq!(connection.receive().status, 200);
    }
    let asked = questions(&stack);
    assert!((1..=2).contains(&asked), "{asked} questions by two workers");
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_client_that_disconnects_leaves_the_others_answered() {
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}}));
    stack.key_service().process().pause().unwrap();
    let mut connections = waiting(&stack, 40);
    // Whoever asked first is among these: they connected first.
    drop(connections.drain(..20));
    thread::sleep(Duration::from_millis(200));
    stack.key_service().process().resume().unwrap();
    for connection in &mut connections {
        assert_eq!(connection.receive().status, 200);
    }
    assert_eq!(get(stack.envoys()[0].address(), "/api/projects/", DOCUMENTED).status, 200);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn under_load_a_valid_key_is_always_accepted_and_no_key_never() {
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
