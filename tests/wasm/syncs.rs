//! Syncs, leases, and the cache.

use crate::host::{Host, Outcome};
use crate::{ACTIVE, VALID, callouts, forwarded, start, sync, verdicts, warm};

/// Whether the next one has been sent by then or not.
#[test]
fn the_end_of_a_sync_that_was_given_up_is_not_an_answer() {
    for next_is_sent in [false, true] {
        let mut host = start();
        let callouts_of_a_request = |host: &mut Host| {
            host.get("/api/projects/", &[("authorization", VALID)]);
            host.turn();
            callouts(host)
        };
        let (verifies, syncs) = callouts_of_a_request(&mut host);
        host.fail(verifies[0].id);
        host.pass(200);
        let (verifies, _) = callouts_of_a_request(&mut host);
        host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE]));
        if next_is_sent {
            host.pass(200);
            host.tick();
            assert_eq!(callouts(&mut host).1.len(), 1, "the first one was given up");
        }
        let (verifies, _) = callouts_of_a_request(&mut host);
        host.fail(verifies[0].id);
        assert_eq!(host.take_log().len(), 3, "an outage, its end, and another one");
        host.answer(syncs[0].id, "200", &sync(1, r#""reset":true"#));
        assert_eq!(host.take_log(), [""; 0]);
        assert_eq!(host.metric("leases_held"), 0);
    }
}

#[test]
fn the_first_lookup_subscribes_and_the_lease_lets_the_memory_be_used() {
    let mut host = start();
    host.get("/decide/", &[]);
    host.turn();
    host.tick();
    assert_eq!(host.take_callouts(), [], "no lookup, no subscription");
    host.get("/api/projects/", &[("authorization", VALID)]);
    host.turn();
    let (verifies, syncs) = callouts(&mut host);
    assert!(syncs[0].body.contains(r#""epoch":null,"cursor":null,"wait_ms":0"#), "{}", syncs[0].body);
    assert_eq!(syncs[0].timeout_ms, 700);
    host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE]));
    let request = host.get("/api/projects/", &[("authorization", VALID)]);
    assert_eq!(host.outcome(request), Outcome::Held, "without a lease nothing is remembered");
    host.turn();
    host.answer(syncs[0].id, "200", &sync(1, r#""reset":true"#));
    let (verifies, syncs) = callouts(&mut host);
    assert!(syncs[0].body.contains(r#""epoch":"e1","cursor":1,"wait_ms":2000"#), "{}", syncs[0].body);
    assert_eq!(syncs[0].timeout_ms, 2_700);
    host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE]));

    host.pass(5_999);
    let request = host.get("/api/projects/", &[("authorization", VALID)]);
    forwarded(host.outcome(request));
    host.pass(1);
    let request = host.get("/api/projects/", &[("authorization", VALID)]);
    assert_eq!(host.outcome(request), Outcome::Held, "the lease has run out");
}

/// The host is asked for it when the filter is loaded, and not once more.
#[test]
fn every_sync_carries_the_node_of_the_envoy() {
    let mut host = warm();
    let node = r#""node":{"id":"edge-?1","cluster":"","version":"1.40.0"}}"#;
    for revision in [2, 3] {
        let (_, syncs) = callouts(&mut host);
        assert!(syncs[0].body.ends_with(node), "{}", syncs[0].body);
        let (calls, _) =
            host.cost(|host| host.answer(syncs[0].id, "200", &sync(revision, r#""changed":[]"#)));
        assert_eq!(calls.get("get_property"), None, "{calls:?}");
    }
}

#[test]
fn a_changed_key_is_removed_from_the_cache_and_the_next_sync_acknowledges_it() {
    let mut host = warm();
    let (_, syncs) = callouts(&mut host);
    let digest = protocol::KeyDigest::of_value("phx_1234567890abcdef").to_hex();
    host.answer(syncs[0].id, "200", &sync(2, &format!(r#""changed":["{digest}"]"#)));
    let (_, syncs) = callouts(&mut host);
    assert!(syncs[0].body.contains(r#""cursor":2"#), "at once: {}", syncs[0].body);
    let request = host.get("/api/projects/", &[("authorization", VALID)]);
    assert_eq!(host.outcome(request), Outcome::Held);
}

#[test]
fn a_failed_sync_is_tried_again_by_the_hosts_timer() {
    let mut host = warm();
    let (_, syncs) = callouts(&mut host);
    host.fail(syncs[0].id);
    for _ in 0..20 {
        assert!((1..=1_000).contains(&host.tick_ms()));
        let wait = u64::from(host.tick_ms());
        host.pass(wait);
        host.tick();
        for sync in callouts(&mut host).1 {
            host.fail(sync.id);
        }
    }
    assert!(host.take_log().iter().any(|line| line.contains("no answer in time")));
}
