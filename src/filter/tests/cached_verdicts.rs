//! Which verdicts the cache keeps, and until when.

use super::*;

#[test]
fn nothing_is_remembered_without_a_lease() {
    let mut talk = talk("");
    for callout in 0..2 {
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        talk.ask();
        talk.answer(callout, Some(200), &[&active("*")]);
    }
}

#[test]
fn a_known_key_is_answered_from_memory_while_the_lease_is_held() {
    let mut talk = warm("");
    talk.now = T0 + 5_999;
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.now = T0 + 6_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.sync(1, Invalidation::Changed(vec![])).cursor, Some(1));
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *", "with the lease the memory is back");
}

#[test]
fn a_verdict_is_remembered_for_its_own_time_at_most() {
    let mut talk = warm(r#","cache":{"active_ttl_ms":4000}"#);
    talk.now = T0 + 3_999;
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.now = T0 + 4_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn a_wrong_key_is_remembered_for_a_shorter_time() {
    let mut talk = warm("");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
    talk.ask();
    assert_eq!(talk.answer(2, Some(200), &[INACTIVE])[0].1, "401 key_invalid");
    assert_eq!(talk.get("/api/insights/", "phx_b"), "401 key_invalid");
    talk.now = T0 + 2_000;
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
}

#[test]
fn an_answer_older_than_the_cursor_is_not_remembered() {
    let mut talk = warm("");
    talk.get("/api/insights/", "phx_b");
    talk.ask();
    talk.sync(2, Invalidation::Changed(vec![KeyDigest::of_value("phx_b")]));
    talk.now += 100;
    assert_eq!(
        talk.answer(2, Some(200), &[&active("*")])[0].1,
        "for u1 *",
        "the lookup was sent after the request arrived"
    );
    assert_eq!(talk.get("/api/insights/", "phx_b"), "wait");
}

#[test]
fn an_inactive_answer_removes_an_active_verdict_even_without_a_lease() {
    let mut talk = warm("");
    talk.now = T0 + 6_000;
    talk.get("/api/insights/", VALID);
    talk.ask();
    talk.answer(2, Some(200), &[INACTIVE]);
    talk.sync(1, Invalidation::Changed(vec![]));
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}
