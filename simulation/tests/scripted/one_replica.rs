//! What can come between the steps of one sync, one question and one change.

use protocol::{Invalidation, SyncResponse, Verdict, VerifyResponse};

use super::script::{Changed, Script, has_ended, new_value, old_value, rolls, tells};

/// A sync has done half its work when a whole delete comes between.
#[test]
fn of_a_sync_and_a_delete_that_race_one_sees_the_other() {
    let mut script = Script::new();
    let (sync, granted) = script.sync("edge", 0);
    script.step(sync);
    let (delete, deleted) = script.delete();
    script.finish(delete);
    let returned = has_ended(&deleted);
    script.finish(sync);
    let knows = tells(&granted, |answer| answer.invalidation == Invalidation::Changed(vec![old_value()]));
    assert!(!returned || knows);
}

/// A delete is committed between the two readings of a sync.
#[test]
fn a_cursor_never_passes_a_change_that_was_not_told() {
    let mut script = Script::new();
    let (sync, granted) = script.sync("edge", 0);
    script.step(sync); // recorded
    script.step(sync); // read
    let (delete, _) = script.delete();
    script.finish(delete);
    script.finish(sync);
    let told =
        |answer: &SyncResponse| answer.revision == 0 || answer.invalidation != Invalidation::Changed(vec![]);
    assert!(tells(&granted, told));
}

/// A delete is committed between the two readings of a verify.
#[test]
fn a_verdict_never_claims_a_revision_that_it_does_not_know() {
    let mut script = Script::new();
    let (verify, verified) = script.verify();
    script.step(verify);
    let (delete, _) = script.delete();
    script.finish(delete);
    script.finish(verify);
    let is_true = |answer: &VerifyResponse| answer.revision == 0 || answer.verdicts == [Verdict::Inactive];
    assert!(tells(&verified, is_true));
}

/// A verify arrives after a delete has returned, and just after another verify.
#[test]
fn a_verify_never_shares_an_older_answer() {
    let mut script = Script::new();
    let (first, _) = script.verify();
    script.finish(first);
    let (delete, deleted) = script.delete();
    script.finish(delete);
    assert!(has_ended(&deleted), "nobody has a lease");
    let (second, verified) = script.verify();
    script.finish(second);
    assert!(tells(&verified, |answer| answer.verdicts == [Verdict::Inactive]));
}

/// An edge has not acknowledged a delete when the same delete is sent again.
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

/// A roll is committed after a delete has looked which values there are, and before it has the lock.
#[test]
fn a_delete_tells_of_every_value_that_the_key_has_at_its_end() {
    let mut script = Script::new();
    let (delete, _) = script.delete();
    script.step(delete); // the lock
    script.step(delete); // which values there are
    let (roll, rolled) = script.change(rolls());
    script.step(roll);
    script.step(delete); // the commit; without the rule it lets the lock go, and waits for it again
    script.finish(roll);
    script.finish(delete);
    script.finish(roll);
    let (sync, granted) = script.sync("edge", 0);
    script.finish(sync);
    // With the rule, the delete came first, and the roll found no key. Without it the roll did, and its value is
    // gone: then the sync must name it.
    let was_rolled = tells(&rolled, |found| matches!(found, Changed::Now(_)));
    let told = |answer: &SyncResponse| matches!(&answer.invalidation, Invalidation::Changed(changed) if changed.contains(&new_value()));
    assert!(!was_rolled || tells(&granted, told));
}

/// An edge whose answers are lost renews its lease again and again, and never acknowledges.
#[test]
fn a_change_waits_for_the_leases_there_were_and_not_for_later_ones() {
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
