//! One address floods an Envoy with invented keys, and others have good ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::ApiKey;
use serde_json::{Value, json};
use test_stack::{Options, Stack};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::account::Account;
use crate::client::{Connection, request};
use crate::delay::delayed;
use crate::lookups::await_active;
use crate::{DOCUMENTED, INSIGHTS_ONLY, reconfigure};

/// Addresses before a trusted proxy.
const FLOODER: &str = "203.0.113.1";
const GOOD: &str = "203.0.113.2";

/// One worker.
fn stack_with(filter: Value) -> Stack {
    let options = Options { workers: 1, filter, ..Options::default() };
    Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"))
}

/// One proxy in front is trusted.
const TRUSTED_HOP: (&str, &str) =
    ("use_remote_address: true", "use_remote_address: true\n                xff_num_trusted_hops: 1");

/// An invented key of either shape: a checksum is not secret.
fn invented(number: u64) -> String {
    match number % 2 {
        0 => format!("phx_invented_{number}"),
        _ => {
            let mut entropy = [7; 32];
            entropy[..8].copy_from_slice(&number.to_le_bytes());
            ApiKey::from_entropy(entropy).reveal().to_owned()
        }
    }
}

fn with_key(key: &str, forwarded_for: &str) -> Vec<u8> {
    let key = format!("Bearer {key}");
    request("GET", "/api/insights/", &[("authorization", &key), ("x-forwarded-for", forwarded_for)], b"")
}

/// Sends a request and waits until the Envoy has this number of unanswered requests.
fn wait_with(stack: &Stack, key: &str, forwarded_for: &str, active: u64) -> Connection {
    let mut connection = Connection::open(stack.envoys()[0].address());
    connection.send(&with_key(key, forwarded_for));
    await_active(stack, active);
    connection
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn when_lookups_are_full_the_address_with_most_of_them_gives_way() {
    const WAITERS: u64 = 12;
    let lookups = json!({"max_waiters": WAITERS, "max_digests": 4});
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}, "lookups": lookups}));
    reconfigure(&stack.envoys()[0], &[TRUSTED_HOP]);
    let service = stack.key_service().process();
    service.pause().unwrap();
    let mut flood: Vec<Connection> =
        (0..WAITERS).map(|n| wait_with(&stack, &invented(n), FLOODER, n + 1)).collect();
    let mut one_more = Connection::open(stack.envoys()[0].address());
    assert_eq!(one_more.send(&with_key("phx_more", FLOODER)).receive().status, 503, "it is of that address");

    // Each good request makes the newest invented one give way.
    let mut good = Vec::new();
    for key in [DOCUMENTED, INSIGHTS_ONLY, DOCUMENTED, INSIGHTS_ONLY] {
        let mut connection = Connection::open(stack.envoys()[0].address());
        connection.send(&with_key(key, GOOD));
        good.push(connection);
        let refused = flood.pop().unwrap().receive();
        assert_eq!(refused.status, 503);
        assert_eq!(refused.header("retry-after"), ["1"]);
    }
    service.resume().unwrap();
    for connection in &mut good {
        assert_eq!(connection.receive().status, 200);
    }
    for connection in &mut flood {
        assert_eq!(connection.receive().status, 401);
    }
}

/// `X-Forwarded-For` counts only if a proxy in front is trusted.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn without_trusted_hops_all_requests_of_a_peer_are_of_one_address() {
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}, "lookups": {"max_waiters": 3}}));
    stack.key_service().process().pause().unwrap();
    let _waiting: Vec<Connection> = (0..3).map(|n| wait_with(&stack, &invented(n), FLOODER, n + 1)).collect();
    let mut another = Connection::open(stack.envoys()[0].address());
    assert_eq!(another.send(&with_key(DOCUMENTED, GOOD)).receive().status, 503);
    stack.key_service().process().resume().unwrap();
}

/// With `use_remote_address: false`, Envoy takes the last address of `X-Forwarded-For` for the peer's.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn where_the_peers_address_is_not_used_the_last_forwarded_one_counts() {
    let stack = stack_with(json!({"key_service": {"timeout_ms": 20_000}, "lookups": {"max_waiters": 3}}));
    reconfigure(&stack.envoys()[0], &[("use_remote_address: true", "use_remote_address: false")]);
    stack.key_service().process().pause().unwrap();
    let mut flood: Vec<Connection> =
        (0..3).map(|n| wait_with(&stack, &invented(n), &format!("{GOOD}, {FLOODER}"), n + 1)).collect();
    let mut good = Connection::open(stack.envoys()[0].address());
    good.send(&with_key(DOCUMENTED, &format!("{FLOODER}, {GOOD}")));
    assert_eq!(flood.pop().unwrap().receive().status, 503);
    stack.key_service().process().resume().unwrap();
    assert_eq!(good.receive().status, 200);
}

/// A connection whose requests are sent one after the other.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(edge: SocketAddr) -> Self {
        Client(BufReader::new(TcpStream::connect(edge).await.unwrap()))
    }

    /// Sends a request; returns the status of the answer.
    async fn send(&mut self, request: &[u8]) -> u16 {
        self.0.get_mut().write_all(request).await.unwrap();
        let (mut status, mut length, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "the connection ended");
            let trimmed = line.trim_end();
            if trimmed.is_empty() {
                break;
            }
            status = status.or_else(|| trimmed.split(' ').nth(1)?.parse().ok());
            if let Some(value) = trimmed.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        self.0.read_exact(&mut vec![0; length]).await.unwrap();
        status.unwrap()
    }
}

/// How long each good request took; none may be refused.
async fn use_good_keys(edge: SocketAddr, keys: &[String], lasts: Duration) -> Vec<Duration> {
    let until = Instant::now() + lasts;
    let clients: Vec<_> = keys
        .iter()
        .map(|key| {
            let bytes = with_key(key, GOOD);
            tokio::spawn(async move {
                let mut client = Client::connect(edge).await;
                let mut took = Vec::new();
                while Instant::now() < until {
                    let began = Instant::now();
                    assert_eq!(client.send(&bytes).await, 200, "for a good key");
                    took.push(began.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await.unwrap());
    }
    took.sort_unstable();
    took
}

/// A measurement: `cargo xtask test --test envoy -- measure_a_flood --nocapture`.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn measure_a_flood_of_invented_keys_from_one_address() {
    const PER_SECOND: usize = 5_000;
    const CONNECTIONS: u64 = 2_500;
    const SERVICE_TAKES: Duration = Duration::from_millis(900);
    let stack = stack_with(json!({
        "key_service": {"timeout_ms": 10_000},
        // Every request with a good key causes a lookup.
        "cache": {"active_ttl_ms": 0},
        "lookups": {"max_digests": 500, "max_waiters": 2_000},
    }));
    let account = Account::demo(stack.key_service());
    let keys: Vec<String> = (0..8).map(|_| account.create_key("good", &["insight:read"]).1).collect();
    let service: SocketAddr = stack.key_service().edge_url("").trim_start_matches("http://").parse().unwrap();
    let slow = delayed(service, SERVICE_TAKES);
    let port = |address: SocketAddr| format!("address: 127.0.0.1, port_value: {} }}", address.port());
    reconfigure(&stack.envoys()[0], &[TRUSTED_HOP, (&port(service), &port(slow))]);
    let edge = stack.envoys()[0].address();

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        use_good_keys(edge, &keys, Duration::from_secs(4)).await; // connections, and a lease
        let quiet = use_good_keys(edge, &keys, Duration::from_secs(10)).await;

        let (permits, stop) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicBool::new(false)));
        let counts: Arc<[AtomicU64; 3]> = Arc::default();
        let flood: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                let (permits, counts) = (Arc::clone(&permits), Arc::clone(&counts));
                tokio::spawn(async move {
                    let mut client = Client::connect(edge).await;
                    for n in 0.. {
                        let Ok(permit) = permits.acquire().await else { break };
                        permit.forget();
                        counts[0].fetch_add(1, Ordering::Relaxed);
                        let key = invented(n * CONNECTIONS + connection);
                        match client.send(&with_key(&key, FLOODER)).await {
                            401 => counts[1].fetch_add(1, Ordering::Relaxed),
                            503 => counts[2].fetch_add(1, Ordering::Relaxed),
                            other => panic!("{other} for an invented key"),
                        };
                    }
                })
            })
            .collect();
        let pace = tokio::spawn({
            let (permits, stop) = (Arc::clone(&permits), Arc::clone(&stop));
            async move {
                let mut ticks = tokio::time::interval(Duration::from_millis(10));
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    if permits.available_permits() < PER_SECOND {
                        permits.add_permits(PER_SECOND / 100);
                    }
                }
            }
        });
        // Until the flood has all that it can have.
        tokio::time::timeout(Duration::from_secs(60), async {
            while counts[2].load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("the flood fills the lookups");
        let now = || [0, 1, 2].map(|n| counts[n].load(Ordering::Relaxed));
        let (began, before) = (Instant::now(), now());
        let flooded = use_good_keys(edge, &keys, Duration::from_secs(20)).await;
        let (took, after) = (began.elapsed(), now());
        let [sent, wrong, refused] = [0, 1, 2].map(|n| after[n] - before[n]);
        let rate = sent as f64 / took.as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        permits.close();
        pace.await.unwrap();
        for client in flood {
            client.await.expect("a client of the flood");
        }

        let p99 = |took: &[Duration]| took[took.len() * 99 / 100];
        println!(
            "flood: {rate:.0} invented keys a second of {PER_SECOND} that were to be sent, {wrong} answers 401 and {refused} 503; \
             good keys: all of {} requests 200, p50 {:?}, p99 {:?}; without flood, all of {} requests: p50 {:?}, p99 {:?}",
            flooded.len(),
            flooded[flooded.len() / 2],
            p99(&flooded),
            quiet.len(),
            quiet[quiet.len() / 2],
            p99(&quiet),
        );
        assert!(refused > wrong, "{refused} of the flood were refused: the lookups were not full");
        assert!(p99(&flooded) <= 2 * p99(&quiet));
    });
}
