//! Interleavings of the steps of one sync, one verify and one change.

use protocol::{Invalidation, SyncResponse, Verdict, VerifyResponse};

use super::script::{Changed, Script, has_ended, new_value, old_value, rolls, succeeded_with};

/// A delete runs from start to end between two steps of a sync.
#[test]
fn when_a_sync_and_a_delete_race_one_sees_the_other() {
    let mut script = Script::new();
    let (sync, granted) = script.sync("edge", 0);
    script.step(sync);
    let (delete, deleted) = script.delete();
    script.finish(delete);
    let returned = has_ended(&deleted);
    script.finish(sync);
    let has_the_delete =
        succeeded_with(&granted, |answer| answer.invalidation == Invalidation::Changed(vec![old_value()]));
    assert!(!returned || has_the_delete);
}

/// A delete commits between the two reads of a sync.
#[test]
fn a_cursor_never_passes_a_change_that_the_answer_lacks() {
    let mut script = Script::new();
    let (sync, granted) = script.sync("edge", 0);
    script.step(sync); // recorded
    script.step(sync); // read
    let (delete, _) = script.delete();
    script.finish(delete);
    script.finish(sync);
    let is_complete =
        |answer: &SyncResponse| answer.revision == 0 || answer.invalidation != Invalidation::Changed(vec![]);
    assert!(succeeded_with(&granted, is_complete));
}

/// A delete commits between the two reads of a verify.
#[test]
fn a_verdict_never_has_a_later_revision_than_its_snapshot() {
    let mut script = Script::new();
    let (verify, verified) = script.verify();
    script.step(verify);
    let (delete, _) = script.delete();
    script.finish(delete);
    script.finish(verify);
    let is_true = |answer: &VerifyResponse| answer.revision == 0 || answer.verdicts == [Verdict::Inactive];
    assert!(succeeded_with(&verified, is_true));
}

/// A verify arrives after a delete has returned, and just after another verify.
#[test]
fn a_verify_never_shares_an_older_answer() {
    let mut script = Script::new();
    let (first, _) = script.verify();
    script.finish(first);
    let (delete, deleted) = script.delete();
    script.finish(delete);
    assert!(has_ended(&deleted), "no edge has a lease");
    let (second, verified) = script.verify();
    script.finish(second);
    assert!(succeeded_with(&verified, |answer| answer.verdicts == [Verdict::Inactive]));
}

/// A delete is repeated before the edge has acknowledged the first.
#[test]
fn a_repeated_delete_does_not_return_before_the_first() {
    let mut script = Script::new();
    let (sync, _) = script.sync("edge", 0);
    script.finish(sync);
    let (first, deleted) = script.delete();
    script.finish(first);
    assert!(!has_ended(&deleted));
    let (again, repeated) = script.delete();
    script.finish(again);
    assert!(!has_ended(&repeated));
}

/// A roll commits after a delete has read the values of the key, and before the delete has the lock.
#[test]
fn a_delete_invalidates_every_value_that_the_key_has_at_its_commit() {
    let mut script = Script::new();
    let (delete, _) = script.delete();
    script.step(delete); // the lock
    script.step(delete); // the values
    let (roll, rolled) = script.change(rolls());
    script.step(roll);
    script.step(delete); // the commit; without the rule, it releases the lock and waits for it again
    script.finish(roll);
    script.finish(delete);
    script.finish(roll);
    let (sync, granted) = script.sync("edge", 0);
    script.finish(sync);
    // With the rule, the delete was first, and the roll found no key. Without it, the roll was first, and the delete removed its
    // value; then the sync must list that value.
    let was_rolled = succeeded_with(&rolled, |found| matches!(found, Changed::Now(_)));
    let lists_it = |answer: &SyncResponse| matches!(&answer.invalidation, Invalidation::Changed(changed) if changed.contains(&new_value()));
    assert!(!was_rolled || succeeded_with(&granted, lists_it));
}

/// An edge whose answers are lost keeps renewing its lease, and never acknowledges.
#[test]
fn a_change_waits_for_the_leases_of_its_commit_and_not_for_later_ones() {
    let mut script = Script::new();
    let (sync, _) = script.sync("edge", 0);
    script.finish(sync);
    let (delete, deleted) = script.delete();
    script.finish(delete);
    for _ in 0..8 {
        script.pass(2_000);
        let (sync, _) = script.sync("edge", 0);
        script.finish(sync);
        script.finish(delete);
    }
    assert!(has_ended(&deleted));
}
