//! Revoked everywhere when the delete returns: two Envoys with two workers each, under load.

use std::net::SocketAddr;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::stack::{Options, Stack};

use crate::account::Account;
use crate::client::{Connection, get, request};
use crate::cutoff::CutOff;
use crate::load::{Clients, Seen, Shared};

/// Terms short enough for a test: whoever cannot be reached is waited for 3.6 s, not 7.
const SHORT_TERMS: [(&str, &str); 2] = [("HOLD_MS", "300"), ("LEASE_MS", "2600")];
const SHORT_LEASE_AND_MARGIN: Duration = Duration::from_millis(3_600);

fn two_envoys(terms: &[(&str, &str)]) -> Stack {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let options = Options {
        envoys: 2,
        workers: 2,
        key_service_env: terms.iter().map(owned).collect(),
        ..Options::default()
    };
    Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"))
}

fn addresses(stack: &Stack) -> Vec<SocketAddr> {
    stack.envoys().iter().map(|envoy| envoy.address()).collect()
}

/// The sum of a counter over all Envoys.
fn counted(stack: &Stack, name: &str) -> u64 {
    let of = |envoy: &xtask::stack::Envoy| envoy.stats(name).unwrap().get(name).copied().unwrap_or_default();
    stack.envoys().iter().map(of).sum()
}

const QUESTIONS: &str = "cluster.key_service.upstream_rq_total";

/// Splits what was seen at a moment: how many 200s before, and what came to requests begun afterwards.
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
            load.go_on();
            let began = Instant::now();
            let revocation = delete(&account, &id);
            let returned = Instant::now();
            took.push(returned - began);
            if let Some(revocation) = revocation {
                assert_eq!(revocation["expired"], 0, "{revocation}");
            }
            load.go_on();
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
        stack.key_service().run(&["key", "revoke", id], "").unwrap_or_else(|error| panic!("{error:#}"));
        None
    });
}

/// Makes every worker of an Envoy know a key.
fn warm(address: SocketAddr, key: &str) {
    for _ in 0..40 {
        assert_eq!(get(address, "/api/insights/", key).status, 200);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_paused_envoy_delays_a_delete_by_its_lease_and_refuses_the_key_when_it_goes_on() {
    let stack = two_envoys(&SHORT_TERMS);
    let account = Account::demo(stack.key_service());
    let (id, value) = account.create_key("paused", &["insight:read"]);
    let [running, paused] = [0, 1].map(|at| stack.envoys()[at].address());
    warm(running, &value);
    warm(paused, &value);
    let mut waiting: Vec<Connection> = (0..8).map(|_| Connection::open(paused)).collect();
    let bytes = request("GET", "/api/insights/", &[("authorization", &format!("Bearer {value}"))], b"");
    for connection in &mut waiting {
        assert_eq!(connection.send(&bytes).receive().status, 200);
    }

    stack.envoys()[1].process().pause().unwrap();
    let began = Instant::now();
    let revocation = account.delete_key(&id).json()["revocation"].clone();
    let took = began.elapsed();
    assert!(took < SHORT_LEASE_AND_MARGIN + Duration::from_millis(700), "{took:?}");
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

/// Has an Envoy reach the key service through this address, in HTTP/1.1.
fn reroute(envoy: &xtask::stack::Envoy, from: SocketAddr, to: SocketAddr) {
    envoy.process().stop().unwrap();
    let rendered = std::fs::read_to_string(envoy.config()).unwrap();
    let place = |at: SocketAddr| format!("address: {}, port_value: {} }}", at.ip(), at.port());
    let (options, policy) =
        (rendered.find("http2_protocol_options:").unwrap(), rendered.find("circuit_breakers:").unwrap());
    let mut rerouted = rendered.clone();
    rerouted.replace_range(options..policy, "http_protocol_options: {}\n      ");
    let rerouted = rerouted.replace(&place(from), &place(to));
    assert_ne!(rerouted, rendered);
    std::fs::write(envoy.config(), rerouted).unwrap();
    envoy.process().start().unwrap();
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn an_envoy_whose_syncs_get_lost_delays_a_delete_by_its_lease_and_refuses_the_key() {
    let stack = two_envoys(&SHORT_TERMS);
    let account = Account::demo(stack.key_service());
    let edge: SocketAddr = stack.key_service().edge_url("").trim_start_matches("http://").parse().unwrap();
    let proxy = CutOff::before(edge);
    reroute(&stack.envoys()[1], edge, proxy.address);
    let (id, value) = account.create_key("cut off", &["insight:read"]);
    let cut_off = stack.envoys()[1].address();
    warm(stack.envoys()[0].address(), &value);
    warm(cut_off, &value);

    proxy.swallow_syncs();
    let began = Instant::now();
    let revocation = account.delete_key(&id).json()["revocation"].clone();
    let took = began.elapsed();
    assert!(took < SHORT_LEASE_AND_MARGIN + Duration::from_millis(700), "{took:?}");
    assert!(revocation["expired"].as_u64() > Some(0), "{revocation}");
    for _ in 0..20 {
        assert_eq!(get(cut_off, "/api/insights/", &value).status, 401);
        assert_eq!(get(cut_off, "/api/insights/", crate::DOCUMENTED).status, 200, "verify still works");
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_killed_service_is_survived_for_a_lease_and_its_restart_forgets_none() {
    let stack = two_envoys(&SHORT_TERMS);
    let account = Account::demo(stack.key_service());
    let (id, value) = account.create_key("killed", &["insight:read"]);
    let [first, second] = [0, 1].map(|at| stack.envoys()[at].address());
    let mut clients = Clients::connect(&[first, second], 4);
    let shared = Shared::default();
    let service = stack.key_service().process();
    let (seen, killed, back) = scope(|scope| {
        let load = clients.start(scope, &shared, &value);
        sleep(Duration::from_millis(500));
        service.kill().unwrap();
        let killed = Instant::now();
        sleep(Duration::from_millis(4_000));
        service.start().unwrap();
        let back = Instant::now();
        sleep(Duration::from_millis(1_500));
        (load.stop(), killed, back)
    });
    let statuses = |from: Instant, to: Duration| -> Vec<u16> {
        let within = seen.iter().filter(|seen| seen.begun >= from && seen.begun < from + to);
        within.map(|seen| seen.status).collect()
    };
    let is_all =
        |statuses: &[u16], status| !statuses.is_empty() && statuses.iter().all(|seen| *seen == status);
    // A lease of 2.6 s was renewed 0.4 s before at the latest.
    assert!(
        is_all(&statuses(killed, Duration::from_millis(2_000)), 200),
        "from memory while the lease is held"
    );
    assert!(is_all(&statuses(killed + Duration::from_millis(2_700), Duration::from_millis(1_200)), 503));
    assert!(
        is_all(&statuses(back + Duration::from_millis(1_000), Duration::from_millis(400)), 200),
        "without touching Envoy"
    );

    // Killed again, started again, and a delete at once while one Envoy is paused: its lease is not forgotten.
    warm(second, &value);
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
            load.go_on();
            let patched = admin.call("PATCH", &path, &json!({"permissions": ["cohort:read"]}));
            let returned = Instant::now();
            assert_eq!(patched.status, 200, "{}", patched.text());
            assert!(patched.json()["revocation"]["acknowledged"].as_u64() > Some(0), "{}", patched.text());
            load.go_on();
            (load.stop(), returned)
        });
        let (before, after) = around(&seen, returned);
        assert!(before > 0 && !after.is_empty());
        assert!(after.iter().all(|status| *status == 403), "let in after the permission was gone: {after:?}");
        assert_eq!(admin.call("PATCH", &path, &json!({"permissions": ["insight:read"]})).status, 200);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn an_idle_edge_keeps_its_lease_and_asks_no_key_twice() {
    let stack = two_envoys(&SHORT_TERMS);
    let address = stack.envoys()[0].address();
    warm(address, crate::DOCUMENTED);
    let told = |name: &str| {
        let name = format!("wasmcustom.edge_key_auth_{name}");
        stack.envoys()[0].stats(&name).unwrap().get(&name).copied().unwrap_or_default()
    };
    sleep(Duration::from_millis(1_500));
    let (lookups, lost) = (told("lookups"), told("leases_lost"));
    assert!(lookups > 0, "the key was asked about");
    for _ in 0..4 {
        sleep(Duration::from_millis(4_000));
        assert_eq!(get(address, "/api/insights/", crate::DOCUMENTED).status, 200);
    }
    sleep(Duration::from_millis(1_500));
    assert_eq!((told("lookups"), told("leases_lost")), (lookups, lost));
}
