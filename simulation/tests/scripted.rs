//! Rare interleavings, told step by step: each must be right, and go wrong without the rule it is about.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use key_service::leases::settle::settle;
use key_service::leases::{Terms, Touched, change, sync, verify};
use protocol::rules::{Rule, break_rule};
use protocol::{KeyDigest, News, SyncRequest, SyncResponse, Verdict, VerifyRequest, VerifyResponse};
use simulation::Profile;
use simulation::database::{Effect, Key, SimulatedLedger};
use simulation::kernel::{Kernel, Shared, TaskId, Tasks};

/// The service's tasks, each moved on by hand, one transaction at a time.
struct Script {
    shared: Shared<()>,
    tasks: Tasks<()>,
}

type Answer<T> = Rc<RefCell<Option<T>>>;

impl Script {
    /// A service with one key.
    fn new() -> Self {
        let mut kernel = Kernel::new(Profile::of_seed(0));
        kernel.database.keys.insert("key".into(), Key { user: 0, digest: old_value(), may_read: true });
        Script { shared: Shared(Arc::new(Mutex::new(kernel))), tasks: Tasks::default() }
    }

    fn start<T: 'static>(&mut self, task: impl Future<Output = T> + 'static) -> (TaskId, Answer<T>) {
        let answer = Rc::new(RefCell::new(None));
        let filled = Rc::clone(&answer);
        let id = self.tasks.add(async move { *filled.borrow_mut() = Some(task.await) });
        self.tasks.poll(id, &self.shared);
        (id, answer)
    }

    /// Lets one transaction of a task happen; false if the task waits for something else, or has ended.
    fn step(&mut self, task: TaskId) -> bool {
        let happened = self.shared.lock().perform_next_of(task);
        self.tasks.poll(task, &self.shared);
        happened
    }

    /// Lets a task go on until it waits for somebody else, or has ended.
    fn finish(&mut self, task: TaskId) {
        for _ in 0..50 {
            self.step(task);
        }
    }

    fn ledger(&self) -> SimulatedLedger<()> {
        SimulatedLedger(self.shared.clone())
    }

    /// An edge asks for a lease; it says that it has applied everything up to that revision.
    fn sync(&mut self, edge: &str, cursor: u64) -> (TaskId, Answer<SyncResponse>) {
        let ledger = self.ledger();
        let (log, cursor) = (Some("log".to_owned()), Some(cursor));
        let request =
            SyncRequest { edge: edge.to_owned(), log, cursor, wait_ms: 0, used: Default::default() };
        self.start(async move { sync::answer(&ledger, Terms::default(), &request).await.unwrap() })
    }

    fn verify(&mut self) -> (TaskId, Answer<VerifyResponse>) {
        let ledger = self.ledger();
        let request = VerifyRequest { edge: "edge".into(), digests: vec![old_value()] };
        self.start(async move { verify::answer(&ledger, &request).await.unwrap() })
    }

    /// Makes a change of the key; `true` if it found it.
    fn change(&mut self, effect: Effect) -> (TaskId, Answer<bool>) {
        let ledger = self.ledger();
        self.start(async move {
            let mut begun = change::begin(&ledger, &Touched::Key("key".into())).await.unwrap();
            if begun.change().has_key("key") {
                begun.change().effect = Some(effect);
                let position = begun.commit().await.unwrap();
                settle(&ledger, &position, |_| {}).await.unwrap();
                return true;
            }
            begun.already_so().await.unwrap();
            false
        })
    }

    fn delete(&mut self) -> (TaskId, Answer<bool>) {
        self.change(Effect::Delete("key".into()))
    }
}

fn old_value() -> KeyDigest {
    KeyDigest::of_value("phx_old")
}

fn new_value() -> KeyDigest {
    KeyDigest::of_value("phx_new")
}

fn has_ended<T>(answer: &Answer<T>) -> bool {
    answer.borrow().is_some()
}

fn tells<T>(answer: &Answer<T>, what: impl Fn(&T) -> bool) -> bool {
    answer.borrow().as_ref().is_some_and(what)
}

/// The script is right, and wrong without the rule.
fn depends_on(rule: Rule, is_right: impl Fn() -> bool) {
    assert!(is_right(), "wrong though every rule holds");
    break_rule(Some(rule));
    let is_right_without = is_right();
    break_rule(None);
    assert!(!is_right_without, "right without {rule:?}: what is it for?");
}

/// A sync has done half its work when a whole delete comes between.
#[test]
fn of_a_sync_and_a_delete_that_race_one_sees_the_other() {
    depends_on(Rule::RecordBeforeRead, || {
        let mut script = Script::new();
        let (sync, granted) = script.sync("edge", 0);
        script.step(sync);
        let (delete, deleted) = script.delete();
        script.finish(delete);
        let returned = has_ended(&deleted);
        script.finish(sync);
        let knows = tells(&granted, |answer| answer.news == News::Changed(vec![old_value()]));
        !returned || knows
    });
}

/// A delete is committed between the two readings of a sync.
#[test]
fn a_cursor_never_passes_a_change_that_was_not_told() {
    depends_on(Rule::ChangesWithRevision, || {
        let mut script = Script::new();
        let (sync, granted) = script.sync("edge", 0);
        script.step(sync); // recorded
        script.step(sync); // read
        let (delete, _) = script.delete();
        script.finish(delete);
        script.finish(sync);
        let told = |answer: &SyncResponse| answer.revision == 0 || answer.news != News::Changed(vec![]);
        tells(&granted, told)
    });
}

/// A delete is committed between the two readings of a verify.
#[test]
fn a_verdict_never_claims_a_revision_that_it_does_not_know() {
    depends_on(Rule::VerdictsWithRevision, || {
        let mut script = Script::new();
        let (verify, verified) = script.verify();
        script.step(verify);
        let (delete, _) = script.delete();
        script.finish(delete);
        script.finish(verify);
        let is_true =
            |answer: &VerifyResponse| answer.revision == 0 || answer.verdicts == [Verdict::Inactive];
        tells(&verified, is_true)
    });
}

/// A verify arrives after a delete has returned, and just after another verify.
#[test]
fn a_verify_never_shares_an_older_answer() {
    depends_on(Rule::FreshVerify, || {
        let mut script = Script::new();
        let (first, _) = script.verify();
        script.finish(first);
        let (delete, deleted) = script.delete();
        script.finish(delete);
        assert!(has_ended(&deleted), "nobody has a lease");
        let (second, verified) = script.verify();
        script.finish(second);
        tells(&verified, |answer| answer.verdicts == [Verdict::Inactive])
    });
}

/// An edge has not acknowledged a delete when the same delete is sent again.
#[test]
fn a_repeated_delete_does_not_return_before_the_first() {
    depends_on(Rule::RepeatedDeleteWaits, || {
        let mut script = Script::new();
        let (sync, _) = script.sync("edge", 0);
        script.finish(sync);
        let (first, deleted) = script.delete();
        script.finish(first);
        assert!(!has_ended(&deleted));
        let (again, repeated) = script.delete();
        script.finish(again);
        !has_ended(&repeated)
    });
}

/// A roll is committed after a delete has looked which values there are, and before it has the lock.
#[test]
fn a_delete_tells_of_every_value_that_the_key_has_at_its_end() {
    depends_on(Rule::LockFirst, || {
        let mut script = Script::new();
        let (delete, _) = script.delete();
        script.step(delete); // the lock
        script.step(delete); // which values there are
        let (roll, rolled) = script.change(Effect::Roll("key".into(), new_value()));
        script.step(roll);
        script.step(delete); // the commit; without the rule it lets the lock go, and waits for it again
        script.finish(roll);
        script.finish(delete);
        script.finish(roll);
        let (sync, granted) = script.sync("edge", 0);
        script.finish(sync);
        // With the rule, the delete came first, and the roll found no key. Without it the roll did, and its value is
        // gone: then edges must have heard of it.
        let was_rolled = tells(&rolled, |&found| found);
        let told = |answer: &SyncResponse| matches!(&answer.news, News::Changed(changed) if changed.contains(&new_value()));
        !was_rolled || tells(&granted, told)
    });
}

/// An edge whose answers are lost renews its lease again and again, and never acknowledges.
#[test]
fn a_change_waits_for_the_leases_there_were_and_not_for_later_ones() {
    depends_on(Rule::FrozenWaitSet, || {
        let mut script = Script::new();
        let (sync, _) = script.sync("edge", 0);
        script.finish(sync);
        let (delete, deleted) = script.delete();
        script.finish(delete);
        for _ in 0..8 {
            script.shared.lock().now += 2_000_000;
            let (sync, _) = script.sync("edge", 0);
            script.finish(sync);
            script.finish(delete);
        }
        has_ended(&deleted)
    });
}
