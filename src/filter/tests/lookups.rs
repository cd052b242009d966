//! Requests that wait for a lookup, and its end.

use super::*;

#[test]
fn an_answer_decides_for_each_waiter_by_its_own_route() {
    let mut talk = talk("");
    for (method, path) in [("GET", "/api/insights/"), ("POST", "/api/insights/"), ("GET", "/api/projects/")] {
        assert_eq!(talk.request(method, path, &[("authorization", "Bearer phx_a")]), "wait");
    }
    assert_eq!((talk.ask(), talk.ask()), (Some(1), None));
    let steps = talk.answer(0, Some(200), &[&active("insight:read")]);
    let expected = ["for u1 insight:read", "403 scope_missing", "403 scope_missing"];
    assert_eq!(steps, (0..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
}

#[test]
fn an_answer_serves_each_request_once() {
    let mut talk = talk("");
    talk.get("/api/insights/", VALID);
    talk.ask();
    assert_eq!(talk.answer(0, Some(200), &[&active("*")]).len(), 1);
    for ended_before in [0, 9] {
        let read = |_| panic!("no response is read for a callout without requests");
        assert_eq!(talk.filter.lookups_ended(CalloutId(ended_before), read, talk.moment()), None);
    }
}

#[test]
fn a_request_that_left_is_not_answered_and_the_others_are() {
    let mut talk = talk("");
    (0..3).for_each(|_| assert_eq!(talk.get("/api/insights/", VALID), "wait"));
    talk.ask();
    talk.filter.leave(&KeyDigest::of_value(VALID), StreamId(0));
    let streams: Vec<u32> = talk.answer(0, Some(200), &[&active("*")]).iter().map(|step| step.0).collect();
    assert_eq!(streams, [1, 2]);
}

#[test]
fn a_request_after_the_callout_was_sent_is_served_only_if_the_lease_covers_the_answer() {
    let mut talk = warm("");
    talk.get("/api/insights/", "phx_b");
    talk.ask();
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.answer(2, Some(200), &[&active("*")]).len(), 2, "revision and cursor are 1");

    talk.get("/api/insights/", "phx_c");
    talk.ask();
    talk.sync(2, Invalidation::Changed(vec![]));
    assert_eq!(talk.get("/api/insights/", "phx_c"), "wait");
    assert_eq!(talk.answer(3, Some(200), &[&active("*")]).len(), 1);
    assert_eq!(talk.ask(), Some(1));
    assert_eq!(talk.answer(4, Some(200), &[&active("*")]).len(), 1);
    assert_eq!(talk.ask(), None);
}

#[test]
fn a_request_after_the_callout_was_sent_is_not_served_by_the_answer_if_the_key_has_expired() {
    for (answered_after_ms, served) in [(299, 2), (300, 1)] {
        let mut talk = warm("");
        talk.get("/api/insights/", "phx_b");
        talk.ask();
        assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
        talk.now += answered_after_ms;
        let outcomes = talk.answer(2, Some(200), &[&active("*").replace("null", "300")]);
        assert_eq!(outcomes.len(), served, "after {answered_after_ms} ms: {outcomes:?}");
        assert_eq!(talk.ask(), (served == 1).then_some(1));
    }
}

#[test]
fn no_answer_is_unavailable_for_everyone_and_is_not_remembered() {
    for (status, verdicts) in [(None, &[][..]), (Some(500), &[INACTIVE][..]), (Some(200), &[][..])] {
        let mut talk = talk("");
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        talk.ask();
        let unavailable = || "503 key_service_unavailable".to_owned();
        assert_eq!(talk.answer(0, status, verdicts), [(0, unavailable()), (1, unavailable())]);
        assert_eq!(talk.get("/api/insights/", VALID), "wait", "asked again at once");
        talk.ask();
        assert_eq!(talk.answer(1, Some(200), &[&active("*")]), [(2, "for u1 *".to_owned())]);
    }
}

#[test]
fn a_lookup_that_cannot_be_sent_is_unavailable() {
    let mut talk = talk("");
    talk.get("/api/insights/", VALID);
    let digests = talk.filter.next_lookups().unwrap().digests;
    let steps = talk.filter.lookups_failed(&digests, talk.moment());
    assert_eq!(steps.len(), 1);
    assert_eq!(print(&steps[0].1), "503 key_service_unavailable");
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn lookups_that_cannot_be_sent_during_an_outage_do_not_wait_for_another_timeout() {
    let mut talk = warm(r#","lookups":{"max_digests":1}"#);
    (0..3).for_each(|n| assert_eq!(talk.get("/api/insights/", &format!("phx_{n}")), "wait"));
    assert_eq!(talk.ask(), Some(1));
    assert_eq!(talk.refused(), [], "the key service may just be slow");
    talk.answer(2, None, &[]);
    assert_eq!(talk.ask(), Some(1));
    assert_eq!(talk.refused(), [(5, "503 key_service_unavailable".to_owned())]);
    assert_eq!(talk.get("/api/insights/", "phx_2"), "wait");
    assert_eq!(talk.refused(), [], "no other verify has failed");
}

#[test]
fn requests_over_the_limits_are_unavailable_unless_their_key_is_cached() {
    let mut talk = warm(r#","lookups":{"max_digests":1,"max_waiters":2}"#);
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_c"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "503 lookups_full");
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    assert_eq!((talk.ask(), talk.ask()), (Some(1), None), "one at a time");
    assert_eq!(talk.answer(2, Some(200), &[INACTIVE]), [(3, "401 key_invalid".to_owned())]);
    assert_eq!(talk.ask(), Some(1));
}

#[test]
fn an_evicted_request_is_answered_in_the_next_turn() {
    let mut talk = warm(r#","lookups":{"max_waiters":2}"#);
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_c"), "wait");
    talk.from = 2;
    assert_eq!(talk.get("/api/insights/", "phx_d"), "wait");
    assert_eq!(talk.refused(), [(4, "503 lookups_full".to_owned())]);
    assert_eq!(talk.refused(), []);
    assert_eq!(talk.get("/api/insights/", "phx_e"), "503 lookups_full", "each has one");
    talk.from = 3;
    talk.filter.leave(&KeyDigest::of_value("phx_b"), StreamId(3));
    assert_eq!(talk.get("/api/insights/", "phx_e"), "wait", "room was left");
    assert_eq!(talk.refused(), []);
    assert_eq!(talk.ask(), Some(2));
    talk.answer(2, Some(200), &[INACTIVE, INACTIVE]);
}

#[test]
fn an_evicted_request_may_leave_before_its_answer() {
    let mut talk = warm(r#","lookups":{"max_waiters":2}"#);
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    assert_eq!(talk.get("/api/insights/", "phx_c"), "wait");
    talk.from = 2;
    assert_eq!(talk.get("/api/insights/", "phx_d"), "wait");
    talk.filter.leave(&KeyDigest::of_value("phx_c"), StreamId(4));
    assert_eq!(talk.refused(), []);
}
