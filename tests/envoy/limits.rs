//! The limits of `envoy/envoy.yaml`: that they hold, and that the filter's decisions depend on none of them.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use test_stack::paths;
use test_stack::process::Process;
use test_stack::{Options, Stack};

use crate::client::{Connection, get, request, send};
use crate::{DOCUMENTED, stack, stack_with};

/// How long Envoy may take until a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn stack_changed(changes: &'static [(&'static str, &'static str)]) -> Stack {
    let options = Options { envoy_config: changes, ..Options::default() };
    Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Waits until `holds` does.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn stat(stack: &Stack, name: &str) -> u64 {
    stack.envoys()[0].stats(name).unwrap().get(name).copied().unwrap_or_default()
}

/// Waits until Envoy reads no more from its clients, and looks at something meanwhile; how many bytes it has read.
pub(crate) fn until_no_more_is_read(stack: &Stack, look: impl Fn()) -> u64 {
    let received = || stat(stack, "http.edge.downstream_cx_rx_bytes_total");
    let mut before = 0;
    wait_until("Envoy reads no more", || {
        for _ in 0..30 {
            thread::sleep(Duration::from_millis(10));
            look();
        }
        std::mem::replace(&mut before, received()) == before
    });
    before
}

/// `lookups.max_waiters` allows 10,000 of these per worker.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn envoy_holds_little_of_the_bodies_of_waiting_requests() {
    const WAITING: u64 = 100;
    const BODY: usize = 1_000_000;
    // Two limits of 32 KiB. Envoy checks each after a read of up to 16 KiB.
    const HELD_AT_MOST: u64 = 2 * (32 + 16) * 1024;
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}}));
    let edge = stack.envoys()[0].address();
    stack.key_service().process().pause().unwrap();
    let key = format!("Bearer {DOCUMENTED}");
    let bytes = request("POST", "/api/insights/", &[("authorization", &key)], &vec![b'x'; BODY]);
    let head = (bytes.len() - BODY) as u64;
    let clients: Vec<_> = (0..WAITING)
        .map(|_| {
            let bytes = bytes.clone();
            thread::spawn(move || Connection::open(edge).send(&bytes).receive().json()["body_bytes"].clone())
        })
        .collect();
    wait_until("all requests wait", || stat(&stack, "http.edge.downstream_rq_active") == WAITING);
    let received = until_no_more_is_read(&stack, || {});
    println!(
        "{} bytes of each waiting request were read, {head} of them before its body",
        received / WAITING
    );
    assert!(received <= WAITING * (head + HELD_AT_MOST), "{received} bytes of {WAITING} requests");
    stack.key_service().process().resume().unwrap();
    for client in clients {
        assert_eq!(client.join().unwrap(), BODY, "the rest follows the verdict");
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn past_the_heap_limit_requests_get_503_and_operators_an_answer() {
    let stack = stack_changed(&[("max_heap_size_bytes: 2147483648", "max_heap_size_bytes: 1000000")]);
    let refuses = "overload.envoy.overload_actions.stop_accepting_requests.active";
    wait_until("the limit is noticed", || stat(&stack, refuses) == 1);
    for path in ["/decide/", "/api/projects/"] {
        assert_eq!(get(stack.envoys()[0].address(), path, DOCUMENTED).status, 503);
    }
    assert_eq!(stack.echo().requests(), 0);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn past_the_connection_limit_connections_are_closed_and_operators_get_an_answer() {
    let stack = stack_changed(&[(
        "max_active_downstream_connections: 10000",
        "max_active_downstream_connections: 2",
    )]);
    let edge = stack.envoys()[0].address();
    let public = request("GET", "/decide/", &[], b"");
    let mut open = [Connection::open(edge), Connection::open(edge)];
    for connection in &mut open {
        assert_eq!(connection.send(&public).receive().status, 200);
    }
    assert!(Connection::open(edge).is_closed_unanswered(&public));
    assert_eq!(stat(&stack, "listener.admin.downstream_cx_overload_reject"), 0);
    drop(open);
    wait_until("closed connections make room", || !Connection::open(edge).is_closed_unanswered(&public));
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn header_names_with_underscores_are_refused_by_envoy() {
    let stack = stack();
    let edge = stack.envoys()[0].address();
    for path in ["/decide/", "/api/projects/"] {
        assert_eq!(send(edge, "GET", path, &[("x_anything", "1")], b"").status, 400, "{path}");
    }
    assert_eq!(stack.echo().requests(), 0);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn the_admin_interface_is_on_loopback_unless_compose_says_otherwise() {
    let stack = stack();
    let envoy = &stack.envoys()[0];
    let ready = envoy.admin_url("/ready");
    let port: u16 = ready.trim_end_matches("/ready").rsplit_once(':').unwrap().1.parse().unwrap();
    // A listener on 127.0.0.1 cannot be reached at the machine's other loopback addresses.
    let is_elsewhere = || TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).is_ok();
    assert!(!is_elsewhere());
    envoy.process().stop().unwrap();

    let compose = fs::read_to_string(paths::workspace().join("docker-compose.yml")).unwrap();
    let (_, after) = compose.split_once("- --config-yaml\n").expect("compose overrides the admin address");
    let overriding = after.lines().next().unwrap().trim().trim_start_matches("- ").trim_matches('"');
    let overriding = overriding.replace("9901", &port.to_string());
    let args = ["--config-path", envoy.config().to_str().unwrap(), "--config-yaml", &overriding];
    let log = envoy.config().with_extension("compose.log");
    let program = paths::tool(paths::ENVOY_VARIABLE).unwrap();
    let env = [("EDGE_TOKEN".to_owned(), stack.key_service().edge_token().to_owned())];
    let args = args.into_iter().chain(["--concurrency", "1", "--disable-hot-restart"]);
    let as_in_compose = Process::new("envoy as in compose", &program, args, &env, log, ready);
    as_in_compose.start().unwrap();
    assert!(is_elsewhere(), "compose could not publish it");
}
