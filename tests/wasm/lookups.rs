//! Lookups: requests share them, and they may fail or give way.

use crate::host::{Host, Outcome};
use crate::{ACTIVE, VALID, callouts, forwarded, start, status, values, verdicts, verify};

#[test]
fn an_unknown_key_is_asked_about_once_and_its_request_goes_on_with_identity() {
    let mut host = start();
    let request = host.get("/api/projects/", &[("authorization", VALID)]);
    assert_eq!(host.outcome(request), Outcome::Held);
    assert_eq!(host.take_callouts(), [], "not before the root context has its turn");
    host.turn();
    let callout = verify(&mut host);
    assert_eq!((callout.cluster.as_str(), callout.timeout_ms), ("key_service", 700));
    let header = |name: &str| {
        let found = callout.headers.iter().find(|(header, _)| header == name).unwrap();
        String::from_utf8(found.1.clone()).unwrap()
    };
    assert_eq!(header(":method"), "POST");
    assert_eq!(header(":path"), "/edge/v1/verify");
    assert_eq!(header(":authority"), "key_service");
    assert_eq!(header("authorization"), "Bearer edge-token-of-the-tests");
    let digest = protocol::KeyDigest::of_value("phx_1234567890abcdef").to_hex();
    assert!(callout.body.contains(&format!(r#""digests":["{digest}"]"#)), "{}", callout.body);
    assert!(!callout.body.contains("phx_"), "the key itself is never sent");

    host.answer(callout.id, "200", &verdicts(&[ACTIVE]));
    let headers = forwarded(host.outcome(request));
    assert_eq!(values(&headers, "x-auth-user-id"), ["u1"]);
    assert_eq!(values(&headers, "x-auth-key-id"), ["k1"]);
    assert_eq!(values(&headers, "x-auth-scopes"), ["*"]);
    assert_eq!(values(&headers, "authorization"), ["Bearer phx_1234567890abcdef"]);
}

#[test]
fn concurrent_requests_share_a_callout_and_one_may_leave() {
    let mut host = start();
    let requests: Vec<u32> =
        (0..200).map(|_| host.get("/api/projects/", &[("authorization", VALID)])).collect();
    let other = host.get("/api/projects/", &[("authorization", b"Bearer phx_other")]);
    host.turn();
    host.turn();
    let (verifies, syncs) = callouts(&mut host);
    assert_eq!((verifies.len(), syncs.len()), (1, 1), "both keys in one callout");
    host.end(requests[0]);
    host.end(requests[77]);
    host.answer(verifies[0].id, "200", &verdicts(&[ACTIVE, r#"{"status":"inactive"}"#]));
    for request in requests.into_iter().filter(|request| ![2, 79].contains(request)) {
        assert_eq!(values(&forwarded(host.outcome(request)), "x-auth-user-id"), ["u1"]);
    }
    assert_eq!(status(host.outcome(other)), (401, "key_invalid".into()));
}

#[test]
fn no_answer_of_any_kind_is_503_and_the_next_request_asks_again() {
    let good = verdicts(&[ACTIVE]);
    let answers =
        [None, Some(("503", "upstream connect error")), Some(("200", "{")), Some(("401", good.as_str()))];
    let mut host = start();
    for answer in answers {
        let request = host.get("/api/projects/", &[("authorization", VALID)]);
        host.turn();
        let callout = verify(&mut host);
        match answer {
            None => host.fail(callout.id),
            Some((status, body)) => host.answer(callout.id, status, body),
        }
        assert_eq!(status(host.outcome(request)), (503, "key_service_unavailable".into()));
    }
    assert_eq!(host.take_log().len(), 1, "an outage is logged once");
    let request = host.get("/api/projects/", &[("authorization", VALID)]);
    host.turn();
    let callout = verify(&mut host);
    host.answer(callout.id, "200", &verdicts(&[ACTIVE]));
    forwarded(host.outcome(request));
    assert_eq!(host.take_log(), ["cluster key_service: the key service answers again"]);
}

#[test]
fn an_unknown_cluster_is_503_at_once() {
    let mut host = start();
    host.limit_clusters(&["another"]);
    let requests = [
        host.get("/api/projects/", &[("authorization", VALID)]),
        host.get("/api/projects/", &[("authorization", VALID)]),
    ];
    host.turn();
    for request in requests {
        assert_eq!(status(host.outcome(request)), (503, "key_service_unavailable".into()));
    }
}

#[test]
fn callouts_are_sent_from_the_root_context_also_after_some_that_could_not_be() {
    let mut host = start();
    host.limit_clusters(&["another"]);
    let key = |n: u32| format!("Bearer phx_unknown_{n}").into_bytes();
    let requests: Vec<u32> =
        (0..600).map(|n| host.get("/api/projects/", &[("authorization", &key(n))])).collect();
    host.turn();
    for request in requests {
        assert_eq!(status(host.outcome(request)), (503, "key_service_unavailable".into()));
    }
}

#[test]
fn when_no_more_can_wait_a_request_of_the_address_with_most_gives_way() {
    let settings = r#"{"key_service":{"cluster":"k"},"lookups":{"max_waiters":3}}"#;
    let mut host = Host::start(settings).unwrap_or_else(|log| panic!("{log:?}"));
    let mut from = |address: &str, key: &str| {
        let bearer = format!("Bearer {key}");
        let request = host.request_from(
            address,
            &[
                (":method", b"GET"),
                (":path", b"/api/projects/"),
                (":authority", b"a"),
                ("authorization", bearer.as_bytes()),
            ],
        );
        (host.outcome(request), request)
    };
    let flood: Vec<u32> = (0..3).map(|n| from("[2001:db8::1]:1", &format!("phx_{n}")).1).collect();
    assert_eq!(status(from("[2001:db8::2]:1", "phx_3").0), (503, "lookups_full".into()), "the same network");
    let (outcome, good) = from("192.0.2.1:1", "phx_1234567890abcdef");
    assert_eq!(outcome, Outcome::Held);
    assert_eq!(host.outcome(flood[2]), Outcome::Held, "until the root context has its turn");
    host.turn();
    assert_eq!(status(host.outcome(flood[2])), (503, "lookups_full".into()));
    assert_eq!(host.outcome(flood[1]), Outcome::Held);
    let callout = verify(&mut host);
    let wrong = r#"{"status":"inactive"}"#;
    host.answer(callout.id, "200", &verdicts(&[wrong, ACTIVE, wrong]));
    assert_eq!(status(host.outcome(flood[0])), (401, "key_invalid".into()));
    forwarded(host.outcome(good));
}
