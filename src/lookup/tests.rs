use super::*;
use crate::restriction::Locators;

fn lookups(max_digests: usize, max_waiters: usize) -> Lookups {
    Lookups::new(LookupLimits { max_digests, max_waiters })
}

fn tag() -> Tag {
    crate::tag::Tagger::new([0; 16]).tag(b"")
}

fn key(n: usize) -> KeyDigest {
    KeyDigest::of_value(&n.to_string())
}

/// A request of the first address.
fn waiter(stream: u32) -> Waiter {
    from(1, stream)
}

fn from(address: u32, stream: u32) -> Waiter {
    let requested = Locators::NONE.requested(b"/");
    Waiter::new(StreamId(stream), Scope::All, requested, false, Mode::Enforce, Address::V4(address))
}

fn streams(waiters: Vec<Waiter>) -> Vec<u32> {
    waiters.iter().map(|waiter| waiter.stream.0).collect()
}

/// Which request gives way to one of this address with that key.
fn evicted(lookups: &mut Lookups, key: KeyDigest, waiter: Waiter) -> Option<u32> {
    lookups.join(key, tag(), waiter).unwrap().evicted.map(|(_, waiter)| waiter.stream.0)
}

#[test]
fn requests_with_one_key_share_one_lookup() {
    let mut lookups = lookups(10, 10);
    (0..3).for_each(|stream| drop(lookups.join(key(1), tag(), waiter(stream))));
    assert_eq!(lookups.next_batch(), Some(vec![key(1)]));
    assert_eq!(lookups.next_batch(), None);
    lookups.join(key(1), tag(), waiter(3)).unwrap();
    assert_eq!(lookups.next_batch(), None, "it is outstanding already");
    assert_eq!(streams(lookups.finish(&key(1), true)), [0, 1, 2, 3]);
    lookups.join(key(1), tag(), waiter(4)).unwrap();
    assert_eq!(lookups.next_batch(), Some(vec![key(1)]), "a new lookup after the first has ended");
}

#[test]
fn a_batch_holds_no_more_than_a_callout_may_ask() {
    let mut lookups = lookups(1_000, 1_000);
    (0..MAX_DIGESTS_PER_VERIFY + 1).for_each(|n| drop(lookups.join(key(n), tag(), waiter(n as u32))));
    assert_eq!(lookups.next_batch().unwrap().len(), MAX_DIGESTS_PER_VERIFY);
    assert_eq!(lookups.next_batch(), Some(vec![key(MAX_DIGESTS_PER_VERIFY)]));
}

#[test]
fn digests_wait_for_a_place_and_waiters_are_bounded() {
    let mut lookups = lookups(2, 4);
    (1..4).for_each(|n| drop(lookups.join(key(n), tag(), waiter(n as u32))));
    assert_eq!(lookups.next_batch(), Some(vec![key(1)]), "one place is left for another address");
    assert_eq!(lookups.next_batch(), None);
    lookups.join(key(1), tag(), waiter(4)).unwrap();
    assert_eq!(lookups.join(key(1), tag(), waiter(5)), Err(Full(waiter(5))));
    lookups.finish(&key(1), true);
    assert_eq!(lookups.next_batch(), Some(vec![key(2)]));
    lookups.join(key(4), tag(), waiter(6)).unwrap();
}

#[test]
fn the_newest_request_of_the_address_with_most_gives_way() {
    let mut lookups = lookups(100, 6);
    (0..4).for_each(|n| drop(lookups.join(key(n), tag(), from(1, n as u32))));
    (4..6).for_each(|n| drop(lookups.join(key(n), tag(), from(2, n as u32))));
    assert_eq!(lookups.join(key(9), tag(), from(1, 9)), Err(Full(from(1, 9))), "it has most itself");
    assert_eq!(evicted(&mut lookups, key(6), from(3, 6)), Some(3));
    assert_eq!(evicted(&mut lookups, key(7), from(3, 7)), Some(2));
    assert_eq!(lookups.join(key(8), tag(), from(3, 8)), Err(Full(from(3, 8))), "each has two");
    assert_eq!(lookups.waiting(), 6);
    let mut asked = lookups.next_batch().unwrap();
    asked.sort_by_key(KeyDigest::to_hex);
    let mut expected = [0, 1, 4, 5, 6, 7].map(key);
    expected.sort_by_key(KeyDigest::to_hex);
    assert_eq!(asked, expected, "the other lookups do not wait");
}

#[test]
fn one_of_many_requests_with_one_key_gives_way_too() {
    let mut lookups = lookups(10, 3);
    (0..3).for_each(|stream| drop(lookups.join(key(1), tag(), from(1, stream))));
    lookups.next_batch();
    assert_eq!(evicted(&mut lookups, key(2), from(2, 3)), Some(2));
    assert_eq!(streams(lookups.finish(&key(1), true)), [0, 1]);
}

#[test]
fn the_first_lookup_of_an_address_is_sent_before_the_many_of_another() {
    let mut lookups = lookups(1_000, 10_000);
    (0..5_000).for_each(|n| drop(lookups.join(key(n), tag(), from(1, n as u32))));
    let mut asked = 0;
    while let Some(batch) = lookups.next_batch() {
        asked += batch.len();
    }
    assert_eq!(asked, 500, "as many as are left for others");
    lookups.join(key(5_000), tag(), from(2, 5_000)).unwrap();
    assert_eq!(lookups.next_batch(), Some(vec![key(5_000)]));
    // Where both have something queued, they take turns.
    lookups.finish(&key(0), true);
    (5_001..5_003).for_each(|n| drop(lookups.join(key(n), tag(), from(2, n as u32))));
    (0..2).for_each(|n| drop(lookups.finish(&key(n), true)));
    let batch = lookups.next_batch().unwrap();
    assert!([5_001, 5_002].map(key).iter().all(|digest| batch.contains(digest)));
}

#[test]
fn addresses_wakes() {
    let mut lookups = lookups(1_000, 1_000);
    for address in 1..4 {
        (0..3).for_each(|n| drop(lookups.join(key(10 * address + n), tag(), from(address as u32, 0))));
    }
    let expected = [10, 20, 30, 11, 21, 31, 12, 22, 32];
    assert_eq!(lookups.next_batch().unwrap(), expected.map(key));
}

#[test]
fn of_addresses_with_as_many_lookups_outstanding_the_oldest_lookup_is_next() {
    let mut lookups = lookups(1, 1_000);
    (0..50_usize).for_each(|n| drop(lookups.join(key(n), tag(), from(100 - n as u32, n as u32))));
    for n in 0..50 {
        assert_eq!(lookups.next_batch(), Some(vec![key(n)]));
        // Other addresses come all the time, and wait for their turn.
        lookups.join(key(50 + n), tag(), from(1_000 + n as u32, 0)).unwrap();
        lookups.finish(&key(n), true);
    }
}

#[test]
fn a_key_that_several_addresses_wait_for_is_asked_about_in_the_turn_of_the_one_with_fewest() {
    let mut lookups = lookups(4, 1_000);
    (0..100).for_each(|n| drop(lookups.join(key(n), tag(), from(1, n as u32))));
    assert_eq!(lookups.next_batch().unwrap().len(), 2);
    lookups.join(key(99), tag(), from(2, 100)).unwrap();
    assert_eq!(lookups.next_batch(), Some(vec![key(99)]));
    assert_eq!(streams(lookups.finish(&key(99), true)), [99, 100]);
}

#[test]
fn an_address_without_requests_and_lookups_is_removed() {
    let mut lookups = lookups(2, 100);
    for n in 0..50 {
        lookups.join(key(n), tag(), from(n as u32, n as u32)).unwrap();
        lookups.join(key(0), tag(), from(n as u32, 50 + n as u32)).unwrap();
    }
    assert_eq!(lookups.shares.len(), 50);
    lookups.next_batch();
    for n in 0..50 {
        lookups.leave(&key(n), StreamId(n as u32));
        lookups.leave(&key(0), StreamId(50 + n as u32));
    }
    assert_eq!((lookups.waiting(), lookups.shares.len()), (0, 2), "two have outstanding lookups");
    for digest in lookups.by_digest.keys().copied().collect::<Vec<_>>() {
        lookups.finish(&digest, true);
    }
    assert_eq!((lookups.by_digest.len(), lookups.shares.len()), (0, 0));
}

#[test]
fn a_request_that_leaves_ends_no_other() {
    let mut lookups = lookups(10, 3);
    (0..3).for_each(|stream| drop(lookups.join(key(1), tag(), waiter(stream))));
    lookups.leave(&key(1), StreamId(1));
    lookups.leave(&key(1), StreamId(1));
    assert_eq!(lookups.waiting(), 2);
    lookups.join(key(1), tag(), waiter(3)).unwrap();
    assert_eq!(streams(lookups.finish(&key(1), true)), [0, 2, 3]);
}

#[test]
fn a_lookup_without_requests_is_not_sent() {
    let mut lookups = lookups(1, 10);
    lookups.join(key(1), tag(), waiter(1)).unwrap();
    lookups.leave(&key(1), StreamId(1));
    assert_eq!(lookups.next_batch(), None);
    lookups.join(key(2), tag(), waiter(2)).unwrap();
    assert_eq!(lookups.next_batch(), Some(vec![key(2)]));
    lookups.leave(&key(2), StreamId(2));
    lookups.join(key(3), tag(), waiter(3)).unwrap();
    assert_eq!(lookups.next_batch(), None, "the other was sent: its place is free when it lands");
    assert_eq!(lookups.finish(&key(2), true), []);
    assert_eq!(lookups.next_batch(), Some(vec![key(3)]));
}

#[test]
fn requests_that_arrive_after_the_callout_was_sent_get_another_lookup_unless_all_are_served() {
    let mut lookups = lookups(10, 10);
    lookups.join(key(1), tag(), waiter(1)).unwrap();
    lookups.next_batch();
    lookups.join(key(1), tag(), waiter(2)).unwrap();
    assert_eq!(streams(lookups.finish(&key(1), false)), [1]);
    assert_eq!(lookups.next_batch(), Some(vec![key(1)]));
    lookups.join(key(1), tag(), waiter(3)).unwrap();
    assert_eq!(streams(lookups.finish(&key(1), true)), [2, 3]);
    assert_eq!(lookups.next_batch(), None);
    assert_eq!((lookups.waiting(), lookups.by_digest.len(), lookups.shares.len()), (0, 0, 0));
}
