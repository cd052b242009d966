//! Several configurations in one VM, and requests whose clients leave.

use crate::host::{Host, Outcome, Setup};
use crate::{
    ACTIVE, CONFIGURATION, VALID, callouts, forwarded, start, status, sync, values, verdicts, verify,
};

/// A table in which other routes are public than in the documented one.
const OTHER: &str = r#"{"key_service":{"cluster":"other"},"identity_headers":{"user_id":"x-user"},"routes":[
    {"path":"/open/","public":true},{"path":"/decide/","scope":"decision"}]}"#;

const KEY: [(&str, &[u8]); 1] = [("authorization", VALID)];

/// Both modules: the finished one and the one that the build's last step has not seen.
fn hosts() -> [Host; 2] {
    [Setup::default().module, test_stack::paths::unfinished_wasm()]
        .map(|module| Host::start_as(&Setup { module, ..Setup::default() }, CONFIGURATION).unwrap())
}

fn head(path: &str) -> [(&str, &[u8]); 4] {
    [(":method", b"GET"), (":path", path.as_bytes()), (":authority", b"a"), ("authorization", VALID)]
}

#[test]
fn each_request_is_judged_by_the_configuration_of_its_listener() {
    for mut host in hosts() {
        let other = host.configure(OTHER);
        for (path, first, second) in [("/decide/", true, false), ("/open/", false, true)] {
            for _ in 0..2 {
                let requests = [host.get(path, &[]), host.get_at(other, path, &[])];
                for (request, passes) in requests.into_iter().zip([first, second]) {
                    match host.outcome(request) {
                        Outcome::Forwarded(_) => assert!(passes, "{path}"),
                        outcome => assert!(!passes && status(outcome).0 == 401, "{path}"),
                    }
                    host.end(request);
                }
            }
        }
    }
}

#[test]
fn contexts_may_be_created_long_before_their_headers_arrive_or_end_without_headers() {
    for mut host in hosts() {
        let other = host.configure(OTHER);
        let roots = [1, other, other, 1, other, 1];
        let requests = roots.map(|root| host.create_request(root));
        for without_headers in [requests[2], requests[5]] {
            host.end(without_headers);
        }
        for at in [3, 0, 4, 1] {
            host.deliver(requests[at], "192.0.2.1:1", &head("/open/")[..3], true);
            match host.outcome(requests[at]) {
                Outcome::Forwarded(_) => assert_eq!(roots[at], other),
                outcome => assert_eq!((status(outcome).0, roots[at]), (401, 1)),
            }
        }
    }
}

#[test]
fn each_configuration_has_keys_and_callouts_of_its_own() {
    for mut host in hosts() {
        let other = host.configure(OTHER);
        let first = host.get("/api/projects/", &KEY);
        let second = host.get_at(other, "/decide/", &KEY);
        host.turn();
        let (verifies, _) = callouts(&mut host);
        let of = |cluster: &str| verifies.iter().find(|callout| callout.cluster == cluster).unwrap().id;
        host.answer(of("other"), "200", &verdicts(&[ACTIVE]));
        assert_eq!(host.outcome(first), Outcome::Held);
        assert_eq!(values(&forwarded(host.outcome(second)), "x-user"), ["u1"]);
        host.answer(of("key_service"), "200", &verdicts(&[r#"{"status":"inactive"}"#]));
        assert_eq!(status(host.outcome(first)), (401, "key_invalid".into()));
    }
}

#[test]
fn an_update_changes_new_requests_and_those_that_wait_keep_their_configuration() {
    for mut host in hosts() {
        let waiting = host.get("/api/projects/", &KEY);
        host.turn();
        let callout = verify(&mut host);
        let updated = host.configure(OTHER);
        let new = host.get_at(updated, "/open/", &[]);
        forwarded(host.outcome(new));
        host.answer(callout.id, "200", &verdicts(&[ACTIVE]));
        assert_eq!(values(&forwarded(host.outcome(waiting)), "x-auth-user-id"), ["u1"]);
        host.end(waiting);
        host.delete_root(1);
        let held = host.get_at(updated, "/decide/", &KEY);
        host.turn();
        let (verifies, syncs) = callouts(&mut host);
        host.answer(syncs.last().unwrap().id, "200", &sync(1, r#""reset":true"#));
        host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE]));
        assert_eq!(values(&forwarded(host.outcome(held)), "x-user"), ["u1"]);
        host.end(new);
        host.end(held);
        host.delete_root(updated);
        let again = host.configure(CONFIGURATION);
        let request = host.get_at(again, "/decide/", &[]);
        forwarded(host.outcome(request));
    }
}

/// An answer must not resume a request that is gone, and nothing of it may stay.
#[test]
fn a_hundred_thousand_clients_that_leave_while_they_wait_leave_nothing_behind() {
    const ROUNDS: usize = 100;
    const CLIENTS: usize = 1_000;
    let mut host = start();
    let mut memory = Vec::new();
    for round in 0..ROUNDS {
        let keys: Vec<Vec<u8>> =
            (0..CLIENTS).map(|n| format!("Bearer phx_{round}_{n}").into_bytes()).collect();
        let requests: Vec<u32> =
            keys.iter().map(|key| host.get("/api/projects/", &[("authorization", key)])).collect();
        let (at_once, later) = requests.split_at(CLIENTS / 2);
        at_once.iter().for_each(|request| host.end(*request));
        host.turn();
        let (verifies, _) = callouts(&mut host);
        later.iter().for_each(|request| host.end(*request));
        for callout in verifies {
            host.fail(callout.id);
        }
        memory.push(host.memory_bytes());
    }
    assert_eq!(memory[ROUNDS / 10], memory[ROUNDS - 1], "{memory:?}");
    host.pass(1_000);
    host.tick();
    assert_eq!((host.metric("lookups_waiting"), host.metric("cache_misses")), (0, (ROUNDS * CLIENTS) as i64));
    let request = host.get("/api/projects/", &KEY);
    host.turn();
    let (verifies, _) = callouts(&mut host);
    host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE]));
    forwarded(host.outcome(request));
}
