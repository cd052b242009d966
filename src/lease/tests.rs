use super::*;

fn at(milliseconds: u64) -> Moment {
    Moment { monotonic: milliseconds, wall: 1_000_000 + milliseconds }
}

/// After how many milliseconds a thousand edges come back whose lease began at 0, and whose next sync fails then.
fn pauses_after_a_failure(lease_ms: u64, now: Moment) -> Vec<u64> {
    let pause = |seed| {
        let mut lease = Lease::new(seed, 0);
        lease.subscribe();
        lease.sent(at(0));
        let answer =
            SyncResponse { epoch: "e1".to_owned(), revision: 1, lease_ms, invalidation: Invalidation::Reset };
        lease.answered(&answer, at(0)).unwrap();
        lease.sent(at(0));
        lease.failed(now);
        lease.due_in_ms(now).unwrap()
    };
    (0..1_000).map(pause).collect()
}

#[test]
fn edges_that_fail_together_come_back_over_a_quarter_of_the_time_left_of_their_leases() {
    let pauses = pauses_after_a_failure(6_000, at(1_000));
    let in_quarter = |n: u64| pauses.iter().filter(|&&pause| pause / 313 == n).count();
    assert!(pauses.iter().all(|&pause| pause <= 1_250));
    assert!((0..4).all(|quarter| in_quarter(quarter) > 200), "{pauses:?}");
}

/// A lease of 6 s from the moment 0, and what may be used for `serve_stale_ms` after its end.
fn granted(serve_stale_ms: u64) -> Lease {
    let mut lease = Lease::new(7, serve_stale_ms);
    lease.sent(at(0));
    let answer = SyncResponse {
        epoch: "e1".to_owned(),
        revision: 1,
        lease_ms: 6_000,
        invalidation: Invalidation::Reset,
    };
    lease.answered(&answer, at(0)).unwrap();
    lease
}

#[test]
fn a_lease_that_has_ended_stays_ended_when_the_wall_clock_is_set_back() {
    let mut lease = granted(0);
    let ahead = Moment { wall: at(9_000).wall, ..at(1_000) };
    assert!(!lease.is_held(ahead));
    assert!(!lease.is_held(at(1_001)));
}

#[test]
fn a_wall_clock_that_is_set_back_and_a_suspension_after_it_do_not_stretch_a_lease() {
    let mut lease = granted(0);
    let set_back = Moment { wall: at(0).wall - 60_000, ..at(1_000) };
    assert!(lease.is_held(set_back));
    let suspended_for_6_s = Moment { wall: set_back.wall + 6_000, ..at(1_000) };
    assert!(!lease.is_held(suspended_for_6_s));
}

#[test]
fn stale_use_counts_from_the_end_of_the_lease_and_its_end_is_final() {
    let mut lease = granted(30_000);
    let ahead = |ms: u64| Moment { wall: at(6_000 + ms).wall, ..at(1_000) };
    assert!(!lease.is_held(ahead(0)) && lease.allows_stale(ahead(0)));
    assert!(lease.allows_stale(at(30_999)), "30 s after the lease was found to have ended, at 1 s");
    assert!(!lease.allows_stale(at(31_000)));

    let mut lease = granted(30_000);
    assert!(!lease.allows_stale(ahead(30_000)));
    assert!(!lease.allows_stale(at(1_001)), "the wall clock was set back");
    assert!(!granted(0).allows_stale(at(6_000)));
}

/// A lease that ended at 6 s, and whose syncs have failed so often since that the pauses are long.
fn after_an_outage(seed: u64) -> (Lease, u64) {
    let mut lease = Lease::new(seed, 0);
    lease.subscribe();
    let mut now = 0;
    for _ in 0..10 {
        now += lease.due_in_ms(at(now)).unwrap();
        lease.sent(at(now));
        lease.failed(at(now));
    }
    lease.lookups_failed();
    (lease, now)
}

#[test]
fn the_first_answer_to_a_verify_after_an_outage_brings_the_next_sync_within_200_ms() {
    let due = |seed| {
        let (mut lease, now) = after_an_outage(seed);
        assert!(!lease.lookups_answered(at(now)), "none is outstanding");
        lease.due_in_ms(at(now)).unwrap()
    };
    let dues: Vec<u64> = (0..1_000).map(due).collect();
    assert!(dues.iter().all(|&due| due <= SOON_MS));
    let in_quarter = |n: u64| dues.iter().filter(|&&due| due / 51 == n).count();
    assert!((0..4).all(|quarter| in_quarter(quarter) > 180), "{dues:?}");
}

#[test]
fn where_verifies_are_answered_and_syncs_are_not_the_pauses_grow() {
    let (mut lease, mut now) = after_an_outage(7);
    let mut longest = 0;
    for _ in 0..20 {
        lease.lookups_answered(at(now));
        let due = lease.due_in_ms(at(now)).unwrap();
        longest = longest.max(due);
        now += due;
        lease.sent(at(now));
        lease.failed(at(now));
    }
    assert!(longest > 3_000, "{longest}");
}

#[test]
fn verifies_that_fail_and_are_answered_by_turns_do_not_make_failing_syncs_come_more_often() {
    let (mut lease, began) = after_an_outage(7);
    let (mut now, mut syncs) = (began, 0);
    while now < began + 60_000 {
        now += 50;
        lease.lookups_failed();
        lease.lookups_answered(at(now));
        if lease.due_in_ms(at(now)) == Some(0) {
            lease.sent(at(now));
            lease.failed(at(now));
            syncs += 1;
        }
    }
    assert!(syncs < 40, "{syncs} syncs in a minute, with pauses of 2.5 s on average");
}

#[test]
fn an_outage_that_follows_before_a_sync_is_answered_delays_the_next_one_little() {
    let due = |seed| {
        let (mut lease, mut now) = after_an_outage(seed);
        lease.lookups_answered(at(now));
        now += lease.due_in_ms(at(now)).unwrap();
        lease.sent(at(now));
        lease.lookups_failed();
        lease.failed(at(now));
        lease.lookups_answered(at(now));
        let due = lease.due_in_ms(at(now)).unwrap();
        lease.lookups_answered(at(now));
        assert_eq!(lease.due_in_ms(at(now)), Some(due), "each sync is brought forward once");
        due
    };
    let dues: Vec<u64> = (0..1_000).map(due).collect();
    assert!(dues.iter().all(|&due| due <= 2 * SOON_MS), "{dues:?}");
}

#[test]
fn each_sync_from_an_outage_has_twice_as_long_as_the_one_before_until_it_is_given_up() {
    let (mut lease, mut now) = after_an_outage(7);
    now += lease.due_in_ms(at(now)).unwrap();
    lease.sent(at(now));
    assert!(!lease.lookups_answered(at(now + 500)), "no verify has failed since it was sent: it may be slow");
    lease.lookups_failed();
    assert!(!lease.lookups_answered(at(now + 199)), "it may be about to be answered");
    assert!(lease.lookups_answered(at(now + 200)));
    assert!(!lease.awaits_answer());
    let due = lease.due_in_ms(at(now + 200)).unwrap();
    assert!(due <= SOON_MS);
    now += 200 + due;
    lease.sent(at(now));
    lease.lookups_failed();
    assert!(!lease.lookups_answered(at(now + 399)), "it may only be slow");
    assert!(lease.lookups_answered(at(now + 400)));
    let due = lease.due_in_ms(at(now + 400)).unwrap();
    assert!(due <= 2 * SOON_MS);
}

#[test]
fn under_a_lease_verifies_change_nothing() {
    let mut lease = granted(0);
    lease.subscribe();
    lease.sent(at(1));
    lease.failed(at(1));
    let due = lease.due_in_ms(at(1));
    lease.lookups_failed();
    assert!(!lease.lookups_answered(at(1)));
    assert_eq!(lease.due_in_ms(at(1)), due);
}

#[test]
fn without_a_lease_an_edge_comes_back_soon() {
    assert!(pauses_after_a_failure(6_000, at(6_000)).iter().all(|&pause| pause <= FIRST_BACKOFF_MS));
}

#[test]
fn an_edge_with_a_long_lease_still_syncs_within_five_seconds() {
    assert!(pauses_after_a_failure(3_600_000, at(1_000)).iter().all(|&pause| pause <= 5_000));
}

#[test]
fn an_answer_that_brings_no_progress_is_followed_by_a_pause_of_50_to_100_ms() {
    let pause = |seed| {
        let mut lease = Lease::new(seed, 0);
        lease.subscribe();
        let answer = |invalidation| SyncResponse {
            epoch: "e1".to_owned(),
            revision: 1,
            lease_ms: 6_000,
            invalidation,
        };
        for (invalidation, now) in
            [(Invalidation::Reset, at(0)), (Invalidation::Changed(Vec::new()), at(100))]
        {
            lease.sent(now);
            lease.answered(&answer(invalidation), now).unwrap();
        }
        lease.due_in_ms(at(100)).unwrap()
    };
    let pauses: Vec<u64> = (0..1_000).map(pause).collect();
    assert!(pauses.iter().all(|pause| (50..=100).contains(pause)), "{pauses:?}");
    assert!((50..=100).all(|ms| pauses.contains(&ms)), "{pauses:?}");
}

#[test]
fn a_lease_is_as_old_as_the_request_for_it() {
    let mut lease = Lease::new(0, 0);
    lease.subscribe();
    assert_eq!(lease.age_ms(at(0)), None);
    lease.sent(at(10));
    let answer = SyncResponse {
        epoch: "e1".to_owned(),
        revision: 1,
        lease_ms: 6_000,
        invalidation: Invalidation::Reset,
    };
    lease.answered(&answer, at(20)).unwrap();
    assert_eq!(lease.age_ms(at(25)), Some(15));
}
