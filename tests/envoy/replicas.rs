//! Three key services on one PostgreSQL behind one address, while they are killed and the database is restarted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_stack::postgres::Postgres;
use test_stack::{Options, Stack};

use crate::account::{Account, MANY_CHANGES};
use crate::client::get;
use crate::load::{Clients, Seen, Shared};

const ROUNDS: usize = 200;

/// How often a replica is killed, and how long it stays away.
const KILLED_EVERY: Duration = Duration::from_secs(3);
const AWAY: Duration = Duration::from_millis(800);

/// How long a client repeats its request while replicas and the database are restarted.
const PATIENCE: Duration = Duration::from_secs(60);

/// Repeats a request until the answer is not an error of the outage.
fn insist(account: &Account, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let began = Instant::now();
    loop {
        let response = account.call(method, path, body);
        if !matches!(response.status, 500..600) {
            let json = if response.body.is_empty() { Value::Null } else { response.json() };
            return (response.status, json);
        }
        assert!(began.elapsed() < PATIENCE, "{method} {path}: no answer in {PATIENCE:?}");
        sleep(Duration::from_millis(50));
    }
}

/// Creates a key. A lost answer leaves a key whose value is unknown; there can be ten of them.
fn create(account: &Account, round: usize) -> (String, String) {
    let keys = "/api/personal_api_keys/";
    let label = format!("round {round}");
    loop {
        let (status, key) =
            insist(account, "POST", keys, &json!({"label": label, "scopes": ["insight:read"]}));
        if status == 201 {
            return (key["id"].as_str().unwrap().to_owned(), key["value"].as_str().unwrap().to_owned());
        }
        assert_eq!(status, 400, "{key}");
        let (_, lost) = insist(account, "GET", keys, &Value::Null);
        let lost = lost["results"].as_array().or(lost.as_array()).unwrap().clone();
        for key in lost.iter().filter(|key| key["label"] == label.as_str()) {
            insist(account, "DELETE", &format!("{keys}{}/", key["id"].as_str().unwrap()), &Value::Null);
        }
    }
}

#[test]
#[ignore = "needs an Envoy and PostgreSQL: cargo xtask test"]
fn no_key_is_accepted_after_its_delete_while_replicas_are_killed_and_the_database_restarts() {
    // A server with durable commits, unlike those of other tests.
    let server = Postgres::start(&[]).unwrap_or_else(|error| panic!("{error:#}"));
    let options = Options {
        envoys: 2,
        workers: 2,
        server: Some(server.databases().clone()),
        replicated: true,
        key_service_env: vec![(MANY_CHANGES.0.to_owned(), MANY_CHANGES.1.to_owned())],
        ..Options::default()
    };
    let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let addresses: Vec<SocketAddr> = stack.envoys().iter().map(|envoy| envoy.address()).collect();
    let account = Account::demo(stack.key_service());
    let mut clients = Clients::connect(&addresses, 4);

    let (kills, restarts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (is_over, round_now) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut counts = Counts::default();
    scope(|scope| {
        scope.spawn(|| {
            let replicas = stack.key_service().replicas();
            let mut next = 0;
            while !is_over.load(Ordering::Relaxed) {
                sleep(KILLED_EVERY - AWAY);
                let killed = replicas[next % replicas.len()].kill();
                kills.fetch_add(usize::from(killed.is_ok()), Ordering::Relaxed);
                sleep(AWAY);
                // A service that starts without a database ends. Start it again.
                for replica in replicas {
                    let _ = replica.spawn();
                }
                next += 1;
            }
        });
        scope.spawn(|| {
            while round_now.load(Ordering::Relaxed) < ROUNDS / 2 && !is_over.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(10));
            }
            server.restart().unwrap_or_else(|error| panic!("{error:#}"));
            restarts.fetch_add(1, Ordering::Relaxed);
        });
        // End the other threads even if this one fails.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..ROUNDS {
                round_now.store(round, Ordering::Relaxed);
                one_round(&account, &addresses, &mut clients, round, &mut counts);
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let Counts { accepted, refused, unavailable, repeated, .. } = &counts;
    println!(
        "{ROUNDS} rounds, {kills:?} replicas killed, {restarts:?} restart of PostgreSQL: {accepted} accepted before, \
         {refused} refused and {unavailable} unavailable after; {repeated} deletes were repeated"
    );
    assert!(kills.into_inner() > 5 && restarts.into_inner() == 1);
    assert!(counts.accepted > 2 * ROUNDS, "too few requests were accepted before the deletes");

    // Every acknowledged change lasts: the deleted keys are gone, the kept ones work.
    for id in &counts.deleted {
        let path = format!("/api/personal_api_keys/{id}/");
        assert_eq!(insist(&account, "GET", &path, &Value::Null).0, 404, "{id} is back");
    }
    let (id, value) = create(&account, ROUNDS);
    let began = Instant::now();
    while addresses.iter().any(|address| get(*address, "/api/insights/", &value).status != 200) {
        assert!(began.elapsed() < PATIENCE, "the key {id} does not work everywhere");
    }
}

/// The numbers of responses, and the deleted keys.
#[derive(Default)]
struct Counts {
    accepted: usize,
    refused: usize,
    unavailable: usize,
    /// How often a DELETE had to be sent again.
    repeated: usize,
    deleted: Vec<String>,
}

/// Creates a key, uses it at every Envoy as fast as possible, and deletes it.
fn one_round(
    account: &Account,
    addresses: &[SocketAddr],
    clients: &mut Clients,
    round: usize,
    counts: &mut Counts,
) {
    let (id, value) = create(account, round);
    let shared = Shared::default();
    let (seen, returned) = scope(|scope| {
        let load = clients.start(scope, &shared, &value);
        load.await_responses();
        let path = format!("/api/personal_api_keys/{id}/");
        let (status, answer) = insist(account, "DELETE", &path, &Value::Null);
        let returned = Instant::now();
        // 404: the first DELETE was applied, and its answer was lost.
        assert!(matches!(status, 200 | 404), "{status} {answer}");
        counts.repeated += usize::from(status == 404);
        load.await_responses();
        (load.stop(), returned)
    });
    counts.deleted.push(id);
    let mut after = BTreeMap::<u16, usize>::new();
    for Seen { begun, status } in seen {
        if begun >= returned {
            *after.entry(status).or_default() += 1;
        } else {
            counts.accepted += usize::from(status == 200);
        }
    }
    counts.refused += after.get(&401).copied().unwrap_or_default();
    counts.unavailable += after.get(&503).copied().unwrap_or_default();
    let others: Vec<_> = after.keys().filter(|status| !matches!(status, 401 | 503)).collect();
    assert!(others.is_empty(), "round {round}: after the delete had returned: {after:?}");
    // The same on new connections.
    for address in addresses {
        let status = get(*address, "/api/insights/", &value).status;
        assert!(matches!(status, 401 | 503), "round {round}: {status}");
    }
}
