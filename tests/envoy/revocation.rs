//! Revoked everywhere when the delete returns: two Envoys with two workers each, under load.

use std::net::SocketAddr;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_stack::{Options, Stack};

use crate::account::{Account, MANY_CHANGES};
use crate::client::{Connection, get, request};
use crate::cutoff::{CutOff, reroute};
use crate::load::{Clients, Seen, Shared};
use crate::lookups::counter;

/// Lease settings short enough for a test: a change waits 3.6 s, not 7 s, for an edge that is cut off.
const SHORT_LEASE_SETTINGS: [(&str, &str); 2] = [("HOLD_MS", "300"), ("LEASE_MS", "2600")];
const SHORT_LEASE: Duration = Duration::from_millis(2_600);
const SHORT_LEASE_AND_MARGIN: Duration = Duration::from_millis(3_600);

/// How much later than that a busy machine may answer.
const BUSY: Duration = Duration::from_secs(3);

fn two_envoys(settings: &[(&str, &str)]) -> Stack {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let options = Options {
        envoys: 2,
        workers: 2,
        key_service_env: settings.iter().chain([&MANY_CHANGES]).map(owned).collect(),
        ..Options::default()
    };
    Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"))
}

fn addresses(stack: &Stack) -> Vec<SocketAddr> {
    stack.envoys().iter().map(|envoy| envoy.address()).collect()
}

/// The sum of a counter over all Envoys.
fn counted(stack: &Stack, name: &str) -> u64 {
    let of = |envoy: &test_stack::Envoy| envoy.stats(name).unwrap().get(name).copied().unwrap_or_default();
    stack.envoys().iter().map(of).sum()
}

const QUESTIONS: &str = "cluster.key_service.upstream_rq_total";

/// Splits the answers at a moment: the number of 200s before, and the statuses of requests begun afterwards.
fn around(seen: &[Seen], moment: Instant) -> (usize, Vec<u16>) {
    let before = seen.iter().filter(|seen| seen.begun < moment && seen.status == 200).count();
    let after = seen.iter().filter(|seen| seen.begun >= moment).map(|seen| seen.status).collect();
    (before, after)
}

/// Rounds of create, use at full speed everywhere, and delete. Prints how long the deletes took.
fn rounds(stack: &Stack, count: usize, delete: impl Fn(&Account, &str) -> Option<Value>) {
    let account = Account::demo(stack.key_service());
    let mut clients = Clients::connect(&addresses(stack), 8);
    let (mut accepted, mut refused, mut took) = (0, 0, Vec::new());
    let questions = counted(stack, QUESTIONS);
    for round in 0..count {
        let (id, value) = account.create_key("round", &["insight:read"]);
        let shared = Shared::default();
        let (seen, returned) = scope(|scope| {
            let load = clients.start(scope, &shared, &value);
            load.await_responses();
            let began = Instant::now();
            let revocation = delete(&account, &id);
            let returned = Instant::now();
            took.push(returned - began);
            if let Some(revocation) = revocation {
                assert_eq!(revocation["expired"], 0, "{revocation}");
            }
            load.await_responses();
            (load.stop(), returned)
        });
        let (before, after) = around(&seen, returned);
        assert!(before > 0 && !after.is_empty(), "round {round}: {before} before, {} after", after.len());
        assert!(
            after.iter().all(|status| *status == 401),
            "round {round}: accepted after the delete had returned"
        );
        accepted += before;
        refused += after.len();
    }
    let questions = counted(stack, QUESTIONS) - questions;
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{count} rounds: {accepted} accepted before, {refused} refused after, {questions} callouts; a delete took {:?} \
         (median), {:?} (p90), {:?} (p99), {:?} (longest)",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    assert!(
        accepted as u64 > 3 * questions,
        "answered from memory: {accepted} accepted, {questions} callouts"
    );
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn no_key_is_accepted_after_its_delete_has_returned() {
    let stack = two_envoys(&[]);
    rounds(&stack, 300, |account, id| Some(account.delete_key(id).json()["revocation"].clone()));
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn the_command_line_keeps_the_same_promise() {
    let stack = two_envoys(&[]);
    rounds(&stack, 300, |_, id| {
        stack.key_service().run(&["key", "delete", id], "").unwrap_or_else(|error| panic!("{error:#}"));
        None
    });
}

/// Makes every worker of an Envoy know a key.
fn warm(address: SocketAddr, key: &str) {
    for _ in 0..40 {
        assert_eq!(get(address, "/api/insights/", key).status, 200);
    }
}

/// Waits until so many edges hold a lease, for not much less than a lease lasts; for how long the first of these does by
/// the service's count, the margin not included.
fn until_leases_are_held(account: &Account, count: usize) -> Duration {
    let (began, margin_ms) = (Instant::now(), 1_000);
    loop {
        let answer = account.call("GET", "/api/edges/", &Value::Null).json();
        let edges = answer["edges"].as_array().unwrap();
        let left_ms = edges.iter().map(|edge| edge["lease_ends_in_ms"].as_u64().unwrap()).min();
        if let Some(left_ms) = left_ms.filter(|left_ms| edges.len() == count && *left_ms > 2_500) {
            return Duration::from_millis(left_ms - margin_ms);
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{answer}");
        sleep(Duration::from_millis(20));
    }
}

/// Two workers of each of two Envoys, which are all of one release.
fn edges_name_their_envoys(account: &Account) {
    let answer = account.call("GET", "/api/edges/", &Value::Null).json();
    let edges = answer["edges"].as_array().unwrap();
    let text = |edge: &Value, name: &str| edge[name].as_str().unwrap_or_default().to_owned();
    let mut nodes: Vec<_> = edges.iter().map(|edge| text(edge, "node")).collect();
    nodes.sort();
    assert!(nodes[0] == nodes[1] && nodes[1] != nodes[2] && nodes[2] == nodes[3], "{answer}");
    for edge in edges {
        assert_eq!(text(edge, "cluster"), "edge-key-auth", "{answer}");
        let version: Vec<_> = text(edge, "version").split('.').map(str::parse::<u32>).collect();
        assert!(matches!(version[..], [Ok(1), Ok(minor), Ok(_)] if minor >= 36), "{answer}");
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_paused_envoy_delays_a_delete_by_its_lease_and_refuses_the_key_when_it_goes_on() {
    let stack = two_envoys(&SHORT_LEASE_SETTINGS);
    let account = Account::demo(stack.key_service());
    let (id, value) = account.create_key("paused", &["insight:read"]);
    let [running, paused] = [0, 1].map(|at| stack.envoys()[at].address());
    warm(running, &value);
    warm(paused, &value);
    until_leases_are_held(&account, 4);
    edges_name_their_envoys(&account);
    let mut waiting: Vec<Connection> = (0..8).map(|_| Connection::open(paused)).collect();
    let bytes = request("GET", "/api/insights/", &[("authorization", &format!("Bearer {value}"))], b"");
    for connection in &mut waiting {
        assert_eq!(connection.send(&bytes).receive().status, 200);
    }

    stack.envoys()[1].process().pause().unwrap();
    let began = Instant::now();
    let revocation = account.delete_key(&id).json()["revocation"].clone();
    let took = began.elapsed();
    assert!(took < SHORT_LEASE_AND_MARGIN + BUSY, "{took:?}");
    assert!(
        revocation["expired"].as_u64() > Some(0) && revocation["acknowledged"].as_u64() > Some(0),
        "{revocation}"
    );
    assert_eq!(get(running, "/api/insights/", &value).status, 401);
    // They wait in the paused Envoy's sockets, and are the first that it serves.
    waiting.iter_mut().for_each(|connection| {
        connection.send(&bytes);
    });
    stack.envoys()[1].process().resume().unwrap();
    for connection in &mut waiting {
        assert_eq!(connection.receive().status, 401);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn an_envoy_whose_syncs_get_lost_delays_a_delete_by_its_lease_and_refuses_the_key() {
    let stack = two_envoys(&SHORT_LEASE_SETTINGS);
    let account = Account::demo(stack.key_service());
    let edge: SocketAddr = stack.key_service().edge_url("").trim_start_matches("http://").parse().unwrap();
    let proxy = CutOff::before(edge);
    reroute(&stack.envoys()[1], edge, proxy.address);
    let (id, value) = account.create_key("cut off", &["insight:read"]);
    let cut_off = stack.envoys()[1].address();
    warm(stack.envoys()[0].address(), &value);
    warm(cut_off, &value);
    until_leases_are_held(&account, 4);

    proxy.drop_syncs();
    let began = Instant::now();
    let revocation = account.delete_key(&id).json()["revocation"].clone();
    let took = began.elapsed();
    assert!(took < SHORT_LEASE_AND_MARGIN + BUSY, "{took:?}");
    assert!(revocation["expired"].as_u64() > Some(0), "{revocation}");
    for _ in 0..20 {
        assert_eq!(get(cut_off, "/api/insights/", &value).status, 401);
        assert_eq!(get(cut_off, "/api/insights/", crate::DOCUMENTED).status, 200, "verify still works");
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_killed_service_is_survived_for_a_lease() {
    let stack = two_envoys(&SHORT_LEASE_SETTINGS);
    let account = Account::demo(stack.key_service());
    let (_, value) = account.create_key("killed", &["insight:read"]);
    let mut clients = Clients::connect(&addresses(&stack), 4);
    let shared = Shared::default();
    let service = stack.key_service().process();
    let (seen, held, killed, started) = scope(|scope| {
        let load = clients.start(scope, &shared, &value);
        addresses(&stack).into_iter().for_each(|address| warm(address, &value));
        let held = Instant::now() + until_leases_are_held(&account, 4);
        service.kill().unwrap();
        let killed = Instant::now();
        load.until_all_see(503);
        sleep((killed + SHORT_LEASE).saturating_duration_since(Instant::now()));
        load.await_responses();
        let started = Instant::now();
        service.start().unwrap();
        load.until_all_see(200);
        (load.stop(), held, killed, started)
    });
    let refused = seen.iter().filter(|seen| seen.status == 503 && seen.begun >= killed);
    let first_refused = refused.map(|seen| seen.begun).min().unwrap();
    // An edge counts from when it sent the sync, which is a while before the service counts.
    assert!(first_refused + Duration::from_millis(1_200) > held, "from memory while the lease is held");
    let without: Vec<u16> = seen
        .iter()
        .filter(|seen| seen.begun >= killed + SHORT_LEASE && seen.begun < started)
        .map(|seen| seen.status)
        .collect();
    assert!(!without.is_empty() && without.iter().all(|status| *status == 503), "{without:?}");
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_restarted_service_knows_the_leases_from_before_it_was_killed() {
    // Longer than a restart takes.
    let stack = two_envoys(&[("HOLD_MS", "300"), ("LEASE_MS", "9000"), ("LEASE_MARGIN_MS", "1500")]);
    let account = Account::demo(stack.key_service());
    let (id, value) = account.create_key("killed", &["insight:read"]);
    let [first, second] = [0, 1].map(|at| stack.envoys()[at].address());
    warm(first, &value);
    warm(second, &value);
    until_leases_are_held(&account, 4);
    let service = stack.key_service().process();
    stack.envoys()[1].process().pause().unwrap();
    service.kill().unwrap();
    service.start().unwrap();
    let revocation = account.delete_key(&id).json()["revocation"].clone();
    assert!(revocation["expired"].as_u64() > Some(0), "{revocation}");
    let bytes = request("GET", "/api/insights/", &[("authorization", &format!("Bearer {value}"))], b"");
    let mut connection = Connection::open(second);
    connection.send(&bytes);
    stack.envoys()[1].process().resume().unwrap();
    assert_eq!(connection.receive().status, 401);
    assert_eq!(get(first, "/api/insights/", &value).status, 401);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn every_kind_of_change_is_in_force_when_it_returns() {
    let stack = two_envoys(&[]);
    let service = stack.key_service();
    let account = Account::demo(service);
    let (id, value) = account.create_key("changes", &["insight:read"]);
    let everywhere = |value: &str, status: u16, why: &str| {
        for address in addresses(&stack) {
            for _ in 0..10 {
                assert_eq!(get(address, "/api/insights/", value).status, status, "{why}");
            }
        }
    };
    let path = format!("/api/personal_api_keys/{id}/");
    let run = |args: &[&str]| service.run(args, "").unwrap_or_else(|error| panic!("{error:#}"));
    everywhere(&value, 200, "new");
    for (scopes, status) in [(["cohort:read"], 403), (["insight:write"], 200)] {
        let patched = account.call("PATCH", &path, &json!({"scopes": scopes}));
        assert_eq!(patched.status, 200, "{}", patched.text());
        assert!(patched.json()["revocation"]["acknowledged"].as_u64() > Some(0), "{}", patched.text());
        everywhere(&value, status, "re-scoped");
    }
    let rolled = account.call("POST", &format!("{path}roll/"), &json!({})).json();
    everywhere(&value, 401, "rolled away");
    let value = rolled["value"].as_str().unwrap().to_owned();
    everywhere(&value, 200, "the new value");
    run(&["user", "permissions", "demo@example.com", "cohort:read"]);
    everywhere(&value, 403, "a permission taken away");
    run(&["user", "permissions", "demo@example.com", "*"]);
    everywhere(&value, 200, "and given back");
    run(&["user", "disable", "demo@example.com"]);
    everywhere(&value, 401, "disabled");
    everywhere(crate::DOCUMENTED, 401, "all keys of a disabled user");
    run(&["user", "enable", "demo@example.com"]);
    everywhere(&value, 200, "enabled again");
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_permission_taken_away_turns_200_into_403_everywhere_when_the_patch_returns() {
    let stack = two_envoys(&[]);
    let admin = Account::demo(stack.key_service());
    let new = json!({"email": "member@example.com", "password": "member-password", "permissions": ["insight:read"]});
    let member = admin.call("POST", "/api/users/", &new).json();
    let path = format!("/api/users/{}/", member["id"].as_str().unwrap());
    let account = Account::sign_in(stack.key_service(), "member@example.com", "member-password");
    let (_, value) = account.create_key("inherits", &["*"]);
    let mut clients = Clients::connect(&addresses(&stack), 8);
    for _ in 0..20 {
        let shared = Shared::default();
        let (seen, returned) = scope(|scope| {
            let load = clients.start(scope, &shared, &value);
            load.await_responses();
            let patched = admin.call("PATCH", &path, &json!({"permissions": ["cohort:read"]}));
            let returned = Instant::now();
            assert_eq!(patched.status, 200, "{}", patched.text());
            assert!(patched.json()["revocation"]["acknowledged"].as_u64() > Some(0), "{}", patched.text());
            load.await_responses();
            (load.stop(), returned)
        });
        let (before, after) = around(&seen, returned);
        assert!(before > 0 && !after.is_empty());
        assert!(after.iter().all(|status| *status == 403), "accepted without the permission: {after:?}");
        assert_eq!(admin.call("PATCH", &path, &json!({"permissions": ["insight:read"]})).status, 200);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn an_idle_edge_keeps_its_lease_and_asks_no_key_twice() {
    let stack = two_envoys(&[]);
    let account = Account::demo(stack.key_service());
    let address = stack.envoys()[0].address();
    warm(address, crate::DOCUMENTED);
    until_leases_are_held(&account, 2);
    warm(address, crate::DOCUMENTED);
    let envoy = &stack.envoys()[0];
    let (lookups, lost) = (counter(envoy, "lookups"), counter(envoy, "leases_lost"));
    assert!(lookups > 0, "no lookup was counted");
    for _ in 0..4 {
        sleep(Duration::from_millis(4_000));
        assert_eq!(get(address, "/api/insights/", crate::DOCUMENTED).status, 200);
    }
    assert_eq!((counter(envoy, "lookups"), counter(envoy, "leases_lost")), (lookups, lost));
}
