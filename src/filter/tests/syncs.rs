//! When syncs are sent, and what their answers change.

use super::*;

#[test]
fn an_edge_subscribes_with_its_first_lookup() {
    let mut talk = talk("");
    talk.request("GET", "/decide/", &[]);
    talk.request("GET", "/api/insights/", &[]);
    assert_eq!(talk.filter.sync_due_in_ms(talk.moment()), None);
    talk.get("/api/insights/", VALID);
    assert_eq!(talk.filter.sync_due_in_ms(talk.moment()), Some(0));
    let request = talk.filter.next_sync(talk.moment()).unwrap();
    assert_eq!((request.epoch, request.cursor, request.wait_ms), (None, None, 0));
    assert_eq!(talk.filter.next_sync(talk.moment()), None, "one is outstanding at a time");
}

#[test]
fn the_edge_api_gets_the_id_of_the_edge() {
    assert_eq!(talk("").filter.id(), "e1");
}

#[test]
fn after_a_sync_without_an_answer_the_next_is_not_held_back() {
    let mut talk = warm("");
    assert_eq!(talk.sync(1, Invalidation::Changed(vec![])).wait_ms, 2_000);
    talk.now += 5_000;
    talk.filter.next_sync(talk.moment()).unwrap();
    assert_eq!(talk.filter.sync_ended(Err(NoAnswer::Timeout), talk.moment()), Some(Err(NoAnswer::Timeout)));
    talk.now += 250;
    assert_eq!(talk.filter.next_sync(talk.moment()).unwrap().wait_ms, 0, "though the lease still runs");
}

#[test]
fn a_lease_runs_from_when_it_was_waiting_at_send() {
    let mut talk = warm("");
    talk.now = T0 + 5_000;
    talk.filter.next_sync(talk.moment()).unwrap();
    talk.now = T0 + 7_000;
    let answer = SyncResponse {
        epoch: "e1".into(),
        revision: 1,
        lease_ms: 6_000,
        invalidation: Invalidation::Changed(vec![]),
    };
    assert_eq!(talk.filter.sync_ended(Ok(answer), talk.moment()), Some(Ok(())));
    talk.now = T0 + 10_999;
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.now = T0 + 11_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn an_invalidation_is_applied_before_the_cursor_that_acknowledges_it_moves() {
    let mut talk = warm("");
    talk.sync(2, Invalidation::Changed(vec![KeyDigest::of_value(VALID)]));
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    assert_eq!(talk.sync(2, Invalidation::Changed(vec![])).cursor, Some(2));

    let mut talk = warm("");
    talk.sync(2, Invalidation::Changed(vec![KeyDigest::of_value("phx_another")]));
    assert_eq!(talk.get("/api/insights/", VALID), "for u1 *");
    talk.sync(9, Invalidation::Reset);
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
}

#[test]
fn answers_that_contradict_the_history_are_refused() {
    let answer = |epoch: &str, revision, invalidation| SyncResponse {
        epoch: epoch.into(),
        revision,
        lease_ms: 6_000,
        invalidation,
    };
    for contradiction in [
        answer("e1", 0, Invalidation::Changed(vec![])),
        answer("e1", 0, Invalidation::Reset),
        answer("e2", 5, Invalidation::Changed(vec![])),
    ] {
        let mut talk = warm("");
        talk.now = T0 + 3_000;
        talk.filter.next_sync(talk.moment()).unwrap();
        let ended = talk.filter.sync_ended(Ok(contradiction), talk.moment());
        assert_eq!(ended, Some(Err(NoAnswer::Contradiction)));
        assert_eq!(talk.get("/api/insights/", VALID), "wait", "nothing that was known counts");
        talk.now += 100;
        let request = talk.sync(0, Invalidation::Reset);
        assert_eq!((request.epoch, request.cursor), (None, None));
        assert_eq!(talk.get("/api/insights/", VALID), "wait", "the memory is empty");
    }
    let mut talk = warm("");
    talk.filter.next_sync(talk.moment()).unwrap();
    let ended = talk.filter.sync_ended(Ok(answer("another", 0, Invalidation::Reset)), talk.moment());
    assert_eq!(ended, Some(Ok(())));
    assert_eq!(talk.get("/api/insights/", VALID), "wait", "another epoch comes as a reset");
}

#[test]
fn after_a_quiet_answer_comes_a_short_pause_and_after_failures_a_growing_one() {
    let mut talk = warm("");
    assert_eq!(talk.filter.sync_due_in_ms(talk.moment()), Some(0), "at once after a change");
    talk.sync(1, Invalidation::Changed(vec![]));
    let pause = talk.filter.sync_due_in_ms(talk.moment()).unwrap();
    assert!((50..=100).contains(&pause), "{pause}");
    let mut longest = 0;
    for _ in 0..100 {
        talk.now += talk.filter.sync_due_in_ms(talk.moment()).unwrap();
        talk.filter.next_sync(talk.moment()).unwrap();
        assert_eq!(
            talk.filter.sync_ended(Err(NoAnswer::Timeout), talk.moment()),
            Some(Err(NoAnswer::Timeout))
        );
        longest = longest.max(talk.filter.sync_due_in_ms(talk.moment()).unwrap());
    }
    assert!((3_000..=5_000).contains(&longest), "{longest}");
}

#[test]
fn a_sync_from_an_outage_is_given_up_and_its_end_changes_nothing() {
    let mut talk = warm("");
    talk.now = T0 + 6_000;
    assert_eq!(talk.get("/api/insights/", VALID), "wait");
    talk.ask();
    let lost = talk.filter.next_sync(talk.moment()).unwrap();
    assert_eq!(lost.used.len(), 1);
    talk.now += 100;
    talk.answer(2, None, &[]);
    talk.get("/api/insights/", VALID);
    talk.ask();
    talk.now += 100;
    talk.answer(3, Some(200), &[INACTIVE]);
    let due = talk.filter.sync_due_in_ms(talk.moment()).unwrap();
    assert!(due <= 200, "{due}");
    assert_eq!(talk.filter.sync_ended(Err(NoAnswer::Timeout), talk.moment()), None, "no change to report");
    assert_eq!(talk.filter.sync_due_in_ms(talk.moment()), Some(due));
    talk.now += due;
    assert_eq!(talk.sync(1, Invalidation::Changed(vec![])).used, lost.used, "the report was lost with it");
}

#[test]
fn use_is_reported_with_the_next_sync() {
    let mut talk = warm("");
    let used = talk.sync(1, Invalidation::Changed(vec![])).used;
    assert_eq!(used.into_iter().collect::<Vec<_>>(), [("k1".to_owned(), (T0 + 1_000_000) / 1_000)]);
}

#[test]
fn metrics_count_leases_lookups_and_cached_verdicts() {
    let mut talk = talk("");
    for _ in 0..3 {
        assert_eq!(talk.get("/api/projects/", VALID), "wait");
    }
    assert_eq!(talk.ask(), Some(1));
    assert_eq!(talk.numbers(), ["cache_misses 3", "lookups 1", "lookups_joined 2", "lookups_waiting 3"]);

    talk.sync(1, Invalidation::Reset);
    let served = talk.answer(0, Some(200), &[&active("*")]);
    assert_eq!(served.len(), 3);
    talk.now += 1_000;
    assert_eq!(talk.get("/api/projects/", VALID), "for u1 *");
    assert_eq!(
        talk.numbers(),
        [
            "cache_active 1",
            "cache_hits 1",
            "cursor_lag 0",
            "lease_age_ms 1000",
            "leases_gained 1",
            "leases_held 1",
            "lookups_waiting -3",
            "requests_forwarded 4",
            "resets 1",
            "verify_ms 0",
        ]
    );

    talk.now += 5_000;
    assert_eq!(talk.numbers(), ["leases_held -1", "leases_lost 1"]);
}
