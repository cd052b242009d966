//! Interleavings of several replicas, their clients and the shared database.

use leases::LeaseConfig;
use protocol::{Invalidation, ScopeSet, SyncResponse, Verdict};
use simulation::database::Effect;
use simulation::statement::Batch;

use super::script::{Changed, Script, has_ended, rolls, succeeded_with};

/// A replica is killed after it has committed a delete and before it answers. The client repeats the delete at another replica.
#[test]
fn a_delete_without_an_answer_waits_when_it_is_repeated_at_another_replica() {
    let mut script = Script::new();
    let (sync, _) = script.sync("edge", 0);
    script.finish(sync);
    let (delete, _) = script.delete();
    for _ in 0..3 {
        script.step(delete); // the lock, the values, the commit
    }
    script.kill(0);
    script.replica = 1;
    let (again, deleted) = script.delete();
    script.finish(again);
    let waits = !has_ended(&deleted);
    let (sync, _) = script.sync("edge", 1);
    script.finish(sync);
    script.finish(again);
    assert!(waits && succeeded_with(&deleted, |deleted| matches!(deleted, Changed::Before)));
}

/// A replica is killed after it has sent a commit. The commit still happens, while another replica waits for the lock.
#[test]
fn a_commit_that_outlives_its_replica_is_waited_for() {
    // The seed decides whether the commit happens. It does for one of the first seeds.
    let found = (0..20).any(|luck| {
        let mut script = Script::new();
        script.shared.lock().random.seed(luck);
        let (sync, _) = script.sync("edge", 0);
        script.finish(sync);
        let (delete, _) = script.delete();
        script.step(delete); // the lock
        script.step(delete); // the values; the commit is on its way
        script.kill(0);
        script.replica = 1;
        let (again, deleted) = script.delete();
        script.step(again);
        script.step(delete); // the commit, if it happens
        script.finish(again);
        let found_it_gone = script.shared.lock().database.data.keys.is_empty() && !has_ended(&deleted);
        let (sync, _) = script.sync("edge", 1);
        script.finish(sync);
        script.finish(again);
        found_it_gone && succeeded_with(&deleted, |deleted| matches!(deleted, Changed::Before))
    });
    assert!(found);
}

/// An edge acknowledges a delete at another replica than the one that waits.
#[test]
fn an_acknowledgement_at_another_replica_counts() {
    let mut script = Script::new();
    let (sync, _) = script.sync("edge", 0);
    script.finish(sync);
    let (delete, deleted) = script.delete();
    script.finish(delete);
    assert!(!has_ended(&deleted));
    script.replica = 1;
    let (sync, _) = script.sync("edge", 1);
    script.finish(sync);
    script.pass(20);
    script.finish(delete);
    let is_acknowledged = |changed: &Changed| matches!(changed, Changed::Now(it) if it.acknowledged == 1);
    assert!(succeeded_with(&deleted, is_acknowledged));
}

/// The replica that records a lease has a slow clock.
#[test]
fn a_lease_ends_by_the_clock_that_all_replicas_share() {
    let mut script = Script::new();
    script.shared.lock().replicas[0].clock.set_to(-10_000);
    let (sync, _) = script.sync("edge", 0);
    script.finish(sync);
    script.replica = 1;
    let (delete, deleted) = script.delete();
    script.finish(delete);
    assert!(!has_ended(&deleted));
}

/// A roll at another replica begins after a delete has read the values of the key. Without the lock, both commit.
#[test]
fn two_replicas_never_change_at_once() {
    let mut script = Script::new();
    let (delete, _) = script.delete();
    script.step(delete); // the lock
    script.step(delete); // the values
    script.replica = 1;
    let (roll, rolled) = script.change(rolls());
    script.finish(roll);
    script.finish(delete);
    script.finish(roll);
    assert!(succeeded_with(&rolled, |rolled| matches!(rolled, Changed::Before)));
}

/// A batch is read before a delete, and its answer arrives after the delete. Another verify arrives in between.
#[test]
fn no_verify_joins_a_batch_whose_read_has_begun() {
    let mut script = Script::new();
    let (first, _) = script.verify();
    script.perform(first);
    let (delete, deleted) = script.delete();
    script.finish(delete);
    assert!(has_ended(&deleted), "no edge has a lease");
    let (second, verified) = script.verify();
    script.end_batch(Batch::Verdicts);
    script.finish(second);
    assert!(succeeded_with(&verified, |answer| answer.verdicts == [Verdict::Inactive]));
}

/// The database recovers from a crash without its leases.
#[test]
fn after_a_crash_of_the_database_a_delete_waits_for_lost_leases() {
    let mut script = Script::new();
    let (sync, granted) = script.sync("edge", 0);
    script.finish(sync);
    assert!(has_ended(&granted));
    script.crash_database(None);
    script.replica = 1;
    let (delete, deleted) = script.delete();
    script.finish(delete);
    let waits = !has_ended(&deleted);
    script.pass(7_000);
    script.finish(delete);
    assert!(
        waits && succeeded_with(&deleted, |deleted| matches!(deleted, Changed::Now(it) if it.lost_leases))
    );
}

/// The leases of a replica are lost, and it grants longer ones than the other replica.
#[test]
fn lost_leases_count_as_long_as_the_longest() {
    let longer = LeaseConfig { lease_ms: 9_000, margin_ms: 1_500, ..LeaseConfig::default() };
    let mut script = Script::with_lease_configs(vec![longer, LeaseConfig::default()]);
    let (sync, granted) = script.sync("edge", 0);
    script.finish(sync);
    assert!(succeeded_with(&granted, |answer| answer.lease_ms == 9_000));
    script.crash_database(None);
    script.replica = 1;
    let (delete, deleted) = script.delete();
    script.finish(delete);
    script.pass(10_400);
    script.finish(delete);
    assert!(!has_ended(&deleted));
}

/// The leases are lost while a delete waits for an edge that is cut off. Then it is unknown whether the edge has the delete.
#[test]
fn a_change_that_waits_when_the_leases_are_lost_returns_an_error() {
    let mut script = Script::new();
    let (sync, _) = script.sync("edge", 0);
    script.finish(sync);
    let (delete, deleted) = script.delete();
    script.finish(delete);
    script.crash_database(None);
    for _ in 0..2 {
        script.pass(7_100);
        script.finish(delete);
    }
    assert!(has_ended(&deleted) && !succeeded_with(&deleted, |_| true));
}

/// A server loses the leases and lacks the lease length of the first replica. The other replica records the loss.
#[test]
fn leases_are_announced_again_in_every_epoch() {
    let longer = LeaseConfig { lease_ms: 12_000, margin_ms: 2_000, ..LeaseConfig::default() };
    let mut script = Script::with_lease_configs(vec![longer, LeaseConfig::default()]);
    let (sync, _) = script.sync("edge", 0);
    script.finish(sync);
    script.crash_database(None);
    {
        let mut kernel = script.shared.lock();
        (kernel.database.data.longest_lease_ms, kernel.database.data.lease_limit_ms) = (0, 0);
    }
    script.replica = 1;
    let (delete, deleted) = script.delete();
    script.finish(delete);
    script.replica = 0;
    let (verify, _) = script.verify();
    script.finish(verify); // the first replica is back
    for _ in 0..2 {
        script.pass(6_900);
        script.finish(delete);
    }
    assert!(!has_ended(&deleted), "the longer lease may not have ended");
    script.pass(300);
    script.finish(delete);
    assert!(succeeded_with(&deleted, |deleted| matches!(deleted, Changed::Now(it) if it.lost_leases)));
    assert_eq!(script.shared.lock().database.data.longest_lease_ms, 14_000);
}

/// The clock of the database is set while an edge that is cut off holds a lease, before or after a delete has begun to wait
/// for it.
#[test]
fn setting_the_database_clock_makes_a_wait_neither_longer_nor_shorter() {
    for is_waiting in [false, true] {
        for by_ms in [-3_600_000, 3_600_000] {
            if !is_waiting && by_ms > 0 {
                continue; // outside the promise: the lease counts as ended
            }
            let mut script = Script::new();
            let (sync, _) = script.sync("edge", 0);
            script.finish(sync);
            let set = |script: &Script| script.shared.lock().database.set_clock(by_ms);
            if !is_waiting {
                set(&script);
            }
            let (delete, deleted) = script.delete();
            script.finish(delete);
            if is_waiting {
                set(&script);
            }
            script.pass(6_900);
            script.finish(delete);
            assert!(!has_ended(&deleted), "by {by_ms} ms: the lease still runs");
            script.pass(200);
            script.finish(delete);
            let is_expired = |changed: &Changed| matches!(changed, Changed::Now(it) if it.expired == 1);
            assert!(succeeded_with(&deleted, is_expired), "by {by_ms} ms: the lease has ended");
        }
    }
}

/// A standby lacks a change, and makes another one with the same revision. An edge has the first and lacks the second.
#[test]
fn a_cursor_of_an_earlier_epoch_gets_a_reset() {
    let mut script = Script::new();
    let (roll, rolled) = script.change(Effect::Scopes("key".into(), ScopeSet::default()));
    script.finish(roll);
    assert!(has_ended(&rolled), "no edge has a lease");
    script.crash_database(Some(1));
    let (delete, _) = script.delete();
    script.finish(delete);
    let (sync, granted) = script.sync("edge", 1);
    script.finish(sync);
    assert!(succeeded_with(&granted, |answer| answer.invalidation == Invalidation::Reset));
}

/// After a failover, an edge syncs with a cursor of the earlier epoch that is beyond the latest revision.
#[test]
fn an_acknowledgement_of_another_epoch_does_not_count() {
    let mut script = Script::new();
    let (change, changed) = script.change(Effect::Scopes("key".into(), ScopeSet::default()));
    script.finish(change);
    assert!(has_ended(&changed), "no edge has a lease");
    script.crash_database(Some(1));
    let (verify, _) = script.verify();
    script.finish(verify); // its connection detects the failover
    script.pass(7_001);
    let (sync, granted) = script.sync("edge", 1);
    script.finish(sync);
    assert!(succeeded_with(&granted, |answer: &SyncResponse| answer.revision == 0));
    let (delete, deleted) = script.delete();
    script.finish(delete);
    assert!(!has_ended(&deleted));
}

/// A standby that lacks a delete takes over while the delete waits for an edge.
#[test]
fn a_change_that_a_failover_lost_returns_an_error() {
    let mut script = Script::new();
    let (sync, _) = script.sync("edge", 0);
    script.finish(sync);
    let (delete, deleted) = script.delete();
    script.finish(delete);
    script.crash_database(Some(1));
    for _ in 0..2 {
        script.pass(7_100);
        script.finish(delete);
    }
    assert!(has_ended(&deleted) && !succeeded_with(&deleted, |_| true));
}

/// An edge syncs after a change that it missed was pruned.
#[test]
fn a_cursor_from_before_the_pruning_gets_a_reset() {
    let mut script = Script::new();
    let (delete, deleted) = script.delete();
    script.finish(delete);
    assert!(has_ended(&deleted), "no edge has a lease");
    script.shared.lock().database.prune(0);
    let (sync, granted) = script.sync("edge", 0);
    script.finish(sync);
    assert!(succeeded_with(&granted, |answer| answer.invalidation == Invalidation::Reset));
}

/// A replica holds a sync when it gets the signal to end.
#[test]
fn a_replica_that_drains_answers_at_once_with_a_lease() {
    let mut script = Script::new();
    let (sync, granted) = script.sync_held("edge", 0, 2_000);
    script.finish(sync);
    assert!(!has_ended(&granted));
    script.shared.lock().replicas[0].drain();
    script.finish(sync);
    assert!(succeeded_with(&granted, |answer| answer.invalidation == Invalidation::Changed(vec![])
        && answer.lease_ms > 0));
    let (delete, deleted) = script.delete();
    script.finish(delete);
    assert!(!has_ended(&deleted), "it waits for the lease of the answer");
    let (next, granted) = script.sync_held("edge", 1, 2_000);
    script.finish(next);
    assert!(has_ended(&granted), "no sync is held any more");
}
