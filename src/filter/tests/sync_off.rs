//! `sync: off`: verdicts are used for their time to live, without a lease.

use super::*;

/// An edge without syncs that has looked up the known key.
fn unsynced(settings: &str) -> Talk {
    let mut talk = talk(&format!(r#","sync":"off"{settings}"#));
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    talk.ask();
    assert_eq!(talk.answer(0, Some(200), &[&active("*")])[0].1, "for u1 *");
    talk
}

#[test]
fn a_verdict_is_used_for_its_time_to_live_and_no_sync_is_sent() {
    for (settings, ttl_ms) in [("", 5_000), (r#","cache":{"active_ttl_ms":700}"#, 700)] {
        let mut talk = unsynced(settings);
        talk.now = T0 + ttl_ms - 1;
        assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
        assert_eq!(talk.filter.sync_due_in_ms(talk.moment()), None);
        assert_eq!(talk.filter.next_sync(talk.moment()), None);
        talk.now = T0 + ttl_ms;
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        talk.ask();
        assert_eq!(talk.answer(1, Some(200), &[INACTIVE])[0].1, "401 key_invalid");
        assert_eq!(talk.get("/api/insights/", VALID), "401 key_invalid", "an invalid key is cached too");
        talk.now += 2_000;
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
    }
}

#[test]
fn an_answer_older_than_its_time_to_live_serves_only_requests_that_were_waiting_when_the_lookup_was_sent() {
    for (ttl_ms, took_ms, late) in [(0, 1, "wait"), (700, 700, "wait"), (700, 699, "for u1 *")] {
        let mut talk = talk(&format!(r#","sync":"off","cache":{{"active_ttl_ms":{ttl_ms}}}"#));
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        talk.ask();
        assert_eq!(talk.get("/api/insights/", VALID), "wait");
        talk.now += took_ms;
        let served = talk.answer(0, Some(200), &[&active("*")]);
        assert_eq!(served[0].1, "for u1 *", "it was waiting");
        let second = served.get(1).map_or("wait", |(_, outcome)| outcome);
        assert_eq!(second, late, "ttl {ttl_ms} ms, answered after {took_ms} ms");
        assert_eq!(talk.ask(), (late == "wait").then_some(1));
    }
}

#[test]
fn a_key_that_expires_is_not_used_longer_than_its_life() {
    let mut talk = talk(r#","sync":"off""#);
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    talk.ask();
    talk.answer(0, Some(200), &[&active("*").replace("null", "300")]);
    talk.now += 299;
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.now += 1;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn metrics_say_that_there_is_no_lease() {
    let numbers = unsynced("").numbers();
    assert!(numbers.contains(&"sync_off 1".to_owned()), "{numbers:?}");
    assert!(!numbers.iter().any(|line| line.starts_with("lease")), "{numbers:?}");
    assert!(!talk("").numbers().iter().any(|line| line.starts_with("sync_off")));
}
